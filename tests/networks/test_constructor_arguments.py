import numpy as np
from flax import nnx

from jaxdaw import networks, specs


def test_an_integer_is_a_seed_and_streams_pass_through():
    streams = nnx.Rngs(3)
    assert networks.as_rngs(streams) is streams
    spec = specs.TensorSpec((2,), np.float32)
    action = specs.BoundedTensorSpec((), np.int32, 0, 1)
    kernels = [networks.QNetwork(spec, action, rngs=r).variables[0].get_value() for r in (3, np.int64(3), nnx.Rngs(3))]
    np.testing.assert_array_equal(kernels[0], kernels[1])
    np.testing.assert_array_equal(kernels[0], kernels[2])


def test_constructor_arguments_are_remembered_by_name():
    spec = specs.TensorSpec((2,), np.float32)
    action = specs.BoundedTensorSpec((), np.int32, 0, 1)
    network = networks.QNetwork(spec, action, fc_layer_params=(5,))
    assert network.constructor_arguments() == {
        "input_tensor_spec": spec,
        "action_spec": action,
        "fc_layer_params": (5,),
    }
