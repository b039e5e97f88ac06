"""Reference numbers of SacAgent: the squashed normal; losses, gradients, weights and targets over five train calls."""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxdaw import math, networks
from jaxdaw.agents import SacAgent
from jaxdaw.distributions import TanhNormal

from . import cases
from .building import actor_network, actor_weights, assign, critic_network, critic_weights, optimizer

SQUASHED = [name for name in cases.names("sac") if "squash" in name]
TRAINED = [name for name in cases.names("sac") if "train" in name]
LOSSES = {"huber": math.element_wise_huber_loss, None: math.element_wise_squared_loss}


@pytest.mark.parametrize("name", SQUASHED)
def test_squashed_normal(name: str):
    case = cases.load("sac", name)
    action, inputs = cases.spec(case.doc["specs"]["action"]), case.sub("in")

    def drawn(loc: jax.Array, scale: jax.Array):
        return TanhNormal(loc, scale, action.minimum, action.maximum, 1).from_noise(inputs["noise"])

    given = jnp.asarray(inputs["loc"]), jnp.asarray(inputs["scale"])
    value, log_prob = drawn(*given)
    case.close("out/action", value)
    case.close("out/log_prob", log_prob)
    for what, index in (("action", 0), ("log_prob", 1)):
        gradients = jax.grad(lambda *x, index=index: jnp.sum(drawn(*x)[index]), argnums=(0, 1))(*given)
        for part, gradient in zip(("loc", "scale"), gradients, strict=True):
            case.close(f"out/grad_{what}/{part}", gradient)
    distribution = TanhNormal(*given, action.minimum, action.maximum, 1)
    case.close("out/mode", distribution.mode())
    case.close("out/given_log_prob", distribution.log_prob(inputs["given_action"]))
    # On a bound the reference has the same value, which it does not document: that of the float next to the bound.
    np.testing.assert_allclose(
        distribution.log_prob(inputs["edge_action"]), case.arrays["out/quirk/edge_log_prob"], rtol=1e-4
    )


class GivenNoise(SacAgent):
    """Draws its three actions from stored noise, one distribution over actions `[B, n]`."""

    def learn(self, state: Any, experience: Any, weights: Any, key: Any, noise: Any = None) -> Any:  # type: ignore[override]
        del key
        draws = [lambda nest, label=label: nest.from_noise(noise[label]) for label in ("critic", "actor", "alpha")]
        return self._learn_from_draws(state, experience, weights, draws)


def recording(inner: optax.GradientTransformation) -> optax.GradientTransformation:
    """An optimizer whose state holds the gradient that it was given last."""

    def update(gradients: Any, state: Any, params: Any = None) -> Any:
        updates, state = inner.update(gradients, state[1], params)
        return updates, (gradients, state)

    return optax.GradientTransformation(lambda params: (params, inner.init(params)), update)


def make(case: cases.Case) -> SacAgent:
    doc, options = case.doc, dict(case.doc["constructor"])
    time_step_spec, action_spec = cases.spec(doc["specs"]["time_step"]), cases.spec(doc["specs"]["action"])
    actor_doc, critic_doc = doc["networks"]["actor_network"], doc["networks"]["critic_network"]
    actor = actor_network(actor_doc, time_step_spec.observation, action_spec)
    assign(actor, actor_weights(actor_doc, case.sub("w/actor")))
    critics: dict[str, networks.Network] = {}
    for label in ("w/critic_1", "w/critic_2", "w_target/critic_1", "w_target/critic_2"):
        critics[label] = critic_network(critic_doc, time_step_spec.observation, action_spec)
        assign(critics[label], critic_weights(critic_doc, case.sub(label)))
    # docs/differences.md, "the default target entropy of SAC": the reference takes half of what it documents
    options["target_entropy"] = options.pop("effective_target_entropy")
    options.pop("critic_network_2")
    options["td_errors_loss_fn"] = LOSSES[options["td_errors_loss_fn"]]
    made = optimizer(options.pop("optimizer"))
    return GivenNoise(
        time_step_spec,
        action_spec,
        critics["w/critic_1"],
        actor,
        recording(made),
        recording(made),
        recording(made),
        critic_network_2=critics["w/critic_2"],
        target_critic_network=critics["w_target/critic_1"],
        target_critic_network_2=critics["w_target/critic_2"],
        **options,
    )


def expected_arrays(case: cases.Case, prefix: str, with_actor: bool = True) -> list[tuple[str, list[np.ndarray]]]:
    """The stored arrays below a prefix, network by network, in the order of their variables."""
    actor_doc, critic_doc = case.doc["networks"]["actor_network"], case.doc["networks"]["critic_network"]
    found = [(f"critic_{k}", critic_weights(critic_doc, case.sub(f"{prefix}/critic_{k}"))) for k in (1, 2)]
    return [("actor", actor_weights(actor_doc, case.sub(f"{prefix}/actor"))), *found] if with_actor else found


def agree(case: cases.Case, key: str, network: networks.Network, got: Any, want: list[np.ndarray]) -> None:
    flat = {
        "/".join(str(part.key) for part in path): leaf for path, leaf in jax.tree_util.tree_flatten_with_path(got)[0]
    }
    for name, array in zip(network.variable_names, want, strict=True):
        case.close(key, flat[name], array)


@pytest.mark.parametrize("name", TRAINED)
def test_five_train_calls(name: str):
    case = cases.load("sac", name)
    agent = make(case)
    given, noise, weights = case.sub("in/experience"), case.sub("in/noise"), case.arrays.get("in/weights")
    own = [agent._actor_network, *agent._critics.values()]
    names = ["actor_network", *agent._critics]
    documented = case.doc["status"] == "documented"
    for k in range(5):
        frames = cases.trajectory({key: value[k] for key, value in given.items()})
        weight, drawn = None if weights is None else weights[k], {part: each[k] for part, each in noise.items()}
        before = jax.tree.map(np.array, agent.get_state())
        info = agent.train(frames, weight, noise=drawn)
        state = agent.get_state()
        found = {"loss": info.loss, **{part: getattr(info.extra, part) for part in info.extra._fields[:3]}}
        if not documented:
            for part, want in by_hand(agent, case, before, state, frames, drawn, weight).items():
                np.testing.assert_allclose(found[part], want, rtol=1e-4, atol=2e-5, err_msg=part)
            continue
        for part, got in found.items():
            case.close(f"out/{part}", got, case.arrays[f"out/{part}"][k])
        case.close("out/log_alpha", state.params["log_alpha"]["value"], case.arrays["out/log_alpha"][k])
        if k == 0:
            what = "out/grad" if case.doc["constructor"]["gradient_clipping"] is None else "out/grad_clipped"
            gradients = {}
            for chained in state.opt_state.values():
                gradients |= chained[-1][0]
            for (label, want), network, n in zip(expected_arrays(case, what), own, names, strict=True):
                agree(case, f"{what}/{label}", network, gradients[n], want)
            case.close(f"{what}/alpha/log_alpha", gradients["log_alpha"]["value"])
        if k in (0, 4):
            after = f"out/w_after_{k + 1}"
            for (_, want), network, n in zip(expected_arrays(case, after), own, names, strict=True):
                agree(case, f"{after}/", network, state.params[n], want)
            targets = zip(expected_arrays(case, f"out/w_target_after_{k + 1}", False), agent._targets, state.memory)
            for (_, want), network, target in targets:
                agree(case, f"out/w_target_after_{k + 1}/", network, target.params, want)
    assert int(agent.train_step_counter) == 5


@functools.partial(jax.jit, static_argnums=0)
def _outputs(agent: SacAgent, before: Any, after: Any, frames: Any, noise: Any) -> Any:
    """What the networks give to a train step: log-probabilities and values, before anything is averaged."""
    now, following = frames.observation[:, 0], frames.observation[:, 1]

    def drawn(state: Any, observation: Any, label: str) -> Any:
        return agent._actor_network.apply(agent.weights_of(state, "actor_network"), observation)[0].from_noise(
            noise[label]
        )

    def values(state: Any, action: Any) -> Any:
        return [net.apply(agent.weights_of(state, n), (now, action))[0] for n, net in agent._critics.items()]

    next_action, next_log_prob = drawn(before, following, "critic")
    bootstrap = [
        net.apply(target, (following, next_action))[0]
        for net, target in zip(agent._critics.values(), before.memory, strict=True)
    ]
    action, log_prob = drawn(before, now, "actor")
    return {
        "bootstrap": jnp.minimum(*bootstrap),
        "next_log_prob": next_log_prob,
        "values": values(before, frames.action[:, 0]),
        "actor_value": jnp.minimum(*values(after, action)),
        "log_prob": log_prob,
        "log_prob_after": drawn(after, now, "alpha")[1],
    }


def by_hand(
    agent: SacAgent, case: cases.Case, before: Any, after: Any, frames: Any, noise: Any, weights: Any
) -> dict[str, float]:
    """The losses in float64, means over the rows that are no boundary between episodes."""
    options = case.doc["constructor"]
    out = jax.tree.map(lambda x: np.asarray(x, np.float64), _outputs(agent, before, after, frames, noise))
    log_alpha = np.float64(before.params["log_alpha"]["value"])
    alpha, factor = np.exp(log_alpha), log_alpha if options["use_log_alpha_in_alpha_loss"] else np.exp(log_alpha)
    target = options["reward_scale_factor"] * frames.reward[:, 0] + options["gamma"] * frames.discount[:, 0] * (
        out["bootstrap"] - alpha * out["next_log_prob"]
    )
    errors = [target - value for value in out["values"]]
    if options["td_errors_loss_fn"] == "huber":
        errors = [np.where(np.abs(e) <= 1, 0.5 * e**2, np.abs(e) - 0.5) for e in errors]
    else:
        errors = [e**2 for e in errors]
    surplus = -out["log_prob_after"] - options["effective_target_entropy"]
    real = frames.step_type[:, 0] != 2
    assert 0 < real.sum() < len(real)
    each = {"critic_loss": sum(errors), "actor_loss": alpha * out["log_prob"] - out["actor_value"]}
    each["alpha_loss"] = factor * surplus
    scale = (1.0 if weights is None else weights) * real / real.sum()
    found = {part: options[f"{part}_weight"] * np.sum(scale * loss) for part, loss in each.items()}
    return {**found, "loss": sum(found.values())}
