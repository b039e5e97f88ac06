"""Networks, specs and constructor arguments as JSON, by names from fixed tables, and back. Nothing is ever imported."""

from __future__ import annotations

import functools
import inspect
import math
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from jaxdaw import networks as room
from jaxdaw import specs
from jaxdaw.errors import StorageError
from jaxdaw.networks import Network
from jaxdaw.trajectories import TimeStep

NETWORKS: Mapping[str, type[Network]] = {
    name: value
    for name, value in vars(room).items()
    if name in room.__all__ and isinstance(value, type) and issubclass(value, Network) and value is not Network
}
"""The networks of jaxdaw; any other class has to be handed to `load_policy`."""

_ACTIVATIONS = (
    "celu", "elu", "gelu", "glu", "hard_sigmoid", "hard_silu", "hard_tanh", "identity", "leaky_relu", "log_sigmoid",
    "log_softmax", "relu", "relu6", "selu", "sigmoid", "silu", "soft_sign", "softmax", "softplus", "standardize",
    "tanh",
)  # fmt: skip
_LAYERS = ("BatchNorm", "Conv", "Dropout", "Embed", "LayerNorm", "Linear", "RMSNorm")

_PROJECTIONS = ("CategoricalProjection", "NormalProjection", "TanhNormalProjection")

_CALLABLES: Mapping[str, Callable[..., Any]] = {
    **{f"jax.nn.{name}": getattr(jax.nn, name) for name in _ACTIVATIONS},
    **{f"flax.nnx.{name}": getattr(nnx, name) for name in _LAYERS},
    "jax.nn.initializers.ones": jax.nn.initializers.ones,
    "jax.nn.initializers.zeros": jax.nn.initializers.zeros,
    "jax.numpy.exp": jnp.exp,
    "jaxdaw.networks.concatenate": room.concatenate,
    "jaxdaw.networks.signed_log": room.signed_log,
    "jaxdaw.networks.tanh_squash_to_spec": room.tanh_squash_to_spec,
    **{f"jaxdaw.networks.{name}": getattr(room, name) for name in _PROJECTIONS},
}

_INITIALIZERS: Mapping[str, tuple[Callable[..., Any], Any]] = {
    name: (getattr(jax.nn.initializers, name), getattr(jax.nn.initializers, name)(*example))
    for name, example in {
        "constant": (0.0,),
        "delta_orthogonal": (),
        "normal": (),
        "orthogonal": (),
        "truncated_normal": (),
        "uniform": (),
        "variance_scaling": (1.0, "fan_in", "normal"),
    }.items()
}
"""Each maker of initializers, and one that it made: what a maker makes shares its code and differs in what it holds."""

_DTYPES = (
    "bool", "uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64", "float16", "bfloat16", "float32",
    "float64",
)  # fmt: skip


# Networks: a class by name, and the arguments of its constructor.


def describe_network(network: Network) -> dict[str, Any]:
    """Returns the class and constructor arguments of a network as JSON.

    Those of jaxdaw's own networks are written with their defaults, so that a later default does not change the network.

    Raises:
      StorageError: an argument that only code can describe.
    """
    kind = type(network)
    arguments = network.constructor_arguments()
    ours = NETWORKS.get(kind.__name__) is kind
    if ours:
        bound = inspect.BoundArguments(_constructor(kind), OrderedDict(arguments))
        bound.apply_defaults()
        arguments = bound.arguments
    elif kind.__module__.startswith("jaxdaw."):
        raise StorageError(
            f"{network.name} cannot be saved: it comes from a factory, which is code",
            expected="a Network of jaxdaw or a subclass of your own",
            got=kind.__name__,
            fix="write a subclass of Network, and load_policy(path, networks=[MyNetwork])",
        )
    described = {
        name: describe(value, f"{kind.__name__}({name}=...)") for name, value in arguments.items() if name != "rngs"
    }
    return {"class": kind.__name__, "own": not ours, "arguments": described}


def make_network(described: Mapping[str, Any], own: Mapping[str, type[Network]]) -> Network:
    """Returns a network of fresh weights from its description.

    Args:
      described: from `describe_network`.
      own: the caller's classes by name.

    Raises:
      StorageError: a class that is in no table, or a constructor that refuses its arguments.
    """
    name, known = described["class"], own if described["own"] else NETWORKS
    if name not in known:
        raise StorageError(
            f"the policy holds a network of the class {name}, which load_policy was not given",
            expected="the class",
            got=", ".join(sorted(known)) or "networks=()",
            cause="a network of your own: no file can say what is imported.",
            fix=f"load_policy(path, networks=[{name}])",
        )
    signature = _constructor(known[name])
    arguments = {key: restore(value, own) for key, value in described["arguments"].items()}
    if "rngs" in signature.parameters:
        arguments["rngs"] = 0  # the weights are replaced
    bound = inspect.BoundArguments(signature, OrderedDict(arguments))
    unknown = sorted(arguments.keys() - signature.parameters.keys())
    try:
        if unknown:  # BoundArguments would pass over it
            raise TypeError(f"it has no argument {unknown[0]!r}")
        return known[name](*bound.args, **bound.kwargs)
    except Exception as error:  # whatever a constructor raises on arguments of another version
        raise StorageError(
            f"the network {name} could not be made again: {type(error).__name__}: {str(error)[:200]}",
            cause=f"the class {name} has changed since." if described["own"] else None,
        ) from error


def _constructor(kind: type[Network]) -> inspect.Signature:
    signature = inspect.signature(kind.__init__)  # that of the class is the metaclass's, `(*args, **kwargs)`
    return signature.replace(parameters=list(signature.parameters.values())[1:])


# Values.


def describe(value: Any, where: str) -> Any:
    """Returns a value as JSON: scalars as they are, anything else as `{kind: contents}`.

    Args:
      value: a scalar, dtype, spec, network or callable of the tables; a dictionary, list, tuple or TimeStep of these.
      where: names the value in messages.

    Raises:
      StorageError: anything else.
    """
    if isinstance(value, np.bool_ | np.integer | np.floating):
        value = value.item()
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else {"float": str(value)}
    if isinstance(value, specs.TensorSpec):
        return specs.to_json(value)
    if isinstance(value, Network):
        return {"network": describe_network(value)}
    if isinstance(value, Mapping):
        if all(isinstance(key, str | int) for key in value):
            return {"dict": [[key, describe(child, f"{where} at [{key!r}]")] for key, child in value.items()]}
    elif isinstance(value, TimeStep):
        return {"time_step": [describe(child, f"{where} at .{name}") for name, child in value._asdict().items()]}
    elif isinstance(value, tuple) and hasattr(value, "_fields"):
        raise _refusal(
            f"{where} is a {type(value).__name__}, a named tuple whose class a file cannot name",
            value,
            fix="a dictionary of the same names in its place, such as gymnasium.spaces.Dict",
        )
    elif isinstance(value, list | tuple):
        contents = [describe(child, f"{where} at [{i}]") for i, child in enumerate(value)]
        return {"tuple" if isinstance(value, tuple) else "list": contents}
    described = _describe_callable(value, where) or _describe_dtype(value)
    if described is None:
        fix = "put it inside a Network of your own, and load with networks=[MyNetwork]"
        raise _refusal(f"{where} cannot be saved without code", value, fix)
    return described


def restore(described: Any, own: Mapping[str, type[Network]]) -> Any:
    """Returns the value that `describe` was given.

    Raises:
      StorageError, KeyError, TypeError, ValueError, OverflowError: not a description.
    """
    if not isinstance(described, dict):
        return described
    ((kind, contents),) = described.items()

    def children(values: Any) -> list[Any]:
        return [restore(child, own) for child in values]

    makers: dict[str, Callable[[], Any]] = {
        "float": lambda: {"inf": math.inf, "-inf": -math.inf, "nan": math.nan}[contents],
        "dtype": lambda: _dtype(contents),
        "spec": lambda: specs.from_json(described),
        "network": lambda: make_network(contents, own),
        "dict": lambda: {key: restore(child, own) for key, child in contents},
        "list": lambda: children(contents),
        "tuple": lambda: tuple(children(contents)),
        "time_step": lambda: TimeStep(*children(contents)),
        "callable": lambda: _CALLABLES[contents],
        "initializer": lambda: _INITIALIZERS[contents["name"]][0](**restore(contents["arguments"], own)),
        "partial": lambda: functools.partial(
            restore(contents["function"], own), *children(contents["args"]), **restore(contents["keywords"], own)
        ),
    }
    return makers[kind]()


def _describe_callable(value: Any, where: str) -> dict[str, Any] | None:
    if isinstance(value, functools.partial):
        return {
            "partial": {
                "function": describe(value.func, where),
                "args": [describe(argument, where) for argument in value.args],
                "keywords": describe(value.keywords, where),
            }
        }
    for name, known in _CALLABLES.items():
        if value is known:
            return {"callable": name}
    for name, (_, example) in _INITIALIZERS.items():
        same_code = getattr(value, "__code__", None) is example.__code__
        if same_code and value.__defaults__ == example.__defaults__:
            return {
                "initializer": {"name": name, "arguments": describe(inspect.getclosurevars(value).nonlocals, where)}
            }
    return None


def _describe_dtype(value: Any) -> dict[str, Any] | None:
    if isinstance(value, type | np.dtype):
        name = jnp.dtype(value).name  # of a class that is no dtype: "object"
        return {"dtype": name} if name in _DTYPES else None
    return None


def _dtype(name: str) -> np.dtype:
    if name not in _DTYPES:
        raise ValueError(f"no dtype {name!r}")
    return jnp.dtype(name)


def _refusal(headline: str, value: Any, fix: str) -> StorageError:
    expected = "numbers, text, dictionaries, tuples, specs, networks, or a function of jax.nn"
    return StorageError(headline, expected=expected, got=repr(value)[:60], fix=fix)
