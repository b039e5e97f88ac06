"""HostSource: a source over HostReplay, for environments whose images do not fit on the device."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import numpy as np

from jaxdaw import specs
from jaxdaw.errors import ConfigError
from jaxdaw.replay._host import FrameStack, HostReplay
from jaxdaw.replay._records import WindowIndices
from jaxdaw.replay._source import Prepare

_VERIFIED = 100
"""Steps whose stacks are compared with what the environment showed."""


@dataclasses.dataclass(frozen=True, eq=False)
class HostSource:
    """Windows of a `HostReplay`, each equally likely. Its state is the replay, which `add` changes.

    Where the environment stacks its images along the last axis, only the newest is kept, and the stacks are made again
    when they are drawn: a quarter of the memory for stacks of four.

    Args:
      frame_spec: a nest of `TensorSpec`, one frame without batch dimensions, as the environment shows it.
      capacity: frames in all.
      num_envs: environments that write together.
      num_steps: frames in a window.
      batch_size: windows in a batch.
      updates: batches in a learning phase.
      frame_stack: images in a stack; 0 keeps frames as they are. Of every leaf of rank 3 below "observation" whose last
        axis is a multiple of it, the newest part is kept.

    Raises:
      ConfigError: nothing to stack, or what `HostReplay` raises.
    """

    frame_spec: Any
    capacity: int
    num_envs: int
    num_steps: int
    batch_size: int
    updates: int
    frame_stack: int = 0
    on_host = True
    state_axes = None

    def __post_init__(self):
        if self.frame_stack and not any(map(self._is_stacked, specs.flatten(self.frame_spec.observation))):
            raise ConfigError(
                f"no observation is a stack of {self.frame_stack} images",
                expected=f"a leaf of three axes, the last a multiple of {self.frame_stack}",
                got=", ".join(str(leaf.shape) for leaf in specs.flatten(self.frame_spec.observation))[:80],
                cause="gymnasium.wrappers.FrameStackObservation puts the stack in front.",
                fix="a wrapper that moves the axis: numpy.moveaxis(observation, 0, -1)",
            )

    @property
    def warm_up(self) -> int:
        """Steps in each environment until a window is whole."""
        return self.num_steps

    def init(self) -> HostReplay:
        """Returns an empty replay."""
        stack = None
        if self.frame_stack:
            stack = FrameStack(
                self.frame_stack,
                images=lambda frame: [
                    leaf
                    for leaf, spec in zip(
                        specs.flatten(frame.observation), specs.flatten(self.frame_spec.observation), strict=True
                    )
                    if self._is_stacked(spec)
                ],
                is_first=lambda frame: np.asarray(frame.step_type) == specs.StepType.FIRST,
            )
        return HostReplay(self._stored(self.frame_spec, _newest_spec), self.capacity, self.num_envs, frame_stack=stack)

    def add(self, state: HostReplay, frames: Any) -> HostReplay:
        """Adds one frame of every environment, and returns the replay.

        Raises:
          ConfigError: `frame_stack`, and the environment does not repeat the first image of an episode in its stacks.
        """
        frames = jax.tree.map(np.asarray, frames)
        state.add(self._stored(frames, _newest))
        if self.frame_stack and state.times.stop <= _VERIFIED:
            newest = WindowIndices(np.arange(self.num_envs), np.full(self.num_envs, state.times.stop - 1))
            stacked = jax.tree.map(lambda x: x[:, 0], state.gather(newest, 1))
            for mine, shown in zip(specs.flatten(stacked.observation), specs.flatten(frames.observation), strict=True):
                if not np.array_equal(mine, shown):
                    raise ConfigError(
                        "the environment's observations are not the stacks that frame_stack makes",
                        expected=f"the {self.frame_stack} newest images of the episode, the first one repeated",
                        got=f"another at step {state.times.stop - 1}",
                        cause="images stacked in another order, or padded with zeros.",
                        fix="frame_stack=0",
                    )
        return state

    def draw(self, key: jax.Array, phases: int) -> jax.Array:
        """Returns a seed for each phase, `[phases]` uint32."""
        return jax.random.bits(key, (phases,), np.uint32)

    def batches(self, state: HostReplay, randomness: Any, prepare: Prepare) -> Any:
        """Returns the windows of all batches, leaves `[K, batch_size, num_steps, ...]`."""
        del prepare
        generator = np.random.default_rng(int(randomness))
        windows, _ = state.sample(self.updates * self.batch_size, self.num_steps, generator)
        shape = (self.updates, self.batch_size)
        return jax.tree.map(lambda x: x.reshape(*shape, *x.shape[1:]), windows)

    def batch(self, state: Any, x: Any, env_steps: Any) -> tuple[Any, None, None]:
        """Returns a batch as it is."""
        del state, env_steps
        return x, None, None

    def feedback(self, state: Any, drawn: None, extra: Any) -> Any:
        """Returns the replay as it is."""
        del drawn, extra
        return state

    def _stored(self, frame: Any, newest: Any) -> Any:
        """Returns a frame, or its spec, reduced to what the replay stores."""
        if not self.frame_stack:
            return frame
        return frame._replace(
            observation=specs.map_structure(
                lambda leaf, spec: newest(leaf, self.frame_stack) if self._is_stacked(spec) else leaf,
                frame.observation,
                self.frame_spec.observation,
            )
        )

    def _is_stacked(self, spec: specs.TensorSpec) -> bool:
        return len(spec.shape) == 3 and spec.shape[-1] % self.frame_stack == 0


def _newest(images: np.ndarray, size: int) -> np.ndarray:
    return images[..., -(images.shape[-1] // size) :]


def _newest_spec(spec: specs.TensorSpec, size: int) -> specs.TensorSpec:
    return specs.TensorSpec((*spec.shape[:-1], spec.shape[-1] // size), spec.dtype, spec.name)
