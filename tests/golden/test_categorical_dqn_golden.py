"""Reference numbers of C51: projections, policies, losses, gradients, weights and targets over five train calls.

Where the reference trains on boundary frames, ignores weights, or sums rewards across a time limit, the losses are
those of the formulas in `docs/differences.md`, computed here in NumPy.
"""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
import optax
import pytest

from jaxdaw import math, networks
from jaxdaw.agents import CategoricalDqnAgent
from jaxdaw.trajectories import StepType, TimeStep

from . import cases
from .building import ACTIVATIONS, assign, gradients_of, optimizer, ordered, splitter
from .oracle import windows

DOCUMENTED_OPTIONS = (
    "min_q_value", "max_q_value", "n_step_update", "gamma", "reward_scale_factor", "gradient_clipping",
    "target_update_tau", "target_update_period", "epsilon_greedy", "boltzmann_temperature",
)  # fmt: skip
PROJECTIONS = [name for name in cases.names("categorical_dqn") if "projection" in name]
TRAINED = [name for name in cases.names("categorical_dqn") if name not in PROJECTIONS]


@pytest.mark.parametrize("name", PROJECTIONS)
def test_projection(name: str):
    case = cases.load("categorical_dqn", name)
    given = case.arrays["in/supports"], case.arrays["in/weights"], case.arrays["in/target_support"]
    case.close("out/projection", math.project_distribution(*given))


def make(case: cases.Case) -> CategoricalDqnAgent:
    doc, options = case.doc, case.doc["constructor"]
    time_step_spec, action_spec = cases.spec(doc["specs"]["time_step"]), cases.spec(doc["specs"]["action"])
    masked = options["observation_and_action_constraint_splitter"] is not None
    observation_spec = splitter(time_step_spec.observation)[0] if masked else time_step_spec.observation
    layers = doc["networks"]["categorical_q_network"]
    *hidden, _ = layers["layers"]
    network = networks.CategoricalQNetwork(
        observation_spec,
        action_spec,
        options["num_atoms"],
        fc_layer_params=tuple(layer["units"] for layer in hidden) or None,
        activation_fn=ACTIVATIONS[hidden[0]["activation"]] if hidden else jax.nn.relu,
    )
    target = network.copy()
    assign(network, ordered(layers, case.sub("w")))
    assign(target, ordered(layers, case.sub("w_target")))
    return CategoricalDqnAgent(
        time_step_spec,
        action_spec,
        network,
        optimizer(options["optimizer"]) if "optimizer" in options else optax.sgd(0.1),
        observation_and_action_constraint_splitter=splitter if masked else None,
        target_categorical_q_network=target,
        **{key: options[key] for key in DOCUMENTED_OPTIONS},
    )


def logits_by_hand(case: cases.Case, network: networks.Network, observation: Any) -> np.ndarray:
    layers = case.doc["networks"]["categorical_q_network"]
    x = np.reshape(observation, (len(observation), -1)).astype(np.float64)
    arrays = [np.asarray(variable.get_value(), np.float64) for variable in network.variables]
    for i, layer in enumerate(layers["layers"]):
        x = np.asarray(ACTIVATIONS[layer["activation"]](x @ arrays[2 * i] + arrays[2 * i + 1]), np.float64)
    return x.reshape(len(x), layers["num_actions"], layers["num_atoms"])


def softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def by_hand(case: cases.Case, agent: CategoricalDqnAgent, frames: Any, cut: bool) -> dict[str, np.ndarray]:
    """Targets and losses of each row in float64; `cut` stops windows at the end of an episode, which is our rule."""
    options = case.doc["constructor"]
    reward, factor, index = windows(frames, options["gamma"], cut)
    rows, masked = np.arange(len(reward)), isinstance(frames.observation, dict)
    observation, mask = splitter(frames.observation) if masked else (frames.observation, None)
    support = np.linspace(options["min_q_value"], options["max_q_value"], options["num_atoms"])
    following = softmax(logits_by_hand(case, agent.target_q_network, observation[rows, index]))
    values = following @ support
    if mask is not None:
        values = np.where(np.asarray(mask)[rows, index] != 0, values, -np.inf)
    x = options["reward_scale_factor"] * reward[:, None] + options["gamma"] * factor[:, None] * support
    chosen, spacing = following[rows, values.argmax(axis=1)], support[1] - support[0]
    near = 1.0 - np.abs(np.clip(x, support[0], support[-1])[:, None, :] - support[:, None]) / spacing
    target = np.sum(chosen[:, None, :] * np.clip(near, 0.0, 1.0), axis=-1)
    log_p = np.log(softmax(logits_by_hand(case, agent._q_network, observation[:, 0])))[rows, frames.action[:, 0]]
    loss = -np.sum(target * log_p, axis=-1)
    entropy = -np.sum(np.where(target > 0.0, target * np.log(np.maximum(target, 1e-300)), 0.0), axis=-1)
    is_real = frames.step_type[:, 0] != StepType.LAST
    return {"target": target, "loss": loss, "td_loss": is_real * loss, "td_error": is_real * (loss - entropy)}


def follows_the_reference(frames: Any) -> bool:
    """Whether no row begins at a boundary frame, and no time limit lies inside a window."""
    inside = slice(0, frames.reward.shape[1] - 2)
    crosses = (frames.next_step_type[:, inside] == StepType.LAST) & (frames.discount[:, inside] != 0)
    return not crosses.any() and not (frames.step_type[:, 0] == StepType.LAST).any()


@pytest.mark.parametrize("name", TRAINED)
def test_five_train_calls(name: str):
    case = cases.load("categorical_dqn", name)
    agent, layers = make(case), case.doc["networks"]["categorical_q_network"]
    batches = [cases.trajectory({key: value[k] for key, value in case.sub("in/experience").items()}) for k in range(5)]
    agrees = all(map(follows_the_reference, batches))
    weights = case.arrays.get("in/weights")
    _policies(case, agent, batches[0])
    theirs = by_hand(case, agent, batches[0], cut=False)
    case.close("out/target_distribution", theirs["target"])  # the formulas here are the reference's
    case.close("out/loss", theirs["loss"].mean(), case.arrays["out/loss"][0])
    if weights is not None:  # docs/differences.md, "weights of C51": the reference's numbers are those without any
        loss = agent.loss(batches[0], weights[0]).loss
        np.testing.assert_allclose(loss, np.mean(weights[0] * theirs["td_loss"]), rtol=1e-4)
    if "out/quirk/loss_method" in case.arrays:  # docs/differences.md, "agent.loss"
        case.close("out/loss", agent.loss(batches[0]).loss, case.arrays["out/loss"][0])
    for k, frames in enumerate(batches):
        if k == 0 and agrees:
            _gradients(case, agent, frames, layers)
        expected = by_hand(case, agent, frames, cut=True)
        info = agent.train(frames)
        for part in ("td_loss", "td_error"):
            np.testing.assert_allclose(getattr(info.extra, part), expected[part], rtol=1e-4, atol=2e-5, err_msg=part)
        np.testing.assert_allclose(info.loss, expected["td_loss"].mean(), rtol=1e-4, atol=1e-5)
        if not agrees:
            continue
        case.close("out/loss", info.loss, case.arrays["out/loss"][k])
        for label, network in (("w", agent._q_network), ("w_target", agent.target_q_network)):
            stored = case.sub(f"out/{label}_after_{k + 1}")
            for variable, want in zip(
                network.variables, ordered(layers, stored) if stored else [], strict=bool(stored)
            ):
                case.close(f"out/{label}_after_{k + 1}/", variable.get_value(), want)
    assert int(agent.train_step_counter) == 5


def _policies(case: cases.Case, agent: CategoricalDqnAgent, frames: Any) -> None:
    observation = jax.tree.map(lambda x: x[:, 0], frames.observation)
    rows = len(frames.reward)
    step = TimeStep(np.ones(rows, np.int32), np.zeros(rows, np.float32), np.ones(rows, np.float32), observation)
    case.close("out/policy/greedy_action", agent.policy.action(step).action)
    if "out/policy/collect_probs" in case.arrays:
        case.close("out/policy/collect_probs", agent.collect_policy.distribution(step).action.probs)
    seen = splitter(observation)[0] if isinstance(observation, dict) else observation
    case.close("out/policy/logits", agent._q_network(seen)[0])
    case.close("out/policy/q_values", agent.policy.wrapped_policy.values_of(agent._q_network(seen)[0]))


def _gradients(case: cases.Case, agent: CategoricalDqnAgent, frames: Any, layers: dict[str, Any]) -> None:
    gradients, clipped = gradients_of(agent, frames, None, case.doc["constructor"]["gradient_clipping"])
    for label, tree in (("grad", gradients), ("grad_clipped", clipped)):
        stored = case.sub(f"out/{label}")
        if stored:
            found = jax.tree_util.tree_flatten_with_path(tree["q_network"])[0]
            flat = {"/".join(str(key.key) for key in path): leaf for path, leaf in found}
            for path, want in zip(agent._q_network.variable_names, ordered(layers, stored), strict=True):
                case.close(f"out/{label}", flat[path], want)
