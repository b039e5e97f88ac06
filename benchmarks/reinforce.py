"""REINFORCE on pure CartPole, 64 seeds, beside the same loop written by hand as one vmapped scan.

MLP 4-64-64-2, a value network of the same size, 8 environments, rollouts of 512 steps, compilation excluded.
Run: python benchmarks/reinforce.py [SEEDS]
"""

from __future__ import annotations

import dataclasses
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxdaw import environments
from jaxdaw.training import ReinforceConfig
from jaxdaw.training._jax_trainer import JaxTrainer

SIZES, ENVS, STEPS, GAMMA = (4, 64, 64, 2), 8, 512, 0.99
CONFIG = ReinforceConfig(steps=10**7, num_envs=ENVS, rollout_steps=STEPS, learning_rate_end=1.0)


class ByHand:
    """Acts, steps and learns in one scan for each rollout, vmapped over seeds."""

    def __init__(self, seeds: int):
        self.environment, self.optimizer = environments.CartPole(), optax.adam(3e-3)
        keys = jax.random.split(jax.random.key(0), seeds)
        self.state = jax.jit(jax.vmap(self.begin))(keys)
        self.run = jax.jit(jax.vmap(self.phases, (0, 0, None)), static_argnums=2, donate_argnums=0)
        self.seeds, self.calls = seeds, 0

    def begin(self, key):
        k1, k2, k3 = jax.random.split(key, 3)
        worlds, first = jax.vmap(self.environment.init)(jax.random.split(k1, ENVS))
        params = self.mlp(k2, SIZES), self.mlp(k3, (*SIZES[:-1], 1))
        return params, self.optimizer.init(params), worlds, first

    @staticmethod
    def mlp(key, sizes):
        pairs = zip(jax.random.split(key, len(sizes) - 1), sizes, sizes[1:])
        return [(jax.random.normal(k, (i, o)) / np.sqrt(i), jnp.zeros(o)) for k, i, o in pairs]

    @staticmethod
    def apply(layers, x):
        for kernel, bias in layers[:-1]:
            x = jax.nn.relu(x @ kernel + bias)
        return x @ layers[-1][0] + layers[-1][1]

    def phases(self, state, key, count):
        return jax.lax.scan(lambda s, k: (self.phase(s, k), None), state, jax.random.split(key, count))[0]

    def phase(self, state, key):
        params, opt_state, worlds, step = state

        def act(carry, key):
            worlds, step = carry
            action = jax.random.categorical(key, self.apply(params[0], step.observation))
            worlds, following = jax.vmap(self.environment.step)(worlds, action)
            frame = (step.observation, action, following.reward, following.discount, step.step_type,
                     following.step_type)  # fmt: skip
            return (worlds, following), frame

        (worlds, step), frames = jax.lax.scan(act, (worlds, step), jax.random.split(key, STEPS))
        observation, action, reward, discount, kind, next_kind = frames  # [T, B]
        ends, real = (next_kind == 2) & (kind != 2), kind != 2

        def loss(params):
            value = self.apply(params[1], observation)[..., 0]
            after = jax.lax.stop_gradient(jnp.concatenate([value[1:], jnp.zeros((1, ENVS))]))

            def back(following, x):
                reward, discount, after, ends = x
                total = reward + GAMMA * discount * jnp.where(ends, after, following)
                return total, total

            returns = jax.lax.scan(back, jnp.zeros(ENVS), (reward, discount, after, ends), reverse=True)[1]
            counts = (jnp.flip(jnp.cumsum(jnp.flip(ends, 0), 0), 0) > 0) & real
            n, frames = jnp.maximum(ends.sum(), 1), jnp.maximum(counts.sum(), 1)
            advantage = returns - jax.lax.stop_gradient(value)
            mean = jnp.sum(advantage, where=counts) / frames
            deviation = jnp.sqrt(jnp.sum((advantage - mean) ** 2, where=counts) / frames)
            log_pi = jax.nn.log_softmax(self.apply(params[0], observation))
            chosen = jnp.take_along_axis(log_pi, action[..., None], -1)[..., 0]
            entropy = -jnp.sum(jnp.exp(log_pi) * log_pi, -1)
            each = (-chosen * (advantage - mean) / deviation + 0.2 * (returns - value) ** 2) / n
            return jnp.sum(jnp.where(counts, each - 0.01 * entropy / frames, 0.0))

        updates, opt_state = self.optimizer.update(jax.grad(loss)(params), opt_state)
        return optax.apply_updates(params, updates), opt_state, worlds, step

    def rate(self, phases: int) -> float:
        start = time.perf_counter()
        keys = jax.random.split(jax.random.key(self.calls), self.seeds)
        self.state = jax.block_until_ready(self.run(self.state, keys, phases))
        self.calls += 1
        return phases * STEPS * ENVS * self.seeds / (time.perf_counter() - start)


def main(seeds: int = 64, phases: int = 4, rounds: int = 7) -> None:
    world = environments.make("jax:CartPole-v1")
    options = dataclasses.replace(CONFIG.loop_options(), report_every=phases * STEPS * ENVS)
    agent = CONFIG.make_agent(world.time_step_spec(), world.action_spec)
    trainer = JaxTrainer(agent, world, options, tuple(range(seeds)), ENVS)
    by_hand = ByHand(seeds)

    def ours() -> float:
        start, before = time.perf_counter(), trainer.env_steps
        trainer.run()
        return (trainer.env_steps - before) * seeds / (time.perf_counter() - start)

    ours(), by_hand.rate(phases)
    rates = np.array([(by_hand.rate(phases), ours()) for _ in range(rounds)])
    ratios = rates[:, 1] / rates[:, 0]
    hand, mine = np.median(rates, axis=0)
    print(f"{seeds} seeds: by hand {hand:,.0f} steps/s, jaxdaw {mine:,.0f}: {np.median(ratios):.2f} "
          f"({ratios.min():.2f} to {ratios.max():.2f})")  # fmt: skip


if __name__ == "__main__":
    main(*map(int, sys.argv[1:2]))
