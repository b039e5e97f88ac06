"""Frames in NumPy, and stacks of images that are kept once."""

import jax
import numpy as np
import pytest

from jaxdaw.errors import ConfigError
from jaxdaw.replay import HostSource
from jaxdaw.specs import TensorSpec
from jaxdaw.trajectories import Trajectory


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
