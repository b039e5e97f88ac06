"""Recurrent cores, against the formulas in NumPy and the measured numbers of the reference."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdaw import specs
from jaxdaw.errors import ConfigError, SpecError, SpecTypeError
from jaxdaw.networks import LSTMState, Network, QRnnNetwork, RecurrentCore, RecurrentEncodingNetwork

RNG = np.random.default_rng(0)
VECTOR = specs.TensorSpec((3,), np.float32)
ACTION = specs.BoundedTensorSpec((), np.int32, 0, 1)
FIRST, MID, LAST = 0, 1, 2


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def lstm(x, state, w):
    h, c = state
    i, f, g, o = np.split(x @ w["kernel"] + h @ w["recurrent_kernel"] + w["bias"], 4, axis=-1)
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    h = sigmoid(o) * np.tanh(c)
    return h, (h, c)


def gru(x, state, w):
    (h,) = state
    (xr, xz, xn), (hr, hz, hn) = (
        np.split(x @ w["kernel"] + w["bias"], 3, -1),
        np.split(h @ w["recurrent_kernel"], 3, -1),
    )
    r, z = sigmoid(xr + hr), sigmoid(xz + hz)
    h = (1 - z) * np.tanh(xn + r * hn) + z * h
    return h, (h,)


def unroll(cell, x, step_type, weights, units, arity):
    """Runs stacked cells over `[B, T, n]`, row by row and frame by frame, with a reset before each FIRST frame."""
    outputs = np.zeros((*x.shape[:2], units[-1]))
    for b in range(len(x)):
        states = [tuple(np.zeros(u) for _ in range(arity)) for u in units]
        for t in range(x.shape[1]):
            if step_type[b, t] == FIRST:
                states = [tuple(np.zeros(u) for _ in range(arity)) for u in units]
            out = x[b, t]
            for k in range(len(units)):
                out, states[k] = cell(out, states[k], weights[f"cell_{k}"])
            outputs[b, t] = out
    return outputs


@pytest.mark.parametrize(("cell_type", "cell", "arity"), [("lstm", lstm, 2), ("gru", gru, 1)])
@pytest.mark.parametrize("units", [(4,), (4, 2)])
def test_sequences_and_single_steps_follow_the_formulas(cell_type, cell, arity, units):
    network = RecurrentCore(VECTOR, units, cell_type)
    weights = jax.tree.map(lambda w: RNG.normal(size=w.shape).astype(np.float32), network.get_weights())
    network.set_weights(jax.tree.map(jnp.asarray, weights))
    x = RNG.normal(size=(2, 5, 3)).astype(np.float32)
    step_type = np.array([[FIRST, MID, MID, LAST, FIRST], [MID, LAST, FIRST, MID, MID]], np.int32)
    expected = unroll(cell, x, step_type, weights.params, units, arity)

    output, last = jax.jit(network.apply)(network.get_weights(), x, step_type)[:2]
    np.testing.assert_allclose(output, expected, rtol=1e-4, atol=1e-5)

    state = ()
    for t in range(5):
        output, state = network(x[:, t], step_type[:, t], state)
        np.testing.assert_allclose(output, expected[:, t], rtol=1e-4, atol=1e-5)
    specs.check(state, network.state_spec, (2,))
    for a, b in zip(jax.tree.leaves(state), jax.tree.leaves(last), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)


def test_a_reset_within_a_sequence_gives_what_a_fresh_sequence_gives():
    network = RecurrentCore(VECTOR, 4)
    x = RNG.normal(size=(2, 6, 3)).astype(np.float32)
    step_type = np.full((2, 6), MID, np.int32)
    step_type[:, 3] = FIRST
    whole, _ = network(x, step_type)
    fresh, _ = network(x[:, 3:], step_type[:, 3:])
    np.testing.assert_allclose(whole[:, 3:], fresh, rtol=1e-5, atol=1e-6)


def test_a_given_state_continues_a_sequence():
    network = RecurrentCore(VECTOR, (4, 2), "gru")
    x = RNG.normal(size=(2, 6, 3)).astype(np.float32)
    step_type = np.full((2, 6), MID, np.int32)
    whole, _ = network(x, step_type)
    _, state = network(x[:, :4], step_type[:, :4])
    rest, _ = network(x[:, 4:], step_type[:, 4:], state)
    np.testing.assert_allclose(whole[:, 4:], rest, rtol=1e-5, atol=1e-6)


def test_single_steps_without_step_type_do_not_reset():
    network = RecurrentCore(VECTOR, 4)
    x = RNG.normal(size=(2, 3)).astype(np.float32)
    _, state = network(x)
    np.testing.assert_array_equal(network(x, None, state)[0], network(x, np.full(2, MID), state)[0])
    assert not np.allclose(network(x, None, state)[0], network(x, np.full(2, FIRST), state)[0])


def test_state_is_a_tuple_over_cells():
    lstm_core, gru_core = RecurrentCore(VECTOR, (4, 2)), RecurrentCore(VECTOR, 4, "gru")
    assert lstm_core.state_spec[1] == LSTMState(*[specs.TensorSpec((2,), np.float32)] * 2)
    assert gru_core.state_spec == (specs.TensorSpec((4,), np.float32),)
    assert lstm_core.get_initial_state(3)[0].hidden.shape == (3, 4)


def test_fresh_cells():
    w = RecurrentCore(VECTOR, 4).get_weights().params["cell_0"]
    assert {name: value.shape for name, value in w.items()} == {
        "kernel": (3, 16),
        "recurrent_kernel": (4, 16),
        "bias": (16,),
    }
    np.testing.assert_array_equal(w["bias"], [0] * 4 + [1] * 4 + [0] * 8)
    np.testing.assert_allclose(w["recurrent_kernel"] @ w["recurrent_kernel"].T, np.eye(4), atol=1e-6)
    assert np.abs(w["kernel"]).max() <= np.sqrt(6 / (3 + 16))


def test_q_rnn_network_gives_the_numbers_of_the_reference():
    network = QRnnNetwork(
        specs.TensorSpec((2,), np.float32), ACTION, input_fc_layer_params=(), lstm_size=(2,), output_fc_layer_params=()
    )
    assert network.variable_names == [
        "encoder/core/cell_0/kernel",
        "encoder/core/cell_0/recurrent_kernel",
        "encoder/core/cell_0/bias",
        "q/kernel",
        "q/bias",
    ]
    for variable in network.variables:
        shape = variable.get_value().shape
        variable.set_value((0.1 * jnp.arange(np.prod(shape), dtype=jnp.float32) - 0.3).reshape(shape))
    x = np.array([[[1, 2], [0, 1], [-1, 0.5]]], np.float32)
    values, state = network(x, np.array([[FIRST, MID, MID]], np.int32))
    expected = [[-0.50397944, -0.2981499], [-0.57474303, -0.33281395], [-0.5803945, -0.33626884]]
    np.testing.assert_allclose(values[0], expected, rtol=1e-6)
    np.testing.assert_allclose(state[0].hidden, [[0.68134403, 0.759913]], rtol=1e-6)
    np.testing.assert_allclose(state[0].cell, [[1.1619949, 1.4176443]], rtol=1e-6)
    values, _ = network(x, np.array([[FIRST, FIRST, MID]], np.int32))
    np.testing.assert_allclose(values[0, 1:], [[-0.4336599, -0.26351327], [-0.48051298, -0.28675538]], rtol=1e-6)


def test_q_rnn_network_layers_stand_around_the_core():
    network = QRnnNetwork(VECTOR, ACTION, input_fc_layer_params=(6,), lstm_size=(4, 3), output_fc_layer_params=(5,))
    w = jax.tree.map(np.asarray, network.get_weights().params)
    x = RNG.normal(size=(2, 3, 3)).astype(np.float32)
    step_type = np.full((2, 3), MID, np.int32)
    encoder = w["encoder"]
    h = np.maximum(x @ encoder["encoder"]["layer_0"]["kernel"], 0)  # fresh biases of dense layers are zero
    h = unroll(lstm, h, step_type, encoder["core"], (4, 3), 2)
    h = np.maximum(h @ encoder["layer_0"]["kernel"], 0)
    np.testing.assert_allclose(network(x, step_type)[0], h @ w["q"]["kernel"] - 0.2, rtol=1e-4, atol=1e-5)
    assert network.state_spec == network.encoder.core.state_spec


def test_gradients_flow_through_time_but_not_across_episodes():
    network = RecurrentCore(VECTOR, 4)
    x = RNG.normal(size=(1, 4, 3)).astype(np.float32)
    step_type = np.array([[FIRST, MID, FIRST, MID]], np.int32)
    weights = network.get_weights()
    gradient = jax.grad(lambda x: jnp.sum(network.apply(weights, x, step_type)[0][:, -1]))(jnp.asarray(x))
    reached = np.abs(np.asarray(gradient[0])).sum(axis=-1) > 0
    np.testing.assert_array_equal(reached, [False, False, True, True])


def test_step_type_is_needed_for_a_sequence():
    network = QRnnNetwork(VECTOR, ACTION, lstm_size=4)
    with pytest.raises(SpecTypeError, match="where episodes begin"):
        network(np.ones((2, 3, 3), np.float32))
    with pytest.raises(SpecError, match="step_type given to"):
        network(np.ones((2, 3, 3), np.float32), np.ones(2, np.int32))
    assert network(np.ones((2, 3), np.float32))[0].shape == (2, 2)


@pytest.mark.parametrize(
    "options", [{}, {"lstm_size": (4,), "rnn_construction_fn": lambda spec, rngs: RecurrentCore(spec, 2, rngs=rngs)}]
)
@pytest.mark.parametrize(
    "make", [lambda **o: QRnnNetwork(VECTOR, ACTION, **o), lambda **o: RecurrentEncodingNetwork(VECTOR, **o)]
)
def test_exactly_one_way_to_make_the_core(make, options):
    with pytest.raises(ConfigError, match="exactly one of lstm_size and rnn_construction_fn"):
        make(**options)


def test_bad_cores_are_refused():
    with pytest.raises(ConfigError, match="bad recurrent core"):
        RecurrentCore(VECTOR, ())
    with pytest.raises(ConfigError, match="bad recurrent core"):
        RecurrentCore(VECTOR, 3, "elman")


class Leaky(Network):
    """h' = h / 2 + x, from zeros at FIRST; without variables."""

    def __init__(self, input_tensor_spec):
        super().__init__(input_tensor_spec, state_spec=input_tensor_spec)

    def call(self, observation, step_type, network_state):
        outputs = []
        for t in range(observation.shape[1]) if observation.ndim == 3 else [...]:
            x, first = (observation[:, t], step_type[:, t]) if observation.ndim == 3 else (observation, step_type)
            network_state = jnp.where((first == FIRST)[:, None], 0.0, network_state) / 2 + x
            outputs.append(network_state)
        return (jnp.stack(outputs, axis=1) if observation.ndim == 3 else outputs[0]), network_state


def test_a_core_of_ones_own():
    network = QRnnNetwork(
        VECTOR,
        ACTION,
        input_fc_layer_params=None,
        output_fc_layer_params=None,
        rnn_construction_fn=lambda spec, rngs: Leaky(spec),
    )
    x = np.ones((1, 3, 3), np.float32)
    h = np.array([1, 1, 1.5])[:, None] * np.ones(3)  # FIRST: 1; FIRST: 1; MID: 1 / 2 + 1
    w = network.get_weights().params["q"]
    values, state = network(x, np.array([[FIRST, FIRST, MID]], np.int32))
    np.testing.assert_allclose(values[0], h @ w["kernel"] + w["bias"], rtol=1e-5)
    np.testing.assert_allclose(state, [[1.5, 1.5, 1.5]])
    assert network.copy().state_spec == VECTOR
