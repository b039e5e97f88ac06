"""sample: ranges, frequencies, edges of the dtypes, and that they are pure."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from jaxdaw import specs
from jaxdaw.specs import BoundedTensorSpec, TensorSpec

KEY = jax.random.key(3)
NUM_DRAWS = 12_000


def chi_square(draws, counts):
    """Pearson's statistic against equal frequencies, as standard deviations from its mean.

    A chi-square variable of k - 1 degrees of freedom has the mean k - 1 and the variance 2 (k - 1).
    """
    observed = np.bincount(draws.astype(np.int64), minlength=counts)
    expected = len(draws) / counts
    statistic = ((observed - expected) ** 2 / expected).sum()
    return (statistic - (counts - 1)) / np.sqrt(2 * (counts - 1))


@settings(max_examples=25, deadline=None)
@given(
    data=st.data(), dtype=st.sampled_from(["int8", "uint8", "int16", "int32", "uint32", "float16", "float32", "bool"])
)
def test_samples_satisfy_their_spec(data, dtype):
    elements = hnp.from_dtype(np.dtype(dtype), allow_nan=False)
    one, other = (data.draw(hnp.arrays(dtype, (2,), elements=elements)) for _ in range(2))
    spec = BoundedTensorSpec((2,), dtype, np.minimum(one, other), np.maximum(one, other))
    draws = specs.sample(spec, KEY, (50,))
    specs.check(np.asarray(draws), spec, (50,))
    assert np.isfinite(np.asarray(draws, np.float64)).all()


@pytest.mark.parametrize(
    ("dtype", "low", "high"),
    [
        ("uint8", 0, 255),
        ("uint8", 250, 255),
        ("int8", -128, 127),
        ("int32", 2**31 - 7, 2**31 - 1),
        ("int32", -(2**31), -(2**31) + 2),
        ("uint32", 2**32 - 3, 2**32 - 1),
        ("int64", -3, 3),
        ("int32", -100, 99),
    ],
)
def test_integers_are_uniform_up_to_the_edge_of_the_dtype(dtype, low, high):
    draws = np.asarray(specs.sample(BoundedTensorSpec((), dtype, low, high), KEY, (NUM_DRAWS,)))
    assert (draws.min(), draws.max()) == (low, high)
    assert abs(chi_square(draws.astype(np.int64) - low, high - low + 1)) < 5


@pytest.mark.parametrize(("dtype", "low"), [("int32", -(2**31)), ("uint32", 0)])
def test_integers_of_the_full_span_do_not_overflow(dtype, low):
    for spec in (BoundedTensorSpec((), dtype, low, low + 2**32 - 1), TensorSpec((), dtype)):
        draws = np.asarray(specs.sample(spec, KEY, (NUM_DRAWS,))).astype(np.int64)
        assert abs(chi_square((draws - low) // 2**26, 64)) < 5  # 64 bins of equal width


def test_full_span_and_narrow_bounds_may_be_mixed():
    spec = BoundedTensorSpec((3,), "int32", [-(2**31), 0, 5], [2**31 - 1, 1, 5])
    draws = np.asarray(specs.sample(spec, KEY, (NUM_DRAWS,)))
    assert abs(draws[:, 0].mean(dtype=float)) < 5 * 2**32 / np.sqrt(12 * NUM_DRAWS)
    assert set(draws[:, 1]) == {0, 1}
    assert set(draws[:, 2]) == {5}


def test_64_bit_integers_when_x64_is_on():
    with jax.enable_x64(True):
        spec = BoundedTensorSpec((2,), "int64", [-(2**63), 2**62], [2**63 - 1, 2**62 + 1])
        draws = np.asarray(specs.sample(spec, KEY, (NUM_DRAWS,)))
        specs.check(draws, spec, 1)
        assert draws.dtype == np.int64
        assert abs(chi_square((draws[:, 0].astype(object) // 2**58 + 32).astype(int), 64)) < 5
        assert set(draws[:, 1] - 2**62) == {0, 1}


def test_bool_is_a_fair_coin_within_its_bounds():
    draws = np.asarray(specs.sample(TensorSpec((), bool), KEY, (NUM_DRAWS,)))
    assert draws.dtype == bool
    assert abs(draws.mean() - 0.5) < 5 * 0.5 / np.sqrt(NUM_DRAWS)
    assert np.asarray(specs.sample(BoundedTensorSpec((), bool, True, True), KEY, (99,))).all()


def test_floats_are_uniform_and_honour_bounds_per_element():
    spec = BoundedTensorSpec((2, 2), "float32", [0.0, -4.0], [[1.0], [2.0]])
    draws = np.asarray(specs.sample(spec, KEY, (NUM_DRAWS,)))
    low, high = np.array([[0.0, -4.0], [0.0, -4.0]]), np.array([[1.0, 1.0], [2.0, 2.0]])
    units = (draws - low) / (high - low)
    for unit in units.reshape(NUM_DRAWS, 4).T:
        assert abs(chi_square(np.minimum(unit * 50, 49), 50)) < 5


@pytest.mark.parametrize("dtype", ["float16", "float32", jnp.bfloat16])
@pytest.mark.parametrize("bounds", [None, (-np.inf, np.inf), (0.0, np.inf), (-np.inf, -2.0)])
def test_missing_and_infinite_bounds_count_as_an_eighth_of_the_extreme(dtype, bounds):
    spec = TensorSpec((), dtype) if bounds is None else BoundedTensorSpec((), dtype, *bounds)
    extreme = float(jnp.finfo(dtype).max)
    low, high = np.clip((-np.inf, np.inf) if bounds is None else bounds, -extreme / 8, extreme / 8)
    draws = np.asarray(specs.sample(spec, KEY, (2000,)), np.float64)
    assert low <= draws.min() < low + 0.01 * (high - low)
    assert high - 0.01 * (high - low) < draws.max() <= high


def test_bounds_beyond_an_eighth_of_the_extreme_are_kept():
    draws = np.asarray(specs.sample(BoundedTensorSpec((), "float32", 2e38, np.inf), KEY, (1000,)))
    assert draws.min() >= np.float32(2e38)
    assert np.isfinite(draws).all()
    assert specs.sample(BoundedTensorSpec((), "float32", 3e38, 3e38), KEY) == np.float32(3e38)


def test_float64_specs_are_sampled_in_float32():
    draws = specs.sample(BoundedTensorSpec((), "float64", -1e300, 0.1), KEY, (100,))
    assert draws.dtype == np.float32
    assert np.isfinite(draws).all()
    assert draws.max() <= np.float32(0.1)


def test_each_leaf_and_each_element_has_its_own_draw():
    leaf = TensorSpec((50,), "float32")
    nest = specs.sample({"a": leaf, "b": (leaf, leaf)}, KEY, (2,))
    rows = np.concatenate([np.asarray(x) for x in specs.flatten(nest)])
    assert rows.shape == (6, 50)
    assert len(np.unique(rows)) == 300


def test_nest_keeps_its_structure():
    spec = {"b": [TensorSpec((), "int32")], "a": ()}
    assert specs.sample(spec, KEY).keys() == {"a", "b"}
    assert specs.sample((), KEY) == ()


@pytest.mark.parametrize("key", [KEY, jax.random.PRNGKey(3)], ids=["typed", "legacy"])
def test_sample_is_pure_under_jit_and_vmap(key):
    spec = {"a": BoundedTensorSpec((2,), "int32", 0, [9, 99]), "b": BoundedTensorSpec((), "float32", 0, 1)}
    plain = specs.sample(spec, key, (3,))
    jitted = jax.jit(lambda key: specs.sample(spec, key, (3,)))(key)
    jax.tree.map(np.testing.assert_array_equal, plain, jitted)
    keys = jax.random.split(key, 4)
    mapped = jax.vmap(lambda key: specs.sample(spec, key, (3,)))(keys)
    jax.tree.map(np.testing.assert_array_equal, jax.tree.map(lambda x: x[2], mapped), specs.sample(spec, keys[2], (3,)))


def test_sample_promotes_no_ranks():
    with jax.numpy_rank_promotion("raise"):
        specs.sample(BoundedTensorSpec((2,), "int32", [-(2**31), 0], [2**31 - 1, 7]), KEY, (3, 4))
        specs.sample(BoundedTensorSpec((2,), "float32", [0, 1], 2), KEY, (3, 4))
