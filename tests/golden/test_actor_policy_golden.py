"""Reference numbers of ActorPolicy: deterministic and stochastic actors, clipping, masks, nests, recurrence."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdaw import networks, specs
from jaxdaw.distributions import Categorical, Deterministic, Independent, Normal
from jaxdaw.policies import ActorPolicy, GreedyPolicy
from jaxdaw.trajectories import TimeStep

from . import cases
from .building import actor_network, actor_weights, assign, splitter

PLAIN = [n for n in cases.names("actor_policy") if "normalizer" not in n and "training" not in n and "_rnn_" not in n]
RECURRENT = [name for name in cases.names("actor_policy") if "_rnn_" in name]
TRAINING = [name for name in cases.names("actor_policy") if "training" in name]


def make(case: cases.Case, **options: Any) -> ActorPolicy:
    doc, constructor = case.doc, case.doc["constructor"]
    time_step_spec, action_spec = cases.spec(doc["specs"]["time_step"]), cases.spec(doc["specs"]["action"])
    masked = constructor.get("observation_and_action_constraint_splitter") is not None
    observation_spec = splitter(time_step_spec.observation)[0] if masked else time_step_spec.observation
    network = actor_network(doc["networks"]["actor_network"], observation_spec, action_spec)
    if doc["networks"]["actor_network"]["kind"] == "mlp_with_batch_norm":
        _assign_batch_norm(network, case.sub("w"))
    else:
        assign(network, actor_weights(doc["networks"]["actor_network"], case.sub("w")))
    return ActorPolicy(
        time_step_spec,
        action_spec,
        network,
        clip=constructor["clip"],
        training=constructor["training"],
        observation_and_action_constraint_splitter=splitter if masked else None,
        **options,
    )


def _assign_batch_norm(network: Any, weights: dict[str, np.ndarray]) -> None:
    stored = {"scale": "batch_norm/gamma", "bias": "batch_norm/beta", "mean": "batch_norm/moving_mean"}
    stored["var"] = "batch_norm/moving_variance"
    for name, variable in network.named_variables():
        *_, layer, part = name.split("/")
        variable.set_value(jnp.asarray(weights[stored[part] if layer == "norm" else f"{layer}/{part}"]))


def time_step(case: cases.Case) -> TimeStep:
    given = case.sub("in/time_step")
    observation = cases.nest({k[len("observation/") :]: v for k, v in given.items() if k.startswith("observation")})
    shape = given["step_type"].shape
    return TimeStep(given["step_type"], np.zeros(shape, np.float32), np.ones(shape, np.float32), observation)


def leaves_of(nest: Any) -> dict[str, Any]:
    """The leaves by the keys that the cases use."""
    found = {}
    for path, leaf in specs.flatten_with_path(nest):
        key = path.replace("['", "/").replace("']", "").replace("[", "/").replace("]", "").strip("/.")
        found[key] = leaf
    return found


def compare(case: cases.Case, prefix: str, leaf: Any, given: Any = None) -> None:
    """Compares every number that a case has of one distribution."""
    inner = leaf.distribution if isinstance(leaf, Independent) else leaf
    for key in case.sub(prefix):
        name = f"{prefix}/{key}"
        if key == "value":
            case.close(name, leaf.mode())
        elif key in ("loc", "scale", "probs"):
            case.close(name, getattr(inner, key))
        elif key == "logits":
            assert isinstance(inner, Categorical)
            want = case.arrays[name]
            case.close(name, np.where(inner.allowed, inner.logits, want), want)
        elif key == "mode":
            case.close(name, leaf.mode())
        elif key == "log_prob":  # the reference sums over one axis at most: ours is its sum over the rest
            got = inner.log_prob(jnp.asarray(given)) if isinstance(inner, Categorical) else leaf.log_prob(given)
            want = case.arrays[name]
            case.close(name, got, want.sum(axis=tuple(range(np.ndim(got), want.ndim))))
        elif key == "entropy":
            got = inner.entropy()
            want = case.arrays[name]
            case.close(name, got, want.sum(axis=tuple(range(np.ndim(got), want.ndim))))
        else:
            raise AssertionError(f"{name} is not compared")


@pytest.mark.parametrize("name", PLAIN)
def test_policies(name: str):
    case = cases.load("actor_policy", name)
    policy, step = make(case), time_step(case)
    distributions = leaves_of(policy.distribution(step).action)
    greedy = leaves_of(GreedyPolicy(policy).action(step).action)
    sampled = leaves_of(policy.action(step, seed=0).action)
    for key, leaf in distributions.items():
        suffix = f"/{key}" if key else ""
        case.close(f"out/greedy_action{suffix}", greedy[key])
        if isinstance(leaf, Deterministic):
            case.close(f"out/action{suffix}", sampled[key])
            case.close(f"out/distribution_value{suffix}", leaf.value)
            continue
        where = key or "action"
        compare(case, f"out/{where}", leaf, case.arrays[f"in/{where}/given_action"])
    if "out/total_log_prob" in case.arrays:
        given = {key: case.arrays[f"in/{key}/given_action"] for key in distributions}
        total = sum(distributions[key].log_prob(jnp.asarray(value)) for key, value in given.items())
        case.close("out/total_log_prob", total)


@pytest.mark.parametrize("name", [name for name in cases.names("actor_policy") if "normalizer" in name])
def test_observation_normalizers(name: str):
    case = cases.load("actor_policy", name)
    spec = cases.spec(case.doc["specs"]["time_step"]).observation
    described = case.doc["constructor"]["observation_normalizer"]
    streaming = described["class"] == "StreamingTensorNormalizer"
    rate = described.get("norm_update_rate", 0.001)
    normalizer = networks.StreamingNormalizer(spec) if streaming else networks.EMANormalizer(spec, rate)
    for batch in case.sub("in/normalizer_batches").values():
        normalizer.update(batch)
    policy, step = make(case, observation_normalizer=normalizer), time_step(case)
    case.close("out/normalized_observation", normalizer.normalize(step.observation))
    case.close("out/action", policy.action(step).action)
    case.close("out/distribution_value", policy.distribution(step).action.value)
    case.close("out/greedy_action", GreedyPolicy(policy).action(step).action)
    names = {name for name, _, _ in policy._named_variables()}
    assert len(names) == len(policy.variables()), "the statistics are weights of the policy"


@pytest.mark.parametrize("name", TRAINING)
def test_training_mode(name: str):
    case = cases.load("actor_policy", name)
    policy = make(case)
    case.close("out/action", policy.action(time_step(case)).action)


@pytest.mark.parametrize("name", RECURRENT)
def test_recurrent_policies_frame_by_frame_and_whole_sequences(name: str):
    case = cases.load("actor_policy", name)
    policy, steps = make(case), time_step(case)
    greedy = GreedyPolicy(policy)
    cells = [cell["name"] for cell in case.doc["networks"]["actor_network"]["lstm"]]
    initial = tuple(
        type(spec)(hidden=case.arrays[f"in/initial_state/{cell}/h"], cell=case.arrays[f"in/initial_state/{cell}/c"])
        for spec, cell in zip(policy.policy_state_spec, cells, strict=True)
    )
    for cell, state in zip(cells, policy.get_initial_state(len(steps.step_type)), strict=True):
        case.close(f"out/get_initial_state/{cell}/h", state.hidden)
        case.close(f"out/get_initial_state/{cell}/c", state.cell)
    state: Any = initial
    for t in range(steps.step_type.shape[1]):
        frame = jax.tree.map(lambda x, t=t: x[:, t], steps)
        for key, leaf in leaves_of(policy.distribution(frame, state).action).items():
            suffix = f"/{key}" if key else ""
            for part in case.sub(f"out/steps/distribution{suffix}"):
                if "/" not in part:
                    want = case.arrays[f"out/steps/distribution{suffix}/{part}"][:, t]
                    inner = leaf.mode() if part == "value" else getattr(leaf, part)
                    case.close(f"out/steps/distribution{suffix}/{part}", inner, want)
        choice = greedy.action(frame, state)
        for key, leaf in leaves_of(choice.action).items():
            suffix = f"/{key}" if key else ""
            case.close(f"out/steps/greedy_action{suffix}", leaf, case.arrays[f"out/steps/greedy_action{suffix}"][:, t])
        state = choice.state
        for cell, part in zip(cells, state, strict=True):
            case.close(f"out/steps/state/{cell}/h", part.hidden, case.arrays[f"out/steps/state/{cell}/h"][:, t])
            case.close(f"out/steps/state/{cell}/c", part.cell, case.arrays[f"out/steps/state/{cell}/c"][:, t])
    network = policy._actor_network
    output, final = network(steps.observation, steps.step_type, initial)
    for key, leaf in leaves_of(output).items():
        prefix = f"out/sequence/distribution/{key}" if key else "out/sequence/distribution"
        leaf = leaf if isinstance(leaf, Normal) or hasattr(leaf, "log_prob") else Deterministic(leaf, 1)
        compare(case, prefix, leaf)
    for cell, part in zip(cells, final, strict=True):
        case.close(f"out/sequence/final_state/{cell}/h", part.hidden)
        case.close(f"out/sequence/final_state/{cell}/c", part.cell)
