"""nested_loss against NumPy in float64 and distrax's densities written out."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdaw import specs
from jaxdaw.agents import nested_loss
from jaxdaw.distributions import Categorical, Independent, Normal, TanhNormal
from jaxdaw.errors import ConfigError, SpecError

RANDOM = np.random.default_rng(0)
GEAR = specs.BoundedTensorSpec((), np.int32, 0, 3)
SHIFTED = specs.BoundedTensorSpec((), np.int32, -2, 1)
LEVERS = specs.BoundedTensorSpec((2,), np.int32, 1, 4)
GAS = specs.BoundedTensorSpec((), np.float32, 0, 1)
STEER = specs.BoundedTensorSpec((2,), np.float32, -1, 1)
MATRIX = specs.BoundedTensorSpec((2, 3), np.float32, -1, 1)
OUTER = [(5,), (3, 4)]
either = pytest.mark.parametrize("outer", OUTER, ids=["B", "BT"])


def floats(*shape):
    return RANDOM.normal(size=shape).astype(np.float32)


def cross_entropy(logits, index):
    logits = np.asarray(logits, float)
    normalized = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    return -np.take_along_axis(normalized, index[..., None], -1)[..., 0]


@either
@pytest.mark.parametrize(("spec", "minimum"), [(GEAR, 0), (SHIFTED, -2)])
def test_integers_are_the_cross_entropy_of_action_minus_minimum(outer, spec, minimum):
    logits, index = floats(*outer, 4), RANDOM.integers(0, 4, outer)
    action = (index + minimum).astype(np.int32)
    want = cross_entropy(logits, index)
    np.testing.assert_allclose(nested_loss(jnp.asarray(logits), action, spec), want, rtol=1e-5)
    choice = Categorical(logits, minimum=minimum)
    np.testing.assert_allclose(nested_loss(choice, action, spec), want, rtol=1e-5)


@either
def test_elements_of_a_shaped_integer_are_summed(outer):
    logits, index = floats(*outer, 2, 4), RANDOM.integers(0, 4, (*outer, 2))
    choice = Independent(Categorical(logits, minimum=1), 1)
    found = nested_loss(choice, (index + 1).astype(np.int32), LEVERS)
    np.testing.assert_allclose(found, cross_entropy(logits, index).sum(-1), rtol=1e-5)


@either
@pytest.mark.parametrize("spec", [GAS, STEER, MATRIX], ids=str)
@pytest.mark.parametrize("kind", ["sample", "mode", "log_likelihood"])
def test_elements_of_a_float_are_averaged_whatever_the_kind_if_the_output_is_an_array(outer, spec, kind):
    output, action = floats(*outer, *spec.shape), floats(*outer, *spec.shape)
    axes = tuple(range(len(outer), output.ndim))
    want = ((output - action).astype(float) ** 2).mean(axis=axes)
    found = nested_loss(jnp.asarray(output), action, spec, kind, jax.random.key(0))
    assert found.shape == outer
    np.testing.assert_allclose(found, want, rtol=1e-5)


@either
def test_the_mode_of_a_distribution_is_the_squared_error(outer):
    loc, action = floats(*outer, 2), floats(*outer, 2)
    found = nested_loss(Normal(loc, 0.7, event_ndims=1), action, STEER)
    np.testing.assert_allclose(found, ((loc - action) ** 2).mean(-1), rtol=1e-5)


@either
def test_log_likelihood_is_the_negative_log_density(outer):
    loc, action, scale = floats(*outer, 2), floats(*outer, 2), np.array([0.5, 2.0])
    found = nested_loss(Normal(loc, scale, event_ndims=1), action, STEER, "log_likelihood")
    want = (((action - loc) / scale) ** 2 / 2 + np.log(scale) + np.log(2 * np.pi) / 2).sum(-1)
    np.testing.assert_allclose(found, want, rtol=1e-5)
    squashed = TanhNormal(loc, scale, -1.0, 1.0, event_ndims=1)
    inside = np.tanh(action)
    density = want + np.log(1 - inside.astype(float) ** 2).sum(-1)
    np.testing.assert_allclose(nested_loss(squashed, inside, STEER, "log_likelihood"), density, rtol=1e-3, atol=1e-4)


def test_a_sample_costs_the_error_of_the_mode_and_the_variance():
    """E (m + s z - a)**2 = (m - a)**2 + s**2; here 0.25 + 4, of 40000 rows with 2 elements, to 4 deviations."""
    loc, action = np.full((40_000, 2), 0.5, np.float32), np.zeros((40_000, 2), np.float32)
    distribution = Normal(loc, 2.0, event_ndims=1)
    found = nested_loss(distribution, action, STEER, "sample", jax.random.key(0))
    deviation = np.sqrt((2 * 16 + 4 * 0.25 * 4) / 80_000)  # var of (m + s z)**2 is 2 s**4 + 4 m**2 s**2
    np.testing.assert_allclose(np.mean(found), 4.25, atol=4 * deviation)
    again = nested_loss(distribution, action, STEER, "sample", jax.random.key(0))
    other = nested_loss(distribution, action, STEER, "sample", jax.random.key(1))
    np.testing.assert_array_equal(found, again)
    assert not np.array_equal(found, other)
    assert len(np.unique(found)) > 39_000  # every row has a sample of its own


def test_the_loss_of_a_nest_is_the_sum_over_its_leaves():
    nest = {"gear": SHIFTED, "rest": (STEER, [MATRIX])}
    output = {"gear": jnp.asarray(floats(5, 4)), "rest": (Normal(floats(5, 2), 0.5, 1), [jnp.asarray(floats(5, 2, 3))])}
    index = RANDOM.integers(0, 4, 5)
    action = {"gear": (index - 2).astype(np.int32), "rest": (floats(5, 2), [floats(5, 2, 3)])}
    matrix = ((output["rest"][1][0] - action["rest"][1][0]) ** 2).mean(axis=(1, 2))
    first = cross_entropy(output["gear"], index) + np.asarray(matrix)
    mode = ((output["rest"][0].loc - action["rest"][0]) ** 2).mean(-1)
    np.testing.assert_allclose(nested_loss(output, action, nest), first + mode, rtol=1e-5)
    density = (((action["rest"][0] - output["rest"][0].loc) / 0.5) ** 2 / 2 + np.log(0.5 * np.sqrt(2 * np.pi))).sum(-1)
    np.testing.assert_allclose(nested_loss(output, action, nest, "log_likelihood"), first + density, rtol=1e-5)


def test_leaves_sample_with_keys_of_their_own():
    nest = {"a": GAS, "b": GAS}
    output = {key: Normal(jnp.zeros(1000), 1.0) for key in nest}
    zeros = np.zeros(1000, np.float32)

    def losses(key):
        return nested_loss(output, {"a": zeros, "b": zeros}, nest, "sample", key)

    # z**2 + z'**2 is chi-square of 2 degrees: variance 4. Were the two the same number, 2 z**2 would have 8.
    np.testing.assert_allclose(np.var(losses(jax.random.key(0))), 4.0, rtol=0.35)


def test_gradients_reach_the_spread_only_where_they_should():
    def gradient(kind):
        def loss(scale):
            distribution = Normal(jnp.zeros((2000, 2)), scale, event_ndims=1)
            return jnp.mean(nested_loss(distribution, jnp.ones((2000, 2)), STEER, kind, jax.random.key(0)))

        return float(jax.jit(jax.grad(loss))(0.5))

    assert gradient("mode") == 0.0
    np.testing.assert_allclose(gradient("sample"), 2 * 0.5, atol=0.2)  # of (m - a)**2 + s**2
    np.testing.assert_allclose(gradient("log_likelihood"), 2 * (1 / 0.5 - 1 / 0.5**3), rtol=1e-4)


@pytest.mark.parametrize(
    ("spec", "output", "action", "got"),
    [
        (GAS, (5, 1), (5,), r"\(5, 1\)"),
        (GAS, (5,), (5, 1), r"\(5,\)"),
        (STEER, (5, 1), (5, 2), r"\(5, 1\)"),
        (STEER, (1, 2), (5, 2), r"\(1, 2\)"),
    ],
)
def test_shapes_that_would_broadcast_are_refused(spec, output, action, got):
    with pytest.raises(SpecError, match=rf"does not have the shape of the action(?s:.*)got  {got}"):
        nested_loss(jnp.zeros(output), np.zeros(action, np.float32), spec)


def test_logits_of_other_rows_are_refused_and_the_leaf_is_named():
    with pytest.raises(SpecError, match=r"shape of the action\n  expected  logits \(5, 'A'\)"):
        nested_loss(jnp.zeros((1, 4)), np.zeros(5, np.int32), GEAR)
    both = {"a": jnp.zeros((5, 2)), "b": jnp.zeros((5, 1))}
    with pytest.raises(SpecError, match=r"at \['b'\]"):
        nested_loss(both, {"a": np.zeros((5, 2)), "b": np.zeros(5)}, {"a": STEER, "b": GAS})
    with pytest.raises(SpecError, match="shape of the action"):
        nested_loss(Normal(jnp.zeros((5, 1)), 1.0), np.zeros(5, np.float32), GAS, "mode")
    with pytest.raises(SpecError):
        nested_loss(Normal(jnp.zeros((5, 1)), 1.0), np.zeros(5, np.float32), GAS, "log_likelihood")


def test_a_sample_needs_a_key():
    with pytest.raises(SpecError, match="needs a key"):
        nested_loss(Normal(jnp.zeros(5), 1.0), np.zeros(5, np.float32), GAS, "sample")


@pytest.mark.parametrize("action", [-3, 2])
def test_a_label_outside_the_spec_has_no_finite_loss(action):
    """The guard refuses a step whose loss is not finite; a finite number would train on another action."""
    found = nested_loss(jnp.zeros((2, 4)), jnp.array([action, 0], jnp.int32), SHIFTED)
    assert not np.isfinite(found[0])
    np.testing.assert_allclose(found[1], np.log(4), rtol=1e-6)


def test_an_unknown_kind_is_refused():
    with pytest.raises(ConfigError, match="unknown kind"):
        nested_loss(Normal(jnp.zeros(5), 1.0), np.zeros(5, np.float32), GAS, "median")
