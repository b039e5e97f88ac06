"""Laplacians of graphs over actions, against the matrix product."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdaw.errors import ConfigError, SpecError
from jaxdaw.math import edges_of_laplacian, nearest_neighbor_laplacian, ordinal_laplacian, smoothness_penalty


def random_laplacian(count, density, seed=0):
    random = np.random.default_rng(seed)
    upper = np.triu(random.uniform(0, 2, (count, count)) * (random.uniform(size=(count, count)) < density), k=1)
    adjacency = upper + upper.T
    return (np.diag(adjacency.sum(axis=1)) - adjacency).astype(np.float32)


@pytest.mark.parametrize(
    "laplacian", [ordinal_laplacian(6), random_laplacian(6, 0.5), random_laplacian(6, 1.0), random_laplacian(24, 1.0)]
)
def test_penalty_is_the_quadratic_form(laplacian):
    count = len(laplacian)
    values = np.random.default_rng(1).normal(size=(4, 3, count)).astype(np.float32)
    penalty = smoothness_penalty(jnp.asarray(values), edges_of_laplacian(laplacian, count))
    np.testing.assert_allclose(penalty, np.einsum("...i,ij,...j", values, laplacian, values), rtol=1e-4, atol=1e-5)
    gradient = jax.grad(lambda v: smoothness_penalty(v, edges_of_laplacian(laplacian, count)).sum())(
        jnp.asarray(values)
    )
    np.testing.assert_allclose(gradient, 2 * values @ laplacian, rtol=1e-4, atol=1e-4)


def test_a_chain_costs_no_more_than_its_edges():
    """64 rows, 200 actions: a product with the matrix would be 64 * 200**2 = 2.6 million multiplications."""
    edges = edges_of_laplacian(ordinal_laplacian(200), 200)
    assert len(edges.weight) == 199
    shapes = [
        tuple(out.aval.shape)
        for equation in jax.make_jaxpr(lambda v: smoothness_penalty(v, edges))(jnp.zeros((64, 200))).eqns
        for out in equation.outvars
    ]
    assert max(int(np.prod(shape)) for shape in shapes) <= 64 * 200
    operations = jax.jit(lambda v: smoothness_penalty(v, edges)).lower(jnp.zeros((64, 200))).as_text()
    assert "dot_general" not in operations


def test_ordinal_laplacian_of_one_action_is_zero():
    np.testing.assert_array_equal(ordinal_laplacian(1), [[0.0]])
    assert len(edges_of_laplacian(ordinal_laplacian(1), 1).weight) == 0
    with pytest.raises(ConfigError, match="a chain needs actions"):
        ordinal_laplacian(0)


def test_nearest_neighbors_name_each_other_symmetrically():
    """On a line at 0, 1, 3, 7: by hand 0-1, 1-0, 2-1, 3-2; two neighbours each join all but 0-3."""
    points = np.array([[0.0], [1.0], [3.0], [7.0]])
    np.testing.assert_array_equal(nearest_neighbor_laplacian(points), ordinal_laplacian(4))
    two = nearest_neighbor_laplacian(points, 2)
    assert two[0, 3] == 0.0
    np.testing.assert_array_equal(np.diag(two), [2, 3, 3, 2])


@pytest.mark.parametrize("num_neighbors", [0, 3, -1])
def test_nearest_neighbors_must_be_others(num_neighbors):
    with pytest.raises(ConfigError, match="num_neighbors"):
        nearest_neighbor_laplacian(np.eye(3), num_neighbors)


def test_nearest_neighbors_need_finite_points():
    with pytest.raises(SpecError, match="finite"):
        nearest_neighbor_laplacian([[0.0], [np.nan]])


@pytest.mark.parametrize(
    ("matrix", "problem"),
    [
        (np.ones((3, 3)), "rows that do not sum to 0"),
        (np.array([[1.0, -1, 0], [0, 0, 0], [-1, 0, 1]]), "is not symmetric"),
        (np.full((3, 3), np.nan), "NaN"),
        (np.zeros((4, 4)), "another size"),
        (np.zeros(3), "another size"),
    ],
)
def test_a_matrix_that_is_no_laplacian_is_refused(matrix, problem):
    with pytest.raises(SpecError, match=problem):
        edges_of_laplacian(matrix, 3)
