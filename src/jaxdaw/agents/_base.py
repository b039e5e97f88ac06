"""Agent: what every algorithm shares. The shell that users hold, around the pure core."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.core import Tracer

from jaxdaw.agents._admission import Admission
from jaxdaw.agents._core import Core
from jaxdaw.agents._refusals import check_network, check_range, explain_refusal
from jaxdaw.agents._state import AgentState, StepCounter, pack, unpack
from jaxdaw.errors import ConfigError, NonFiniteError, SpecTypeError
from jaxdaw.math import clip_by_norm_per_variable
from jaxdaw.networks import Network, Weights, read_raw, write_raw
from jaxdaw.policies import Policy, Splitter
from jaxdaw.trajectories import LossInfo, TimeStep, Trajectory, Transition

_REFUSED_IN_A_ROW = 10
"""Refused steps in a row that "skip" puts up with."""
_SMALL = 32_768
"""Weights of a network whose training takes longer to organise than to do, on two CPU cores."""


class Agent(Core):
    """An algorithm that learns from experience, and the policies that it gives.

    The pure core is `init` and `update` over an `AgentState`; the shell, `initialize`, `train` and `loss`, validates
    its input and keeps the weights in the networks, where whoever holds a network sees it train. A subclass writes
    `_batch_loss`, and `_after_update` if something follows a step.

    Args:
      time_step_spec: a TimeStep of specs.
      action_spec: a nest of BoundedTensorSpec.
      policy: for use and evaluation.
      collect_policy: for gathering experience.
      networks: what the optimizer trains, by name.
      optimizer: an optax transformation.
      train_sequence_length: the T that `train` needs; None for any.
      num_outer_dims: 2 for experience `[B, T, ...]`, 1 for `[B, ...]`.
      observation_and_action_constraint_splitter: `observation -> (network_observation, mask)`, or None.
      gradient_clipping: each variable's gradient is scaled to at most this norm, by its own norm; None for none.
      debug_summaries: whether to summarise what the loss is made of.
      summarize_grads_and_vars: whether to summarise gradients and variables.
      enable_summaries: False turns both off.
      summary_interval: train steps between two summaries.
      train_step_counter: a StepCounter to share; None makes one of its own.
      training_data_spec: the spec of `experience`; None is the collect policy's.
      on_nan: what `train` does about a step that was refused because its loss or gradient was not finite: "raise";
        "skip", which counts it in `refused_steps` and raises after ten in a row; or "ignore", which only counts. The
        weights are as they were in each case.
      name: defaults to the class name.

    Raises:
      ConfigError: the optimizer is not an optax transformation, a network holds NaN, or a number is outside its range.
      SpecTypeError: `time_step_spec` is not a TimeStep.
    """

    _learns_by_frame = False
    """Whether every frame is an example of its own, which may have a weight, instead of a step of a window."""

    def __init__(
        self,
        time_step_spec: TimeStep,
        action_spec: Any,
        policy: Policy,
        collect_policy: Policy,
        *,
        networks: dict[str, Network],
        optimizer: optax.GradientTransformation,
        train_sequence_length: int | None = None,
        num_outer_dims: int = 2,
        observation_and_action_constraint_splitter: Splitter | None = None,
        gradient_clipping: float | None = None,
        debug_summaries: bool = False,
        summarize_grads_and_vars: bool = False,
        enable_summaries: bool = True,
        summary_interval: int = 100,
        train_step_counter: StepCounter | None = None,
        training_data_spec: Any = None,
        on_nan: str = "raise",
        name: str | None = None,
    ):
        super().__init__(name)
        if not isinstance(optimizer, optax.GradientTransformation):
            raise ConfigError(
                "optimizer is not an optax transformation",
                expected="optax.GradientTransformation",
                got=type(optimizer).__module__ + "." + type(optimizer).__name__,
                cause="a Keras or PyTorch optimizer.",
                fix="optax.adam(1e-3)",
            )
        check_range("gradient_clipping", gradient_clipping, 0.0, math.inf, low_open=True, optional=True)
        check_range("summary_interval", summary_interval, 1, math.inf, integer=True)
        if on_nan not in ("raise", "skip", "ignore"):
            raise ConfigError("unknown on_nan", expected="'raise', 'skip' or 'ignore'", got=repr(on_nan))
        if train_step_counter is not None and not isinstance(train_step_counter, StepCounter):
            raise ConfigError(
                "train_step_counter cannot be shared",
                expected="StepCounter",
                got=repr(train_step_counter),
                fix="StepCounter(0)",
            )
        self._time_step_spec = time_step_spec
        self._action_spec = action_spec
        self._policy = policy
        self._collect_policy = collect_policy
        self._networks = networks
        self._splitter = observation_and_action_constraint_splitter
        self._train_sequence_length = train_sequence_length
        self._num_outer_dims = num_outer_dims
        self._debug_summaries = debug_summaries
        self._summarize_grads_and_vars = summarize_grads_and_vars
        self._summaries_enabled = enable_summaries
        self._summary_interval = summary_interval
        self._train_step_counter = StepCounter() if train_step_counter is None else train_step_counter
        self._training_data_spec = collect_policy.trajectory_spec if training_data_spec is None else training_data_spec
        clipping = () if gradient_clipping is None else (clip_by_norm_per_variable(gradient_clipping),)
        self._optimizer = optax.chain(*clipping, optimizer)
        for label, network in networks.items():
            check_network(label, network)
        self._leaves: list[Any] = []  # of the state, packed; those that a network shows are read from its variables
        self._packed: bool | None = None  # before there is a state
        self._structure: Any = None
        self._slots: list[tuple[int, Any]] = []
        self._on_nan = on_nan
        self._refused_steps = 0
        self._refused_in_a_row = 0
        self._pending: deque[tuple[Any, Any]] = deque()
        self._admission = Admission(self, None if self._learns_by_frame else train_sequence_length, on_nan == "raise")
        options = self.compiler_options()
        self._compiled_update = jax.jit(self._flat(self.update), donate_argnums=0, compiler_options=options)
        self._compiled_update_many = jax.jit(self._flat(self.update_many), donate_argnums=0, compiler_options=options)
        self._compiled_loss = jax.jit(self._loss_of, static_argnums=3)

    # The documented shell.

    def initialize(self, seed: int | jax.Array | None = None) -> None:
        """Makes the agent ready to train: a fresh optimizer, targets copied from the online weights.

        Args:
          seed: an integer or a key draws new weights for every network; None keeps the weights they have.

        Raises:
          RuntimeError: the base constructor was not called.
        """
        self._require_initialized()
        if seed is not None:
            key = seed if isinstance(seed, jax.Array) else jax.random.key(seed)
            self.set_state(jax.jit(self.init)(key))
        else:
            self._start(fresh=True)

    def train(self, experience: Any, weights: Any = None) -> LossInfo:
        """Takes one gradient step on a batch.

        Args:
          experience: a Trajectory `[B, T, ...]` with T equal to `train_sequence_length` unless that is None; or a
            Transition `[B, ...]` made by `to_n_step_transition`. Extra dictionary keys are dropped.
          weights: None, `[]` or `[B]`: multiplied with each example's loss before the mean over B.

        Returns:
          The loss before the step. It is not waited for: reading it does that.

        Raises:
          TypeError: `experience` is neither a Trajectory nor a Transition, or a leaf has another dtype.
          ValueError: another structure, shape or T; an action or mask outside its spec; weights of another shape.
          NonFiniteError: NaN or infinity, unless `on_nan` says otherwise. Of NumPy batches this is found before the
            step; otherwise the step is refused on the device, and reported by the next call that finds it done. Either
            way the weights are as they were.
          RuntimeError: the base constructor was not called.
        """
        self._require_initialized()
        return self._train(experience, weights, many=False)

    def train_many(self, experience: Any, weights: Any = None) -> LossInfo:
        """Takes K gradient steps in one compiled program.

        Args:
          experience: as for `train`, with a leading axis K: `[K, B, T, ...]`.
          weights: None, `[K]` or `[K, B]`.

        Returns:
          A LossInfo whose leaves have a leading axis K. Errors are those of `train`.
        """
        self._require_initialized()
        return self._train(experience, weights, many=True)

    def _train(self, experience: Any, weights: Any, many: bool) -> LossInfo:
        self._report_refused()
        experience, weights = self._admission.admit(self.preprocess_sequence(experience), weights, many)
        if self._packed is not (not many):  # of several steps in one program each is slower with a vector, by half
            self._hold(self.get_state(), packed=not many)
        compiled = self._compiled_update_many if many else self._compiled_update
        self._leaves, info = compiled(read_raw(self._slots, self._leaves), experience, weights)
        write_raw(self._slots, self._leaves)
        self._train_step_counter.value += info.loss.shape[0] if many else 1
        self._pending.append((info.loss, experience))
        return info

    def loss(self, experience: Any, weights: Any = None, training: bool = False) -> LossInfo:
        """Returns the loss that `train` would minimise on this batch, and changes nothing.

        Args:
          experience, weights: as for `train`.
          training: whether the networks run in training mode (dropout on).

        Raises: as `train`; what is traced by `jax.jit` may hold NaN, and gives it.
        """
        self._require_initialized()
        experience, weights = self._admission.admit(experience, weights, False)
        info = self._compiled_loss(self.get_state(), experience, weights, training)
        if self._on_nan == "raise" and not isinstance(info.loss, Tracer) and not np.isfinite(info.loss):
            explain_refusal(experience, self._action_spec, self._splitter)
        return info

    def preprocess_sequence(self, experience: Any) -> Any:
        """Returns the experience as `train` wants it: unchanged, for this agent."""
        return experience

    def post_process_policy(self) -> Policy:
        """Returns the policy to export after training."""
        return self._policy

    def get_state(self) -> AgentState:
        """Returns the agent's state: the networks' own arrays, the optimizer's and the counter."""
        if self._packed is None:
            self._start(fresh=False)
        *leaves, vector = read_raw(self._slots, self._leaves)
        return self._structure.unflatten(map(jnp.asarray, unpack([*leaves, np.array(vector)], self._hidden)))

    def _start(self, fresh: bool) -> None:
        weights = {name: network.get_weights() for name, network in self._networks.items()}
        self.set_state(jax.tree.map(jnp.copy, self._first_state(weights, fresh)))  # to be donated: unshared

    def compiler_options(self) -> dict[str, Any]:
        """Returns options for `jax.jit` of programs that train this agent.

        On a CPU, XLA runs the operations of a program side by side, and copies what it donates to be able to. Where
        they take about a microsecond each, that is slower by half than one after the other.
        """
        arrays = [a for network in self._networks.values() for a in jax.tree.leaves(network.get_weights().params)]
        if jax.default_backend() != "cpu" or sum(map(np.size, arrays)) > _SMALL:
            return {}
        return {"xla_cpu_scheduler_type": "CPU_SCHEDULER_TYPE_MEMORY_OPTIMIZED"}

    def set_state(self, state: AgentState) -> None:
        """Makes `state` the agent's: the networks show its weights. Their arrays are used, not copied.

        Raises:
          SpecError: the weights do not fit a network.
        """
        for network, weights in self._shown(state):
            network.set_weights(weights)
        self._hold(state, packed=False)

    def _hold(self, state: AgentState, packed: bool) -> None:
        """Keeps the leaves of a state whose weights the networks show, for calls of one step `packed`."""
        leaves, self._structure = jax.tree.flatten(state)
        places = self._shown(self._structure.unflatten(range(len(leaves))))
        shown = {p: v for net, own in places for p, v in zip(jax.tree.leaves(own), net.stored_variables(), strict=True)}
        hidden = {i: x.shape for i, x in enumerate(leaves) if i not in shown and getattr(x, "dtype", 0) == np.float32}
        self._hidden = hidden if packed and self.compiler_options() else {}
        self._leaves = list(map(jnp.asarray, pack(leaves, self._hidden, np)))
        self._slots = [(place - sum(i < place for i in self._hidden), variable) for place, variable in shown.items()]
        self._packed = packed

    def _shown(self, state: AgentState) -> list[tuple[Network, Weights]]:
        """Returns the networks, each with the weights in `state` that it shows."""
        return [(n, Weights(state.params[name], state.rest[name])) for name, n in self._networks.items()]

    def _flat(self, update: Callable[..., tuple[AgentState, LossInfo]]) -> Callable[..., tuple[list[Any], LossInfo]]:
        """Returns an update from leaves to leaves: building nests at every step would cost more than the checks."""

        def from_leaves(leaves: list[Any], experience: Any, weights: Any) -> tuple[list[Any], LossInfo]:
            state, info = update(self._structure.unflatten(unpack(leaves, self._hidden)), experience, weights)
            return pack(jax.tree.leaves(state), self._hidden, jnp), info

        return from_leaves

    @property
    def summaries(self) -> dict[str, Any]:
        """The latest summaries by tag: scalars, and `Histogram`s; empty unless asked for at construction."""
        return {} if self._structure is None else dict(self.get_state().summaries)

    @property
    def time_step_spec(self) -> TimeStep:
        """The spec of the steps that the policies accept."""
        return self._time_step_spec

    @property
    def action_spec(self) -> Any:
        """The spec of the actions."""
        return self._action_spec

    @property
    def policy(self) -> Policy:
        """The policy for use and evaluation."""
        return self._policy

    @property
    def collect_policy(self) -> Policy:
        """The policy for gathering experience."""
        return self._collect_policy

    @property
    def collect_data_spec(self) -> Trajectory:
        """The spec of the frames that `collect_policy` records, without outer axes."""
        return self._collect_policy.trajectory_spec

    @property
    def training_data_spec(self) -> Any:
        """The spec of the frames that `train` reads, without outer axes."""
        return self._training_data_spec

    @property
    def train_sequence_length(self) -> int | None:
        """The number of frames T that `train` needs; None for any."""
        return self._train_sequence_length

    @property
    def num_outer_dims(self) -> int:
        """2 if `train` reads frames `[B, T, ...]`, 1 if it reads `[B, ...]`."""
        return self._num_outer_dims

    @property
    def train_step_counter(self) -> StepCounter:
        """The number of train steps taken, shared with whoever shares the counter."""
        return self._train_step_counter

    @property
    def refused_steps(self) -> int:
        """The number of steps found to have been refused so far; the latest may not have been looked at yet."""
        return self._refused_steps

    @property
    def variables(self) -> list[Any]:
        """Every variable of the agent's networks."""
        return [variable for network in self._networks.values() for variable in network.variables]

    @property
    def trainable_variables(self) -> list[Any]:
        """The variables that training moves."""
        return [variable for network in self._networks.values() for variable in network.trainable_variables]

    def _transition_spec(self) -> Transition:
        raise SpecTypeError(f"{self.name} does not train on Transitions: pass a Trajectory [B, T, ...]")

    def _report_refused(self) -> None:
        """Accounts for the finished steps that were refused. Unfinished ones are not waited for, until there are many.

        With 32, a small network's caller need not fall asleep at each step; of larger ones eight batches are kept.

        Raises:
          NonFiniteError: as `on_nan` says.
          SpecError, MaskError: an action outside its spec, a state that allows nothing; whatever `on_nan` says.
        """
        while self._pending and (self._pending[0][0].is_ready() or len(self._pending) > (32 if self._hidden else 8)):
            loss, experience = self._pending.popleft()
            loss = np.asarray(loss)
            refused = int(not math.isfinite(loss)) if loss.ndim == 0 else int((~np.isfinite(loss)).sum())
            if not refused:
                self._refused_in_a_row = 0
                continue
            self._train_step_counter.value -= refused
            self._refused_steps += refused
            self._refused_in_a_row += refused
            error = self._why_refused(experience)
            patient = self._on_nan == "skip" and self._refused_in_a_row < _REFUSED_IN_A_ROW
            if not isinstance(error, NonFiniteError) or not (patient or self._on_nan == "ignore"):
                self._pending.clear()
                raise error

    def _why_refused(self, experience: Any) -> Exception:
        try:
            explain_refusal(experience, self._action_spec, self._splitter)
        except (ValueError, TypeError) as error:
            return error
        return NonFiniteError(
            f"a train step of {self.name} was refused: its loss or gradient is not finite",
            got="NaN or infinity from a finite batch",
            cause="a learning rate that is too high, or rewards that are too large.",
            fix="gradient_clipping=10.0, reward_scale_factor=0.1",
        )
