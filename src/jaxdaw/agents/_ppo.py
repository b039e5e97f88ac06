"""PPO: proximal policy optimization, by clipped probability ratios, by a penalty on the divergence, or by both."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from jaxdaw.agents._actor_critic import ActorCritic, PreparedFrames
from jaxdaw.agents._checks import check_range
from jaxdaw.agents._guard import step_unless_refused
from jaxdaw.agents._state import AgentState, BatchLoss, StepCounter
from jaxdaw.agents._summaries import named_leaves
from jaxdaw.distributions import Joint, is_distribution, kl_divergence, parameters_of, with_parameters
from jaxdaw.networks import Network, Weights
from jaxdaw.policies import Splitter
from jaxdaw.trajectories import LossInfo, StepType, TimeStep, Trajectory

_MAY_BE_NONE = ("kl_cutoff_factor", "gradient_clipping", "value_clipping")


class PPOLossInfo(NamedTuple):
    """The parts of PPO's loss, each `[]`, whose sum is the loss; and how far the policy has moved.

    `clip_fraction` is the share of frames whose ratio is clipped; `approx_kl` is the mean of `(r - 1) - log r` for the
    ratio r, an estimate of `KL(old || new)` from the actions taken.
    """

    policy_gradient_loss: Any
    value_estimation_loss: Any
    l2_regularization_loss: Any
    entropy_regularization_loss: Any
    kl_penalty_loss: Any
    clip_fraction: Any
    approx_kl: Any = ()


class PPOMemory(NamedTuple):
    """What PPO keeps beside its networks.

    Attributes:
      adaptive_kl_beta: `[]` float32, the weight of the divergence.
      stopped: `[]` bool, whether the rest of this rollout is passed over, for the policy has moved far enough.
    """

    adaptive_kl_beta: Any
    stopped: Any


class PPOAgent(ActorCritic):
    """Goes over a rollout several times, and keeps the new policy near the one that recorded it.

    Learns from frames `[B, T, ...]`, of which the last in each row only lends its value; boundary frames do not count.
    With the probability ratio `r` of an action under the new policy and the old one, the normalized advantage `A`, the
    return `G`, the new value `v` and means over the frames that count, weighted, the loss is

    ```text
    -mean min(r A, clip(r, 1 - eps, 1 + eps) A)
        +  value_pred_loss_coef mean (G - v)^2  -  entropy_regularization mean H
        +  beta K + kl_cutoff_coef max(0, K - kl_cutoff_factor adaptive_kl_target)^2,    K = mean KL(old || new)
    ```

    An episode that was cut by a time limit is bootstrapped with the value of its last observation.

    `train` goes over its batch `num_epochs` times as a whole, then adapts beta and moves the normalizers. A training
    loop calls `prepare` once for a rollout, `update` for each minibatch of what it returned, and `finish` at the end.

    Args:
      time_step_spec: a TimeStep of specs.
      action_spec: a nest of BoundedTensorSpec.
      optimizer: an optax transformation, for both networks.
      actor_net: `network(observation, step_type, state) -> (distributions, state)`, in the nest of the actions.
      value_net: `network(observation, step_type, state) -> (values [B, T], state)`.
      greedy_eval: whether `policy` takes the mode; False draws.
      importance_ratio_clipping: eps, at least 0; 0 does not clip. Also a schedule over train steps.
      lambda_value: in `[0, 1]`, of generalized advantages.
      discount_factor: in `[0, 1]`.
      entropy_regularization: the weight of the entropy, at least 0.
      policy_l2_reg, value_function_l2_reg: the weight of the squared kernels of each network.
      shared_vars_l2_reg: 0: the networks share no variables here.
      value_pred_loss_coef: the weight of the value network's squared error, at least 0.
      num_epochs: passes of `train` over its batch.
      use_gae: whether advantages are generalized; False takes the return minus the value.
      use_td_lambda_return: with `use_gae`, whether the return is the advantage plus the value.
      normalize_rewards: whether rewards are divided by a running deviation, see `reward_normalization`.
      reward_norm_clipping: bound of normalized rewards; 0 for none.
      normalize_observations: whether both networks are given observations of mean 0 and deviation 1.
      log_prob_clipping: bound of the new log-probabilities; 0 for none.
      kl_cutoff_factor: times `adaptive_kl_target` gives the divergence from which the cutoff acts; 0 for no cutoff.
      kl_cutoff_coef: weight of the cutoff; 0 for none.
      initial_adaptive_kl_beta: beta at first; 0 for no penalty.
      adaptive_kl_target: the divergence for which beta is adapted, in nats.
      adaptive_kl_tolerance: the share of it by which the divergence may differ before beta changes by 1.5.
      gradient_clipping: the norm of all gradients together is scaled to at most this; None or 0 for none.
      value_clipping: how far a new value may be from the old one before its error counts as there; None or 0 for none.
      check_numerics: has no effect: steps that are not finite are always refused, see `on_nan`.
      compute_value_and_advantage_in_train: False records values while collecting, and `train` takes what
        `preprocess_sequence` returns.
      update_normalizers_in_train: False leaves the normalizers to `update_observation_normalizer` and
        `update_reward_normalizer`.
      aggregate_losses_across_replicas: has no effect on one device.
      debug_summaries: whether to summarise the parts of the loss.
      summarize_grads_and_vars: whether to summarise gradients and variables.
      train_step_counter: a StepCounter to share; None makes one of its own.
      name: defaults to the class name.
      observation_and_action_constraint_splitter: `observation -> (network_observation, mask)`, or None; it comes before
        the normalizer.
      normalize_advantages: whether the advantages of a batch are brought to mean 0 and deviation 1.
      reward_normalization: "reward" divides by the deviation of rewards, as documented; "return" by that of discounted
        sums of rewards.
      target_kl: minibatches of a rollout are passed over once `approx_kl` is above 1.5 times this; None for never.
      enable_summaries: False turns both kinds of summaries off.
      summary_interval: train steps between two summaries.
      on_nan: what `train` does about steps refused as not finite: "raise", "skip" or "ignore", see `Agent`.

    Raises:
      ValueError: a network whose output is not the actions' or not a value, a number outside its range.

    Source: Schulman et al. 2017; Schulman et al. 2016 (advantages). `docs/differences.md` lists where the original is
    not followed.
    """

    def __init__(
        self,
        time_step_spec: TimeStep,
        action_spec: Any,
        optimizer: optax.GradientTransformation | None = None,
        actor_net: Network | None = None,
        value_net: Network | None = None,
        greedy_eval: bool = True,
        importance_ratio_clipping: float | optax.Schedule = 0.0,
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
        kl_cutoff_factor: float | None = 2.0,
        kl_cutoff_coef: float = 1000.0,
        initial_adaptive_kl_beta: float = 1.0,
        adaptive_kl_target: float = 0.01,
        adaptive_kl_tolerance: float = 0.3,
        gradient_clipping: float | None = None,
        value_clipping: float | None = None,
        check_numerics: bool = False,
        compute_value_and_advantage_in_train: bool = True,
        update_normalizers_in_train: bool = True,
        aggregate_losses_across_replicas: bool = True,
        debug_summaries: bool = False,
        summarize_grads_and_vars: bool = False,
        train_step_counter: StepCounter | None = None,
        name: str | None = None,
        *,
        observation_and_action_constraint_splitter: Splitter | None = None,
        normalize_advantages: bool = True,
        reward_normalization: str = "reward",
        target_kl: float | None = None,
        enable_summaries: bool = True,
        summary_interval: int = 100,
        on_nan: str = "raise",
    ):
        del check_numerics, aggregate_losses_across_replicas
        at_least_0 = {
            "entropy_regularization": entropy_regularization,
            "policy_l2_reg": policy_l2_reg,
            "value_function_l2_reg": value_function_l2_reg,
            "value_pred_loss_coef": value_pred_loss_coef,
            "reward_norm_clipping": reward_norm_clipping,
            "log_prob_clipping": log_prob_clipping,
            "kl_cutoff_factor": kl_cutoff_factor,
            "kl_cutoff_coef": kl_cutoff_coef,
            "initial_adaptive_kl_beta": initial_adaptive_kl_beta,
            "adaptive_kl_target": adaptive_kl_target,
            "adaptive_kl_tolerance": adaptive_kl_tolerance,
            "gradient_clipping": gradient_clipping,
            "value_clipping": value_clipping,
        }
        for label, number in at_least_0.items():
            check_range(label, number, 0.0, math.inf, optional=label in _MAY_BE_NONE)
        if not callable(importance_ratio_clipping):
            check_range("importance_ratio_clipping", importance_ratio_clipping, 0.0, math.inf)
        check_range("num_epochs", num_epochs, 1, math.inf, integer=True)
        check_range("target_kl", target_kl, 0.0, math.inf, low_open=True, optional=True)
        check_range("shared_vars_l2_reg", shared_vars_l2_reg, 0.0, 0.0)  # the networks share no variables
        self._ratio_clipping = _schedule(importance_ratio_clipping)
        self._entropy_coef, self._value_coef = float(entropy_regularization), float(value_pred_loss_coef)
        self._l2 = {"actor_network": policy_l2_reg, "value_network": value_function_l2_reg}
        self._num_epochs = int(num_epochs)
        self._log_prob_clipping, self._value_clipping = log_prob_clipping, value_clipping or 0.0
        self._kl_cutoff = (kl_cutoff_factor or 0.0) * adaptive_kl_target
        self._kl_cutoff_coef = kl_cutoff_coef if kl_cutoff_factor else 0.0
        self._initial_beta, self._kl_target = float(initial_adaptive_kl_beta), float(adaptive_kl_target)
        self._kl_tolerance, self._stop_kl = adaptive_kl_tolerance, target_kl
        self._normalize_advantages = normalize_advantages
        super().__init__(
            time_step_spec,
            action_spec,
            optimizer,
            actor_net,
            value_net,
            greedy_eval=greedy_eval,
            discount_factor=discount_factor,
            lambda_value=lambda_value,
            use_gae=use_gae,
            use_td_lambda_return=use_td_lambda_return,
            normalize_rewards=normalize_rewards,
            reward_norm_clipping=reward_norm_clipping,
            reward_normalization=reward_normalization,
            normalize_observations=normalize_observations,
            update_normalizers_in_train=update_normalizers_in_train,
            compute_value_and_advantage_in_train=compute_value_and_advantage_in_train,
            gradient_clipping=gradient_clipping,
            observation_and_action_constraint_splitter=observation_and_action_constraint_splitter,
            debug_summaries=debug_summaries,
            summarize_grads_and_vars=summarize_grads_and_vars,
            enable_summaries=enable_summaries,
            summary_interval=summary_interval,
            train_step_counter=train_step_counter,
            on_nan=on_nan,
            name=name,
        )

    def init_memory(self, weights: dict[str, Weights], fresh: bool) -> PPOMemory:
        """Returns the beta that training begins with."""
        del weights, fresh
        return PPOMemory(jnp.float32(self._initial_beta), jnp.zeros((), bool))

    def learn(self, state: AgentState, experience: Any, weights: Any, key: jax.Array) -> tuple[AgentState, LossInfo]:
        """Returns the state after one step on `PreparedFrames`, or after `num_epochs` on a whole Trajectory; pure."""
        del key
        if isinstance(experience, PreparedFrames):
            return self._step(state, experience, weights)
        rows, weights = self._rows(state, experience), self._row_weights(weights)

        def epoch(state: AgentState, _: Any) -> tuple[AgentState, LossInfo]:
            stepped, info = self._step(state, rows, weights)
            return stepped._replace(train_step=state.train_step + 1), info

        state, infos = jax.lax.scan(epoch, state, length=self._num_epochs)
        last: LossInfo = jax.tree.map(lambda x: x[-1], infos)
        loss = jnp.where(jnp.all(jnp.isfinite(infos.loss)), last.loss, jnp.nan)
        state = self._adapted(state, rows, weights)
        if self._updates_normalizers:  # by the last frame of each row too: it is in no other batch
            state = self._moved(state, experience)
        return state, last._replace(loss=loss)

    def finish(self, state: AgentState, rollout: PreparedFrames, weights: Any = None) -> AgentState:
        """Returns the state with beta adapted to a rollout, and the normalizers moved by it; pure."""
        return super().finish(self._adapted(state, rollout, weights), rollout)

    def _adapted(self, state: AgentState, rows: PreparedFrames, weights: Any) -> AgentState:
        beta = state.memory.adaptive_kl_beta
        if self._initial_beta:
            batch = self._loss(state.params, state, rows, weights, training=False)
            divergence = batch.debug["Losses/kl_divergence"]
            low, high = (self._kl_target * (1.0 + sign * self._kl_tolerance) for sign in (-1, 1))
            factor = jnp.where(divergence < low, 1 / 1.5, jnp.where(divergence > high, 1.5, 1.0))
            beta = jnp.clip(beta * factor, 1e-15, 1e17)
        return state._replace(memory=PPOMemory(beta, jnp.zeros((), bool)))

    def _step(self, state: AgentState, rows: PreparedFrames, weights: Any) -> tuple[AgentState, LossInfo]:
        stepped, info = self.minimise(state, "optimizer", lambda params: self._loss(params, state, rows, weights, True))
        if self._stop_kl is not None:
            stop = state.memory.stopped | (info.extra.approx_kl > 1.5 * self._stop_kl)
            moved, still = (part._replace(summaries={}) for part in (stepped, state))
            kept = step_unless_refused(~stop, moved, still)
            stepped = kept._replace(summaries=stepped.summaries, memory=state.memory._replace(stopped=stop))
        return stepped, info

    def _rows(self, state: AgentState, experience: Trajectory) -> PreparedFrames:
        if self._computes_in_train:
            return self.prepare(state, experience)
        info = experience.policy_info
        return PreparedFrames(experience, info["return"], info["advantage"], info["value_prediction"])

    def _row_weights(self, weights: Any) -> Any:
        if weights is None or jnp.ndim(weights) < 2 or not self._computes_in_train:
            return weights
        return weights[:, :-1]  # of the frames that `prepare` keeps

    def steps_in(self, experience: Any) -> int:
        """Returns 1 for a minibatch, and `num_epochs` for a Trajectory."""
        return 1 if isinstance(experience, PreparedFrames) else self._num_epochs

    def loss_info(self, state: AgentState, experience: Any, weights: Any = None, training: bool = False) -> LossInfo:
        """Returns the loss of the first epoch, in its parts; pure."""
        rows, weights = self._rows(state, experience), self._row_weights(weights)
        batch = self._loss(state.params, state, rows, weights, training)
        return LossInfo(loss=self.weighted_loss(state.params, batch), extra=batch.extra)

    def _loss(self, params: Any, state: AgentState, rows: PreparedFrames, weights: Any, training: bool) -> BatchLoss:
        """Returns the loss of frames, already weighted: the cutoff is not a sum over examples; pure."""
        counts = rows.frames.step_type != StepType.LAST
        count = jnp.maximum(jnp.sum(counts), 1)
        weight = jnp.ones(()) if weights is None else jnp.asarray(weights)
        weight = jnp.where(counts, weight.reshape(*weight.shape, *(1,) * (counts.ndim - weight.ndim)), 0.0)

        distributions, actor_rest = self._distributions(state, params, rows.frames, training)
        value, value_rest = self._values(state, params, rows.frames, training)
        new, old = Joint(distributions), Joint(self._recorded(distributions, rows.frames, counts))
        log_prob = new.log_prob(rows.frames.action)
        if self._log_prob_clipping:
            log_prob = jnp.clip(log_prob, -self._log_prob_clipping, self._log_prob_clipping)
        log_ratio = jnp.where(counts, log_prob - old.log_prob(rows.frames.action), 0.0)
        ratio, clipping = jnp.exp(log_ratio), self._ratio_clipping(state.train_step)
        advantage = _standardized(rows.advantage, counts) if self._normalize_advantages else rows.advantage
        gain = jnp.minimum(ratio * advantage, jnp.clip(ratio, 1.0 - clipping, 1.0 + clipping) * advantage)
        each = {"policy_gradient": -gain, "value_estimation": self._value_coef * self._squared_error(rows, value)}
        if self._entropy_coef:
            each["entropy_regularization"] = -self._entropy_coef * new.entropy()
        if self._initial_beta or self._kl_cutoff_coef:
            each["kl"] = kl_divergence(old, new)
        each = {name: jnp.where(weight == 0.0, 0.0, weight * part) for name, part in each.items()}

        means = {name: jnp.sum(part) / count for name, part in each.items()}
        divergence, beta = means.pop("kl", jnp.zeros(())), state.memory.adaptive_kl_beta
        excess = jnp.maximum(divergence - self._kl_cutoff, 0.0)
        means["kl_penalty"] = beta * divergence + self._kl_cutoff_coef * jnp.square(excess)
        means["l2_regularization"] = self._squared_kernels(params)
        extra = PPOLossInfo(
            *(means.get(name.removesuffix("_loss"), jnp.zeros(())) for name in PPOLossInfo._fields[:5]),
            clip_fraction=jnp.sum(counts & (jnp.abs(ratio - 1.0) > clipping)) / count,
            approx_kl=jnp.sum(jnp.where(counts, ratio - 1.0 - log_ratio, 0.0)) / count,
        )
        explained = 1.0 - _variance(rows.returns - rows.value, counts) / (_variance(rows.returns, counts) + 1e-8)
        return BatchLoss(
            per_example=sum((part for name, part in each.items() if name != "kl"), jnp.zeros(counts.shape)),
            unweighted=(means["kl_penalty"] + means["l2_regularization"]) * count / counts.size,
            count=count,
            extra=extra,
            rest={"actor_network": actor_rest, "value_network": value_rest},
            debug={f"Losses/{name}": part for name, part in extra._asdict().items()}
            | {"Losses/kl_divergence": divergence, "Losses/adaptive_kl_beta": beta}
            | {"Losses/explained_variance": explained},
        )

    def _recorded(self, distributions: Any, frames: Trajectory, counts: jax.Array) -> Any:
        """Returns the distributions that actions were drawn from; in boundary frames, which may hold none, the new."""

        def recorded(distribution: Any, parameters: dict[str, Any]) -> Any:
            def chosen(old: jax.Array, new: jax.Array) -> jax.Array:
                new = jnp.broadcast_to(jax.lax.stop_gradient(new), jnp.shape(old))
                return jnp.where(counts.reshape(*counts.shape, *(1,) * (jnp.ndim(old) - counts.ndim)), old, new)

            now = parameters_of(distribution)
            return with_parameters(distribution, {name: chosen(parameters[name], now[name]) for name in now})

        return jax.tree.map(recorded, distributions, frames.policy_info["dist_params"], is_leaf=is_distribution)

    def _squared_error(self, rows: PreparedFrames, value: jax.Array) -> jax.Array:
        error = jnp.square(rows.returns - value)
        if not self._value_clipping:
            return error
        near = rows.value + jnp.clip(value - rows.value, -self._value_clipping, self._value_clipping)
        return jnp.maximum(error, jnp.square(rows.returns - near))

    def _squared_kernels(self, params: Any) -> jax.Array:
        """Returns the weighted sums of squared kernels, `[]`; pure."""
        squares = [
            coefficient * jnp.sum(jnp.square(leaf))
            for name, coefficient in self._l2.items()
            if coefficient
            for path, leaf in named_leaves(params[name])
            if "kernel" in path
        ]
        return sum(squares, jnp.zeros(()))

    @property
    def adaptive_kl_beta(self) -> float:
        """The weight of the divergence, as it is now."""
        return float(self.get_state().memory.adaptive_kl_beta)


def _schedule(clipping: Any) -> Any:
    return clipping if callable(clipping) else optax.constant_schedule(clipping or jnp.inf)


def _standardized(x: jax.Array, counts: jax.Array) -> jax.Array:
    """Returns `x` with mean 0 and deviation 1 where it counts."""
    mean = jnp.sum(jnp.where(counts, x, 0.0)) / jnp.maximum(jnp.sum(counts), 1)
    return (x - mean) / jnp.sqrt(_variance(x, counts) + 1e-8)


def _variance(x: jax.Array, counts: jax.Array) -> jax.Array:
    """Returns the variance of what counts, `[]`; 0 if nothing does."""
    count = jnp.maximum(jnp.sum(counts), 1)
    mean = jnp.sum(jnp.where(counts, x, 0.0)) / count
    return jnp.sum(jnp.where(counts, jnp.square(x - mean), 0.0)) / count
