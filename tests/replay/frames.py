"""Frames that say which step and environment they are of."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxdaw.specs import TensorSpec

SPEC = {"step": TensorSpec((), np.int32), "env": TensorSpec((), np.int32)}


def frames(step: int, num_envs: int) -> dict:
    return {"step": jnp.full(num_envs, step, jnp.int32), "env": jnp.arange(num_envs, dtype=jnp.int32)}


def filled(source, steps: int):
    state = source.init()
    for step in range(steps):
        state = source.add(state, frames(step, source.num_envs))
    return state


def key_data(seed: int):
    return jax.random.key_data(jax.random.key(seed))
