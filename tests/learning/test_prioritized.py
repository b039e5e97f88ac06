"""Where prioritized replay has to help: the blind cliffwalk of Schaul et al. 2016, section 3.1."""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxdaw import networks, specs
from jaxdaw.agents import DqnAgent
from jaxdaw.environments import EpisodicEnvironment
from jaxdaw.training import LoopOptions
from jaxdaw.training._jax_trainer import JaxTrainer

LENGTH, GAMMA, SEEDS = 8, 0.9, 10


@dataclasses.dataclass(frozen=True)
class BlindCliffwalk(EpisodicEnvironment):
    """A row of states: the right action, 0 and 1 in turn, leads on, the other ends; reward 1 after the last."""

    max_episode_steps: int | None = None
    random_words: ClassVar[int] = 1

    @property
    def observation_spec(self) -> specs.BoundedTensorSpec:
        return specs.BoundedTensorSpec((LENGTH,), np.float32, 0, 1, "observation")

    @property
    def action_spec(self) -> specs.BoundedTensorSpec:
        return specs.BoundedTensorSpec((), np.int32, 0, 1, "action")

    def start(self, words: jax.Array) -> Any:
        return jnp.zeros((), jnp.int32)

    def advance(self, world: Any, action: Any) -> tuple[Any, Any, Any]:
        right = action == world % 2
        arrived = right & (world == LENGTH - 1)
        return jnp.minimum(world + 1, LENGTH - 1), jnp.where(arrived, 1.0, 0.0), ~right | arrived

    def observe(self, world: Any) -> Any:
        return jax.nn.one_hot(world, LENGTH)


def updates_until_known(replay: str) -> np.ndarray:
    """Returns for each seed the gradient steps until all action values of a linear network are within 0.1."""
    world = BlindCliffwalk()
    network = networks.QNetwork(world.observation_spec, world.action_spec, fc_layer_params=())
    agent = DqnAgent(
        world.time_step_spec(),
        world.action_spec,
        network,
        optax.sgd(0.5),
        gamma=GAMMA,
        epsilon_greedy=1.0,  # blind: one episode in 2**LENGTH arrives
        target_update_period=20,
    )
    options = LoopOptions(
        batch_size=8,
        replay_capacity=8_000,
        learning_starts=8_000,
        updates=1,
        report_every=250,
        replay=replay,
        importance_exponent=0.0,  # as in the paper's figure 1: no weights
    )
    trainer = JaxTrainer(agent, world, options, seeds=tuple(range(SEEDS)))
    every_state = np.eye(LENGTH, dtype=np.float32)
    values_of = jax.jit(jax.vmap(lambda weights: network.apply(weights, every_state, None)[0]))
    wanted = np.zeros((LENGTH, 2))
    wanted[np.arange(LENGTH), np.arange(LENGTH) % 2] = GAMMA ** np.arange(LENGTH - 1, -1, -1)
    needed, steps = np.full(SEEDS, np.inf), 0
    while steps < 10_000 and not np.all(np.isfinite(needed)):
        steps = trainer.run().train_step
        errors = np.max(np.abs(np.asarray(values_of(trainer.collect_weights())) - wanted), axis=(1, 2))
        needed[np.isinf(needed) & (errors < 0.1)] = steps
    return np.minimum(needed, steps)


def test_prioritized_replay_needs_far_fewer_updates_where_rewards_are_rare():
    uniform, prioritized = updates_until_known("uniform"), updates_until_known("prioritized")
    saved = np.log(uniform / prioritized)  # a uniform run that did not end counts as ended at the last step
    resampled = np.random.default_rng(0).choice(saved, (10_000, SEEDS)).mean(axis=1)
    low = np.exp(np.quantile(resampled, 0.025))
    print(f"uniform {uniform}, prioritized {prioritized}, ratio {np.exp(saved.mean()):.1f}, at least {low:.1f}")
    assert low > 2.0, f"prioritized replay needs 1/{low:.2f} of the updates: uniform {uniform}, its own {prioritized}"
