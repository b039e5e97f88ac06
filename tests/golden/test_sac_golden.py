"""Reference numbers of SacAgent: the squashed normal; losses, gradients, weights and targets over five train calls."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdaw.distributions import TanhNormal

from . import cases

SQUASHED = [name for name in cases.names("sac") if "squash" in name]


@pytest.mark.parametrize("name", SQUASHED)
def test_squashed_normal(name: str):
    case = cases.load("sac", name)
    action, inputs = cases.spec(case.doc["specs"]["action"]), case.sub("in")

    def drawn(loc: jax.Array, scale: jax.Array):
        return TanhNormal(loc, scale, action.minimum, action.maximum, 1).from_noise(inputs["noise"])

    given = jnp.asarray(inputs["loc"]), jnp.asarray(inputs["scale"])
    value, log_prob = drawn(*given)
    case.close("out/action", value)
    case.close("out/log_prob", log_prob)
    for what, index in (("action", 0), ("log_prob", 1)):
        gradients = jax.grad(lambda *x, index=index: jnp.sum(drawn(*x)[index]), argnums=(0, 1))(*given)
        for part, gradient in zip(("loc", "scale"), gradients, strict=True):
            case.close(f"out/grad_{what}/{part}", gradient)
    distribution = TanhNormal(*given, action.minimum, action.maximum, 1)
    case.close("out/mode", distribution.mode())
    case.close("out/given_log_prob", distribution.log_prob(inputs["given_action"]))
    # On a bound the reference has the same value, which it does not document: that of the float next to the bound.
    np.testing.assert_allclose(
        distribution.log_prob(inputs["edge_action"]), case.arrays["out/quirk/edge_log_prob"], rtol=1e-4
    )
