"""Policies, networks, specs and other constructor arguments as JSON, and back.

A value is a JSON scalar or `{kind: contents}`. A network or policy is the name of its class and its constructor's
arguments. Names are looked up in fixed tables: nothing is imported because a file says so.
"""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from jaxdaw import networks, policies, specs
from jaxdaw.errors import StorageError
from jaxdaw.networks import Module, Network
from jaxdaw.policies import Constraint, Policy, PolicyInfo, Splitter
from jaxdaw.trajectories import TimeStep


def _classes_of(room: Any, base: type[Any]) -> dict[str, type[Any]]:
    exported = ((name, getattr(room, name)) for name in room.__all__)
    return {name: cls for name, cls in exported if isinstance(cls, type) and issubclass(cls, base) and cls is not base}


NETWORKS: Mapping[str, type[Network]] = _classes_of(networks, Network)
"""The networks of jaxdaw; any other class has to be handed to `load_policy`."""

POLICIES: Mapping[str, type[Policy]] = _classes_of(policies, Policy)
"""The policies of jaxdaw. A subclass of one behaves differently and cannot be saved."""

_RECORDS: Mapping[str, type[Any]] = {"time_step": TimeStep, "policy_info": PolicyInfo}

_MAX_DEPTH, _MAX_PARTS, _MAX_SPECS = 100, 800, 10_000
"""Bounds of a description: making one layer, network or policy takes up to 10 ms, whatever its size."""

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
    "jaxdaw.networks.concatenate": networks.concatenate,
    "jaxdaw.networks.signed_log": networks.signed_log,
    "jaxdaw.networks.std_clip_transform": networks.std_clip_transform,
    "jaxdaw.networks.tanh_squash_to_spec": networks.tanh_squash_to_spec,
    **{f"jaxdaw.networks.{name}": getattr(networks, name) for name in _PROJECTIONS},
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


class Given(NamedTuple):
    """What a caller hands over because no file can hold it: code.

    Attributes:
      networks: the caller's own classes by name.
      splitter: the observation_and_action_constraint_splitter, or None.
      constraints: those of a policy over predicted rewards.
    """

    networks: Mapping[str, type[Network]] = {}
    splitter: Splitter | None = None
    constraints: Sequence[Constraint] = ()


# Networks and policies: a class by name, and the arguments of its constructor.


def describe_network(network: Network) -> dict[str, Any]:
    """Returns the class and constructor arguments of a network as JSON.

    Those of jaxdaw's own networks are written with their defaults, so that a later default does not change the network.

    Raises:
      StorageError: an argument that only code can describe.
    """
    kind = type(network)
    ours = NETWORKS.get(kind.__name__) is kind
    if not ours and kind.__module__.startswith("jaxdaw."):
        raise StorageError(
            f"{network.name} cannot be saved: it comes from a factory, which is code",
            expected="a Network of jaxdaw or a subclass of your own",
            got=kind.__name__,
            fix="write a subclass of Network, and load_policy(path, networks=[MyNetwork])",
        )
    arguments = network.constructor_arguments(defaults=ours)
    arguments.pop("rngs", None)
    return {"class": kind.__name__, "own": not ours, "arguments": _describe_arguments(kind, arguments)}


def describe_policy(policy: Policy) -> dict[str, Any]:
    """Returns the class and constructor arguments of a policy as JSON; a schedule is the number that it gives now.

    Of a splitter and of constraints, which are code, only the number is written.

    Raises:
      StorageError: a class that is not in `POLICIES`, or another argument that only code can describe.
    """
    kind = type(policy)
    if POLICIES.get(kind.__name__) is not kind:
        raise StorageError(
            f"a {kind.__name__} cannot be saved", expected=", ".join(sorted(POLICIES)), got=kind.__name__
        )
    arguments = policy.arguments_now()
    code = {name: {"code": count} for name, count in _num_code(arguments).items()}
    plain = {name: value for name, value in arguments.items() if name not in code}
    return {
        "class": kind.__name__,
        "arguments": _describe_arguments(kind, plain) | code,
        "state": {name: int(getattr(policy, name)) for name in policy.changing_attributes},
    }


def make_network(described: Any, given: Given, where: str = "network") -> Network:
    """Returns a network of fresh weights from its description.

    Args:
      described: from `describe_network`.
      given: the caller's own code.
      where: names the description in messages.

    Raises:
      StorageError: a class that is in no table, or a constructor that refuses its arguments.
    """
    name, known = described["class"], given.networks if described["own"] else NETWORKS
    if name not in known:
        raise StorageError(
            f"the policy holds a network of the class {name}, which load_policy was not given",
            expected="the class",
            got=", ".join(sorted(known)) or "networks=()",
            cause="a network of your own: no file can say what is imported.",
            fix=f"load_policy(path, networks=[{name}])",
        )
    arguments = {key: restore(value, given, f"{where}.{key}") for key, value in described["arguments"].items()}
    if "rngs" in inspect.signature(known[name].__init__).parameters:
        arguments["rngs"] = 0  # the weights are replaced
    try:
        return known[name].from_constructor_arguments(arguments)
    except Exception as error:  # whatever a constructor raises on arguments of another version
        raise StorageError(
            f"the network {name} could not be made again: {type(error).__name__}: {str(error)[:200]}",
            cause=f"the class {name} has changed since." if described["own"] else None,
        ) from error


def make_policy(described: Any, given: Given, where: str = "policy") -> Policy:
    """Returns a policy with networks of fresh weights from its description.

    Args:
      described: from `describe_policy`.
      given: the caller's own code.
      where: names the description in messages.

    Raises:
      StorageError: not the description of a policy; code is missing, or was given although the policy had none.
    """
    arguments = dict(described["arguments"])
    code = {name: arguments.pop(name)["code"] for name in _CODE if "code" in (arguments.get(name) or ())}
    if "policy" not in arguments:  # a policy around another has no code of its own
        _check_code(code, given)
    restored = {name: restore(value, given, f"{where}.{name}") for name, value in arguments.items()}
    restored |= {name: getattr(given, _CODE[name]) for name in code}
    policy = POLICIES[described["class"]].from_constructor_arguments(restored)
    state = described["state"]
    if sorted(state) != sorted(policy.changing_attributes):
        raise StorageError(f"{where}.state is wrong", expected=str(policy.changing_attributes), got=str(state)[:60])
    for name, value in state.items():
        if type(value) is not int or not 0 <= value < 2**63:
            raise StorageError(
                f"{where}.state.{name} is wrong", expected="an integer of 0 or more", got=str(value)[:60]
            )
        setattr(policy, name, value)
    return policy


_CODE = {"observation_and_action_constraint_splitter": "splitter", "constraints": "constraints"}
"""The constructor arguments of policies that are code, and the field of `Given` for each."""


def _num_code(arguments: Mapping[str, Any]) -> dict[str, int]:
    """Returns how many functions each argument that is code holds; those that hold none are left out."""
    values = {name: arguments[name] for name in _CODE if arguments.get(name)}
    return {name: len(value) if isinstance(value, list | tuple) else 1 for name, value in values.items()}


def _check_code(saved: Mapping[str, int], given: Given) -> None:
    had_splitter = "observation_and_action_constraint_splitter" in saved
    if had_splitter != (given.splitter is not None):
        raise StorageError(
            f"the policy was saved {'with' if had_splitter else 'without'} a splitter",
            expected="a splitter" if had_splitter else "no splitter",
            got="none" if had_splitter else "a splitter",
            cause="a splitter is code, which is not saved." if had_splitter else None,
            fix="load_policy(path, observation_and_action_constraint_splitter=split)"
            if had_splitter
            else "load_policy(path)",
        )
    num_constraints = saved.get("constraints", 0)
    if num_constraints != len(given.constraints):
        raise StorageError(
            "the policy was saved with another number of constraints",
            expected=str(num_constraints),
            got=str(len(given.constraints)),
            cause="constraints are code, which is not saved.",
            fix="load_policy(path, constraints=(is_feasible,))",
        )


def _describe_arguments(kind: type[Module], arguments: Mapping[str, Any]) -> dict[str, Any]:
    return {name: describe(value, f"{kind.__name__}({name}=...)") for name, value in arguments.items()}


def check_size(described: Any, where: str) -> None:
    """Checks that a description is of bounded depth and size; nothing is made.

    Args:
      described: any JSON.
      where: names it in messages.

    Raises:
      StorageError: it is deeper or larger than a policy can be; names the place.
    """
    num_parts = num_specs = 0
    stack: list[tuple[Any, str, int, bool]] = [(described, where, 0, False)]
    while stack:
        node, place, depth, is_entry = stack.pop()
        if depth > _MAX_DEPTH:
            raise _oversize(place, f"at most {_MAX_DEPTH} levels")
        if isinstance(node, dict) and "spec" in node:
            num_specs += 1
            if num_specs > _MAX_SPECS:
                raise _oversize(place, f"at most {_MAX_SPECS:,} specs")
            continue
        num_parts += is_entry
        if num_parts > _MAX_PARTS:
            raise _oversize(place, f"at most {_MAX_PARTS} layers, networks and other entries")
        if isinstance(node, list):
            stack += [(child, f"{place}[{i}]", depth + 1, True) for i, child in reversed(list(enumerate(node)))]
        elif isinstance(node, dict) and isinstance(node.get("dict"), list):
            pairs = [pair for pair in node["dict"] if isinstance(pair, list) and len(pair) == 2]
            stack += [(child, f"{place}[{key!r:.40}]", depth + 1, True) for key, child in reversed(pairs)]
        elif isinstance(node, dict):
            stack += [(child, f"{place}.{key}", depth + 1, False) for key, child in reversed(node.items())]


def _oversize(place: str, expected: str) -> StorageError:
    shown = place if len(place) <= 200 else f"{place[:100]}...{place[-100:]}"
    return StorageError(
        f"{shown} is more than a policy can be made of",
        expected=expected,
        got="more",
        cause="a file that was not written by save_policy.",
    )


# Values.


def describe(value: Any, where: str) -> Any:
    """Returns a value as JSON: scalars as they are, anything else as `{kind: contents}`.

    Args:
      value: a scalar, dtype, spec, network, policy or callable of the tables; a dictionary, list, tuple, TimeStep or
        PolicyInfo of these.
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
    if isinstance(value, Policy):
        return {"policy": describe_policy(value)}
    if isinstance(value, Mapping):
        if all(isinstance(key, str | int) for key in value):
            return {"dict": [[key, describe(child, f"{where} at [{key!r}]")] for key, child in value.items()]}
    elif isinstance(value, tuple) and hasattr(value, "_fields"):
        for kind, record in _RECORDS.items():
            if type(value) is record:
                return {kind: [describe(child, f"{where} at .{name}") for name, child in zip(record._fields, value)]}
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


def restore(described: Any, given: Given, where: str = "value") -> Any:
    """Returns the value that `describe` was given.

    Args:
      described: JSON, of which anything may be wrong.
      given: the caller's own code.
      where: names the value in messages.

    Raises:
      StorageError: not a description; names the innermost place that is wrong.
    """
    if not isinstance(described, dict):
        return described
    try:
        ((kind, contents),) = described.items()
        return _restore(kind, contents, given, where)
    except StorageError:
        raise
    except Exception as error:  # a description can be wrong in any way, and constructors refuse it in their own
        raise StorageError(
            f"{where} is not described correctly",
            got=f"{str(described)[:60]}: {type(error).__name__}: {str(error)[:200]}",
            cause="a file that was changed, or written by another version.",
        ) from error


def _restore(kind: str, contents: Any, given: Given, where: str) -> Any:
    def children(values: Any) -> list[Any]:
        return [restore(child, given, f"{where}[{index}]") for index, child in enumerate(values)]

    def mapping(pairs: Any) -> dict[Any, Any]:
        return {key: restore(child, given, f"{where}[{key!r}]") for key, child in pairs}

    match kind:
        case "float":
            return {"inf": math.inf, "-inf": -math.inf, "nan": math.nan}[contents]
        case "dtype":
            return _dtype(contents)
        case "spec":
            return specs.from_json({kind: contents})
        case "network":
            return make_network(contents, given, where)
        case "policy":
            return make_policy(contents, given, where)
        case "dict":
            return mapping(contents)
        case "list":
            return children(contents)
        case "tuple":
            return tuple(children(contents))
        case "callable":
            return _CALLABLES[contents]
        case "initializer":
            return _INITIALIZERS[contents["name"]][0](**restore(contents["arguments"], given, where))
        case "partial":
            function, keywords = (restore(contents[part], given, where) for part in ("function", "keywords"))
            return functools.partial(function, *children(contents["args"]), **keywords)
    return _RECORDS[kind](*children(contents))


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
