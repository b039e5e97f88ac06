"""PurePrioritizedReplay against priorities in a NumPy array."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdaw.errors import ConfigError, SpecTypeError
from jaxdaw.replay import PurePrioritizedReplay, WindowIndices
from jaxdaw.specs import TensorSpec

FRAME_SPEC = {"stamp": TensorSpec((), np.int32)}


def frames_of(time, num_envs):
    return {"stamp": time * 100 + jnp.arange(num_envs, dtype=jnp.int32)}


def filled(replay, num_adds):
    state, add = replay.init(), jax.jit(replay.add)
    for time in range(num_adds):
        state = add(state, frames_of(time, replay.num_envs))
    return state


def every_chance(replay, state):
    """The chance of each window that is drawn, by the stamp of its first frame."""
    draw = jax.jit(replay.sample_from_bits)
    chances = {}
    for word in np.linspace(0, 2**32 - 1, 40, dtype=np.uint32):
        experience, info = draw(state, jnp.full(64, word, jnp.uint32), 1.0)
        chances |= zip(np.asarray(experience["stamp"][:, 0]).tolist(), np.asarray(info.probabilities).tolist())
    return chances


@pytest.mark.parametrize("num_envs", [1, 3])
@pytest.mark.parametrize("num_steps", [1, 2, 4])
def test_pure_prioritized_replay_draws_by_the_priorities_of_a_dictionary_however_often_it_wraps(num_envs, num_steps):
    replay = PurePrioritizedReplay(FRAME_SPEC, 7 * num_envs, num_envs, num_steps, alpha=0.5)
    state, generator = replay.init(), np.random.default_rng(num_steps)
    add, draw, update = jax.jit(replay.add), jax.jit(replay.sample, static_argnums=2), jax.jit(replay.update_priorities)
    priorities, highest = {}, 1.0
    for time in range(20):
        state = add(state, frames_of(time, num_envs))
        if time >= num_steps - 1:
            opened = (time - num_steps + 1) * 100
            priorities |= {opened + env: highest for env in range(num_envs)}
        priorities = {stamp: value for stamp, value in priorities.items() if stamp // 100 > time - 7}
        assert int(replay.num_windows(state)) == len(priorities)
        if not priorities:
            assert not replay.can_sample(state)
            continue
        total = sum(priorities.values())
        chances = every_chance(replay, state)
        # 2560 evenly spread positions meet every share of a thousandth, and nothing that is not held.
        assert chances.keys() <= priorities.keys()
        assert chances.keys() >= {stamp for stamp, value in priorities.items() if value > total / 1000}
        for stamp, chance in chances.items():
            np.testing.assert_allclose(chance, priorities[stamp] / total, rtol=1e-5)
        experience, info = draw(state, jax.random.key(time), 5, 0.7)
        stamps = np.asarray(experience["stamp"])
        np.testing.assert_array_equal(stamps, stamps[:, :1] + 100 * np.arange(num_steps))
        values = np.array([priorities[stamp] for stamp in stamps[:, 0].tolist()])
        unnormalised = (len(priorities) * values / total) ** -0.7  # (N p)^-beta
        np.testing.assert_allclose(info.weights, unnormalised / unnormalised.max(), rtol=1e-5)
        by_stamp = {stamp: generator.choice([0.0, 0.25, 4.0, 100.0]) for stamp in stamps[:, 0].tolist()}
        errors = np.array([by_stamp[stamp] for stamp in stamps[:, 0].tolist()], np.float32)
        state = update(state, info.indices, jnp.asarray(errors))
        priorities |= {stamp: (error + 1e-6) ** 0.5 for stamp, error in by_stamp.items()}
        highest = max([highest, *(priorities[stamp] for stamp in by_stamp)])


def test_pure_prioritized_replay_draws_one_row_from_each_stratum():
    replay = PurePrioritizedReplay(FRAME_SPEC, 10, num_steps=1)
    experience, info = replay.sample(filled(replay, 10), jax.random.key(0), 10, 1.0)
    np.testing.assert_array_equal(experience["stamp"][:, 0], np.arange(10) * 100)  # equal priorities: ten strata
    np.testing.assert_allclose(info.probabilities, 0.1, rtol=1e-6)
    np.testing.assert_array_equal(info.weights, 1)


def test_pure_prioritized_replay_with_alpha_zero_is_uniform():
    replay = PurePrioritizedReplay(FRAME_SPEC, 4, num_steps=1, alpha=0.0)
    state = filled(replay, 4)
    indices = WindowIndices(env=jnp.zeros(4, int), time=jnp.arange(4))
    state = replay.update_priorities(state, indices, jnp.array([0.0, 1.0, 5.0, 1e30]))
    np.testing.assert_allclose(replay.sample(state, jax.random.key(0), 8, 1.0)[1].probabilities, 0.25, rtol=1e-6)


def test_pure_prioritized_replay_draws_windows_without_a_finite_error_as_those_without_error():
    replay = PurePrioritizedReplay(FRAME_SPEC, 4, num_steps=1, alpha=1.0)
    state = filled(replay, 4)
    indices = WindowIndices(env=jnp.zeros(4, int), time=jnp.arange(4))
    state = replay.update_priorities(state, indices, jnp.array([jnp.nan, jnp.inf, 0.0, 2.0]))
    np.testing.assert_allclose(state.tree[0], [1e-6, 1e-6, 1e-6, 2.0 + 1e-6], rtol=1e-6)
    np.testing.assert_allclose(state.highest, 2.0 + 1e-6, rtol=1e-6)


def test_pure_prioritized_replay_of_a_population_equals_its_members_and_shares_the_cursor():
    replay = PurePrioritizedReplay(FRAME_SPEC, 12, 2, 2)
    keys = jax.random.split(jax.random.key(0), 3)

    def run(key):
        state = replay.init()
        for time in range(9):
            state = replay.add(state, frames_of(time, 2))
            key_draw, key_error, key = jax.random.split(key, 3)
            _, info = replay.sample(state, key_draw, 4, 0.5)
            state = replay.update_priorities(state, info.indices, jax.random.uniform(key_error, (4,)))
        return state

    axes = replay.state_axes
    many = jax.jit(jax.vmap(run, out_axes=axes))(keys)
    assert many.ring.cursor.shape == ()
    for index, key in enumerate(keys):
        one = jax.jit(run)(key)
        for ours, alone in zip(many.tree, one.tree, strict=True):
            np.testing.assert_allclose(ours[index], alone, rtol=1e-6)


def test_pure_prioritized_replay_is_a_static_argument():
    one, other = (PurePrioritizedReplay(FRAME_SPEC, 10, num_steps=2) for _ in range(2))
    assert one == other
    assert hash(one) == hash(other)
    assert one != PurePrioritizedReplay(FRAME_SPEC, 10, num_steps=3)
    assert one != PurePrioritizedReplay(FRAME_SPEC, 10, num_steps=2, alpha=0.5)


def test_pure_prioritized_replay_refuses_what_cannot_work():
    for alpha in (-0.1, 1.1, np.nan):
        with pytest.raises(ConfigError, match="alpha is out of range"):
            PurePrioritizedReplay(FRAME_SPEC, 10, alpha=alpha)
    with pytest.raises(ConfigError, match="num_steps does not fit"):
        PurePrioritizedReplay(FRAME_SPEC, 10, num_envs=5, num_steps=3)
    replay = PurePrioritizedReplay(FRAME_SPEC, 10)
    with pytest.raises(SpecTypeError, match="one row of unsigned words"):
        replay.sample_from_bits(replay.init(), jnp.zeros(4, jnp.int32), 1.0)


def test_pure_prioritized_replay_counts_its_priorities_as_memory():
    # 4 bytes of frame, and levels of 104, 16 and 2 sums of 4 bytes for 100 frames.
    with pytest.raises(ConfigError, match="bytes"):
        PurePrioritizedReplay(FRAME_SPEC, 100, memory_limit_bytes=400 + 487)
    PurePrioritizedReplay(FRAME_SPEC, 100, memory_limit_bytes=400 + 488)
