"""Reference numbers of PPO: returns and advantages, the parts of the loss, gradients, weights, beta and normalizers.

The reference counts boundary frames and padding in every mean, forgets the last value of generalized advantages, takes
truncations for terminations, and normalizes by variances of 0 at first. So the losses here are fed with its returns,
advantages and old values, with every frame counting; what differs before that is compared where it does not, and
computed here in NumPy.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import numpy as np
import optax
import pytest

from jaxdaw import networks
from jaxdaw.agents import PPOAgent, PPOClipAgent
from jaxdaw.agents._actor_critic import PreparedFrames
from jaxdaw.trajectories import StepType, TimeStep

from . import cases
from .building import ACTIVATIONS, actor_network, actor_weights, assign, optimizer, ordered, splitter

PARTS = (
    "policy_gradient_loss", "value_estimation_loss", "l2_regularization_loss", "entropy_regularization_loss",
    "kl_penalty_loss", "clip_fraction",
)  # fmt: skip
ADVANTAGES = [name for name in cases.names("ppo") if "advantage" in name]
TRAINS = [name for name in cases.names("ppo") if name not in ADVANTAGES]


def value_network(doc: dict[str, Any], observation_spec: Any) -> networks.Network:
    if doc["kind"] == "mlp":
        *hidden, _ = doc["layers"]
        activation = ACTIVATIONS[hidden[0]["activation"]] if hidden else jax.nn.relu
        units = tuple(layer["units"] for layer in hidden) or None
        return networks.ValueNetwork(observation_spec, fc_layer_params=units, activation_fn=activation)
    return networks.ValueRnnNetwork(
        observation_spec,
        input_fc_layer_params=tuple(layer["units"] for layer in doc["input_layers"]) or None,
        lstm_size=tuple(cell["units"] for cell in doc["lstm"]),
        output_fc_layer_params=tuple(layer["units"] for layer in doc["output_layers"]) or None,
    )


def make(case: cases.Case) -> tuple[PPOAgent, dict[str, networks.Network]]:
    doc, options = case.doc, dict(case.doc["constructor"])
    time_step_spec, action_spec = cases.spec(doc["specs"]["time_step"]), cases.spec(doc["specs"]["action"])
    masked = bool(doc.get("mask"))
    seen = splitter(time_step_spec.observation)[0] if masked else time_step_spec.observation
    made = {
        "actor": actor_network(doc["networks"]["actor_net"], seen, action_spec),
        "value": value_network(doc["networks"]["value_net"], seen),
    }
    assign(made["actor"], stored_weights(case, "actor", "w"))
    assign(made["value"], stored_weights(case, "value", "w"))
    options["use_td_lambda_return"] &= options["use_gae"]  # which has no effect there, and warns
    options["optimizer"] = optax.chain(recording(), optimizer(options["optimizer"]))
    if is_clip := doc["api"]["class"] == "PPOClipAgent":
        options["log_prob_clipping"] = 0.0  # docs/differences.md, "log_prob_clipping of PPOClipAgent"
    if normalizes_by_nothing(case):
        options["normalize_observations"] = False
    agent = (PPOClipAgent if is_clip else PPOAgent)(
        time_step_spec,
        action_spec,
        actor_net=made["actor"],
        value_net=made["value"],
        normalize_advantages=False,
        observation_and_action_constraint_splitter=splitter if masked else None,
        **options,
    )
    warm_up(case, agent)
    return agent, made


def warm_up(case: cases.Case, agent: PPOAgent) -> None:
    for i in (0, 1):
        given = cases.nest(case.sub(f"in/warm_up/{i}")) if case.sub(f"in/warm_up/{i}") else {}
        if "observation" in given:
            agent.update_observation_normalizer(given["observation"])
        if "reward" in given:
            agent.update_reward_normalizer(given["reward"])


def normalizes_by_nothing(case: cases.Case) -> bool:
    """Whether observations are divided by the root of 1e-3 first, the variance of what was never seen."""
    return case.doc["constructor"]["normalize_observations"] and not case.sub("in/warm_up/0")


def stored_weights(case: cases.Case, label: str, prefix: str) -> list[np.ndarray]:
    doc, stored = case.doc["networks"][f"{label}_net"], case.sub(f"{prefix}/{label}")
    return actor_weights(doc, stored) if label == "actor" else ordered(doc, stored)


def normalized_by_nothing(case: cases.Case, k: int, observation: np.ndarray) -> np.ndarray:
    """What the reference's networks see, from its statistics after call k - 1."""
    mean, variance = 0.0, 0.0
    if k > 0 and case.doc["constructor"]["update_normalizers_in_train"]:
        count, mean, m2 = (case.arrays[f"out/normalizers/observation/{name}"][0] for name in ("count", "mean", "m2"))
        variance = m2 / count
    return np.clip((observation - mean) / np.sqrt(variance + 1e-3), -5.0, 5.0).astype(np.float32)


def prepared(case: cases.Case, k: int, frames: Any) -> PreparedFrames:
    """The reference's intermediate numbers, in frames of which each counts."""
    observation = frames.observation
    if normalizes_by_nothing(case):
        observation = normalized_by_nothing(case, k, observation)
    step_type = np.where(frames.step_type == StepType.LAST, StepType.MID, frames.step_type)
    stored = {name: case.arrays[f"out/{name}"][k] for name in ("return", "normalized_advantage")}
    value = case.arrays["out/old_value_prediction"][k]
    frames = frames._replace(step_type=step_type.astype(np.int32), observation=observation)
    return PreparedFrames(frames, stored["return"], stored["normalized_advantage"], value)


@pytest.mark.parametrize("name", TRAINS)
def test_two_train_calls(name: str):
    case = cases.load("ppo", name)
    agent, made = make(case)
    state, num_epochs = agent.get_state(), case.doc["constructor"]["num_epochs"]

    @jax.jit
    def learn(state: Any, rows: PreparedFrames, weights: Any) -> Any:
        def epoch(state: Any, _: Any) -> Any:
            state, info = agent.update(state, rows, weights)
            return state, (info, recorded(state))

        state, told = jax.lax.scan(epoch, state, length=num_epochs)
        return agent.finish(state, rows, weights), *told

    for k in range(2):
        frames = cases.trajectory({key: value[k] for key, value in case.sub("in/experience").items()})
        if k == 0:
            check_prepared(case, agent, state, frames)
        state, infos, gradients = learn(state, prepared(case, k, frames), case.arrays["out/mask_times_weight"][k])
        if k == 0:
            check_gradients(case, gradients, made)
        case.close("out/epochs/loss", infos.loss, case.arrays["out/epochs/loss"][k])
        for part in PARTS:
            case.close(f"out/epochs/{part}", getattr(infos.extra, part), case.arrays[f"out/epochs/{part}"][k])
        assert int(state.train_step) == case.arrays["out/train_step_counter"][k]
        if "out/adaptive_kl_beta" in case.arrays:
            case.close("out/adaptive_kl_beta", state.memory.adaptive_kl_beta, case.arrays["out/adaptive_kl_beta"][k])
        agent.set_state(state)
        for label, network in made.items():
            for variable, want in zip(network.variables, stored_weights(case, label, f"out/w_after_{k + 1}")):
                case.close(f"out/w_after_{k + 1}/", variable.get_value(), want)
        check_normalizers(case, agent, k)


def check_gradients(case: cases.Case, gradients: Any, made: Any) -> None:
    """The gradients that the optimizer was given in the first epoch: clipped, if they are."""
    kind = "grad_clipped" if case.sub("out/grad_clipped") else "grad"
    for label, network in made.items():
        flat = {
            "/".join(str(key.key) for key in path): leaf
            for path, leaf in jax.tree_util.tree_flatten_with_path(gradients[f"{label}_network"])[0]
        }
        for path, want in zip(network.variable_names, stored_weights(case, label, f"out/{kind}"), strict=True):
            case.close(f"out/{kind}/{label}", flat[path][0], want)


class Recorded(NamedTuple):
    gradients: Any


def recorded(state: Any) -> Any:
    is_record = lambda part: isinstance(part, Recorded)  # noqa: E731
    (found,) = [part for part in jax.tree.leaves(state.opt_state, is_leaf=is_record) if is_record(part)]
    return found.gradients


def recording() -> optax.GradientTransformation:
    return optax.GradientTransformation(
        Recorded, lambda gradients, state, params=None: (gradients, Recorded(gradients))
    )


def check_prepared(case: cases.Case, agent: PPOAgent, state: Any, frames: Any) -> None:
    """Returns, values and advantages, where the reference's are right and its normalizers know something."""
    fresh = case.doc["constructor"]["normalize_rewards"] and not case.sub("in/warm_up/0")
    if case.doc["status"] != "documented" or fresh or normalizes_by_nothing(case):
        return
    rows = agent.prepare(state, frames)
    counts = rows.frames.step_type != StepType.LAST
    pairs = {"return": rows.returns, "old_value_prediction": rows.value}
    for key, found in pairs.items():
        case.close(f"out/{key}", np.asarray(found)[counts], case.arrays[f"out/{key}"][0][:, :-1][counts])
    normalized = case.arrays["out/normalized_advantage"][0][:, :-1][counts]  # together with frames that do not count
    case.close("out/normalized_advantage", standardized(rows.advantage[counts]), standardized(normalized))


def check_normalizers(case: cases.Case, agent: PPOAgent, k: int) -> None:
    moves = case.doc["constructor"]["update_normalizers_in_train"] or bool(case.sub("in/warm_up/0"))
    for name in ("observation", "reward"):
        stored = case.sub(f"out/normalizers/{name}")
        network: Any = agent._networks.get(f"{name}_normalizer")
        if stored and network is not None and moves:
            for statistic in ("count", "mean", "m2"):
                found = getattr(network, statistic)
                found = found.value() if statistic == "count" else found[0].value()
                case.close("out/normalizers", np.broadcast_to(found, stored[statistic][k].shape), stored[statistic][k])


def standardized(x: np.ndarray) -> np.ndarray:
    return (x - x.mean()) / np.sqrt(x.var() + 1e-8)


def estimates(case: cases.Case, reward: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns and advantages in float64: bootstrapped where an episode was cut, with the value of the next step."""
    options, value = case.doc["constructor"], case.arrays["in/value"].astype(float)
    returns, advantage = np.zeros_like(reward), np.zeros_like(reward)
    for row in range(len(reward)):
        following, after = value[row, -1], 0.0
        for t in reversed(range(reward.shape[1])):
            ends = case.arrays["in/next_step_type"][row, t] == StepType.LAST
            discount = options["discount_factor"] * float(case.arrays["in/discount"][row, t])
            following = reward[row, t] + discount * (value[row, t + 1] if ends else following)
            delta = reward[row, t] + discount * value[row, t + 1] - value[row, t]
            after = delta + (0.0 if ends else discount * options["lambda_value"] * after)
            returns[row, t], advantage[row, t] = following, after
    if not options["use_gae"]:
        return returns, returns - value[:, :-1]
    return (advantage + value[:, :-1] if options["use_td_lambda_return"] else returns), advantage


@pytest.mark.parametrize("name", ADVANTAGES)
def test_returns_and_advantages(name: str):
    case = cases.load("ppo", name)
    options, step = dict(case.doc["constructor"]), cases.spec(case.doc["specs"]["time_step"])
    options["use_td_lambda_return"] &= options["use_gae"]
    action = cases.spec({"shape": [], "dtype": "int32", "minimum": 0, "maximum": 1})
    actor = networks.ActorDistributionNetwork(step.observation, action, fc_layer_params=None)
    value = networks.ValueNetwork(step.observation, fc_layer_params=None)
    agent = PPOAgent(step, action, optax.sgd(0.1), actor, value, normalize_observations=False, **options)
    warm_up(case, agent)
    arrays = {name: case.arrays[f"in/{name}"] for name in ("reward", "discount", "value", "next_step_type")}
    given = TimeStep(arrays["next_step_type"], arrays["reward"], arrays["discount"], ())
    returns, advantage = agent.compute_return_and_advantage(given, arrays["value"])

    reward = arrays["reward"].astype(float)
    if options["normalize_rewards"]:  # the first rewards give the deviation that they are divided by
        seen = [
            case.arrays[key].ravel() for key in sorted(case.sub("in/warm_up/0") and case.arrays) if "warm_up" in key
        ]
        reward = reward / np.sqrt(np.var(np.concatenate(seen) if seen else reward) + 1e-3)
        reward = np.clip(reward, -options["reward_norm_clipping"], options["reward_norm_clipping"])
    for found, want in zip((returns, advantage), estimates(case, reward), strict=True):
        np.testing.assert_allclose(found, want, rtol=1e-4, atol=1e-5)
    fresh = options["normalize_rewards"] and not case.sub("in/warm_up/0")
    if case.doc["status"] == "documented" and not fresh:
        case.close("out/return", returns)
        case.close("out/advantage", advantage)
        case.close("out/normalized_advantage", standardized(np.asarray(advantage, np.float64)))
        goes_on = arrays["next_step_type"] != StepType.LAST
        discounts = options["discount_factor"] * arrays["discount"] * goes_on
        plain = agent.compute_advantages(arrays["reward"], case.arrays["out/return"], discounts, arrays["value"])
        case.close("out/compute_advantages", plain)
