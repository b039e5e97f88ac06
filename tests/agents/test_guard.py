"""What refuses a step that started from a finite batch."""

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jaxdaw import networks
from jaxdaw.errors import NonFiniteError

from .batches import OBSERVATION, assert_same, batch, make, weights_of


def test_gradients_that_overflow_are_refused():
    agent = make(reward_scale_factor=1.0, td_errors_loss_fn=lambda target, q: jnp.exp(jnp.square(target - q)))
    before = weights_of(agent)
    info = agent.train(batch(reward=np.full((4, 2), 1e6, np.float32)))
    assert np.isnan(info.loss)
    with pytest.raises(NonFiniteError, match="learning rate that is too high"):
        agent.get_state()
    assert_same(weights_of(agent), before)


def test_gradients_too_large_for_the_optimizer_are_refused():
    agent = make(td_errors_loss_fn=lambda target, q: 1e30 * jnp.abs(target - q))
    before = weights_of(agent)
    info = agent.train(batch())
    assert np.isnan(info.loss)
    with pytest.raises(NonFiniteError):
        agent.get_state()
    assert_same(weights_of(agent), before)


class _NormLast(nnx.Module):
    """Three values of which each is finite everywhere, and whose derivative is NaN where the layer before gives 0."""

    def __init__(self, rngs):
        self.first = nnx.Linear(3, 4, rngs=rngs)
        self.last = nnx.Linear(4, 3, rngs=rngs)

    def __call__(self, observation):
        hidden = self.first(observation)
        return self.last(hidden / (1.0 + jnp.linalg.norm(hidden, axis=-1, keepdims=True)))


def test_a_derivative_that_is_not_finite_in_a_hidden_layer_refuses_the_step():
    agent = make(network=networks.Network.from_factory(_NormLast, OBSERVATION))
    frames = batch()
    frames.observation[1] = 0.0  # with biases of 0, as they start, all hidden units are 0: the norm's derivative is NaN
    before = weights_of(agent)
    assert np.isfinite(agent.loss(frames).loss)
    assert np.isnan(agent.train(frames).loss)
    with pytest.raises(NonFiniteError, match="gradient is not finite"):
        agent.get_state()
    assert_same(weights_of(agent), before)
