"""Exploration earns what it should on generated problems: ten seeds at once, and intervals instead of one number."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxdaw import networks, specs
from jaxdaw.agents import (
    EnsembleThompsonSamplingAgent,
    GreedyRewardPredictionAgent,
    LinearThompsonSamplingAgent,
    LinearUCBAgent,
    NeuralEpsilonGreedyAgent,
)
from jaxdaw.policies import BoltzmannPolicy, FalconPolicy, SquareCBPolicy
from jaxdaw.trajectories import StepType, TimeStep, Trajectory, time_step_spec

SIZE, ARMS, ROWS, STEPS, SEEDS, NOISE = 4, 5, 8, 400, 10, 0.5
OBSERVATION = specs.TensorSpec((SIZE,), np.float32)
ACTION = specs.BoundedTensorSpec((), np.int32, 0, ARMS - 1)
STEP = time_step_spec(OBSERVATION)
STUDENT = 2.262  # the 97.5 % quantile of t with 9 degrees of freedom


def network() -> networks.QNetwork:
    return networks.QNetwork(OBSERVATION, ACTION, fc_layer_params=(32,))


def exploring(explorer: Callable[[Any], Any] | None) -> GreedyRewardPredictionAgent:
    return GreedyRewardPredictionAgent(STEP, ACTION, network(), optax.adam(1e-2), explorer=explorer)


AGENTS: dict[str, Callable[[], Any]] = {
    "linear ucb": lambda: LinearUCBAgent(STEP, ACTION, alpha=NOISE),
    "linear thompson": lambda: LinearThompsonSamplingAgent(STEP, ACTION, alpha=NOISE),
    "neural epsilon-greedy": lambda: NeuralEpsilonGreedyAgent(STEP, ACTION, network(), optax.adam(1e-2), epsilon=0.1),
    "uniform": lambda: NeuralEpsilonGreedyAgent(STEP, ACTION, network(), optax.adam(1e-2), epsilon=1.0),
    "boltzmann": lambda: exploring(lambda policy: BoltzmannPolicy(policy, 0.1)),
    "squarecb": lambda: exploring(lambda policy: SquareCBPolicy(policy, lambda step: 2.0 * jnp.sqrt(ARMS * step))),
    "falcon": lambda: exploring(lambda policy: FalconPolicy(policy, 20.0)),
    "ensemble thompson": lambda: EnsembleThompsonSamplingAgent(
        STEP, ACTION, network(), optax.adam(1e-2), num_members=8, prior_scale=0.5
    ),
}


def linear(key: jax.Array, contexts: jax.Array) -> jax.Array:
    return contexts @ jax.random.normal(key, (SIZE, ARMS))


def waves(key: jax.Array, contexts: jax.Array) -> jax.Array:
    """Mean rewards that are even in the context: a linear model sees nothing of them."""
    return 2.0 * jnp.cos(1.5 * linear(key, contexts))


@functools.cache
def regrets(name: str, problem: Callable[[jax.Array, jax.Array], jax.Array]) -> np.ndarray:
    """Returns the mean regret of a decision, over all rounds, of each seed, `[SEEDS]`."""
    agent = AGENTS[name]()
    policy, fresh = agent.collect_policy, np.full(ROWS, StepType.FIRST, np.int32)

    def run(key: jax.Array) -> jax.Array:
        key_problem, key_init, key_rounds = jax.random.split(key, 3)

        def play(state: Any, round_and_key: Any) -> tuple[Any, jax.Array]:
            number, key = round_and_key
            key_context, key_act, key_noise = jax.random.split(key, 3)
            contexts = jax.random.normal(key_context, (ROWS, SIZE))
            means = problem(key_problem, contexts)
            time_step = TimeStep(fresh, jnp.zeros(ROWS), jnp.ones(ROWS), contexts)
            weights = agent.collect_policy_weights(state, number * ROWS)
            randomness = jax.tree.map(lambda x: x[0], policy.draw(key_act, 1, ROWS))
            action = policy.act(weights, time_step, (), randomness).action
            mean = jnp.take_along_axis(means, action[:, None], axis=1)
            experience = Trajectory(
                step_type=fresh[:, None],
                observation=contexts[:, None],
                action=action[:, None],
                policy_info=(),
                next_step_type=np.full((ROWS, 1), StepType.LAST, np.int32),
                reward=mean + NOISE * jax.random.normal(key_noise, (ROWS, 1)),
                discount=np.zeros((ROWS, 1), np.float32),
            )
            return agent.update(state, experience)[0], jnp.mean(jnp.max(means, axis=1) - mean[:, 0])

        keys = jax.random.split(key_rounds, STEPS)
        return jnp.mean(jax.lax.scan(play, agent.init(key_init), (jnp.arange(STEPS), keys))[1])

    return np.asarray(jax.jit(jax.vmap(run))(jax.random.split(jax.random.key(0), SEEDS)))


def is_below(better: np.ndarray, worse: np.ndarray) -> bool:
    """Returns whether the 95 % interval of the paired difference excludes 0; seeds share problems and contexts."""
    gain = worse - better
    return bool(gain.mean() - STUDENT * gain.std(ddof=1) / np.sqrt(len(gain)) > 0)


@pytest.mark.parametrize("name", sorted(set(AGENTS) - {"uniform"}))
def test_every_explorer_earns_more_than_chance(name: str):
    found, chance = regrets(name, linear), regrets("uniform", linear)
    assert is_below(found, 0.5 * chance), f"{found.mean():.3f} against {chance.mean():.3f}"


@pytest.mark.parametrize("name", ["linear ucb", "linear thompson"])
def test_exact_linear_models_are_best_on_linear_problems(name: str):
    assert is_below(regrets(name, linear), regrets("neural epsilon-greedy", linear))


@pytest.mark.parametrize("name", ["neural epsilon-greedy", "squarecb", "falcon", "ensemble thompson"])
def test_networks_learn_what_linear_models_cannot(name: str):
    assert is_below(regrets(name, waves), regrets("linear ucb", waves))


@pytest.mark.parametrize("name", ["squarecb", "falcon"])
def test_exploration_that_looks_at_the_gap_is_better_than_a_fixed_share(name: str):
    assert is_below(regrets(name, linear), regrets("neural epsilon-greedy", linear))
