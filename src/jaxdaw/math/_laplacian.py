"""Graphs over actions: Laplacians, and how much values differ between neighbours."""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Float32, Int32
from numpy.typing import ArrayLike

from jaxdaw.errors import ConfigError, SpecError
from jaxdaw.math._arrays import AnyArray

_TOLERANCE = 1e-5
"""Tolerance of row sums and of symmetry, relative to the largest entry: float32 rounding of rows of hundreds."""
_DENSE = 8
"""With more edges for each node than this, a product with the matrix is faster on a CPU than a gather of both ends."""


class Edges(NamedTuple):
    """The edges of a weighted graph, each once.

    Attributes:
      start, end: the nodes.
      weight: above 0 where the two are alike.
    """

    start: Int32[np.ndarray, " E"]
    end: Int32[np.ndarray, " E"]
    weight: Float32[np.ndarray, " E"]


def edges_of_laplacian(laplacian: ArrayLike, num_nodes: int) -> Edges:
    """Returns the edges of the graph whose Laplacian this is: `weight[i, j] = -laplacian[i, j]`.

    Args:
      laplacian: `[num_nodes, num_nodes]`, symmetric, rows that sum to 0.
      num_nodes: how many there must be.

    Raises:
      SpecError: another shape, entries that are not finite, no symmetry, or rows that do not sum to 0.

    >>> edges_of_laplacian([[1, -1, 0], [-1, 3, -2], [0, -2, 2]], 3).weight
    array([1., 2.], dtype=float32)
    """
    matrix = np.asarray(laplacian, np.float64)
    if matrix.shape != (num_nodes, num_nodes):
        raise SpecError(
            "the Laplacian has another size than there are actions",
            expected=str((num_nodes, num_nodes)),
            got=str(matrix.shape),
            fix=f"ordinal_laplacian({num_nodes})",
        )
    limit = _TOLERANCE * max(1.0, float(np.abs(matrix).max(initial=0.0)))
    problems = {
        "holds NaN or infinity": not np.isfinite(matrix).all(),
        "is not symmetric": not np.abs(matrix - matrix.T).max(initial=0.0) <= limit,
        "has rows that do not sum to 0": not np.abs(matrix.sum(axis=1)).max(initial=0.0) <= limit,
    }
    for problem, found in problems.items():
        if found:
            raise SpecError(
                f"a Laplacian {problem}",
                expected="diag(adjacency.sum(axis=1)) - adjacency",
                got=f"a matrix whose rows sum to {np.array2string(matrix.sum(axis=1)[:3], precision=3)}",
                cause="the adjacency matrix itself, or edges that lead one way.",
                fix=f"ordinal_laplacian({num_nodes})",
            )
    start, end = np.nonzero(np.triu(matrix, k=1))
    weight = -matrix[start, end]
    return Edges(start.astype(np.int32), end.astype(np.int32), weight.astype(np.float32))


def smoothness_penalty(values: Float[AnyArray, "*rows A"], edges: Edges) -> Float[Array, "*rows"]:
    """Returns `sum_e weight_e (values_start - values_end)**2` for every row, which is `values^T L values`.

    A graph of few edges costs as many operations as it has edges; any other a product with its matrix, `A**2` for each
    row. Rows are never multiplied with each other.

    Args:
      values: one for each node.
      edges: from `edges_of_laplacian`.

    >>> smoothness_penalty(jnp.array([10.0, 13.0, 16.0]), edges_of_laplacian(ordinal_laplacian(3), 3))  # 9 + 9
    Array(18., dtype=float32)
    """
    num_nodes = values.shape[-1]
    if len(edges.weight) > _DENSE * num_nodes:
        adjacency = np.zeros((num_nodes, num_nodes), np.float32)
        adjacency[edges.start, edges.end] = adjacency[edges.end, edges.start] = edges.weight
        centred = values - jnp.mean(values, axis=-1, keepdims=True)  # the penalty is the same, with less rounding
        return jnp.sum((centred @ _laplacian_of(adjacency)) * centred, axis=-1)
    difference = values[..., edges.start] - values[..., edges.end]
    return jnp.sum(edges.weight * jnp.square(difference), axis=-1)


def ordinal_laplacian(num_actions: int) -> Float32[np.ndarray, "A A"]:
    """Returns the Laplacian of the chain 0 - 1 - ... - A-1: each action is like its neighbours.

    Raises:
      ConfigError: fewer than one action.

    >>> ordinal_laplacian(3)
    array([[ 1., -1.,  0.],
           [-1.,  2., -1.],
           [ 0., -1.,  1.]], dtype=float32)
    """
    if num_actions < 1:
        raise ConfigError("a chain needs actions", expected="at least 1", got=str(num_actions))
    return _laplacian_of(np.eye(num_actions, k=1) + np.eye(num_actions, k=-1))


def nearest_neighbor_laplacian(points: ArrayLike, num_neighbors: int = 1) -> Float32[np.ndarray, "A A"]:
    """Returns the Laplacian of the graph in which two actions are joined if one is among the other's nearest.

    Args:
      points: `[A, D]`, where the actions lie; distances are Euclidean, ties go to the lowest index.
      num_neighbors: in `1..A-1`, how many neighbours each action names.

    Raises:
      SpecError: not a matrix of finite numbers.
      ConfigError: another number of neighbours.

    >>> nearest_neighbor_laplacian([[0.0, 0.0], [0.0, 1.0], [5.0, 5.0]])  # the third names the second
    array([[ 1., -1.,  0.],
           [-1.,  2., -1.],
           [ 0., -1.,  1.]], dtype=float32)
    """
    points = np.asarray(points, np.float64)
    if points.ndim != 2 or not np.isfinite(points).all():
        raise SpecError("points must be a matrix of finite numbers", expected="[A, D]", got=str(points.shape))
    count = len(points)
    if not 1 <= num_neighbors < count:
        raise ConfigError(
            "num_neighbors is outside its range", expected=f"an integer in [1, {count - 1}]", got=repr(num_neighbors)
        )
    distances = np.square(points[:, None] - points[None]).sum(axis=-1)
    np.fill_diagonal(distances, np.inf)
    nearest = np.argsort(distances, axis=1, kind="stable")[:, :num_neighbors]
    adjacency = np.zeros((count, count))
    adjacency[np.arange(count)[:, None], nearest] = 1.0
    return _laplacian_of(np.maximum(adjacency, adjacency.T))


def _laplacian_of(adjacency: np.ndarray) -> np.ndarray:
    return (np.diag(adjacency.sum(axis=1)) - adjacency).astype(np.float32)
