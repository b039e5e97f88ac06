"""Logs that tests share: of a policy whose probabilities are known, honest or not."""

from __future__ import annotations

from typing import Any

import numpy as np

from jaxdaw import specs
from jaxdaw.data import Decisions


def softmax(logits: np.ndarray) -> np.ndarray:
    weights = np.exp(logits - logits.max(axis=1, keepdims=True))
    return weights / weights.sum(axis=1, keepdims=True)


def log(rows: int = 4000, arms: int = 4, seed: int = 0, **columns: Any) -> Decisions:
    """Returns an honest log with contexts `[N, 3]` float32, in which each arm is best somewhere."""
    random = np.random.default_rng(seed)
    context = random.normal(size=(rows, 3)).astype(np.float32)
    coefficients = np.random.default_rng(7).normal(size=(3, arms))
    probabilities = softmax(context @ coefficients / 2)
    action = np.minimum((probabilities.cumsum(axis=1) < random.random((rows, 1))).sum(axis=1), arms - 1)
    reward = random.random(rows) < 1 / (1 + np.exp(-(context @ coefficients)[np.arange(rows), action]))
    given = {"context": context, "probabilities": probabilities, "reward": reward} | columns
    return Decisions(action, **given)


def same(found: Decisions, wanted: Decisions) -> None:
    """Asserts that two logs hold the same."""
    assert (len(found), found.num_arms) == (len(wanted), wanted.num_arms)
    for name in (
        "action",
        "reward",
        "probability",
        "eligible",
        "probabilities",
        "decision_id",
        "time",
        "policy_version",
    ):
        one, other = getattr(found, name), getattr(wanted, name)
        assert (one is None) == (other is None), name
        if other is not None:
            np.testing.assert_array_equal(one, other, err_msg=name)
            assert one.dtype.kind == other.dtype.kind, name
    assert found.context_spec == wanted.context_spec
    assert found.arm_features_spec == wanted.arm_features_spec
    for nest in ("context", "arm_features"):
        for one, other in zip(specs.flatten(getattr(found, nest)), specs.flatten(getattr(wanted, nest)), strict=True):
            np.testing.assert_array_equal(one, other, err_msg=nest)
