"""Recursive least squares in float32 against normal equations in float64."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdaw.math import linear_beliefs, recursive_least_squares

RANDOM = np.random.default_rng(0)


def learn(batches, forgetting: float = 1.0, prior: float = 1.0):
    size = batches[0][0].shape[1]
    root, response = jnp.sqrt(jnp.float32(prior)) * jnp.eye(size), jnp.zeros(size)
    step = jax.jit(lambda *state: recursive_least_squares(*state, forgetting, prior))
    for features, targets, weights in batches:
        root, response = step(root, response, *(jnp.asarray(x, jnp.float32) for x in (features, targets, weights)))
    return root, response


def normal_equations(batches, forgetting: float = 1.0, prior: float = 1.0):
    size = batches[0][0].shape[1]
    precision, weighted = np.zeros((size, size)), np.zeros(size)
    for features, targets, weights in batches:
        precision = forgetting * precision + (weights[:, None] * features).T @ features
        weighted = forgetting * weighted + features.T @ (weights * targets)
    return precision + prior * np.eye(size), weighted


def make(count: int, rows: int, scales, weighted: bool = True):
    batches = []
    for _ in range(count):
        features = RANDOM.normal(size=(rows, len(scales))) * np.asarray(scales)
        targets = features @ (1.0 / np.asarray(scales)) + 0.1 * RANDOM.normal(size=rows)
        weights = RANDOM.uniform(0, 3, rows) * (RANDOM.random(rows) < 0.8) if weighted else np.ones(rows)
        batches.append((features.astype(np.float32).astype(np.float64), targets, weights))
    return batches


@pytest.mark.parametrize("forgetting", [1.0, 0.9, 0.0])
def test_equals_normal_equations_in_float64(forgetting: float):
    batches = make(20, 7, np.ones(4))
    root, response = learn(batches, forgetting, prior=0.3)
    precision, weighted = normal_equations(batches, forgetting, prior=0.3)
    np.testing.assert_allclose(np.asarray(root).T @ root, precision, rtol=2e-4, atol=2e-4)
    probes = RANDOM.normal(size=(5, 4))
    mean, deviation = linear_beliefs(root, response, jnp.asarray(probes, jnp.float32))
    covariance = np.linalg.inv(precision)
    np.testing.assert_allclose(mean, probes @ covariance @ weighted, rtol=2e-4, atol=2e-4)
    np.testing.assert_allclose(deviation, np.sqrt(np.einsum("nd,de,ne->n", probes, covariance, probes)), rtol=2e-4)
    assert np.all(np.tril(np.asarray(root), -1) == 0)


def test_float32_stays_accurate_where_normal_equations_in_float32_are_lost():
    # Nearly collinear features, of singular values 1 to 1e-4: the precision's condition is 1e8, above 1 / epsilon.
    turn = np.linalg.qr(RANDOM.normal(size=(4, 4)))[0]
    batches = []
    for features, _, weights in make(100, 50, [1.0, 1e-1, 1e-3, 1e-4], weighted=False):
        features = (features @ turn).astype(np.float32).astype(np.float64)
        batches.append((features, features @ np.ones(4), weights))
    root, response = learn(batches, prior=1e-8)
    precision, weighted = normal_equations(batches, prior=1e-8)
    assert np.linalg.cond(precision) > 5e7
    expected = np.linalg.solve(precision, weighted)
    found = jax.scipy.linalg.solve_triangular(root, response)
    error = np.abs(found - expected).max()
    assert error < 0.02
    plain = [sum(x, 0) for x in zip(*((f.astype(np.float32).T @ f, f.T @ y) for f, y, _ in batches))]
    plain = [np.asarray(x, np.float32) for x in plain]
    lost = np.linalg.solve(plain[0] + np.float32(1e-8) * np.eye(4, dtype=np.float32), plain[1])
    assert np.abs(lost - expected).max() > 10 * error


def test_ten_thousand_single_updates_do_not_drift():
    batches = make(1, 10_000, np.ones(3), weighted=False)
    (features, targets, weights), prior = batches[0], 1.0

    def step(state, row):
        x, y, w = row
        return recursive_least_squares(*state, x[None], y[None], w[None]), None

    rows = tuple(jnp.asarray(x, jnp.float32) for x in (features, targets, weights))
    (root, response), _ = jax.jit(lambda rows: jax.lax.scan(step, (jnp.eye(3), jnp.zeros(3)), rows))(rows)
    precision, weighted = normal_equations(batches, prior=prior)
    found = jax.scipy.linalg.solve_triangular(root, response)
    np.testing.assert_allclose(found, np.linalg.solve(precision, weighted), rtol=1e-3)
    np.testing.assert_allclose(np.asarray(root).T @ root, precision, rtol=1e-3, atol=1e-3 * precision.max())


def test_rows_of_weight_zero_change_nothing_whatever_they_hold():
    root, response = learn(make(2, 5, np.ones(3)))
    features, targets = jnp.full((2, 3), jnp.nan), jnp.array([jnp.nan, 1e38])
    again = recursive_least_squares(root, response, features, targets, jnp.zeros(2))
    np.testing.assert_array_equal(again[0], root)
    np.testing.assert_array_equal(again[1], response)


def test_the_prior_is_not_forgotten():
    root, response = learn([(np.zeros((1, 3)), np.zeros(1), np.ones(1))] * 200, forgetting=0.5, prior=4.0)
    np.testing.assert_allclose(np.asarray(root).T @ root, 4.0 * np.eye(3), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(response, 0.0, atol=1e-6)
