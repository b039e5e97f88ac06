"""Projections against NumPy in float64, and against what their fresh weights must be."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jaxdaw import networks, specs
from jaxdaw.distributions import Categorical, Independent, Normal, TanhNormal
from jaxdaw.errors import SpecError
from jaxdaw.networks import CategoricalProjection, NormalProjection, TanhNormalProjection, tanh_squash_to_spec

FEATURES = np.random.default_rng(0).normal(size=(4, 6)).astype(np.float32)
STEER = specs.BoundedTensorSpec((2,), np.float32, [-1.0, 0.0], [3.0, 5.0])
MATRIX = specs.BoundedTensorSpec((2, 3), np.float32, -2.0, 2.0)
FREE = specs.TensorSpec((2,), np.float32)
GEAR = specs.BoundedTensorSpec((), np.int32, -1, 3)
LEVERS = specs.BoundedTensorSpec((2, 3), np.int32, 1, 4)


def made(kind, spec, num_features=6, **options):
    return kind(num_features, spec, rngs=nnx.Rngs(0), **options)


def dense(layer, features=FEATURES):
    kernel, bias = (np.asarray(part[...], float) for part in (layer.kernel, layer.bias))
    return np.asarray(features, float) @ kernel + bias


def squashed(x, spec):
    low, high = np.asarray(spec.minimum, float), np.asarray(spec.maximum, float)
    return (high + low) / 2 + (high - low) / 2 * np.tanh(x)


def normal_log_density(x, loc, scale, axes):
    x, loc, scale = (np.asarray(part, float) for part in (x, loc, scale))
    each = -0.5 * ((x - loc) / scale) ** 2 - np.log(scale) - 0.5 * math.log(2 * math.pi)
    return np.broadcast_to(each, x.shape).sum(axis=axes)


def softplus(x):
    return np.log1p(np.exp(x))


def test_tanh_squash_maps_the_line_onto_the_bounds():
    x = np.array([[-30.0, 0.0], [0.0, 30.0], [0.5, -0.7]], np.float32)
    found = tanh_squash_to_spec(jnp.asarray(x), STEER)
    np.testing.assert_allclose(found[:2], [[-1.0, 2.5], [1.0, 5.0]], rtol=1e-6)  # middles 1 and 2.5
    np.testing.assert_allclose(found[2], [1 + 2 * math.tanh(0.5), 2.5 + 2.5 * math.tanh(-0.7)], rtol=1e-6)
    assert tanh_squash_to_spec(jnp.asarray(x, jnp.bfloat16), STEER).dtype == jnp.bfloat16


def test_categorical_is_the_softmax_of_a_dense_layer_from_the_minimum_on():
    projection = made(CategoricalProjection, GEAR)
    choice = projection(FEATURES)
    logits = dense(projection.logits)
    probs = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    assert isinstance(choice, Categorical)
    assert logits.shape == (4, 5)  # -1, 0, 1, 2, 3
    np.testing.assert_allclose(choice.probs, probs, rtol=1e-5)
    np.testing.assert_array_equal(choice.mode(), logits.argmax(-1) - 1)
    np.testing.assert_allclose(
        choice.log_prob(jnp.array([-1, 0, 3, 2])), np.log(probs[range(4), [0, 1, 4, 3]]), rtol=1e-5
    )


def test_shaped_categorical_has_logits_for_every_element_and_sums_over_them():
    projection = made(CategoricalProjection, LEVERS)
    choice = projection(FEATURES)
    logits = dense(projection.logits).reshape(4, 2, 3, 4)
    action = np.random.default_rng(1).integers(1, 5, (4, 2, 3)).astype(np.int32)
    normalized = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    want = np.take_along_axis(normalized, action[..., None] - 1, -1).sum(axis=(1, 2, 3))
    assert isinstance(choice, Independent)
    assert (choice.batch_shape, choice.event_shape) == ((4,), (2, 3))
    np.testing.assert_allclose(choice.log_prob(action), want, rtol=1e-5)
    np.testing.assert_array_equal(choice.mode(), logits.argmax(-1) + 1)
    draws = np.asarray(choice.sample(jax.random.key(0), (50,)))
    assert draws.shape == (50, 4, 2, 3)
    assert (draws.min(), draws.max()) == (1, 4)


def test_integers_of_other_widths_keep_their_dtype():
    spec = specs.BoundedTensorSpec((), np.uint8, 3, 5)
    choice = made(CategoricalProjection, spec)(FEATURES)
    assert choice.mode().dtype == np.uint8
    assert set(np.unique(choice.sample(jax.random.key(0), (100,)))) == {3, 4, 5}


@pytest.mark.parametrize(
    "spec",
    [
        FREE,
        specs.TensorSpec((), np.int32),
        specs.BoundedTensorSpec((2,), np.int32, 0, [1, 2]),
        specs.BoundedTensorSpec((2,), np.int32, [0, 1], 3),
        STEER,
    ],
    ids=str,
)
def test_categorical_refuses_what_is_not_one_range_of_integers(spec):
    with pytest.raises(SpecError, match=r"one range of integers(?s:.*)a dictionary of actions, one for each range"):
        made(CategoricalProjection, spec)


@pytest.mark.parametrize("spec", [STEER, MATRIX], ids=str)
def test_normal_has_squashed_means_and_one_vector_of_deviations(spec):
    projection = made(NormalProjection, spec)
    projection.std_bias.set_value(jnp.linspace(-1.0, 1.0, math.prod(spec.shape)))
    choice = projection(FEATURES)
    means = squashed(dense(projection.means).reshape(4, *spec.shape), spec)
    scale = softplus(np.linspace(-1.0, 1.0, math.prod(spec.shape))).reshape(spec.shape)
    assert isinstance(choice, Normal)
    assert (choice.batch_shape, choice.event_shape) == ((4,), spec.shape)
    np.testing.assert_allclose(choice.mode(), means, rtol=1e-5)
    np.testing.assert_allclose(choice.scale, np.broadcast_to(scale, means.shape), rtol=1e-5)
    action = np.asarray(means + 0.3, np.float32)
    axes = tuple(range(1, action.ndim))
    np.testing.assert_allclose(choice.log_prob(action), normal_log_density(action, means, scale, axes), rtol=1e-4)


def test_fresh_deviations_are_035_whatever_the_features():
    np.testing.assert_allclose(made(NormalProjection, STEER)(FEATURES).scale, np.full((4, 2), 0.35), rtol=1e-6)
    dependent = made(NormalProjection, STEER, state_dependent_std=True)
    np.testing.assert_allclose(dependent(np.zeros_like(FEATURES)).scale, np.full((4, 2), 0.35), rtol=1e-6)


def test_normal_with_every_option():
    projection = made(
        NormalProjection,
        FREE,
        activation_fn=jnp.tanh,
        std_bias_initializer_value=-1.5,
        mean_transform=None,
        std_transform=jnp.exp,
        state_dependent_std=True,
    )
    choice = projection(FEATURES)
    np.testing.assert_array_equal(projection.std.bias[...], [-1.5, -1.5])
    np.testing.assert_allclose(choice.mode(), np.tanh(dense(projection.means)), rtol=1e-5)
    np.testing.assert_allclose(choice.scale, np.exp(np.tanh(dense(projection.std))), rtol=1e-5)
    doubled = made(NormalProjection, STEER, mean_transform=lambda x, spec: 2 * x + spec.maximum)
    np.testing.assert_allclose(doubled(FEATURES).mode(), 2 * dense(doubled.means) + [3, 5], rtol=1e-5)


def test_scaled_normal_squashes_samples_instead_of_means():
    projection = made(NormalProjection, STEER, scale_distribution=True)
    choice = projection(FEATURES)
    means = dense(projection.means)
    assert isinstance(choice, TanhNormal)
    np.testing.assert_allclose(choice.loc, means, rtol=1e-5, atol=1e-7)
    x = means + 0.2
    jacobian = np.log(np.array([2.0, 2.5]) * (1 - np.tanh(x) ** 2)).sum(-1)
    want = normal_log_density(x, means, 0.35, 1) - jacobian
    np.testing.assert_allclose(choice.log_prob(np.asarray(squashed(x, STEER), np.float32)), want, rtol=1e-4)


def test_tanh_normal_takes_means_and_deviations_from_one_layer():
    projection = made(TanhNormalProjection, MATRIX, std_transform=jax.nn.softplus)
    choice = projection(FEATURES)
    raw = dense(projection.projection)
    means, deviations = (half.reshape(4, 2, 3) for half in np.split(raw, 2, axis=-1))
    np.testing.assert_allclose(choice.loc, means, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(choice.scale, softplus(deviations), rtol=1e-5)
    np.testing.assert_allclose(made(TanhNormalProjection, MATRIX)(FEATURES).scale, np.exp(deviations), rtol=1e-5)
    bent = made(TanhNormalProjection, MATRIX, activation_fn=jnp.tanh)(FEATURES)
    np.testing.assert_allclose(bent.loc, np.tanh(means), rtol=1e-5, atol=1e-6)
    draws = np.asarray(choice.sample(jax.random.key(0), (200,)))
    assert (np.abs(draws) <= 2.0).all()


@pytest.mark.parametrize("factor", [0.1, 1.0])
def test_fresh_kernels_have_the_variance_asked_for(factor):
    """Truncated normals of variance factor / fan_in: of 400 x 60 numbers, to 4 deviations of 1 / sqrt(2 * 24000)."""
    wide = specs.BoundedTensorSpec((60,), np.float32, -1, 1)
    many = specs.BoundedTensorSpec((), np.int32, 0, 59)
    kernels = [
        made(NormalProjection, wide, 400, init_means_output_factor=factor).means.kernel,
        made(NormalProjection, wide, 400, init_means_output_factor=factor, state_dependent_std=True).std.kernel,
        made(CategoricalProjection, many, 400, logits_init_output_factor=factor).logits.kernel,
    ]
    for kernel in kernels:
        np.testing.assert_allclose(np.std(kernel[...]), math.sqrt(factor / 400), rtol=0.02)


def test_the_fresh_kernel_of_tanh_normal_is_glorot_uniform():
    kernel = made(TanhNormalProjection, specs.BoundedTensorSpec((50,), np.float32, -1, 1), 100).projection.kernel[...]
    limit = math.sqrt(6 / (100 + 100))
    assert 0.99 * limit < np.abs(kernel).max() <= limit
    np.testing.assert_allclose(np.std(kernel), limit / math.sqrt(3), rtol=0.02)


HALF = specs.BoundedTensorSpec((2,), np.float32, 0.0, np.inf)


@pytest.mark.parametrize("kind", [NormalProjection, TanhNormalProjection])
@pytest.mark.parametrize("spec", [FREE, HALF, GEAR], ids=str)
def test_normals_refuse_specs_that_cannot_be_squashed_to(kind, spec):
    with pytest.raises(SpecError, match="needs a float action with finite bounds"):
        made(kind, spec)


def test_only_what_is_squashed_needs_bounds():
    for spec in (FREE, HALF):
        assert made(NormalProjection, spec, mean_transform=None)(FEATURES).event_shape == (2,)
        with pytest.raises(SpecError, match="finite bounds"):
            made(NormalProjection, spec, mean_transform=None, scale_distribution=True)
    with pytest.raises(SpecError, match="needs a float action\n"):
        made(NormalProjection, GEAR, mean_transform=None)


@pytest.mark.parametrize(
    ("kind", "spec"),
    [
        (CategoricalProjection, LEVERS),
        (NormalProjection, MATRIX),
        (functools.partial(NormalProjection, state_dependent_std=True, scale_distribution=True), MATRIX),
        (TanhNormalProjection, MATRIX),
    ],
)
def test_a_sequence_is_projected_frame_by_frame(kind, spec):
    projection = made(kind, spec)
    sequence = np.stack([FEATURES, 2 * FEATURES], axis=1)
    together = projection(sequence)
    assert (together.batch_shape, together.event_shape) == ((4, 2), spec.shape)
    alone = projection(2 * FEATURES)
    action = np.ones((4, *spec.shape), spec.dtype)
    found = together.log_prob(np.stack([action, action], axis=1))[:, 1]
    np.testing.assert_allclose(found, alone.log_prob(action), rtol=1e-5)


def test_projections_are_networks_parts_and_stay_static_under_jit():
    network = networks.ActorDistributionNetwork(
        specs.TensorSpec((6,), np.float32), {"gear": GEAR, "steer": STEER}, fc_layer_params=None
    )
    assert len(network.trainable_variables) == 5  # logits' kernel and bias, means' kernel and bias, deviations
    eager = network(FEATURES)[0]
    compiled = jax.jit(lambda w, x: network.apply(w, x)[0])(network.get_weights(), FEATURES)
    np.testing.assert_allclose(compiled["steer"].loc, eager["steer"].loc, rtol=1e-6)
    np.testing.assert_allclose(compiled["gear"].logits, eager["gear"].logits, rtol=1e-6)


@pytest.mark.parametrize(
    ("kind", "spec", "layer"), [(CategoricalProjection, GEAR, "logits"), (NormalProjection, STEER, "means")]
)
def test_fresh_kernels_are_drawn_by_the_initializer_that_is_given(kind, spec, layer):
    head = made(kind, spec, kernel_initializer=jax.nn.initializers.constant(0.25))
    np.testing.assert_array_equal(np.unique(getattr(head, layer).kernel[...]), [0.25])
