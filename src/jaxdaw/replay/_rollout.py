"""RolloutSource: a source for on-policy agents, the latest steps of every environment."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp

from jaxdaw.errors import ConfigError
from jaxdaw.replay._records import WindowIndices
from jaxdaw.replay._source import Prepare
from jaxdaw.replay._uniform import ReplayState, UniformReplay


@dataclasses.dataclass(frozen=True, eq=False)
class RolloutSource:
    """Rollouts for on-policy learning: the last `num_steps` frames of every environment.

    The agent's `prepare` is called once for a rollout `[num_envs, num_steps, ...]`, with the weights that recorded it.
    What it returns is learned from `epochs` times, each time shuffled anew and dealt to `minibatches`. Where there is
    one epoch and one minibatch, nothing is shuffled.

    Args:
      frame_spec: a nest of `TensorSpec`, one frame without batch dimensions.
      num_envs: B, environments that write together.
      num_steps: T, frames of each environment in a rollout; the loop learns after as many steps.
      epochs: passes over a rollout.
      minibatches: batches in a pass.
      by_sequence: whether a batch holds whole rows `[B / minibatches, T, ...]`, as recurrent networks and returns need,
        instead of single frames `[B * T / minibatches, ...]`.
      overlap: frames of the rollout before that `prepare` sees in front of this one: 1 lets it look up the value of the
        observation after the last transition, which a frame does not hold.

    Raises:
      ConfigError: a number below 1, or rows that do not divide evenly.
    """

    frame_spec: Any
    num_envs: int
    num_steps: int
    epochs: int = 1
    minibatches: int = 1
    by_sequence: bool = True
    overlap: int = 0
    on_host = False

    def __post_init__(self):
        for name in ("num_envs", "num_steps", "epochs", "minibatches"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} is outside its range", expected="at least 1", got=str(getattr(self, name)))
        if self.by_sequence and self.num_envs % self.minibatches:
            raise ConfigError(
                "the environments of a rollout cannot be dealt evenly to its minibatches",
                expected=f"num_envs as a multiple of {self.minibatches}",
                got=f"num_envs={self.num_envs}, minibatches={self.minibatches}",
            )
        frames = self.num_envs * self.num_steps  # that `prepare` returns, if it drops those that overlap
        if not self.by_sequence and self.overlap and frames % self.minibatches:
            raise ConfigError(
                "the frames of a rollout cannot be dealt evenly to its minibatches",
                expected=f"num_envs * num_steps as a multiple of {self.minibatches}",
                got=f"{frames} frames",
            )

    @property
    def updates(self) -> int:
        """Batches in a learning phase."""
        return self.epochs * self.minibatches

    @property
    def warm_up(self) -> int:
        """Steps in each environment before the first rollout begins."""
        return self.num_steps if self.overlap else 0

    @property
    def state_axes(self) -> ReplayState:
        """See `UniformReplay.state_axes`."""
        return self._ring.state_axes

    @functools.cached_property
    def _ring(self) -> UniformReplay:
        return UniformReplay(self.frame_spec, self._length * self.num_envs, self.num_envs)

    @property
    def _length(self) -> int:
        return max(self.num_steps + self.overlap, 2)

    def init(self) -> ReplayState:
        """Returns a ring without frames."""
        return self._ring.init()

    def add(self, state: ReplayState, frames: Any) -> ReplayState:
        """Returns the ring with one more frame of every environment in place of the oldest."""
        return self._ring.add(state, frames)

    def draw(self, key: jax.Array, phases: int) -> jax.Array:
        """Returns the key data of each phase, `[phases, 2]` uint32."""
        return jax.random.key_data(jax.random.split(key, phases))

    def batches(self, state: ReplayState, randomness: jax.Array, prepare: Prepare) -> Any:
        """Returns the minibatches of every epoch, leading axis K."""
        first = state.cursor + self._length - self.num_steps - self.overlap  # a ring has 2 steps at least
        starts = WindowIndices(jnp.arange(self.num_envs), jnp.full(self.num_envs, first % self._length))
        rows = prepare(self._ring.gather(state, starts, self.num_steps + self.overlap))
        if self.updates == 1:
            return jax.tree.map(lambda x: x[None], rows)
        if not self.by_sequence:
            rows = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), rows)
        size = jax.tree.leaves(rows)[0].shape[0]
        if size % self.minibatches:
            raise ConfigError(
                "the frames of a rollout cannot be dealt evenly to its minibatches",
                expected=f"num_envs * num_steps as a multiple of {self.minibatches}",
                got=f"{size} frames",
            )
        keys = jax.random.split(jax.random.wrap_key_data(randomness), self.epochs)
        order = jax.vmap(lambda key: jax.random.permutation(key, size))(keys).reshape(self.updates, -1)
        return jax.tree.map(lambda x: x[order], rows)

    def batch(self, state: ReplayState, x: Any, env_steps: Any) -> tuple[Any, None, None]:
        """Returns a minibatch as it is."""
        del state, env_steps
        return x, None, None

    def feedback(self, state: ReplayState, drawn: None, extra: Any) -> ReplayState:
        """Returns the ring as it is."""
        del drawn, extra
        return state
