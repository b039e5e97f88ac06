import jax
import jax.numpy as jnp
import numpy as np

from jaxdaw.agents import Histogram
from jaxdaw.agents._summaries import distribution_summary, gradient_summaries, histogram, variable_summaries


def test_histogram_equals_numpy():
    values = np.random.default_rng(0).normal(size=(7, 11)).astype(np.float32)
    got = jax.jit(histogram)(values)
    counts, limits = np.histogram(values, bins=30)
    np.testing.assert_allclose(got.limits, limits, rtol=1e-5, atol=1e-6)
    assert np.abs(np.asarray(got.counts) - counts).sum() <= 2  # a value on an edge may fall to either side
    np.testing.assert_allclose(
        [got.minimum, got.maximum, got.total], [values.min(), values.max(), values.sum()], rtol=1e-4
    )
    np.testing.assert_allclose(got.total_squares, (values**2).sum(), rtol=1e-5)


def test_histogram_of_equal_values():
    got = histogram(jnp.full(5, 2.0))
    assert float(got.counts.sum()) == 5
    assert np.isfinite(got.limits).all()


def test_tags_are_those_of_tf_agents():
    assert set(distribution_summary("loss/td_error", jnp.arange(3.0))) == {
        f"loss/td_error/{name}" for name in ("histogram", "mean", "mean_abs", "max", "min", "std")
    }
    tree = {"q_network": {"layer_0": {"kernel": jnp.array([3.0, 4.0]), "count": jnp.array(1)}}}
    found = variable_summaries(tree, {})
    name = "q_network/layer_0/kernel"
    assert set(found) == {f"Variables/{name}", f"summarize_vars/{name}_value", f"summarize_vars/{name}_value_norm"}
    assert float(found[f"summarize_vars/{name}_value_norm"]) == 5.0
    assert isinstance(gradient_summaries({"w": jnp.ones(2)})["summarize_grads/w_gradient"], Histogram)
