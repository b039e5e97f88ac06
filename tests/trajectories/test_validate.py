import jax
import numpy as np
import pytest

from jaxdaw import trajectories
from jaxdaw.errors import SpecError

from .test_transitions import stream


def test_a_stream_that_obeys_the_rules_passes():
    trajectories.validate_trajectory(stream(0, 20, 40))


@pytest.mark.parametrize(
    ("field", "value", "text"),
    [
        ("step_type", 7, "FIRST 0, MID 1 or LAST 2"),
        ("reward", np.nan, "a finite reward"),
        ("discount", 1.5, r"\[0, 1\]"),
        ("next_step_type", 0, "FIRST only after LAST|next_step_type of the frame before"),
    ],
)
def test_each_rule_is_enforced_by_name(field, value, text):
    frames = jax.tree.map(np.copy, stream(1, 4, 10))
    frames.step_type[:], frames.next_step_type[:] = 1, 1
    getattr(frames, field)[2, 3] = value
    with pytest.raises(SpecError, match=text):
        trajectories.validate_trajectory(frames)


def test_a_reward_into_a_new_episode_is_refused():
    frames = jax.tree.map(np.copy, stream(1, 40, 20))
    frames.reward[frames.step_type == 2] = 1.0
    with pytest.raises(SpecError, match="0 where a new episode starts"):
        trajectories.validate_trajectory(frames)


def test_time_first_is_recognised():
    frames = stream(2, 6, 6)
    with pytest.raises(SpecError, match=r"\[T, B"):
        trajectories.validate_trajectory(jax.tree.map(lambda x: x.T, frames))
