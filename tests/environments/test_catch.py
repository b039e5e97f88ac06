"""Catch, by hand."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from jaxdaw.environments import Catch
from jaxdaw.environments._catch import CatchWorld
from jaxdaw.trajectories import StepType


def play(environment, column, actions):
    """Returns the steps of one episode with the ball in that column."""
    state, _ = environment.init(jax.random.key(0))
    state = state._replace(world=CatchWorld(jnp.int32(0), jnp.int32(column), jnp.int32(environment.columns // 2)))
    steps = []
    for action in actions:
        state, step = environment.step(state, action)
        steps.append(step)
    return steps


def test_the_ball_is_caught_below_it_and_missed_elsewhere():
    """Paddle in column 2; ball in column 4 lands after 9 actions: two to the right catch it, one does not."""
    for actions, reward in (([2, 2] + [1] * 7, 1.0), ([2] + [1] * 8, -1.0), ([1] * 7 + [2, 2], 1.0)):
        steps = play(Catch(), 4, actions)
        assert [float(step.reward) for step in steps] == [0.0] * 8 + [reward]
        assert [int(step.step_type) for step in steps] == [StepType.MID] * 8 + [StepType.LAST]
        assert steps[-1].discount == 0.0


def test_the_board_shows_ball_and_paddle():
    board = np.asarray(play(Catch(rows=3, columns=3), 0, [0])[0].observation)
    np.testing.assert_array_equal(board, [[0, 0, 0], [1, 0, 0], [1, 0, 0]])


def test_the_paddle_stops_at_the_walls():
    step = play(Catch(rows=5, columns=3), 0, [0, 0, 0, 0])[-1]
    assert step.reward == 1.0


def test_all_columns_are_drawn_alike():
    """5,000 draws over 5 columns: 1,000 each, standard deviation sqrt(5000 * .2 * .8) = 28."""
    states, _ = jax.jit(jax.vmap(Catch().init))(jax.random.split(jax.random.key(1), 5000))
    counts = np.bincount(np.asarray(states.world.ball_column), minlength=5)
    assert np.abs(counts - 1000).max() < 5 * 28
