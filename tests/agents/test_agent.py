"""An agent of several networks and optimizers on the base: soft actor-critic, whose temperature is no network."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from jaxdaw import networks, specs, trajectories
from jaxdaw.agents import Agent, AgentState, BatchLoss
from jaxdaw.distributions import Joint
from jaxdaw.errors import ConfigError, NonFiniteError
from jaxdaw.math import soft_update
from jaxdaw.networks import Network, Weights
from jaxdaw.policies import ActorPolicy, GreedyPolicy
from jaxdaw.testing import random_experience
from jaxdaw.trajectories import LossInfo, StepType, to_n_step_transition

OBSERVATION = specs.BoundedTensorSpec((2,), np.float32, -1.0, 1.0, "observation")
ACTION = specs.BoundedTensorSpec((1,), np.float32, -1.0, 1.0, "action")
STEP = trajectories.time_step_spec(OBSERVATION)


class TwinCritic(Network):
    """Two values of an observation and an action, `[..., 2]`."""

    def __init__(self, *, rngs: Any = 0):
        super().__init__({"observation": OBSERVATION, "action": ACTION})
        rngs = networks.as_rngs(rngs)
        self.first = nnx.List([nnx.Linear(3, 32, rngs=rngs) for _ in range(2)])
        self.last = nnx.List([nnx.Linear(32, 1, rngs=rngs) for _ in range(2)])

    def call(self, observation: Any) -> Any:
        x = jnp.concatenate([observation["observation"], observation["action"]], axis=-1)
        values = [last(jax.nn.relu(first(x))) for first, last in zip(self.first, self.last, strict=True)]
        return jnp.concatenate(values, axis=-1), ()


class SacMemory(NamedTuple):
    """The weights of the target critic."""

    target_critic: Weights


class SacAgent(Agent):
    """Soft actor-critic. Source: Haarnoja et al. 2018, "Soft actor-critic algorithms and applications"."""

    def __init__(self, rate: float = 1e-2, gamma: float = 0.9, tau: float = 0.05, **options: Any):
        self._actor = networks.ActorDistributionNetwork(
            OBSERVATION, ACTION, fc_layer_params=(32,), continuous_projection_net=networks.TanhNormalProjection
        )
        self._critic = TwinCritic()
        self._gamma, self._tau, self._target_entropy = gamma, tau, -1.0
        actor = ActorPolicy(STEP, ACTION, self._actor, clip=False)
        super().__init__(
            STEP,
            ACTION,
            policy=GreedyPolicy(actor),
            collect_policy=actor,
            networks={
                "actor_network": self._actor,
                "critic_network": self._critic,
                "log_alpha": networks.Parameter(0.0),
            },
            optimizers={
                "actor_optimizer": (optax.adam(rate), ("actor_network",)),
                "critic_optimizer": (optax.adam(rate), ("critic_network",)),
                "alpha_optimizer": (optax.adam(rate), ("log_alpha",)),
            },
            train_sequence_length=2,
            **options,
        )

    def learn(self, state: AgentState, experience: Any, weights: Any, key: jax.Array) -> tuple[AgentState, LossInfo]:
        step = experience if isinstance(experience, trajectories.Transition) else to_n_step_transition(experience, 0.9)
        now, following = step.time_step, step.next_time_step
        is_real = now.step_type != StepType.LAST
        key_following, key_now = jax.random.split(key)
        alpha = jnp.exp(state.params["log_alpha"]["value"])
        action, log_pi = self._drawn(self.weights_of(state, "actor_network"), following, key_following)
        bootstrap = jnp.min(self._values(state.memory.target_critic, following, action), axis=-1) - alpha * log_pi
        target = following.reward + self._gamma * following.discount * bootstrap

        def critic_loss(params: Any) -> BatchLoss:
            values = self._values(self.weights_of(state, "critic_network", params), now, step.action_step.action)
            errors = jnp.sum(jnp.square(values - target[:, None]), axis=-1)
            return BatchLoss(jnp.where(is_real, errors, 0.0), (), {}, {"loss/critic_loss": errors})

        state, critic = self.minimise(state, "critic_optimizer", critic_loss, weights)

        def actor_loss(params: Any) -> BatchLoss:
            action, log_pi = self._drawn(self.weights_of(state, "actor_network", params), now, key_now)
            values = jnp.min(self._values(self.weights_of(state, "critic_network"), now, action), axis=-1)
            return BatchLoss(jnp.where(is_real, alpha * log_pi - values, 0.0), log_pi, {}, {"loss/log_pi": log_pi})

        state, actor = self.minimise(state, "actor_optimizer", actor_loss, weights)
        surplus = jax.lax.stop_gradient(actor.extra + self._target_entropy)

        def alpha_loss(params: Any) -> BatchLoss:
            losses = -params["log_alpha"]["value"] * surplus
            return BatchLoss(jnp.where(is_real, losses, 0.0), (), {}, {})

        state, temperature = self.minimise(state, "alpha_optimizer", alpha_loss, weights)
        online, old = self.weights_of(state, "critic_network"), state.memory.target_critic
        moved = Weights(soft_update(old.params, online.params, self._tau), online.rest)
        info = LossInfo(critic.loss + actor.loss + temperature.loss, ())
        return state._replace(memory=SacMemory(moved)), info

    def loss_info(self, state: AgentState, experience: Any, weights: Any = None, training: bool = False) -> LossInfo:
        return self.learn(state, experience, weights, state.step_key)[1]

    def init_memory(self, weights: dict[str, Weights], fresh: bool) -> SacMemory:
        return SacMemory(jax.tree.map(jnp.copy, weights["critic_network"]))

    def policy_weights(self, state: AgentState) -> Weights:
        return self.weights_of(state, "actor_network")

    def _drawn(self, weights: Weights, step: Any, key: jax.Array) -> tuple[jax.Array, jax.Array]:
        distribution = Joint(self._actor.apply(weights, step.observation, step.step_type)[0])
        action = distribution.sample(key)
        return action, distribution.log_prob(action)

    def _values(self, weights: Weights, step: Any, action: jax.Array) -> jax.Array:
        return self._critic.apply(weights, {"observation": step.observation, "action": action})[0]


def everything(agent: Agent) -> Any:
    return jax.tree.map(np.array, agent.get_state())


def test_every_optimizer_moves_its_own_networks():
    agent = SacAgent()
    before = everything(agent)
    info = agent.train(random_experience(agent))
    after = everything(agent)
    assert np.isfinite(info.loss)
    assert set(after.opt_state) == {"actor_optimizer", "critic_optimizer", "alpha_optimizer"}
    for name in ("actor_network", "critic_network", "log_alpha"):
        changed = jax.tree.map(lambda a, b: np.any(a != b), before.params[name], after.params[name])
        assert any(jax.tree.leaves(changed)), name
    moved = jax.tree.leaves(jax.tree.map(lambda a, b: np.abs(a - b).max(), before.memory, after.memory))
    assert 0 < max(moved) < 0.002  # a twentieth of a step of 0.01
    assert len(agent.trainable_variables) == len(jax.tree.leaves(after.params))


@pytest.mark.parametrize("part", ["critic", "actor", "alpha"])
def test_a_step_of_which_one_part_is_not_finite_is_refused_whole(part, monkeypatch):
    agent = SacAgent()
    minimise = agent.minimise

    def spoiled(state, optimizer, loss_fn, weights=None):
        def loss(params):
            batch = loss_fn(params)
            return batch._replace(per_example=batch.per_example * (jnp.nan if optimizer.startswith(part) else 1.0))

        return minimise(state, optimizer, loss, weights)

    monkeypatch.setattr(agent, "minimise", spoiled)
    before = everything(agent)
    assert np.isnan(agent.train(random_experience(agent)).loss)
    with pytest.raises(NonFiniteError):
        agent.get_state()
    jax.tree.map(np.testing.assert_array_equal, before, everything(agent))


def test_members_of_a_population_differ_wherever_they_draw():
    agent = SacAgent()
    states = jax.vmap(agent.init)(jax.random.split(jax.random.key(0), 3))
    alike = states._replace(params=jax.tree.map(lambda x: jnp.broadcast_to(x[0], x.shape), states.params))
    alike = alike._replace(memory=jax.tree.map(lambda x: jnp.broadcast_to(x[0], x.shape), alike.memory))
    _, info = jax.jit(jax.vmap(agent.update, in_axes=(0, None)))(alike, random_experience(agent))
    assert len(np.unique(info.loss)) == 3


def test_summaries_of_each_optimizer_have_its_name():
    agent = SacAgent(debug_summaries=True, summarize_grads_and_vars=True, summary_interval=1)
    agent.train(random_experience(agent))
    tags = set(agent.summaries)
    assert {"critic_optimizer/loss/critic_loss/mean", "actor_optimizer/loss/log_pi/mean"} <= tags
    assert "alpha_optimizer/summarize_grads/log_alpha/value_gradient_norm" in tags
    assert np.isfinite(agent.summaries["actor_optimizer/Losses/total_loss"])


def test_it_learns_where_to_steer():
    """One decision an episode: the reward is the negative squared distance of the action from half the first number."""
    agent, random = SacAgent(), np.random.default_rng(0)
    agent.initialize(seed=0)
    frames = random_experience(agent, batch_size=64)
    for _ in range(400):
        observation = random.uniform(-1, 1, (64, 2, 2)).astype(np.float32)
        action = random.uniform(-1, 1, (64, 2, 1)).astype(np.float32)
        reward = -np.square(action[..., 0] - 0.5 * observation[..., 0])
        agent.train(
            frames._replace(
                observation=observation, action=action, reward=reward, discount=np.zeros((64, 2), np.float32)
            )
        )
    seen = random.uniform(-1, 1, (200, 2)).astype(np.float32)
    steered = agent.policy.action(seen).action[:, 0]
    assert np.sqrt(np.mean(np.square(steered - 0.5 * seen[:, 0]))) < 0.1  # of actions drawn at random: 0.65


def test_an_optimizer_that_is_none_is_refused_by_its_name():
    with pytest.raises(ConfigError, match="critic is not an optax transformation"):
        Agent(
            STEP,
            ACTION,
            SacAgent().policy,
            SacAgent().collect_policy,
            networks={"critic_network": TwinCritic()},
            optimizers={"critic": (None, ("critic_network",))},  # pyright: ignore[reportArgumentType]
        )


class Weighing(SacAgent):
    """Takes an argument of its own."""

    def learn(self, state, experience, weights, key, scale=1.0):
        state, info = super().learn(state, experience, weights, key)
        return state, info._replace(loss=scale * info.loss)


def test_train_hands_on_the_arguments_that_learn_names_and_refuses_others():
    agent, other = Weighing(), Weighing()
    experience = random_experience(agent)
    np.testing.assert_allclose(
        agent.train(experience, None, scale=np.float32(3.0)).loss, 3.0 * other.train(experience).loss, rtol=1e-5
    )
    with pytest.raises(TypeError, match="no argument 'scales': its learn takes scale"):
        agent.train(experience, scales=2.0)
    with pytest.raises(TypeError, match="experience and weights alone"):
        SacAgent().train(experience, scale=2.0)
