"""HeteroscedasticQNetwork: means as of a QNetwork, log-variances within their bounds."""

import jax
import numpy as np
import pytest

from jaxdaw import specs
from jaxdaw.errors import ConfigError
from jaxdaw.networks import HeteroscedasticQNetwork

OBSERVATION = specs.TensorSpec((2,), np.float32)
ACTION = specs.BoundedTensorSpec((), np.int32, 0, 2)


def test_log_variances_are_clipped_and_learn_nothing_outside():
    network = HeteroscedasticQNetwork(OBSERVATION, ACTION, fc_layer_params=None, min_variance=0.5, max_variance=2.0)
    assert network.variable_names == ["q/kernel", "q/bias", "log_variance/kernel", "log_variance/bias"]
    kernel, bias = network.variables[2:]
    kernel.set_value(np.float32([[1, 0, 0], [0, 1, 0]]))
    bias.set_value(np.zeros(3, np.float32))
    observation = np.float32([[5.0, -5.0]])
    output, _ = network(observation)
    np.testing.assert_allclose(output.log_variance, [[np.log(2), np.log(0.5), 0.0]], rtol=1e-6)
    np.testing.assert_allclose(
        output.mean, observation @ network.variables[0].get_value() + network.variables[1].get_value(), rtol=1e-5
    )
    weights = network.get_weights()
    gradient = jax.grad(lambda p: network.apply(weights._replace(params=p), observation)[0].log_variance.sum())(
        weights.params
    )
    np.testing.assert_array_equal(gradient["log_variance"]["bias"], [0.0, 0.0, 1.0])


@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (2.0, 1.0), (1.0, np.inf)])
def test_bounds_of_the_variance_must_be_in_order(low, high):
    with pytest.raises(ConfigError, match="bounds of the variance"):
        HeteroscedasticQNetwork(OBSERVATION, ACTION, min_variance=low, max_variance=high)
