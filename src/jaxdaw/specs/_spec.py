"""TensorSpec and BoundedTensorSpec: the shape, dtype and bounds of an array."""

from __future__ import annotations

import dataclasses
import operator
from typing import Any

import jax
import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from jaxdaw.errors import SpecError, SpecTypeError

_BFLOAT16 = np.dtype(jax.dtypes.bfloat16)
_MAX_SHOWN_BOUNDS = 4  # elements of a bound that a message lists
_ROUNDING_STEPS = 8  # float bounds are equal if they differ by less than this many epsilons of the dtype


@dataclasses.dataclass(frozen=True, init=False, eq=False, repr=False)
class TensorSpec:
    """Shape and dtype of an array. Immutable, hashable, a leaf of every nest and pytree.

    A 64-bit dtype is stored as given; on the device its values are 32-bit unless `JAX_ENABLE_X64=1`, and `check`
    takes both forms. Equality includes the name.

    Attributes:
      shape: sizes of the axes without batch or time, each at least 1.
      dtype: NumPy dtype in native byte order: bool, integer or floating (bfloat16 too).
      name: for people; leaves are told apart by their path, never by this.

    >>> TensorSpec((84, 84, 4), "uint8", "camera")
    TensorSpec(shape=(84, 84, 4), dtype=uint8, name='camera')
    """

    shape: tuple[int, ...]
    dtype: np.dtype
    name: str | None

    def __init__(self, shape: Any, dtype: DTypeLike, name: str | None = None):
        """Raises SpecError for a shape that is no tuple of positive integers, or an unsupported dtype."""
        if name is not None and not isinstance(name, str):
            raise SpecTypeError("the name of a spec is not text", expected="str or None", got=repr(name))
        object.__setattr__(self, "shape", _as_shape(shape))
        object.__setattr__(self, "dtype", _as_dtype(dtype))
        object.__setattr__(self, "name", name)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, TensorSpec) or type(self) is not type(other):
            return NotImplemented
        return self._identity() == other._identity()

    def __hash__(self) -> int:
        return hash((type(self), *self._identity()))

    def __repr__(self) -> str:
        return f"TensorSpec(shape={self.shape}, dtype={self.dtype}, name={self.name!r})"

    def _identity(self) -> tuple[Any, ...]:
        return self.shape, self.dtype, self.name


@dataclasses.dataclass(frozen=True, init=False, eq=False, repr=False)
class BoundedTensorSpec(TensorSpec):
    """A TensorSpec with inclusive bounds, element by element.

    Bounds of an integer dtype are rounded inwards, which keeps the set of allowed integers. Infinite bounds of a
    floating dtype are kept. Two specs are equal when their bounds are equal after broadcasting, floats up to rounding;
    the hash leaves bounds out, so equal specs always share it.

    Differs from TF-Agents: `minimum > maximum` is refused, and so are NaN bounds, which no array can meet.

    Attributes:
      minimum: read-only NumPy array of the spec's dtype, at the shape given, which broadcasts to `shape`.
      maximum: likewise.

    >>> BoundedTensorSpec((2,), "float32", -1, [0.5, 1.0])
    BoundedTensorSpec(shape=(2,), dtype=float32, minimum=-1.0, maximum=[0.5, 1.0], name=None)
    """

    minimum: np.ndarray
    maximum: np.ndarray

    def __init__(self, shape: Any, dtype: DTypeLike, minimum: ArrayLike, maximum: ArrayLike, name: str | None = None):
        """Raises SpecError for bounds that are missing, NaN, crossed, outside the dtype, or do not fit the shape."""
        super().__init__(shape, dtype, name)
        object.__setattr__(self, "minimum", _as_bound(minimum, "minimum", self, np.ceil))
        object.__setattr__(self, "maximum", _as_bound(maximum, "maximum", self, np.floor))
        if np.any(self.minimum > self.maximum):
            raise SpecError(
                f"minimum is above maximum in {_label(self)}",
                expected="minimum <= maximum in every element",
                got=f"minimum {bound_text(self.minimum)}, maximum {bound_text(self.maximum)}",
                cause="the two bounds are swapped, or an integer spec has no integer between them.",
            )

    @classmethod
    def from_spec(cls, spec: TensorSpec, name: str | None = None) -> BoundedTensorSpec:
        """Returns the spec with bounds: its own, or the finite extremes of the dtype as it is on the device.

        Args:
          spec: any spec.
          name: replaces the name of `spec`; None keeps it.

        >>> BoundedTensorSpec.from_spec(TensorSpec((), "uint8"))
        BoundedTensorSpec(shape=(), dtype=uint8, minimum=0, maximum=255, name=None)
        """
        has_bounds = isinstance(spec, BoundedTensorSpec)
        bounds = (spec.minimum, spec.maximum) if has_bounds else extremes(device_dtype(spec))
        return cls(spec.shape, spec.dtype, *bounds, spec.name if name is None else name)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, BoundedTensorSpec):
            return NotImplemented
        return self._identity() == other._identity() and all(
            _same_bounds(ours, theirs)
            for ours, theirs in ((self.minimum, other.minimum), (self.maximum, other.maximum))
        )

    __hash__ = TensorSpec.__hash__

    def __reduce__(self) -> Any:  # a copy is made by the constructor, so that its bounds are read-only too
        return type(self), (self.shape, self.dtype, self.minimum, self.maximum, self.name)

    def __repr__(self) -> str:
        bounds = f"minimum={bound_text(self.minimum)}, maximum={bound_text(self.maximum)}"
        return f"BoundedTensorSpec(shape={self.shape}, dtype={self.dtype}, {bounds}, name={self.name!r})"


def is_discrete(spec: TensorSpec) -> bool:
    """Returns whether the dtype is an integer; bool is neither discrete nor continuous."""
    return spec.dtype.kind in "iu"


def is_continuous(spec: TensorSpec) -> bool:
    """Returns whether the dtype is floating."""
    return spec.dtype.kind == "f" or spec.dtype == _BFLOAT16


def is_bounded(spec: TensorSpec) -> bool:
    """Returns whether the spec has bounds, which may be infinite."""
    return isinstance(spec, BoundedTensorSpec)


def num_values(spec: TensorSpec) -> np.ndarray:
    """Returns how many values each element of a bounded integer spec can take, int64 `[*shape]`.

    Raises:
      SpecError: the spec is unbounded or not of an integer dtype, or a count exceeds int64.

    >>> num_values(BoundedTensorSpec((2,), "int32", [0, 1], 3))
    array([4, 3])
    """
    if not (isinstance(spec, BoundedTensorSpec) and is_discrete(spec)):
        raise SpecError("the number of values is unknown", expected="a bounded integer spec", got=repr(spec))
    low, high = spec.minimum.astype(object), spec.maximum.astype(object)  # Python integers: the span may need 64 bits
    counts = high - low + 1
    try:
        return np.broadcast_to(np.asarray(counts, np.int64), spec.shape)
    except OverflowError:
        raise SpecError(f"too many values in {_label(spec)}", expected="fewer than 2**63") from None


def has_dtype(array: Any, spec: TensorSpec) -> bool:
    """Returns whether an array has the dtype of a spec in any byte order, or the one that it has on the device."""
    dtype = array.dtype
    return dtype == spec.dtype or (
        isinstance(dtype, np.dtype) and dtype.newbyteorder("=") in (spec.dtype, device_dtype(spec))
    )


def device_dtype(spec: TensorSpec) -> np.dtype:
    """Returns the dtype that arrays of this spec have on the device: 64 bits become 32 unless x64 is on."""
    return jax.dtypes.canonicalize_dtype(spec.dtype)


def bounds_as(spec: BoundedTensorSpec, dtype: np.dtype) -> tuple[np.ndarray, np.ndarray]:
    """Returns minimum and maximum in the dtype of an array that `has_dtype`, for a comparison without promotion."""
    if dtype == spec.dtype:
        return spec.minimum, spec.maximum
    with np.errstate(over="ignore"):  # what float32 cannot hold is outside its range anyway
        return spec.minimum.astype(dtype), spec.maximum.astype(dtype)


def extremes(dtype: np.dtype) -> tuple[Any, Any]:
    """Returns the least and the greatest finite value of a dtype."""
    if dtype.kind == "b":
        return False, True
    limits = jax.numpy.iinfo(dtype) if dtype.kind in "iu" else jax.numpy.finfo(dtype)
    return limits.min, limits.max


def bound_text(bound: np.ndarray) -> str:
    """Returns a bound in few characters: its values, or their range if they are many."""
    if bound.ndim == 0:
        return str(bound)
    if bound.ndim == 1 and bound.size <= _MAX_SHOWN_BOUNDS:
        return f"[{', '.join(map(str, bound))}]"
    return f"{bound.min()!s}..{bound.max()!s} {bound.shape}"


def _label(spec: TensorSpec) -> str:
    return f"spec {spec.name!r}" if spec.name else f"spec {spec.dtype} {spec.shape}"


def _as_shape(shape: Any) -> tuple[int, ...]:
    if isinstance(shape, int | np.integer):
        raise SpecError("the shape of a spec is a number", expected="a tuple", got=repr(shape), fix=f"({int(shape)},)")
    try:
        sizes = tuple(_as_size(size) for size in list(shape))
    except TypeError:
        raise SpecError(
            "the shape of a spec is not a tuple of integers", expected="such as (4,)", got=repr(shape)
        ) from None
    if any(size < 1 for size in sizes):
        raise SpecError("the shape of a spec has a size below 1", expected="sizes of at least 1", got=repr(sizes))
    return sizes


def _as_size(size: Any) -> int:
    if isinstance(size, bool | np.bool_):
        raise TypeError("a bool is no size")
    return operator.index(size)


def _as_dtype(dtype: DTypeLike) -> np.dtype:
    try:
        native = np.dtype(dtype).newbyteorder("=")
    except TypeError:
        native = None
    if dtype is None or native is None or not _is_supported(native):
        raise SpecError(
            "unsupported dtype of a spec",
            expected="bool, an integer, or a floating dtype of at most 64 bits",
            got=repr(dtype) if native is None or dtype is None else str(native),
        )
    return native


def _is_supported(dtype: np.dtype) -> bool:
    return (dtype.kind in "biuf" and dtype.itemsize <= 8) or dtype == _BFLOAT16


def _as_bound(bound: Any, which: str, spec: TensorSpec, round_inwards: Any) -> np.ndarray:
    """Returns a read-only array of the spec's dtype, at the shape of the bound."""

    def refuse(problem: str, expected: str, got: str, fix: str | None = None) -> SpecError:
        return SpecError(f"{which} of {_label(spec)} {problem}", expected=expected, got=got, fix=fix)

    values = np.asarray(bound)
    if bound is None:
        fix = "TensorSpec(shape, dtype) for an array without bounds"
        raise refuse("is missing", "a number or an array", "None", fix)
    if not _is_numeric(values):
        raise refuse("is not a number", "a number or an array", repr(bound))
    if not _broadcasts(values.shape, spec.shape):
        raise refuse("does not fit its shape", f"a shape that broadcasts to {spec.shape}", f"shape {values.shape}")
    got = bound_text(values)
    is_float = values.dtype.kind == "f" or values.dtype == _BFLOAT16
    if is_float and np.isnan(values).any():
        raise refuse("is NaN, which no array can meet", "a number", got)
    if is_float and not is_continuous(spec):
        if np.isinf(values).any():
            raise refuse("is infinite", f"a number, as {spec.dtype} has no infinity", got)
        values = np.asarray(round_inwards(values.astype(np.float64)))
        values = values.astype(object)  # Python floats compare exactly with integers of 64 bits
    if _any_outside(values, spec.dtype):
        raise refuse(f"is outside {spec.dtype}", _span(spec.dtype), got)
    on_device = device_dtype(spec)
    if is_discrete(spec) and _any_outside(values, on_device):
        problem = f"does not fit {on_device}, which JAX stores in place of {spec.dtype}"
        raise refuse(problem, _span(on_device), got, "JAX_ENABLE_X64=1, or narrower bounds")
    stored = np.array(values, spec.dtype)
    stored.flags.writeable = False
    return stored


def _is_numeric(values: np.ndarray) -> bool:
    if values.dtype.kind == "O":  # to NumPy, integers above 64 bits are objects
        return all(isinstance(value, int) for value in values.flat)
    return values.dtype.kind in "biuf" or values.dtype == _BFLOAT16


def _any_outside(values: np.ndarray, dtype: np.dtype) -> bool:
    """Returns whether a dtype cannot hold some value; those that a floating dtype rounds to its extremes fit."""
    low, high = extremes(dtype)
    if values.dtype.kind in "biuO":
        return bool(np.any((values < low) | (values > high)))
    with np.errstate(over="ignore"):
        return bool(np.any(np.isinf(values.astype(dtype)) & np.isfinite(values)))


def _span(dtype: np.dtype) -> str:
    low, high = extremes(dtype)
    return f"within [{low!s}, {high!s}]"


def _broadcasts(shape: tuple[int, ...], target: tuple[int, ...]) -> bool:
    """Returns whether an array of this shape broadcasts to the target, and not beyond it."""
    try:
        return np.broadcast_shapes(shape, target) == target
    except ValueError:
        return False


def _same_bounds(ours: np.ndarray, theirs: np.ndarray) -> bool:
    if ours.dtype.kind in "biu":
        return bool(np.all(ours == theirs))
    tolerance = _ROUNDING_STEPS * float(jax.numpy.finfo(ours.dtype).eps)
    return bool(np.all(np.isclose(ours.astype(np.float64), theirs.astype(np.float64), rtol=tolerance, atol=0.0)))
