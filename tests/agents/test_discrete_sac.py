"""Discrete SAC: expectations against NumPy, masks, and what is refused."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from jaxdaw import networks, specs, trajectories
from jaxdaw.agents import DiscreteSacAgent
from jaxdaw.errors import ConfigError, MaskError, SpecError
from jaxdaw.testing import random_experience
from jaxdaw.trajectories import StepType

OBSERVATION = specs.BoundedTensorSpec((2,), np.float32, -1.0, 1.0, "observation")
ACTION = specs.BoundedTensorSpec((), np.int32, 0, 2, "action")
MASKED = {"seen": OBSERVATION, "mask": specs.BoundedTensorSpec((3,), np.int32, 1, 1)}


class Table(networks.Network):
    """The same values for every observation."""

    def __init__(self, values: Any, *, rngs: Any = 0):
        super().__init__(OBSERVATION)
        self.values = nnx.Param(jnp.asarray(values, jnp.float32))

    def call(self, observation: Any) -> Any:
        return jnp.broadcast_to(self.values[...], (*observation.shape[:-1], 3)), ()


def split(observation: Any) -> Any:
    return observation["seen"], observation["mask"]


def make(action: Any = ACTION, masked: bool = False, **options: Any) -> DiscreteSacAgent:
    given = {
        "critic_network": networks.QNetwork(OBSERVATION, ACTION, fc_layer_params=(6,)),
        "actor_network": networks.ActorDistributionNetwork(OBSERVATION, ACTION, fc_layer_params=(6,)),
        "actor_optimizer": optax.adam(1e-2),
        "critic_optimizer": optax.adam(1e-2),
        "alpha_optimizer": optax.adam(1e-2),
        "gamma": 0.9,
        "target_update_tau": 0.1,
        **options,
    }
    step = trajectories.time_step_spec(MASKED if masked else OBSERVATION)
    if masked:
        given["observation_and_action_constraint_splitter"] = split
    return DiscreteSacAgent(step, action, **given)


def experience(agent: DiscreteSacAgent, mask: Any = None, **changes: Any) -> Any:
    """Two rows of frames; `mask` is that of each frame, `[3]` or `[T, 3]`."""
    frames = random_experience(agent, batch_size=2)
    if mask is not None:
        masks = np.broadcast_to(np.int32(mask), (2, 2, 3))
        frames = frames._replace(observation={**frames.observation, "mask": masks})
    return frames._replace(**{name: np.full_like(getattr(frames, name), value) for name, value in changes.items()})


@pytest.mark.parametrize("mask", [None, (1, 0, 1)])
def test_losses_are_expectations_over_the_allowed_actions(mask: Any):
    """The critics do not move, so that the actor's loss can be computed by hand."""
    first, second = np.array([1.0, -2.0, 3.0]), np.array([0.5, 4.0, 5.0])
    agent = make(
        masked=mask is not None,
        critic_network=Table(first),
        critic_network_2=Table(second),
        critic_optimizer=optax.sgd(0.0),
        actor_optimizer=optax.sgd(0.0),
        initial_log_alpha=-1.0,
        target_entropy_ratio=0.9,
    )
    frames = experience(agent, mask)._replace(action=np.int32([[0, 0], [2, 0]]))
    info = agent.loss(frames)

    seen = frames.observation if mask is None else frames.observation["seen"]
    logits = np.asarray(agent._actor_network(seen)[0].logits, np.float64)
    allowed = np.ones(3, bool) if mask is None else np.asarray(mask, bool)
    weights = np.where(allowed, np.exp(logits), 0.0)
    p = weights / weights.sum(-1, keepdims=True)
    entropy = -np.sum(np.where(allowed, p * np.log(np.maximum(p, 1e-30)), 0.0), axis=-1)  # [B, 2]
    value = np.sum(p * np.minimum(first, second), axis=-1) + np.exp(-1.0) * entropy
    target = frames.reward[:, 0] + 0.9 * frames.discount[:, 0] * value[:, 1]
    errors = [target - table[frames.action[:, 0]] for table in (first, second)]
    np.testing.assert_allclose(info.extra.critic_loss, 0.5 * np.mean(errors[0] ** 2 + errors[1] ** 2), rtol=1e-5)
    np.testing.assert_allclose(info.extra.actor_loss, -np.mean(value[:, 0]), rtol=1e-5)
    surplus = entropy[:, 0] - 0.9 * np.log(allowed.sum())
    np.testing.assert_allclose(info.extra.alpha_loss, -1.0 * np.mean(surplus), rtol=1e-4, atol=1e-6)


def test_it_learns_from_states_that_allow_nothing_only_where_the_episode_ended_there():
    agent = make(masked=True, on_nan="ignore")
    assert np.isfinite(agent.train(experience(agent, [(1, 1, 0), (0, 0, 0)], action=1, discount=0)).loss)
    boundary = experience(agent, [(0, 0, 0), (1, 1, 0)], step_type=StepType.LAST, next_step_type=StepType.FIRST)
    assert float(agent.train(boundary).loss) == 0.0
    assert agent.refused_steps == 0
    for leaf in agent.trainable_variables:
        assert np.isfinite(leaf.get_value()).all()


def test_collecting_and_acting_keep_to_the_mask():
    agent = make(masked=True)
    seen = {"seen": np.zeros((64, 2), np.float32), "mask": np.tile(np.int32([0, 1, 1]), (64, 1))}
    drawn = agent.collect_policy.action(seen, seed=0).action
    assert set(drawn.tolist()) == {1, 2}
    assert set(agent.policy.action(seen).action.tolist()) <= {1, 2}


def test_actions_that_pay_become_likely():
    """One decision an episode: the reward is 1 for the action 2, and the entropy steers the temperature down."""
    agent = make(target_entropy=0.05, initial_log_alpha=-1.0)
    agent.initialize(seed=0)
    frames = random_experience(agent, batch_size=64)
    random = np.random.default_rng(0)
    for _ in range(150):
        action = random.integers(0, 3, (64, 2)).astype(np.int32)
        agent.train(
            frames._replace(
                action=action, reward=(action == 2).astype(np.float32), discount=np.zeros((64, 2), np.float32)
            )
        )
    assert np.all(agent.policy.action(frames.observation[:, 0]).action == 2)


@pytest.mark.parametrize(
    ("wrong", "kind", "message"),
    [
        ({"action": specs.BoundedTensorSpec((2,), np.float32, 0, 1)}, SpecError, "one scalar integer action"),
        ({"action": {"a": ACTION, "b": ACTION}}, SpecError, "one scalar integer action"),
        ({"critic_network": networks.ValueNetwork(OBSERVATION, fc_layer_params=None)}, SpecError, "one value for each"),
        ({"actor_network": "mlp"}, ConfigError, "actor_network is not a Network"),
        ({"target_update_tau": -1.0}, ConfigError, "target_update_tau"),
        ({"target_entropy_ratio": 1.5}, ConfigError, "target_entropy_ratio"),
    ],
)
def test_constructor_refuses(wrong: dict[str, Any], kind: type[Exception], message: str):
    with pytest.raises(kind, match=message):
        make(**wrong)


def test_an_actor_without_probabilities_is_refused():
    class Choosing(networks.Network):
        def __init__(self, *, rngs: Any = 0):
            super().__init__(OBSERVATION)
            self.value = nnx.Param(jnp.zeros(()))

        def call(self, observation: Any) -> Any:
            return jnp.zeros(observation.shape[:-1], jnp.int32), ()

    with pytest.raises(SpecError, match="needs the probability of every action"):
        make(actor_network=Choosing())


def test_a_dead_end_that_goes_on_is_refused_on_the_device():
    agent = make(masked=True)
    info = agent.train(jax.tree.map(jnp.asarray, experience(agent, [(1, 1, 1), (0, 0, 0)])))
    assert np.isnan(info.loss)
    with pytest.raises(MaskError, match="allow no action"):
        agent.get_state()
