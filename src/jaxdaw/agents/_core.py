"""The pure half of an agent: gradients, clipping, the optimizer, the finite guard and summaries over an AgentState."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import optax

from jaxdaw import specs
from jaxdaw.agents import _summaries
from jaxdaw.agents._guard import is_sound, step_unless_refused, without_overflow
from jaxdaw.agents._state import AgentState, BatchLoss, Proposal
from jaxdaw.errors import SpecError
from jaxdaw.networks import Module, Network, Weights
from jaxdaw.trajectories import LossInfo


class Core(Module):
    """What `Agent` computes, without what it holds; the constructor of `Agent` sets the attributes."""

    _networks: dict[str, Network]
    _optimizer: optax.GradientTransformation
    _training_data_spec: Any
    _train_sequence_length: int | None
    _num_outer_dims: int
    _summaries_enabled: bool
    _debug_summaries: bool
    _summarize_grads_and_vars: bool
    _summary_interval: int

    # What an algorithm writes (pure).

    def _batch_loss(self, params: Any, state: AgentState, experience: Any, training: bool) -> BatchLoss:
        """Returns the loss of one validated batch; pure. Differentiated with respect to `params` only."""
        raise NotImplementedError(f"{type(self).__name__} must define _batch_loss")

    def _make_target(self, weights: dict[str, Weights], fresh: bool) -> Any:
        """Returns the first `AgentState.target`, in arrays of its own; pure."""
        del weights, fresh
        return ()

    def _after_update(self, state: AgentState, applied: jax.Array) -> AgentState:
        """Returns the state after what follows a step (target networks). `applied`: the step was not refused; pure."""
        del applied
        return state

    def policy_weights(self, state: AgentState) -> Any:
        """Returns `policy`'s weights as they are in `state`; pure."""
        raise NotImplementedError(f"{type(self).__name__} must define policy_weights")

    def collect_policy_weights(self, state: AgentState, step: Any) -> Any:
        """Returns `collect_policy`'s weights as they are in `state` after `step` environment steps; pure."""
        raise NotImplementedError(f"{type(self).__name__} must define collect_policy_weights")

    # The pure core.

    def init(self, key: jax.Array) -> AgentState:
        """Returns a fresh state: new weights, an empty optimizer. Pure; `vmap` it over keys for a population."""
        keys = jax.random.split(key, len(self._networks))
        weights = {name: network.init_weights(k) for (name, network), k in zip(self._networks.items(), keys)}
        return self._first_state(weights, fresh=True)

    def update(self, state: AgentState, experience: Any, weights: Any = None) -> tuple[AgentState, LossInfo]:
        """Returns the state after one gradient step, and the loss before it; pure.

        A step whose loss or gradient is not finite, or whose gradient reaches 2**60, is refused: weights, optimizer,
        targets and counter stay as they were, and the returned loss is NaN. Of a layer's kernel and bias the bias is
        looked at; entries of 2**60 and more in the kernel's gradient alone, an overflow, count as 0.

        Args:
          state: from `init` or the update before.
          experience: frames `[B, T, ...]`, or a Transition `[B, ...]`.
          weights: None, `[]` or `[B]`, multiplied with each example's loss before the mean; `[B, T]` too, where frames
            are examples.
        """
        loss, batch, gradients, applied, stepped = self._propose(state, experience, weights)
        stepped = self._after_update(stepped, applied)
        stepped = step_unless_refused(applied, stepped, state)
        if self.summaries_enabled and state.summaries:
            stepped = stepped._replace(
                summaries=jax.lax.cond(
                    applied & (state.train_step % self._summary_interval == 0),
                    lambda: self._summarize(loss, batch, gradients, stepped),
                    lambda: state.summaries,
                )
            )
        return stepped, LossInfo(loss=jnp.where(applied, loss, jnp.nan), extra=batch.extra)

    def _propose(self, state: AgentState, experience: Any, weights: Any) -> Proposal:
        """Returns the gradient step on a batch, before what follows it and before it may be refused; pure."""
        (loss, batch), gradients = jax.value_and_grad(self._weighted_loss, has_aux=True)(
            state.params, state, experience, weights, True
        )
        applied = is_sound(loss, gradients)
        gradients = without_overflow(gradients)
        updates, opt_state = self._optimizer.update(gradients, state.opt_state, state.params)
        stepped = state._replace(
            params=optax.apply_updates(state.params, updates),
            rest=batch.rest,
            opt_state=opt_state,
            train_step=state.train_step + 1,
        )
        return Proposal(loss, batch, gradients, applied, stepped)

    def update_many(self, state: AgentState, experience: Any, weights: Any = None) -> tuple[AgentState, LossInfo]:
        """Returns the state after K gradient steps in one program; leaves of `experience` are `[K, B, ...]`; pure."""
        return jax.lax.scan(lambda s, batch: self.update(s, *batch), state, (experience, weights))

    def _weighted_loss(
        self, params: Any, state: AgentState, experience: Any, weights: Any, training: bool
    ) -> tuple[jax.Array, BatchLoss]:
        batch = self._batch_loss(params, state, experience, training)
        per_example = batch.per_example
        if weights is not None:
            if jnp.ndim(weights) == 1 and per_example.ndim == 2:
                weights = weights[:, None]
            if jnp.ndim(weights) > per_example.ndim:  # would broadcast where B is T
                what = f"{self.name} was given weights for each frame, and has a loss for each sequence"
                raise SpecError(what, expected="[B]", got=str(jnp.shape(weights)), fix="a loss_fn that returns [B, T]")
            # 0 * NaN is 0: the row was weighted out.
            per_example = jnp.where(weights == 0.0, 0.0, weights * per_example)
        loss = jnp.mean(per_example + batch.unweighted)
        for name, network in self._networks.items():
            loss += network.regularization_loss(params[name])
        return loss, batch

    def _loss_of(self, state: AgentState, experience: Any, weights: Any, training: bool) -> LossInfo:
        loss, batch = self._weighted_loss(state.params, state, experience, weights, training)
        return LossInfo(loss=loss, extra=batch.extra)

    def _first_state(self, weights: dict[str, Weights], fresh: bool) -> AgentState:
        params = {name: w.params for name, w in weights.items()}
        state = AgentState(
            params=params,
            rest={name: w.rest for name, w in weights.items()},
            target=self._make_target(weights, fresh),
            opt_state=self._optimizer.init(params),
            train_step=jnp.zeros((), jnp.int32),
            summaries={},
        )
        return state._replace(summaries=self._empty_summaries(state)) if self.summaries_enabled else state

    def _summarize(self, loss: jax.Array, batch: BatchLoss, gradients: Any, state: AgentState) -> dict[str, Any]:
        regularization = sum(n.regularization_loss(state.params[name]) for name, n in self._networks.items())
        summaries: dict[str, Any] = {
            "Losses/td_loss": loss - regularization,
            "Losses/reg_loss": jnp.float32(regularization),
            "Losses/total_loss": loss,
        }
        if self.debug_summaries:
            for tag, values in batch.debug.items():
                summaries |= _summaries.distribution_summary(tag, values)
        if self.summarize_grads_and_vars:
            summaries |= _summaries.variable_summaries(state.params, state.rest)
            summaries |= _summaries.gradient_summaries(gradients)
        return summaries

    def _empty_summaries(self, state: AgentState) -> dict[str, Any]:
        if not (self.debug_summaries or self.summarize_grads_and_vars):
            return {}
        outer = (1, self._train_sequence_length or 2)[: self._num_outer_dims]
        experience = jax.eval_shape(lambda: specs.zeros(self._training_data_spec, outer))

        def summarize(experience: Any) -> dict[str, Any]:
            loss, batch = self._weighted_loss(state.params, state, experience, None, True)
            return self._summarize(loss, batch, state.params, state)

        return jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), jax.eval_shape(summarize, experience))

    @property
    def summaries_enabled(self) -> bool:
        """Whether summaries are made at all."""
        return self._summaries_enabled

    @property
    def debug_summaries(self) -> bool:
        """Whether what the loss is made of is summarised."""
        return self._debug_summaries and self._summaries_enabled

    @property
    def summarize_grads_and_vars(self) -> bool:
        """Whether gradients and variables are summarised."""
        return self._summarize_grads_and_vars and self._summaries_enabled
