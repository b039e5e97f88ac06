"""Bits in, the same bits out, whatever the dtype: through the ring, packed and not."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdaw.replay import UniformReplay
from jaxdaw.specs import TensorSpec

DTYPES = ["bool", "int8", "uint8", "int16", "uint16", "float16", "int32", "uint32", "float32", "bfloat16"]


@pytest.mark.parametrize(
    ("dtype", "shape"),
    # (40, 40) is not packed. XLA on the CPU widens bfloat16 to move it, which makes signalling NaNs quiet.
    [*itertools.product(DTYPES, [(), (2, 3)]), *itertools.product(DTYPES[:-1], [(40, 40)])],
)
def test_uniform_replay_returns_the_bits_of_every_dtype(dtype, shape):
    dtype = jnp.dtype(dtype)
    pattern = np.random.default_rng(0).integers(0, 256, (2, *shape, dtype.itemsize), np.uint8)
    pattern[0, ..., -2:] |= np.uint8(0x7F)  # a float's exponent all ones: NaNs of many payloads, signalling ones too
    values = pattern.view(dtype)[..., 0] if dtype != np.bool_ else pattern[..., 0] % 2 == 0
    replay = UniformReplay((TensorSpec(shape, dtype), TensorSpec((), np.float32)), capacity=4, num_envs=2)
    state = jax.jit(replay.add)(replay.init(), (jnp.asarray(values), jnp.zeros(2)))
    (got, _), _ = jax.jit(replay.sample_from_bits, static_argnums=2)(state, jnp.arange(2, dtype=jnp.uint32), 1)
    assert got.dtype == dtype
    assert got.shape == (2, 1, *shape)
    np.testing.assert_array_equal(np.asarray(got)[:, 0].tobytes(), values.tobytes())


@pytest.mark.parametrize("dtype", [np.float64, np.int64, np.uint64])
def test_uniform_replay_keeps_64_bits_when_x64_is_on(dtype):
    with jax.enable_x64(True):
        replay = UniformReplay(TensorSpec((2,), dtype), capacity=2)
        values = np.array([[2**53 - 1, 2**40 + 1]], dtype)
        state = replay.add(replay.init(), jnp.asarray(values))
        assert len(state.storage) == 1
        assert state.storage[0].dtype == np.uint32
        got, _ = replay.sample_from_bits(state, jnp.zeros(1, jnp.uint32), 1)
        assert got.dtype == dtype
        np.testing.assert_array_equal(got[0], values)


def test_uniform_replay_stores_32_bits_when_x64_is_off():
    replay = UniformReplay(TensorSpec((), np.float64), capacity=2)
    state = replay.add(replay.init(), jnp.array([1.5], jnp.float32))
    got, _ = replay.sample_from_bits(state, jnp.zeros(1, jnp.uint32), 1)
    assert got.dtype == np.float32


@pytest.mark.parametrize(("shape", "is_packed"), [((128,), True), ((129,), False)])
def test_uniform_replay_packs_leaves_of_at_most_128_words(shape, is_packed):
    state = UniformReplay((TensorSpec(shape, np.uint8), TensorSpec((), np.float32)), capacity=2).init()
    assert len(state.storage) == (1 if is_packed else 2)
    assert state.storage[0].shape == (2, 1, 129 if is_packed else 1)


def test_uniform_replay_works_without_packed_leaves():
    replay = UniformReplay(TensorSpec((300,), np.uint8), capacity=2)
    state = replay.add(replay.init(), jnp.full((1, 300), 7, jnp.uint8))
    assert [ring.dtype for ring in state.storage] == [np.uint8]
    got, _ = replay.sample_from_bits(state, jnp.zeros(1, jnp.uint32), 1)
    np.testing.assert_array_equal(got, np.full((1, 1, 300), 7))
