"""PPOClipAgent is PPOAgent with clipped ratios and without a penalty."""

import copy
import inspect

import numpy as np
import optax
import pytest

from jaxdaw import networks
from jaxdaw.agents import PPOAgent, PPOClipAgent

from .test_ppo import ACTION, CUT, OBSERVATION, STEP, Reading


def make(**options):
    actor = networks.ActorDistributionNetwork(OBSERVATION, ACTION, fc_layer_params=None)
    options = {"num_epochs": 1, "normalize_observations": False, "normalize_rewards": False, **options}
    return PPOClipAgent(STEP, ACTION, optax.sgd(1e-6), actor, Reading(), **options)


def even_chances(agent):
    kernel = agent.actor_net.trainable_variables[0]
    kernel.set_value(0 * kernel.get_value())


def test_ratios_are_clipped_at_a_fifth_by_default():
    moved = CUT._replace(policy_info={"dist_params": {"logits": np.tile(np.float32([-2.0, 2.0]), (1, 6, 1))}})
    agents = [make(), make(importance_ratio_clipping=0.2), make(importance_ratio_clipping=0.0)]
    losses = [agent.loss(moved).extra for agent in agents]
    assert losses[0].policy_gradient_loss == losses[1].policy_gradient_loss != losses[2].policy_gradient_loss
    assert [float(loss.clip_fraction) for loss in losses] == [1.0, 1.0, 0.0]  # the old policy chose 0 with 2 %
    assert [float(loss.kl_penalty_loss) for loss in losses] == [0.0] * 3


def test_log_prob_clipping_of_new_probabilities_is_honoured():
    """Even chances, -0.69, become exp(-0.5), 0.61 in place of 0.5 before."""
    ratio = np.exp(-0.5) / 0.5
    agent = make(log_prob_clipping=0.5, normalize_advantages=False, use_gae=True)
    rows = agent.prepare(agent.get_state(), CUT)
    gain = np.asarray(rows.advantage)[0, [0, 1, 3, 4]]
    expected = -np.mean(np.minimum(ratio * gain, min(ratio, 1.2) * gain))
    even_chances(agent)
    np.testing.assert_allclose(agent.loss(CUT).extra.policy_gradient_loss, expected, rtol=1e-5)


def test_a_schedule_of_the_clipping_is_read_at_the_train_step():
    agent = make(importance_ratio_clipping=optax.linear_schedule(0.5, 0.0, 2))
    even_chances(agent)
    moved = CUT._replace(policy_info={"dist_params": {"logits": np.tile(np.float32([-0.5, 0.0]), (1, 6, 1))}})
    shares = [float(agent.train(moved).extra.clip_fraction) for _ in range(2)]  # ratios of 0.5 / 0.38
    assert shares == [0.0, 1.0]


def test_a_copy_has_the_same_options_and_weights_of_its_own():
    agent = make(target_kl=1e-9)
    twin = copy.deepcopy(agent)
    assert twin.constructor_arguments()["options"] == {"target_kl": 1e-9}
    assert float(agent.train(CUT).loss) == float(twin.train(CUT).loss)


def test_arguments_stand_in_the_original_s_order_and_the_penalty_s_are_refused():
    names = [list(inspect.signature(kind).parameters) for kind in (PPOAgent, PPOClipAgent)]
    penalty = ("kl_cutoff_factor", "kl_cutoff_coef", "initial_adaptive_kl_beta", "adaptive_kl_target")
    ours = [name for name in names[0] if name not in (*penalty, "adaptive_kl_tolerance")]
    assert names[1][: len(names[1]) - 1] == ours[: len(names[1]) - 1]
    with pytest.raises(TypeError, match="adaptive_kl_target"):
        make(adaptive_kl_target=0.1)
