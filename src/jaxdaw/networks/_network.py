"""Network: a function of observations that owns its weights, with a pure core (`apply`, `init_weights`)."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable
from typing import Any, Self

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from jaxdaw import specs
from jaxdaw.errors import ConfigError, SpecError
from jaxdaw.networks._constructor_arguments import as_rngs
from jaxdaw.networks._module import Module
from jaxdaw.networks._weights import Facts, Layout, Weights, duplicate


class Network(Module, nnx.Module):
    """A function `(observation, step_type, network_state) -> (output, next_state)` that owns its weights.

    A subclass makes its layers in `__init__`, with the keyword `rngs` last, and writes `call`:

    ```python
    class Linear(Network):
        def __init__(self, input_tensor_spec, units, *, rngs=0):
            super().__init__(input_tensor_spec)
            self.layer = nnx.Linear(input_tensor_spec.shape[0], units, rngs=as_rngs(rngs))

        def call(self, observation):
            return self.layer(observation), ()
    ```

    `call` is given those of `step_type`, `network_state` and `training` that it names. It sees a validated observation
    without extra keys and, if `state_spec` is not empty, always a full state.

    The constructor's arguments are remembered, so that `copy` and `init_weights` can draw new weights. Networks among
    the arguments are made afresh too; any other nnx module must come in through a factory, see `from_factory`. The set
    of variables must not change after construction.

    Two ways to run it. Eagerly, `network(observation)`, which also moves batch statistics and dropout keys when
    `training`. Purely, `apply(weights, observation)`, under `jit`, `vmap`, `scan` and `grad`.

    Args:
      input_tensor_spec: the nest of specs of one observation, without outer axes; None accepts anything.
      state_spec: the nest of specs of what is carried between calls, without outer axes; `()` for no memory.
      name: defaults to the class name.
    """

    _facts: Facts
    _call_arguments: frozenset[str] = frozenset()
    _how_to_save = "jaxdaw.training.save_policy(policy, directory)  # of a policy that holds this network"

    def __init__(self, input_tensor_spec: Any, state_spec: Any = (), name: str | None = None):
        super().__init__(name)
        self._facts = Facts(self, input_tensor_spec, state_spec)

    def __init_subclass__(cls, **kwargs: Any):
        super().__init_subclass__(**kwargs)
        if "call" in vars(cls):
            cls._call_arguments = frozenset(inspect.signature(cls.call).parameters)

    @staticmethod
    def from_factory(
        factory: Callable[[nnx.Rngs], Any],
        input_tensor_spec: Any,
        state_spec: Any = (),
        name: str | None = None,
        rngs: nnx.Rngs | int = 0,
    ) -> Network:
        """Returns a Network around any `flax.nnx` module.

        The module's `__call__` takes the observation first, and is given those of `step_type`, `network_state` and
        `training` that it names. If it does not name `training`, its dropout and batch normalization layers are told.
        It returns its output if `state_spec` is `()`, and the pair `(output, next_state)` otherwise.

        Args:
          factory: makes the module from streams of random numbers: `lambda rngs: MyModule(..., rngs=rngs)`.
          input_tensor_spec, state_spec, name: as for `Network`; the name defaults to the module's class.
          rngs: the streams, or a seed.
        """
        from jaxdaw.networks._foreign import ForeignNetwork

        return ForeignNetwork(factory, input_tensor_spec, state_spec, name, rngs=rngs)

    # What a subclass writes.

    def call(self, *args: Any, **kwargs: Any) -> tuple[Any, Any]:
        """Returns `(output, next_state)` for a validated observation; the next state is `()` without memory."""
        del args, kwargs
        raise NotImplementedError(f"{type(self).__name__} must define call(observation, ...)")

    # Calling.

    def __call__(
        self, observation: Any, step_type: Any = None, network_state: Any = (), training: bool = False
    ) -> tuple[Any, Any]:
        """Computes the output and the next state.

        Args:
          observation: `[B, ...]` or `[B, T, ...]`; extra dictionary keys are dropped.
          step_type: int32 `[B]` or `[B, T]`; None if not known.
          network_state: `[B, ...]`; `()` stands for zeros. Ignored by a network without memory.
          training: True turns dropout on and moves batch statistics.

        Returns:
          `(output, next_state)`.

        Raises:
          SpecError, SpecTypeError: the observation, step types or state have another structure, dtype or shape.
        """
        observation, outer = self._admit(observation)
        arguments = {
            "step_type": None if step_type is None else self._admit_step_type(step_type, outer),
            "network_state": self._admit_state(network_state, outer[:1], "network_state given to"),
            "training": training,
        }
        taken = {name: value for name, value in arguments.items() if name in self._call_arguments}
        with jax.named_scope(self.name_scope):
            output, next_state = self.call(observation, **taken)
        return output, self._admit_state(next_state, outer[:1], "next state returned by")

    def _admit(self, observation: Any) -> tuple[Any, tuple[int, ...]]:
        spec = self.input_tensor_spec
        if spec is None:
            return observation, np.shape(jax.tree.leaves(observation)[0])[:1]
        what = f"observation given to {self.name}"
        observation = specs.prune_extra_keys(spec, observation)
        specs.assert_same_structure(spec, observation, what=what)
        spec = self._spec_for(observation)
        pairs = zip(specs.flatten(observation), specs.flatten(spec), strict=True)
        extra_axes = max((np.ndim(value) - len(leaf.shape) for value, leaf in pairs), default=1)
        specs.check(observation, spec, min(max(extra_axes, 1), 2), what=what, check_bounds=False)
        return observation, specs.outer_shape(observation, spec)

    def _spec_for(self, observation: Any) -> Any:
        """Returns the spec that an observation of the right structure has to fit."""
        del observation
        return self.input_tensor_spec

    def _admit_step_type(self, step_type: Any, outer: tuple[int, ...]) -> Any:
        shape = np.shape(step_type)
        if shape != outer and (self.input_tensor_spec is not None or shape[:1] != outer):
            raise SpecError(
                f"step_type given to {self.name} does not go with the observation",
                expected=str(outer),
                got=str(shape),
                fix="network(time_step.observation, time_step.step_type)",
            )
        return jnp.asarray(step_type)

    def _admit_state(self, state: Any, outer: tuple[int, ...], what: str) -> Any:
        if self.state_spec == ():
            return ()
        if isinstance(state, tuple) and not state:
            return specs.zeros(self.state_spec, outer)
        specs.check(state, self.state_spec, outer, what=f"{what} {self.name}", check_bounds=False)
        return state

    # The pure core.

    def apply(
        self, weights: Weights, observation: Any, step_type: Any = None, network_state: Any = (), training: bool = False
    ) -> tuple[Any, Any, Any]:
        """Returns `(output, next_state, new_rest)` for the given weights; pure. Arguments and errors as for `__call__`.

        Args:
          weights: from `get_weights` or `init_weights`; the network's own are not looked at.

        Returns:
          `new_rest` is `weights.rest` after the call: changed only if `training`.
        """
        layout = self._layout()
        module = layout.merge(weights)
        output, next_state = module(observation, step_type, network_state, training)
        return output, next_state, layout.rest.read_from(module)

    def init_weights(self, key: jax.Array) -> Weights:
        """Returns freshly drawn weights; pure: `jax.vmap(network.init_weights)(keys)` gives a population."""
        return self._constructor_arguments.rebuild(nnx.Rngs(key), {}).get_weights()

    def regularization_loss(self, params: Any) -> jax.Array:
        """Returns the sum of `l2 * sum(kernel**2)` over the variables that carry an `l2`, `[]`; pure.

        A layer carries it if it was made so: `nnx.Linear(..., kernel_metadata={"l2": 1e-4})`.
        """
        return sum(self._penalties(params), start=jnp.zeros((), jnp.float32))

    def _penalties(self, params: Any) -> list[jax.Array]:
        group = self._layout().params
        return [
            variable.get_metadata("l2") * jnp.sum(jnp.square(value))
            for variable, value in zip(group.variables, group.leaves(params), strict=True)
            if variable.has_metadata("l2")
        ]

    # Weights.

    def get_weights(self) -> Weights:
        """Returns the network's own arrays, uncopied: do not donate them and keep using the network."""
        return self._layout().gather()

    def weight_leaves(self) -> list[Any]:
        """Returns the arrays of `get_weights()` in their order, without building the nest."""
        layout = self._layout()
        return [*layout.params.arrays(), *layout.rest.arrays()]

    def set_weights(self, weights: Weights) -> None:
        """Makes `weights` the network's, uncopied.

        Raises:
          SpecError: another structure, shape or dtype; nothing is written then.
        """
        self._layout().scatter(weights)

    def stored_variables(self) -> list[nnx.Variable[Any]]:
        """Returns the variables in the order of the leaves of `get_weights()`."""
        return self._layout().variables

    def copy(self, rngs: nnx.Rngs | int | None = None, **overrides: Any) -> Self:
        """Returns a network from the same constructor, with fresh weights.

        Args:
          rngs: the streams to draw from, or a seed; None takes a stream of its own for each copy.
          overrides: constructor arguments to change.

        Raises:
          ConfigError: an nnx module that is not a Network was passed to the constructor: it cannot be made anew.
          TypeError: the constructor has no such argument.
        """
        arguments = self._constructor_arguments
        return arguments.rebuild(arguments.next_stream() if rngs is None else as_rngs(rngs), overrides)

    def clone(self) -> Self:
        """Returns a network with the same weights in arrays of its own."""
        return copy.deepcopy(self)

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Self:
        return duplicate(self, {} if memo is None else memo)

    def _layout(self) -> Layout:
        facts = self._facts
        if facts.owner is not self:  # a module merged for one call of `apply`: the layout is not kept
            return Layout(self)
        if facts.layout is None:
            facts.layout = Layout(self)
        return facts.layout

    def named_variables(self) -> list[tuple[str, nnx.Variable[Any]]]:
        """Returns `(name, variable)` in the order of construction, e.g. `("encoder/layer_0/kernel", ...)`."""
        return list(self._layout().named_variables)

    @property
    def variable_names(self) -> list[str]:
        """The names of `variables`, in their order."""
        return [name for name, _ in self._layout().named_variables]

    @property
    def variables(self) -> list[nnx.Variable[Any]]:
        """All variables in the order of construction, batch statistics and dropout keys included."""
        return [variable for _, variable in self._layout().named_variables]

    @property
    def trainable_variables(self) -> list[nnx.Variable[Any]]:
        """The variables that training moves, in the order of construction."""
        return [variable for variable in self.variables if isinstance(variable, nnx.Param)]

    @property
    def losses(self) -> list[jax.Array]:
        """The weight penalties at the present weights, one for each variable that has an `l2`."""
        return self._penalties(self.get_weights().params)

    # Specs.

    @property
    def input_tensor_spec(self) -> Any:
        """The spec of one observation; None if anything is accepted."""
        return self._facts.input_tensor_spec

    @property
    def state_spec(self) -> Any:
        """The spec of what is carried between calls; `()` for a network without memory."""
        return self._facts.state_spec

    def create_variables(self, input_tensor_spec: Any = None, **kwargs: Any) -> Any:
        """Returns the spec of one output, without outer axes. The variables exist since construction.

        Args:
          input_tensor_spec: looked at only if the network has none of its own.
          kwargs: further arguments of the call, e.g. `training=True`.

        Returns:
          A nest of TensorSpec; an output that is not a nest of arrays, a distribution say, is described by its own
          class holding `jax.ShapeDtypeStruct` leaves of a batch of 1.

        Raises:
          SpecError: no spec is known.
        """
        spec = input_tensor_spec if self.input_tensor_spec is None else self.input_tensor_spec
        if spec is None:
            raise SpecError(f"{self.name} has no input_tensor_spec", fix="network.create_variables(observation_spec)")
        if not kwargs and spec is self.input_tensor_spec and self._facts.output_spec is not None:
            return self._facts.output_spec[0]

        def run(weights: Weights, observation: Any, step_type: Any) -> Any:
            return self.apply(weights, observation, step_type, **kwargs)[0]

        inputs = specs.to_shape_dtype_struct(spec, (1,)), jax.ShapeDtypeStruct((1,), jnp.int32)
        output = jax.eval_shape(run, self.get_weights(), *inputs)
        output_spec = specs.map_structure(_without_batch, output)
        if not kwargs and spec is self.input_tensor_spec:
            self._facts.output_spec = (output_spec,)
        return output_spec

    def get_initial_state(self, batch_size: int | None = None) -> Any:
        """Returns the state before the first step: zeros `[B, ...]`, or without batch axis if None."""
        return specs.zeros(self.state_spec, () if batch_size is None else (batch_size,))

    initial_state = get_initial_state


def _without_batch(leaf: Any) -> Any:
    return specs.TensorSpec(leaf.shape[1:], leaf.dtype) if isinstance(leaf, jax.ShapeDtypeStruct) else leaf


def require_network(label: str, network: Any) -> None:
    """Checks that what was given as the argument `label` is a Network.

    Raises:
      ConfigError: it is something else.
    """
    if not isinstance(network, Network):
        raise ConfigError(
            f"{label} is not a Network",
            expected="jaxdaw.networks.Network",
            got=type(network).__name__,
            fix="Network.from_factory(lambda rngs: MyModule(rngs=rngs), input_tensor_spec)",
        )
