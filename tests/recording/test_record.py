import numpy as np
import pytest
from PIL import Image

from jaxdaw import environments
from jaxdaw.errors import ConfigError
from jaxdaw.policies import RandomPolicy
from jaxdaw.recording import play, record


@pytest.fixture
def policy():
    world = environments.make("CartPole-v1")
    return RandomPolicy(world.time_step_spec(), world.action_spec)


def test_a_gif_has_a_frame_for_every_step_and_needs_no_display(policy, tmp_path):
    returns = list(play(policy, "CartPole-v1", episodes=1, seed=3, render_mode="none"))
    path = record(policy, "CartPole-v1", tmp_path / "video.gif", seed=3)
    with Image.open(path) as picture:
        steps = int(returns[0])
        assert steps - 2 <= picture.n_frames <= steps + 1  # one more than steps; equal neighbours are stored once
        assert np.asarray(picture.convert("RGB")).std() > 1


def test_an_mp4_is_written(policy, tmp_path):
    assert record(policy, "jax:CartPole-v1", tmp_path / "video.mp4").stat().st_size > 1_000


def test_what_cannot_be_recorded_is_said(policy, tmp_path):
    with pytest.raises(ConfigError, match=r"\.gif or \.mp4"):
        record(policy, "CartPole-v1", tmp_path / "video.avi")


def test_play_gives_the_return_of_every_episode(policy):
    assert len(list(play(policy, "CartPole-v1", episodes=3, render_mode="none"))) == 3
