"""Recurrent cores: LSTM and GRU cells, stacked, unrolled over time, reset where an episode begins."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from jaxdaw import specs
from jaxdaw.errors import ConfigError, SpecTypeError
from jaxdaw.networks._constructor_arguments import as_rngs
from jaxdaw.networks._encoding import EncodingNetwork
from jaxdaw.networks._layers import Activation, Dense, Initializer, glorot_uniform, he_truncated_normal
from jaxdaw.networks._network import Network

CellType = Literal["lstm", "gru"]


class LSTMState(NamedTuple):
    """The state of one LSTM cell.

    Attributes:
      hidden: the cell's last output, float32 `[B, units]`.
      cell: its memory, float32 `[B, units]`.
    """

    hidden: Any
    cell: Any


class LSTMCell(nnx.Module):
    """A long short-term memory cell; its gates stand in the order input, forget, candidate, output.

    ```text
    i, f, g, o = split(x W + h U + b)
    c' = sigmoid(f) c + sigmoid(i) tanh(g)          h' = sigmoid(o) tanh(c')
    ```

    The four gates share one kernel `[in, 4 units]` (Glorot uniform), one recurrent kernel `[units, 4 units]`
    (orthonormal rows) and one bias `[4 units]` (1 for the forget gate, otherwise 0).

    Source: Hochreiter & Schmidhuber 1997; Gers, Schmidhuber & Cummins 2000 (forget gate).
    """

    def __init__(self, in_features: int, units: int, *, rngs: nnx.Rngs):
        self.kernel = nnx.Param(glorot_uniform(rngs.params(), (in_features, 4 * units), jnp.float32))
        self.recurrent_kernel = nnx.Param(_orthogonal(rngs.params(), (units, 4 * units), jnp.float32))
        self.bias = nnx.Param(jnp.repeat(jnp.array([0.0, 1.0, 0.0, 0.0], jnp.float32), units))

    @staticmethod
    def state_spec(units: int) -> LSTMState:
        """Returns the spec of the state of a cell with so many units."""
        return LSTMState(hidden=specs.TensorSpec((units,), np.float32), cell=specs.TensorSpec((units,), np.float32))

    @staticmethod
    def output(state: LSTMState) -> jax.Array:
        """Returns the output `[..., units]` that a state stands for."""
        return state.hidden

    def transition(self) -> Callable[[LSTMState, jax.Array], LSTMState]:
        """Returns the pure function `(state, inputs) -> state`, of inputs already multiplied by `kernel`."""
        recurrent_kernel, bias = self.recurrent_kernel[...], self.bias[...]

        def step(state: LSTMState, inputs: jax.Array) -> LSTMState:
            i, f, g, o = jnp.split(inputs + state.hidden @ recurrent_kernel + bias, 4, axis=-1)
            cell = jax.nn.sigmoid(f) * state.cell + jax.nn.sigmoid(i) * jnp.tanh(g)
            return LSTMState(hidden=jax.nn.sigmoid(o) * jnp.tanh(cell), cell=cell)

        return step


class GRUCell(nnx.Module):
    """A gated recurrent unit; its gates stand in the order reset, update, candidate.

    ```text
    r = sigmoid(x Wr + h Ur + br)      z = sigmoid(x Wz + h Uz + bz)      n = tanh(x Wn + r (h Un) + bn)
    h' = (1 - z) n + z h
    ```

    The gates share one kernel `[in, 3 units]`, one recurrent kernel `[units, 3 units]` and one bias `[3 units]`, drawn
    as for `LSTMCell`; the bias is 0.

    Source: Cho et al. 2014. Differs from the paper: the reset gate multiplies `h Un` rather than `h`, as in cuDNN, so
    that the three products with `h` are one.
    """

    def __init__(self, in_features: int, units: int, *, rngs: nnx.Rngs):
        self.kernel = nnx.Param(glorot_uniform(rngs.params(), (in_features, 3 * units), jnp.float32))
        self.recurrent_kernel = nnx.Param(_orthogonal(rngs.params(), (units, 3 * units), jnp.float32))
        self.bias = nnx.Param(jnp.zeros(3 * units, jnp.float32))

    @staticmethod
    def state_spec(units: int) -> specs.TensorSpec:
        """Returns the spec of the state of a cell with so many units."""
        return specs.TensorSpec((units,), np.float32)

    @staticmethod
    def output(state: jax.Array) -> jax.Array:
        """Returns the output `[..., units]` that a state stands for: itself."""
        return state

    def transition(self) -> Callable[[jax.Array, jax.Array], jax.Array]:
        """Returns the pure function `(state, inputs) -> state`, of inputs already multiplied by `kernel`."""
        recurrent_kernel, bias = self.recurrent_kernel[...], self.bias[...]

        def step(state: jax.Array, inputs: jax.Array) -> jax.Array:
            reset_in, update_in, candidate_in = jnp.split(inputs + bias, 3, axis=-1)
            reset_h, update_h, candidate_h = jnp.split(state @ recurrent_kernel, 3, axis=-1)
            update = jax.nn.sigmoid(update_in + update_h)
            candidate = jnp.tanh(candidate_in + jax.nn.sigmoid(reset_in + reset_h) * candidate_h)
            return (1.0 - update) * candidate + update * state

        return step


_orthogonal: Initializer = jax.nn.initializers.orthogonal()
_CELLS = {"lstm": LSTMCell, "gru": GRUCell}


class RecurrentCore(Network):
    """Stacked recurrent cells: features `[B, n]` or `[B, T, n]` to the last cell's output, same outer axes.

    On every frame with `step_type` FIRST the state is zeros before the cells run, so a sequence that crosses into a new
    episode gives exactly what the new episode alone gives. The state is a tuple with one entry for each cell: an
    `LSTMState`, or for a GRU the hidden array `[B, units]`.

    Args:
      input_tensor_spec: one vector.
      units: the size of each cell, or of the only one.
      cell_type: "lstm" or "gru".
      name: defaults to the class name.
      rngs: streams of random numbers for the weights, or a seed.

    Raises:
      ConfigError: no cells, or an unknown `cell_type`.
    """

    def __init__(
        self,
        input_tensor_spec: specs.TensorSpec,
        units: Sequence[int] | int,
        cell_type: CellType = "lstm",
        name: str | None = None,
        *,
        rngs: nnx.Rngs | int = 0,
    ):
        sizes = (units,) if isinstance(units, int | np.integer) else tuple(units)
        if cell_type not in _CELLS or not sizes:
            raise ConfigError(
                "bad recurrent core", expected="'lstm' or 'gru', some cells", got=f"{cell_type!r}, {sizes}"
            )
        make = _CELLS[cell_type]
        super().__init__(input_tensor_spec, tuple(make.state_spec(int(size)) for size in sizes), name)
        rngs = as_rngs(rngs)
        widths = (input_tensor_spec.shape[0], *sizes[:-1])
        self.cell = nnx.List(
            [make(int(width), int(size), rngs=rngs) for width, size in zip(widths, sizes, strict=True)]
        )

    def call(self, observation: jax.Array, step_type: Any, network_state: Any) -> tuple[jax.Array, Any]:
        """Returns the outputs and the state after the last frame.

        Raises:
          SpecTypeError: a sequence without `step_type`.
        """
        sequence = observation.ndim == 3
        if sequence and step_type is None:
            raise SpecTypeError(
                f"{self.name} needs to know where episodes begin in a sequence",
                expected="step_type int32 [B, T]",
                got="None",
                fix="network(time_step.observation, time_step.step_type)",
            )
        is_first = None if step_type is None else step_type == int(specs.StepType.FIRST)
        x, next_state = jnp.asarray(observation), []
        for cell, state in zip(self.cell, network_state, strict=True):
            x, state = (_unroll if sequence else _advance)(cell, x, is_first, state)
            next_state.append(state)
        return x, tuple(next_state)


def _advance(cell: Any, x: jax.Array, is_first: Any, state: Any) -> tuple[jax.Array, Any]:
    state = cell.transition()(state if is_first is None else _reset(state, is_first), x @ cell.kernel[...])
    return cell.output(state), state


def _unroll(cell: Any, x: jax.Array, is_first: Any, state: Any) -> tuple[jax.Array, Any]:
    transition = cell.transition()

    def frame(state: Any, inputs: tuple[jax.Array, jax.Array]) -> tuple[Any, jax.Array]:
        state = transition(_reset(state, inputs[1]), inputs[0])
        return state, cell.output(state)

    # The product with the kernel does not depend on the state: one large product serves all frames.
    by_time = jnp.swapaxes(x @ cell.kernel[...], 0, 1), jnp.swapaxes(is_first, 0, 1)
    state, outputs = jax.lax.scan(frame, state, by_time)
    return jnp.swapaxes(outputs, 0, 1), state


def _reset(state: Any, is_first: jax.Array) -> Any:
    return jax.tree.map(lambda s: jnp.where(is_first[:, None], 0.0, s), state)


class RecurrentEncodingNetwork(Network):
    """Observation to features with memory: an EncodingNetwork, a recurrent core, then dense layers.

    Args:
      input_tensor_spec: a nest of specs.
      preprocessing_layers, preprocessing_combiner, conv_layer_params, activation_fn, kernel_initializer, dtype: as for
        `EncodingNetwork`; the core computes in float32.
      input_fc_layer_params: the units of the dense layers before the core.
      lstm_size: the units of each cell of a `RecurrentCore`.
      output_fc_layer_params: the units of the dense layers after the core.
      cell_type: "lstm" or "gru".
      rnn_construction_fn: instead of `lstm_size`, makes the core: `(input_tensor_spec, rngs) -> Network` from one
        vector to one vector, with a `state_spec`. It must reset its state itself where `step_type` is FIRST.
      name: defaults to the class name.
      rngs: streams of random numbers for the weights, or a seed.

    Raises:
      ConfigError: not exactly one of `lstm_size` and `rnn_construction_fn`; otherwise as `EncodingNetwork`.
    """

    def __init__(
        self,
        input_tensor_spec: Any,
        preprocessing_layers: Any = None,
        preprocessing_combiner: Callable[..., Any] | None = None,
        conv_layer_params: Sequence[Sequence[Any]] | None = None,
        input_fc_layer_params: Sequence[int] | None = (75, 40),
        lstm_size: Sequence[int] | int | None = None,
        output_fc_layer_params: Sequence[int] | None = (75, 40),
        activation_fn: Activation = jax.nn.relu,
        kernel_initializer: Initializer | None = None,
        dtype: Any = jnp.float32,
        cell_type: CellType = "lstm",
        rnn_construction_fn: Callable[[specs.TensorSpec, nnx.Rngs], Network] | None = None,
        name: str | None = None,
        *,
        rngs: nnx.Rngs | int = 0,
    ):
        if (lstm_size is None) == (rnn_construction_fn is None):
            raise ConfigError(
                "a recurrent network needs exactly one of lstm_size and rnn_construction_fn",
                expected="one",
                got="none" if lstm_size is None else "both",
                fix="lstm_size=(40,)",
            )
        rngs = as_rngs(rngs)
        encoder = EncodingNetwork(
            input_tensor_spec,
            preprocessing_layers,
            preprocessing_combiner,
            conv_layer_params,
            input_fc_layer_params,
            activation_fn=activation_fn,
            kernel_initializer=kernel_initializer,
            dtype=dtype,
            rngs=rngs,
        )
        features = specs.TensorSpec((encoder.num_features,), np.float32)
        if rnn_construction_fn is not None:
            core = rnn_construction_fn(features, rngs)
        else:
            core = RecurrentCore(features, () if lstm_size is None else lstm_size, cell_type, rngs=rngs)
        super().__init__(input_tensor_spec, core.state_spec, name)
        self.encoder = encoder
        self.core = core
        kernel_init = he_truncated_normal if kernel_initializer is None else kernel_initializer
        size = core.create_variables().shape[-1]
        self.layer = nnx.List([])
        for width in output_fc_layer_params or ():
            self.layer.append(Dense(size, int(width), activation_fn, kernel_init=kernel_init, dtype=dtype, rngs=rngs))
            size = int(width)
        self._num_features = size

    @property
    def num_features(self) -> int:
        """The size of the output's last axis."""
        return self._num_features

    def call(
        self, observation: Any, step_type: Any, network_state: Any, training: bool = False
    ) -> tuple[jax.Array, Any]:
        """Returns the features and the core's next state."""
        x, _ = self.encoder(observation, training=training)
        x, next_state = self.core(x.astype(jnp.float32), step_type, network_state, training)
        for layer in self.layer:
            x = layer.transform(x, training)
        return x, next_state
