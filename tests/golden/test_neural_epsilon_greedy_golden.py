"""Reference numbers of the reward prediction agents: losses, gradients, weights, counts and policies."""

from __future__ import annotations

import contextlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdaw import math, networks
from jaxdaw.agents import GreedyRewardPredictionAgent, NeuralEpsilonGreedyAgent
from jaxdaw.errors import JaxdawWarning, MaskError
from jaxdaw.policies import PolicyInfo
from jaxdaw.trajectories import TimeStep, Trajectory

from . import cases
from .building import ACTIVATIONS, assign, gradients_of, optimizer, ordered, q_network, splitter

FAMILY = "neural_epsilon_greedy"


def _log_cosh(labels: Any, predictions: Any, reduction: Any) -> Any:
    """A user's loss, called as the reference calls it."""
    assert reduction == "none"
    return jnp.log(jnp.cosh(predictions - labels))


LOSSES = {
    None: None,
    "mean_squared_error": math.element_wise_squared_loss,
    "huber_loss": math.element_wise_huber_loss,
    "absolute_difference": math.element_wise_absolute_loss,
    "log_cosh": _log_cosh,
}


def reward_network(doc: dict[str, Any], observation: Any, action: Any) -> networks.Network:
    def units(layers: list[dict[str, Any]]) -> tuple[int, ...]:
        return tuple(layer["units"] for layer in layers)

    if doc["kind"] == "mlp":
        return q_network(doc, observation, action)
    if doc["kind"] == "mlp_with_heads":
        activations = {layer["activation"] for layer in doc["layers"]} or {"relu"}
        return networks.HeteroscedasticQNetwork(
            observation,
            action,
            fc_layer_params=units(doc["layers"]) or None,
            activation_fn=ACTIVATIONS[activations.pop()],
            min_variance=doc["min_variance"],
            max_variance=doc["max_variance"],
        )
    towers = units(doc["global_layers"]), units(doc["arm_layers"])
    if doc["kind"] == "common_tower":
        return networks.GlobalAndArmCommonTowerNetwork(observation, *towers, units(doc["common_layers"][:-1]))
    return networks.GlobalAndArmDotProductNetwork(observation, *towers)


def arrays_of(doc: dict[str, Any], weights: dict[str, np.ndarray]) -> list[np.ndarray]:
    """The stored arrays in the order of the network's variables."""
    if doc["kind"] == "mlp":
        return ordered(doc, weights)
    parts = ("layers", "heads") if doc["kind"] == "mlp_with_heads" else ("global_layers", "arm_layers", "common_layers")
    names = [layer["name"] for part in parts for layer in doc.get(part, ())]
    return [weights[f"{name}/{array}"] for name in names for array in ("kernel", "bias")]


def make(case: cases.Case) -> GreedyRewardPredictionAgent:
    empty = {"predicted_rewards_optimistic", "predicted_rewards_sampled"} & set(
        case.doc["constructor"]["emit_policy_info"]
    )
    with pytest.warns(JaxdawWarning, match="stays empty") if empty else contextlib.nullcontext():
        return _make(case)


def _make(case: cases.Case) -> GreedyRewardPredictionAgent:
    doc, constructor = case.doc, case.doc["constructor"]
    time_step_spec, action_spec = cases.spec(doc["specs"]["time_step"]), cases.spec(doc["specs"]["action"])
    masked = constructor["observation_and_action_constraint_splitter"] is not None
    seen = splitter(time_step_spec.observation)[0] if masked else time_step_spec.observation
    network = reward_network(doc["networks"]["reward_network"], seen, action_spec)
    assign(network, arrays_of(doc["networks"]["reward_network"], case.sub("w")))
    options: dict[str, Any] = {
        "observation_and_action_constraint_splitter": splitter if masked else None,
        "error_loss_fn": LOSSES[constructor["error_loss_fn"]],
        "gradient_clipping": constructor["gradient_clipping"],
        "emit_policy_info": tuple(constructor["emit_policy_info"]),
        "laplacian_matrix": case.arrays.get("in/laplacian_matrix"),
        "laplacian_smoothing_weight": constructor["laplacian_smoothing_weight"],
        "accepts_per_arm_features": constructor["accepts_per_arm_features"],
    }
    if doc["api"]["class"] == "NeuralEpsilonGreedyAgent":
        return NeuralEpsilonGreedyAgent(
            time_step_spec, action_spec, network, optimizer(constructor["optimizer"]), constructor["epsilon"], **options
        )
    if constructor["num_samples_list"]:
        counts = case.arrays["out/num_samples"].shape[1]
        options["num_samples_list"] = [7 * i for i in range(counts)]
    return GreedyRewardPredictionAgent(
        time_step_spec, action_spec, network, optimizer(constructor["optimizer"]), **options
    )


def experience(case: cases.Case, call: int) -> Trajectory:
    frames = cases.trajectory({key: value[call] for key, value in case.sub("in/experience").items()})
    info = PolicyInfo(**frames.policy_info) if isinstance(frames.policy_info, dict) else ()
    return frames._replace(policy_info=info)


def time_step(case: cases.Case, rows: slice = slice(None)) -> TimeStep:
    observation = cases.nest(
        {k.removeprefix("observation").lstrip("/"): v[rows] for k, v in case.sub("in/time_step").items()}
    )
    count = len(jax.tree.leaves(observation)[0])
    return TimeStep(np.zeros(count, np.int32), np.zeros(count, np.float32), np.ones(count, np.float32), observation)


@pytest.mark.parametrize("name", cases.names(FAMILY))
def test_five_train_calls(name: str):
    case = cases.load(FAMILY, name)
    agent = make(case)
    layers = case.doc["networks"]["reward_network"]
    batch_loss = jax.jit(lambda state, frames: agent.batch_loss(state.params, state, frames, state.step_key, True))
    for k in range(5):
        frames = experience(case, k)
        weight = np.float32(case.arrays["in/weights"][k]) if "in/weights" in case.arrays else None
        if k == 0:
            _gradients(case, agent, frames, weight, layers)
        batch = batch_loss(agent.get_state(), frames)
        info = agent.train(frames, weight)
        case.close("out/loss", info.loss, case.arrays["out/loss"][k])
        weights = np.broadcast_to(1.0 if weight is None else weight, len(frames.action))[:, None]
        terms = weights * batch.per_example + batch.unweighted
        case.close("out/per_example_reward_loss", np.ravel(terms), case.arrays["out/per_example_reward_loss"][k])
        np.testing.assert_allclose(info.extra.loss, batch.per_example + batch.unweighted, rtol=1e-5, atol=1e-6)
        assert int(agent.train_step_counter) == case.arrays["out/train_step_counter"][k]
        if "out/num_samples" in case.arrays:
            np.testing.assert_array_equal(agent.num_samples, case.arrays["out/num_samples"][k])
        after = case.sub(f"out/w_after_{k + 1}")
        if after:
            for variable, want in zip(agent.trainable_variables, arrays_of(layers, after), strict=True):
                case.close(f"out/w_after_{k + 1}", variable.get_value(), want)


def _gradients(case: cases.Case, agent: Any, frames: Any, weight: Any, layers: Any) -> None:
    gradients, clipped = gradients_of(agent, frames, weight, case.doc["constructor"]["gradient_clipping"])
    names = agent.reward_network.variable_names
    for label, tree in (("grad", gradients), ("grad_clipped", clipped)):
        stored = case.sub(f"out/{label}")
        if stored:
            found = jax.tree_util.tree_flatten_with_path(tree["reward_network"])[0]
            flat = {"/".join(str(k.key) for k in path): leaf for path, leaf in found}
            for path, want in zip(names, arrays_of(layers, stored), strict=True):
                case.close(f"out/{label}", flat[path], want)


@pytest.mark.parametrize("name", cases.names(FAMILY))
def test_policies(name: str):
    case = cases.load(FAMILY, name)
    agent = make(case)
    first = 0
    if name == "031_all_masked":
        # docs/differences.md, "all-masked row": the reference explores uniformly, and is greedy for action 0.
        for act in (agent.policy.action, agent.policy.distribution, agent.policy.greedy().action):
            with pytest.raises(MaskError, match="1 of 6 rows allow no action"):
                act(time_step(case))
        first = 1
    step = time_step(case, slice(first, None))
    greedy = agent.policy.greedy().action(step)
    case.close("out/policy/greedy_action", greedy.action, case.arrays["out/policy/greedy_action"][first:])
    seen = step.observation["obs"] if "mask" in getattr(step.observation, "keys", list)() else step.observation
    output, _ = agent.reward_network(seen)
    rewards = case.arrays["out/policy/predicted_rewards"][first:]
    case.close("out/policy/predicted_rewards", networks.mean_of(output), rewards)
    if "out/policy/log_variance" in case.arrays:
        case.close("out/policy/log_variance", output.log_variance, case.arrays["out/policy/log_variance"][first:])
    present = {field for field, here in case.doc["policy_info_fields_present"].items() if here}
    emitted = PolicyInfo() if greedy.info == () else greedy.info
    assert {field for field, value in emitted._asdict().items() if not isinstance(value, tuple)} == present
    for field in present:
        case.close(f"out/policy/greedy_info/{field}", getattr(greedy.info, field))
    if "out/policy/probs" in case.arrays:
        _exploration(case, agent, step, first)


def _exploration(case: cases.Case, agent: Any, step: TimeStep, first: int) -> None:
    probs = case.arrays["out/policy/probs"][first:]
    case.close("out/policy/probs", agent.policy.distribution(step).action.probs, probs)
    taken = agent.policy.action(step, seed=5)
    rows = np.arange(len(taken.action))
    info = PolicyInfo() if taken.info == () else taken.info
    if "out/policy/mixture_log_prob" in case.arrays:
        # docs/differences.md, "epsilon-greedy log-probability": that of the action, not of the branch.
        case.close(
            "out/policy/mixture_log_prob",
            info.log_probability,
            case.arrays["out/policy/mixture_log_prob"][first:][rows, taken.action],
        )
    if not isinstance(info.predicted_rewards_mean, tuple):
        # docs/differences.md, "information about an explored action of a bandit": the reward model's in every row.
        case.close("out/policy/predicted_rewards", info.predicted_rewards_mean)
    if not isinstance(info.bandit_policy_type, tuple):
        is_greedy = taken.action == case.arrays["out/policy/greedy_action"][first:]
        np.testing.assert_array_equal(info.bandit_policy_type[:, 0], np.where(is_greedy, 1, 2))
    if not isinstance(info.chosen_arm_features, tuple):
        want = step.observation["per_arm"][rows, taken.action]
        np.testing.assert_array_equal(info.chosen_arm_features, want)


MASKED = [name for name in cases.names(FAMILY) if "mask" in name and name != "031_all_masked"]


@pytest.mark.parametrize("name", MASKED[:3])
def test_boolean_masks_give_the_same_numbers(name: str):
    case = cases.load(FAMILY, name)
    case.doc["specs"]["time_step"]["TimeStep"]["observation"]["dict"]["mask"]["dtype"] = "bool"
    agent, step = make(case), time_step(case)
    step.observation["mask"] = step.observation["mask"] != 0
    case.close("out/policy/probs", agent.policy.distribution(step).action.probs)
    case.close("out/policy/greedy_action", agent.policy.greedy().action(step).action)


def test_loss_of_decisions_is_that_of_experience():
    case = cases.load(FAMILY, "007_q_mean_squared_error_lap_mask")
    agent, frames = make(case), experience(case, 0)
    whole = jax.tree.map(lambda x: x[:, 0], frames.observation)
    for observation in (whole, whole["obs"]):
        info = agent.loss(observation, frames.action[:, 0], frames.reward[:, 0], case.arrays["in/weights"][0])
        case.close("out/loss", info.loss, case.arrays["out/loss"][0])
