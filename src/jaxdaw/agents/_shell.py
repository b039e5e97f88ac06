"""Shell: base class of `Agent` with the documented methods, around the pure functions."""

from __future__ import annotations

import copy
import inspect
import math
import threading
import warnings
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Self

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from jaxdaw.agents._checks import BatchChecks, check_choice, nan_unless_valid
from jaxdaw.agents._state import AgentState, StepCounter
from jaxdaw.errors import ConfigError, JaxdawWarning, NonFiniteError, SpecTypeError
from jaxdaw.networks import Module, Network, read_arrays, write_arrays
from jaxdaw.policies import Policy, Splitter
from jaxdaw.trajectories import LossInfo, PolicyStep, TimeStep, Trajectory, Transition

_REFUSED_IN_A_ROW = 10
"""Refused steps in a row after which "skip" raises."""
_IN_FLIGHT = 32
"""Train steps that may be dispatched before the oldest is waited for: each keeps its batch alive."""
_SMALL = 32_768
"""Number of weights below which overhead dominates the arithmetic of a train step, measured on two CPU cores."""


class Shell(Module):
    """The documented methods of an agent: they check their input, call one compiled function, and hold the state.

    The networks own their weights: whoever holds a network sees it train, and may set a variable. So the state is
    gathered from the networks before each call, and shown in them after it. What they show is not donated: policies may
    act by the same arrays in other threads. `Agent` has the pure functions, and its constructor calls this one.
    """

    if TYPE_CHECKING:  # defined by `Agent`
        from jaxdaw.agents._agent import Agent as _Agent

        init = _Agent.init
        update = _Agent.update
        update_many = _Agent.update_many
        learn = _Agent.learn
        steps_in = _Agent.steps_in
        loss_info = _Agent.loss_info
        prepare = _Agent.prepare
        shown_weights = _Agent.shown_weights
        _first_state = _Agent._first_state

    def __init__(
        self,
        time_step_spec: TimeStep,
        action_spec: Any,
        policy: Policy,
        collect_policy: Policy,
        *,
        networks: dict[str, Network],
        train_sequence_length: int | None,
        num_outer_dims: int,
        observation_and_action_constraint_splitter: Splitter | None,
        train_step_counter: StepCounter | None,
        training_data_spec: Any,
        learns_by_frame: bool,
        takes_transitions: bool,
        prepares: bool,
        on_nan: str,
        name: str | None,
    ):
        super().__init__(name)
        check_choice("on_nan", on_nan, ("raise", "skip", "ignore"))
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
        self._train_step_counter = StepCounter() if train_step_counter is None else train_step_counter
        self._training_data_spec = collect_policy.trajectory_spec if training_data_spec is None else training_data_spec
        self._learns_by_frame = learns_by_frame
        self._takes_transitions = takes_transitions
        self._on_nan = on_nan
        self._structure: Any = None  # of the state; None before the first use
        self._places: list[int] = []  # among its leaves, of the arrays that networks show
        self._variables: list[Any] = []  # which hold them, in this order
        self._hidden: list[Any] = []  # the other leaves
        self._batches = 0  # given to train
        self._refused_steps = 0
        self._refused_in_a_row = 0
        self._training_thread: int | None = None
        self._in_flight: deque[tuple[int, Any, Any, Any]] = deque()
        self._checks = BatchChecks(self)
        self._prepares = prepares
        given = ("state", "experience", "weights", "key")
        self._learn_arguments = [name for name in inspect.signature(self.learn).parameters if name not in given]
        options = self.compiler_options()
        self._compiled_update = jax.jit(self._on_leaves(self.update, 0), donate_argnums=1, compiler_options=options)
        self._compiled_update_many = jax.jit(
            self._on_leaves(self.update_many, 1), donate_argnums=1, compiler_options=options
        )
        self._compiled_loss = jax.jit(self.loss_info, static_argnums=3)

    def initialize(self, seed: int | jax.Array | None = None) -> None:
        """Makes the agent ready to train: a fresh optimizer, targets copied from the online weights.

        Args:
          seed: an integer or a key draws new weights for every network, and is the source of all randomness of
            training; None keeps the weights, and draws as from seed 0.

        Raises:
          RuntimeError: the base constructor was not called.
        """
        self._require_initialized()
        self._in_flight.clear()  # of steps from which nothing remains
        self._refused_in_a_row = 0
        if seed is None:
            self._start(fresh=True)
        else:
            key = seed if isinstance(seed, jax.Array) else jax.random.key(seed)
            self.set_state(jax.jit(self.init)(key))

    def train(self, experience: Any, weights: Any = None, **kwargs: Any) -> LossInfo:
        """Takes one train step on a batch; of an algorithm that goes over it several times, all of them.

        Args:
          experience: a Trajectory `[B, T, ...]` with T equal to `train_sequence_length` unless that is None; or a
            Transition `[B, ...]` made by `to_n_step_transition`. Extra dictionary keys are dropped.
          weights: None, `[]` or `[B]`: multiplied with each example's loss before the mean over B.
          kwargs: arrays that the algorithm's `learn` names.

        Returns:
          The loss before the step. It is not waited for: reading it does that.

        Raises:
          TypeError: `experience` is neither a Trajectory nor a Transition, a leaf has another dtype, or an argument
            that `learn` does not name.
          ValueError: another structure, shape or T; an action, step type or mask of a NumPy batch outside its spec;
            weights of another shape.
          NonFiniteError: NaN or infinity, unless `on_nan` says otherwise.
          RuntimeError: the base constructor was not called.

        What is wrong with a NumPy batch is found before the step. What only the device sees makes the step be refused
        there: the weights stay as they were, later batches train, and the error, which says which batch it was, is
        raised by the next call of `train` that finds the step done, or by `loss`, `get_state`, `policy` or
        `collect_policy` in the thread that trains.
        """
        self._require_initialized()
        unknown = [name for name in kwargs if name not in self._learn_arguments]
        if unknown:
            raise TypeError(
                f"{self.name}.train() has no argument {unknown[0]!r}: its learn takes "
                f"{', '.join(self._learn_arguments) or 'experience and weights alone'}"
            )
        experience, weights = self._checks.admit(self._prepared(experience), weights, False)
        return self._take(self._compiled_update, self.steps_in(experience), experience, weights, kwargs)

    def train_many(self, experience: Any, weights: Any = None) -> LossInfo:
        """Takes K train steps in one compiled program.

        Args:
          experience: as for `train`, with a leading axis K: `[K, B, T, ...]`.
          weights: None, `[K]` or `[K, B]`.

        Returns:
          A LossInfo whose leaves have a leading axis K. Errors are those of `train`.
        """
        self._require_initialized()
        experience, weights = self._checks.admit(self._prepared(experience), weights, True)
        steps = jax.tree.leaves(experience)[0].shape[0] * self.steps_in(experience)
        return self._take(self._compiled_update_many, steps, experience, weights, {})

    def loss(self, experience: Any, weights: Any = None, training: bool = False) -> LossInfo:
        """Returns the loss that `train` would minimise on this batch, and changes nothing.

        Args:
          experience, weights: as for `train`.
          training: whether the networks run in training mode (dropout on).

        Raises: as `train`; what is traced by `jax.jit` may hold NaN, and gives it.
        """
        self._require_initialized()
        state = self.get_state()
        experience, weights = self._checks.admit(self._prepared(experience), weights, False)
        info = self._compiled_loss(state, experience, weights, training)
        if self._on_nan == "raise" and not isinstance(info.loss, Tracer) and not np.isfinite(info.loss):
            self._checks.explain(experience, weights)
        return info

    def preprocess_sequence(self, experience: Any) -> Any:
        """Returns what `train` reads, made of recorded frames; `train` and `loss` do this themselves."""
        return self._prepared(experience)

    def post_process_policy(self) -> Policy:
        """Returns the policy to export after training."""
        return self.policy

    def get_state(self) -> AgentState:
        """Returns the agent's state: the networks' own arrays, the optimizers', memory, key and counter.

        It is valid until the next train step, which donates what networks do not show: copy it to keep it.

        Raises: what `train` has not reported yet.
        """
        self._report_refused(wait=True)
        return self._gathered()

    def set_state(self, state: AgentState) -> None:
        """Makes `state` the agent's: the networks show its weights. Its arrays are used, not copied.

        Raises:
          SpecError: the weights do not fit a network.
        """
        for network, weights in self.shown_weights(state):
            network.set_weights(weights)
        leaves, self._structure = jax.tree.flatten(state)
        places = self.shown_weights(self._structure.unflatten(range(len(leaves))))
        shown = dict(pair for net, own in places for pair in zip(jax.tree.leaves(own), net.stored_variables()))
        self._places, self._variables = list(shown), list(shown.values())
        self._hidden, known = [], {id(leaves[place]) for place in shown}
        for leaf in (leaf for place, leaf in enumerate(leaves) if place not in shown):
            array = jnp.asarray(leaf) if id(leaf) not in known else jnp.copy(leaf)  # a buffer is donated once
            known.add(id(array))
            self._hidden.append(array)

    def compiler_options(self) -> dict[str, Any]:
        """Returns options for `jax.jit` of programs that train this agent.

        On a CPU, XLA runs the operations of a program side by side, and copies what it donates to be able to. Where
        they take about a microsecond each, that is slower by half than one after the other.
        """
        arrays = [a for network in self._networks.values() for a in jax.tree.leaves(network.get_weights().params)]
        if jax.default_backend() != "cpu" or sum(map(np.size, arrays)) > _SMALL:
            return {}
        return {"xla_cpu_scheduler_type": "CPU_SCHEDULER_TYPE_MEMORY_OPTIMIZED"}

    # The state, and its arrays in the networks.

    def _start(self, fresh: bool) -> None:
        weights = {name: network.get_weights() for name, network in self._networks.items()}
        self.set_state(jax.tree.map(jnp.asarray, self._first_state(weights, jax.random.key(0), fresh)))

    def _gathered(self) -> AgentState:
        if self._structure is None:
            self._start(fresh=False)
        return self._state_of(read_arrays(self._variables), self._hidden)

    def _state_of(self, shown: Sequence[Any], hidden: Sequence[Any]) -> AgentState:
        at, others = dict(zip(self._places, shown, strict=True)), iter(hidden)
        count = len(shown) + len(hidden)
        return self._structure.unflatten([at[place] if place in at else next(others) for place in range(count)])

    def _on_leaves(self, update: Callable[..., tuple[AgentState, LossInfo]], lead: int) -> Callable[..., Any]:
        """Returns an update of lists of leaves: nests are built when it is compiled, not when it is called.

        Args:
          update: `update`, or `update_many` with one leading axis.
          lead: the number of leading axes.
        """

        def from_leaves(
            shown: Any, hidden: Any, experience: Any, weights: Any, **kwargs: Any
        ) -> tuple[list[Any], list[Any], LossInfo]:
            weights = nan_unless_valid(experience, weights, lead)
            state, info = update(self._state_of(shown, hidden), experience, weights, **kwargs)
            leaves, places = jax.tree.leaves(state), set(self._places)
            rest = [leaf for place, leaf in enumerate(leaves) if place not in places]
            return [leaves[place] for place in self._places], rest, info

        return from_leaves

    def _prepared(self, experience: Any) -> Any:
        return self.prepare(self._gathered(), experience) if self._prepares else experience

    def __copy__(self) -> Self:
        return copy.deepcopy(self)  # two agents cannot share arrays that training donates

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        with warnings.catch_warnings():  # the original's constructor has already warned
            warnings.simplefilter("ignore", JaxdawWarning)
            twin = self.from_constructor_arguments(copy.deepcopy(self.constructor_arguments(), memo))
        memo[id(self)] = twin
        twin.set_state(jax.tree.map(jnp.copy, self.get_state()))
        twin.train_step_counter.value = int(self.train_step_counter)
        return twin

    # Steps refused on the device.

    def _take(self, compiled: Any, steps: int, experience: Any, weights: Any, kwargs: dict[str, Any]) -> LossInfo:
        if self._structure is None:
            self._start(fresh=False)
        shown, self._hidden, info = compiled(read_arrays(self._variables), self._hidden, experience, weights, **kwargs)
        write_arrays(self._variables, shown)
        self._training_thread = threading.get_ident()
        self._train_step_counter.value += steps
        self._batches += 1
        try:
            self._report_refused()
        finally:  # an earlier batch's error does not keep this one from being looked at
            self._in_flight.append((self._batches, info.loss, experience, weights))
        return info

    def _report_refused(self, wait: bool = False) -> None:
        """Counts refused steps among the finished ones, or waits for all of them.

        Raises:
          NonFiniteError: as `on_nan` says.
          SpecError, MaskError: an action outside its spec, a state that allows nothing; whatever `on_nan` says.
        """
        while self._in_flight:
            number, loss, experience, weights = self._in_flight[0]
            if not (wait or len(self._in_flight) > _IN_FLIGHT or loss.is_ready()):
                return
            self._in_flight.popleft()
            losses = np.asarray(loss)
            if losses.ndim == 0:
                self._account(math.isfinite(losses), experience, weights, f"batch {number}")
                continue
            for k, is_finite in enumerate(np.isfinite(losses)):
                batch: Any = (experience, weights)
                if not is_finite:
                    batch = jax.tree.map(lambda x, k=k: x[k], batch)
                self._account(bool(is_finite), batch[0], batch[1], f"step {k} of batch {number}")

    def _account(self, is_finite: bool, experience: Any, weights: Any, which: str) -> None:
        if is_finite:
            self._refused_in_a_row = 0
            return
        self._train_step_counter.value -= self.steps_in(experience)
        self._refused_steps += 1
        self._refused_in_a_row += 1
        error = self._why_refused(experience, weights)
        patient = self._on_nan == "skip" and self._refused_in_a_row < _REFUSED_IN_A_ROW
        if not isinstance(error, NonFiniteError) or not (patient or self._on_nan == "ignore"):
            error.add_note(f"  It was {which} of those given to {self.name}; later ones were trained on.")
            raise error

    def _report_to_trainer(self) -> None:
        """Reports all refused steps to the thread that trains; others, which serve policies, neither wait nor raise."""
        if self._training_thread == threading.get_ident():
            self._report_refused(wait=True)

    def _why_refused(self, experience: Any, weights: Any) -> Exception:
        try:
            self._checks.explain(experience, weights)
        except (ValueError, TypeError) as error:
            return error
        return NonFiniteError(
            f"a train step of {self.name} was refused: its loss or gradient is not finite",
            got="NaN or infinity from a finite batch",
            cause="a learning rate that is too high, or rewards that are too large.",
            fix="gradient_clipping=10.0, reward_scale_factor=0.1",
        )

    # Documented properties.

    @property
    def summaries(self) -> dict[str, Any]:
        """The latest summaries by tag: scalars, and `Histogram`s; empty unless asked for at construction."""
        return {} if self._structure is None else dict(self._gathered().summaries)

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
        self._report_to_trainer()
        return self._policy

    @property
    def collect_policy(self) -> Policy:
        """The policy for gathering experience."""
        self._report_to_trainer()
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
    def transition_spec(self) -> Transition:
        """The spec of the transitions that `train` reads, without outer axes.

        Raises:
          SpecTypeError: this agent does not train on transitions.
        """
        if not self._takes_transitions:
            raise SpecTypeError(f"{self.name} does not train on Transitions: pass a Trajectory [B, T, ...]")
        frame: Trajectory = self._training_data_spec
        step = self._time_step_spec._replace(observation=frame.observation)
        action_step = PolicyStep(action=frame.action, state=(), info=frame.policy_info)
        return Transition(time_step=step, action_step=action_step, next_time_step=step)

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
        """Every variable of the networks that the agent shows, target networks included."""
        return [variable for network, _ in self.shown_weights(self._gathered()) for variable in network.variables]

    @property
    def trainable_variables(self) -> list[Any]:
        """The variables that training moves."""
        return [variable for network in self._networks.values() for variable in network.trainable_variables]
