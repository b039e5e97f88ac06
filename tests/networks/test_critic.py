"""Critic networks, against NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jaxdaw import specs
from jaxdaw.errors import ConfigError, SpecError
from jaxdaw.networks import CriticNetwork, CriticRnnNetwork, RecurrentCore, concatenate

VECTOR = specs.TensorSpec((3,), np.float32)
STEER = specs.BoundedTensorSpec((2,), np.float32, -4, 4)
RNG = np.random.default_rng(0)
ROWS = RNG.normal(size=(5, 3)).astype(np.float32)
ACTIONS = RNG.uniform(-4, 4, size=(5, 2)).astype(np.float32)


def dense(x, weights):
    return x @ np.asarray(weights["kernel"]) + np.asarray(weights["bias"])


def relu(x):
    return np.maximum(x, 0)


def test_a_critic_joins_what_the_layers_of_observation_and_action_give():
    network = CriticNetwork(
        (VECTOR, STEER),
        observation_fc_layer_params=(4,),
        action_fc_layer_params=(5,),
        joint_fc_layer_params=(6,),
        output_activation_fn=jnp.tanh,
        last_kernel_initializer=nnx.initializers.ones,
    )
    w = network.get_weights().params
    parts = [
        relu(dense(ROWS, w["encoder"]["observation"]["layer_0"])),
        relu(dense(ACTIONS, w["encoder"]["action"]["layer_0"])),  # as it is, not scaled to its bounds
    ]
    joint = relu(dense(np.concatenate(parts, axis=-1), w["encoder"]["joint"]["layer_0"]))
    expected = np.tanh(dense(joint, w["value"]))[:, 0]
    np.testing.assert_allclose(network((ROWS, ACTIONS))[0], expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(network((ROWS[None], ACTIONS[None]))[0], expected[None], rtol=1e-5, atol=1e-6)
    assert network.create_variables() == specs.TensorSpec((), np.float32)


def test_a_critic_without_layers_is_linear_and_starts_near_0():
    network = CriticNetwork((VECTOR, STEER))
    assert network.variable_names == ["value/kernel", "value/bias"]
    kernel = np.asarray(network.get_weights().params["value"]["kernel"])
    assert kernel.shape == (5, 1)
    assert 0 < np.abs(kernel).max() <= 0.003
    expected = np.concatenate([ROWS, ACTIONS], axis=-1) @ kernel
    np.testing.assert_allclose(network((ROWS, ACTIONS))[0], expected[:, 0], rtol=1e-5, atol=1e-8)


def test_layers_start_uniform_within_the_root_of_the_fan_in():
    network = CriticNetwork((VECTOR, STEER), action_fc_layer_params=(400,))
    kernel = np.asarray(network.get_weights().params["encoder"]["action"]["layer_0"]["kernel"])
    assert 0.95 * np.sqrt(1 / 2) < np.abs(kernel).max() <= np.sqrt(1 / 2)


@pytest.mark.parametrize(
    ("observation_spec", "options"),
    [
        (specs.TensorSpec((2, 3), np.float32), {}),
        (
            specs.BoundedTensorSpec((6, 6, 2), np.uint8, 0, 255),
            {"observation_conv_layer_params": ((2, 3, 1),)},
        ),
        ({"a": VECTOR, "b": specs.TensorSpec((), np.int32)}, {"preprocessing_combiner": concatenate}),
    ],
    ids=["matrix", "image", "nested"],
)
@pytest.mark.parametrize("shape", [(), (2, 2)], ids=str)
def test_observations_of_any_kind_and_actions_of_any_shape(observation_spec, options, shape):
    action_spec = {"force": specs.BoundedTensorSpec(shape, np.float32, -1, 1)}
    network = CriticNetwork((observation_spec, action_spec), **options)
    pair = specs.zeros((observation_spec, action_spec), (2, 3))
    assert network(pair)[0].shape == (2, 3)


def test_dropout_acts_in_training_only():
    network = CriticNetwork(
        (VECTOR, STEER),
        joint_fc_layer_params=(64,),
        joint_dropout_layer_params=(0.5,),
        last_kernel_initializer=nnx.initializers.ones,
    )
    calm, again = (network((ROWS, ACTIONS))[0] for _ in range(2))
    np.testing.assert_array_equal(calm, again)
    assert np.all(network((ROWS, ACTIONS), training=True)[0] != calm)


def test_a_last_layer_of_ones_own():
    network = CriticNetwork((VECTOR, STEER), last_layer=lambda rngs: nnx.Linear(5, 1, rngs=rngs))
    kernel = np.asarray(network.get_weights().params["last_layer"]["module"]["kernel"])
    expected = np.concatenate([ROWS, ACTIONS], axis=-1) @ kernel
    np.testing.assert_allclose(network((ROWS, ACTIONS))[0], expected[:, 0], rtol=1e-5, atol=1e-6)
    with pytest.raises(SpecError, match=r"(?s)does not give one value.*\(2,\)"):
        CriticNetwork((VECTOR, STEER), last_layer=lambda rngs: nnx.Linear(5, 2, rngs=rngs))


def test_actions_can_be_scaled_to_their_bounds():
    throttle = specs.BoundedTensorSpec((2,), np.float32, [-4, 0], [4, 1])
    actions = np.float32([[-4, 0.5], [2, 1.0]])
    plain, scaled = (CriticNetwork((VECTOR, throttle), scale_actions=scale) for scale in (False, True))
    scaled.set_weights(plain.get_weights())
    by_hand = np.float32([[-1, 0], [0.5, 1]])
    np.testing.assert_allclose(scaled((ROWS[:2], actions))[0], plain((ROWS[:2], by_hand))[0], rtol=1e-5)
    for spec in (
        specs.BoundedTensorSpec((), np.float32, 0, np.inf),
        specs.BoundedTensorSpec((), np.int32, 0, 3),
        specs.BoundedTensorSpec((2,), np.float32, 0, [1, 0]),
    ):
        with pytest.raises(SpecError, match="scale"):
            CriticNetwork((VECTOR, spec), scale_actions=True)


@pytest.mark.parametrize(
    ("input_tensor_spec", "text"),
    [(VECTOR, "a TensorSpec"), ((VECTOR, (STEER, STEER)), "2 actions"), ((VECTOR, ()), "0 actions")],
)
def test_what_is_not_a_pair_with_one_action_is_refused(input_tensor_spec, text):
    with pytest.raises(SpecError, match=f"(?s)CriticNetwork gives a value to an observation and one action.*{text}"):
        CriticNetwork(input_tensor_spec)


def test_several_observations_need_a_combiner():
    with pytest.raises(ConfigError, match="CriticNetwork needs one array"):
        CriticNetwork(((VECTOR, VECTOR), STEER))


def test_a_copy_has_fresh_weights_and_the_same_shapes():
    network = CriticNetwork((VECTOR, STEER), joint_fc_layer_params=(4,))
    other = network.copy(name="second")
    assert other.name == "second"
    shapes = [jax.tree.map(np.shape, one.get_weights().params) for one in (network, other)]
    assert shapes[0] == shapes[1]
    assert np.any(other((ROWS, ACTIONS))[0] != network((ROWS, ACTIONS))[0])
    states = jax.vmap(network.init_weights)(jax.random.split(jax.random.key(0), 2))
    assert jax.vmap(lambda w: network.apply(w, (ROWS, ACTIONS))[0])(states).shape == (2, 5)


def recurrent(**options):
    sizes = {"observation_fc_layer_params": (4,), "action_fc_layer_params": (5,), "joint_fc_layer_params": (6,)}
    options = {"lstm_size": 3, "output_fc_layer_params": (7,), **options}
    return CriticRnnNetwork((VECTOR, STEER), **sizes, **options)


def test_a_recurrent_critic_remembers_within_an_episode_only():
    network = recurrent(last_kernel_initializer=nnx.initializers.ones)
    pair = (np.tile(ROWS[:, None], (1, 3, 1)), np.tile(ACTIONS[:, None], (1, 3, 1)))
    step_type = np.tile(np.int32([1, 1, 0]), (5, 1))
    values, state = network(pair, step_type)
    assert values.shape == (5, 3)
    assert np.all(values[:, 0] != values[:, 1])  # the same frame, with a memory of it
    np.testing.assert_allclose(values[:, 2], values[:, 0], rtol=1e-6)  # the third begins an episode
    by_step = None
    for t in range(3):
        frame, by_step = network((ROWS, ACTIONS), step_type[:, t], () if by_step is None else by_step)
        np.testing.assert_allclose(frame, values[:, t], rtol=1e-5, atol=1e-6)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), by_step, state)


def test_the_layers_of_a_recurrent_critic():
    network = recurrent(cell_type="gru")
    shapes = {name: variable.get_value().shape for name, variable in network.named_variables() if "kernel" in name}
    assert shapes == {
        "encoder/observation/layer_0/kernel": (3, 4),
        "encoder/action/layer_0/kernel": (2, 5),
        "encoder/joint/layer_0/kernel": (9, 6),
        "memory/core/cell_0/kernel": (6, 9),  # three gates of a GRU
        "memory/core/cell_0/recurrent_kernel": (3, 9),
        "memory/layer_0/kernel": (3, 7),
        "value/kernel": (7, 1),
    }
    assert network.create_variables() == specs.TensorSpec((), np.float32)
    kernels = network.get_weights().params
    assert np.abs(kernels["value"]["kernel"]).max() <= 0.003
    assert np.abs(kernels["memory"]["layer_0"]["kernel"]).max() <= np.sqrt(1 / 3)


def test_the_activation_of_a_recurrent_critic_holds_for_all_its_layers():
    ones = {"last_kernel_initializer": nnx.initializers.ones, "output_fc_layer_params": (50,)}
    linear = recurrent(activation_fn=lambda x: x, **ones)
    tanh = recurrent(activation_fn=jnp.tanh, **ones)
    step_type = np.zeros(5, np.int32)
    for network, activation in ((linear, lambda x: x), (tanh, np.tanh)):
        state = network((ROWS, ACTIONS), step_type)[1]
        layer = network.get_weights().params["memory"]["layer_0"]
        expected = activation(dense(np.asarray(state[0].hidden), layer)).sum(axis=-1)
        np.testing.assert_allclose(network((ROWS, ACTIONS), step_type)[0], expected, rtol=1e-4, atol=1e-5)


def test_a_recurrent_critic_needs_one_core():
    with pytest.raises(ConfigError, match="exactly one of lstm_size and rnn_construction_fn"):
        recurrent(lstm_size=None)
    core = lambda spec, rngs: RecurrentCore(spec, 2, rngs=rngs)  # noqa: E731
    with pytest.raises(ConfigError, match="exactly one of lstm_size and rnn_construction_fn"):
        recurrent(rnn_construction_fn=core)
    assert recurrent(lstm_size=None, rnn_construction_fn=core).state_spec[0].cell.shape == (2,)
    for spec in ((VECTOR, VECTOR), STEER), (VECTOR, (STEER, STEER)):
        with pytest.raises(ValueError, match="CriticRnnNetwork"):
            CriticRnnNetwork(spec, lstm_size=2)
