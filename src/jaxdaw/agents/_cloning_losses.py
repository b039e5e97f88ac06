"""Losses of behavioral cloning: the distance of a network's output from the recorded action, by leaf."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxdaw import specs
from jaxdaw.distributions import Categorical
from jaxdaw.errors import ConfigError, SpecError
from jaxdaw.policies import is_distribution

KINDS = ("sample", "mode", "log_likelihood")


def nested_loss(output: Any, action: Any, action_spec: Any, kind: str = "mode", key: jax.Array | None = None) -> Any:
    """Returns the sum over the leaves of each leaf's default loss, `[B]` or `[B, T]`; pass it as `loss_fn`.

    The default of an integer leaf is the cross-entropy of the logits, or of the Categorical, with the label `action -
    minimum`, summed over the elements of a shaped action. That of a float leaf is the squared error, averaged over
    its elements. A leaf that is a distribution over floats is represented by `kind`.

    Args:
      output: the network's, a nest of arrays or distributions.
      action: the recorded actions, the same nest, `[B, ..., *shape]`.
      action_spec: a nest of specs.
      kind: for distributions over floats: "mode", the squared error of the mode; "sample", that of a sample;
        "log_likelihood", the negative log-density.
      key: for "sample".

    Raises:
      SpecError: an output that does not have the action's shape, or "sample" without a key.
      ConfigError: another `kind`.
    """
    if kind not in KINDS:
        raise ConfigError("unknown kind of loss", expected=", ".join(map(repr, KINDS)), got=repr(kind))
    leaves = zip(specs.flatten_with_path(action_spec), specs.flatten(output), specs.flatten(action), strict=True)
    losses = []
    for index, ((path, spec), predicted, recorded) in enumerate(leaves):
        own_key = None if key is None else jax.random.fold_in(key, index)
        losses.append(_leaf_loss(spec, predicted, jnp.asarray(recorded), kind, own_key, path))
    return sum(losses[1:], start=losses[0])


def _leaf_loss(spec: Any, output: Any, action: jax.Array, kind: str, key: jax.Array | None, path: str) -> jax.Array:
    if specs.is_discrete(spec):
        choice = output if is_distribution(output) else Categorical(output, None, int(np.min(spec.minimum)), spec.dtype)
        if choice.batch_shape + choice.event_shape != action.shape:
            raise _mismatch(path, f"logits {(*action.shape, 'A')}", f"a distribution over {choice.batch_shape}")
        return -choice.log_prob(action)
    if is_distribution(output) and kind == "log_likelihood":
        return -output.log_prob(action)
    if is_distribution(output):
        if kind == "sample" and key is None:
            raise SpecError('kind="sample" needs a key', expected="jax.random.key(0)", got="None")
        output = output.sample(key) if kind == "sample" else output.mode()
    if output.shape != action.shape:
        raise _mismatch(path, str(action.shape), str(output.shape))
    rank = len(spec.shape)
    return jnp.sum(jnp.square(output - action), axis=tuple(range(-rank, 0))) / math.prod(spec.shape)


def _mismatch(path: str, expected: str, got: str) -> SpecError:
    return SpecError(
        f"the network's output does not have the shape of the action{f' at {path}' if path else ''}",
        expected=expected,
        got=got,
        cause="an axis of size 1, which would meet every row.",
        fix="a last layer that is reshaped to (batch, *action_spec.shape)",
    )
