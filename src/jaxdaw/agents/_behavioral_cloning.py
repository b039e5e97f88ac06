"""Behavioral cloning: a network learns to reproduce recorded actions."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from jaxdaw import specs
from jaxdaw.agents._agent import Agent
from jaxdaw.agents._checks import check_choice, check_network, check_range
from jaxdaw.agents._cloning_losses import KINDS, nested_loss
from jaxdaw.agents._state import AgentState, BatchLoss, StepCounter
from jaxdaw.errors import SpecError
from jaxdaw.networks import Network, Weights, holding
from jaxdaw.policies import (
    ActorPolicy,
    EpsilonGreedyPolicy,
    GreedyPolicy,
    Policy,
    QPolicy,
    check_values_of,
    is_distribution,
)
from jaxdaw.trajectories import StepType, TimeStep, Trajectory, from_transition


class BehavioralCloningLossInfo(NamedTuple):
    """Per-example values that cloning reports in `LossInfo.extra`.

    Attributes:
      loss: `[B]` or `[B, T]`, unweighted, without regularization.
    """

    loss: Any


class BehavioralCloningAgent(Agent):
    """Learns a policy from recorded observations and actions, by supervised learning.

    Without `loss_fn` the loss is the cross-entropy of `action - minimum` for one scalar integer action, and the squared
    error, averaged over its elements, for one float action of any shape. The total is the mean over batch and time of
    weight times loss, plus the networks' regularization losses.

    A `loss_fn` is told apart by its parameters. One that names `experience` or `training` is called as
    `loss_fn(experience, training=...)`, and runs the network itself: inside, `cloning_network` holds the weights that
    are being trained. Any other is called as `loss_fn(output, action)`, and is given `action_spec` too if it names it.
    It returns a loss for each example, `[B]` or `[B, T]`; further axes are averaged.

    Args:
      time_step_spec: a TimeStep of specs.
      action_spec: a nest of BoundedTensorSpec.
      cloning_network: `network(observation, step_type, network_state=()) -> (output, state)`; the output is logits `[B,
        A]`, float actions, or distributions, in the nest of the actions.
      optimizer: an optax transformation.
      num_outer_dims: 1 for experience `[B, ...]`, 2 for `[B, T, ...]`, over which recurrent networks run from zeros.
      epsilon_greedy: in `[0, 1]`, the share of uniformly random actions of `collect_policy`, for one scalar integer
        action. Other actions are collected by the sampled distribution.
      loss_fn: see above; `nested_loss` is the sum over the leaves of each leaf's default.
      gradient_clipping: each variable's gradient is scaled to at most this norm; None for none.
      debug_summaries: whether to summarise the losses.
      summarize_grads_and_vars: whether to summarise gradients and variables.
      train_step_counter: a StepCounter to share; None makes one of its own.
      name: defaults to the class name.
      loss: what stands for a distribution over floats in the default loss: "sample", a sample of it; "mode"; or
        "log_likelihood", which is the one that also learns the spread. See `docs/decisions/`.
      ignore_boundaries: whether frames with `step_type` LAST, whose action means nothing in a recorded stream, count 0.
      enable_summaries: False turns both kinds of summaries off.
      summary_interval: train steps between two summaries.
      on_nan: what `train` does about steps refused as not finite: "raise", "skip" or "ignore", see `Agent`.

    Raises:
      ValueError: several actions, or a shaped integer action, without `loss_fn`; no action; a network whose output is
        not the actions'; `num_outer_dims` other than 1 and 2; a number outside its range.

    Source: Pomerleau 1991. `docs/differences.md` lists where the original is not followed.
    """

    def __init__(
        self,
        time_step_spec: TimeStep,
        action_spec: Any,
        cloning_network: Network,
        optimizer: optax.GradientTransformation,
        num_outer_dims: int = 1,
        epsilon_greedy: Any = 0.1,
        loss_fn: Callable[..., Any] | None = None,
        gradient_clipping: float | None = None,
        debug_summaries: bool = False,
        summarize_grads_and_vars: bool = False,
        train_step_counter: StepCounter | None = None,
        name: str | None = None,
        *,
        loss: str = "sample",
        ignore_boundaries: bool = False,
        enable_summaries: bool = True,
        summary_interval: int = 100,
        on_nan: str = "raise",
    ):
        check_network("cloning_network", cloning_network)
        check_range("num_outer_dims", num_outer_dims, 1, 2, integer=True)
        check_choice("loss", loss, KINDS)
        _check_actions(action_spec, loss_fn)
        self._cloning_network = cloning_network
        self._loss_fn: Callable[..., Any] = nested_loss if loss_fn is None else loss_fn
        self._parameters = inspect.signature(self._loss_fn).parameters
        self._kind = loss
        self._draws = "key" in self._parameters and (loss == "sample" or loss_fn is not None)
        self._ignore_boundaries = ignore_boundaries
        policy, collect_policy = self._get_policies(time_step_spec, action_spec, cloning_network, epsilon_greedy)
        super().__init__(
            time_step_spec,
            action_spec,
            policy=policy,
            collect_policy=collect_policy,
            networks={"cloning_network": cloning_network},
            optimizers=optimizer,
            num_outer_dims=num_outer_dims,
            gradient_clipping=gradient_clipping,
            debug_summaries=debug_summaries,
            summarize_grads_and_vars=summarize_grads_and_vars,
            enable_summaries=enable_summaries,
            train_step_counter=train_step_counter,
            learns_by_frame=True,
            name=name,
            summary_interval=summary_interval,
            on_nan=on_nan,
        )

    def _get_policies(
        self, time_step_spec: TimeStep, action_spec: Any, cloning_network: Network, epsilon_greedy: Any
    ) -> tuple[Policy, Policy]:
        """Returns the policies for evaluation and for collecting; a subclass may give others."""
        leaves = specs.flatten(action_spec)
        scalar = len(leaves) == 1 and specs.is_discrete(leaves[0]) and leaves[0].shape == ()
        output = cloning_network.create_variables()
        if scalar and not any(is_distribution(leaf) for leaf in specs.flatten(output)):
            check_values_of(cloning_network, action_spec)
            q_policy = QPolicy(time_step_spec, action_spec, cloning_network, validate_action_spec_and_network=False)
            return GreedyPolicy(q_policy), EpsilonGreedyPolicy(q_policy, epsilon_greedy)
        actor = ActorPolicy(time_step_spec, action_spec, cloning_network)
        return GreedyPolicy(actor), EpsilonGreedyPolicy(actor, epsilon_greedy) if scalar else actor

    # The algorithm; pure.

    def batch_loss(self, params: Any, state: AgentState, experience: Any, key: jax.Array, training: bool) -> BatchLoss:
        """Returns the distance of the network's output from the recorded actions; pure."""
        frames = experience if isinstance(experience, Trajectory) else from_transition(*experience)
        weights = self.weights_of(state, "cloning_network", params)
        if {"experience", "training"} & set(self._parameters):
            with holding(self._cloning_network, weights):
                losses = jnp.asarray(self._loss_fn(frames, training=training))
                rest = self._cloning_network.get_weights().rest
        else:
            output, _, rest = self._cloning_network.apply(
                weights, frames.observation, frames.step_type, training=training
            )
            extra = {"action_spec": self._action_spec, "kind": self._kind, "key": key if self._draws else None}
            taken = {name: value for name, value in extra.items() if name in self._parameters}
            losses = jnp.asarray(self._loss_fn(output, frames.action, **taken))
        per_frame = _one_for_each_example(losses, frames.step_type.shape)
        if self._ignore_boundaries:
            if per_frame.shape != frames.step_type.shape:
                raise SpecError(
                    "ignore_boundaries needs a loss for each frame",
                    expected=str(frames.step_type.shape),
                    got=str(per_frame.shape),
                    fix="ignore_boundaries=False, and a loss_fn that looks at experience.step_type",
                )
            per_frame = jnp.where(frames.step_type == StepType.LAST, 0.0, per_frame)
        return BatchLoss(
            per_example=per_frame,
            extra=BehavioralCloningLossInfo(loss=per_frame),
            rest={"cloning_network": rest},
            debug={"loss/cloning_loss": per_frame},
        )

    def policy_weights(self, state: AgentState) -> Weights:
        """Returns the cloning network's weights in `state`; pure."""
        return self.weights_of(state, "cloning_network")

    @property
    def cloning_network(self) -> Network:
        """The network that is trained."""
        return self._cloning_network


def _one_for_each_example(losses: jax.Array, outer: tuple[int, ...]) -> jax.Array:
    """Returns losses `[B]` or `[B, T]`, with the axes behind averaged."""
    rank = len(outer)
    if losses.ndim and losses.shape == outer[: losses.ndim]:
        return losses
    if losses.shape[:rank] != outer or not losses.ndim:
        raise SpecError(
            "loss_fn must return a loss for each example",
            expected=str(outer),
            got=str(losses.shape),
            cause="a mean over the batch, which would leave nothing to weight.",
            fix="jnp.mean(loss, axis=-1) over the action's axes only",
        )
    return jnp.mean(losses, axis=tuple(range(rank, losses.ndim)))


def _check_actions(action_spec: Any, loss_fn: Callable[..., Any] | None) -> None:
    leaves = specs.flatten(action_spec)
    if not leaves:
        raise SpecError("there is no action to clone", expected="a BoundedTensorSpec", got=repr(action_spec))
    shaped = len(leaves) == 1 and specs.is_discrete(leaves[0]) and leaves[0].shape != ()
    if loss_fn is None and (len(leaves) > 1 or shaped):
        raise SpecError(
            "there is no default loss for several actions" if len(leaves) > 1 else "an integer action has a shape",
            expected="one scalar integer action, one float action, or a loss_fn",
            got=f"{len(leaves)} actions" if len(leaves) > 1 else str(leaves[0]),
            fix="loss_fn=jaxdaw.agents.nested_loss, the sum over the leaves of each leaf's default",
        )
