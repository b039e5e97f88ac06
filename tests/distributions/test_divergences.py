"""Divergences in closed form against sums and integrals, and parameters that make the same distribution again."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdaw.distributions import (
    Categorical,
    Deterministic,
    Independent,
    Joint,
    Normal,
    TanhNormal,
    kl_divergence,
    parameters_of,
    with_parameters,
)
from jaxdaw.errors import SpecError

MASK = jnp.array([[True, True, False], [True, True, True]])
P = Categorical(jnp.array([[0.3, -1.0, 9.0], [0.0, 1.0, 2.0]]), MASK)
Q = Categorical(jnp.array([[-0.2, 0.5, 0.0], [0.1, 0.2, 0.3]]), MASK)


def test_kl_divergence_of_categoricals_is_the_sum_over_allowed_actions():
    expected = [np.sum(p[m] * np.log(p[m] / q[m])) for p, q, m in zip(P.probs, Q.probs, np.asarray(MASK))]
    np.testing.assert_allclose(kl_divergence(P, Q), expected, rtol=1e-5)
    np.testing.assert_allclose(kl_divergence(P, P), 0.0, atol=1e-7)
    gradient = jax.grad(lambda logits: jnp.sum(kl_divergence(P, Categorical(logits, MASK))))(Q.logits)
    np.testing.assert_allclose(gradient, Q.probs - P.probs, atol=1e-6)  # also 0, not NaN, where nothing is allowed


def test_kl_divergence_of_normals_is_the_integral():
    p, q = Normal(jnp.array([0.5, -1.0]), jnp.array([0.7, 2.0]), 1), Normal(jnp.zeros(2), jnp.array([1.0, 0.5]), 1)
    x = np.linspace(-30, 30, 200_001)[:, None]
    log_p, log_q = (-0.5 * ((x - d.loc) / d.scale) ** 2 - np.log(d.scale) for d in (p, q))
    density = np.exp(log_p) / np.sqrt(2 * np.pi)
    expected = np.sum(density * (log_p - log_q)) * (x[1, 0] - x[0, 0])
    np.testing.assert_allclose(kl_divergence(p, q), expected, rtol=1e-4)
    squashed = [TanhNormal(d.loc, d.scale, -2.0, 3.0, 1) for d in (p, q)]
    np.testing.assert_allclose(kl_divergence(*squashed), expected, rtol=1e-4)


def test_kl_divergence_adds_elements_and_parts():
    pair = [Independent(Categorical(jnp.stack([d.logits, d.logits], 1)), 1) for d in (P, Q)]
    normals = [Normal(jnp.full(2, mean), 1.0) for mean in (0.0, 2.0)]
    one = kl_divergence(Categorical(P.logits), Categorical(Q.logits))
    joint = kl_divergence(*(Joint({"gear": a, "gas": b}) for a, b in zip(pair, normals)))
    np.testing.assert_allclose(joint, 2 * one + 2.0, rtol=1e-5)  # 2**2 / 2


def test_kl_divergence_refuses_what_has_no_closed_form():
    for pair in [(P, Normal(jnp.zeros(2), 1.0)), (Deterministic(jnp.zeros(2)), Deterministic(jnp.zeros(2)))]:
        with pytest.raises(SpecError, match="no divergence in closed form"):
            kl_divergence(*pair)


@pytest.mark.parametrize(
    ("distribution", "other"),
    [
        (P, Q),
        (Independent(P, 1), Independent(Q, 1)),
        (Normal(jnp.zeros((2, 3)), 1.0, 1), Normal(jnp.ones((2, 3)), 2.0, 1)),
        (TanhNormal(jnp.zeros(2), 1.0, -3.0, 5.0), TanhNormal(jnp.ones(2), 2.0, -3.0, 5.0)),
    ],
    ids=lambda d: type(d).__name__,
)
def test_with_parameters_makes_the_other_distribution(distribution, other):
    made = with_parameters(distribution, parameters_of(other))
    assert jax.tree.structure(made) == jax.tree.structure(other)
    np.testing.assert_array_equal(made.log_prob(other.mode()), other.log_prob(other.mode()))


def test_parameters_of_refuses_another_class():
    with pytest.raises(SpecError, match="parameters of this distribution are not known"):
        parameters_of(Deterministic(jnp.zeros(2)))
