"""SumTree against running sums by brute force."""

import numpy as np
import pytest

from jaxdaw.replay._sum_tree import SumTree


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64, 1000])
def test_sum_tree_agrees_with_a_cumulative_sum_over_many_operations(size):
    generator = np.random.default_rng(size)
    tree, values = SumTree(size), np.zeros(size)
    operations = 0
    while operations < 100_000 // 6:  # 10^5 in all, over the six sizes
        count = int(generator.integers(1, 65))
        indices = generator.integers(size, size=count)
        # Whole numbers: float64 adds them exactly in any order, so tree and brute force must agree to the bit.
        new = generator.integers(0, 1000, count).astype(np.float64) * (generator.random(count) < 0.7)
        tree.set(indices, new)
        for index, value in zip(indices, new):
            values[index] = value
        running = np.cumsum(values)
        assert tree.total == running[-1]
        np.testing.assert_array_equal(tree.get(indices), values[indices])
        if tree.total > 0:
            positions = generator.integers(0, int(tree.total), count) + generator.choice([0.0, 0.5], count)
            np.testing.assert_array_equal(tree.find(positions), np.searchsorted(running, positions, side="right"))
        operations += 2 * count


def test_sum_tree_does_not_drift():
    generator = np.random.default_rng(0)
    tree, fresh = SumTree(100), SumTree(100)
    for _ in range(300):
        tree.set(generator.integers(100, size=3), generator.random(3) * 10.0 ** generator.integers(-20, 20, 3))
    final = generator.random(100)
    tree.set(np.arange(100), final)
    for index in generator.permutation(100):  # one by one along paths, instead of level by level
        fresh.set(np.array([index]), final[index : index + 1])
    assert tree.total == fresh.total
    np.testing.assert_allclose(tree.total, final.sum(), rtol=1e-15)


def test_sum_tree_never_finds_a_zero_whatever_the_rounding():
    tree = SumTree(9)
    tree.set(np.array([1, 4]), np.array([0.1, 0.2]))
    total = tree.total
    positions = np.array([0.0, np.nextafter(0.1, 0), 0.1, np.nextafter(total, 0), total, 2 * total])
    np.testing.assert_array_equal(tree.find(positions), [1, 1, 4, 4, 4, 4])


def test_sum_tree_lets_the_last_of_a_repeated_index_count():
    tree = SumTree(4)
    tree.set(np.array([2, 2, 2]), np.array([5.0, 1.0, 3.0]))
    assert tree.total == 3.0
