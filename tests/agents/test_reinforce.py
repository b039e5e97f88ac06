"""REINFORCE: which frames count, what an episode that was cut is worth, and that it learns. Numbers: tests/golden."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxdaw import networks, specs, trajectories
from jaxdaw.agents import ReinforceAgent
from jaxdaw.errors import ConfigError, SpecError, SpecTypeError
from jaxdaw.trajectories import StepType, Trajectory

OBSERVATION = specs.BoundedTensorSpec((1,), np.float32, -10.0, 10.0)
ACTION = specs.BoundedTensorSpec((), np.int32, 0, 1)
STEP = trajectories.time_step_spec(OBSERVATION)


class Reading(networks.Network):
    """Values that are the observation itself."""

    def __init__(self, *, rngs=0):
        super().__init__(OBSERVATION)
        self.scale = networks.Parameter(1.0)

    def call(self, observation):
        return observation[..., 0] * self.scale.value[...], ()


def make(action=ACTION, value_network=None, optimizer=None, **options):
    actor = networks.ActorDistributionNetwork(OBSERVATION, action, fc_layer_params=None)
    options = {"normalize_returns": False, "gamma": 0.5, **options}
    optimizer = optax.sgd(0.1) if optimizer is None else optimizer
    return ReinforceAgent(STEP, action, actor, optimizer, value_network=value_network, **options)


def frames(step_type, next_step_type, reward, discount, observation):
    """One row."""
    row = [np.asarray([values], np.float32) for values in (reward, discount)]
    types = [np.asarray([values], np.int32) for values in (step_type, next_step_type)]
    action = np.zeros_like(types[0])
    return Trajectory(types[0], np.asarray([observation], np.float32)[..., None], action, (), types[1], *row)


F, M, L = StepType.FIRST, StepType.MID, StepType.LAST
CUT = frames([F, M, L, F, M], [M, L, F, M, M], [1, 2, 9, 4, 5], [1, 1, 1, 1, 1], [1, 2, 3, 4, 5])


def test_an_episode_that_was_cut_is_bootstrapped_where_its_last_observation_is_known():
    for baseline, returns in ((None, [1 + 0.5 * 2, 2]), (Reading(), [1 + 0.5 * 3.5, 2 + 0.5 * 3])):
        agent = make(value_network=baseline, use_advantage_loss=False, value_estimation_loss_coef=0.0)
        log_pi = agent.collect_policy.distribution(CUT.observation[0, :2]).action.log_prob(np.zeros(2, np.int32))
        info = agent.loss(CUT)
        np.testing.assert_allclose(info.extra.policy_gradient_loss, -np.sum(log_pi * np.array(returns)), rtol=1e-5)
    terminated = CUT._replace(discount=np.float32([[1, 0, 1, 1, 1]]))
    agent = make(value_network=Reading(), value_estimation_loss_coef=1.0)
    expected = (1 + 0.5 * 2 - 1) ** 2 + (2 - 2) ** 2  # returns 2 and 2, values 1 and 2
    np.testing.assert_allclose(agent.loss(terminated).extra.value_estimation_loss, expected, rtol=1e-5)


def test_boundaries_and_steps_behind_the_last_end_teach_nothing():
    agent = make(value_network=Reading(), entropy_regularization=0.1, normalize_returns=True)
    spoiled = CUT._replace(
        reward=np.float32([[1, 2, 99, 44, 55]]),
        action=np.int32([[0, 0, 1, 1, 1]]),
        observation=CUT.observation + np.float32([[0, 0, 0, 9, 9]])[..., None],
    )
    np.testing.assert_allclose(agent.loss(spoiled).loss, agent.loss(CUT).loss, rtol=1e-6)


def test_the_policy_does_not_train_the_value_network():
    agent = make(value_network=Reading(), value_estimation_loss_coef=0.0, normalize_returns=True)
    agent.train(CUT)
    assert float(agent.get_state().params["value_network"]["scale"]["value"]) == 1.0


def test_batches_without_an_end_and_transitions_are_refused():
    agent = make()
    endless = CUT._replace(next_step_type=np.int32([[1, 1, 1, 1, 1]]), step_type=np.int32([[0, 1, 1, 1, 1]]))
    with pytest.raises(SpecError, match="no episode ends in this batch"):
        agent.train(endless)
    assert float(agent.train(jax.tree.map(jnp.asarray, endless)).loss) == 0.0  # on the device: nothing is learned
    with pytest.raises(SpecTypeError, match="does not train on Transitions"):
        agent.train(trajectories.to_transition(CUT))
    for wrong in ({"gamma": 1.5}, {"entropy_regularization": -1.0}, {"value_estimation_loss_coef": -1.0}):
        with pytest.raises(ConfigError):
            make(**wrong)


@pytest.mark.parametrize("discrete", [True, False])
def test_actions_that_pay_become_likely(discrete):
    """One decision an episode: 1 is paid for the action 1, or the nearer a number is to 0.5."""
    action = ACTION if discrete else specs.BoundedTensorSpec((), np.float32, -1.0, 1.0)
    agent = make(action, optimizer=optax.adam(0.02), normalize_returns=True, gamma=1.0)
    agent.initialize(seed=0)
    observation, ones = np.ones((64, 1, 1), np.float32), np.ones((64, 1), np.float32)
    for step in range(300):
        taken = agent.collect_policy.action(observation[:, 0], seed=step).action
        reward = (taken == 1) * 1.0 if discrete else -np.square(taken - 0.5)
        kinds = np.full((64, 1), F, np.int32), np.full((64, 1), L, np.int32)
        agent.train(
            Trajectory(kinds[0], observation, taken[:, None], (), kinds[1], np.float32(reward)[:, None], 0.0 * ones)
        )
    chosen = agent.policy.action(observation[0]).action
    np.testing.assert_allclose(chosen, 1 if discrete else 0.5, atol=0.1)
