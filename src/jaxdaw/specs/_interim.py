"""interim: replaced."""
from __future__ import annotations
import enum
from collections.abc import Mapping
import jax, jax.numpy as jnp, numpy as np
from jaxdaw.errors import SpecError, SpecTypeError, explain

class StepType(enum.IntEnum):
    FIRST = 0
    MID = 1
    LAST = 2

class TensorSpec:
    def __init__(self, shape, dtype, name=None):
        self.shape = tuple(shape); self.dtype = np.dtype(dtype); self.name = name
    def _key(self): return (type(self), self.shape, self.dtype, self.name)
    def __eq__(self, o): return isinstance(o, TensorSpec) and self._key() == o._key()
    def __hash__(self): return hash(self._key())
    def __repr__(self): return f"{type(self).__name__}({self.shape}, {self.dtype})"

class BoundedTensorSpec(TensorSpec):
    def __init__(self, shape, dtype, minimum, maximum, name=None):
        super().__init__(shape, dtype, name)
        self.minimum = np.asarray(minimum, self.dtype); self.maximum = np.asarray(maximum, self.dtype)
    def _key(self): return super()._key() + (self.minimum.tobytes(), self.maximum.tobytes())
    def __repr__(self): return f"BoundedTensorSpec({self.shape}, {self.dtype}, {self.minimum}, {self.maximum})"

def _children(n):
    if isinstance(n, Mapping): return [(f"[{k!r}]", n[k]) for k in sorted(n)]
    if isinstance(n, tuple) and hasattr(n, "_fields"): return [(f".{k}", v) for k, v in zip(n._fields, n)]
    if isinstance(n, (list, tuple)): return [(f"[{i}]", v) for i, v in enumerate(n)]
    return None
def flatten_with_path(n, path=""):
    c = _children(n)
    if c is None: return [(path, n)]
    return [x for p, v in c for x in flatten_with_path(v, path + p)]
def flatten(n): return [v for _, v in flatten_with_path(n)]
def _pack(n, it):
    if isinstance(n, Mapping):
        new = {k: _pack(n[k], it) for k in sorted(n)}
        return {k: new[k] for k in n}
    if isinstance(n, tuple) and hasattr(n, "_fields"): return type(n)(*[_pack(v, it) for v in n])
    if isinstance(n, (list, tuple)): return type(n)(_pack(v, it) for v in n)
    return next(it)
def pack_like(n, leaves): return _pack(n, iter(leaves))
def map_structure(fn, n, *rest):
    return pack_like(n, [fn(*xs) for xs in zip(flatten(n), *[flatten(r) for r in rest])])
def map_with_path(fn, n): return pack_like(n, [fn(p, v) for p, v in flatten_with_path(n)])
def assert_same_structure(expected, got, check_types=True, what="value"):
    a, b = [p for p, _ in flatten_with_path(expected)], [p for p, _ in flatten_with_path(got)]
    if a != b: raise SpecError(explain(f"{what} has another structure", expected=str(a), got=str(b)))
def prune_extra_keys(narrow, wide):
    if isinstance(narrow, tuple) and len(narrow) == 0 and not hasattr(narrow, "_fields"): return ()
    if isinstance(narrow, Mapping) and isinstance(wide, Mapping):
        return {k: prune_extra_keys(narrow[k], wide[k]) for k in narrow} if all(k in wide for k in narrow) else wide
    if type(narrow) is type(wide) and isinstance(narrow, (list, tuple)) and len(narrow) == len(wide):
        v = [prune_extra_keys(a, b) for a, b in zip(narrow, wide)]
        return type(wide)(*v) if hasattr(wide, "_fields") else type(wide)(v)
    return wide
def check(value, spec, outer_dims=None, *, what="value", check_bounds=True):
    assert_same_structure(spec, value, what=what)
    n = 0 if outer_dims is None else outer_dims if isinstance(outer_dims, int) else len(outer_dims)
    for (p, v), s in zip(flatten_with_path(value), flatten(spec)):
        want = jax.dtypes.canonicalize_dtype(s.dtype) if isinstance(v, jax.Array) else s.dtype
        if getattr(v, "dtype", None) != want: raise SpecTypeError(explain(f"{what} does not match at {p}", expected=f"{want} {s.shape}", got=f"{getattr(v,'dtype',type(v))} {np.shape(v)}"))
        if np.ndim(v) != n + len(s.shape) or np.shape(v)[n:] != s.shape: raise SpecError(explain(f"{what} does not match at {p}", expected=f"{want} {s.shape}", got=f"{v.dtype} {np.shape(v)}"))
        if check_bounds and isinstance(v, np.ndarray) and isinstance(s, BoundedTensorSpec) and not ((v >= s.minimum) & (v <= s.maximum)).all():
            raise SpecError(explain(f"{what} is out of range at {p}", expected=str(s), got="out of range"))
def outer_shape(value, spec):
    v, s = flatten(value)[0], flatten(spec)[0]
    return tuple(np.shape(v)[: np.ndim(v) - len(s.shape)])
def is_batched(value, spec, num_outer_dims=1): return len(outer_shape(value, spec)) == num_outer_dims
def zeros(spec, outer_dims=()): return map_structure(lambda s: jnp.zeros(tuple(outer_dims) + s.shape, s.dtype if s.dtype.itemsize < 8 else jax.dtypes.canonicalize_dtype(s.dtype)), spec)
def zeros_numpy(spec, outer_dims=()): return map_structure(lambda s: np.zeros(tuple(outer_dims) + s.shape, s.dtype), spec)
def sample(spec, key, outer_dims=()):
    def one(s):
        sh = tuple(outer_dims) + s.shape
        if np.issubdtype(s.dtype, np.integer): return jax.random.randint(key, sh, s.minimum, s.maximum + 1).astype(jax.dtypes.canonicalize_dtype(s.dtype))
        return jax.random.normal(key, sh).astype(s.dtype)
    return map_structure(one, spec)
def is_discrete(s): return np.issubdtype(s.dtype, np.integer)
def is_continuous(s): return np.issubdtype(s.dtype, np.floating)
def is_bounded(s): return isinstance(s, BoundedTensorSpec)
def num_values(s): return s.maximum.astype(np.int64) - s.minimum + 1
def add_outer_dims(spec, dims): return map_structure(lambda s: BoundedTensorSpec(tuple(dims)+s.shape, s.dtype, s.minimum, s.maximum, s.name) if is_bounded(s) else TensorSpec(tuple(dims)+s.shape, s.dtype, s.name), spec)
def from_gymnasium(space):
    import gymnasium as gym
    if isinstance(space, gym.spaces.Discrete): return BoundedTensorSpec((), np.int64, space.start, space.start + space.n - 1)
    if isinstance(space, gym.spaces.Box): return BoundedTensorSpec(space.shape, space.dtype, space.low, space.high)
    raise SpecError("unsupported space")
def to_shape_dtype_struct(spec, outer_dims=()): return map_structure(lambda s: jax.ShapeDtypeStruct(tuple(outer_dims)+s.shape, jax.dtypes.canonicalize_dtype(s.dtype)), spec)
