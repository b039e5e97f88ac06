"""The Network contract: calling, the pure core, weights, copies, variables."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jaxdaw import specs
from jaxdaw.errors import ConfigError, SpecError, SpecTypeError
from jaxdaw.networks import EncodingNetwork, Network, QNetwork, RecurrentCore, Weights, as_rngs

VECTOR = specs.TensorSpec((3,), np.float32)
ACTION = specs.BoundedTensorSpec((), np.int32, 0, 1)
ROWS = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)


class TwoLayers(Network):
    """What a user writes; the layers' names are deliberately not in alphabetical order."""

    def __init__(self, input_tensor_spec, units=4, *, rngs: nnx.Rngs | int = 0):
        super().__init__(input_tensor_spec)
        rngs = as_rngs(rngs)
        self.second_to_none = nnx.Linear(input_tensor_spec.shape[0], units, rngs=rngs)
        self.blocks = nnx.List([nnx.Dropout(0.5, rngs=rngs), nnx.Linear(units, 2, rngs=rngs)])

    def call(self, observation, training=False):
        hidden = self.blocks[0](jnp.tanh(self.second_to_none(observation)), deterministic=not training)
        return {"values": self.blocks[1](hidden)}, ()


class Counter(Network):
    """Adds up its observations, from zero where an episode begins."""

    def __init__(self, input_tensor_spec):
        super().__init__(input_tensor_spec, state_spec=input_tensor_spec)

    def call(self, observation, step_type, network_state):
        total = jnp.where((step_type == specs.StepType.FIRST)[:, None], 0.0, network_state) + observation
        return total, total


class Holder(Network):
    """Holds a network given to its constructor, and arguments of every kind."""

    def __init__(self, inner, *args, scale=1.0, **options):
        super().__init__(inner.input_tensor_spec, name=options.get("name"))
        self.inner = inner
        self.scale = scale * sum(args)

    def call(self, observation):
        return self.inner(observation)[0] * self.scale, ()


def test_call_computes_with_its_own_weights():
    network = TwoLayers(VECTOR)
    w = jax.tree.map(np.asarray, network.get_weights().params)
    hidden = np.tanh(ROWS @ w["second_to_none"]["kernel"] + w["second_to_none"]["bias"])
    expected = hidden @ w["blocks_1"]["kernel"] + w["blocks_1"]["bias"]
    output, state = network(ROWS)
    np.testing.assert_allclose(output["values"], expected, rtol=1e-5, atol=1e-6)
    assert state == ()


def test_call_gives_only_the_arguments_that_are_named():
    output, state = TwoLayers(VECTOR)(ROWS, np.zeros(5, np.int32), training=False)
    assert output["values"].shape == (5, 2)
    assert state == ()


def test_call_drops_extra_keys():
    network = EncodingNetwork({"a": VECTOR}, fc_layer_params=(2,))
    plain, _ = network({"a": ROWS})
    extra, _ = network({"a": ROWS, "b": np.ones(7)})
    np.testing.assert_array_equal(plain, extra)


@pytest.mark.parametrize(
    ("observation", "error", "text"),
    [
        (ROWS.astype(np.float64), SpecTypeError, "float64"),
        (np.ones((5, 4), np.float32), SpecError, "observation given to TwoLayers"),
        (np.ones(3, np.float32), SpecError, "observation given to TwoLayers"),
        (np.ones((2, 2, 2, 3), np.float32), SpecError, "observation given to TwoLayers"),
        ({"a": ROWS}, SpecError, "observation given to TwoLayers"),
    ],
)
def test_call_raises_when_the_observation_does_not_match(observation, error, text):
    network = TwoLayers(VECTOR)
    with pytest.raises(error, match=text):
        network(observation)
    with pytest.raises(ValueError, match=text):
        jax.jit(lambda weights: network.apply(weights, observation))(network.get_weights())


def test_call_names_the_leaf():
    network = EncodingNetwork({"camera": VECTOR}, fc_layer_params=(2,), name="Eye")
    with pytest.raises(SpecError, match=r"observation given to Eye.*\['camera'\]"):
        network({"camera": np.ones((5, 4), np.float32)})


def test_call_raises_when_step_type_has_another_shape():
    with pytest.raises(SpecError, match="step_type given to TwoLayers"):
        TwoLayers(VECTOR)(ROWS, np.zeros(4, np.int32))


def test_state_starts_from_zeros_and_is_validated():
    network = Counter(VECTOR)
    step_type = np.ones(5, np.int32)
    output, state = network(ROWS, step_type)
    np.testing.assert_array_equal(output, ROWS)
    output, _ = network(ROWS, step_type, state)
    np.testing.assert_array_equal(output, 2 * ROWS)
    with pytest.raises(SpecError, match="network_state given to Counter"):
        network(ROWS, step_type, np.zeros((4, 3), np.float32))
    with pytest.raises(SpecTypeError, match="network_state given to Counter"):
        network(ROWS, step_type, np.zeros((5, 3), np.int32))


def test_next_state_is_validated():
    class Forgetful(Counter):
        def call(self, observation, step_type, network_state):
            return observation, observation[:, :2]

    with pytest.raises(SpecError, match="next state returned by Forgetful"):
        Forgetful(VECTOR)(ROWS, np.ones(5, np.int32))


def test_state_given_to_a_network_without_memory_is_ignored():
    output, state = TwoLayers(VECTOR)(ROWS, network_state=np.ones(2))
    assert output["values"].shape == (5, 2)
    assert state == ()


def test_initial_state_is_zeros():
    assert TwoLayers(VECTOR).get_initial_state(4) == ()
    assert Counter(VECTOR).get_initial_state().shape == (3,)
    np.testing.assert_array_equal(Counter(VECTOR).initial_state(2), np.zeros((2, 3)))


def test_call_must_be_defined():
    class Empty(Network):
        pass

    with pytest.raises(NotImplementedError, match="Empty must define call"):
        Empty(VECTOR)(ROWS)


# The pure core.


def test_apply_equals_the_call_and_leaves_the_network_alone():
    network = TwoLayers(VECTOR)
    weights = network.get_weights()
    other = network.init_weights(jax.random.key(3))
    output, state, rest = jax.jit(network.apply)(weights, ROWS)
    np.testing.assert_allclose(output["values"], network(ROWS)[0]["values"], rtol=1e-6)
    assert state == ()
    assert jax.tree.structure(rest) == jax.tree.structure(weights.rest)
    changed = network.apply(other, ROWS)[0]["values"]
    assert not np.allclose(changed, output["values"])
    np.testing.assert_allclose(network(ROWS)[0]["values"], output["values"], rtol=1e-6)


def test_apply_in_training_moves_the_rest_and_nothing_else():
    network = TwoLayers(VECTOR)
    weights = network.get_weights()
    first, _, rest = network.apply(weights, ROWS, training=True)
    again, _, _ = network.apply(weights, ROWS, training=True)
    second, _, _ = network.apply(Weights(weights.params, rest), ROWS, training=True)
    np.testing.assert_array_equal(first["values"], again["values"])
    assert not np.allclose(first["values"], second["values"])
    assert int(rest["blocks_0"]["rngs"]["count"]) == int(weights.rest["blocks_0"]["rngs"]["count"]) + 1
    assert int(network.get_weights().rest["blocks_0"]["rngs"]["count"]) == int(
        weights.rest["blocks_0"]["rngs"]["count"]
    )


def test_apply_under_scan_grad_and_vmap():
    network = TwoLayers(VECTOR)
    weights = network.get_weights()

    def loss(params, rest):
        output, _, rest = network.apply(Weights(params, rest), ROWS, training=True)
        return jnp.mean(output["values"] ** 2), rest

    def step(weights, _):
        (value, rest), gradient = jax.value_and_grad(loss, has_aux=True)(weights.params, weights.rest)
        return Weights(jax.tree.map(lambda p, g: p - 0.1 * g, weights.params, gradient), rest), value

    last, losses = jax.jit(lambda w: jax.lax.scan(step, w, None, 30))(weights)
    assert losses[-1] < losses[0]
    assert int(last.rest["blocks_0"]["rngs"]["count"]) == 30 + int(weights.rest["blocks_0"]["rngs"]["count"])

    population = jax.jit(jax.vmap(network.init_weights))(jax.random.split(jax.random.key(0), 3))
    values = jax.vmap(lambda w: network.apply(w, ROWS)[0]["values"])(population)
    assert values.shape == (3, 5, 2)
    assert len(np.unique(np.asarray(values[:, 0, 0]))) == 3


def test_apply_is_traced_once():
    network = QNetwork(VECTOR, ACTION, fc_layer_params=(4,))
    traces = []

    @jax.jit
    def run(weights, observation):
        traces.append(1)
        return network.apply(weights, observation)[0]

    for seed in range(3):
        run(network.init_weights(jax.random.key(seed)), ROWS)
        run(network.copy().get_weights(), ROWS)
    assert len(traces) == 1


def test_init_weights_is_reproducible_and_has_the_structure_of_get_weights():
    network = TwoLayers(VECTOR, units=6)
    key = jax.random.key(7)
    eager, compiled = network.init_weights(key), jax.jit(network.init_weights)(key)
    assert jax.tree.structure(eager) == jax.tree.structure(network.get_weights())
    for a, b in zip(jax.tree.leaves(eager.params), jax.tree.leaves(compiled.params)):
        np.testing.assert_allclose(a, b, rtol=1e-6)
    assert eager.params["second_to_none"]["kernel"].shape == (3, 6)


# Weights and variables.


def test_weights_are_plain_dictionaries_with_string_keys():
    weights = TwoLayers(VECTOR).get_weights()
    assert type(weights) is Weights
    assert {type(weights.params), type(weights.rest), type(weights.params["blocks_1"])} == {dict}
    assert sorted(weights.params) == ["blocks_1", "second_to_none"]
    assert sorted(weights.rest["blocks_0"]["rngs"]) == ["count", "key"]
    assert all(isinstance(leaf, jax.Array) for leaf in jax.tree.leaves(weights))


def test_set_weights_shows_in_variables_and_calls():
    network = TwoLayers(VECTOR)
    fresh = network.init_weights(jax.random.key(1))
    network.set_weights(fresh)
    assert all(a is b for a, b in zip(jax.tree.leaves(network.get_weights()), jax.tree.leaves(fresh), strict=True))
    for name, variable in network.named_variables():
        leaf = fresh.params if isinstance(variable, nnx.Param) else fresh.rest
        for key in name.split("/"):
            leaf = leaf[key]
        assert variable.get_raw_value() is leaf
    np.testing.assert_allclose(network(ROWS)[0]["values"], network.apply(fresh, ROWS)[0]["values"], rtol=1e-6)


def test_set_weights_refuses_others_and_writes_nothing():
    network = TwoLayers(VECTOR)
    before = jax.tree.leaves(network.get_weights())
    stacked = jax.vmap(network.init_weights)(jax.random.split(jax.random.key(0), 2))
    missing = Weights({}, {})
    half = network.init_weights(jax.random.key(0))
    half.params["second_to_none"]["kernel"] = jnp.zeros((3, 5))
    for bad, text in ((stacked, r"at blocks_1/bias"), (missing, "another structure"), (half, "second_to_none/kernel")):
        with pytest.raises(SpecError, match=text):
            network.set_weights(bad)
    assert all(a is b for a, b in zip(jax.tree.leaves(network.get_weights()), before, strict=True))


def test_set_weights_under_a_trace_is_refused():
    network = TwoLayers(VECTOR)
    with pytest.raises(Exception, match="different trace level"):
        jax.jit(network.set_weights)(network.get_weights())


def test_variables_stand_in_the_order_of_construction():
    network = TwoLayers(VECTOR)
    names = [
        "second_to_none/kernel",
        "second_to_none/bias",
        "blocks_0/rngs/key",
        "blocks_0/rngs/count",
        "blocks_1/kernel",
        "blocks_1/bias",
    ]
    assert network.variable_names == names
    assert [name for name, _ in network.named_variables()] == names
    assert network.variables[0] is network.second_to_none.kernel
    assert len(network.trainable_variables) == 4
    for other in (network.copy(), network.clone(), network.clone().clone()):
        assert other.variable_names == names
        assert not {id(v) for v in other.variables} & {id(v) for v in network.variables}


def test_equal_names_are_refused():
    class Ambiguous(Network):
        def __init__(self, input_tensor_spec):
            super().__init__(input_tensor_spec)
            self.layer = nnx.List([nnx.Param(jnp.zeros(1))])
            self.layer_0 = nnx.Param(jnp.zeros(1))

    with pytest.raises(ConfigError, match="two variables are called layer_0"):
        Ambiguous(VECTOR).get_weights()


# Copies.


def weights_differ(*networks):
    a, b = (network.get_weights().params["second_to_none"]["kernel"] for network in networks)
    return not np.allclose(a, b)


@pytest.mark.parametrize("rngs", [0, 5, "streams"])
def test_copy_draws_fresh_weights_each_time(rngs):
    network = TwoLayers(VECTOR, rngs=nnx.Rngs(3) if rngs == "streams" else rngs)
    family = [network, network.copy(), network.copy(), network.copy().copy(), network.copy().copy().copy()]
    assert all(weights_differ(a, b) for i, a in enumerate(family) for b in family[:i])


def test_copy_is_deterministic_and_takes_a_seed_and_overrides():
    a, b = TwoLayers(VECTOR).copy(), TwoLayers(VECTOR).copy()
    assert not weights_differ(a, b)
    assert not weights_differ(a.copy(rngs=4), TwoLayers(VECTOR, rngs=4))
    assert not weights_differ(a.copy(nnx.Rngs(4)), TwoLayers(VECTOR, rngs=4))
    assert a.copy(units=7).second_to_none.kernel.shape == (3, 7)
    with pytest.raises(TypeError, match="no constructor argument 'width'"):
        a.copy(width=7)


def test_clone_keeps_the_weights_in_arrays_of_its_own():
    network = TwoLayers(VECTOR)
    network.set_weights(network.init_weights(jax.random.key(9)))
    twin = network.clone()
    assert type(twin) is TwoLayers
    for a, b in zip(jax.tree.leaves(network.get_weights()), jax.tree.leaves(twin.get_weights()), strict=True):
        assert a is not b
        assert jnp.array_equal(a, b)
        assert a.unsafe_buffer_pointer() != b.unsafe_buffer_pointer() if a.dtype == jnp.float32 else True
    np.testing.assert_array_equal(network(ROWS, training=True)[0]["values"], twin(ROWS, training=True)[0]["values"])


def test_networks_among_the_arguments_are_made_afresh_by_copy_and_kept_by_clone():
    inner = TwoLayers(VECTOR)
    holder = Holder(EncodingNetwork(VECTOR, fc_layer_params=(2,)), 1, 2, scale=2.0, name="Held")
    assert holder.name == "Held"
    assert holder.scale == 6.0
    copy, clone = holder.copy(), holder.clone()
    assert copy.name == "Held"
    assert copy.scale == 6.0
    assert not np.allclose(copy(ROWS)[0], holder(ROWS)[0])
    np.testing.assert_array_equal(clone(ROWS)[0], holder(ROWS)[0])
    assert holder.copy(inner=EncodingNetwork(VECTOR, fc_layer_params=(9,)))(ROWS)[0].shape == (5, 9)
    assert holder.copy(mood="sunny").name == "Held"
    assert inner.submodules == ()
    assert holder.submodules == (holder.inner,)


def test_copy_refuses_a_foreign_module_among_the_arguments():
    class Wraps(Network):
        def __init__(self, input_tensor_spec, module):
            super().__init__(input_tensor_spec)
            self.module = module

        def call(self, observation):
            return self.module(observation), ()

    network = Wraps(VECTOR, nnx.Linear(3, 2, rngs=nnx.Rngs(0)))
    assert network(ROWS)[0].shape == (5, 2)
    with pytest.raises(ConfigError, match=r"a Linear .* cannot be made anew(.|\n)*from_factory"):
        network.copy()


def test_a_subclass_without_a_constructor_is_remembered_too():
    class Bare(Network):
        def call(self, observation):
            return observation, ()

    copy = Bare(VECTOR, name="B").copy()
    assert (copy.name, copy.input_tensor_spec) == ("B", VECTOR)


# Specs and regularization.


def test_create_variables_returns_the_unbatched_output_spec():
    assert TwoLayers(VECTOR).create_variables() == {"values": specs.TensorSpec((2,), np.float32)}
    assert Counter(VECTOR).create_variables(training=True) == specs.TensorSpec((3,), np.float32)
    assert RecurrentCore(VECTOR, (4, 5)).create_variables() == specs.TensorSpec((5,), np.float32)
    network = TwoLayers(VECTOR)
    assert network.create_variables() is network.create_variables()


def test_create_variables_uses_the_networks_own_spec_first():
    class Anything(Network):
        def __init__(self):
            super().__init__(None)

        def call(self, observation):
            return observation * 2, ()

    assert Anything().create_variables(VECTOR) == VECTOR
    with pytest.raises(SpecError, match="Anything has no input_tensor_spec"):
        Anything().create_variables()
    other = specs.TensorSpec((9,), np.float32)
    assert Counter(VECTOR).create_variables(other) == VECTOR


def test_create_variables_describes_a_distribution_by_its_own_class():
    @dataclasses.dataclass
    class Point:
        loc: jax.Array

    jax.tree_util.register_dataclass(Point)
    network = Network.from_factory(lambda rngs: Point, VECTOR)
    output = network.create_variables()
    assert type(output) is Point
    assert output.loc.shape == (1, 3)


def test_regularization_is_the_weighted_sum_of_squares():
    network = EncodingNetwork(VECTOR, fc_layer_params=(4, 2, 2), weight_decay_params=(0.5, None, 0.25))
    params = network.init_weights(jax.random.key(0)).params
    expected = 0.5 * np.sum(params["layer_0"]["kernel"] ** 2) + 0.25 * np.sum(params["layer_2"]["kernel"] ** 2)
    np.testing.assert_allclose(jax.jit(network.regularization_loss)(params), expected, rtol=1e-6)
    own = jax.tree.map(np.asarray, network.get_weights().params)
    np.testing.assert_allclose(
        network.losses,
        [0.5 * np.sum(own["layer_0"]["kernel"] ** 2), 0.25 * np.sum(own["layer_2"]["kernel"] ** 2)],
        rtol=1e-6,
    )
    assert float(TwoLayers(VECTOR).regularization_loss(TwoLayers(VECTOR).get_weights().params)) == 0.0
    assert TwoLayers(VECTOR).losses == []
