"""Reference numbers of DdpgAgent and Td3Agent: losses, gradients, weights and targets over five train calls.

`docs/differences.md` says where the agents differ. So that everything else is compared, here: boundary frames are
marked as others, as the reference takes them; the bounds to which TD3 clips noisy target actions are far away; and
DDPG's gradient is multiplied by the reference's factor, 2 / (number of action elements).
"""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
import optax
import pytest

from jaxdaw import math, networks, specs
from jaxdaw.agents import DdpgAgent, Td3Agent
from jaxdaw.math import clip_by_norm_per_variable

from . import cases
from .building import actor_network, assign, critic_network, critic_weights, optimizer, ordered

RECURRENT_CRITIC = ("observation_layers", "action_layers", "joint_layers")
QUIRKS = ("019_ddpg_dqda_clipping_zero", "020_ddpg_batch_weights")
COMPARED = [name for name in cases.names("ddpg_td3") if name not in QUIRKS]


class Td3WithNoise(Td3Agent):
    """Takes the standard normal numbers on the target actions from the caller."""

    def learn(self, state: Any, experience: Any, weights: Any, key: Any, noise: Any = None) -> Any:  # type: ignore[override]
        self._given = noise
        return super().learn(state, experience, weights, key)

    def _standard_normal(self, key: Any, shape: Any) -> Any:
        assert self._given.shape == shape
        return self._given


def recording(inner: optax.GradientTransformation) -> optax.GradientTransformation:
    """An optimizer whose state holds the gradient that it was given last."""

    def update(gradients: Any, state: Any, params: Any = None) -> Any:
        updates, state = inner.update(gradients, state[1], params)
        return updates, (gradients, state)

    return optax.GradientTransformation(lambda params: (params, inner.init(params)), update)


def make_critic(doc: dict[str, Any], observation_spec: Any, action_spec: Any) -> networks.Network:
    if doc["kind"] == "critic":
        return critic_network(doc, observation_spec, action_spec)
    observation, action, joint = ([layer["units"] for layer in doc[part]] for part in RECURRENT_CRITIC)
    return networks.CriticRnnNetwork(
        (observation_spec, action_spec),
        observation_fc_layer_params=observation,
        action_fc_layer_params=action,
        joint_fc_layer_params=joint,
        lstm_size=[cell["units"] for cell in doc["lstm"]],
        output_fc_layer_params=[layer["units"] for layer in doc["output_layers"][:-1]],
    )


def stored(case: cases.Case, prefix: str, label: str) -> list[np.ndarray]:
    """The stored arrays of a network, in the order of its variables; none where there are none."""
    arrays = case.sub(f"{prefix}/{label}")
    if not arrays:
        return []
    if label == "actor":
        return ordered(case.doc["networks"]["actor_network"], arrays)
    doc = case.doc["networks"]["critic_network"]
    if doc["kind"] == "critic":
        return critic_weights(doc, arrays)
    inputs = [layer for part in RECURRENT_CRITIC for layer in doc[part]]
    return ordered({"kind": "lstm", "input_layers": inputs, "heads": [], **_of(doc, "lstm", "output_layers")}, arrays)


def _of(doc: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: doc[name] for name in names}


def make(case: cases.Case, **changes: Any) -> Any:
    doc, options = case.doc, {**case.doc["constructor"], **changes}
    time_step_spec, action_spec = cases.spec(doc["specs"]["time_step"]), cases.spec(doc["specs"]["action"])
    is_td3 = doc["api"]["class"] == "Td3Agent"
    labels = ["actor", "critic_1", "critic_2"] if is_td3 else ["actor", "critic"]

    def network(label: str, prefix: str) -> networks.Network:
        if label == "actor":
            made = actor_network(doc["networks"]["actor_network"], time_step_spec.observation, action_spec)
        else:
            made = make_critic(doc["networks"]["critic_network"], time_step_spec.observation, action_spec)
        assign(made, stored(case, prefix, label))
        return made

    made, targets = ([network(label, prefix) for label in labels] for prefix in ("w", "w_target"))
    options["td_errors_loss_fn"] = {"squared": math.element_wise_squared_loss, None: None}[options["td_errors_loss_fn"]]
    actor_optimizer, critic_optimizer = (
        recording(optimizer(options.pop(f"{n}_optimizer"))) for n in ("actor", "critic")
    )
    if is_td3:
        wide = specs.BoundedTensorSpec(action_spec.shape, np.float32, -1e3, 1e3)
        options |= {"critic_network_2": made[2], "target_critic_network_2": targets[2]}
        kind, bounds = Td3WithNoise, wide
    else:
        factor = 2 / action_spec.shape[0]
        clipping = options.pop("gradient_clipping")
        clip = () if clipping is None else (clip_by_norm_per_variable(clipping),)
        actor_optimizer = optax.chain(optax.scale(factor), *clip, actor_optimizer)
        critic_optimizer = optax.chain(*clip, critic_optimizer)
        kind, bounds = DdpgAgent, action_spec
    return kind(
        time_step_spec,
        bounds,
        made[0],
        made[1],
        actor_optimizer,
        critic_optimizer,
        target_actor_network=targets[0],
        target_critic_network=targets[1],
        **options,
    )


def batch(case: cases.Case, k: int) -> tuple[Any, dict[str, Any]]:
    """The frames of a train call, none of them a boundary, and the other arguments."""
    frames = cases.trajectory({key: value[k] for key, value in case.sub("in/experience").items()})
    if case.doc["status"] == "quirk":
        frames = frames._replace(step_type=np.where(frames.step_type == 2, np.int32(1), frames.step_type))
    arguments = {key: case.arrays[f"in/{key}"][k] for key in ("weights", "noise") if f"in/{key}" in case.arrays}
    return frames, arguments


def networks_of(agent: Any) -> dict[str, networks.Network]:
    labels = ["actor", "critic_1", "critic_2"] if isinstance(agent, Td3Agent) else ["actor", "critic"]
    return dict(zip(labels, agent._networks.values(), strict=True))


def value_of_own_actions(agent: Any, actor: networks.Network, frames: Any, weights: Any) -> float:
    """The weighted mean of the critic's values of an actor's actions: of sequences summed over time."""
    now = jax.tree.map(lambda x: x[:, :-1], frames)
    action = actor(now.observation, now.step_type)[0]
    values = np.asarray(agent._critics["critic_network"]((now.observation, action), now.step_type)[0])
    return float(np.mean((1.0 if weights is None else weights) * values.sum(axis=1)))


@pytest.mark.parametrize("name", COMPARED)
def test_five_train_calls(name: str):
    case = cases.load("ddpg_td3", name)
    agent = make(case)
    is_td3, made = isinstance(agent, Td3Agent), networks_of(agent)
    for k in range(5):
        frames, arguments = batch(case, k)
        actor = made["actor"].clone()
        info = agent.train(frames, **arguments)
        case.close("out/critic_loss", info.extra.critic_loss, case.arrays["out/critic_loss"][k])
        if is_td3:
            case.close("out/actor_loss", info.extra.actor_loss, case.arrays["out/actor_loss"][k])
            case.close("out/loss", info.loss, case.arrays["out/loss"][k])
        # docs/differences.md, "the actor loss of DDPG": minus the value, as TD3's. It comes after the critic's step.
        value = value_of_own_actions(agent, actor, frames, arguments.get("weights"))
        np.testing.assert_allclose(info.extra.actor_loss, -value, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(info.loss, info.extra.actor_loss + info.extra.critic_loss, rtol=1e-5, atol=1e-6)
        if k == 0:
            _gradients(case, agent)
        for label, network in made.items():
            for prefix, variables in (
                ("w", network.variables),
                ("w_target", agent._targets[_name(agent, label)].variables),
            ):
                key = f"{prefix}_after_{k + 1}"
                want = stored(case, f"out/{key}", label)
                for variable, array in zip(variables, want, strict=bool(want)):
                    case.close(f"out/{key}/", variable.get_value(), array)
        assert int(agent.train_step_counter) == case.arrays["out/train_step_counter"][k]


def _name(agent: Any, label: str) -> str:
    return next(name for name, network in agent._networks.items() if network is networks_of(agent)[label])


def _gradients(case: cases.Case, agent: Any) -> None:
    what = "out/grad" if case.doc["constructor"]["gradient_clipping"] is None else "out/grad_clipped"
    found = {}
    for state in agent.get_state().opt_state.values():
        while not isinstance(state[0], dict):
            state = state[-1]
        found |= state[0]
    for label, network in networks_of(agent).items():
        paths = jax.tree_util.tree_flatten_with_path(found[_name(agent, label)])[0]
        flat = {"/".join(str(part.key) for part in path): leaf for path, leaf in paths}
        for path, want in zip(network.variable_names, stored(case, what, label), strict=True):
            case.close(f"{what}/{label}", flat[path], want)


def test_a_dqda_clipping_of_0_is_none():
    """docs/differences.md: the reference's actor stops. Its critic's first loss does not know of it."""
    case = cases.load("ddpg_td3", QUIRKS[0])
    agents = make(case), make(case, dqda_clipping=None)
    before = [np.array(variable.get_value()) for variable in agents[0]._actor_network.variables]
    losses = [agent.train(batch(case, 0)[0]).extra for agent in agents]
    case.close("out/critic_loss", losses[0].critic_loss, case.arrays["out/critic_loss"][0])
    case.close("out/actor_loss", 0.0, case.arrays["out/actor_loss"][0])
    after = [[variable.get_value() for variable in agent._actor_network.variables] for agent in agents]
    for ours, without in zip(*after, strict=True):
        np.testing.assert_array_equal(ours, without)
    assert any(np.any(first != ours) for first, ours in zip(before, after[0], strict=True))


def test_weights_of_rows_weight_the_actor_s_loss_too():
    """docs/differences.md: the reference multiplies every loss by every weight."""
    case = cases.load("ddpg_td3", QUIRKS[1])
    agent = make(case)
    actor = agent._actor_network.clone()
    frames, arguments = batch(case, 0)
    info = agent.train(frames, **arguments)
    case.close("out/critic_loss", info.extra.critic_loss, case.arrays["out/critic_loss"][0])
    value = value_of_own_actions(agent, actor, frames, arguments["weights"])
    np.testing.assert_allclose(info.extra.actor_loss, -value, rtol=1e-4)
    assert abs(value - value_of_own_actions(agent, actor, frames, None) * arguments["weights"].mean()) > 1e-3
