"""Kullback-Leibler divergence between two distributions of one kind, and their parameters as plain arrays."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxdaw.distributions._base import Distribution, is_distribution
from jaxdaw.distributions._finite import Categorical
from jaxdaw.distributions._independent import Independent
from jaxdaw.distributions._joint import Joint
from jaxdaw.distributions._normal import Normal, TanhNormal
from jaxdaw.errors import SpecError

_PARAMETERS = {Categorical: ("logits",), Normal: ("loc", "scale"), TanhNormal: ("loc", "scale")}
"""The arrays that a network's output determines. Bounds belong to the action spec, and a mask to the observation."""


def parameters_of(distribution: Distribution) -> dict[str, Any]:
    """Returns the arrays that tell one distribution from another of its kind, by name.

    Raises:
      SpecError: a distribution of another class than `Categorical`, `Normal`, `TanhNormal`, or `Independent` of them.
    """
    if isinstance(distribution, Independent):
        return parameters_of(distribution.distribution)
    return {name: getattr(distribution, name) for name in _names(distribution)}


def with_parameters(distribution: Distribution, parameters: dict[str, Any]) -> Distribution:
    """Returns a distribution of the same kind, with the same mask and bounds, and other parameters.

    Raises:
      SpecError: as `parameters_of`.
    """
    if isinstance(distribution, Independent):
        return dataclasses.replace(distribution, distribution=with_parameters(distribution.distribution, parameters))
    changes = {name: parameters[name] for name in _names(distribution)}
    return dataclasses.replace(distribution, **changes)  # type: ignore[type-var]  # all of them are dataclasses


def _names(distribution: Distribution) -> tuple[str, ...]:
    if type(distribution) not in _PARAMETERS:
        raise SpecError(
            "the parameters of this distribution are not known",
            expected=", ".join(kind.__name__ for kind in _PARAMETERS),
            got=type(distribution).__name__,
        )
    return _PARAMETERS[type(distribution)]


def kl_divergence(p: Any, q: Any) -> Float[Array, "*rows"]:
    """Returns `KL(p || q)` in nats, `[...]`: how badly `q` stands for what `p` draws.

    Two `TanhNormal`s of the same bounds diverge as the normals inside do: the divergence does not change under an
    invertible map. Parts of nests and elements of a value add up.

    Args:
      p, q: of the same class and shapes: `Categorical` with the same mask, `Normal`, `TanhNormal`, `Independent` or
        `Joint` of them.

    Raises:
      SpecError: two classes, or a class without a closed form.

    Source: Kullback & Leibler 1951.

    >>> kl_divergence(Normal(0.0, 1.0), Normal(1.0, 1.0))  # half the squared distance
    Array(0.5, dtype=float32)
    """
    if type(p) is type(q) is Joint:
        pairs = zip(_leaves(p), _leaves(q), strict=True)
        return sum((kl_divergence(*pair) for pair in pairs), jnp.zeros(p.batch_shape))
    if type(p) is type(q) is Independent:
        inner = kl_divergence(p.distribution, q.distribution)
        return jnp.sum(inner, axis=tuple(range(-p.event_ndims, 0)))
    if type(p) is type(q) is Categorical:
        log_p, log_q = p.log_probs, q.log_probs
        possible = log_p > -jnp.inf
        terms = jnp.exp(log_p) * (jnp.where(possible, log_p, 0.0) - jnp.where(possible, log_q, 0.0))
        return jnp.sum(terms, axis=-1)
    if type(p) is type(q) and isinstance(p, Normal | TanhNormal):
        ratio, distance = p.scale / q.scale, (p.loc - q.loc) / q.scale
        each = -jnp.log(ratio) + 0.5 * (jnp.square(ratio) + jnp.square(distance)) - 0.5
        return jnp.sum(each, axis=tuple(range(-p.event_ndims, 0)))
    raise SpecError(
        "these distributions have no divergence in closed form",
        expected="two of one class: Categorical, Normal, TanhNormal",
        got=f"{type(p).__name__} and {type(q).__name__}",
    )


def _leaves(joint: Joint) -> list[Any]:
    return jax.tree.leaves(joint.parts, is_leaf=is_distribution)
