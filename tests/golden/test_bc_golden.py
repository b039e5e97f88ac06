"""Reference numbers of BehavioralCloningAgent: losses, gradients, weights and policies over five train calls."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdaw.agents import BehavioralCloningAgent
from jaxdaw.specs import flatten
from jaxdaw.trajectories import TimeStep

from . import cases
from .building import actor_network, actor_weights, assign, gradients_of, optimizer
from .test_actor_policy_golden import leaves_of


def _softmax_cross_entropy(logits: Any, labels: Any) -> Any:
    return -jnp.sum(labels * jax.nn.log_softmax(logits), axis=-1)


def custom_loss(case: cases.Case, action_spec: Any) -> Any:
    """The losses as their definitions in the case files say, written by hand."""
    name = case.doc["loss"]["name"]
    if name == "default":
        return None

    def huber(e: Any) -> Any:
        return jnp.where(jnp.abs(e) <= 1, 0.5 * e**2, jnp.abs(e) - 0.5)

    def label_smoothed_cross_entropy(logits: Any, action: Any) -> Any:
        count = logits.shape[-1]
        labels = 0.9 * jax.nn.one_hot(action - int(action_spec.minimum), count) + 0.1 / count
        return _softmax_cross_entropy(logits, labels)

    def multiclass_hinge(logits: Any, action: Any) -> Any:
        index = (action - int(action_spec.minimum))[..., None]
        margin = 1.0 + logits - jnp.take_along_axis(logits, index, axis=-1)
        others = jnp.arange(logits.shape[-1]) != index
        return jnp.sum(jnp.where(others, jnp.maximum(margin, 0.0), 0.0), axis=-1)

    def negative_log_likelihood(output: Any, action: Any) -> Any:
        return -sum(d.log_prob(a) for d, a in zip(flatten(output), flatten(action), strict=True))

    return {
        "label_smoothed_cross_entropy": label_smoothed_cross_entropy,
        "multiclass_hinge": multiclass_hinge,
        "absolute_error_sum": lambda y, a: jnp.sum(jnp.abs(y - a), axis=-1),
        "squared_error_sum": lambda y, a: jnp.sum((y - a) ** 2, axis=-1),
        "squared_difference": lambda y, a: (y - a) ** 2,
        "sum_of_means_of_squares": lambda y, a: sum(
            jnp.mean(jnp.reshape((y[k] - a[k]) ** 2, (len(a[k]), -1)), axis=-1) for k in sorted(a)
        ),
        "weighted_mixed": lambda y, a: (
            -0.7 * y["gear"].log_prob(a["gear"]) + 0.3 * jnp.sum(huber(a["steer"] - y["steer"].loc), axis=-1)
        ),
        "negative_log_likelihood": negative_log_likelihood,
    }[name]


def make(case: cases.Case, as_experience_loss: bool = False) -> BehavioralCloningAgent:
    doc, constructor = case.doc, case.doc["constructor"]
    time_step_spec, action_spec = cases.spec(doc["specs"]["time_step"]), cases.spec(doc["specs"]["action"])
    layers = doc["networks"]["cloning_network"]
    network = actor_network(layers, time_step_spec.observation, action_spec)
    assign(network, actor_weights(layers, case.sub("w")))
    loss_fn = custom_loss(case, action_spec)

    def experience_loss(experience: Any, training: bool) -> Any:
        output, _ = network(experience.observation, experience.step_type, training=training)
        return loss_fn(output, experience.action)

    return BehavioralCloningAgent(
        time_step_spec,
        action_spec,
        network,
        optimizer(constructor["optimizer"]),
        num_outer_dims=constructor["num_outer_dims"],
        epsilon_greedy=constructor["epsilon_greedy"],
        loss_fn=experience_loss if as_experience_loss else loss_fn,
        gradient_clipping=constructor["gradient_clipping"],
    )


CUSTOM = [name for name in cases.names("bc") if "custom" in name or "nested" in name]


@pytest.mark.parametrize(
    ("name", "as_experience_loss"), [(n, False) for n in cases.names("bc")] + [(n, True) for n in CUSTOM]
)
def test_five_train_calls(name: str, as_experience_loss: bool):
    case = cases.load("bc", name)
    agent = make(case, as_experience_loss)
    layers = case.doc["networks"]["cloning_network"]
    if case.doc["constructor"]["num_outer_dims"] == 1 or agent.policy.policy_state_spec == ():
        _policies(case, agent)
    weights = case.arrays.get("in/weights")
    quirk = name == "030_continuous_scalar_outer1_batch"
    for k in range(5):
        frames = cases.trajectory({key: value[k] for key, value in case.sub("in/experience").items()})
        weight = None if weights is None else np.float32(weights[k])
        if k == 0:
            _gradients(case, agent, frames, weight, layers)
        info = agent.train(frames, weight)
        stored = case.arrays["out/per_example_loss"][k]
        if quirk:
            # docs/differences.md, "cloning a scalar float action": one loss for each example, so that weights select.
            action = frames.action
            assert info.extra.loss.shape == action.shape
            np.testing.assert_allclose(info.loss, np.mean(weight * np.asarray(info.extra.loss)), rtol=1e-5)
            continue
        got = np.asarray(info.extra.loss)
        if stored.ndim > got.ndim:
            stored = stored.mean(axis=tuple(range(got.ndim, stored.ndim)))
        if got.ndim > stored.ndim:  # the reference averages over time, or over the batch, before it reports
            got = got.mean(axis=tuple(range(stored.ndim, got.ndim)))
        case.close("out/per_example_loss", got, stored)
        case.close("out/loss", info.loss, case.arrays["out/loss"][k])
        assert int(agent.train_step_counter) == case.arrays["out/train_step_counter"][k]
        after = case.sub(f"out/w_after_{k + 1}")
        if after:
            for variable, want in zip(agent.trainable_variables, actor_weights(layers, after), strict=True):
                case.close(f"out/w_after_{k + 1}", variable.get_value(), want)


def _gradients(case: cases.Case, agent: Any, frames: Any, weight: Any, layers: Any) -> None:
    gradients, clipped = gradients_of(agent, frames, weight, case.doc["constructor"]["gradient_clipping"])
    for label, tree in (("grad", gradients), ("grad_clipped", clipped)):
        stored = case.sub(f"out/{label}")
        if stored and "030" not in case.doc["name"]:
            found = jax.tree_util.tree_flatten_with_path(tree["cloning_network"])[0]
            flat = {"/".join(str(k.key) for k in path): leaf for path, leaf in found}
            names = agent.cloning_network.variable_names
            for path, want in zip(names, actor_weights(layers, stored), strict=True):
                case.close(f"out/{label}", flat[path], want)


def _policies(case: cases.Case, agent: BehavioralCloningAgent) -> None:
    given = case.sub("in/time_step")
    if not given:
        return
    rows = given["step_type"].shape
    step = TimeStep(given["step_type"], np.zeros(rows, np.float32), np.ones(rows, np.float32), given["observation"])
    for key, leaf in leaves_of(agent.policy.action(step).action).items():
        suffix = f"/{key}" if key else ""
        stored = case.arrays.get(f"out/greedy_action{suffix}")
        if stored is None:
            continue
        if case.doc["name"] == "012_discrete_categorical_shifted":
            # docs/differences.md, "a categorical network with a minimum": the minimum is added.
            minimum = case.doc["specs"]["action"]["minimum"]
            case.close(f"out/greedy_action{suffix}", leaf, np.argmax(case.arrays["out/logits"], -1) + minimum)
            continue
        case.close(f"out/greedy_action{suffix}", leaf)
    if "out/collect_probs" in case.arrays and "012" not in case.doc["name"]:
        case.close("out/collect_probs", agent.collect_policy.distribution(step).action.probs)
