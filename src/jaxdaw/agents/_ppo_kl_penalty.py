"""This is PPO with: a penalty on the divergence from the old policy, and ratios that are not clipped."""

from __future__ import annotations

from typing import Any

import optax

from jaxdaw.agents._ppo import PPOAgent
from jaxdaw.agents._state import StepCounter
from jaxdaw.networks import Network
from jaxdaw.trajectories import TimeStep


class PPOKLPenaltyAgent(PPOAgent):
    """This is PPOAgent with: a penalty `beta KL(old || new)` in place of clipped ratios, whose beta adapts itself.

    After each `train`, beta is divided by 1.5 where the divergence is below `adaptive_kl_target` by more than the
    tolerance, and multiplied by 1.5 where it is above.

    Args:
      time_step_spec, action_spec, actor_net, value_net, num_epochs, initial_adaptive_kl_beta, adaptive_kl_target,
        adaptive_kl_tolerance, optimizer: as for `PPOAgent`.
      use_gae, use_td_lambda_return, normalize_observations, reward_norm_clipping, kl_cutoff_coef, kl_cutoff_factor: as
        for `PPOAgent`, with other defaults; None is no cutoff.
      lambda_value, discount_factor, value_pred_loss_coef, entropy_regularization, policy_l2_reg, value_function_l2_reg,
        shared_vars_l2_reg, normalize_rewards, log_prob_clipping, gradient_clipping, value_clipping, check_numerics,
        compute_value_and_advantage_in_train, update_normalizers_in_train, aggregate_losses_across_replicas,
        debug_summaries, summarize_grads_and_vars, train_step_counter, name: as for `PPOAgent`.
      options: the keyword arguments of `PPOAgent` that have no place of their own.

    Raises:
      ValueError: as `PPOAgent`.

    Source: Schulman et al. 2017, section 4.
    """

    def __init__(
        self,
        time_step_spec: TimeStep,
        action_spec: Any,
        actor_net: Network,
        value_net: Network,
        num_epochs: int,
        initial_adaptive_kl_beta: float,
        adaptive_kl_target: float,
        adaptive_kl_tolerance: float,
        optimizer: optax.GradientTransformation | None = None,
        use_gae: bool = True,
        use_td_lambda_return: bool = True,
        lambda_value: float = 0.95,
        discount_factor: float = 0.99,
        value_pred_loss_coef: float = 0.5,
        entropy_regularization: float = 0.0,
        policy_l2_reg: float = 0.0,
        value_function_l2_reg: float = 0.0,
        shared_vars_l2_reg: float = 0.0,
        normalize_observations: bool = False,
        normalize_rewards: bool = True,
        reward_norm_clipping: float = 0.0,
        log_prob_clipping: float = 0.0,
        gradient_clipping: float | None = None,
        value_clipping: float | None = None,
        kl_cutoff_coef: float = 0.0,
        kl_cutoff_factor: float | None = None,
        check_numerics: bool = False,
        debug_summaries: bool = False,
        compute_value_and_advantage_in_train: bool = True,
        update_normalizers_in_train: bool = True,
        aggregate_losses_across_replicas: bool = True,
        summarize_grads_and_vars: bool = False,
        train_step_counter: StepCounter | None = None,
        name: str | None = None,
        **options: Any,
    ):
        super().__init__(
            time_step_spec,
            action_spec,
            optimizer,
            actor_net,
            value_net,
            importance_ratio_clipping=0.0,
            num_epochs=num_epochs,
            initial_adaptive_kl_beta=initial_adaptive_kl_beta,
            adaptive_kl_target=adaptive_kl_target,
            adaptive_kl_tolerance=adaptive_kl_tolerance,
            use_gae=use_gae,
            use_td_lambda_return=use_td_lambda_return,
            lambda_value=lambda_value,
            discount_factor=discount_factor,
            value_pred_loss_coef=value_pred_loss_coef,
            entropy_regularization=entropy_regularization,
            policy_l2_reg=policy_l2_reg,
            value_function_l2_reg=value_function_l2_reg,
            shared_vars_l2_reg=shared_vars_l2_reg,
            normalize_observations=normalize_observations,
            normalize_rewards=normalize_rewards,
            reward_norm_clipping=reward_norm_clipping,
            log_prob_clipping=log_prob_clipping,
            gradient_clipping=gradient_clipping,
            value_clipping=value_clipping,
            kl_cutoff_coef=kl_cutoff_coef,
            kl_cutoff_factor=kl_cutoff_factor,
            check_numerics=check_numerics,
            debug_summaries=debug_summaries,
            compute_value_and_advantage_in_train=compute_value_and_advantage_in_train,
            update_normalizers_in_train=update_normalizers_in_train,
            aggregate_losses_across_replicas=aggregate_losses_across_replicas,
            summarize_grads_and_vars=summarize_grads_and_vars,
            train_step_counter=train_step_counter,
            name=name,
            **options,
        )
