"""Specs of arrays (shape, dtype, bounds), nests of specs, and conversions from and to other libraries.

Spec objects are leaves of every nest. `None` is not: nothing is `()`.
"""

from jaxdaw.specs._batch import is_batched, outer_shape
from jaxdaw.specs._check import check
from jaxdaw.specs._check import in_native_order as in_native_order
from jaxdaw.specs._clip import clip_to_bounds
from jaxdaw.specs._convert import from_dm_env, from_gymnasium, to_gymnasium
from jaxdaw.specs._json import from_json, to_json
from jaxdaw.specs._nest import (
    assert_same_structure,
    flatten,
    flatten_with_path,
    map_structure,
    pack_like,
    prune_extra_keys,
)
from jaxdaw.specs._nest import map_with_path as map_with_path
from jaxdaw.specs._sample import sample
from jaxdaw.specs._spec import BoundedTensorSpec, TensorSpec, is_bounded, is_continuous, is_discrete, num_values
from jaxdaw.specs._spec import device_dtype as device_dtype
from jaxdaw.specs._step_type import StepType
from jaxdaw.specs._transform import add_outer_dims, remove_outer_dims, with_dtype
from jaxdaw.specs._zeros import to_shape_dtype_struct, zeros, zeros_numpy

__all__ = [
    "BoundedTensorSpec",
    "StepType",
    "TensorSpec",
    "add_outer_dims",
    "assert_same_structure",
    "check",
    "clip_to_bounds",
    "flatten",
    "flatten_with_path",
    "from_dm_env",
    "from_gymnasium",
    "from_json",
    "is_batched",
    "is_bounded",
    "is_continuous",
    "is_discrete",
    "map_structure",
    "num_values",
    "outer_shape",
    "pack_like",
    "prune_extra_keys",
    "remove_outer_dims",
    "sample",
    "to_gymnasium",
    "to_json",
    "to_shape_dtype_struct",
    "with_dtype",
    "zeros",
    "zeros_numpy",
]
