"""Networks of atoms and quantiles, against NumPy."""

import numpy as np
import pytest

from jaxdaw import specs
from jaxdaw.errors import ConfigError, SpecError
from jaxdaw.networks import CategoricalQNetwork, QuantileQNetwork

from .test_q import ROWS, VECTOR, action, dense

BOTH = pytest.mark.parametrize("make", [CategoricalQNetwork, QuantileQNetwork])


@BOTH
def test_the_head_has_the_values_of_one_action_side_by_side(make):
    network = make(VECTOR, action(), 5, fc_layer_params=(6,))
    weights = network.get_weights().params
    hidden = np.maximum(dense(ROWS, weights["encoder"]["layer_0"]), 0)
    np.testing.assert_allclose(network(ROWS)[0], dense(hidden, weights["q"]).reshape(5, 3, 5), rtol=1e-5, atol=1e-6)


@BOTH
def test_duelling_values_are_put_together_value_by_value(make):
    network = make(VECTOR, action(), 4, dueling=True)
    head = network.get_weights().params["q"]
    advantage, value = dense(ROWS, head["advantage"]).reshape(5, 3, 4), dense(ROWS, head["value"])
    want = value[:, None] + advantage - advantage.mean(axis=1, keepdims=True)
    np.testing.assert_allclose(network(ROWS)[0], want, rtol=1e-5, atol=1e-6)


def test_defaults_and_counts():
    assert CategoricalQNetwork(VECTOR, action()).create_variables() == specs.TensorSpec((3, 51), np.float32)
    assert QuantileQNetwork(VECTOR, action()).create_variables() == specs.TensorSpec((3, 200), np.float32)
    assert CategoricalQNetwork(VECTOR, action(), num_atoms=7).num_atoms == 7
    assert QuantileQNetwork(VECTOR, action(), num_quantiles=7).num_quantiles == 7


def test_sequences_keep_their_axes():
    sequences = np.stack([ROWS, ROWS], axis=1)
    np.testing.assert_allclose(
        QuantileQNetwork(VECTOR, action(), 4)(sequences)[0][:, 1], QuantileQNetwork(VECTOR, action(), 4)(ROWS)[0]
    )


@pytest.mark.parametrize(("make", "count"), [(CategoricalQNetwork, 1), (QuantileQNetwork, 0), (QuantileQNetwork, 2.5)])
def test_numbers_outside_their_range_are_refused(make, count):
    with pytest.raises(ConfigError, match=f"an integer of .* or more +got  {count}"):
        make(VECTOR, action(), count)


@BOTH
def test_actions_without_bounds_are_refused(make):
    with pytest.raises(TypeError, match="how many actions"):
        make(VECTOR, specs.TensorSpec((), np.int32))
    with pytest.raises(SpecError, match="gives values to one integer action"):
        make(VECTOR, action((2,)))
