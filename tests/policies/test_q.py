import numpy as np
import pytest

from jaxdaw import networks, specs, trajectories
from jaxdaw.errors import ConfigError, SpecError
from jaxdaw.policies import QPolicy

from .test_base import ACTION, OBSERVATION, STEP


def test_values_are_logits_golden():
    """W = [[2, 1], [1, 1]], b = [1, 1], observation [1, 2]: logits [5, 4], log P(0) = -0.31326166."""
    spec, action = specs.TensorSpec((2,), np.float32), specs.BoundedTensorSpec((), np.int32, 0, 1)
    network = networks.QNetwork(spec, action, fc_layer_params=None)
    kernel, bias = network.variables
    kernel.set_value(np.array([[2.0, 1.0], [1.0, 1.0]], np.float32))
    bias.set_value(np.ones(2, np.float32))
    policy = QPolicy(trajectories.time_step_spec(spec), action, network)
    step = policy.distribution(trajectories.restart(np.array([[1.0, 2.0]], np.float32), 1))
    np.testing.assert_allclose(step.action.logits, [[5.0, 4.0]])
    np.testing.assert_allclose(step.action.log_prob(np.array([0])), [-0.31326166], rtol=1e-6)


def test_a_shifted_action_is_minimum_plus_index():
    shifted = specs.BoundedTensorSpec((), np.int32, 2, 4)
    policy = QPolicy(STEP, shifted, networks.QNetwork(OBSERVATION, shifted), validate_action_spec_and_network=False)
    actions = [int(policy.action(np.zeros(3, np.float32), seed=s).action) for s in range(50)]
    assert set(actions) == {2, 3, 4}


def test_what_is_not_a_network_or_does_not_fit_is_refused():
    with pytest.raises(ConfigError, match="from_factory"):
        QPolicy(STEP, ACTION, lambda x: x)
    narrow = networks.QNetwork(OBSERVATION, specs.BoundedTensorSpec((), np.int32, 0, 1))
    with pytest.raises(SpecError, match=r"expected  float32 \(4,\) +got  float32 \(2,\)"):
        QPolicy(STEP, ACTION, narrow)
    other = networks.QNetwork(specs.TensorSpec((5,), np.float32), ACTION)
    with pytest.raises(SpecError, match="made for other observations"):
        QPolicy(STEP, ACTION, other)
