"""SumTree: a sum tree over float64 values in NumPy, vectorised."""

from __future__ import annotations

import numpy as np


class SumTree:
    """Non-negative values with their running sums: set many, find many, in `O(log size)` array operations.

    Every inner node is at all times the float64 sum of its two children, recomputed and never adjusted by a
    difference: there is no drift, and the tree is a function of its values alone.

    Args:
      size: number of values, at least 1; all 0 at first.

    Examples:
      >>> tree = SumTree(3)
      >>> tree.set(np.array([0, 2]), np.array([1.0, 3.0]))
      >>> tree.total
      4.0
      >>> tree.find(np.array([0.5, 1.0, 3.9]))
      array([0, 2, 2])
    """

    def __init__(self, size: int):
        self._depth = (size - 1).bit_length()
        self._first_leaf = 1 << self._depth
        # Node 1 is the root, nodes 2n and 2n + 1 are the children of n.
        self._nodes = np.zeros(2 * self._first_leaf)

    @property
    def total(self) -> float:
        """The sum of all values."""
        return float(self._nodes[1])

    def get(self, indices: np.ndarray) -> np.ndarray:
        """Returns the values at `indices`, in their shape."""
        return self._nodes[self._first_leaf + indices]

    def set(self, indices: np.ndarray, values: np.ndarray) -> None:
        """Sets finite values `[n]`, at least 0, at `indices` `[n]`; of an index that is repeated, the last counts."""
        nodes = self._first_leaf + indices
        self._nodes[nodes] = values
        if nodes.size * self._depth >= self._first_leaf:  # Recomputing every node is cheaper than following the paths.
            for level in range(self._depth - 1, -1, -1):
                children = self._nodes[2 << level : 4 << level]
                np.add(children[0::2], children[1::2], out=self._nodes[1 << level : 2 << level])
        else:
            for _ in range(self._depth):
                nodes = nodes >> 1
                self._nodes[nodes] = self._nodes[2 * nodes] + self._nodes[2 * nodes + 1]

    def find(self, positions: np.ndarray) -> np.ndarray:
        """Returns for each position `[n]` in `[0, total)` the first index whose running sum exceeds it, `[n]`.

        A value of 0 is never found, whatever the rounding, unless all are 0.
        """
        nodes = np.ones(positions.shape, np.intp)
        remaining = np.array(positions, np.float64)
        for _ in range(self._depth):
            left = 2 * nodes
            left_sums = self._nodes[left]
            # Rounding may move a position at the very end past the last value: never enter an empty subtree.
            goes_right = (remaining >= left_sums) & (self._nodes[left + 1] > 0)
            remaining -= np.where(goes_right, left_sums, 0.0)
            nodes = left + goes_right
        return nodes - self._first_leaf
