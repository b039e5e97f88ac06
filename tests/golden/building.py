"""Networks, optimizers and agents of the reference cases."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxdaw import math, networks
from jaxdaw.agents import DdqnAgent, DqnAgent

from . import cases

ACTIVATIONS = {"relu": jax.nn.relu, "tanh": jnp.tanh, "elu": jax.nn.elu, "linear": lambda x: x}
GATES = ("i", "f", "g", "o")


def splitter(observation: Any) -> tuple[Any, Any]:
    return observation["obs"], observation["mask"]


def q_network(doc: dict[str, Any], observation_spec: Any, action_spec: Any) -> networks.Network:
    if doc["kind"] == "mlp":
        *hidden, _ = doc["layers"]
        activations = {layer["activation"] for layer in hidden} or {"relu"}
        assert len(activations) == 1
        return networks.QNetwork(
            observation_spec,
            action_spec,
            fc_layer_params=tuple(layer["units"] for layer in hidden) or None,
            activation_fn=ACTIVATIONS[activations.pop()],
        )
    assert doc["kind"] == "lstm"
    layers = doc["input_layers"] + doc["output_layers"]
    activations = {layer["activation"] for layer in layers} or {"relu"}
    assert len(activations) == 1
    return networks.QRnnNetwork(
        observation_spec,
        action_spec,
        input_fc_layer_params=tuple(layer["units"] for layer in doc["input_layers"]) or None,
        lstm_size=tuple(cell["units"] for cell in doc["lstm"]),
        output_fc_layer_params=tuple(layer["units"] for layer in doc["output_layers"]) or None,
        activation_fn=ACTIVATIONS[activations.pop()],
    )


def ordered(doc: dict[str, Any], weights: dict[str, np.ndarray]) -> list[np.ndarray]:
    """The stored arrays in the order of `network.variables`; the four gates of a cell become one matrix."""
    if doc["kind"] == "mlp":
        return [weights[f"{layer['name']}/{part}"] for layer in doc["layers"] for part in ("kernel", "bias")]
    found = [weights[f"{layer['name']}/{part}"] for layer in doc["input_layers"] for part in ("kernel", "bias")]
    for cell in doc["lstm"]:
        for part in ("kernel", "recurrent_kernel", "bias"):
            found.append(np.concatenate([weights[f"{cell['name']}/{part}_{gate}"] for gate in GATES], axis=-1))
    for layer in doc["output_layers"] + doc["heads"]:
        found += [weights[f"{layer['name']}/{part}"] for part in ("kernel", "bias")]
    return found


def assign(network: networks.Network, arrays: list[np.ndarray]) -> None:
    variables = network.variables
    assert [np.shape(v.get_value()) for v in variables] == [a.shape for a in arrays]
    for variable, array in zip(variables, arrays, strict=True):
        variable.set_value(jnp.asarray(array))


def optimizer(doc: dict[str, Any]) -> optax.GradientTransformation:
    if doc["name"] == "sgd":
        return optax.sgd(doc["learning_rate"])
    return keras_adam(doc["learning_rate"], doc["beta_1"], doc["beta_2"], doc["epsilon"])


def keras_adam(learning_rate: float, beta_1: float, beta_2: float, epsilon: float) -> optax.GradientTransformation:
    """Adam with epsilon beside the uncorrected second moment, as the reference's optimizer has it."""

    def init(params: Any) -> Any:
        zeros = jax.tree.map(jnp.zeros_like, params)
        return zeros, zeros, jnp.zeros((), jnp.int32)

    def update(gradients: Any, state: Any, params: Any = None) -> Any:
        m, v, count = state
        count = count + 1
        m = jax.tree.map(lambda a, g: a + (1 - beta_1) * (g - a), m, gradients)
        v = jax.tree.map(lambda a, g: a + (1 - beta_2) * (g**2 - a), v, gradients)
        scale = (
            learning_rate
            * jnp.sqrt(1 - beta_2 ** count.astype(jnp.float32))
            / (1 - beta_1 ** count.astype(jnp.float32))
        )
        return jax.tree.map(lambda a, b: -scale * a / (jnp.sqrt(b) + epsilon), m, v), (m, v, count)

    return optax.GradientTransformation(init, update)


def dqn_agent(case: cases.Case) -> DqnAgent:
    doc, constructor = case.doc, case.doc["constructor"]
    time_step_spec, action_spec = cases.spec(doc["specs"]["time_step"]), cases.spec(doc["specs"]["action"])
    masked = constructor.get("observation_and_action_constraint_splitter") is not None
    observation_spec = splitter(time_step_spec.observation)[0] if masked else time_step_spec.observation
    network = q_network(doc["networks"]["q_network"], observation_spec, action_spec)
    assign(network, ordered(doc["networks"]["q_network"], case.sub("w")))
    target = None
    if case.sub("w_target"):
        target = network.copy()
        assign(target, ordered(doc["networks"]["q_network"], case.sub("w_target")))
    loss = {"squared": math.element_wise_squared_loss, None: None}.get(constructor.get("td_errors_loss_fn"))
    options = {
        key: constructor[key]
        for key in ("n_step_update", "gamma", "reward_scale_factor", "gradient_clipping", "target_update_tau",
                    "target_update_period", "boltzmann_temperature", "emit_log_probability")
        if key in constructor
    }  # fmt: skip
    if constructor.get("boltzmann_temperature") is None:
        epsilon = constructor.get("epsilon_greedy", 0.1)
        options["epsilon_greedy"] = (
            (lambda: epsilon) if constructor.get("epsilon_greedy_given_as") == "callable" else epsilon
        )
    kind = DdqnAgent if doc["api"]["class"] == "DdqnAgent" else DqnAgent
    return kind(
        time_step_spec,
        action_spec,
        network,
        optimizer(constructor["optimizer"]) if "optimizer" in constructor else optax.sgd(0.1),
        observation_and_action_constraint_splitter=splitter if masked else None,
        target_q_network=target,
        td_errors_loss_fn=loss,
        **options,
    )
