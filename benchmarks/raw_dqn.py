"""The yardstick: DQN written by hand with nothing but jax and optax, for one network and one environment."""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax


def init_mlp(key, sizes):
    keys = jax.random.split(key, len(sizes) - 1)
    return [
        {"w": jax.random.normal(k, (i, o)) * np.sqrt(2 / i), "b": jnp.zeros(o)}
        for k, i, o in zip(keys, sizes[:-1], sizes[1:])
    ]


def mlp(params, x):
    for layer in params[:-1]:
        x = jax.nn.relu(x @ layer["w"] + layer["b"])
    return x @ params[-1]["w"] + params[-1]["b"]


class Learner(NamedTuple):
    params: list
    target: list
    opt: tuple
    count: jax.Array


OPTIMIZER = optax.adam(1e-3)


def init_learner(key, sizes):
    params = init_mlp(key, sizes)
    return Learner(params, jax.tree.map(jnp.copy, params), OPTIMIZER.init(params), jnp.int32(0))


def learn(learner, batch, gamma=0.99, period=500):
    observation, action, reward, discount, following = batch

    def loss_fn(params):
        q = jnp.take_along_axis(mlp(params, observation), action[:, None], 1)[:, 0]
        target = reward + gamma * discount * jnp.max(mlp(learner.target, following), axis=1)
        return jnp.mean(optax.huber_loss(q, jax.lax.stop_gradient(target)))

    loss, gradients = jax.value_and_grad(loss_fn)(learner.params)
    updates, opt = OPTIMIZER.update(gradients, learner.opt, learner.params)
    params = optax.apply_updates(learner.params, updates)
    count = learner.count + 1
    target = jax.tree.map(lambda new, old: jnp.where(count % period == 0, new, old), params, learner.target)
    return Learner(params, target, opt, count), loss


learn_jit = jax.jit(learn, donate_argnums=0)
learn_scan = jax.jit(lambda learner, batches: jax.lax.scan(learn, learner, batches), donate_argnums=0)


# A ring of packed rows: observation, action, reward, discount, following observation.


class Ring(NamedTuple):
    rows: jax.Array
    cursor: jax.Array
    size: jax.Array


def init_ring(capacity, observation_size):
    return Ring(jnp.zeros((capacity, 2 * observation_size + 3)), jnp.int32(0), jnp.int32(0))


def add(ring, rows):
    n = rows.shape[0]
    return Ring(
        jax.lax.dynamic_update_slice(ring.rows, rows, (ring.cursor, 0)),
        (ring.cursor + n) % ring.rows.shape[0],
        jnp.minimum(ring.size + n, ring.rows.shape[0]),
    )


def sample(ring, bits, observation_size):
    rows = ring.rows[(bits % ring.size.astype(jnp.uint32)).astype(jnp.int32)]
    o = observation_size
    return rows[:, :o], rows[:, o].astype(jnp.int32), rows[:, o + 1], rows[:, o + 2], rows[:, o + 3 :]


def act(params, observation, u, epsilon, actions):
    greedy = jnp.argmax(mlp(params, observation), axis=-1)
    explore = jnp.minimum(u / epsilon * actions, actions - 1).astype(jnp.int32)
    return jnp.where(u < epsilon, explore, greedy)


def host_step(observation_size, actions, num_envs):
    """One call for each step of all environments: store, learn `num_envs` times, act."""

    @partial(jax.jit, donate_argnums=(0, 1))
    def step(learner, ring, before, action, reward, discount, following, current, draws, bits, i, epsilon):
        rows = jnp.concatenate(
            [before, action[:, None].astype(jnp.float32), reward[:, None], discount[:, None], following], axis=1
        )
        ring = add(ring, rows)
        learner, _ = jax.lax.scan(lambda s, b: learn(s, sample(ring, b, observation_size)), learner, bits[i])
        return learner, ring, act(learner.params, current, draws[i], epsilon, actions)

    return step
