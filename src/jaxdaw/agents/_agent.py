"""Agent: base class of all algorithms: gradient steps, guard and summaries as pure functions over an `AgentState`."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax

from jaxdaw import specs
from jaxdaw.agents import _summaries
from jaxdaw.agents._checks import check_network, check_optimizer, check_range
from jaxdaw.agents._guard import is_sound, step_unless_refused, without_overflow
from jaxdaw.agents._shell import Shell
from jaxdaw.agents._state import AgentState, BatchLoss, StepCounter
from jaxdaw.errors import SpecError
from jaxdaw.math import clip_by_norm_per_variable
from jaxdaw.networks import Network, Weights
from jaxdaw.policies import Policy, Splitter
from jaxdaw.trajectories import LossInfo, TimeStep

Optimizers = Mapping[str, tuple[optax.GradientTransformation, tuple[str, ...]]]
"""By name: an optimizer, and the names of the networks that it trains together."""


class Agent(Shell):
    """An algorithm that learns from experience, and the policies that it gives.

    The algorithm is pure functions over an `AgentState`: `init`, `update`, and what they call. The documented methods
    (`initialize`, `train`, `loss`, ...) are `Shell`'s: they check their input, call one compiled function, and show the
    weights in the networks.

    A subclass whose algorithm is one loss and one optimizer writes `batch_loss`. Another writes `learn`, which may call
    `minimise` several times, or not at all. What is kept beside the networks is declared by `init_memory`.

    Args:
      time_step_spec: a TimeStep of specs.
      action_spec: a nest of BoundedTensorSpec.
      policy: for use and evaluation.
      collect_policy: for gathering experience.
      networks: what learning changes, by name; a `Parameter` is a network too, and so is a normalizer.
      optimizers: one optax transformation for all networks; or by name, each with the networks that it trains.
      train_sequence_length: the T that `train` needs; None for any.
      num_outer_dims: 2 for experience `[B, T, ...]`, 1 for `[B, ...]`.
      observation_and_action_constraint_splitter: `observation -> (network_observation, mask)`, or None.
      gradient_clipping: each variable's gradient is scaled to at most this norm, by its own norm; None for none.
      debug_summaries: whether to summarise the components of the loss.
      summarize_grads_and_vars: whether to summarise gradients and variables.
      enable_summaries: False turns both off.
      train_step_counter: a StepCounter to share; None makes one of its own.
      training_data_spec: the spec of `experience`; None is the collect policy's.
      learns_by_frame: whether every frame is an example of its own, which may have a weight, instead of a step of a
        window.
      takes_transitions: whether `train` accepts a Transition beside a Trajectory.
      name: defaults to the class name.
      summary_interval: train steps between two summaries.
      on_nan: what `train` does about a step that was refused because its loss or gradient was not finite: "raise";
        "skip", which counts it in `refused_steps` and raises after ten in a row; or "ignore", which only counts. The
        weights are as they were in each case.

    Raises:
      ConfigError: an optimizer is not an optax transformation, a network holds NaN, or a number is outside its range.
      SpecTypeError: `time_step_spec` is not a TimeStep.
    """

    def __init__(
        self,
        time_step_spec: TimeStep,
        action_spec: Any,
        policy: Policy,
        collect_policy: Policy,
        *,
        networks: dict[str, Network],
        optimizers: optax.GradientTransformation | Optimizers,
        train_sequence_length: int | None = None,
        num_outer_dims: int = 2,
        observation_and_action_constraint_splitter: Splitter | None = None,
        gradient_clipping: float | None = None,
        debug_summaries: bool = False,
        summarize_grads_and_vars: bool = False,
        enable_summaries: bool = True,
        train_step_counter: StepCounter | None = None,
        training_data_spec: Any = None,
        learns_by_frame: bool = False,
        takes_transitions: bool = True,
        name: str | None = None,
        summary_interval: int = 100,
        on_nan: str = "raise",
    ):
        if not isinstance(optimizers, Mapping):
            optimizers = {"optimizer": (optimizers, tuple(networks))}
        trained = {name for _, names in optimizers.values() for name in names}
        for label, network in networks.items():
            check_network(label, network, label in trained)
        for label, (optimizer, _) in optimizers.items():
            check_optimizer(label, optimizer)
        check_range("gradient_clipping", gradient_clipping, 0.0, math.inf, low_open=True, optional=True)
        self._summary_interval = summary_interval
        check_range("summary_interval", summary_interval, 1, math.inf, integer=True)
        clipping = () if gradient_clipping is None else (clip_by_norm_per_variable(gradient_clipping),)
        self._optimizers: Optimizers = {
            label: (optax.chain(*clipping, optimizer), names) for label, (optimizer, names) in optimizers.items()
        }
        self._summaries_enabled = enable_summaries
        self._debug_summaries = debug_summaries
        self._summarize_grads_and_vars = summarize_grads_and_vars
        super().__init__(
            time_step_spec,
            action_spec,
            policy,
            collect_policy,
            networks=networks,
            train_sequence_length=train_sequence_length,
            num_outer_dims=num_outer_dims,
            observation_and_action_constraint_splitter=observation_and_action_constraint_splitter,
            train_step_counter=train_step_counter,
            training_data_spec=training_data_spec,
            learns_by_frame=learns_by_frame,
            takes_transitions=takes_transitions,
            prepares=type(self).prepare is not Agent.prepare,
            on_nan=on_nan,
            name=name,
        )

    # Methods that an algorithm overrides; all pure.

    def batch_loss(self, params: Any, state: AgentState, experience: Any, key: jax.Array, training: bool) -> BatchLoss:
        """Returns the loss of a batch, for algorithms that have one loss.

        Args:
          params: what is differentiated, by network name.
          state: where everything else is read.
          experience: as for `update`.
          key: of this train step.
          training: whether networks run in training mode.
        """
        raise NotImplementedError(f"{type(self).__name__} must define batch_loss, or learn")

    def learn(self, state: AgentState, experience: Any, weights: Any, key: jax.Array) -> tuple[AgentState, LossInfo]:
        """Returns the state after one train step, and its loss; by default one `minimise` of `batch_loss`.

        Where a part of the step was refused, the loss that is returned must be NaN: then `update` keeps the state
        before. A sum of the losses that `minimise` returned is. Further keyword arguments that an override names are
        those of `train`.

        Args:
          state, experience, weights: as for `update`.
          key: of this train step.
        """
        (optimizer,) = self._optimizers
        return self.minimise(
            state, optimizer, lambda params: self.batch_loss(params, state, experience, key, True), weights
        )

    def init_memory(self, weights: dict[str, Weights], fresh: bool) -> Any:
        """Returns the initial `AgentState.memory`, in arrays that nothing else in the state shares.

        Args:
          weights: of the networks, by name.
          fresh: whether training begins; False keeps what target networks hold already.
        """
        del weights, fresh
        return ()

    def prepare(self, state: AgentState, rollout: Any) -> Any:
        """Returns what `learn` reads, computed once for a rollout (advantages, returns); by default the rollout."""
        del state
        return rollout

    def finish(self, state: AgentState, rollout: Any) -> AgentState:
        """Returns the state after all batches of a rollout: what changes once for each (statistics, penalties).

        Args:
          state: after the last batch.
          rollout: what `prepare` returned.
        """
        del rollout
        return state

    def steps_in(self, experience: Any) -> int:
        """Returns how many gradient steps `learn` takes with this experience."""
        del experience
        return 1

    def shown_weights(self, state: AgentState) -> list[tuple[Network, Weights]]:
        """Returns the networks that users hold, target networks too, each with its weights in `state`."""
        return [(network, self.weights_of(state, name)) for name, network in self._networks.items()]

    def policy_weights(self, state: AgentState) -> Any:
        """Returns `policy`'s weights as they are in `state`."""
        raise NotImplementedError(f"{type(self).__name__} must define policy_weights")

    def collect_policy_weights(self, state: AgentState, step: Any) -> Any:
        """Returns `collect_policy`'s weights as they are in `state` after `step` environment steps."""
        return self._collect_policy.weights_at(self.policy_weights(state), step)

    # Methods that every algorithm uses; all pure.

    def init(self, key: jax.Array) -> AgentState:
        """Returns a fresh state: new weights, empty optimizers. `vmap` it over keys for a population."""
        *own, key = jax.random.split(key, len(self._networks) + 1)
        weights = {name: network.init_weights(k) for (name, network), k in zip(self._networks.items(), own)}
        return self._first_state(weights, key, fresh=True)

    def update(
        self, state: AgentState, experience: Any, weights: Any = None, **kwargs: Any
    ) -> tuple[AgentState, LossInfo]:
        """Returns the state after one train step (or those of `steps_in`), and the loss before it.

        A step is taken whole or not at all. Where a loss or gradient is not finite, or a gradient reaches 2**60,
        the state stays as it was, and the returned loss is NaN. Of a layer's kernel and bias the bias is looked at;
        entries of 2**60 and more in the kernel's gradient alone, an overflow, count as 0.

        Args:
          state: from `init` or the update before.
          experience: frames `[B, T, ...]`, a Transition `[B, ...]`, or what `prepare` returned.
          weights: None, `[]` or `[B]`, multiplied with each example's loss before the mean; `[B, T]` too, where frames
            are examples.
          kwargs: those that `learn` names.
        """
        stepped, info = self.learn(state, experience, weights, state.step_key, **kwargs)
        stepped = stepped._replace(train_step=state.train_step + self.steps_in(experience))
        return step_unless_refused(jnp.isfinite(info.loss), stepped, state), info

    def update_many(self, state: AgentState, experience: Any, weights: Any = None) -> tuple[AgentState, LossInfo]:
        """Returns the state after K train steps in one program; leaves of `experience` are `[K, B, ...]`."""
        return jax.lax.scan(lambda s, batch: self.update(s, *batch), state, (experience, weights))

    def minimise(
        self, state: AgentState, optimizer: str, loss_fn: Callable[[Any], BatchLoss], weights: Any = None
    ) -> tuple[AgentState, LossInfo]:
        """Returns the state after one step of an optimizer, and the loss before it: NaN if the step must be refused.

        Args:
          state: the networks' arrays are read here.
          optimizer: its name.
          loss_fn: from the params of the networks that it trains, by name, to their loss.
          weights: of the examples, see `update`.
        """
        transformation, names = self._optimizers[optimizer]
        params = {name: state.params[name] for name in names}

        def loss_of(params: Any) -> tuple[jax.Array, BatchLoss]:
            batch = loss_fn(params)
            return self.weighted_loss(params, batch, weights), batch

        (loss, batch), gradients = jax.value_and_grad(loss_of, has_aux=True)(params)
        is_finite = is_sound(loss, gradients)
        gradients = without_overflow(gradients)
        updates, opt_state = transformation.update(gradients, state.opt_state[optimizer], params)
        moved: Any = optax.apply_updates(params, updates)
        state = state._replace(
            params={**state.params, **moved},
            rest={**state.rest, **batch.rest},
            opt_state={**state.opt_state, optimizer: opt_state},
        )
        state = self.summarised(state, optimizer, loss, batch, gradients)
        return state, LossInfo(jnp.where(is_finite, loss, jnp.nan), batch.extra)

    def loss_info(self, state: AgentState, experience: Any, weights: Any = None, training: bool = False) -> LossInfo:
        """Returns the loss that `update` minimises; an algorithm with several losses returns their sum."""
        batch = self.batch_loss(state.params, state, experience, state.step_key, training)
        return LossInfo(loss=self.weighted_loss(state.params, batch, weights), extra=batch.extra)

    def weights_of(self, state: AgentState, name: str, params: Any = None) -> Weights:
        """Returns the weights of a network: those in `state`, or `params[name]` with the state's other arrays."""
        return Weights((state.params if params is None else params)[name], state.rest[name])

    def weighted_loss(self, params: Any, batch: BatchLoss, weights: Any = None) -> jax.Array:
        """Returns the weighted mean over a batch, plus the regularization losses of the networks in `params`, `[]`."""
        per_example = batch.per_example
        if weights is not None:
            if jnp.ndim(weights) == 1 and per_example.ndim == 2:
                weights = weights[:, None]
            if jnp.ndim(weights) > per_example.ndim:  # [B, T] weights would broadcast against a [B] loss where B == T
                what = f"{self.name} was given weights for each frame, and has a loss for each sequence"
                raise SpecError(what, expected="[B]", got=str(jnp.shape(weights)), fix="a loss_fn that returns [B, T]")
            # A weight of 0 excludes a row even if its loss is NaN.
            per_example = jnp.where(weights == 0.0, 0.0, weights * per_example)
        count = per_example.size if batch.count is None else batch.count
        loss = jnp.sum(per_example + batch.unweighted) / count
        for name in params:
            loss += self._networks[name].regularization_loss(params[name])
        return loss

    def _first_state(self, weights: dict[str, Weights], key: jax.Array, fresh: bool) -> AgentState:
        params = {name: w.params for name, w in weights.items()}
        state = AgentState(
            params=params,
            rest={name: w.rest for name, w in weights.items()},
            opt_state={
                label: optimizer.init({name: params[name] for name in names})
                for label, (optimizer, names) in self._optimizers.items()
            },
            memory=self.init_memory(weights, fresh),
            key=jax.random.key_data(key),
            train_step=jnp.zeros((), jnp.int32),
            summaries={},
        )
        return state._replace(summaries=self._empty_summaries(state))

    # Summaries, computed inside the compiled step every summary_interval steps.

    def summarised(
        self, state: AgentState, optimizer: str, loss: jax.Array, batch: BatchLoss, gradients: Any
    ) -> AgentState:
        """Returns the state with new summaries, if they are enabled and due.

        Args:
          state: after the step.
          optimizer: which took it; where there are several their names are prefixes of the tags.
          loss, batch: before the step.
          gradients: by network name; of a step without gradients, how much each array moved.
        """
        if not (self.debug_summaries or self.summarize_grads_and_vars):
            return state
        trained = {name: state.params[name] for name in gradients}
        prefix = f"{optimizer}/" if len(self._optimizers) > 1 else ""

        def summarize() -> dict[str, Any]:
            regularization = sum(self._networks[name].regularization_loss(trained[name]) for name in trained)
            made: dict[str, Any] = {
                "Losses/td_loss": loss - regularization,
                "Losses/reg_loss": jnp.float32(regularization),
                "Losses/total_loss": loss,
            }
            if self.debug_summaries:
                for tag, values in batch.debug.items():
                    made |= _summaries.distribution_summary(tag, values) if jnp.ndim(values) else {tag: values}
            if self.summarize_grads_and_vars:
                made |= _summaries.variable_summaries(trained, {name: state.rest[name] for name in trained})
                made |= _summaries.gradient_summaries(gradients)
            return {prefix + tag: values for tag, values in made.items()}

        held = {tag: state.summaries[tag] for tag in jax.eval_shape(summarize) if tag in state.summaries}
        if not held:  # _empty_summaries evaluates this abstractly to find shapes and dtypes
            return state._replace(summaries={**state.summaries, **summarize()})
        is_due = state.train_step % self._summary_interval == 0
        return state._replace(summaries={**state.summaries, **jax.lax.cond(is_due, summarize, lambda: held)})

    def _empty_summaries(self, state: AgentState) -> dict[str, Any]:
        if not (self.debug_summaries or self.summarize_grads_and_vars):
            return {}
        outer = (1, self._train_sequence_length or 2)[: self._num_outer_dims]

        def summaries(state: AgentState) -> dict[str, Any]:
            experience = specs.map_structure(jnp.asarray, specs.zeros(self._training_data_spec, outer))
            return self.learn(state, self.prepare(state, experience), None, state.step_key)[0].summaries

        return jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), jax.eval_shape(summaries, state))

    @property
    def summaries_enabled(self) -> bool:
        """Whether summaries are computed at all."""
        return self._summaries_enabled

    @property
    def debug_summaries(self) -> bool:
        """Whether the components of the loss are summarised."""
        return self._debug_summaries and self._summaries_enabled

    @property
    def summarize_grads_and_vars(self) -> bool:
        """Whether gradients and variables are summarised."""
        return self._summarize_grads_and_vars and self._summaries_enabled
