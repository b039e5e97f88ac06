"""Resets, time limits and randomness of pure environments."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.extend.random import threefry_2x32

from jaxdaw import specs
from jaxdaw.environments import CartPole, Catch, EpisodicEnvironment, Recall
from jaxdaw.environments._episodic import below, random_words, uniform
from jaxdaw.trajectories import StepType

ALL = [
    CartPole(),
    CartPole(max_episode_steps=7),
    Catch(),
    Catch(rows=4, columns=3, max_episode_steps=2),
    Recall(cues=3, delay=2),
]


@dataclasses.dataclass(frozen=True)
class Walk(EpisodicEnvironment):
    """The example of the docstring, with an edge at `length` that terminates."""

    length: int = 3
    max_episode_steps: int | None = 5
    random_words = 1

    observation_spec = property(lambda self: specs.BoundedTensorSpec((), np.float32, 0, self.length))
    action_spec = property(lambda self: specs.BoundedTensorSpec((), np.int32, 0, 1))

    def start(self, words):
        return below(words[0], self.length)

    def advance(self, world, action):
        world = jnp.maximum(world + 2 * action - 1, 0)
        return world, -1.0, world == self.length

    def observe(self, world):
        return world.astype(jnp.float32)


def stream(environment, steps, seed=0):
    """Returns actions and time steps, `[T]`, the first being that of `init`."""
    actions = specs.sample(environment.action_spec, jax.random.key(seed + 100), (steps,))
    state, first = jax.jit(environment.init)(jax.random.key(seed))
    _, rest = jax.lax.scan(environment.step, state, actions)
    return actions, jax.device_get(jax.tree.map(lambda a, b: jnp.concatenate([a[None], b]), first, rest))


@pytest.mark.parametrize("environment", [*ALL, Walk()], ids=repr)
def test_the_stream_obeys_the_table(environment):
    _, steps = stream(environment, 300)
    specs.check(steps, environment.time_step_spec(), (301,))
    first, last = steps.step_type == StepType.FIRST, steps.step_type == StepType.LAST
    assert first[0]
    np.testing.assert_array_equal(first[1:], last[:-1])
    assert (steps.reward[first] == 0).all()
    assert (steps.discount[~last] == 1).all()
    assert last.sum() >= 3


@pytest.mark.parametrize("environment", [*ALL, Walk()], ids=repr)
def test_the_action_after_last_is_ignored(environment):
    state, _ = jax.jit(environment.init)(jax.random.key(0))
    state = state._replace(ended=jnp.array(True))
    one, other = (jax.jit(environment.step)(state, jnp.int32(action)) for action in (0, 1))
    assert one[1].step_type == StepType.FIRST
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("environment", [*ALL, Walk()], ids=repr)
def test_the_state_keeps_its_shape_and_one_trace_serves_all(environment):
    traces = []

    def counted(state, action):
        traces.append(1)
        return environment.step(state, action)

    step = jax.jit(counted)
    state, _ = environment.init(jax.random.key(0))
    for _ in range(30):
        following, _ = step(state, jnp.zeros((), jnp.int32))
        assert jax.tree.map(lambda x: (x.shape, x.dtype), following) == jax.tree.map(
            lambda x: (x.shape, x.dtype), state
        )
        state = following
    assert len(traces) == 1


@pytest.mark.parametrize("environment", [*ALL, Walk()], ids=repr)
def test_vmap_scan_and_a_loop_by_hand_agree(environment):
    actions, steps = stream(environment, 40, seed=3)
    state, _ = environment.init(jax.random.key(3))
    states = jax.tree.map(lambda x: jnp.stack([x, x]), state)
    step = jax.jit(jax.vmap(environment.step))
    for t, action in enumerate(np.asarray(actions)):
        states, batch = step(states, np.stack([action, action]))
        np.testing.assert_allclose(batch.observation[0], steps.observation[t + 1], atol=1e-6)
        np.testing.assert_array_equal(batch.observation[0], batch.observation[1])
        assert batch.step_type[0] == steps.step_type[t + 1]


def test_environments_are_compared_and_hashed_by_their_options():
    assert CartPole() == CartPole()
    assert len({CartPole(), CartPole(max_episode_steps=9), CartPole()}) == 2


def test_a_walk_by_hand():
    """From 2, right: 3 is the edge, so LAST with discount 0. Then a new start; five lefts are cut with discount 1."""
    environment = Walk()
    state, _ = environment.init(jax.random.key(0))
    state = state._replace(world=jnp.array(2, jnp.int32))
    state, step = environment.step(state, 1)
    assert (step.step_type, step.discount, step.reward, step.observation) == (StepType.LAST, 0.0, -1.0, 3.0)
    state, step = environment.step(state, 1)
    assert (step.step_type, step.discount, step.reward) == (StepType.FIRST, 1.0, 0.0)
    for _ in range(5):
        state, step = environment.step(state, 0)
    assert (step.step_type, step.discount, step.reward, step.observation) == (StepType.LAST, 1.0, -1.0, 0.0)


def test_random_words_are_those_of_jax():
    """The cipher of blocks (counter, 0), (counter, 1): JAX takes a flat array of counts and splits it in halves."""
    key = np.array([123456789, 987654321], np.uint32)
    for counter in (0, 1, 77, 2**32 - 1):
        expected = threefry_2x32(key, jnp.array([counter, counter, counter, 0, 1, 2], jnp.uint32))
        np.testing.assert_array_equal(random_words(key, jnp.uint32(counter), 6), expected)
    assert random_words(key, jnp.uint32(5), 3).shape == (3,)


def test_uniform_and_below_reach_their_ends_and_no_further():
    words = jnp.array([0, 2**32 - 1], jnp.uint32)
    np.testing.assert_array_equal(uniform(words), np.float32([0.0, 1.0 - 2.0**-24]))
    assert (below(words[0], 5), below(words[1], 5)) == (0, 0)  # 2**32 - 1 = 5 * 858993459
    assert below(jnp.uint32(9), 5) == 4
