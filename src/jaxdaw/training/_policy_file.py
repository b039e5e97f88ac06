"""Policies on disk: classes and constructor arguments in JSON, weights in safetensors; no code is stored or run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxdaw.errors import ConfigError, StorageError
from jaxdaw.networks import Network
from jaxdaw.policies import Constraint, Policy, Splitter
from jaxdaw.storage import Kind, format_refusal, read_arrays, read_document, write_directory
from jaxdaw.training._description import Given, check_size, describe_policy, make_policy
from jaxdaw.training._tree import named_leaves, plain, restored, structure_refusal, table

_LEARNED = "learned_keys"  # in policy.json their number, in weights.safetensors the keys

POLICY = Kind("policy", "policy.json", "weights.safetensors", {"policy": dict, "leaves": dict, "metadata": dict})


def save_policy(policy: Policy, directory: str | Path, metadata: dict[str, Any] | None = None) -> Path:
    """Writes a policy, as a whole or not at all; `load_policy` reads it back without the agent.

    The directory holds `policy.json` and `weights.safetensors`. A schedule is saved as the number that it gives now. A
    splitter, constraints and the classes of your own networks are code: they are not saved, and `load_policy` asks for
    them.

    Args:
      policy: of a class that `jaxdaw.policies` exports.
      directory: a policy that lies there is replaced.
      metadata: JSON values to keep beside it.

    Returns:
      The directory.

    Raises:
      StorageError: a part that cannot be described without code, named; a full disk; `directory` holds other files.
    """
    leaves = named_leaves(_weights(policy))
    described = describe_policy(policy)
    check_size(described, type(policy).__name__)
    contents = {"policy": described, "leaves": table(leaves), "metadata": metadata or {}}
    arrays = {name: plain(leaf) for name, leaf in leaves.items()}
    if policy.learned_keys is not None:
        contents[_LEARNED] = len(policy.learned_keys)
        arrays[_LEARNED] = policy.learned_keys
    write_directory(Path(directory), POLICY, arrays, contents)
    return Path(directory)


def load_policy(
    directory: str | Path,
    *,
    networks: Sequence[type[Network]] = (),
    observation_and_action_constraint_splitter: Splitter | None = None,
    constraints: Sequence[Constraint] = (),
) -> Policy:
    """Returns the policy that `save_policy` wrote.

    Args:
      directory: where.
      networks: the classes of your own networks in it, matched by name: nothing is imported because a file says so.
      observation_and_action_constraint_splitter: the splitter, if and only if the policy had one.
      constraints: those that the policy had, in their order.

    Raises:
      StorageError: not a policy, a damaged file, a newer format, a description of more than a policy can be made of, an
        unknown class, or a splitter or constraint missing or too many.
      ConfigError: `networks` holds something else than classes of networks, or two of the same name.
    """
    directory = Path(directory)
    given = Given(_by_name(networks), observation_and_action_constraint_splitter, constraints)
    if (directory / "config.json").is_file() and not (directory / POLICY.document).is_file():
        raise StorageError(
            f"{directory} is a run, which holds policies",
            expected=f"a directory with {POLICY.document}",
            got="config.json",
            fix=f"run_policy({str(directory)!r}) for its best policy",
        )
    document = read_document(directory, POLICY)
    refusal = format_refusal(directory, document)
    if refusal is not None:
        raise refusal
    where = f"{directory / POLICY.document}: policy"
    check_size(document.get("policy"), where)

    try:
        described = document["policy"]
        if "arguments" not in described:
            described = _from_format_1(described)

        def make() -> Policy:
            return make_policy(described, given, where)

        # Traced first, which tells the shapes of the weights without making any: those in the file have to agree.
        like = named_leaves(jax.eval_shape(lambda: _weights(make())))
        refusal = structure_refusal(
            f"{directory} does not fit the networks it describes",
            document["leaves"],
            table(like),
            "the classes in networks=[...] as they were when the policy was saved",
        )
        if refusal is not None:
            raise refusal
        expected = {name: plain(leaf) for name, leaf in like.items()}
        if _LEARNED in document:
            expected[_LEARNED] = jax.ShapeDtypeStruct((_count(document[_LEARNED], directory),), np.uint64)
        arrays = read_arrays(directory, POLICY, document, expected)
        policy = make()
    except StorageError:
        raise
    except Exception as error:  # a description can be wrong in any way, and each constructor refuses in its own
        problem = f"{type(error).__name__}: {str(error)[:200]}"
        raise StorageError(f"{directory} does not describe a policy", got=problem) from error
    weights = _weights(policy)
    leaves = [restored(arrays[name], leaf) for name, leaf in named_leaves(weights).items()]
    for network, loaded in zip(
        policy._networks(), jax.tree.unflatten(jax.tree.structure(weights), leaves), strict=True
    ):
        network.set_weights(loaded)
    policy.learned_keys = arrays.get(_LEARNED)
    return policy


def _count(found: Any, directory: Path) -> int:
    if type(found) is not int or not 0 <= found < 2**32:
        what = f"{directory / POLICY.document}: {_LEARNED} is no number of decisions"
        raise StorageError(what, expected="an integer of 0 or more", got=str(found)[:60])
    return found


def _weights(policy: Policy) -> tuple[Any, ...]:
    return tuple(network.get_weights() for network in policy._networks())


def _by_name(networks: Sequence[type[Network]]) -> dict[str, type[Network]]:
    own: dict[str, type[Network]] = {}
    for cls in networks:
        if not (isinstance(cls, type) and issubclass(cls, Network)) or cls.__name__ in own:
            raise ConfigError(
                "networks must be classes of networks, each of another name",
                expected="[MyNetwork]",
                got=repr(list(networks))[:100],
            )
        own[cls.__name__] = cls
    return own


_SCHEDULES = {
    "EpsilonGreedyPolicy": "epsilon",
    "BoltzmannPolicy": "temperature",
    "SquareCBPolicy": "gamma",
    "FastCBPolicy": "gamma",
    "FalconPolicy": "exploitation_coefficient",
}
"""The constructor argument that jaxdaw 0.1 wrote as `number`."""


def _from_format_1(described: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the description of a policy written by jaxdaw 0.1, which had fields of its own for each class."""
    fields = dict(described)
    kind = fields.pop("class")
    step, splitter, constraints = fields.pop("step", 0), fields.pop("splitter", False), fields.pop("constraints", 0)
    arguments = {**fields, **fields.pop("options", {})}
    arguments.pop("options", None)
    if "policy" in arguments:
        arguments["policy"] = {"policy": _from_format_1(arguments["policy"])}
    if "number" in arguments:
        arguments[_SCHEDULES[kind]] = arguments.pop("number")
    for name in ("q_network", "reward_network", "actor_network", "observation_normalizer"):
        if arguments.get(name) is not None:
            arguments[name] = {"network": arguments[name]}
    if "reward_network" in arguments:
        arguments["emit_policy_info"] = {"tuple": arguments["emit_policy_info"]}
        del arguments["emit_log_probability"]  # one of the names
    if "q_network" in arguments:
        arguments["validate_action_spec_and_network"] = False  # it was valid when saved
    if splitter:
        arguments["observation_and_action_constraint_splitter"] = {"code": 1}
    if constraints:
        arguments["constraints"] = {"code": constraints}
    return {"class": kind, "arguments": arguments, "state": {"step": step} if kind in _SCHEDULES else {}}
