"""What the base does for an agent of several networks and optimizers, of which one trains no network: `SacAgent`."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxdaw import networks, specs, trajectories
from jaxdaw.agents import Agent, SacAgent
from jaxdaw.errors import ConfigError, NonFiniteError
from jaxdaw.testing import random_experience

OBSERVATION = specs.BoundedTensorSpec((2,), np.float32, -1.0, 1.0, "observation")
ACTION = specs.BoundedTensorSpec((1,), np.float32, -1.0, 1.0, "action")
STEP = trajectories.time_step_spec(OBSERVATION)


def sac(kind: type[SacAgent] = SacAgent, rate: float = 1e-2, **options: Any) -> SacAgent:
    actor = networks.ActorDistributionNetwork(
        OBSERVATION, ACTION, fc_layer_params=(32,), continuous_projection_net=networks.TanhNormalProjection
    )
    critic = networks.CriticNetwork((OBSERVATION, ACTION), joint_fc_layer_params=(32,))
    optimizers = [optax.adam(rate) for _ in range(3)]
    return kind(STEP, ACTION, critic, actor, *optimizers, gamma=0.9, target_update_tau=0.05, **options)


def everything(agent: Agent) -> Any:
    return jax.tree.map(np.array, agent.get_state())


def test_every_optimizer_moves_its_own_networks():
    agent = sac()
    before = everything(agent)
    info = agent.train(random_experience(agent))
    after = everything(agent)
    assert np.isfinite(info.loss)
    assert set(after.opt_state) == {"actor_optimizer", "critic_optimizer", "alpha_optimizer"}
    for name in ("actor_network", "critic_network", "critic_network_2", "log_alpha"):
        changed = jax.tree.map(lambda a, b: np.any(a != b), before.params[name], after.params[name])
        assert any(jax.tree.leaves(changed)), name
    moved = jax.tree.leaves(jax.tree.map(lambda a, b: np.abs(a - b).max(), before.memory, after.memory))
    assert 0 < max(moved) < 0.002  # a twentieth of a step of 0.01
    assert len(agent.trainable_variables) == len(jax.tree.leaves(after.params))


@pytest.mark.parametrize("part", ["critic", "actor", "alpha"])
def test_a_step_of_which_one_part_is_not_finite_is_refused_whole(part, monkeypatch):
    agent = sac()
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
    agent = sac()
    states = jax.vmap(agent.init)(jax.random.split(jax.random.key(0), 3))
    alike = states._replace(params=jax.tree.map(lambda x: jnp.broadcast_to(x[0], x.shape), states.params))
    alike = alike._replace(memory=jax.tree.map(lambda x: jnp.broadcast_to(x[0], x.shape), alike.memory))
    _, info = jax.jit(jax.vmap(agent.update, in_axes=(0, None)))(alike, random_experience(agent))
    assert len(np.unique(info.loss)) == 3


def test_summaries_of_each_optimizer_have_its_name():
    agent = sac(debug_summaries=True, summarize_grads_and_vars=True, summary_interval=1)
    agent.train(random_experience(agent))
    tags = set(agent.summaries)
    assert {"critic_optimizer/loss/td_error/mean", "actor_optimizer/loss/log_probability/mean"} <= tags
    assert "alpha_optimizer/summarize_grads/log_alpha/value_gradient_norm" in tags
    assert np.isfinite(agent.summaries["actor_optimizer/Losses/total_loss"])


def test_it_learns_where_to_steer():
    """One decision an episode: the reward is the negative squared distance of the action from half the first number."""
    agent, random = sac(), np.random.default_rng(0)
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
            sac().policy,
            sac().collect_policy,
            networks={"critic_network": networks.CriticNetwork((OBSERVATION, ACTION))},
            optimizers={"critic": (None, ("critic_network",))},  # pyright: ignore[reportArgumentType]
        )


class Weighing(SacAgent):
    """Takes an argument of its own."""

    def learn(self, state, experience, weights, key, scale=1.0):
        state, info = super().learn(state, experience, weights, key)
        return state, info._replace(loss=scale * info.loss)


def test_train_hands_on_the_arguments_that_learn_names_and_refuses_others():
    agent, other = sac(Weighing), sac(Weighing)
    experience = random_experience(agent)
    np.testing.assert_allclose(
        agent.train(experience, None, scale=np.float32(3.0)).loss, 3.0 * other.train(experience).loss, rtol=1e-5
    )
    with pytest.raises(TypeError, match="no argument 'scales': its learn takes scale"):
        agent.train(experience, scales=2.0)
    with pytest.raises(TypeError, match="experience and weights alone"):
        sac().train(experience, scale=2.0)
