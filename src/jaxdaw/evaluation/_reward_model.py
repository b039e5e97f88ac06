"""Cross-fitted ridge regression of rewards, one model per arm."""

from __future__ import annotations

import numpy as np

from jaxdaw import specs
from jaxdaw.data import Decisions
from jaxdaw.errors import ConfigError

_MAX_FEATURES = 512
_CHUNK = 65_536


def ridge_rewards(decisions: Decisions, folds: int = 3, penalty: float = 1.0, seed: int = 0) -> np.ndarray:
    """Returns the expected reward of each arm in each row, cross-fitted: no row's own reward is in its prediction.

    A linear model for each arm, of the standardized context and a constant, is drawn towards the mean reward. Where
    arms have features, one model of these comes first, for all arms, and the models per arm are of what it leaves.

    Args:
      decisions: with finite rewards.
      folds: into how many parts the rows are cut, at random; each is predicted by a model of the others.
      penalty: of the squared coefficients, in rows.
      seed: of the cut.

    Returns:
      `[N, A]` float32.

    Raises:
      ConfigError: fewer than 2 folds, a penalty that is not above 0, or more than 512 features.

    Source: Chernozhukov et al. 2018 for cross-fitting; Dudik et al. 2011 for the direct method.

    >>> decisions = Decisions(action=[0, 1] * 500, reward=[1.0, 3.0] * 500, probability=[0.5] * 1000)
    >>> ridge_rewards(decisions)[:2].round(1).tolist()
    [[1.0, 3.0], [1.0, 3.0]]
    """
    if folds < 2 or not penalty > 0:
        expected, got = "2 folds at least, a penalty above 0", f"{folds} folds, a penalty of {penalty}"
        raise ConfigError("the reward model cannot be cross-fitted", expected=expected, got=got)
    count, num_arms = len(decisions), decisions.num_arms or 1
    fold = np.random.default_rng(seed).permutation(count) % folds
    found = np.zeros((count, num_arms), np.float32)
    features = standardized(decisions.arm_features, 2, count)
    rows = np.concatenate([standardized(decisions.context, 1, count), np.ones((count, 1), np.float32)], axis=1)
    for part in range(folds):
        train, own = np.flatnonzero(fold != part), np.flatnonzero(fold == part)
        if not len(train):
            continue
        action, residual = decisions.action[train], decisions.reward[train]
        mean = residual.mean()
        residual = residual - mean
        found[own] = mean
        if features.shape[-1]:
            shared = _ridge(features[train, action], residual, np.zeros_like(action), 1, penalty)[0]
            residual -= features[train, action] @ shared
            found[own] += features[own] @ shared
        coefficients = _ridge(rows[train], residual, action, num_arms, penalty)
        for start in range(0, len(own), _CHUNK):
            some = own[start : start + _CHUNK]
            found[some] += rows[some] @ coefficients.T
    return found


def standardized(nest: object, outer: int, count: int) -> np.ndarray:
    """Returns all leaves as features `[N, ..., F]` of mean 0 and deviation 1; constant ones are left out.

    Args:
      nest: of `[N, ...]`.
      outer: how many leading axes stay, N among them.
      count: N.

    Raises:
      ConfigError: more than 512 features.
    """
    leaves = [np.asarray(leaf) for leaf in specs.flatten(nest)]
    if not leaves:
        return np.zeros((count,) + (0,) * outer, np.float32)
    flat = np.concatenate(
        [leaf.reshape(*leaf.shape[:outer], -1).astype(np.float32, copy=False) for leaf in leaves], axis=-1
    )
    axes = tuple(range(outer))
    mean, deviation = flat.mean(axis=axes, dtype=np.float64), flat.std(axis=axes, dtype=np.float64)
    kept = deviation > 1e-9
    if kept.sum() > _MAX_FEATURES:
        raise ConfigError(
            "a linear reward model of so many features is slow",
            expected=f"at most {_MAX_FEATURES}",
            got=str(int(kept.sum())),
            fix="evaluate_off_policy(..., reward_model=numpy.zeros((N, A))), or predictions of your own model",
        )
    return (flat[..., kept] - mean[kept].astype(np.float32)) / deviation[kept].astype(np.float32)


def _ridge(rows: np.ndarray, target: np.ndarray, group: np.ndarray, groups: int, penalty: float) -> np.ndarray:
    """Returns the coefficients `[groups, F]` of a regression for each group of the rows `[N, F]`."""
    width = rows.shape[1]
    grams, moments = np.zeros((groups, width, width)), np.zeros((groups, width, 1))
    order = np.argsort(group, kind="stable")
    edges = np.searchsorted(group[order], np.arange(groups + 1))
    for index in range(groups):
        some = order[edges[index] : edges[index + 1]]
        features = rows[some].astype(np.float64)
        grams[index] = features.T @ features
        moments[index, :, 0] = features.T @ target[some]
    return np.linalg.solve(grams + penalty * np.eye(width), moments)[..., 0].astype(np.float32)
