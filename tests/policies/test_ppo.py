"""PPOPolicy: what it records beside an action."""

import functools

import numpy as np
import pytest

from jaxdaw import networks, specs, trajectories
from jaxdaw.distributions import Normal
from jaxdaw.errors import ConfigError, SpecError
from jaxdaw.policies import PPOPolicy
from jaxdaw.trajectories import StepType, TimeStep

OBSERVATION = specs.TensorSpec((3,), np.float32)
ACTION = specs.BoundedTensorSpec((2,), np.float32, -1.0, 1.0)
STEP = trajectories.time_step_spec(OBSERVATION)
ROWS = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)


def make(action=ACTION, **options):
    actor = networks.ActorDistributionNetwork(OBSERVATION, action, fc_layer_params=(4,))
    return PPOPolicy(STEP, action, actor, networks.ValueNetwork(OBSERVATION), **options)


def step(step_type, reward, rows=ROWS):
    rows_of = functools.partial(np.full, len(rows))
    return TimeStep(rows_of(step_type, np.int32), rows_of(reward, np.float32), rows_of(1, np.float32), rows)


def test_info_holds_the_parameters_of_the_distribution_that_was_drawn_from():
    policy = make()
    info, distribution = (method(ROWS) for method in (policy.action, policy.distribution))
    assert isinstance(distribution.action, Normal)
    assert set(info.info) == {"dist_params", "value_prediction"}
    np.testing.assert_allclose(info.info["dist_params"]["loc"], distribution.action.loc, rtol=1e-6)
    np.testing.assert_allclose(info.info["dist_params"]["scale"], distribution.action.scale, rtol=1e-6)
    np.testing.assert_allclose(info.info["value_prediction"], policy.value_network(ROWS)[0], rtol=1e-5)
    assert make(compute_value_and_advantage_in_train=True).info_spec.keys() == {"dist_params"}
    assert make(collect=False).info_spec == ()


def test_dist_params_stand_in_the_nest_of_the_actions_for_squashed_and_vector_actions_too():
    actions = {"steer": ACTION, "levers": specs.BoundedTensorSpec((2,), np.int32, 0, 2)}
    squashed = functools.partial(networks.NormalProjection, scale_distribution=True)
    actor = networks.ActorDistributionNetwork(OBSERVATION, actions, continuous_projection_net=squashed)
    policy = PPOPolicy(STEP, actions, actor, networks.ValueNetwork(OBSERVATION))
    params = policy.action(ROWS).info["dist_params"]
    assert {name: {k: v.shape for k, v in part.items()} for name, part in params.items()} == {
        "steer": {"loc": (4, 2), "scale": (4, 2)},
        "levers": {"logits": (4, 2, 3)},
    }


def test_rewards_of_the_episode_so_far_are_summed_up_with_the_discount():
    policy = make(reward_discount=0.5, compute_value_and_advantage_in_train=True)
    state, sums = policy.get_initial_state(4), []
    for kind, reward in ((StepType.FIRST, 0), (StepType.MID, 1), (StepType.LAST, 3), (StepType.FIRST, 0)):
        choice = policy.action(step(kind, reward), state)
        state = choice.state
        sums.append(float(choice.info["discounted_return"][0]))
    assert sums == [0.0, 1.0, 3.5, 0.0]  # 3 + 0.5 * 1; an episode begins with nothing


def test_values_are_predicted_of_normalized_observations_with_memory():
    normalizer = networks.StreamingNormalizer(OBSERVATION)
    normalizer.update(3 * ROWS + 1)
    value = networks.ValueRnnNetwork(OBSERVATION, lstm_size=(4,))
    actor = networks.ActorDistributionNetwork(OBSERVATION, ACTION)
    policy = PPOPolicy(STEP, ACTION, actor, value, normalizer)
    state, frames = policy.get_initial_state(4), np.stack([ROWS, -ROWS], 1)
    predicted = []
    for t, kind in enumerate((StepType.FIRST, StepType.MID)):
        choice = policy.action(step(kind, 0, frames[:, t]), state)
        state = choice.state
        predicted.append(choice.info["value_prediction"])
    expected, _ = value(normalizer(frames)[0], np.array([[0, 1]] * 4, np.int32))
    np.testing.assert_allclose(np.stack(predicted, 1), expected, rtol=1e-5, atol=1e-6)
    assert len(policy.variables()) == sum(len(net.variables) for net in (actor, normalizer, value))


def test_what_records_no_distribution_or_no_value_is_refused():
    actor = networks.ActorNetwork(OBSERVATION, ACTION)
    with pytest.raises(SpecError, match="returns actions, whose probability cannot be changed"):
        PPOPolicy(STEP, ACTION, actor, networks.ValueNetwork(OBSERVATION))
    one = specs.BoundedTensorSpec((), np.int32, 0, 1)
    stochastic = networks.ActorDistributionNetwork(OBSERVATION, one)
    with pytest.raises(SpecError, match="does not return one value for each row"):
        PPOPolicy(STEP, one, stochastic, networks.QNetwork(OBSERVATION, one))
    for pair in ((None, networks.ValueNetwork(OBSERVATION)), (stochastic, None)):
        with pytest.raises(ConfigError, match="is not a Network"):
            PPOPolicy(STEP, one, *pair)
