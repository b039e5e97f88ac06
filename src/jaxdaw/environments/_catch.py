"""Catch: move a paddle below a falling ball; a pure environment."""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxdaw import specs
from jaxdaw.environments._episodic import EpisodicEnvironment, below


class CatchWorld(NamedTuple):
    """Positions of the ball and the paddle.

    Attributes:
      ball_row: `[]` int32, 0 at the top.
      ball_column: `[]` int32.
      paddle: `[]` int32, its column in the bottom row.
    """

    ball_row: jax.Array
    ball_column: jax.Array
    paddle: jax.Array


@dataclasses.dataclass(frozen=True)
class Catch(EpisodicEnvironment):
    """Catch the falling ball: reward 1 if the paddle is below it at the end, -1 if not, 0 on the way.

    Every episode takes `rows - 1` actions and terminates. The ball starts in a random column, the paddle in the middle.
    The best policy returns 1; a random one about -0.6 on the default board.

    Observation: float32 `[rows, columns]`, 1 at the ball and at the paddle. Action: 0 left, 1 stay, 2 right.

    Args:
      rows: at least 2.
      columns: at least 1.
      max_episode_steps: after which an episode is cut; None cuts never.

    Source: Mnih et al. 2014, "Recurrent models of visual attention"; bsuite `catch`.

    >>> state, time_step = Catch().init(jax.random.key(0))
    >>> time_step.observation[-1]
    Array([0., 0., 1., 0., 0.], dtype=float32)
    """

    rows: int = 10
    columns: int = 5
    max_episode_steps: int | None = None
    random_words: ClassVar[int] = 1

    @property
    def observation_spec(self) -> specs.BoundedTensorSpec:
        """float32 `[rows, columns]`, 0 or 1."""
        return specs.BoundedTensorSpec((self.rows, self.columns), np.float32, 0, 1, "observation")

    @property
    def action_spec(self) -> specs.BoundedTensorSpec:
        """int32, 0 to 2."""
        return specs.BoundedTensorSpec((), np.int32, 0, 2, "action")

    def start(self, words: jax.Array) -> CatchWorld:
        """Returns the ball at the top, in a random column."""
        middle = jnp.full((), self.columns // 2, jnp.int32)
        return CatchWorld(jnp.zeros((), jnp.int32), below(words[0], self.columns), middle)

    def advance(self, world: CatchWorld, action: Any) -> tuple[CatchWorld, jax.Array, jax.Array]:
        """Returns the ball one row lower, and the reward once it is in the paddle's row."""
        paddle = jnp.clip(world.paddle + jnp.asarray(action, jnp.int32) - 1, 0, self.columns - 1)
        ball_row = world.ball_row + 1
        landed = ball_row == self.rows - 1
        reward = jnp.where(landed, jnp.where(paddle == world.ball_column, 1.0, -1.0), 0.0)
        return CatchWorld(ball_row, world.ball_column, paddle), reward, landed

    def observe(self, world: CatchWorld) -> jax.Array:
        """Returns the board."""
        row, column = jnp.arange(self.rows)[:, None], jnp.arange(self.columns)
        ball = (row == world.ball_row) & (column == world.ball_column)
        paddle = (row == self.rows - 1) & (column == world.paddle)
        return (ball | paddle).astype(jnp.float32)
