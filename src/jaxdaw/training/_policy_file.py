"""A policy on disk: what it is made of in JSON, its weights in safetensors. No code is stored, and none is run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax

from jaxdaw.errors import ConfigError, StorageError
from jaxdaw.networks import Network
from jaxdaw.policies import (
    ActorPolicy,
    BoltzmannPolicy,
    Constraint,
    EnsembleThompsonSamplingPolicy,
    EpsilonGreedyPolicy,
    FalconPolicy,
    FastCBPolicy,
    GaussianPolicy,
    GreedyPolicy,
    GreedyRewardPredictionPolicy,
    LinearThompsonSamplingPolicy,
    LinearUCBPolicy,
    OUNoisePolicy,
    Policy,
    PolicyInfo,
    QPolicy,
    RandomPolicy,
    Splitter,
    SquareCBPolicy,
)
from jaxdaw.storage import Kind, format_refusal, read_arrays, read_document, write_directory
from jaxdaw.training._description import describe, describe_network, make_network, restore
from jaxdaw.training._tree import named_leaves, plain, restored, structure_refusal, table

POLICY = Kind("policy", "policy.json", "weights.safetensors", {"policy": dict, "leaves": dict, "metadata": dict})

_POLICIES: Mapping[str, type[Policy]] = {
    cls.__name__: cls
    for cls in (
        ActorPolicy,
        BoltzmannPolicy,
        EnsembleThompsonSamplingPolicy,
        EpsilonGreedyPolicy,
        FalconPolicy,
        FastCBPolicy,
        GaussianPolicy,
        GreedyPolicy,
        GreedyRewardPredictionPolicy,
        LinearThompsonSamplingPolicy,
        LinearUCBPolicy,
        OUNoisePolicy,
        QPolicy,
        RandomPolicy,
        SquareCBPolicy,
    )
}
"""What can be saved, by name; a subclass behaves differently and cannot."""


class _Given(NamedTuple):
    """What `load_policy` is given, because no file can hold it: code."""

    own: Mapping[str, type[Network]]
    splitter: Splitter | None
    constraints: Sequence[Constraint]


def save_policy(policy: Policy, directory: str | Path, metadata: dict[str, Any] | None = None) -> Path:
    """Writes a policy, as a whole or not at all; `load_policy` reads it back without the agent.

    The directory holds `policy.json` and `weights.safetensors`. A schedule is saved as the number that it gives now. A
    splitter, constraints and the classes of your own networks are code: they are not saved, and `load_policy` asks for
    them.

    Args:
      policy: a QPolicy, GreedyRewardPredictionPolicy, ActorPolicy or RandomPolicy, or a policy of greed, exploration or
        noise around one.
      directory: a policy that lies there is replaced.
      metadata: JSON values to keep beside it.

    Returns:
      The directory.

    Raises:
      StorageError: a part that cannot be described without code, named; a full disk; `directory` holds other files.
    """
    leaves = named_leaves(_weights(policy))
    contents = {"policy": _describe_policy(policy), "leaves": table(leaves), "metadata": metadata or {}}
    write_directory(Path(directory), POLICY, {name: plain(leaf) for name, leaf in leaves.items()}, contents)
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
      StorageError: not a policy, a damaged file, a newer format, an unknown class, or a splitter or constraint missing
        or too many.
      ConfigError: `networks` holds something else than classes of networks, or two of the same name.
    """
    directory = Path(directory)
    given = _Given(_by_name(networks), observation_and_action_constraint_splitter, constraints)
    document = read_document(directory, POLICY)
    refusal = format_refusal(directory, document)
    if refusal is not None:
        raise refusal

    def make() -> Policy:
        return _make_policy(document["policy"], given)

    try:
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
        arrays = read_arrays(directory, POLICY, document, {name: plain(leaf) for name, leaf in like.items()})
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
    return policy


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


def _describe_policy(policy: Policy) -> dict[str, Any]:
    kind = type(policy)
    if _POLICIES.get(kind.__name__) is not kind:
        raise StorageError(
            f"a {kind.__name__} cannot be saved", expected=", ".join(sorted(_POLICIES)), got=kind.__name__
        )
    described: dict[str, Any] = {"class": kind.__name__, "name": policy.name}
    if isinstance(policy, GreedyPolicy | EpsilonGreedyPolicy | BoltzmannPolicy | SquareCBPolicy):
        described["policy"] = _describe_policy(policy.wrapped_policy)
        if not isinstance(policy, GreedyPolicy):
            described["number"] = float(policy.get_weights()[1])
        if isinstance(policy, FalconPolicy):  # its rate is a coefficient at a step
            described |= {"number": policy.coefficient_now(), "step": policy.step}
        return described
    if isinstance(policy, GaussianPolicy | OUNoisePolicy):
        return described | {"policy": _describe_policy(policy.wrapped_policy), "options": policy.options()}
    described |= {
        "time_step_spec": describe(policy.time_step_spec, "time_step_spec"),
        "action_spec": describe(policy.action_spec, "action_spec"),
        "emit_log_probability": policy.emit_log_probability,
        "splitter": policy.observation_and_action_constraint_splitter is not None,
    }
    if isinstance(policy, QPolicy):
        described["q_network"] = describe_network(policy._networks()[0])
    if isinstance(policy, GreedyRewardPredictionPolicy):
        described |= {
            "reward_network": describe_network(policy.reward_network),
            "accepts_per_arm_features": policy.accepts_per_arm_features,
            "constraints": len(policy.constraints),
            "emit_policy_info": list(policy.emit_policy_info),
        }
    if isinstance(policy, LinearUCBPolicy | LinearThompsonSamplingPolicy):
        described["alpha"] = policy.alpha
    if isinstance(policy, ActorPolicy):
        normalizer = policy.observation_normalizer
        reported = () if isinstance(policy.info_spec, PolicyInfo) else policy.info_spec
        described |= {
            "actor_network": describe_network(policy._networks()[0]),
            "observation_normalizer": None if normalizer is None else describe_network(normalizer),
            "info_spec": describe(reported, "info_spec"),
            "clip": policy.clip,
            "training": policy.training,
        }
    return described


def _make_policy(described: Mapping[str, Any], given: _Given) -> Policy:
    own, splitter, constraints = given
    kind, name = _POLICIES[described["class"]], described["name"]
    if kind is GreedyPolicy:
        return GreedyPolicy(_make_policy(described["policy"], given), name)
    if kind in (EpsilonGreedyPolicy, BoltzmannPolicy, SquareCBPolicy, FalconPolicy, FastCBPolicy):
        explorer: Any = kind(_make_policy(described["policy"], given), described["number"], name)  # pyright: ignore
        explorer.step = int(described.get("step", 0))
        return explorer
    if kind is GaussianPolicy or kind is OUNoisePolicy:
        return kind(_make_policy(described["policy"], given), name=name, **described["options"])
    if described["splitter"] != (splitter is not None):
        saved_with = bool(described["splitter"])
        raise StorageError(
            f"the policy was saved {'with' if saved_with else 'without'} a splitter",
            expected="a splitter" if saved_with else "no splitter",
            got="none" if saved_with else "a splitter",
            cause="a splitter is code, which is not saved." if saved_with else None,
            fix="load_policy(path, observation_and_action_constraint_splitter=split)"
            if saved_with
            else "load_policy(path)",
        )
    common: dict[str, Any] = {
        "time_step_spec": restore(described["time_step_spec"], own),
        "action_spec": restore(described["action_spec"], own),
        "emit_log_probability": described["emit_log_probability"],
        "observation_and_action_constraint_splitter": splitter,
        "name": name,
    }
    if issubclass(kind, GreedyRewardPredictionPolicy):
        if described["constraints"] != len(constraints):
            raise StorageError(
                "the policy was saved with another number of constraints",
                expected=str(described["constraints"]),
                got=str(len(constraints)),
                cause="constraints are code, which is not saved.",
                fix="load_policy(path, constraints=(is_feasible,))",
            )
        del common["emit_log_probability"]  # it is one of the names
        return kind(
            reward_network=make_network(described["reward_network"], own),
            accepts_per_arm_features=described["accepts_per_arm_features"],
            constraints=constraints,
            emit_policy_info=tuple(described["emit_policy_info"]),
            **({"alpha": described["alpha"]} if "alpha" in described else {}),
            **common,
        )
    if kind is RandomPolicy:
        return RandomPolicy(**common)
    if kind is ActorPolicy:
        normalizer = described["observation_normalizer"]
        return ActorPolicy(
            actor_network=make_network(described["actor_network"], own),
            observation_normalizer=None if normalizer is None else make_network(normalizer, own),
            info_spec=restore(described["info_spec"], own),
            clip=described["clip"],
            training=described["training"],
            **common,
        )
    network = make_network(described["q_network"], own)
    return QPolicy(q_network=network, validate_action_spec_and_network=False, **common)  # it was valid when saved
