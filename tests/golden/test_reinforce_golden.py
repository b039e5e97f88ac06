"""Reference numbers of ReinforceAgent: the parts of the loss, gradients and weights over three train calls.

Where the reference counts boundary frames and padding, or trains the value network by the policy's loss, the losses are
those of the formulas in `docs/differences.md`, computed here in NumPy.
"""

from __future__ import annotations

import functools
from typing import Any

import jax
import numpy as np
import pytest

from jaxdaw import networks, specs
from jaxdaw.agents import ReinforceAgent
from jaxdaw.distributions import Joint

from . import cases
from .building import ACTIVATIONS, actor_network, actor_weights, assign, gradients_of, optimizer, ordered, q_network

PARTS = (
    "policy_gradient_loss",
    "policy_network_regularization_loss",
    "entropy_regularization_loss",
    "value_estimation_loss",
    "value_network_regularization_loss",
)
ADVANTAGES = {
    "default": None,
    "returns - 1.5": lambda returns, value: returns - 1.5,
    "returns - 0.5 * value": lambda returns, value: returns - 0.5 * value,
}


class RecurrentValue(networks.Network):
    """A value network with memory, as a user would write it."""

    def __init__(self, doc: dict[str, Any], input_tensor_spec: Any, *, rngs: Any = 0):
        one = specs.BoundedTensorSpec((), np.int32, 0, 0)
        inner = q_network(doc, input_tensor_spec, one)
        super().__init__(input_tensor_spec, inner.state_spec)
        self.inner = inner

    def call(self, observation: Any, step_type: Any, network_state: Any, training: bool = False) -> Any:
        values, state = self.inner(observation, step_type, network_state, training)
        return values[..., 0], state


def value_network(doc: dict[str, Any], observation_spec: Any) -> networks.Network:
    if doc["kind"] == "lstm":
        return RecurrentValue(doc, observation_spec)
    *hidden, _ = doc["layers"]
    activation = ACTIVATIONS[hidden[0]["activation"]] if hidden else jax.nn.relu
    units = tuple(layer["units"] for layer in hidden) or None
    return networks.ValueNetwork(observation_spec, fc_layer_params=units, activation_fn=activation)


def make(case: cases.Case) -> tuple[ReinforceAgent, dict[str, networks.Network]]:
    doc, options = case.doc, dict(case.doc["constructor"])
    time_step_spec, action_spec = cases.spec(doc["specs"]["time_step"]), cases.spec(doc["specs"]["action"])
    actor_doc = doc["networks"]["actor_network"]
    actor = actor_network(actor_doc, time_step_spec.observation, action_spec)
    assign(actor, actor_weights(actor_doc, case.sub("w/actor")))
    made = {"actor": actor}
    if options.pop("value_network"):
        value_doc = doc["networks"]["value_network"]
        made["value"] = value_network(value_doc, time_step_spec.observation)
        assign(made["value"], ordered(value_doc, case.sub("w/value")))
    options["optimizer"] = optimizer(options["optimizer"])
    options["advantage_fn"] = ADVANTAGES[options["advantage_fn"]]
    agent = ReinforceAgent(time_step_spec, action_spec, actor, value_network=made.get("value"), **options)
    return agent, made


@functools.partial(jax.jit, static_argnums=(0, 3))
def _outputs(agent: ReinforceAgent, state: Any, frames: Any, with_entropy: bool) -> tuple[Any, Any, Any]:
    """Log-probabilities, entropies (or 0) and values (or None) of every frame."""
    given = frames.observation, frames.step_type
    distribution = Joint(agent._actor_network.apply(agent.weights_of(state, "actor_network"), *given)[0])
    value = None
    if agent._value_network is not None:
        value = agent._value_network.apply(agent.weights_of(state, "value_network"), *given)[0]
    return distribution.log_prob(frames.action), distribution.entropy() if with_entropy else 0.0, value


def by_hand(agent: ReinforceAgent, case: cases.Case, frames: Any, weights: Any) -> dict[str, float]:
    """The parts of the loss in float64, from the networks' outputs."""
    options = case.doc["constructor"]
    outputs = _outputs(agent, agent.get_state(), frames, bool(options["entropy_regularization"]))
    log_pi, entropy, value = (None if x is None else np.asarray(x, np.float64) for x in outputs)
    rows, length = frames.reward.shape
    returns, counts = np.zeros((rows, length)), np.zeros((rows, length), bool)
    for row in range(rows):
        following, ended = 0.0, False
        for t in reversed(range(length)):
            after = following
            if frames.next_step_type[row, t] == 2:  # bootstrapped where the episode was cut
                after = value[row, t + 1] if value is not None and t + 1 < length else 0.0
                ended = True
            following = frames.reward[row, t] + options["gamma"] * float(frames.discount[row, t]) * after
            returns[row, t], counts[row, t] = following, ended and frames.step_type[row, t] != 2
    ends, num = np.sum((frames.next_step_type == 2) & (frames.step_type != 2)), counts.sum()
    function = ADVANTAGES[options["advantage_fn"]]
    if function is not None:
        advantage = function(returns, value)
    else:
        advantage = returns - value if value is not None and options["use_advantage_loss"] else returns
    if options["normalize_returns"]:
        kept = advantage[counts]
        advantage = (advantage - kept.mean()) / (kept.std() + np.finfo(np.float32).eps)
    weight = np.ones(()) if weights is None else np.asarray(weights, np.float64)
    weight = weight.reshape(*weight.shape, *(1,) * (2 - weight.ndim)) * counts
    error = 0.0 if value is None else np.square(returns - value)
    return {
        "policy_gradient_loss": -np.sum(weight * log_pi * advantage) / ends,
        "entropy_regularization_loss": -(options["entropy_regularization"] or 0.0) * np.sum(weight * entropy) / num,
        "value_estimation_loss": options["value_estimation_loss_coef"] * np.sum(weight * error) / ends,
    }


@pytest.mark.parametrize("name", cases.names("reinforce"))
def test_three_train_calls(name: str):
    case = cases.load("reinforce", name)
    agent, made = make(case)
    documented = case.doc["status"] == "documented"
    weights = case.arrays.get("in/weights")
    for k in range(3):
        frames = cases.trajectory({key: value[k] for key, value in case.sub("in/experience").items()})
        weight = None if weights is None else weights[k]
        expected = by_hand(agent, case, frames, weight)
        if k == 0 and documented:
            _gradients(case, agent, frames, weight, made)
        info = agent.train(frames, weight)
        for part, want in expected.items():
            np.testing.assert_allclose(getattr(info.extra, part), want, rtol=2e-4, atol=2e-5, err_msg=part)
        np.testing.assert_allclose(info.loss, sum(info.extra), rtol=1e-4, atol=1e-5)
        if documented:
            for part in PARTS:
                case.close(f"out/{part}", getattr(info.extra, part), case.arrays[f"out/{part}"][k])
            case.close("out/loss", info.loss, case.arrays["out/loss"][k])
            for label, network in made.items():
                stored = case.sub(f"out/w_after_{k + 1}/{label}")
                for variable, want in zip(network.variables, _ordered(case, label, stored), strict=bool(stored)):
                    case.close(f"out/w_after_{k + 1}/", variable.get_value(), want)
        assert int(agent.train_step_counter) == k + 1


def _ordered(case: cases.Case, label: str, stored: dict[str, np.ndarray]) -> list[np.ndarray]:
    doc = case.doc["networks"][f"{label}_network"]
    if not stored:
        return []
    return actor_weights(doc, stored) if label == "actor" else ordered(doc, stored)


def _gradients(case: cases.Case, agent: ReinforceAgent, frames: Any, weight: Any, made: dict[str, Any]) -> None:
    gradients, _ = gradients_of(agent, frames, weight)
    for label, network in made.items():
        stored = case.sub(f"out/grad/{label}")
        found = jax.tree_util.tree_flatten_with_path(gradients[f"{label}_network"])[0]
        flat = {"/".join(str(key.key) for key in path): leaf for path, leaf in found}
        for path, want in zip(network.variable_names, _ordered(case, label, stored), strict=True):
            case.close(f"out/grad/{label}", flat[path], want)
