"""What constructors and batches are checked for: numbers out of range, weights that are none."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxdaw import agents, networks, specs, testing, trajectories
from jaxdaw.agents import check_range
from jaxdaw.errors import ConfigError, NonFiniteError, SpecError

from .batches import assert_same, batch, make, weights_of


@pytest.mark.parametrize("value", [0, 1, 0.5, np.float32(1), np.int64(0)])
def test_numbers_in_range_pass(value):
    check_range("share", value, 0.0, 1.0)


@pytest.mark.parametrize("value", [-0.1, 1.1, np.nan, np.inf, None, "1", True, [0.5]])
def test_anything_else_is_refused_and_shown(value):
    with pytest.raises(ConfigError, match=r"share is outside its range\n  expected  a number in \[0\.0, 1\.0\]"):
        check_range("share", value, 0.0, 1.0)


def test_open_ends_integers_and_none():
    check_range("period", None, 1, 5, optional=True)
    check_range("period", 2.0, 1, 5, integer=True)
    with pytest.raises(ConfigError, match="an integer"):
        check_range("period", 1.5, 1, 5, integer=True)
    with pytest.raises(ConfigError, match=r"\(0\.0, 1\.0\]"):
        check_range("rate", 0.0, 0.0, 1.0, low_open=True)


@pytest.mark.parametrize("weight", [-1.0, np.nan, np.inf])
def test_example_weights_that_are_no_weights_are_refused(weight):
    agent = make()
    before = weights_of(agent)
    with pytest.raises(SpecError, match="weights must be finite and not negative"):
        agent.train(batch(), np.array([1.0, weight, 1.0, 1.0], np.float32))
    assert_same(weights_of(agent), before)


def test_example_weights_of_zero_give_a_loss_of_zero():
    agent = make()
    before = weights_of(agent).params
    assert agent.train(batch(), np.zeros(4, np.float32)).loss == 0
    assert_same(weights_of(agent).params, before)


@pytest.mark.parametrize("leaf", ["reward", "observation", "discount"])
@pytest.mark.parametrize("number", [np.inf, -np.inf, np.nan])
def test_a_batch_on_the_device_is_refused_wherever_it_is_not_finite(leaf, number):
    """C51 clips returns to its atoms, so that an infinite one would go unseen."""
    seen, action = specs.TensorSpec((2,), np.float32), specs.BoundedTensorSpec((), np.int32, 0, 1)
    network = networks.CategoricalQNetwork(seen, action, num_atoms=5, fc_layer_params=(4,))
    step, optimizer = trajectories.time_step_spec(seen), optax.adam(1e-2)
    agent = agents.CategoricalDqnAgent(step, action, network, optimizer, gamma=0.9, target_update_tau=0.1)
    frames = testing.random_experience(agent)
    values = getattr(frames, leaf).copy()
    values.flat[0] = number
    before = jax.tree.map(np.array, agent.get_state())
    assert np.isnan(agent.train(jax.tree.map(jnp.asarray, frames._replace(**{leaf: values}))).loss)
    with pytest.raises(NonFiniteError, match=f"{leaf} holds NaN or infinity in 1 of 6 rows"):
        agent.get_state()  # where the host waits for the device
    jax.tree.map(np.testing.assert_array_equal, before.params, agent.get_state().params)
