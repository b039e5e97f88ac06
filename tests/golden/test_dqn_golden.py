"""Reference numbers of DQN and double DQN: losses, TD errors, gradients, weights and targets over five train calls."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdaw.policies import GreedyPolicy, QPolicy
from jaxdaw.trajectories import StepType, TimeStep

from . import cases
from .building import dqn_agent, gradients_of, ordered, splitter
from .oracle import train

FEEDFORWARD = [("dqn_loss_train", name) for name in cases.names("dqn_loss_train")]
RECURRENT = [("dqn_rnn", name) for name in cases.names("dqn_rnn")]


@pytest.mark.parametrize("name", cases.names("dqn_loss_train"))
def test_oracle_equals_reference(name):
    """The formulas of the oracle, with the reference's rule for windows, are the reference's."""
    case = cases.load("dqn_loss_train", name)
    history = train(case, cut=False)
    for k in range(5):
        case.close("out/td_error", history["td_error"][k], case.arrays["out/td_error"][k])
        case.close("out/loss", history["loss"][k], case.arrays["out/loss"][k])


@pytest.mark.parametrize(("family", "name"), FEEDFORWARD + RECURRENT)
def test_five_train_calls(family, name):
    case = cases.load(family, name)
    agent = dqn_agent(case)
    layers = case.doc["networks"]["q_network"]
    weights = case.arrays.get("in/weights")
    batches = [cases.trajectory({key: value[k] for key, value in case.sub("in/experience").items()}) for k in range(5)]
    # docs/differences.md, "n-step returns at a truncation": such windows are compared with the oracle, cut.
    ours = family == "dqn_loss_train" and any(_crosses_truncation(frames) for frames in batches)
    history = train(case, cut=True) if ours else None
    for k, frames in enumerate(batches):
        weight = None if weights is None else np.float32(weights[k])
        if k == 0 and not ours:
            _gradients(case, agent, frames, weight, layers)
            # docs/differences.md, "agent.loss": the loss that train minimises.
            case.close("out/loss", agent.loss(frames, weight).loss, case.arrays["out/loss"][0])
        info = agent.train(frames, weight)
        assert int(agent.train_step_counter) == case.arrays["out/train_step_counter"][k]
        if history is not None:
            case.close("out/td_error", info.extra.td_error, history["td_error"][k])
            case.close("out/loss", info.loss, history["loss"][k])
            for variable, want in zip(agent.trainable_variables, history["weights"][k], strict=True):
                case.close("out/w_after_5", variable.get_value(), want)
            for variable, want in zip(agent.target_q_network.variables, history["target"][k], strict=True):
                case.close("out/w_target_after_", variable.get_value(), want)
            continue
        case.close("out/td_error", info.extra.td_error, case.arrays["out/td_error"][k])
        case.close("out/td_loss", info.extra.td_loss, case.arrays["out/td_loss"][k])
        case.close("out/loss", info.loss, case.arrays["out/loss"][k])
        for label, variables in (("w", agent.trainable_variables), ("w_target", agent.target_q_network.variables)):
            stored = case.sub(f"out/{label}_after_{k + 1}")
            for variable, want in zip(variables, ordered(layers, stored) if stored else [], strict=bool(stored)):
                case.close(f"out/{label}_after_{k + 1}", variable.get_value(), want)


def _crosses_truncation(frames) -> bool:
    """Whether some window holds an episode's end that was not a termination before its last frame."""
    inside = frames.next_step_type[:, : frames.reward.shape[1] - 2] == StepType.LAST
    return bool((inside & (frames.discount[:, : frames.reward.shape[1] - 2] != 0)).any())


def _gradients(case, agent, frames, weight, layers):
    gradients, clipped = gradients_of(agent, frames, weight, case.doc["constructor"]["gradient_clipping"])
    named = agent._q_network.named_variables()
    for label, tree in (("grad", gradients), ("grad_clipped", clipped)):
        stored = case.sub(f"out/{label}")
        if stored:
            flat = _by_name(tree["q_network"])
            for (path, _), want in zip(named, ordered(layers, stored), strict=True):
                case.close(f"out/{label}", flat[path], want)


def _by_name(tree):
    leaves = jax.tree_util.tree_flatten_with_path(tree)[0]
    return {"/".join(str(k.key) for k in path): leaf for path, leaf in leaves}


@pytest.mark.parametrize("name", cases.names("dqn_policy"))
def test_policies(name):
    case = cases.load("dqn_policy", name)
    agent = dqn_agent(case)
    given = case.sub("in/time_step")
    observation = cases.nest({k[len("observation") + 1 :]: v for k, v in given.items() if k.startswith("observation")})
    rows = len(given["step_type"])
    step = TimeStep(given["step_type"], np.zeros(rows, np.float32), np.ones(rows, np.float32), observation)
    masked = isinstance(observation, dict)
    q_values, _ = agent._q_network(splitter(observation)[0] if masked else observation)
    case.close("out/q_values", q_values)
    if name.endswith("all_masked"):
        # docs/differences.md, "all-masked row": the reference takes action 0; ours refuses.
        with pytest.raises(ValueError, match=r"1 of .* rows allow no action"):
            agent.policy.action(step)
        allowed = splitter(observation)[1].any(axis=1)
        step = jax.tree.map(lambda x: x[allowed], step)
    else:
        allowed = np.ones(rows, bool)
    case.close("out/greedy_action", agent.policy.action(step).action, case.arrays["out/greedy_action"][allowed])
    q_policy = agent.policy.wrapped_policy
    assert isinstance(q_policy, QPolicy)
    probs = q_policy.distribution(step).action.probs
    case.close("out/q_policy_probs", probs, case.arrays["out/q_policy_probs"][allowed])
    collect = agent.collect_policy.distribution(step).action
    case.close("out/collect_probs", collect.probs, case.arrays["out/collect_probs"][allowed])
    draws = jax.vmap(lambda key: collect.sample(key))(jax.random.split(jax.random.key(0), 4000))
    frequencies = np.stack([(np.asarray(draws) == a).mean(axis=0) for a in range(probs.shape[-1])], axis=-1)
    case.close("out/collect_freq", frequencies, case.arrays["out/collect_freq"][allowed])
    if case.doc["constructor"]["emit_log_probability"]:
        chosen = agent.collect_policy.action(step, seed=3)
        want = np.log(np.take_along_axis(np.asarray(collect.probs), chosen.action[:, None].astype(int), 1)[:, 0])
        # docs/differences.md, "epsilon-greedy log-probability": the marginal, not the branch's.
        np.testing.assert_allclose(chosen.info.log_probability, want, rtol=1e-5)
        greedy = agent.policy.action(step)
        np.testing.assert_array_equal(greedy.info.log_probability, 0.0)


@pytest.mark.parametrize("name", cases.names("dqn_rnn"))
def test_recurrent_network_and_policy(name):
    case = cases.load("dqn_rnn", name)
    agent = dqn_agent(case)
    network, layers = agent._q_network, case.doc["networks"]["q_network"]
    frames = cases.trajectory({key: value[0] for key, value in case.sub("in/experience").items()})
    masked = isinstance(frames.observation, dict)
    observation = splitter(frames.observation)[0] if masked else frames.observation
    cells = [cell["name"] for cell in layers["lstm"]]

    def state_of(prefix):
        zero = network.get_initial_state(len(frames.reward))
        flat = [case.arrays[f"{prefix}/{cell}/{part}"] for cell in cells for part in ("h", "c")]
        return jax.tree.unflatten(jax.tree.structure(zero), [jnp.asarray(x) for x in flat])

    def compare(prefix, state):
        for leaf, want in zip(jax.tree.leaves(state), jax.tree.leaves(state_of(prefix)), strict=True):
            case.close(prefix, leaf, want)

    q_values, final = network(observation, frames.step_type)
    case.close("out/sequence/q_values", q_values)
    compare("out/sequence/final_state", final)
    q_values, final = network(observation, frames.step_type, state_of("in/initial_state"))
    case.close("out/sequence_from_state/q_values", q_values)
    compare("out/sequence_from_state/final_state", final)
    state, policy = state_of("in/initial_state"), agent.policy
    assert isinstance(policy, GreedyPolicy)
    for t in range(frames.reward.shape[1]):
        frame = jax.tree.map(lambda x: x[:, t], frames)  # noqa: B023
        zero = np.zeros(len(frame.reward), np.float32)
        step = policy.action(
            TimeStep(frame.step_type, zero, zero + 1, frame.observation), jax.tree.map(np.asarray, state)
        )
        case.close("out/steps/greedy_action", step.action, case.arrays["out/steps/greedy_action"][:, t])
        state = step.state
