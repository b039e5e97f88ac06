"""NeuralEpsilonGreedyAgent: reward prediction with epsilon-greedy exploration."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import optax

from jaxdaw.agents._reward_prediction import ErrorLoss, GreedyRewardPredictionAgent
from jaxdaw.agents._state import StepCounter
from jaxdaw.networks import Network
from jaxdaw.policies import Constraint, EpsilonGreedyPolicy, Splitter
from jaxdaw.trajectories import TimeStep


class NeuralEpsilonGreedyAgent(GreedyRewardPredictionAgent):
    """This is GreedyRewardPredictionAgent with: a uniformly random allowed action with probability epsilon.

    `policy` and `collect_policy` are one, and explore; evaluate `agent.policy.greedy()`. The distribution is exact,
    and the log-probability that is recorded is that of the action, which both the greedy and the random draw may give.

    Args:
      time_step_spec, action_spec, reward_network, optimizer: as for `GreedyRewardPredictionAgent`.
      epsilon: in `[0, 1]`: a number, a function without arguments, or a schedule over environment steps.
      observation_and_action_constraint_splitter, error_loss_fn, gradient_clipping, debug_summaries,
        summarize_grads_and_vars, enable_summaries, emit_policy_info, train_step_counter, laplacian_matrix,
        laplacian_smoothing_weight, name, accepts_per_arm_features, constraints, summary_interval, on_nan: as for
        `GreedyRewardPredictionAgent`.

    Raises:
      ValueError: as `GreedyRewardPredictionAgent`, and an epsilon outside `[0, 1]`.
      NotImplementedError: a splitter, and features of arms.

    Examples:
      A context of two numbers, three actions, and a log with the propensity of each decision:

      >>> import numpy as np
      >>> from jaxdaw import networks, specs, trajectories
      >>> context, action = specs.TensorSpec((2,), np.float32), specs.BoundedTensorSpec((), np.int32, 0, 2)
      >>> network = networks.QNetwork(context, action, fc_layer_params=(16,))
      >>> agent = NeuralEpsilonGreedyAgent(
      ...     trajectories.time_step_spec(context), action, network, optax.adam(1e-2), epsilon=0.3,
      ...     emit_policy_info=("log_probability",))
      >>> time_step = trajectories.restart(np.ones((4, 2), np.float32), batch_size=4)
      >>> step = agent.collect_policy.action(time_step, seed=0)
      >>> reward = (step.action == 1).astype(np.float32)
      >>> discount = np.zeros(4, np.float32)
      >>> frames = trajectories.single_step(time_step.observation, step.action, step.info, reward, discount)
      >>> info = agent.train(specs.map_structure(lambda leaf: leaf[:, None], frames))
      >>> info.extra.predicted_reward.shape, int(agent.train_step_counter)
      ((4, 1), 1)
      >>> agent.policy.greedy().distribution(time_step).action.probs.max()
      Array(1., dtype=float32)
    """

    def __init__(
        self,
        time_step_spec: TimeStep,
        action_spec: Any,
        reward_network: Network,
        optimizer: optax.GradientTransformation,
        epsilon: Any,
        observation_and_action_constraint_splitter: Splitter | None = None,
        error_loss_fn: ErrorLoss | None = None,
        gradient_clipping: float | None = None,
        debug_summaries: bool = False,
        summarize_grads_and_vars: bool = False,
        enable_summaries: bool = True,
        emit_policy_info: Sequence[str] = (),
        train_step_counter: StepCounter | None = None,
        laplacian_matrix: Any = None,
        laplacian_smoothing_weight: float = 0.001,
        name: str | None = None,
        *,
        accepts_per_arm_features: bool = False,
        constraints: Sequence[Constraint] = (),
        summary_interval: int = 100,
        on_nan: str = "raise",
    ):
        super().__init__(
            time_step_spec,
            action_spec,
            reward_network,
            optimizer,
            observation_and_action_constraint_splitter=observation_and_action_constraint_splitter,
            error_loss_fn=error_loss_fn,
            gradient_clipping=gradient_clipping,
            debug_summaries=debug_summaries,
            summarize_grads_and_vars=summarize_grads_and_vars,
            enable_summaries=enable_summaries,
            emit_policy_info=emit_policy_info,
            train_step_counter=train_step_counter,
            laplacian_matrix=laplacian_matrix,
            laplacian_smoothing_weight=laplacian_smoothing_weight,
            name=name,
            accepts_per_arm_features=accepts_per_arm_features,
            constraints=constraints,
            explorer=lambda policy: EpsilonGreedyPolicy(policy, epsilon),
            summary_interval=summary_interval,
            on_nan=on_nan,
        )
