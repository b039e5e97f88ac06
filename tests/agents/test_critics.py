"""What agents with critics share: which actions they take, and which frames count."""

import numpy as np
import optax
import pytest

from jaxdaw import specs
from jaxdaw.agents import SacAgent, check_bounded_floats
from jaxdaw.agents._critics import check_critic, mean_of_real
from jaxdaw.agents._target_networks import check_apart
from jaxdaw.errors import ConfigError, SpecError
from jaxdaw.networks import ActorDistributionNetwork, CriticNetwork, QNetwork, TanhNormalProjection
from jaxdaw.trajectories import time_step_spec

SEEN = specs.TensorSpec((3,), np.float32)
STEER = specs.BoundedTensorSpec((2,), np.float32, -1.0, 1.0)
GEAR = specs.BoundedTensorSpec((), np.int32, 0, 3)


@pytest.mark.parametrize(
    ("spec", "text"),
    [
        ({"steer": STEER, "gear": GEAR}, r"TD3 acts by floats at \['gear'\]"),
        (specs.BoundedTensorSpec((2,), np.float32, [-1, 0], [1, 0]), "an element with a single value"),
        ((), "needs an action"),
    ],
)
def test_actions_that_no_critic_learns_are_refused(spec, text):
    check_bounded_floats({"steer": STEER}, "TD3")
    with pytest.raises(SpecError, match=text):
        check_bounded_floats(spec, "TD3")


def test_a_critic_gives_one_value_to_an_observation_and_an_action():
    check_critic("critic_network", CriticNetwork((SEEN, STEER)), SEEN, STEER)
    with pytest.raises(ConfigError, match="critic_network"):
        check_critic("critic_network", None, SEEN, STEER)
    with pytest.raises(SpecError):
        check_critic("critic_network", CriticNetwork((SEEN, STEER)), SEEN, specs.TensorSpec((1,), np.float32))
    with pytest.raises(SpecError):
        check_critic("critic_network", QNetwork(SEEN, GEAR), SEEN, STEER)


def test_boundary_frames_count_in_no_mean_and_sequences_are_rows():
    nan = np.nan
    rows = mean_of_real(np.float32([1, nan, 4]), np.array([True, False, True]), (), {}, {})
    np.testing.assert_array_equal(rows.per_example, [1, 0, 4])
    assert rows.count == 2
    sequences = mean_of_real(
        np.float32([[1, nan, 4], [nan] * 3]), np.array([[True, False, True], [False] * 3]), (), {}, {}
    )
    np.testing.assert_array_equal(sequences.per_example, [5, 0])
    assert sequences.count == 1
    nothing = mean_of_real(np.float32([nan]), np.array([False]), (), {}, {})
    assert (float(nothing.per_example[0]), int(nothing.count)) == (0.0, 1)


def test_one_network_in_two_roles_is_refused():
    """The two would be one in the shown state, and one of them would be lost at each step."""
    critic, target = (CriticNetwork((SEEN, STEER), joint_fc_layer_params=(4,)) for _ in range(2))
    check_apart({"critic_network": critic, "target_critic_network": target})
    with pytest.raises(ConfigError, match="critic_network_2 shares weights with critic_network"):
        check_apart({"critic_network": critic, "critic_network_2": critic})
    actor = ActorDistributionNetwork(SEEN, STEER, fc_layer_params=(4,), continuous_projection_net=TanhNormalProjection)
    with pytest.raises(ConfigError, match="shares weights with"):
        SacAgent(
            time_step_spec(SEEN), STEER, critic, actor, *(optax.adam(1e-3) for _ in range(3)), gamma=0.9,
            target_update_tau=0.1, target_critic_network=target, target_critic_network_2=target,
        )  # fmt: skip
