"""This is PPO with: probability ratios that are clipped, and no penalty on the divergence."""

from __future__ import annotations

from typing import Any

import optax

from jaxdaw.agents._ppo import PPOAgent
from jaxdaw.agents._state import StepCounter
from jaxdaw.networks import Network
from jaxdaw.trajectories import TimeStep


class PPOClipAgent(PPOAgent):
    """This is PPOAgent with: probability ratios clipped to `1 +- importance_ratio_clipping`, and no penalty.

    Args:
      time_step_spec, action_spec, optimizer, actor_net, value_net, greedy_eval: as for `PPOAgent`.
      importance_ratio_clipping: as for `PPOAgent`; 0.2 by default, where the original does not clip.
      lambda_value, discount_factor, entropy_regularization, policy_l2_reg, value_function_l2_reg, shared_vars_l2_reg,
        value_pred_loss_coef, num_epochs, use_gae, use_td_lambda_return, normalize_rewards, reward_norm_clipping,
        normalize_observations, log_prob_clipping, gradient_clipping, value_clipping, check_numerics,
        compute_value_and_advantage_in_train, update_normalizers_in_train, aggregate_losses_across_replicas,
        debug_summaries, summarize_grads_and_vars, train_step_counter, name: as for `PPOAgent`.
      options: the keyword arguments of `PPOAgent` that have no place of their own.

    Raises:
      ValueError: as `PPOAgent`.

    Source: Schulman et al. 2017, section 3.
    """

    def __init__(
        self,
        time_step_spec: TimeStep,
        action_spec: Any,
        optimizer: optax.GradientTransformation | None = None,
        actor_net: Network | None = None,
        value_net: Network | None = None,
        greedy_eval: bool = True,
        importance_ratio_clipping: float | optax.Schedule = 0.2,
        lambda_value: float = 0.95,
        discount_factor: float = 0.99,
        entropy_regularization: float = 0.0,
        policy_l2_reg: float = 0.0,
        value_function_l2_reg: float = 0.0,
        shared_vars_l2_reg: float = 0.0,
        value_pred_loss_coef: float = 0.5,
        num_epochs: int = 25,
        use_gae: bool = False,
        use_td_lambda_return: bool = False,
        normalize_rewards: bool = True,
        reward_norm_clipping: float = 10.0,
        normalize_observations: bool = True,
        log_prob_clipping: float = 0.0,
        gradient_clipping: float | None = None,
        value_clipping: float | None = None,
        check_numerics: bool = False,
        compute_value_and_advantage_in_train: bool = True,
        update_normalizers_in_train: bool = True,
        aggregate_losses_across_replicas: bool = True,
        debug_summaries: bool = False,
        summarize_grads_and_vars: bool = False,
        train_step_counter: StepCounter | None = None,
        name: str | None = "PPOClipAgent",
        **options: Any,
    ):
        super().__init__(
            time_step_spec,
            action_spec,
            optimizer,
            actor_net,
            value_net,
            greedy_eval,
            importance_ratio_clipping,
            lambda_value,
            discount_factor,
            entropy_regularization,
            policy_l2_reg,
            value_function_l2_reg,
            shared_vars_l2_reg,
            value_pred_loss_coef,
            num_epochs,
            use_gae,
            use_td_lambda_return,
            normalize_rewards,
            reward_norm_clipping,
            normalize_observations,
            log_prob_clipping,
            kl_cutoff_factor=0.0,
            kl_cutoff_coef=0.0,
            initial_adaptive_kl_beta=0.0,
            adaptive_kl_target=0.0,
            adaptive_kl_tolerance=0.0,
            gradient_clipping=gradient_clipping,
            value_clipping=value_clipping,
            check_numerics=check_numerics,
            compute_value_and_advantage_in_train=compute_value_and_advantage_in_train,
            update_normalizers_in_train=update_normalizers_in_train,
            aggregate_losses_across_replicas=aggregate_losses_across_replicas,
            debug_summaries=debug_summaries,
            summarize_grads_and_vars=summarize_grads_and_vars,
            train_step_counter=train_step_counter,
            name=name,
            **options,
        )
