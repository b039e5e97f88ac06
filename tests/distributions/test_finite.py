"""Distributions over a finite number of actions, against distrax where it is right and against counts elsewhere."""

from __future__ import annotations

from typing import Any

import chex
import distrax
import hypothesis
import hypothesis.extra.numpy as arrays
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdaw.distributions import Boltzmann, Categorical, EpsilonGreedy, Greedy, invalid_action
from jaxdaw.errors import MaskError, SpecError

KINDS = {
    "categorical": Categorical,
    "greedy": Greedy,
    "boltzmann": lambda *args, **kwargs: Boltzmann(*args, **kwargs, temperature=0.7),
    "epsilon_greedy": lambda *args, **kwargs: EpsilonGreedy(*args, **kwargs, epsilon=0.3),
}
VALUES = np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32)
MASK = np.array([[1, 1, 1, 1], [1, 0, 1, 0], [0, 0, 0, 1], [0, 1, 1, 1], [1, 1, 0, 0]], bool)


def chi_square(counts: np.ndarray, probs: np.ndarray) -> float:
    """Returns Pearson's statistic over the entries that can happen."""
    expected = probs * counts.sum()
    return float((((counts - expected) ** 2)[probs > 0] / expected[probs > 0]).sum())


# Against distrax.


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (Categorical(VALUES), distrax.Categorical(logits=jnp.asarray(VALUES))),
        (Boltzmann(VALUES, temperature=0.3), distrax.Softmax(jnp.asarray(VALUES), temperature=0.3)),
        (Greedy(VALUES), distrax.Greedy(jnp.asarray(VALUES))),
        (EpsilonGreedy(VALUES, epsilon=0.2), distrax.EpsilonGreedy(jnp.asarray(VALUES), epsilon=0.2)),
    ],
    ids=["categorical", "boltzmann", "greedy", "epsilon_greedy"],
)
def test_equals_distrax_without_a_mask(ours: Any, theirs: Any):
    actions = jnp.arange(4)[:, None] * jnp.ones(5, jnp.int32)
    np.testing.assert_allclose(ours.probs, theirs.probs, rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(np.exp(ours.log_prob(actions)), np.exp(theirs.log_prob(actions)), rtol=1e-5, atol=1e-7)
    np.testing.assert_array_equal(ours.mode(), theirs.mode())
    if not isinstance(ours, Greedy):  # distrax gives NaN for 0 log 0
        np.testing.assert_allclose(ours.entropy(), theirs.entropy(), rtol=1e-5)


def test_masked_categorical_equals_distrax_over_the_allowed_actions_alone():
    ours = Categorical(VALUES, MASK)
    for row, mask in enumerate(MASK):
        theirs = distrax.Categorical(logits=jnp.asarray(VALUES[row][mask]))
        np.testing.assert_allclose(ours.probs[row][mask], theirs.probs, rtol=1e-5)
        np.testing.assert_allclose(ours.entropy()[row], theirs.entropy(), rtol=1e-5, atol=1e-6)


# Masks, ties, and rows that nothing is left of.


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_not_allowed_has_no_probability_and_never_happens(kind: str):
    distribution = KINDS[kind](VALUES, MASK)
    assert np.all(np.asarray(distribution.probs)[~MASK] == 0.0)
    np.testing.assert_allclose(distribution.probs.sum(-1), 1.0, rtol=1e-6)
    samples = np.asarray(distribution.sample(jax.random.key(0), (5000,)))
    assert np.take_along_axis(np.broadcast_to(MASK, (5000, 5, 4)), samples[..., None], -1).all()
    assert np.take_along_axis(MASK, np.asarray(distribution.mode())[:, None], -1).all()


@pytest.mark.parametrize("kind", KINDS)
def test_masked_values_do_not_matter_whatever_they_are(kind: str):
    expected = KINDS[kind](VALUES, MASK)
    for stray in (np.nan, np.inf, -np.inf, 3e38):
        distribution = KINDS[kind](np.where(MASK, VALUES, np.float32(stray)), MASK)
        np.testing.assert_array_equal(distribution.probs, expected.probs)
        np.testing.assert_array_equal(distribution.entropy(), expected.entropy())


@pytest.mark.parametrize("kind", KINDS)
def test_mask_of_integers_or_fewer_axes_is_accepted(kind: str):
    np.testing.assert_array_equal(KINDS[kind](VALUES, MASK.astype(np.int32)).probs, KINDS[kind](VALUES, MASK).probs)
    everywhere = np.broadcast_to(MASK[1], MASK.shape)
    np.testing.assert_array_equal(KINDS[kind](VALUES, MASK[1]).probs, KINDS[kind](VALUES, everywhere).probs)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("bad", [np.nan, np.inf, None])
def test_row_that_is_not_valid_emits_the_sentinel(kind: str, bad: float | None):
    values, mask = VALUES.copy(), MASK.copy()
    if bad is None:
        mask[1] = False
    else:
        values[1, 0] = bad
    distribution = KINDS[kind](values, mask, dtype=np.int32)
    assert distribution.is_valid.tolist() == [True, False, True, True, True]
    sentinel = invalid_action(np.int32)
    for actions in (distribution.mode(), distribution.sample(jax.random.key(1))):
        assert actions.dtype == np.int32
        assert (np.asarray(actions) == sentinel).tolist() == [False, True, False, False, False]
    assert distribution.probs[1].tolist() == [0, 0, 0, 0]
    assert distribution.entropy()[1] == 0
    assert np.all(np.isneginf(distribution.log_prob(jnp.zeros(5, jnp.int32))[1]))


@pytest.mark.parametrize("parameter", [{"kind": Boltzmann, "temperature": np.nan}, {"kind": EpsilonGreedy}])
def test_row_whose_parameter_is_nan_is_not_valid(parameter: dict[str, Any]):
    if parameter["kind"] is Boltzmann:
        distribution = Boltzmann(VALUES, temperature=np.array([1, np.nan, 1, 1, 1]))
    else:
        distribution = EpsilonGreedy(VALUES, epsilon=np.array([0.1, np.nan, 0.1, 0.1, 0.1]))
    assert distribution.is_valid.tolist() == [True, False, True, True, True]


def test_ties_go_to_the_lowest_action_for_the_greedy_and_are_shared_at_temperature_zero():
    tied = np.array([[1.0, 3.0, 3.0]])
    assert Greedy(tied).mode().tolist() == [1]
    assert EpsilonGreedy(tied, epsilon=0.0).probs.tolist() == [[0, 1, 0]]
    assert Boltzmann(tied, temperature=0.0).probs.tolist() == [[0, 0.5, 0.5]]


def test_sentinels_are_outside_every_range():
    assert invalid_action(np.int32) == -(2**31)
    assert invalid_action(np.int8) == -128
    assert invalid_action(np.uint8) == 255


# Actions that do not start at 0.


@pytest.mark.parametrize("kind", KINDS)
def test_actions_start_at_the_minimum(kind: str):
    plain, moved = KINDS[kind](VALUES, MASK), KINDS[kind](VALUES, MASK, minimum=-3, dtype=np.int8)
    key = jax.random.key(2)
    np.testing.assert_array_equal(moved.sample(key), plain.sample(key) - 3)
    np.testing.assert_array_equal(moved.mode(), plain.mode() - 3)
    assert moved.mode().dtype == np.int8
    np.testing.assert_array_equal(moved.log_prob(moved.mode()), plain.log_prob(plain.mode()))
    assert np.all(np.isneginf(moved.log_prob(jnp.full(5, 1))))  # above -3..0
    assert np.all(np.isneginf(moved.log_prob(jnp.full(5, -4))))


@pytest.mark.parametrize("kind", KINDS)
def test_log_probability_of_one_action_is_that_among_all(kind: str):
    values, mask = VALUES.copy(), MASK.copy()
    values[1, 0], mask[2] = np.nan, False
    for distribution in (KINDS[kind](values, mask, minimum=-3), KINDS[kind](VALUES, minimum=-3)):
        each = np.stack([distribution.log_prob(jnp.full(5, action)) for action in range(-3, 1)], axis=-1)
        np.testing.assert_array_equal(each, distribution.log_probs)
        assert np.isneginf(distribution.log_prob(distribution.mode())).tolist() == (~distribution.is_valid).tolist()


@pytest.mark.parametrize(("minimum", "dtype"), [(-128, np.int8), (250, np.uint8), (126, np.int8)])
def test_dtype_that_cannot_hold_the_actions_and_the_sentinel_is_refused(minimum: int, dtype: Any):
    with pytest.raises(SpecError, match="cannot hold the actions"):
        Categorical(np.zeros((1, 6)), minimum=minimum, dtype=dtype)


def test_mask_of_another_length_is_refused():
    with pytest.raises(MaskError, match=r"expected  \[\.\.\., 4\] +got  \(5, 3\)"):
        Categorical(VALUES, np.ones((5, 3)))


# Frequencies of a million draws.


@pytest.mark.parametrize("kind", KINDS)
def test_frequencies_of_a_million_draws_are_the_probabilities(kind: str):
    values = np.array([0.3, -1.2, 1.1, 0.9, 1.1, -4.0, 0.0], np.float32)
    mask = np.array([1, 1, 0, 1, 1, 1, 1])
    distribution = KINDS[kind](values, mask)
    counts = np.bincount(np.asarray(distribution.sample(jax.random.key(3), (10**6,))), minlength=7)
    # 5 degrees of freedom: 30 is exceeded once in 100,000 times.
    assert chi_square(counts, np.asarray(distribution.probs, np.float64)) < 30


def test_epsilon_is_each_rows_own():
    distribution = EpsilonGreedy(np.tile(VALUES[:1], (3, 1)), epsilon=np.array([0.0, 0.5, 1.0]))
    greedy = int(distribution.mode()[0])
    share = (np.asarray(distribution.sample(jax.random.key(4), (10**5,))) == greedy).mean(0)
    np.testing.assert_allclose(share, [1.0, 0.625, 0.25], atol=0.006)
    np.testing.assert_allclose(distribution.probs[:, greedy], [1.0, 0.625, 0.25], rtol=1e-6)
    assert EpsilonGreedy(VALUES, epsilon=1.0000001).probs.min() == 0.25  # clipped, not wrapped


def test_rows_are_independent():
    samples = np.asarray(Categorical(np.zeros((2, 2))).sample(jax.random.key(5), (10**5,)))
    assert abs(np.corrcoef(samples.T)[0, 1]) < 0.015


def test_extreme_uniform_numbers_never_select_what_cannot_happen():
    values = np.array([[-np.inf, 0.0, 0.0, -np.inf]], np.float32)
    for kind in KINDS.values():
        distribution = kind(values, np.array([False, True, True, False]))
        for uniform in (0.0, np.nextafter(np.float32(1), np.float32(0)), 1.0):
            assert int(distribution.sample_from_uniform(jnp.full((1,), uniform))[0]) in (1, 2)


# What is refused, and what is returned for one number too few.


@pytest.mark.parametrize("kind", KINDS)
def test_values_of_another_shape_are_refused_not_broadcast(kind: str):
    distribution = KINDS[kind](VALUES)
    with pytest.raises(SpecError, match="value does not fit the rows"):
        distribution.log_prob(jnp.zeros((5, 1), jnp.int32))
    if kind != "greedy":
        with pytest.raises(SpecError, match="uniform does not fit the rows"):
            distribution.sample_from_uniform(jnp.zeros(()))
    assert distribution.log_prob(jnp.zeros((7, 5), jnp.int32)).shape == (7, 5)


# Gradients and transformations.


@pytest.mark.parametrize("kind", [Categorical, lambda *a: Boltzmann(*a, temperature=0.5)])
@pytest.mark.parametrize("spoil", ["mask", "nan"])
def test_gradients_are_finite_where_rows_or_actions_are_not_valid(kind: Any, spoil: str):
    values, mask = VALUES.copy(), MASK.copy()
    if spoil == "mask":
        mask[2] = False
    else:
        values[2] = np.nan

    def objective(logits: jax.Array) -> jax.Array:
        distribution = kind(logits, mask)
        log_prob = distribution.log_prob(jnp.array([0, 0, 3, 1, 1]))
        return jnp.sum(jnp.where(jnp.isfinite(log_prob), log_prob, 0.0)) + jnp.sum(distribution.entropy())

    gradient = np.asarray(jax.grad(objective)(jnp.asarray(values)))
    assert np.isfinite(gradient).all()
    assert (gradient[[0, 1, 3, 4]][MASK[[0, 1, 3, 4]]] != 0).any()
    assert np.all(gradient[~mask] == 0)


def test_gradient_of_the_log_prob_equals_that_of_distrax():
    action = jnp.array([0, 1, 2, 3, 0])
    ours = jax.grad(lambda x: Categorical(x).log_prob(action).sum())(jnp.asarray(VALUES))
    theirs = jax.grad(lambda x: distrax.Categorical(logits=x).log_prob(action).sum())(jnp.asarray(VALUES))
    np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_goes_through_jit_vmap_scan_and_indexing(kind: str):
    distribution = KINDS[kind](VALUES, MASK, minimum=2)
    chex.clear_trace_counter()
    probs_of = jax.jit(chex.assert_max_traces(lambda d: d.probs, n=1))
    for values in (VALUES, VALUES + 1):
        np.testing.assert_allclose(probs_of(KINDS[kind](values, MASK, minimum=2)), distribution.probs, atol=1e-6)
    np.testing.assert_array_equal(jax.vmap(lambda d: d.mode())(distribution), distribution.mode())
    _, modes = jax.lax.scan(lambda carry, d: (carry, d.mode()), None, distribution)
    np.testing.assert_array_equal(modes, distribution.mode())
    row = jax.tree.map(lambda leaf: leaf[3], distribution)
    assert row.batch_shape == ()
    assert row.event_shape == ()
    assert row.mode() == distribution.mode()[3]
    with_axes, structure = jax.tree.flatten(distribution)
    assert structure.unflatten([0] * len(with_axes)).minimum == 2  # JAX fills structures with what is no array


def test_half_precision_is_computed_in_single():
    assert Categorical(VALUES.astype(np.float16)).probs.dtype == np.float32
    assert Categorical(jnp.asarray(VALUES, jnp.bfloat16)).logits.dtype == np.float32


@hypothesis.given(
    arrays.arrays(np.float32, (3, 5), elements=st.floats(-(2.0**60), 2.0**60, width=32, allow_subnormal=False)),
    arrays.arrays(bool, (3, 5)),
    st.sampled_from(sorted(KINDS)),
)
@hypothesis.settings(deadline=None, max_examples=60)
def test_probabilities_sum_to_one_or_zero_whatever_the_values(values: np.ndarray, mask: np.ndarray, kind: str):
    distribution = KINDS[kind](values, mask)
    probs = np.asarray(distribution.probs)
    np.testing.assert_allclose(probs.sum(-1), mask.any(-1), rtol=1e-5)
    assert np.all(probs[~mask] == 0)
    entropy = np.asarray(distribution.entropy())
    assert np.all((entropy >= -1e-6) & (entropy <= np.log(5) + 1e-5))
    possible = np.where(probs > 0, probs, 1)
    np.testing.assert_allclose(entropy, -(possible * np.log(possible)).sum(-1), atol=1e-5)
