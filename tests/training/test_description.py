"""What can be told in JSON comes back the same; what cannot is refused by name."""

from __future__ import annotations

import functools
import json
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from jaxdaw.errors import StorageError
from jaxdaw.networks import (
    CategoricalProjection,
    Network,
    NormalProjection,
    QNetwork,
    Sequential,
    TanhNormalProjection,
    concatenate,
    std_clip_transform,
    tanh_squash_to_spec,
)
from jaxdaw.specs import BoundedTensorSpec, TensorSpec
from jaxdaw.training._description import Given, describe, describe_network, make_network, restore
from jaxdaw.trajectories import time_step_spec

OBSERVATION = BoundedTensorSpec((3,), "float32", -1, 1)
ACTION = BoundedTensorSpec((), "int32", 0, 1)


def there_and_back(value: Any, own: dict[str, type[Network]] | None = None) -> Any:
    return restore(json.loads(json.dumps(describe(value, "value"), allow_nan=False)), Given(own or {}))


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        3,
        0.1,
        "é",
        float("inf"),
        -float("inf"),
        [1, (2, [()])],
        {"b": 1, "a/é 🤖": {"": ()}, 3: None},
        time_step_spec({"camera": OBSERVATION, "map": (OBSERVATION, [ACTION])}),
        jax.nn.relu,
        jnp.tanh,
        jnp.exp,
        std_clip_transform,
        tanh_squash_to_spec,
        CategoricalProjection,
        NormalProjection,
        TanhNormalProjection,
        concatenate,
        nnx.Linear,
        jax.nn.initializers.zeros,
    ],
)
def test_value_comes_back_equal(value: Any):
    back = there_and_back(value)
    assert back == value
    assert type(back) is type(value)


def test_numpy_scalars_become_numbers_and_dtypes_stay():
    assert there_and_back([np.float32(0.5), np.int64(3), np.bool_(True)]) == [0.5, 3, True]
    for dtype in (jnp.float32, np.float32, jnp.bfloat16, np.dtype("uint8"), float):
        assert there_and_back(dtype) == jnp.dtype(dtype)


def test_nan_comes_back_as_nan():
    assert np.isnan(there_and_back(float("nan")))


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int64", "float16", "bfloat16", "float32", "float64"])
def test_specs_of_every_dtype_come_back_equal(dtype: str):
    for spec in (
        TensorSpec((2, 3), dtype, "camera é"),
        BoundedTensorSpec((2, 3), dtype, 0, 1),
        BoundedTensorSpec((2, 3), dtype, [0, 0, 1], np.ones((2, 3))),
    ):
        back = there_and_back(spec)
        assert back == spec
        assert type(back) is type(spec)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_infinite_bounds_come_back_bit_for_bit(dtype: str):
    spec = BoundedTensorSpec((2,), dtype, [-np.inf, 0.1], [np.inf, np.inf])
    back = there_and_back(spec)
    assert back.minimum.tobytes() == spec.minimum.tobytes()
    assert there_and_back(BoundedTensorSpec((), dtype, -np.inf, np.inf)).maximum == np.inf


@given(hnp.arrays(np.float32, (2, 2), elements=st.floats(width=32, allow_nan=False)))
def test_bounds_come_back_equal(minimum: np.ndarray):
    back = there_and_back(BoundedTensorSpec((2, 2), np.float32, minimum, np.inf))
    assert np.array_equal(np.broadcast_to(back.minimum, (2, 2)), minimum)


def test_image_bounds_take_one_number_each():
    spec = BoundedTensorSpec((84, 84, 4), "uint8", np.zeros((84, 84, 4)), np.full((84, 84, 4), 255))
    assert describe(spec, "")["spec"] == {
        "shape": [84, 84, 4], "dtype": "uint8", "name": None, "minimum": 0, "maximum": 255,
    }  # fmt: skip


@pytest.mark.parametrize(
    "initializer",
    [
        jax.nn.initializers.he_normal(),
        jax.nn.initializers.variance_scaling(1 / 3, "fan_in", "uniform"),
        jax.nn.initializers.orthogonal(0.5),
        jax.nn.initializers.truncated_normal(0.1),
        jax.nn.initializers.uniform(0.05),
        jax.nn.initializers.constant(-0.2),
    ],
)
def test_initializers_of_jax_draw_the_same_again(initializer: Any):
    again = there_and_back(initializer)
    assert jnp.array_equal(again(jax.random.key(0), (4, 3)), initializer(jax.random.key(0), (4, 3)))


def test_partial_of_a_known_function_comes_back():
    back = there_and_back(functools.partial(jax.nn.leaky_relu, negative_slope=0.2))
    assert (back.func, back.args, back.keywords) == (jax.nn.leaky_relu, (), {"negative_slope": 0.2})


class Observation(NamedTuple):
    position: Any
    speed: Any


class Odd:
    pass


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (lambda x: x, r"it cannot be saved without code\n.*got  <function"),
        (functools.partial(lambda x: x, 1), "cannot be saved without code"),
        (Odd, "cannot be saved without code"),
        (np.ones(3), "cannot be saved without code"),
        (jax.random.normal, "cannot be saved without code"),
        (jax.nn.initializers.uniform(0.1, jnp.bfloat16), "cannot be saved without code"),
        ({("a", 1): 2}, "cannot be saved without code"),
        ({"layers": [1, lambda x: x]}, r"it at \['layers'\] at \[1\] cannot be saved without code"),
        (
            Observation(OBSERVATION, ACTION),
            r"it is a Observation, a named tuple(?s:.*)Fix: a dictionary of the same names",
        ),
    ],
)
def test_what_only_code_can_tell_is_refused_by_name(value: Any, message: str):
    with pytest.raises(StorageError, match=message):
        describe(value, "it")


@pytest.mark.parametrize(
    "described",
    [
        {},
        {"dict": [[1]]},
        {"callable": "os.system"},
        {"callable": "jax.nn.dot_product_attention"},
        {"import": "os"},
        {"dtype": "object"},
        {"float": "1"},
        {"tuple": 3},
        {"spec": {"shape": [-1], "dtype": "float32", "name": None}},
        {"spec": {"shape": [10**9], "dtype": "O", "name": None}},
        {"spec": {"shape": [2], "dtype": "int32", "name": None, "minimum": "inf", "maximum": [1, [2]]}},
        {"partial": {"function": {"callable": "eval"}, "args": [], "keywords": {"dict": []}}},
        {"initializer": {"name": "__class__", "arguments": {"dict": []}}},
        {"network": {"class": "Module", "own": False, "arguments": {}}},
        {"network": {"class": "QNetwork", "own": False, "arguments": {"no_such": 1}}},
        {"network": {"class": "QNetwork", "own": False, "arguments": {"__class__": 1}}},
    ],
    ids=json.dumps,
)
def test_restore_refuses_anything_else(described: Any):
    with pytest.raises(StorageError):
        restore(described, Given())


# Networks.


class Scaled(Network):
    def __init__(
        self, input_tensor_spec: Any, *scales: float, units: int = 2, rngs: nnx.Rngs | int = 0, **options: Any
    ):
        super().__init__(input_tensor_spec, name=options.get("name"))
        self.layer = nnx.Linear(3, units, rngs=nnx.Rngs(0) if isinstance(rngs, int) else rngs)
        self.scales, self.options = nnx.static(tuple(scales)), nnx.static(tuple(sorted(options)))

    def call(self, observation: Any) -> tuple[Any, Any]:
        return self.layer(observation) * sum(self.scales), ()


def test_network_of_jaxdaw_is_described_with_its_defaults():
    arguments = describe_network(QNetwork(OBSERVATION, ACTION))["arguments"]
    assert arguments["fc_layer_params"] == {"tuple": [75, 40]}
    assert arguments["activation_fn"] == {"callable": "jax.nn.relu"}
    assert "rngs" not in arguments


def test_network_of_ones_own_is_made_again_from_all_kinds_of_arguments():
    network = Scaled(OBSERVATION, 0.5, 2.0, units=4, name="mine", gain=3)
    described = json.loads(json.dumps(describe_network(network)))
    again = make_network(described, Given({"Scaled": Scaled}))
    assert isinstance(again, Scaled)
    assert (again.name, again.scales, again.options) == ("mine", (0.5, 2.0), ("gain", "name"))
    again.set_weights(network.get_weights())
    assert jnp.array_equal(again(np.ones((1, 3), np.float32))[0], network(np.ones((1, 3), np.float32))[0])


def test_network_of_ones_own_is_never_taken_from_jaxdaws_table_nor_the_reverse():
    impostor = type("QNetwork", (Scaled,), {"__module__": "theirs"})
    described = describe_network(impostor(OBSERVATION))
    with pytest.raises(StorageError) as caught:
        make_network(described, Given({}))
    assert str(caught.value) == (
        "the policy holds a network of the class QNetwork, which load_policy was not given\n"
        "  expected  the class          got  networks=()\n"
        "  Likely cause: a network of your own: no file can say what is imported.\n"
        "  Fix: load_policy(path, networks=[QNetwork])"
    )
    assert type(make_network(described, Given({"QNetwork": impostor}))) is impostor
    ours = describe_network(QNetwork(OBSERVATION, ACTION))
    assert type(make_network(ours, Given({"QNetwork": impostor}))) is QNetwork


def test_networks_inside_arguments_are_described_too():
    network = Sequential([Scaled(OBSERVATION, 1.0), functools.partial(nnx.Linear, 2, 5), jax.nn.relu])
    again = make_network(describe_network(network), Given({"Scaled": Scaled}))
    assert jax.tree.map(jnp.shape, again.get_weights()) == jax.tree.map(jnp.shape, network.get_weights())


def test_network_from_a_factory_is_refused_with_the_remedy():
    network = Network.from_factory(lambda rngs: nnx.Linear(3, 2, rngs=rngs), OBSERVATION)
    with pytest.raises(StorageError, match=r"it comes from a factory, which is code(?s:.*)networks=\[MyNetwork\]"):
        describe_network(network)


def test_network_whose_class_has_changed_since_is_refused():
    described = describe_network(Scaled(OBSERVATION, units=4))

    class Scaled2(Network):
        def __init__(self, input_tensor_spec: Any, *, rngs: nnx.Rngs | int = 0):
            super().__init__(input_tensor_spec)

    with pytest.raises(StorageError, match=r"could not be made again: TypeError: it has no argument 'units'"):
        make_network(described, Given({"Scaled": Scaled2}))
