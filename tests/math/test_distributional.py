"""Projection and quantile loss against loops in float64, and what they promise."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdaw import math
from jaxdaw.errors import SpecError

RANDOM = np.random.default_rng(0)


def projected_by_hand(supports, weights, atoms):
    """The algorithm of Bellemare et al. 2017: each atom's mass to its lower and upper neighbour."""
    spacing, out = atoms[1] - atoms[0], np.zeros(len(atoms))
    for x, p in zip(np.clip(supports, atoms[0], atoms[-1]), weights, strict=True):
        position = (x - atoms[0]) / spacing
        low = min(int(np.floor(position)), len(atoms) - 1)
        high = min(low + 1, len(atoms) - 1)
        out[low] += p * (1.0 - (position - low))
        out[high] += p * (position - low)
    return out


@pytest.mark.parametrize("num_atoms", [2, 7, 51])
def test_projection_equals_sharing_between_neighbours(num_atoms):
    atoms = np.linspace(-2.0, 3.0, num_atoms)
    supports = RANDOM.uniform(-4.0, 5.0, (20, num_atoms))
    weights = RANDOM.dirichlet(np.ones(num_atoms), 20)
    got = math.project_distribution(supports.astype(np.float32), weights.astype(np.float32), atoms.astype(np.float32))
    want = [projected_by_hand(x, p, atoms) for x, p in zip(supports, weights, strict=True)]
    np.testing.assert_allclose(got, want, atol=2e-5)
    np.testing.assert_allclose(np.sum(got, axis=1), 1.0, atol=2e-5)


def test_projection_keeps_the_mean_of_what_lies_inside():
    atoms = np.linspace(-1.0, 1.0, 9, dtype=np.float32)
    supports = RANDOM.uniform(-1.0, 1.0, 9).astype(np.float32)
    weights = RANDOM.dirichlet(np.ones(9)).astype(np.float32)
    got = math.project_distribution(supports, weights, atoms)
    np.testing.assert_allclose(np.sum(got * atoms), np.sum(weights * supports), atol=1e-5)


@pytest.mark.parametrize(
    ("shapes", "message"),
    [(((2, 3), (2, 4), (4,)), "do not go together"), (((2, 4), (2, 4), (3,)), "do not go together"),
     (((3,), (3,), (1, 3)), "do not go together")],
)  # fmt: skip
def test_projection_refuses_arrays_that_do_not_go_together(shapes, message):
    with pytest.raises(SpecError, match=message):
        math.project_distribution(*(np.zeros(shape, np.float32) for shape in shapes))


@pytest.mark.parametrize("atoms", [[0.0, 1.0, 3.0], [2.0, 1.0, 0.0], [0.0, 0.0, 0.0]])
def test_projection_refuses_uneven_atoms(atoms):
    with pytest.raises(SpecError, match="evenly spaced"):
        math.project_distribution(np.zeros(3, np.float32), np.ones(3, np.float32), np.asarray(atoms, np.float32))


def test_projection_accepts_the_rounding_of_a_narrow_support_far_from_zero():
    atoms = np.linspace(1000.0, 1001.0, 51, dtype=np.float32)
    got = math.project_distribution(atoms, np.full(51, 1 / 51, np.float32), atoms)
    np.testing.assert_allclose(np.sum(got), 1.0, atol=5e-3)  # atoms are 0.02 apart, and rounded to 6e-5


def loss_by_hand(target, prediction, delta):
    total = 0.0
    for i, theta in enumerate(prediction):
        tau = (2 * i + 1) / (2 * len(prediction))
        for sample in target:
            u = sample - theta
            huber = 0.5 * u**2 if abs(u) <= delta else delta * (abs(u) - 0.5 * delta)
            total += abs(tau - (u < 0)) * huber / delta / len(target)
    return total


@pytest.mark.parametrize("delta", [0.5, 1.0])
def test_quantile_huber_loss_equals_the_double_sum(delta):
    target, prediction = RANDOM.normal(size=(6, 5)) * 2, RANDOM.normal(size=(6, 4))
    got = math.quantile_huber_loss(target.astype(np.float32), prediction.astype(np.float32), delta)
    want = [loss_by_hand(t, p, delta) for t, p in zip(target, prediction, strict=True)]
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6)


def test_minimising_the_quantile_loss_finds_the_quantiles():
    """Of 400 samples of an exponential distribution, four midpoints: 1/8, 3/8, 5/8, 7/8."""
    samples = np.sort(RANDOM.exponential(size=400)).astype(np.float32)
    gradient = jax.grad(lambda theta: math.quantile_huber_loss(samples, theta, 0.01))
    theta = jax.jit(lambda theta: jax.lax.fori_loop(0, 2000, lambda _, x: x - 0.05 * gradient(x), theta))(jnp.zeros(4))
    np.testing.assert_allclose(theta, np.quantile(samples, [1 / 8, 3 / 8, 5 / 8, 7 / 8]), atol=0.06)


def test_quantile_huber_loss_refuses_other_rows():
    with pytest.raises(SpecError, match="different rows"):
        math.quantile_huber_loss(np.zeros((2, 3), np.float32), np.zeros((3, 3), np.float32))
