"""A hundred scanned steps of SAC against the same step written by hand with nothing but jax and optax.

Three observations, one action, batch 128, networks of two layers. Run: python benchmarks/sac_step.py
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

sys.path.insert(0, str(Path(__file__).parent))
from raw_dqn import init_mlp, mlp
from timing import ratio_rounds

from jaxdaw import environments, trajectories
from jaxdaw.training import SacConfig

BATCH, MANY, GAMMA, TAU, HIGH = 128, 100, 0.99, 0.005, 2.0
OPTIMIZER = optax.adam(1e-3)


class Learner(NamedTuple):
    actor: list
    critics: list
    log_alpha: jax.Array
    targets: list
    opts: tuple
    key: jax.Array
    count: jax.Array


def init_learner(key, layers):
    keys = jax.random.split(key, 3)
    actor = init_mlp(keys[0], (3, *layers, 2))
    critics = [init_mlp(k, (4, *layers, 1)) for k in keys[1:]]
    log_alpha = jnp.zeros(())
    opts = tuple(OPTIMIZER.init(params) for params in (critics, actor, log_alpha))
    targets = jax.tree.map(jnp.copy, critics)
    return Learner(actor, critics, log_alpha, targets, opts, jax.random.key(1), jnp.int32(0))


def draw(actor, observation, key):
    loc, raw = jnp.split(mlp(actor, observation), 2, axis=-1)
    log_std = jnp.clip(raw, -20.0, 2.0)
    noise = jax.random.normal(key, loc.shape)
    x = loc + jnp.exp(log_std) * noise
    log_slope = np.log(HIGH) + 2.0 * (np.log(2.0) - x - jax.nn.softplus(-2.0 * x))
    log_prob = -0.5 * noise**2 - log_std - 0.5 * np.log(2 * np.pi) - log_slope
    return HIGH * jnp.tanh(x), log_prob[:, 0]


def values(critics, observation, action):
    pair = jnp.concatenate([observation, action / HIGH], axis=-1)
    return [mlp(critic, pair)[:, 0] for critic in critics]


def learn(learner, batch):
    observation, action, reward, discount, following = batch
    keys = jax.random.split(jax.random.fold_in(learner.key, learner.count), 3)
    alpha = jnp.exp(learner.log_alpha)
    next_action, next_log_prob = draw(learner.actor, following, keys[0])
    bootstrap = jnp.minimum(*values(learner.targets, following, next_action)) - alpha * next_log_prob
    target = reward + GAMMA * discount * bootstrap

    def critic_loss(critics):
        return 0.5 * jnp.mean(sum((target - q) ** 2 for q in values(critics, observation, action)))

    def actor_loss(actor):
        mine, log_prob = draw(actor, observation, keys[1])
        return jnp.mean(alpha * log_prob - jnp.minimum(*values(critics, observation, mine)))

    def alpha_loss(log_alpha):
        return jnp.mean(log_alpha * jax.lax.stop_gradient(1.0 - draw(actor, observation, keys[2])[1]))

    def step(loss_fn, params, opt):
        loss, gradients = jax.value_and_grad(loss_fn)(params)
        updates, opt = OPTIMIZER.update(gradients, opt, params)
        return optax.apply_updates(params, updates), opt, loss

    critics, critic_opt, first = step(critic_loss, learner.critics, learner.opts[0])
    actor, actor_opt, second = step(actor_loss, learner.actor, learner.opts[1])
    log_alpha, alpha_opt, third = step(alpha_loss, learner.log_alpha, learner.opts[2])
    targets = jax.tree.map(lambda old, new: (1 - TAU) * old + TAU * new, learner.targets, critics)
    opts = (critic_opt, actor_opt, alpha_opt)
    return Learner(actor, critics, log_alpha, targets, opts, learner.key, learner.count + 1), first + second + third


def main():
    print(f"{'':32s}   raw us  jaxdaw us   ratio (min to max over rounds)")
    environment = environments.make("jax:Pendulum-v1")
    random = np.random.default_rng(0)
    o = random.standard_normal((MANY, BATCH, 2, 3), np.float32)
    a = random.uniform(-HIGH, HIGH, (MANY, BATCH, 2, 1)).astype(np.float32)
    r = random.standard_normal((MANY, BATCH, 2), np.float32)
    middle, ones = np.ones((MANY, BATCH, 2), np.int32), np.ones((MANY, BATCH, 2), np.float32)
    frames = trajectories.Trajectory(middle, o, a, (), middle, r, ones)
    raw_batches = (o[:, :, 0], a[:, :, 0], r[:, :, 0], ones[:, :, 0], o[:, :, 1])
    for layers in ((64, 64), (256, 256)):
        config = SacConfig(fc_layer_params=layers)
        agent = config.make_agent(environment.time_step_spec(), environment.action_spec)
        options = agent.compiler_options()
        scan = jax.jit(
            lambda state, batches: jax.lax.scan(learn, state, batches), donate_argnums=0, compiler_options=options
        )
        update_many = jax.jit(agent.update_many, donate_argnums=0, compiler_options=options)
        box = {"raw": init_learner(jax.random.key(0), layers), "ours": jax.jit(agent.init)(jax.random.key(0))}

        def raw(box=box, scan=scan):
            box["raw"], _ = jax.block_until_ready(scan(box["raw"], raw_batches))
            return MANY

        def ours(box=box, update_many=update_many):
            box["ours"], _ = jax.block_until_ready(update_many(box["ours"], frames))
            return MANY

        ratio_rounds(f"scanned step, {layers} x {BATCH}", raw, ours, rounds=15 if layers[0] == 64 else 7)


if __name__ == "__main__":
    main()
