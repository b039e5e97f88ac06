"""The error message for an array that does not match its spec, with likely cause and fix."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from jaxdaw.errors import SpecError, SpecTypeError
from jaxdaw.specs._nest import describe
from jaxdaw.specs._spec import BoundedTensorSpec, TensorSpec, bound_text, bounds_as, has_dtype

_MAX_NAMED_VALUES = 3

Axes = Sequence[int | str | None]  # an int has to match; anything else matches any size


def explain_leaf(leaf: Any, spec: Any, outer: Axes, headline: str) -> SpecError:
    """Returns the error for a leaf that fails `check`, or for a spec that is none.

    Args:
      leaf: an array, or what was given in its place.
      spec: what the leaf should match.
      outer: the axes before those of the spec; a name where any size will do.
      headline: the first line, which names value and leaf.
    """
    if not isinstance(spec, TensorSpec):
        return SpecTypeError(f"{headline}, which is no spec", expected="TensorSpec", got=describe(spec))
    expected = f"{spec.dtype} {_shape_text((*outer, *spec.shape))}{_range_text(spec)}"
    if not hasattr(leaf, "shape") or not hasattr(leaf, "dtype"):
        fix = f'numpy.asarray(value, "{spec.dtype}")'
        return SpecTypeError(headline, expected=expected, got=describe(leaf), fix=fix)
    got, causes, fix = describe(leaf), [], "value"
    if not shape_fits(leaf.shape, outer, spec.shape):
        cause, fix = _shape_advice(tuple(leaf.shape), tuple(outer), spec.shape)
        causes.append(cause)
    elif has_dtype(leaf, spec):
        got, cause = _offenders(np.asarray(leaf), spec, got)
        causes.append(cause)
    error = SpecError
    if not has_dtype(leaf, spec):
        error = SpecTypeError
        cause, fix = _dtype_advice(leaf.dtype, spec.dtype, fix)
        causes.append(cause)
    cause = " ".join(cause for cause in causes if cause) or None
    return error(headline, expected=expected, got=got, cause=cause, fix=None if fix in (None, "value") else fix)


def shape_fits(shape: Sequence[int], outer: Axes, inner: Axes) -> bool:
    """Returns whether a shape is the outer axes followed by the inner ones."""
    axes = (*outer, *inner)
    return len(shape) == len(axes) and all(
        not isinstance(n, int) or n == size for n, size in zip(axes, shape, strict=True)
    )


def _shape_text(axes: Axes) -> str:
    return f"({', '.join(map(str, axes))}{',' if len(axes) == 1 else ''})"


def _range_text(spec: TensorSpec) -> str:
    if not isinstance(spec, BoundedTensorSpec):
        return ""
    return f" in [{bound_text(spec.minimum)}, {bound_text(spec.maximum)}]"


def _shape_advice(
    shape: tuple[int, ...], outer: tuple[Any, ...], inner: tuple[int, ...]
) -> tuple[str | None, str | None]:
    """Returns the likely cause of a wrong shape, and the fix as an expression in `value`."""
    if shape == (1,) and not outer and not inner:
        return "one number in an array of one element.", "value.reshape(())"
    if shape and shape_fits(shape[1:], outer, inner):
        if shape[0] == 1:
            return "an extra leading dimension, as numpy.array([x]) makes.", "value[0]"
        return f"a batch of {shape[0]} where one value is expected.", None
    if outer and shape_fits(shape, outer[1:], inner):
        return "the batch dimension is missing.", "value[None]"
    if shape[-1:] == (1,) and shape_fits(shape[:-1], outer, inner):
        return "an extra trailing dimension.", "value.squeeze(-1)"
    if len(inner) == 3:
        height, width, channels = inner
        if shape_fits(shape, outer, (channels, height, width)):
            return "channels first, where the spec has them last.", "numpy.moveaxis(value, -3, -1)"
        if shape_fits(shape, outer, (width, channels, height)):  # the spec is (channels, height, width)
            return "channels last, where the spec has them first.", "numpy.moveaxis(value, -1, -3)"
    return None, None


def _dtype_advice(got: Any, expected: np.dtype, fix: str | None) -> tuple[str | None, str | None]:
    """Returns the likely cause of a wrong dtype, and `fix` with a cast, where a cast loses no meaning."""
    if not isinstance(got, np.dtype):
        return ("a PyTorch tensor.", "value.numpy()") if str(got).startswith("torch.") else (None, None)
    cause = f"NumPy makes {got} unless told otherwise." if got in (np.float64, np.int64) else None
    castable = np.can_cast(got, expected, "same_kind")
    return cause, f'{fix}.astype("{expected}")' if castable and fix is not None else None


def _offenders(leaf: np.ndarray, spec: TensorSpec, got: str) -> tuple[str, str | None]:
    """Returns `got` with at most three values that are out of range, and the cause where it is known."""
    if not isinstance(spec, BoundedTensorSpec):
        return got, None
    minimum, maximum = bounds_as(spec, leaf.dtype)
    outside = ~((leaf >= minimum) & (leaf <= maximum))
    places = np.argwhere(outside)
    named = ", ".join(_value_text(leaf, tuple(place)) for place in places[:_MAX_NAMED_VALUES].tolist())
    more = ", ..." if len(places) > _MAX_NAMED_VALUES else ""
    cause = "NaN is outside every range." if leaf.dtype.kind == "f" and np.isnan(leaf[outside]).any() else None
    return f"{got}, {len(places)} of {leaf.size} values out of range: {named}{more}", cause


def _value_text(array: np.ndarray, place: tuple[int, ...]) -> str:
    value = str(array[place])  # format() would print a float32 with the digits of a float64
    return f"[{','.join(map(str, place))}]={value}" if place else value
