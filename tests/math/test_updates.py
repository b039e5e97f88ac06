import jax.numpy as jnp
import numpy as np

from jaxdaw import math


def test_clip_by_norm_is_per_variable():
    clip = math.clip_by_norm_per_variable(1.0)
    got, _ = clip.update({"a": jnp.array([3.0, 4.0]), "b": jnp.array([0.3, 0.4]), "c": jnp.zeros(2)}, clip.init(None))
    np.testing.assert_allclose(got["a"], [0.6, 0.8], rtol=1e-6)  # [3, 4] / 5
    np.testing.assert_allclose(got["b"], [0.3, 0.4], rtol=1e-6)  # norm .5: left alone
    np.testing.assert_array_equal(got["c"], [0.0, 0.0])


def test_soft_update_copies_integers_and_blends_floats():
    got = math.soft_update({"w": jnp.array(1.0), "n": jnp.array(1)}, {"w": jnp.array(3.0), "n": jnp.array(7)}, 0.25)
    assert float(got["w"]) == 1.5
    assert int(got["n"]) == 7
