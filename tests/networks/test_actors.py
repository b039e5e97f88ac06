"""Actor networks: what their heads are given, memory, copies, and what they refuse."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdaw import specs
from jaxdaw.distributions import Categorical, Independent, Normal, TanhNormal
from jaxdaw.errors import ConfigError, SpecError
from jaxdaw.networks import (
    ActorDistributionNetwork,
    ActorDistributionRnnNetwork,
    ActorRnnNetwork,
    CategoricalProjection,
    LSTMState,
    NormalProjection,
    RecurrentCore,
    TanhNormalProjection,
    concatenate,
)
from jaxdaw.trajectories import StepType

OBSERVATION = specs.TensorSpec((3,), np.float32)
STEER = specs.BoundedTensorSpec((2,), np.float32, [-1.0, 0.0], [3.0, 5.0])
GAS = specs.BoundedTensorSpec((), np.float32, 0.0, 1.0)
GEAR = specs.BoundedTensorSpec((), np.int32, -1, 3)
LEVERS = specs.BoundedTensorSpec((2,), np.int32, 0, 2)
MIXED = {"steer": STEER, "rest": (GEAR,)}
MANY = {"steer": STEER, "rest": (GEAR, [LEVERS, GAS])}
ROWS = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
SEQUENCE = np.random.default_rng(1).normal(size=(4, 6, 3)).astype(np.float32)
MID = np.full((4, 6), StepType.MID, np.int32)


def small(kind, output=STEER, **options):
    if kind is ActorDistributionNetwork:
        return kind(OBSERVATION, output, fc_layer_params=(7,), **options)
    return kind(OBSERVATION, output, input_fc_layer_params=(6,), lstm_size=(5,), output_fc_layer_params=None, **options)


def weights_of(network):
    """The arrays by name, in float64."""
    return {name: np.asarray(variable.get_value(), float) for name, variable in network.named_variables()}


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def test_distributions_stand_in_the_nest_of_the_actions():
    found, state = small(ActorDistributionNetwork, MANY)(ROWS)
    assert state == ()
    assert isinstance(found["steer"], Normal)
    assert isinstance(found["rest"][0], Categorical)
    assert isinstance(found["rest"][1][0], Independent)
    assert isinstance(found["rest"][1][1], Normal)
    specs.check(specs.map_structure(lambda leaf: leaf.mode(), found), MANY, (5,))


def test_features_go_through_the_encoder_into_the_heads():
    network = small(ActorDistributionNetwork, {"gear": GEAR, "steer": STEER}, activation_fn=jnp.tanh)
    found = network(ROWS)[0]
    arrays = list(weights_of(network).values())
    kernel, bias, logits_kernel, logits_bias, means_kernel, means_bias, std = arrays
    features = np.tanh(ROWS @ kernel + bias)
    np.testing.assert_allclose(found["gear"].logits, features @ logits_kernel + logits_bias, rtol=1e-4, atol=1e-6)
    means = [1.0, 2.5] + np.array([2.0, 2.5]) * np.tanh(features @ means_kernel + means_bias)
    np.testing.assert_allclose(found["steer"].mode(), means, rtol=1e-5)
    np.testing.assert_allclose(found["steer"].scale, np.broadcast_to(np.log1p(np.exp(std)), (5, 2)), rtol=1e-5)


@pytest.mark.parametrize("kind", [ActorDistributionNetwork, ActorDistributionRnnNetwork])
def test_projections_can_be_chosen(kind):
    network = small(
        kind,
        MIXED,
        discrete_projection_net=functools.partial(CategoricalProjection, logits_init_output_factor=25.0),
        continuous_projection_net=TanhNormalProjection,
    )
    found = network(ROWS, np.full(5, StepType.MID, np.int32))[0]
    assert isinstance(found["steer"], TanhNormal)
    plain = small(kind, MIXED)(ROWS, np.full(5, StepType.MID, np.int32))[0]
    assert np.std(found["rest"][0].logits) > 4 * np.std(plain["rest"][0].logits)
    free = specs.TensorSpec((2,), np.float32)
    assert small(kind, free, continuous_projection_net=functools.partial(NormalProjection, mean_transform=None))


def test_encoder_options_reach_the_encoder():
    image = specs.BoundedTensorSpec((8, 8, 2), np.float32, 0, 1)
    flat = {"place": OBSERVATION, "speed": specs.TensorSpec((2,), np.float32)}
    network = ActorDistributionNetwork(
        flat, STEER, preprocessing_combiner=concatenate, fc_layer_params=(4, 3), dropout_layer_params=[0.5, None]
    )
    rows = {"place": ROWS, "speed": ROWS[:, :2]}
    assert network.encoder.num_features == 3
    first, second = (network(rows, training=True)[0].mode() for _ in range(2))
    assert not np.array_equal(first, second)  # dropout draws anew
    np.testing.assert_array_equal(network(rows)[0].mode(), network(rows)[0].mode())
    convolutional = ActorDistributionNetwork(
        image, STEER, conv_layer_params=[(4, 3, 2)], fc_layer_params=(5,), kernel_initializer=jax.nn.initializers.zeros
    )
    np.testing.assert_allclose(
        convolutional(np.ones((2, 8, 8, 2), np.float32))[0].mode(), [[1.0, 2.5]] * 2
    )  # no features reach the head: the middles of the bounds
    with pytest.raises(ConfigError):
        ActorDistributionNetwork(flat, STEER)  # two leaves and nothing that combines them


def test_a_sequence_without_memory_is_its_frames():
    network = small(ActorDistributionNetwork)
    together = network(SEQUENCE)[0]
    assert together.batch_shape == (4, 6)
    np.testing.assert_allclose(together.mode()[:, 2], network(SEQUENCE[:, 2])[0].mode(), rtol=1e-5)


def lstm_step(arrays, x, hidden, cell):
    kernel, recurrent_kernel, bias = arrays
    i, f, g, o = np.split(x @ kernel + hidden @ recurrent_kernel + bias, 4, axis=-1)
    cell = sigmoid(f) * cell + sigmoid(i) * np.tanh(g)
    return sigmoid(o) * np.tanh(cell), cell


@pytest.mark.parametrize("kind", [ActorRnnNetwork, ActorDistributionRnnNetwork])
def test_recurrent_actors_are_an_lstm_and_a_squashed_layer(kind):
    """Written by hand in NumPy: the state is zeros before a FIRST frame, and row 1 has one in the middle."""
    options = {"last_kernel_initializer": jax.nn.initializers.normal(1.0)} if kind is ActorRnnNetwork else {}
    network = small(kind, **options)
    state = LSTMState(hidden=np.full((4, 5), 0.1, np.float32), cell=np.full((4, 5), -0.2, np.float32))
    step_type = MID.copy()
    step_type[1, 3] = StepType.FIRST
    found, final = network(SEQUENCE, step_type, (state,))
    found = found if kind is ActorRnnNetwork else found.mode()
    kernel, bias, *lstm, head_kernel, head_bias = [
        value for name, value in weights_of(network).items() if "std" not in name
    ]
    hidden, cell = (np.asarray(part, float) for part in state)
    for t in range(6):
        begins = (step_type[:, t] == StepType.FIRST)[:, None]
        hidden, cell = np.where(begins, 0, hidden), np.where(begins, 0, cell)
        hidden, cell = lstm_step(lstm, np.maximum(SEQUENCE[:, t] @ kernel + bias, 0), hidden, cell)
        action = [1.0, 2.5] + np.array([2.0, 2.5]) * np.tanh(hidden @ head_kernel + head_bias)
        np.testing.assert_allclose(found[:, t], action, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(final[0].hidden, hidden, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(final[0].cell, cell, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("cell_type", ["lstm", "gru"])
def test_a_sequence_equals_its_frames_one_by_one(cell_type):
    network = small(ActorDistributionRnnNetwork, MIXED, cell_type=cell_type)
    step_type = MID.copy()
    step_type[:, 0] = step_type[2, 4] = StepType.FIRST
    together, final = network(SEQUENCE, step_type)
    state = network.get_initial_state(4)
    for t in range(6):
        frame, state = network(SEQUENCE[:, t], step_type[:, t], state)
        np.testing.assert_allclose(together["steer"].loc[:, t], frame["steer"].loc, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(together["rest"][0].logits[:, t], frame["rest"][0].logits, rtol=1e-4, atol=1e-5)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), final, state)


def test_fresh_recurrent_actions_are_near_the_middle_and_within_the_bounds():
    """The last kernel is uniform within 0.003, and |h| below 1: at most 5 * 0.003 from the middle of the squash."""
    network = small(ActorRnnNetwork, {"steer": STEER, "gas": GAS})
    found = network(SEQUENCE, MID)[0]
    assert np.abs(np.asarray(found["steer"]) - [1.0, 2.5]).max() <= 2.5 * 5 * 0.003
    assert found["gas"].shape == (4, 6)
    wild = small(ActorRnnNetwork, last_kernel_initializer=jax.nn.initializers.normal(100.0))(SEQUENCE, MID)[0]
    specs.check(np.asarray(wild), STEER, (4, 6))
    half = specs.BoundedTensorSpec((2,), np.float16, -1.0, 1.0)
    assert small(ActorRnnNetwork, half)(SEQUENCE, MID)[0].dtype == np.float16


@pytest.mark.parametrize("kind", [ActorDistributionNetwork, ActorDistributionRnnNetwork, ActorRnnNetwork])
def test_copies_draw_anew_and_clones_keep_but_do_not_share(kind):
    options = {} if kind is ActorRnnNetwork else {"continuous_projection_net": functools.partial(TanhNormalProjection)}
    network = small(kind, **options, name="Mine")
    copy, clone = network.copy(), network.clone()
    for twin in (copy, clone):
        assert type(twin) is kind
        assert (twin.name, twin.state_spec, twin.variable_names) == ("Mine", network.state_spec, network.variable_names)
    first = next(iter(weights_of(network)))
    assert not np.array_equal(weights_of(copy)[first], weights_of(network)[first])
    for name, value in weights_of(network).items():
        np.testing.assert_array_equal(weights_of(clone)[name], value)
    clone.set_weights(jax.tree.map(jnp.zeros_like, clone.get_weights()))
    assert np.any(weights_of(network)[first])
    wider = network.copy(output_tensor_spec=specs.BoundedTensorSpec((3,), np.float32, -1, 1))
    specs_of_wider = wider(ROWS, np.full(5, StepType.MID, np.int32))[0]
    assert (specs_of_wider if kind is ActorRnnNetwork else specs_of_wider.mode()).shape == (5, 3)


@pytest.mark.parametrize("kind", [ActorDistributionNetwork, ActorDistributionRnnNetwork, ActorRnnNetwork])
def test_seeds_decide_the_weights_and_a_population_is_one_vmap(kind):
    one, same, other = (weights_of(small(kind, rngs=seed)) for seed in (3, 3, 4))
    first = next(iter(one))
    np.testing.assert_array_equal(one[first], same[first])
    assert not np.array_equal(one[first], other[first])
    network = small(kind)
    many = jax.vmap(network.init_weights)(jax.random.split(jax.random.key(0), 3))
    assert all(leaf.shape[0] == 3 for leaf in jax.tree.leaves(many.params))
    mid = np.full(5, StepType.MID, np.int32)
    found = jax.vmap(lambda w: jax.tree.leaves(network.apply(w, ROWS, mid)[0])[0])(many)
    assert found.shape == (3, 5, 2)
    assert len(np.unique(np.asarray(found)[:, 0, 0])) == 3


def test_the_core_can_be_built_by_the_caller():
    def build(spec, rngs):
        return RecurrentCore(spec, (4, 3), rngs=rngs)

    network = ActorDistributionRnnNetwork(
        OBSERVATION, STEER, input_fc_layer_params=(6,), output_fc_layer_params=(7,), rnn_construction_fn=build
    )
    assert [cell.hidden.shape for cell in network.state_spec] == [(4,), (3,)]
    assert network(SEQUENCE, MID)[0].mode().shape == (4, 6, 2)


@pytest.mark.parametrize(
    ("kind", "output", "message"),
    [
        (ActorDistributionNetwork, specs.TensorSpec((2,), np.float32), "float action with finite bounds"),
        (ActorDistributionNetwork, {"a": STEER, "b": specs.TensorSpec((), np.int32)}, "one range of integers"),
        (ActorDistributionRnnNetwork, specs.BoundedTensorSpec((2,), np.int32, 0, [1, 2]), "one range of integers"),
        (ActorRnnNetwork, GEAR, "ActorDistributionRnnNetwork for integers"),
        (ActorRnnNetwork, {"a": STEER, "b": specs.TensorSpec((2,), np.float32)}, "within finite bounds"),
        (ActorRnnNetwork, specs.BoundedTensorSpec((), np.float32, 0, np.inf), "within finite bounds"),
    ],
)
def test_actions_that_a_head_cannot_give_are_refused(kind, output, message):
    with pytest.raises(SpecError, match=message):
        small(kind, output)


@pytest.mark.parametrize("kind", [ActorDistributionRnnNetwork, ActorRnnNetwork])
def test_options_of_the_recurrent_encoder_are_checked(kind):
    with pytest.raises(ConfigError):
        kind(OBSERVATION, STEER, lstm_size=(4,), cell_type="plain")
    with pytest.raises(ConfigError):
        kind(OBSERVATION, STEER)
    with pytest.raises(SpecError):
        small(kind)(ROWS[:, :2], np.full(5, StepType.MID, np.int32))
