"""Actor and value networks, against NumPy."""

import jax
import numpy as np
import pytest

from jaxdaw import specs
from jaxdaw.errors import SpecError
from jaxdaw.networks import ActorNetwork, ValueNetwork, ValueRnnNetwork

VECTOR = specs.TensorSpec((3,), np.float32)
ROWS = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)


def features(x, w):
    return np.maximum(x @ np.asarray(w["encoder"]["layer_0"]["kernel"]), 0)  # fresh biases are zero


@pytest.mark.parametrize("shape", [(), (1,), (2, 2)])
def test_actor_scales_tanh_to_the_bounds(shape):
    minimum, maximum = np.full(shape, -3.0), np.full(shape, 1.0)
    spec = specs.BoundedTensorSpec(shape, np.float32, minimum, maximum)
    network = ActorNetwork(VECTOR, spec, fc_layer_params=(4,))
    for variable in network.variables:
        variable.set_value(50 * variable.get_value())
    w = network.get_weights().params
    u = np.tanh(features(ROWS, w) @ np.asarray(w["action"]["kernel"])).reshape(5, *shape)
    np.testing.assert_allclose(network(ROWS)[0], -1 + 2 * u, rtol=1e-4, atol=1e-5)
    assert network.create_variables() == specs.TensorSpec(shape, np.float32)
    assert network(ROWS[None])[0].shape == (1, 5, *shape)


def test_actor_keeps_the_nest_of_the_action():
    spec = {"steer": specs.BoundedTensorSpec((2,), np.float32, [-1, 0], [1, 4])}
    output, _ = ActorNetwork(VECTOR, spec)(ROWS)
    assert list(output) == ["steer"]
    np.testing.assert_allclose(output["steer"], np.tile([0, 2], (5, 1)), atol=0.05)  # it starts in the middle


@pytest.mark.parametrize(
    "spec",
    [
        specs.TensorSpec((2,), np.float32),
        specs.BoundedTensorSpec((), np.int32, 0, 1),
        specs.BoundedTensorSpec((2,), np.float32, [-1, -1], [1, np.inf]),
        (specs.BoundedTensorSpec((), np.float32, 0, 1),) * 2,
    ],
    ids=str,
)
def test_actor_refuses_other_actions(spec):
    with pytest.raises(SpecError, match="ActorNetwork gives one float action within finite bounds"):
        ActorNetwork(VECTOR, spec)


def test_value_network_returns_one_number_a_row():
    network = ValueNetwork(VECTOR, fc_layer_params=(4,))
    w = network.get_weights().params
    expected = (features(ROWS, w) @ np.asarray(w["value"]["kernel"]))[:, 0]
    np.testing.assert_allclose(network(ROWS)[0], expected, rtol=1e-5, atol=1e-6)
    assert network(ROWS[None])[0].shape == (1, 5)
    assert network.create_variables() == specs.TensorSpec((), np.float32)
    np.testing.assert_array_equal(w["value"]["bias"], [0])
    assert np.abs(w["value"]["kernel"]).max() <= 0.03
    assert np.abs(w["encoder"]["layer_0"]["kernel"]).max() <= np.sqrt(6 / (3 + 4))


def test_value_networks_start_from_the_initializer_of_the_last_layer():
    constant = jax.nn.initializers.constant(0.5)
    for network in (
        ValueNetwork(VECTOR, fc_layer_params=(4,), last_kernel_initializer=constant),
        ValueRnnNetwork(VECTOR, lstm_size=(4,), output_fc_layer_params=None, last_kernel_initializer=constant),
    ):
        np.testing.assert_array_equal(network.get_weights().params["value"]["kernel"], np.full((4, 1), 0.5))


def test_value_rnn_network_remembers_and_forgets_at_the_first_step():
    network = ValueRnnNetwork(VECTOR, input_fc_layer_params=None, lstm_size=(4,), output_fc_layer_params=None)
    for variable in network.variables:
        variable.set_value(5 * variable.get_value())
    step_type = np.array([[0, 1, 0]] * 5, np.int32)
    frames = np.stack([ROWS, ROWS, ROWS], 1)
    values = np.asarray(network(frames, step_type)[0])
    assert values.shape == (5, 3)
    np.testing.assert_allclose(values[:, 2], values[:, 0], rtol=1e-5)
    assert np.abs(values[:, 1] - values[:, 0]).min() > 1e-4
    state = ()
    for t in range(3):  # a frame at a time gives the same
        value, state = network(frames[:, t], step_type[:, t], state)
        np.testing.assert_allclose(value, values[:, t], rtol=1e-4, atol=1e-6)
