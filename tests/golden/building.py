"""Networks, optimizers and agents of the reference cases."""

from __future__ import annotations

import functools
import itertools
from math import prod as math_prod
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

from jaxdaw import math, networks, specs
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


def actor_network(doc: dict[str, Any], observation_spec: Any, action_spec: Any) -> networks.Network:
    """Any network of the families `actor_policy` and `bc`, with fresh weights."""
    kind, reference = doc["kind"], doc.get("reference_class") or ""
    if kind == "mlp" and reference != "ActorNetwork":
        return (
            q_network(doc, observation_spec, action_spec)
            if reference == "QNetwork"
            else Plain(observation_spec, action_spec, doc["layers"])
        )
    if kind == "mlp_with_heads":
        return Plain(observation_spec, action_spec, doc["layers"], doc["heads"])
    if kind == "mlp_with_batch_norm":
        return networks.Network.from_factory(lambda rngs: BatchNormMlp(doc, observation_spec, rngs), observation_spec)
    if reference == "QRnnNetwork":
        return q_network(doc, observation_spec, action_spec)
    if kind == "mlp":
        hidden = doc["layers"][:-1]
        return networks.ActorNetwork(observation_spec, action_spec, _units(hidden), activation_fn=_activation(hidden))
    options: dict[str, Any] = {}
    if "Distribution" in reference:
        heads = [doc["heads"][path] for path in sorted(doc["heads"])]
        float_heads = [head for head in heads if head["kind"] != "categorical"]
        if float_heads:
            makers = itertools.cycle([_float_projection(head) for head in float_heads])  # a copy begins again
            options["continuous_projection_net"] = lambda *given, rngs: next(makers)(*given, rngs=rngs)
    if kind == "mlp_with_distribution_heads":
        layers = doc["layers"]
        return networks.ActorDistributionNetwork(
            observation_spec, action_spec, fc_layer_params=_units(layers), activation_fn=_activation(layers), **options
        )
    recurrent = networks.ActorRnnNetwork if reference == "ActorRnnNetwork" else networks.ActorDistributionRnnNetwork
    network = recurrent(
        observation_spec,
        action_spec,
        input_fc_layer_params=_units(doc["input_layers"]),
        lstm_size=tuple(cell["units"] for cell in doc["lstm"]),
        output_fc_layer_params=_units(doc["output_layers"]),
        activation_fn=_activation(doc["input_layers"]),
        **options,
    )
    for layer in network.encoder.layer:
        layer.activation = _activation(doc["output_layers"])
    return network


def critic_network(doc: dict[str, Any], observation_spec: Any, action_spec: Any) -> networks.Network:
    """A `critic` of the families `sac` and `ddpg_td3`, with fresh weights."""
    parts = [doc[part] for part in ("observation_layers", "action_layers", "joint_layers")]
    hidden = [*parts[0], *parts[1], *parts[2][:-1]]
    return networks.CriticNetwork(
        (observation_spec, action_spec),
        observation_fc_layer_params=_units(parts[0]),
        action_fc_layer_params=_units(parts[1]),
        joint_fc_layer_params=_units(parts[2][:-1]),
        activation_fn=_activation(hidden),
    )


def critic_weights(doc: dict[str, Any], weights: dict[str, np.ndarray]) -> list[np.ndarray]:
    """The stored arrays in the order of the variables of `critic_network`."""
    layers = [layer for part in ("observation_layers", "action_layers", "joint_layers") for layer in doc[part]]
    return [weights[f"{layer['name']}/{part}"] for layer in layers for part in ("kernel", "bias")]


def _units(layers: list[dict[str, Any]]) -> tuple[int, ...] | None:
    return tuple(layer["units"] for layer in layers) or None


def _activation(layers: list[dict[str, Any]]) -> Any:
    names = {layer["activation"] for layer in layers} or {"relu"}
    assert len(names) == 1
    return ACTIVATIONS[names.pop()]


def _float_projection(head: dict[str, Any]) -> Any:
    activation = None if head.get("activation_fn") is None else ACTIVATIONS[head["activation_fn"]]
    transform = {
        "softplus": jax.nn.softplus,
        "exp": jnp.exp,
        "exp_clipped": networks.std_clip_transform,
        "identity_abs": jnp.abs,
        "none": lambda x: x,
    }[head["std_transform"]]
    if head["kind"] == "tanh_normal":
        return functools.partial(networks.TanhNormalProjection, activation_fn=activation, std_transform=transform)
    return functools.partial(
        networks.NormalProjection,
        activation_fn=activation,
        mean_transform=networks.tanh_squash_to_spec if head["mean_transform"] == "tanh_squash_to_spec" else None,
        std_transform=transform,
        state_dependent_std=head["state_dependent_std"],
        scale_distribution=head["scale_distribution"],
    )


class Plain(networks.Network):
    """A user's network: dense layers, and the last one's output in the shape of the action."""

    def __init__(self, input_tensor_spec: Any, action_spec: Any, layers: Any, heads: Any = (), *, rngs: Any = 0):
        super().__init__(input_tensor_spec)
        rngs = networks.as_rngs(rngs)
        self.action_spec = action_spec
        self.activations = [layer["activation"] for layer in layers]
        size = math_prod(specs.flatten(input_tensor_spec)[0].shape)
        made = []
        for layer in layers:
            made.append(nnx.Linear(size, layer["units"], rngs=rngs))
            size = layer["units"]
        self.layer = nnx.List(made)
        self.heads = nnx.List([nnx.Linear(size, head["units"], rngs=rngs) for head in heads])

    def call(self, observation: Any) -> Any:
        (leaf,) = specs.flatten(self.input_tensor_spec)
        outer = specs.outer_shape(observation, self.input_tensor_spec)
        x = jnp.reshape(specs.flatten(observation)[0], (*outer, math_prod(leaf.shape))).astype(jnp.float32)
        for layer, activation in zip(self.layer, self.activations, strict=True):
            x = ACTIVATIONS[activation](layer(x))
        leaves = specs.flatten(self.action_spec)
        if specs.is_discrete(leaves[0]) and not self.heads:
            return x, ()
        outputs = [head(x) for head in self.heads] or [x]
        shaped = [y.reshape(*outer, *spec.shape) for y, spec in zip(outputs, leaves, strict=True)]
        return specs.pack_like(self.action_spec, shaped), ()


class BatchNormMlp(nnx.Module):
    def __init__(self, doc: dict[str, Any], observation_spec: Any, rngs: nnx.Rngs):
        first, last = doc["layers"]
        self.layer_0 = nnx.Linear(observation_spec.shape[0], first["units"], rngs=rngs)
        self.norm = nnx.BatchNorm(
            first["units"], momentum=doc["batch_norm"]["momentum"], epsilon=doc["batch_norm"]["epsilon"], rngs=rngs
        )
        self.layer_1 = nnx.Linear(first["units"], last["units"], rngs=rngs)
        self.activation = ACTIVATIONS[first["activation"]]

    def __call__(self, observation: Any) -> Any:
        return self.layer_1(self.norm(self.activation(self.layer_0(observation))))


def actor_weights(doc: dict[str, Any], weights: dict[str, np.ndarray]) -> list[np.ndarray]:
    """The stored arrays in the order of the variables of `actor_network`."""
    if doc["kind"] in ("mlp", "lstm") and not isinstance(doc.get("heads"), dict):
        return ordered(doc, weights)
    if doc["kind"] == "mlp_with_heads":
        return [weights[f"{x['name']}/{part}"] for x in doc["layers"] + doc["heads"] for part in ("kernel", "bias")]
    if doc["kind"] == "lstm":
        found = ordered({**doc, "heads": []}, weights)
    else:
        found = [weights[f"{layer['name']}/{part}"] for layer in doc["layers"] for part in ("kernel", "bias")]
    parts = {"normal": ("means/kernel", "means/bias", "std/kernel", "std/bias", "std_bias/bias"),
             "tanh_normal": ("projection/kernel", "projection/bias"),
             "categorical": ("logits/kernel", "logits/bias")}  # fmt: skip
    for path in sorted(doc["heads"]):
        prefix = "" if len(doc["heads"]) == 1 else f"{path}/"
        found += [weights[prefix + part] for part in parts[doc["heads"][path]["kind"]] if prefix + part in weights]
    return found


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


def gradients_of(agent: Any, experience: Any, weights: Any, clipping: float | None = None) -> tuple[Any, Any]:
    """Returns the gradients of an agent's loss, and the same clipped by norm, from one compiled program."""
    state = agent.get_state()

    @jax.jit
    def gradients(params: Any) -> tuple[Any, Any]:
        found = jax.grad(lambda p: agent.loss_info(state._replace(params=p), experience, weights, True).loss)(params)
        return found, math.clip_by_norm_per_variable(clipping or 1e9).update(found, None)[0]

    return gradients(state.params)


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
