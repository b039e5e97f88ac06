"""`check`: whether a nest of arrays matches a nest of specs."""

from __future__ import annotations

from typing import Any

import numpy as np

from jaxdaw.errors import SpecError
from jaxdaw.specs._mismatch import explain_leaf, shape_fits
from jaxdaw.specs._nest import assert_same_structure, dissect, flatten_with_path, location, map_structure
from jaxdaw.specs._spec import BoundedTensorSpec, bounds_as, has_dtype

_PYTHON_NUMBERS = frozenset({bool, int, float})
_OUTER_NAMES = ("B", "T")  # names of outer axes in messages, where only their number is known


def check(
    value: Any,
    spec: Any,
    outer_dims: int | tuple[int, ...] | None = None,
    *,
    what: str = "value",
    check_bounds: bool = True,
) -> None:
    """Raises unless a nest of arrays has the structure, dtypes, shapes and ranges of a nest of specs.

    Byte order, memory layout and writability do not matter. A spec of 64 bits takes 32-bit arrays too while x64 is off,
    because that is what its values are on the device. A Python number counts as an array of NumPy's default dtype.
    Bounds are inclusive, NaN is outside them; they are checked on host values only, so no device is ever waited for.

    Args:
      value: a nest of arrays: NumPy, JAX (concrete or traced) or anything else with `shape` and `dtype`.
      spec: a nest of specs.
      outer_dims: the axes before those of the spec: their exact sizes, or how many (the sizes then have to agree
        between leaves); None for none.
      what: names the value in messages, such as "observation from MyEnv.step()".
      check_bounds: False looks at shapes and dtypes only.

    Raises:
      SpecTypeError: a leaf has another dtype, or a container is of another kind.
      SpecError: another structure, shape or range.

    >>> check({"speed": np.float32(0.5)}, {"speed": BoundedTensorSpec((), "float32", 0, 1)})
    """
    values, skeleton, _ = dissect(value)
    specs, spec_skeleton, _ = dissect(spec)
    if skeleton != spec_skeleton:
        assert_same_structure(spec, value, what=what)
    leaves = [np.asarray(leaf) if type(leaf) in _PYTHON_NUMBERS else leaf for leaf in values]
    outer = _outer_sizes(leaves, outer_dims)
    for index, (leaf, leaf_spec) in enumerate(zip(leaves, specs, strict=True)):
        try:
            matches = leaf.shape == outer + leaf_spec.shape and (
                leaf.dtype is leaf_spec.dtype or has_dtype(leaf, leaf_spec)  # identity is fast and nearly always true
            )
        except AttributeError:  # the leaf is not an array, or the spec not a spec
            matches = False
        if not matches or (
            check_bounds and isinstance(leaf_spec, BoundedTensorSpec) and not _in_range(leaf, leaf_spec)
        ):
            raise _refusal(leaf, leaf_spec, outer, outer_dims, what, location(flatten_with_path(spec)[index][0]))


def _outer_sizes(leaves: list[Any], outer_dims: int | tuple[int, ...] | None) -> tuple[int | None, ...]:
    """Returns the sizes of the outer axes: those given, or those of the first leaf, None for an axis that it lacks."""
    if outer_dims is None:
        return ()
    if not isinstance(outer_dims, int):
        return tuple(outer_dims)
    sizes = tuple(getattr(leaves[0], "shape", ())[:outer_dims]) if leaves else ()
    return sizes + (None,) * (outer_dims - len(sizes))


def _in_range(leaf: Any, spec: BoundedTensorSpec) -> bool:
    """Returns whether a host value lies within the bounds; a device value is taken to."""
    if not isinstance(leaf, np.ndarray | np.generic):
        return True
    minimum, maximum = bounds_as(spec, leaf.dtype)
    return bool(((leaf >= minimum) & (leaf <= maximum)).all())


def _refusal(
    leaf: Any,
    spec: Any,
    outer: tuple[int | None, ...],
    outer_dims: int | tuple[int, ...] | None,
    what: str,
    place: str,
) -> SpecError:
    """Returns the error for the first leaf that does not match."""
    headline = f"{what} does not match its spec{place}"
    if not isinstance(outer_dims, int):
        return explain_leaf(leaf, spec, outer, headline)
    names = _OUTER_NAMES[:outer_dims] + ("?",) * (outer_dims - len(_OUTER_NAMES))
    shape = getattr(leaf, "shape", None)
    if shape is not None and shape_fits(shape, names, spec.shape) and not shape_fits(shape, outer, spec.shape):
        return SpecError(
            f"the leaves of {what} disagree on the batch and time axes{place}",
            expected=f"{outer}, as in the first leaf",
            got=f"{tuple(shape[:outer_dims])}",
        )
    return explain_leaf(leaf, spec, names, headline)


def in_native_order(nest: Any) -> Any:
    """Returns a nest of arrays in the byte order of this machine: what a file or a network wrote may have the other.

    A compiled JAX function takes an array of the other order for one of its own, and computes with other numbers.

    >>> in_native_order({"x": np.array([1.0, 2.0], ">f4")})["x"]
    array([1., 2.], dtype=float32)
    """

    def native(leaf: Any) -> Any:
        return leaf if getattr(leaf, "dtype", np.dtype(int)).isnative else leaf.astype(leaf.dtype.newbyteorder("="))

    return map_structure(native, nest)
