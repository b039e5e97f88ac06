"""Zeros of a spec, and their shapes."""

import jax
import numpy as np

from jaxdaw import specs
from jaxdaw.specs import BoundedTensorSpec, TensorSpec

NEST = {"a": BoundedTensorSpec((2,), "int32", [0, 1], 5, "x"), "b": (TensorSpec((), "float64", "y"),)}


def test_zeros_have_device_dtypes_and_zeros_numpy_the_specs():
    spec = {"a": BoundedTensorSpec((2,), "int64", 1, 2), "b": TensorSpec((), "float64")}
    on_device, on_host = specs.zeros(spec, (3,)), specs.zeros_numpy(spec, (3,))
    assert (on_device["a"].dtype, on_host["a"].dtype) == (np.int32, np.int64)
    assert isinstance(on_device["b"], jax.Array)
    assert on_host["b"].flags.writeable
    for value in (on_device, on_host):
        specs.check(value, spec, (3,), check_bounds=False)
        assert not any(np.asarray(leaf).any() for leaf in specs.flatten(value))


def test_to_shape_dtype_struct_is_the_shape_of_zeros():
    structs = specs.to_shape_dtype_struct(NEST, (4,))
    assert structs == jax.eval_shape(lambda: specs.zeros(NEST, (4,)))
    assert structs["b"][0].dtype == np.float32  # float64 is float32 on the device
    with jax.enable_x64(True):
        assert specs.to_shape_dtype_struct(NEST)["b"][0].dtype == np.float64
