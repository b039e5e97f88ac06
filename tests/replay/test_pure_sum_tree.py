"""PureSumTree against running sums by brute force."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdaw.replay._pure_sum_tree import PureSumTree


@pytest.mark.parametrize("size", [1, 2, 8, 9, 64, 1000])
def test_pure_sum_tree_agrees_with_a_cumulative_sum_over_many_operations(size):
    generator = np.random.default_rng(size)
    tree, values = PureSumTree(size), np.zeros(size, np.float32)
    levels, set_values, find = tree.init(), jax.jit(tree.set), jax.jit(tree.find)
    for _ in range(50):
        indices = generator.integers(size, size=16)
        # Whole numbers: float32 adds them exactly in any order up to 2**24, so both must agree to the bit.
        new = generator.integers(0, 1000, size).astype(np.float32) * (generator.random(size) < 0.7)
        levels = set_values(levels, jnp.asarray(indices), jnp.asarray(new[indices]))
        values[indices] = new[indices]
        running = np.cumsum(values)
        assert tree.total(levels) == running[-1]
        if running[-1] > 0:
            positions = generator.integers(0, int(running[-1]), 16) + generator.choice([0.0, 0.5], 16)
            found, their_values = find(levels, jnp.asarray(positions, jnp.float32))
            np.testing.assert_array_equal(found, np.searchsorted(running, positions, side="right"))
            np.testing.assert_array_equal(their_values, values[np.asarray(found)])


def test_pure_sum_tree_never_finds_a_zero_however_positions_are_rounded():
    generator = np.random.default_rng(0)
    values = (generator.random(500) * 10.0 ** generator.integers(-10, 5, 500)).astype(np.float32)
    values[generator.random(500) < 0.5] = 0.0
    values[-20:] = 0.0
    tree = PureSumTree(500)
    levels = tree.set(tree.init(), jnp.arange(500), jnp.asarray(values))
    total = np.float32(tree.total(levels))
    ends = np.nextafter(np.cumsum(values), total, dtype=np.float32)
    positions = jnp.concatenate([jnp.asarray(ends), jnp.linspace(0, total, 5000), jnp.array([total, total * 1.001])])
    found, their_values = tree.find(levels, positions)
    assert np.all(values[np.asarray(found)] > 0)
    np.testing.assert_array_equal(their_values, values[np.asarray(found)])


def test_pure_sum_tree_does_not_drift():
    generator = np.random.default_rng(0)
    tree, fresh = PureSumTree(100), PureSumTree(100)
    levels, set_values = tree.init(), jax.jit(tree.set)
    for _ in range(300):
        new = generator.random(3) * 10.0 ** generator.integers(-20, 20, 3)
        levels = set_values(levels, jnp.asarray(generator.integers(100, size=3)), jnp.asarray(new, jnp.float32))
    final = jnp.asarray(generator.random(100), jnp.float32)
    levels = tree.set(levels, jnp.arange(100), final)
    expected = fresh.set(fresh.init(), jnp.arange(100), final)
    for ours, theirs in zip(levels, expected, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert tree.num_bytes == 4 * (104 + 16 + 2)  # 100 values in 13 blocks of 8, in 2 blocks of 8
