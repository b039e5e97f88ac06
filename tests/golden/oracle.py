"""Five train calls of DQN over an MLP, from the formulas alone, with the reference's n-step rule or with ours."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from . import cases
from .building import ACTIVATIONS, ordered


def forward(weights: list[Any], observation: Any, activations: list[str]) -> Any:
    x = observation.reshape(observation.shape[0], -1)
    for i, activation in enumerate(activations):
        x = ACTIVATIONS[activation](x @ weights[2 * i] + weights[2 * i + 1])
    return x


def windows(frames: Any, gamma: float, cut: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Reward sum, bootstrap factor (one gamma short) and bootstrap frame of each row; `cut` stops at the first LAST."""
    rows, n = frames.reward.shape[0], frames.reward.shape[1] - 1
    rewards, factors, index = np.zeros(rows), np.zeros(rows), np.full(rows, n)
    for b in range(rows):
        factor = 1.0
        for k in range(n):
            rewards[b] += factor * frames.reward[b, k]
            factors[b] = factor * frames.discount[b, k]
            factor *= gamma * frames.discount[b, k]
            if cut and frames.next_step_type[b, k] == 2:
                index[b] = k + 1
                break
    return rewards, factors, index


def train(case: cases.Case, cut: bool) -> dict[str, list[Any]]:
    doc, constructor = case.doc, case.doc["constructor"]
    layers = doc["networks"]["q_network"]
    activations = [layer["activation"] for layer in layers["layers"]]
    weights = ordered(layers, case.sub("w"))
    target = ordered(layers, case.sub("w_target"))
    double = doc["api"]["class"] == "DdqnAgent"
    gamma, optimizer = constructor["gamma"], constructor["optimizer"]
    moments = [[np.zeros_like(w) for w in weights], [np.zeros_like(w) for w in weights]]

    @jax.jit
    def loss_and_gradients(weights, target, before, after, allowed, valid, action, reward, factor, scale):
        rows = np.arange(len(action))

        def loss_of(weights):
            q = forward(weights, before, activations)
            bootstrap = forward(target, after, activations)
            chooser = forward(weights, after, activations) if double else bootstrap
            chooser = chooser if allowed is None else jnp.where(allowed, chooser, -jnp.inf)
            value = (
                constructor["reward_scale_factor"] * reward + gamma * factor * bootstrap[rows, jnp.argmax(chooser, 1)]
            )
            error = jnp.where(valid, jax.lax.stop_gradient(value) - q[rows, action], 0.0)
            size = jnp.abs(error)
            each = (
                error**2
                if constructor["td_errors_loss_fn"] == "squared"
                else jnp.where(size <= 1, 0.5 * size**2, size - 0.5)
            )
            return jnp.mean(scale * each), error

        return jax.value_and_grad(loss_of, has_aux=True)(weights)

    history: dict[str, list[Any]] = {"loss": [], "td_error": [], "weights": [], "target": []}
    for k in range(5):
        frames = cases.trajectory({key: value[k] for key, value in case.sub("in/experience").items()})
        scale = case.arrays["in/weights"][k] if "in/weights" in case.arrays else 1.0
        reward, factor, index = windows(frames, gamma, cut)
        observation, mask = frames.observation, None
        if isinstance(observation, dict):
            observation, mask = observation["obs"], observation["mask"]
        pick = np.arange(len(index)), index
        after, allowed = observation[pick], None if mask is None else mask[pick] != 0
        given = (frames.step_type[:, 0] != 2, frames.action[:, 0], reward, factor, scale)
        (loss, error), gradients = loss_and_gradients(weights, target, observation[:, 0], after, allowed, *given)
        gradients = [np.asarray(g) for g in gradients]
        limit = constructor["gradient_clipping"]
        if limit is not None:
            gradients = [g * min(1.0, limit / max(float(np.linalg.norm(g)), 1e-30)) for g in gradients]
        if optimizer["name"] == "sgd":
            weights = [w - optimizer["learning_rate"] * g for w, g in zip(weights, gradients, strict=True)]
        else:
            t, b1, b2 = k + 1, optimizer["beta_1"], optimizer["beta_2"]
            moments[0] = [m + (1 - b1) * (g - m) for m, g in zip(moments[0], gradients, strict=True)]
            moments[1] = [v + (1 - b2) * (g * g - v) for v, g in zip(moments[1], gradients, strict=True)]
            step = optimizer["learning_rate"] * float(np.sqrt(1 - b2**t)) / (1 - b1**t)
            weights = [
                w - step * m / (np.sqrt(v) + optimizer["epsilon"]) for w, m, v in zip(weights, *moments, strict=True)
            ]
        if (k + 1) % constructor["target_update_period"] == 0:
            tau = constructor["target_update_tau"]
            target = [(1 - tau) * t + tau * w for t, w in zip(target, weights, strict=True)]
        for name, value in (("loss", loss), ("td_error", error), ("weights", weights), ("target", target)):
            history[name].append(value)
    return history
