"""interim"""
import dataclasses, functools
import jax, jax.numpy as jnp, numpy as np

def _reg(cls, data, meta):
    cls = dataclasses.dataclass(frozen=True)(cls)
    jax.tree_util.register_dataclass(cls, data, meta); return cls

class _Finite:
    @property
    def allowed(self): return jnp.ones(self.logits.shape, bool) if self.mask is None else self.mask
    @property
    def is_valid(self): return self.allowed.any(-1) & ~jnp.isnan(jnp.where(self.allowed, self.logits, 0)).any(-1)
    @property
    def _masked(self): return jnp.where(self.allowed, self.logits, -jnp.inf)
    def _emit(self, i):
        return jnp.where(self.is_valid, i + self.minimum, jnp.iinfo(jax.dtypes.canonicalize_dtype(self.dtype)).min).astype(jax.dtypes.canonicalize_dtype(self.dtype))
    def mode(self): return self._emit(jnp.argmax(self._masked, -1))
    def sample(self, key, sample_shape=()): return self.sample_from_uniform(jax.random.uniform(key, sample_shape + self.logits.shape[:-1]))
    def sample_from_uniform(self, u):
        c = jnp.cumsum(self.probs, -1)
        return self._emit(jnp.sum(c[..., :-1] <= u[..., None] * c[..., -1:], -1))
    def log_prob(self, v):
        i = v - self.minimum
        return jnp.sum(jnp.where(i[..., None] == jnp.arange(self.logits.shape[-1]), jnp.log(self.probs), 0), -1)
class Categorical(_Finite):
    logits: object
    mask: object = None
    minimum: int = 0
    dtype: object = np.dtype(np.int32)
    @property
    def probs(self): return jax.nn.softmax(self._masked)
Categorical = _reg(Categorical, ["logits", "mask"], ["minimum", "dtype"])
class EpsilonGreedy(_Finite):
    logits: object
    epsilon: object
    mask: object = None
    minimum: int = 0
    dtype: object = np.dtype(np.int32)
    @property
    def probs(self):
        g = jnp.argmax(self._masked, -1)[..., None] == jnp.arange(self.logits.shape[-1])
        return (1 - self.epsilon) * g + self.epsilon * self.allowed / self.allowed.sum(-1, keepdims=True)
EpsilonGreedy = _reg(EpsilonGreedy, ["logits", "epsilon", "mask"], ["minimum", "dtype"])
class Boltzmann(_Finite):
    logits: object
    temperature: object
    mask: object = None
    minimum: int = 0
    dtype: object = np.dtype(np.int32)
    @property
    def probs(self): return jax.nn.softmax(self._masked / self.temperature)
Boltzmann = _reg(Boltzmann, ["logits", "temperature", "mask"], ["minimum", "dtype"])
class Deterministic:
    value: object
    event_ndims: int = 0
    def sample(self, key, sample_shape=()): return self.value
    def mode(self): return self.value
    def log_prob(self, v): return jnp.where(v == self.value, 0.0, -jnp.inf)
Deterministic = _reg(Deterministic, ["value"], ["event_ndims"])
class Uniform: pass
class Joint: pass
