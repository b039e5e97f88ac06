"""The ensemble agent: what each member learns, and that members disagree where they know little."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxdaw import networks
from jaxdaw.agents import EnsembleThompsonSamplingAgent, GreedyRewardPredictionAgent
from jaxdaw.errors import ConfigError
from jaxdaw.networks import EnsembleNetwork, QNetwork, Weights
from jaxdaw.trajectories import StepType

from .batches import ACTION, OBSERVATION, STEP, batch


def one() -> QNetwork:
    return QNetwork(OBSERVATION, ACTION, fc_layer_params=(6,))


def member(agent: EnsembleThompsonSamplingAgent, index: int) -> list[np.ndarray]:
    params = agent.reward_network.get_weights().params
    return [np.asarray(params[name][index]) for name in sorted(params)]


def test_without_bootstrap_a_member_takes_the_steps_it_would_take_alone():
    agent = EnsembleThompsonSamplingAgent(STEP, ACTION, one(), optax.sgd(0.1), num_members=3, bootstrap="none")
    network = one()
    alone = GreedyRewardPredictionAgent(STEP, ACTION, network, optax.sgd(0.1))
    weights, leaves = network.get_weights(), iter(member(agent, 1))
    structure = networks.QNetwork(OBSERVATION, ACTION, fc_layer_params=(6,)).get_weights().params
    network.set_weights(Weights(jax.tree.map(lambda _: np.array(next(leaves)), structure), weights.rest))
    for seed in range(3):
        experience = batch(rows=5, frames=1, seed=seed)
        agent.train(experience)
        alone.train(experience)
    for ours, theirs in zip(member(agent, 1), jax.tree.leaves(network.get_weights().params), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("bootstrap", ["poisson", "bernoulli"])
def test_counts_have_mean_one_variance_one_and_differ_by_member_and_step(bootstrap: str):
    agent = EnsembleThompsonSamplingAgent(STEP, ACTION, one(), optax.sgd(0.1), num_members=2, bootstrap=bootstrap)
    state = agent.get_state()
    counts = np.asarray(agent._counts(state.step_key, (2, 40_000)))
    np.testing.assert_allclose(counts.mean(-1), 1.0, atol=0.03)
    np.testing.assert_allclose(counts.var(-1), 1.0, atol=0.05)
    assert abs(np.corrcoef(counts)[0, 1]) < 0.02
    later = np.asarray(agent._counts(state._replace(train_step=state.train_step + 1).step_key, (2, 40_000)))
    assert abs(np.corrcoef(counts[0], later[0])[0, 1]) < 0.02


def test_loss_is_the_sum_over_members_of_counted_errors():
    agent = EnsembleThompsonSamplingAgent(STEP, ACTION, one(), optax.sgd(0.1), num_members=4)
    experience = batch(rows=5, frames=2)
    experience.step_type[0, 1] = StepType.LAST
    ensemble = agent.reward_network
    assert isinstance(ensemble, EnsembleNetwork)
    outputs, _ = ensemble.apply_members(ensemble.get_weights(), experience.observation.reshape(10, 3))
    predicted = np.asarray(outputs)[:, np.arange(10), experience.action.ravel()]
    counts = np.asarray(agent._counts(agent.get_state().step_key, (4, 10)))
    errors = counts * (experience.reward.ravel() - predicted) ** 2
    errors[:, 1] = 0.0  # the boundary frame
    info = agent.loss(experience)
    np.testing.assert_allclose(info.loss, errors.sum(0).mean(), rtol=1e-5)
    np.testing.assert_allclose(info.extra.loss, errors.sum(0).reshape(5, 2), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(info.extra.predicted_reward, predicted.mean(0).reshape(5, 2), rtol=1e-4, atol=1e-5)


def test_members_agree_where_they_learned_and_the_prior_keeps_them_apart_elsewhere():
    agent = EnsembleThompsonSamplingAgent(
        STEP, ACTION, one(), optax.adam(1e-2), num_members=6, prior_scale=2.0, bootstrap="bernoulli"
    )
    experience = batch(rows=128, frames=1)
    experience.action[:] = 1
    experience.reward[:] = 0.5
    many = agent.train_many(jax.tree.map(lambda leaf: np.repeat(leaf[None], 600, axis=0), experience))
    assert float(many.loss[-1]) < 0.1 * float(many.loss[0])
    ensemble = agent.reward_network
    outputs, _ = ensemble.apply_members(ensemble.get_weights(), experience.observation[:, 0])
    spread = np.asarray(outputs).std(axis=0).mean(axis=0)
    assert spread[1] < 0.5 * min(spread[0], spread[2])


def test_constructor_refuses():
    for options, match in (
        ({"bootstrap": "jackknife"}, "unknown bootstrap"),
        ({"num_members": 0}, "num_members"),
        ({"prior_scale": -1.0}, "prior_scale"),
    ):
        with pytest.raises(ConfigError, match=match):
            EnsembleThompsonSamplingAgent(STEP, ACTION, one(), optax.sgd(0.1), **options)
    with pytest.raises(ConfigError):
        EnsembleThompsonSamplingAgent(STEP, ACTION, "network", optax.sgd(0.1))  # type: ignore[arg-type]


def test_each_seed_of_a_population_draws_counts_of_its_own():
    agent = EnsembleThompsonSamplingAgent(STEP, ACTION, one(), optax.sgd(0.1), num_members=2)
    states = jax.vmap(agent.init)(jax.random.split(jax.random.key(0), 3))
    alike = states._replace(params=jax.tree.map(lambda x: jnp.broadcast_to(x[0], x.shape), states.params))
    _, info = jax.jit(jax.vmap(agent.update, in_axes=(0, None)))(alike, batch(rows=5, frames=1))
    assert len(np.unique(info.loss)) == 3  # of the same weights on the same batch
