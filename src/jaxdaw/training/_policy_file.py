"""A policy on disk: what it is made of in JSON, its weights in safetensors. No code is stored, and none is run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxdaw import networks as networks_room
from jaxdaw import specs
from jaxdaw.errors import StorageError, explain
from jaxdaw.networks import Network, Weights
from jaxdaw.policies import BoltzmannPolicy, EpsilonGreedyPolicy, GreedyPolicy, Policy, QPolicy, RandomPolicy, Splitter
from jaxdaw.training._checkpoint import _described, read_directory, read_manifest, save_tree
from jaxdaw.trajectories import TimeStep

_FUNCTIONS = {
    name: getattr(jax.nn, name)
    for name in (
        "relu",
        "tanh",
        "elu",
        "gelu",
        "silu",
        "sigmoid",
        "softplus",
        "leaky_relu",
        "selu",
        "relu6",
        "identity",
    )
} | {"concatenate": networks_room.concatenate, "jnp.tanh": jnp.tanh}
_NETWORKS = {
    name: getattr(networks_room, name)
    for name in (
        "QNetwork",
        "DuelingQNetwork",
        "QRnnNetwork",
        "EncodingNetwork",
        "Sequential",
        "ValueNetwork",
        "ActorNetwork",
    )
}


def save_policy(policy: Policy, directory: str | Path, metadata: dict[str, Any] | None = None) -> Path:
    """Writes a policy; `load_policy` reads it back without the agent.

    Args:
      policy: a QPolicy or RandomPolicy, and what is wrapped around it.
      directory: replaced as a whole if it exists.
      metadata: JSON values to keep beside it.

    A schedule is saved as the number that it gives today; a splitter is not saved, and must be given to `load_policy`.

    Raises:
      StorageError: a part that cannot be described without code, named; or a disk that is full.
    """
    directory = Path(directory)
    directory.parent.mkdir(parents=True, exist_ok=True)
    weights = {str(i): network.get_weights() for i, network in enumerate(policy._networks())}
    description = {"policy": _describe_policy(policy), "user": metadata or {}}
    save_tree(directory, weights, description)
    return directory


def load_policy(
    directory: str | Path,
    *,
    networks: Sequence[type[Network]] = (),
    observation_and_action_constraint_splitter: Splitter | None = None,
) -> Policy:
    """Returns the policy that `save_policy` wrote.

    Args:
      directory: where.
      networks: the classes of your own networks in it, matched by class name: nothing is imported because a file says
        so.
      observation_and_action_constraint_splitter: the splitter, if and only if the policy had one.

    Raises:
      StorageError: not a policy, a damaged file, a class that is not known, or a splitter missing or too many.
    """
    directory = Path(directory)
    manifest = read_manifest(directory)
    described = manifest["metadata"].get("policy") if isinstance(manifest["metadata"], dict) else None
    if not isinstance(described, dict):
        raise StorageError(explain(f"{directory} is not a jaxdaw policy", expected="a policy", got="a checkpoint"))
    known = _NETWORKS | {cls.__name__: cls for cls in networks}
    try:
        policy = _make_policy(described, known, observation_and_action_constraint_splitter)
    except (KeyError, TypeError, ValueError) as error:
        if isinstance(error, StorageError):
            raise
        raise StorageError(explain(f"{directory} does not describe a policy", got=str(error)[:200])) from error
    arrays, _ = read_directory(directory)
    for i, network in enumerate(policy._networks()):
        current = network.get_weights()
        paths = jax.tree_util.tree_flatten_with_path(current)[0]
        names = [
            "/".join([str(i), *(str(getattr(k, "key", getattr(k, "name", k))) for k in path)]) for path, _ in paths
        ]
        for name, (_, leaf) in zip(names, paths, strict=True):
            if name not in arrays or (tuple(arrays[name].shape), arrays[name].dtype) != _described(leaf):
                raise StorageError(
                    explain(
                        f"{directory} does not fit its own network at {name}",
                        expected=str(_described(leaf)),
                        got="nothing" if name not in arrays else f"{arrays[name].dtype} {arrays[name].shape}",
                    )
                )
        leaves = [_as_leaf(arrays[name], leaf) for name, (_, leaf) in zip(names, paths, strict=True)]
        network.set_weights(Weights(*jax.tree.unflatten(jax.tree.structure(current), leaves)))
    return policy


def _as_leaf(array: np.ndarray, like: Any) -> Any:
    if jnp.issubdtype(like.dtype, jax.dtypes.prng_key):
        return jax.random.wrap_key_data(jnp.asarray(array), impl=jax.random.key_impl(like))
    return jnp.asarray(array)


# Policies.


def _describe_policy(policy: Policy) -> dict[str, Any]:
    kind = type(policy)
    if kind in (GreedyPolicy, EpsilonGreedyPolicy, BoltzmannPolicy):
        described = {"class": kind.__name__, "policy": _describe_policy(policy.wrapped_policy)}  # type: ignore[attr-defined]  # all three wrap
        if kind is not GreedyPolicy:
            described["number"] = float(policy.get_weights()[1])
        return described
    if kind not in (QPolicy, RandomPolicy):
        raise StorageError(
            explain(
                f"a {kind.__name__} cannot be saved",
                expected="QPolicy, RandomPolicy, GreedyPolicy, EpsilonGreedyPolicy or BoltzmannPolicy",
                got=kind.__name__,
            )
        )
    described = {
        "class": kind.__name__,
        "time_step_spec": _describe(policy.time_step_spec._asdict(), "time_step_spec"),
        "action_spec": _describe(policy.action_spec, "action_spec"),
        "emit_log_probability": policy.emit_log_probability,
        "splitter": policy.observation_and_action_constraint_splitter is not None,
    }
    if kind is QPolicy:
        described["q_network"] = _describe_network(policy._networks()[0])
    return described


def _make_policy(described: dict[str, Any], known: dict[str, type[Network]], splitter: Splitter | None) -> Policy:
    kind = described["class"]
    if kind in ("GreedyPolicy", "EpsilonGreedyPolicy", "BoltzmannPolicy"):
        inner = _make_policy(described["policy"], known, splitter)
        if kind == "GreedyPolicy":
            return GreedyPolicy(inner)
        return {"EpsilonGreedyPolicy": EpsilonGreedyPolicy, "BoltzmannPolicy": BoltzmannPolicy}[kind](
            inner, described["number"]
        )
    if described["splitter"] != (splitter is not None):
        raise StorageError(
            explain(
                "the policy was saved with a splitter"
                if described["splitter"]
                else "the policy was saved without a splitter",
                expected="a splitter" if described["splitter"] else "none",
                got="none" if splitter is None else "a splitter",
                cause="a splitter is a function, and functions are not saved.",
                fix="load_policy(path, observation_and_action_constraint_splitter=split)",
            )
        )
    common = {
        "time_step_spec": TimeStep(**_restore(described["time_step_spec"], known)),
        "action_spec": _restore(described["action_spec"], known),
        "emit_log_probability": described["emit_log_probability"],
        "observation_and_action_constraint_splitter": splitter,
    }
    if kind == "RandomPolicy":
        return RandomPolicy(**common)
    if kind == "QPolicy":
        return QPolicy(q_network=_make_network(described["q_network"], known), **common)
    raise StorageError(explain("unknown policy class", got=repr(kind)))


# Networks: a class by name, and the arguments of its constructor.


def _describe_network(network: Network) -> dict[str, Any]:
    arguments = network.constructor_arguments()
    arguments.pop("rngs", None)
    return {
        "class": type(network).__name__,
        "arguments": {
            name: _describe(value, f"{type(network).__name__}({name}=...)") for name, value in arguments.items()
        },
    }


def _make_network(described: dict[str, Any], known: dict[str, type[Network]]) -> Network:
    name = described["class"]
    if name not in known:
        raise StorageError(
            explain(
                f"the policy holds a network of the class {name}, which this program has not named",
                expected="its class",
                got=", ".join(sorted(known)),
                cause="a network of your own: nothing is imported because a file says so.",
                fix=f"load_policy(path, networks=[{name}])",
            )
        )
    return known[name](**{key: _restore(value, known) for key, value in described["arguments"].items()})


# Values: JSON, specs, tuples, networks, and functions from a fixed table.


def _describe(value: Any, where: str) -> Any:
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, specs.BoundedTensorSpec):
        bounds = {k: _bound(getattr(value, k)) for k in ("minimum", "maximum")}
        return {"spec": {"shape": list(value.shape), "dtype": value.dtype.name, "name": value.name, **bounds}}
    if isinstance(value, specs.TensorSpec):
        return {"spec": {"shape": list(value.shape), "dtype": value.dtype.name, "name": value.name}}
    if isinstance(value, Network):
        return {"network": _describe_network(value)}
    if isinstance(value, dict):
        return {"dict": [[key, _describe(child, where)] for key, child in value.items()]}
    if isinstance(value, list):
        return {"list": [_describe(child, where) for child in value]}
    if isinstance(value, tuple) and not hasattr(value, "_fields"):
        return {"tuple": [_describe(child, where) for child in value]}
    name = next((name for name, function in _FUNCTIONS.items() if function is value), None)
    if name is not None:
        return {"function": name}
    if value is np.float32 or value is jnp.float32:
        return {"dtype": "float32"}
    raise StorageError(
        explain(
            f"{where} cannot be saved without code",
            expected="numbers, text, tuples, specs, networks, or a function of jax.nn",
            got=repr(value)[:60],
            fix="put it inside a Network of your own, and load with networks=[MyNetwork]",
        )
    )


def _restore(value: Any, known: dict[str, type[Network]]) -> Any:
    if not isinstance(value, dict):
        return value
    ((kind, content),) = value.items()
    if kind == "spec":
        if "minimum" in content:
            low, high = (_unbound(content[k]) for k in ("minimum", "maximum"))
            return specs.BoundedTensorSpec(tuple(content["shape"]), content["dtype"], low, high, content["name"])
        return specs.TensorSpec(tuple(content["shape"]), content["dtype"], content["name"])
    if kind == "network":
        return _make_network(content, known)
    if kind == "dict":
        return {key: _restore(child, known) for key, child in content}
    if kind == "list":
        return [_restore(child, known) for child in content]
    if kind == "tuple":
        return tuple(_restore(child, known) for child in content)
    if kind == "function":
        return _FUNCTIONS[content]
    if kind == "dtype":
        return jnp.float32
    raise StorageError(explain("unknown kind of value in a policy", got=repr(kind)))


def _bound(bound: np.ndarray) -> Any:
    """Returns a bound as JSON: numbers, and text for infinities, which JSON has no number for."""
    if bound.ndim:
        return [_bound(entry) for entry in bound]
    return str(bound) if bound.dtype.kind == "f" and np.isinf(bound) else bound.item()


def _unbound(bound: Any) -> np.ndarray:
    return np.array(np.vectorize(float, otypes=[np.float64])(bound)) if _has_text(bound) else np.asarray(bound)


def _has_text(bound: Any) -> bool:
    return any(_has_text(b) for b in bound) if isinstance(bound, list) else isinstance(bound, str)
