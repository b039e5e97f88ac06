"""Sources: which frames become batches, how often, and with which weights."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdaw.errors import ConfigError
from jaxdaw.replay import HostSource, RecordedSource, RolloutSource, UniformReplay, UniformSource
from jaxdaw.specs import TensorSpec
from jaxdaw.trajectories import Trajectory

SPEC = {"step": TensorSpec((), np.int32), "env": TensorSpec((), np.int32)}


def frames(step: int, num_envs: int) -> dict:
    return {"step": jnp.full(num_envs, step, jnp.int32), "env": jnp.arange(num_envs, dtype=jnp.int32)}


def filled(source, steps: int):
    state = source.init()
    for step in range(steps):
        state = source.add(state, frames(step, source.num_envs))
    return state


def key_data(seed: int):
    return jax.random.key_data(jax.random.key(seed))


@pytest.mark.parametrize("overlap", [0, 1, 2])
@pytest.mark.parametrize("num_steps", [1, 3])
def test_a_rollout_is_the_latest_steps_in_order_with_those_that_overlap_in_front(num_steps, overlap):
    source = RolloutSource(SPEC, num_envs=2, num_steps=num_steps, overlap=overlap)
    assert (source.updates, source.warm_up) == (1, num_steps if overlap else 0)
    for steps in (num_steps + overlap, 7, 11):
        if steps < num_steps + overlap:
            continue
        xs = source.batches(filled(source, steps), key_data(0), lambda rollout: rollout)
        batch, weights, _ = source.batch(None, jax.tree.map(lambda x: x[0], xs), 0)
        assert weights is None
        np.testing.assert_array_equal(batch["step"], [np.arange(steps - num_steps - overlap, steps)] * 2)
        np.testing.assert_array_equal(batch["env"][:, 0], [0, 1])


@pytest.mark.parametrize("by_sequence", [False, True])
def test_every_epoch_passes_over_the_rollout_once_in_an_order_of_its_own(by_sequence):
    source = RolloutSource(SPEC, 4, 6, epochs=3, minibatches=2, by_sequence=by_sequence)
    xs = jax.jit(source.batches, static_argnums=2)(filled(source, 6), key_data(0), lambda rollout: rollout)
    assert xs["step"].shape == ((6, 2, 6) if by_sequence else (6, 12))
    epochs = np.asarray(xs["env"] * 6 + xs["step"]).reshape(3, -1)
    for epoch in epochs:
        np.testing.assert_array_equal(np.sort(epoch), np.arange(24))
    assert not np.array_equal(epochs[0], epochs[1])


def test_prepare_sees_the_whole_rollout_once():
    source, seen = RolloutSource(SPEC, 2, 4, epochs=2, minibatches=4, by_sequence=False), []

    def prepare(rollout):
        seen.append(rollout["step"].shape)
        return {"advantage": rollout["step"] * 10}

    xs = source.batches(filled(source, 4), key_data(1), prepare)
    assert seen == [(2, 4)]
    assert xs["advantage"].shape == (8, 2)


def test_rollouts_that_do_not_divide_are_refused():
    with pytest.raises(ConfigError, match="dealt evenly"):
        RolloutSource(SPEC, 3, 4, minibatches=2)
    source = RolloutSource(SPEC, 3, 3, minibatches=2, by_sequence=False)
    with pytest.raises(ConfigError, match="9 frames"):
        source.batches(filled(source, 3), key_data(0), lambda rollout: rollout)
    with pytest.raises(ConfigError, match="epochs is outside its range"):
        RolloutSource(SPEC, 3, 4, epochs=0)


def test_uniform_windows_are_the_same_drawn_together_or_one_batch_at_a_time(monkeypatch):
    source = UniformSource(UniformReplay(SPEC, 40, 2), num_steps=3, batch_size=5, updates=4)
    state, bits = filled(source, 12), source.draw(jax.random.key(0), 1)[0]

    def drawn():
        xs = source.batches(state, bits, lambda rollout: rollout)
        return [source.batch(state, jax.tree.map(lambda x: x[k], xs), 0)[0] for k in range(4)]  # noqa: B023

    together = drawn()
    monkeypatch.setattr("jaxdaw.replay._source._GATHERED_AT_ONCE", 0)
    jax.tree.map(np.testing.assert_array_equal, together, drawn())
    assert together[0]["step"].shape == (5, 3)


def test_recorded_rows_come_with_their_weights():
    source = RecordedSource(size=10, batch_size=4, updates=3)
    data = ({"x": jnp.arange(10)}, jnp.arange(10) / 10)
    rows = source.draw(jax.random.key(0), 2)
    assert rows.shape == (2, 3, 4)
    xs = source.batches(data, rows[1], lambda rollout: rollout)
    experience, weights, _ = source.batch(data, xs[2], 0)
    np.testing.assert_array_equal(experience["x"], rows[1, 2])
    np.testing.assert_allclose(weights, np.asarray(rows[1, 2]) / 10, rtol=1e-6)


# The host's.


def images(depth: int = 3) -> Trajectory:
    camera = TensorSpec((4, 4, depth), np.uint8)
    number, integer = TensorSpec((), np.float32), TensorSpec((), np.int32)
    return Trajectory(integer, {"camera": camera, "speed": number}, integer, (), integer, number, number)


class Stacking:
    """An environment that shows the three newest of its images, the first of an episode repeated."""

    def __init__(self, length: int = 5, pads: bool = False):
        self._length, self._pads, self._step, self._number = length, pads, 0, 1
        self._shown: list[np.ndarray] = []

    def frame(self) -> Trajectory:
        step_type = 0 if self._step == 0 else 2 if self._step == self._length else 1
        image = np.full((1, 4, 4, 1), self._number % 251, np.uint8)
        if step_type == 0:
            self._shown = [np.zeros_like(image) if self._pads else image] * 2
        self._shown = [*self._shown, image][-3:]
        self._number += 1
        self._step = 0 if step_type == 2 else self._step + 1
        one = np.ones(1, np.int32)
        observation = {"camera": np.concatenate(self._shown, -1), "speed": np.float32([self._number])}
        return Trajectory(one * step_type, observation, one, (), one, np.ones(1, np.float32), np.ones(1, np.float32))


def test_stacks_are_kept_once_and_come_back_as_they_were_shown():
    source = HostSource(images(), capacity=200, num_envs=1, num_steps=2, batch_size=16, updates=3, frame_stack=3)
    world, state, shown = Stacking(), source.init(), {}
    for _ in range(150):
        frame = world.frame()
        state = source.add(state, frame)
        shown[float(frame.observation["speed"][0])] = frame.observation["camera"][0]
    assert state.arrays()["frames.observation['camera']"].shape == (200, 1, 4, 4, 1)
    xs = source.batches(state, source.draw(jax.random.key(0), 1)[0], lambda rollout: rollout)
    assert xs.observation["camera"].shape == (3, 16, 2, 4, 4, 3)
    for speed, camera in zip(xs.observation["speed"].ravel(), xs.observation["camera"].reshape(-1, 4, 4, 3)):
        np.testing.assert_array_equal(camera, shown[speed])


def test_an_environment_that_does_not_stack_so_is_refused_with_the_step():
    source = HostSource(images(), 200, 1, 2, 4, 1, frame_stack=3)
    state, world = source.init(), Stacking(pads=True)
    with pytest.raises(ConfigError, match=r"not the stacks(?s:.*)got  another at step 0"):
        source.add(state, world.frame())
    with pytest.raises(ConfigError, match="no observation is a stack of 4 images"):
        HostSource(images(), 200, 1, 2, 4, 1, frame_stack=4)


def test_a_host_replay_goes_on_from_its_arrays():
    source = HostSource(images(), 30, 1, 2, 8, 1, frame_stack=3)
    state, world = source.init(), Stacking()
    for _ in range(47):  # the ring has wrapped
        source.add(state, world.frame())
    again = source.init()
    again.load_arrays({name: np.array(value) for name, value in state.arrays().items()})
    for one, other in zip(*(jax.tree.leaves(source.batches(s, np.uint32(5), None)) for s in (state, again))):
        np.testing.assert_array_equal(one, other)


def test_sources_of_replays_know_how_many_steps_a_window_needs():
    assert UniformSource(UniformReplay(SPEC, 40, 2), 3, 5, 4).warm_up == 3
    assert HostSource(images(), 200, 1, 2, 4, 1).warm_up == 2
