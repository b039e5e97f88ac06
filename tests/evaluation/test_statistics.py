import numpy as np
import pytest

from jaxdaw.evaluation import bootstrap_interval, iqm


def test_iqm_is_the_mean_of_the_middle_half_with_parts_of_values():
    assert iqm([0.0, 1.0, 2.0, 100.0]) == 1.5
    # five values: a quarter is 1.25 of them, so the second and fourth count three quarters
    np.testing.assert_allclose(iqm([1.0, 2.0, 3.0, 4.0, 1000.0]), (0.75 * 2 + 3 + 0.75 * 4) / 2.5)
    assert iqm([7.0]) == 7.0


def test_iqm_does_not_mind_order_or_axis():
    values = np.random.default_rng(0).normal(size=(4, 9))
    np.testing.assert_allclose(iqm(values, axis=0), [iqm(np.random.default_rng(1).permutation(c)) for c in values.T])


def test_the_interval_covers_the_mean_as_often_as_it_says():
    """400 samples of 60 normal numbers: the percentile bootstrap covers slightly less than 95 % (in theory 94 %)."""
    random = np.random.default_rng(0)
    hits = 0
    for trial in range(400):
        low, high = bootstrap_interval(random.normal(size=60), resamples=400, seed=trial)
        hits += low <= 0.0 <= high
    assert 0.91 <= hits / 400 <= 0.97


def test_the_interval_is_the_normal_one_for_many_samples():
    samples = np.random.default_rng(0).normal(3.0, 2.0, 2_000)
    low, high = bootstrap_interval(samples)
    half = 1.96 * samples.std() / np.sqrt(2_000)
    np.testing.assert_allclose([low, high], [samples.mean() - half, samples.mean() + half], atol=0.01)


@pytest.mark.parametrize("statistic", [np.mean, np.median, iqm])
def test_any_statistic_and_the_same_seed_the_same_interval(statistic):
    samples = np.random.default_rng(0).exponential(size=50)
    first = bootstrap_interval(samples, statistic, seed=1)
    assert first == bootstrap_interval(samples, statistic, seed=1)
    assert first.low < statistic(samples) < first.high
