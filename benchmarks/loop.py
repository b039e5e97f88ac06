"""Whole DQN runs on CartPole, one update for each environment step, each beside the same loop written by hand.

MLP 4-100-50-2, batch 64, replay 50,000, compilation excluded. Run: python benchmarks/loop.py [gym1] [gym8] [jax1]
[jax64] [prioritized]; the last compares prioritized replay with uniform, ours both.
"""

from __future__ import annotations

import dataclasses
import sys
import time
from pathlib import Path

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
import raw_dqn

from jaxdaw import environments
from jaxdaw.training import DqnConfig
from jaxdaw.training._host_trainer import HostTrainer
from jaxdaw.training._jax_trainer import JaxTrainer

SIZES, BATCH, CAPACITY = (4, 100, 50, 2), 64, 50_000
CONFIG = DqnConfig(
    fc_layer_params=SIZES[1:-1], batch_size=BATCH, replay_capacity=CAPACITY, learning_starts=1000,
    gradient_clipping=0.0, train_every=1, updates=0, reward_scale_factor=1.0, target_update_period=500,
    learning_rate=1e-3, steps=10**6, epsilon_start=0.1, epsilon_end=0.1,
)  # fmt: skip


def raw_host(num_envs, steps, box={}):  # noqa: B006
    """Returns environment steps a second of the hand-written host loop."""
    key = num_envs
    if key not in box:
        env = gymnasium.make_vec("CartPole-v1", num_envs=num_envs, vectorization_mode="sync")
        learner = raw_dqn.init_learner(jax.random.key(0), SIZES)
        ring = raw_dqn.init_ring(CAPACITY // num_envs * num_envs, 4)
        ring = raw_dqn.add(ring, jnp.zeros((1024, 11)))
        observation, _ = env.reset(seed=0)
        box[key] = [env, raw_dqn.host_step(4, 2, num_envs), learner, ring, observation, np.zeros(num_envs, np.int32), 0]
    env, step, learner, ring, observation, action, chunk = box[key]
    iterations = steps // num_envs
    start = time.perf_counter()
    key_draw, key_bits = jax.random.split(jax.random.key(chunk))
    draws = jax.random.uniform(key_draw, (iterations, num_envs))
    bits = jax.random.bits(key_bits, (iterations, num_envs, BATCH), jnp.uint32)
    for i in range(iterations):
        following, reward, terminated, truncated, _ = env.step(action)
        del truncated
        learner, ring, chosen = step(
            learner, ring, observation, action, reward.astype(np.float32), 1 - terminated.astype(np.float32), following,
            following, draws, bits, np.int32(i), np.float32(0.1),
        )  # fmt: skip
        action, observation = np.asarray(chosen), following
    rate = iterations * num_envs / (time.perf_counter() - start)
    box[key] = [env, step, learner, ring, observation, action, chunk + 1]
    return rate


class RawScan:
    """The hand-written loop in a pure environment: everything in one scan; for several seeds vmapped by hand."""

    def __init__(self, seeds):
        self.environment = environments.CartPole()
        init, step = self.environment.init, self.environment.step
        keys = jax.random.split(jax.random.key(0), seeds)

        def begin(key):
            k1, k2 = jax.random.split(key)
            state, time_step = init(k1)
            return raw_dqn.init_learner(k2, SIZES), jnp.zeros((CAPACITY, 11)), state, time_step.observation

        self.state = jax.jit(jax.vmap(begin))(keys)
        self.cursor, self.size = jnp.int32(1000), jnp.int32(1000)

        def iteration(carry, draw):
            (learner, rows, state, observation), cursor, size = carry

            def one(learner, state, observation, u):
                action = raw_dqn.act(learner.params, observation[None], u[None], 0.1, 2)[0]
                state, following = step(state, action)
                values = jnp.stack([action.astype(jnp.float32), following.reward, following.discount])
                return state, following.observation, jnp.concatenate([observation, values, following.observation])

            u, bits = draw
            state, observation, row = jax.vmap(one)(learner, state, observation, u)
            rows = jax.lax.dynamic_update_slice(rows, row[:, None], (0, cursor, 0))
            size = jnp.minimum(size + 1, CAPACITY)

            def update(learner, rows, bits):
                return raw_dqn.learn(learner, raw_dqn.sample(raw_dqn.Ring(rows, cursor, size), bits, 4))[0]

            learner = jax.vmap(update)(learner, rows, bits)
            return ((learner, rows, state, observation), (cursor + 1) % CAPACITY, size), None

        def run(state, cursor, size, key, steps):
            k1, k2 = jax.random.split(key)
            draws = jax.random.uniform(k1, (steps, seeds)), jax.random.bits(k2, (steps, seeds, BATCH), jnp.uint32)
            return jax.lax.scan(iteration, (state, cursor, size), draws)[0]

        self.run = jax.jit(run, static_argnums=4, donate_argnums=0)
        self.seeds, self.calls = seeds, 0

    def rate(self, steps):
        start = time.perf_counter()
        self.state, self.cursor, self.size = self.run(
            self.state, self.cursor, self.size, jax.random.key(self.calls), steps
        )
        jax.block_until_ready(self.state)
        self.calls += 1
        return steps * self.seeds / (time.perf_counter() - start)


def host_trainer(num_envs, steps, **options):
    world = environments.make("CartPole-v1", num_envs=num_envs)
    config = dataclasses.replace(CONFIG, num_envs=num_envs, report_every=steps, **options)
    agent = config.make_agent(world.time_step_spec(), world.action_spec)
    return HostTrainer(agent, world, config.loop_options())


def jax_trainer(seeds, steps, **options):
    world = environments.make("jax:CartPole-v1")
    config = dataclasses.replace(CONFIG, num_envs=1, report_every=steps, **options)
    agent = config.make_agent(world.time_step_spec(), world.action_spec)
    return JaxTrainer(agent, world, config.loop_options(), tuple(range(seeds)))


def rate_of(trainer, members=1):
    before = trainer.env_steps
    start = time.perf_counter()
    report = trainer.run()
    return (report.env_steps - before) * members / (time.perf_counter() - start)


def compare(label, raw, ours, rounds=7, names=("raw", "jaxdaw")):
    for _ in range(2):
        raw(), ours()
    table = np.array([(raw(), ours()) for _ in range(rounds)])
    ratios = table[:, 1] / table[:, 0]
    a, b = np.median(table, axis=0)
    print(
        f"{label:34s} {names[0]} {a:8,.0f}/s   {names[1]} {b:8,.0f}/s   "
        f"ratio {np.median(ratios):.2f} ({ratios.min():.2f} to {ratios.max():.2f})",
        flush=True,
    )
    return b


def main():
    chosen = sys.argv[1:] or ["gym1", "gym8", "jax1", "jax64"]
    single = None
    if "gym1" in chosen:
        trainer = host_trainer(1, 4000)
        compare("Gymnasium, 1 environment", lambda: raw_host(1, 4000), lambda: rate_of(trainer))
    if "gym8" in chosen:
        many = host_trainer(8, 8000)
        compare("Gymnasium, 8 environments", lambda: raw_host(8, 8000), lambda: rate_of(many))
    if "jax1" in chosen or "jax64" in chosen:
        raw, ours = RawScan(1), jax_trainer(1, 10_000)
        single = compare("JAX environment, 1 seed", lambda: raw.rate(10_000), lambda: rate_of(ours))
    if "jax64" in chosen:
        raw64, ours64 = RawScan(64), jax_trainer(64, 1000)
        rate = compare("JAX environment, 64 seeds", lambda: raw64.rate(1000), lambda: rate_of(ours64, 64), rounds=5)
        print(f"{'64 seeds over one seed':34s} {rate / single:.2f}x the steps a second")
    if "prioritized" in chosen:
        for label, make, members in (
            ("JAX environment, 1 seed", lambda **options: jax_trainer(1, 5_000, **options), 1),
            ("JAX environment, 16 seeds", lambda **options: jax_trainer(16, 500, **options), 16),
            ("Gymnasium, 8 environments", lambda **options: host_trainer(8, 4_000, **options), 1),
        ):
            pair = [make(replay=replay) for replay in ("uniform", "prioritized")]
            rates = [lambda trainer=trainer, members=members: rate_of(trainer, members) for trainer in pair]
            compare(label, *rates, names=("uniform", "prioritized"))


if __name__ == "__main__":
    main()
