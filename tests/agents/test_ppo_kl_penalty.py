"""PPOKLPenaltyAgent is PPOAgent with a penalty whose weight adapts."""

import numpy as np
import optax
import pytest

from jaxdaw import networks
from jaxdaw.agents import PPOKLPenaltyAgent

from .test_ppo import ACTION, CUT, OBSERVATION, STEP, Reading
from .test_ppo_clip import even_chances


def make(**options):
    actor = networks.ActorDistributionNetwork(OBSERVATION, ACTION, fc_layer_params=None)
    penalty = {"initial_adaptive_kl_beta": 2.0, "adaptive_kl_target": 0.01, "adaptive_kl_tolerance": 0.3, **options}
    return PPOKLPenaltyAgent(STEP, ACTION, actor, Reading(), 1, optimizer=optax.sgd(0.0), **penalty)


def recorded(logit):
    return CUT._replace(policy_info={"dist_params": {"logits": np.tile(np.float32([logit, 0.0]), (1, 6, 1))}})


def divergence(agent, logit):
    """KL of the recorded policy from the agent's, at the frames that count."""
    old = np.exp([logit, 0.0]) / np.sum(np.exp([logit, 0.0]))
    probs = np.asarray(agent.collect_policy.distribution(CUT.observation[0, [0, 1, 3, 4]]).action.probs, float)
    return np.mean(np.sum(old * np.log(old / probs), -1))


def test_the_penalty_is_beta_times_the_divergence_and_its_default_works():
    agent = make()
    info = agent.loss(recorded(2.0))
    np.testing.assert_allclose(info.extra.kl_penalty_loss, 2.0 * divergence(agent, 2.0), rtol=1e-4)
    assert float(info.extra.clip_fraction) == 0.0


@pytest.mark.parametrize(("logit", "factor"), [(2.0, 1.5), (None, 1 / 1.5)])
def test_beta_follows_the_divergence_once_for_each_train(logit, factor):
    agent = make()
    even_chances(agent)
    agent.train(CUT if logit is None else recorded(logit))
    np.testing.assert_allclose(agent.adaptive_kl_beta, 2.0 * factor, rtol=1e-6)


def test_the_cutoff_is_the_squared_excess():
    agent = make(kl_cutoff_factor=2.0, kl_cutoff_coef=10.0)
    far = divergence(agent, 2.0)
    expected = 2.0 * far + 10.0 * (far - 2.0 * 0.01) ** 2
    np.testing.assert_allclose(agent.loss(recorded(2.0)).extra.kl_penalty_loss, expected, rtol=1e-4)
