"""Bad batches and observations, one after the other, into every kind of agent and policy: refused in words."""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxdaw import networks, specs, trajectories
from jaxdaw.agents import (
    Agent,
    BehavioralCloningAgent,
    DqnAgent,
    LinearUCBAgent,
    NeuralEpsilonGreedyAgent,
    SacAgent,
    Td3Agent,
)
from jaxdaw.errors import ConfigError, JaxdawError, MaskError, NonFiniteError, SpecError, SpecTypeError
from jaxdaw.policies import Policy
from jaxdaw.specs import BoundedTensorSpec
from jaxdaw.testing import random_experience

OBSERVATION = {"place": BoundedTensorSpec((3,), np.float32, -2.0, 2.0)}
TURN = BoundedTensorSpec((), np.int32, 0, 3, "turn")
STEER = BoundedTensorSpec((2,), np.float32, -1, 1, "steer")
STEP = trajectories.time_step_spec(OBSERVATION)


def dqn() -> Agent:
    network = networks.QNetwork(OBSERVATION, TURN, fc_layer_params=(4,))
    return DqnAgent(STEP, TURN, network, optax.adam(0.1), target_update_period=2, gamma=0.9)


def cloning_turns() -> Agent:
    network = networks.QNetwork(OBSERVATION, TURN, fc_layer_params=(4,))
    return BehavioralCloningAgent(STEP, TURN, network, optax.adam(0.1))


def cloning_steering() -> Agent:
    network = networks.ActorNetwork(OBSERVATION, STEER, fc_layer_params=(4,))
    return BehavioralCloningAgent(STEP, STEER, network, optax.adam(0.1))


def td3() -> Agent:
    actor = networks.ActorNetwork(OBSERVATION, STEER, fc_layer_params=(4,))
    critic = networks.CriticNetwork((OBSERVATION, STEER), joint_fc_layer_params=(4,))
    return Td3Agent(STEP, STEER, actor, critic, optax.adam(0.1), optax.adam(0.1), gamma=0.9, target_update_tau=0.1)


def sac() -> Agent:
    actor = networks.ActorDistributionNetwork(OBSERVATION, STEER, fc_layer_params=(4,))
    critic = networks.CriticNetwork((OBSERVATION, STEER), joint_fc_layer_params=(4,))
    optimizers = (optax.adam(0.1) for _ in range(3))
    return SacAgent(STEP, STEER, critic, actor, *optimizers, gamma=0.9, target_update_tau=0.1)


def bandit(**options: Any) -> NeuralEpsilonGreedyAgent:
    network = networks.QNetwork(OBSERVATION, TURN, fc_layer_params=(4,))
    return NeuralEpsilonGreedyAgent(STEP, TURN, network, optax.adam(0.1), 0.2, **options)


def linear_bandit(**options: Any) -> LinearUCBAgent:
    return LinearUCBAgent(STEP, TURN, **options)


AGENTS = {
    "dqn": dqn,
    "cloning of integers": cloning_turns,
    "cloning of floats": cloning_steering,
    "td3": td3,
    "sac": sac,
    "bandit": bandit,
    "linear bandit": linear_bandit,
}


@functools.cache
def an_agent(kind: str) -> Agent:
    """Returns one for all tests that change nothing."""
    return AGENTS[kind]()


def observed(change: Any) -> Any:
    return lambda batch: batch._replace(observation={"place": change(batch.observation["place"])})


BATCHES: dict[str, tuple[Any, type[JaxdawError], str]] = {
    "nothing": (lambda batch: None, SpecTypeError, "got  NoneType"),
    "a plain tuple": (tuple, SpecTypeError, "got  tuple"),
    "a dictionary": (lambda batch: batch._asdict(), SpecTypeError, "got  dict"),
    "no batch axis": (lambda batch: jax.tree.map(lambda x: x[0], batch), SpecError, "batch dimension is missing"),
    "no rows": (lambda batch: jax.tree.map(lambda x: x[:0], batch), SpecError, "the experience is empty"),
    "float64 observations": (observed(lambda x: x.astype(np.float64)), SpecTypeError, 'value.astype("float32")'),
    "integer observations": (observed(lambda x: x.astype(np.int64)), SpecTypeError, "got  int64"),
    "images of uint8": (observed(lambda x: x.astype(np.uint8)), SpecTypeError, "got  uint8"),
    "bool observations": (observed(lambda x: x > 0), SpecTypeError, "got  bool"),
    "observations of objects": (observed(lambda x: x.astype(object)), SpecTypeError, "object"),
    "observations of text": (observed(lambda x: x.astype(str)), SpecTypeError, "got  <U"),
    "a trailing axis of observations": (observed(lambda x: x[..., None]), SpecError, "at .observation['place']"),
    "other keys": (lambda b: b._replace(observation={"plaze": b.observation["place"]}), SpecError, "'place'"),
    "a bare observation": (lambda b: b._replace(observation=b.observation["place"]), SpecError, "'place'"),
    "actions of another kind": (
        lambda b: b._replace(action=b.action.astype(np.float64 if b.action.dtype.kind == "f" else np.float32)),
        SpecTypeError,
        "at .action",
    ),
    "actions of [B, 1]": (lambda b: b._replace(action=b.action[..., None]), SpecError, "at .action"),
    "rewards of [B, 1]": (lambda b: b._replace(reward=b.reward[..., None]), SpecError, "at .reward"),
    "rows that disagree": (lambda b: b._replace(reward=b.reward[:-1]), SpecError, "at .reward"),
    "no rewards": (lambda b: b._replace(reward=None), SpecError, "reward"),
    "rewards of None": (lambda b: b._replace(reward=np.full(b.reward.shape, None)), SpecTypeError, "at .reward"),
    "discounts of integers": (lambda b: b._replace(discount=b.discount.astype(int)), SpecTypeError, "at .discount"),
}


@pytest.mark.parametrize("kind", AGENTS)
@pytest.mark.parametrize("name", BATCHES)
def test_a_bad_batch_is_refused_and_nothing_changes(kind: str, name: str):
    agent, (change, error, message) = an_agent(kind), BATCHES[name]
    before = jax.tree.map(np.array, agent.get_state().params)
    batch = jax.tree.map(np.array, random_experience(agent))
    with pytest.raises(error) as caught:
        agent.train(change(batch))
    assert message in str(caught.value)
    assert len(str(caught.value).splitlines()) <= 12
    jax.tree.map(np.testing.assert_array_equal, before, agent.get_state().params)


@pytest.mark.parametrize("kind", AGENTS)
def test_the_layout_of_a_batch_changes_nothing(kind: str):
    agent = an_agent(kind)
    batch = jax.tree.map(np.array, random_experience(agent))
    expected = agent.loss(batch).loss
    layouts = {
        "big-endian": lambda leaf: leaf.astype(leaf.dtype.newbyteorder(">")),
        "of Fortran": np.asfortranarray,
        "strided": lambda leaf: np.repeat(leaf, 2, axis=0)[::2],
        "read-only": lambda leaf: np.broadcast_to(leaf, leaf.shape),
    }
    for laid_out in layouts.values():
        np.testing.assert_array_equal(agent.loss(jax.tree.map(laid_out, batch)).loss, expected)


class Tensor:
    """An array of another library, as far as NumPy knows it."""

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        return np.zeros((2, 3), np.float32)


OBSERVATIONS: dict[str, tuple[Any, str]] = {
    "a missing key": ({}, "'place'"),
    "another key": ({"plaze": np.zeros((2, 3), np.float32)}, "'place'"),
    "what reset() of Gymnasium returns": (
        ({"place": np.zeros((2, 3), np.float32)}, {}),
        "observation, _ = env.reset()",
    ),
    "a trailing axis": ({"place": np.zeros((2, 3, 1), np.float32)}, "squeeze(-1)"),
    "another width": ({"place": np.zeros((2, 4), np.float32)}, "float32 (2, 4)"),
    "text": ({"place": np.full((2, 3), "left")}, "<U"),
    "objects": ({"place": np.full((2, 3), None)}, "object"),
    "None": ({"place": None}, "place"),
}


@functools.cache
def policies() -> dict[str, Policy]:
    memory = networks.QRnnNetwork(
        OBSERVATION, TURN, input_fc_layer_params=(4,), lstm_size=(3,), output_fc_layer_params=(4,)
    )
    recurrent = DqnAgent(STEP, TURN, memory, optax.adam(0.1), target_update_period=2, gamma=0.9)
    return {
        "greedy": dqn().policy,
        "epsilon-greedy": dqn().collect_policy,
        "actor": cloning_steering().policy,
        "recurrent": recurrent.policy,
        "bandit": bandit().policy,
        "linear bandit": linear_bandit().policy,
    }


@pytest.mark.parametrize("name", OBSERVATIONS)
def test_a_bad_observation_is_refused_by_every_policy(name: str):
    observation, message = OBSERVATIONS[name]
    for policy in policies().values():
        with pytest.raises(SpecError) as caught:
            policy.action(observation)
        assert message in str(caught.value)
        assert len(str(caught.value).splitlines()) <= 12


def test_arrays_of_other_libraries_are_taken_and_lists_within_a_nest_are_not():
    for policy in policies().values():
        assert policy.action({"place": Tensor()}, seed=0).action.shape == (2, *policy.action_spec.shape)
        with pytest.raises(SpecError, match="a list is a nest of its elements, not an array"):
            policy.action({"place": [[0.0] * 3] * 2})


def test_observations_of_the_other_byte_order_are_the_same_observations():
    place = np.random.default_rng(0).normal(size=(64, 3)).astype(np.float32)
    for policy in policies().values():
        expected = policy.action(trajectories.restart({"place": place}, 64), seed=0).action
        for given in (trajectories.restart({"place": place.astype(">f4")}, 64), {"place": place.astype(">f4")}):
            np.testing.assert_array_equal(policy.action(given, seed=0).action, expected)


def test_a_state_of_other_rows_or_structure_is_refused():
    policy = policies()["recurrent"]
    step = trajectories.restart({"place": np.zeros((2, 3), np.float32)}, batch_size=2)
    for state in (policy.get_initial_state(3), (np.zeros((2, 3), np.float32),), {"state": 1}):
        with pytest.raises(SpecError):
            policy.action(step, state)
    assert specs.flatten(policy.action(step, policy.get_initial_state(2)).state)


def test_a_network_that_starts_as_nan_is_refused():
    network = networks.QNetwork(OBSERVATION, TURN, fc_layer_params=(4,))
    network.set_weights(jax.tree.map(lambda leaf: leaf * np.nan, network.get_weights()))
    with pytest.raises(ConfigError, match=r"q_network starts with weights that are not finite at "):
        DqnAgent(STEP, TURN, network, optax.adam(0.1), target_update_period=2, gamma=0.9)


BANDITS = {"bandit": bandit, "linear bandit": linear_bandit}


def decisions_of(agent: Agent) -> Any:
    return jax.tree.map(np.array, random_experience(agent))


@pytest.mark.parametrize("kind", BANDITS)
@pytest.mark.parametrize("array", [np.asarray, jnp.asarray], ids=["NumPy", "JAX"])
def test_an_arm_that_does_not_exist_is_refused_and_teaches_nothing(kind: str, array: Any):
    """Of NumPy it is seen before the step; of JAX by the guard, and whoever asks for the state is told."""
    agent = BANDITS[kind]()

    def train_and_look(batch: Any) -> None:
        assert np.isnan(agent.train(batch).loss)
        agent.get_state()

    before, good = jax.tree.map(np.array, agent.get_state().params), decisions_of(agent)
    for wrong in (4, -1):
        action = good.action.copy()
        action[1] = wrong
        bad = jax.tree.map(array, good._replace(action=action))
        with pytest.raises(SpecError, match=rf"action.*\n.*0.*3.*got .*{wrong}"):
            agent.loss(bad)
        with pytest.raises(SpecError, match="action"):
            train_and_look(bad)
    jax.tree.map(np.testing.assert_array_equal, before, agent.get_state().params)


@pytest.mark.parametrize("kind", BANDITS)
def test_rewards_whose_squares_overflow_teach_nothing(kind: str):
    agent = BANDITS[kind]()
    agent.initialize()
    batch = decisions_of(agent)
    batch.reward[0] = 1e30
    before = jax.tree.map(np.array, agent.get_state().params)
    agent.train(batch)
    with pytest.raises(NonFiniteError, match="its loss or gradient is not finite"):
        agent.get_state()
    jax.tree.map(np.testing.assert_array_equal, before, agent.get_state().params)


@pytest.mark.parametrize("kind", BANDITS)
@pytest.mark.parametrize("weight", [-1.0, np.nan, np.inf])
def test_weights_of_decisions_that_are_no_weights_are_refused(kind: str, weight: float):
    agent = an_agent(kind)
    batch = decisions_of(agent)
    weights = np.ones(len(batch.action), np.float32)
    weights[0] = weight
    for call in (agent.train, agent.loss):
        with pytest.raises(SpecError, match="weights must be finite and not negative"):
            call(batch, weights)


def test_a_bandit_with_a_network_that_is_nan_or_empty_is_refused():
    network = networks.QNetwork(OBSERVATION, TURN, fc_layer_params=(4,))
    network.set_weights(jax.tree.map(lambda leaf: leaf * np.nan, network.get_weights()))
    with pytest.raises(ConfigError, match="reward_network starts with weights that are not finite at "):
        NeuralEpsilonGreedyAgent(STEP, TURN, network, optax.adam(0.1), 0.2)
    empty = networks.Sequential([lambda observation: observation["place"]], OBSERVATION)
    with pytest.raises(ConfigError, match="reward_network has nothing to train"):
        NeuralEpsilonGreedyAgent(STEP, TURN, empty, optax.adam(0.1), 0.2)


@pytest.mark.parametrize("kind", BANDITS)
def test_a_context_of_nan_gets_no_action_from_a_bandit(kind: str):
    policy = policies()[kind]
    place = np.zeros((3, 3), np.float32)
    place[1] = np.nan
    with pytest.raises(NonFiniteError, match=r"has no action for 1 of 3 rows \(first row 1\)"):
        policy.action({"place": place})
    with pytest.raises(NonFiniteError, match="has no action for 1 of 3 rows"):
        policy.greedy().action({"place": place})


def test_masks_of_bandits_that_are_no_masks_are_refused():
    masked = {**OBSERVATION, "mask": BoundedTensorSpec((4,), np.int32, 0, 1)}
    network = networks.QNetwork(OBSERVATION, TURN, fc_layer_params=(4,))

    def split(both: Any) -> tuple[Any, Any]:
        return {"place": both["place"]}, both["mask"]

    step = trajectories.time_step_spec(masked)
    agent = NeuralEpsilonGreedyAgent(step, TURN, network, optax.adam(0.1), 1.0, split)
    place = np.zeros((2, 3), np.float32)
    for second, match in (
        ([0, 0, 0, 0], r"1 of 2 rows allow no action \(first row 1\)"),
        ([0, 2, 0, 0], "other numbers than 0 and 1"),
    ):
        with pytest.raises(MaskError, match=match):
            agent.policy.action({"place": place, "mask": np.array([[1, 1, 1, 1], second], np.int32)})
    with pytest.raises(SpecTypeError, match="mask"):
        agent.policy.action({"place": place, "mask": np.full((2, 4), 0.3, np.float32)})
    with pytest.raises(MaskError, match="mask and observation swapped"):
        NeuralEpsilonGreedyAgent(step, TURN, network, optax.adam(0.1), 1.0, lambda both: split(both)[::-1])
