"""Q networks, against NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdaw import specs
from jaxdaw.errors import SpecError
from jaxdaw.networks import DuelingQNetwork, EncodingNetwork, QNetwork, QRnnNetwork, concatenate

RNG = np.random.default_rng(0)
VECTOR = specs.TensorSpec((3,), np.float32)
ROWS = RNG.normal(size=(5, 3)).astype(np.float32)


def action(shape=(), minimum=0, maximum=2):
    return specs.BoundedTensorSpec(shape, np.int32, minimum, maximum)


def dense(x, weights):
    return x @ np.asarray(weights["kernel"]) + np.asarray(weights["bias"])


def test_q_network_is_an_encoder_and_a_head():
    network = QNetwork(VECTOR, action(), fc_layer_params=(6, 4))
    w = network.get_weights().params
    hidden = ROWS
    for name in ("layer_0", "layer_1"):
        hidden = np.maximum(dense(hidden, w["encoder"][name]), 0)
    np.testing.assert_allclose(network(ROWS)[0], dense(hidden, w["q"]), rtol=1e-5, atol=1e-6)
    assert network.variable_names == [
        "encoder/layer_0/kernel",
        "encoder/layer_0/bias",
        "encoder/layer_1/kernel",
        "encoder/layer_1/bias",
        "q/kernel",
        "q/bias",
    ]


def test_q_network_defaults():
    network = QNetwork(VECTOR, action())
    assert [np.shape(leaf) for leaf in jax.tree.leaves(network.get_weights().params)] == [
        (75,), (3, 75), (40,), (75, 40), (3,), (40, 3),
    ]  # fmt: skip


@pytest.mark.parametrize(("spec", "count"), [(action(minimum=2, maximum=4), 3), (action((1,)), 3), ([action()], 3)])
def test_number_of_values_follows_the_action(spec, count):
    assert QNetwork(VECTOR, spec).create_variables() == specs.TensorSpec((count,), np.float32)


@pytest.mark.parametrize(
    ("spec", "text"),
    [
        ((action(), action()), "2 actions"),
        ([], "0 actions"),
        (action((2,)), r"\(2,\)"),
        (specs.TensorSpec((), np.int32), "TensorSpec"),
        (specs.BoundedTensorSpec((), np.float32, 0, 1), "float32"),
    ],
)
@pytest.mark.parametrize("make", [QNetwork, DuelingQNetwork, lambda o, a: QRnnNetwork(o, a, lstm_size=2)])
def test_other_actions_are_refused(make, spec, text):
    with pytest.raises(SpecError, match=f"(?s)gives values to one integer action.*{text}"):
        make(VECTOR, spec)


@pytest.mark.parametrize("make", [QNetwork, DuelingQNetwork])
def test_values_pass_through_the_activation(make):
    linear = make(VECTOR, action())
    squashed = linear.copy(q_layer_activation_fn=jnp.tanh)
    squashed.set_weights(linear.get_weights())
    np.testing.assert_allclose(squashed(ROWS)[0], np.tanh(linear(ROWS)[0]), rtol=1e-6)


def test_values_are_float32_when_the_computation_is_not():
    assert QNetwork(VECTOR, action(), dtype=jnp.bfloat16)(ROWS)[0].dtype == jnp.float32


def test_dueling_values_with_and_without_time():
    network = DuelingQNetwork(VECTOR, action(), fc_layer_params=(6,))
    w = network.get_weights().params
    hidden = np.maximum(dense(ROWS, w["encoder"]["layer_0"]), 0)
    value, advantage = dense(hidden, w["q"]["value"]), dense(hidden, w["q"]["advantage"])
    expected = value + advantage - advantage.mean(axis=-1, keepdims=True)
    np.testing.assert_allclose(network(ROWS)[0], expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(network(ROWS[None])[0], expected[None], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(w["q"]["value"]["bias"], -0.2)
    assert np.abs(w["q"]["value"]["kernel"]).max() <= 0.03


OBSERVATIONS = {
    "vector": VECTOR,
    "scalar": specs.TensorSpec((), np.float32),
    "image": specs.BoundedTensorSpec((6, 6, 2), np.uint8, 0, 255),
    "nested": {"a": VECTOR, "b": (specs.TensorSpec((2, 2), np.int32),)},
}


@pytest.mark.parametrize("spec", OBSERVATIONS.values(), ids=OBSERVATIONS)
@pytest.mark.parametrize("make", [QNetwork, DuelingQNetwork, lambda o, a, **k: QRnnNetwork(o, a, lstm_size=(4,), **k)])
def test_every_kind_of_observation_works(make, spec):
    network = make(spec, action(), preprocessing_combiner=concatenate)
    observation = specs.zeros(spec, (2, 3))
    step_type = np.ones((2, 3), np.int32)
    weights = network.init_weights(jax.random.key(0))
    assert jax.jit(network.apply)(weights, observation, step_type)[0].shape == (2, 3, 3)


def test_the_errors_of_the_reference():
    two = {"a": VECTOR, "b": VECTOR}
    rows = {
        "q_network_two_actions": lambda: QNetwork(VECTOR, [action(), action()]),
        "q_network_vector_action": lambda: QNetwork(VECTOR, action((2,))),
        "q_network_two_observations": lambda: QNetwork(two, action()),
        "q_rnn_without_size": lambda: QRnnNetwork(VECTOR, action()),
        "wrong_observation_dtype": lambda: QNetwork(VECTOR, action())(ROWS.astype(np.float64)),
        "wrong_observation_shape": lambda: QNetwork(VECTOR, action())(np.ones((2, 4), np.float32)),
    }
    for call in rows.values():
        with pytest.raises(ValueError, match=r"\w"):
            call()
    assert EncodingNetwork(two, preprocessing_combiner=concatenate).num_features == 6
