"""Bandits from tables of data: classification, edible mushrooms, and tables of rewards."""

from __future__ import annotations

import abc
import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxdaw import specs
from jaxdaw.environments._bandit import BanditEnvironment, BanditRound
from jaxdaw.errors import SpecError


class _TableBandit(BanditEnvironment):
    """Reads the rows of a table in an order drawn once a run; after the last row, the same order again."""

    features: Any
    replacement: bool

    @abc.abstractmethod
    def outcome(self, row: jax.Array, key: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Returns the rewards and the expected rewards `[A]` of a row."""

    @property
    def num_rows(self) -> int:
        """Rows of the table: the rounds of one pass."""
        return len(self.features)

    @property
    def observation_spec(self) -> specs.TensorSpec:
        """float32 `[features]`."""
        return specs.TensorSpec(self.features.shape[1:], np.float32, "observation")

    def draw_problem(self, key: jax.Array) -> jax.Array:
        """Returns the order of the rows, `[rows]` int32."""
        return jax.random.permutation(key, self.num_rows).astype(jnp.int32)

    def draw_round(self, problem: Any, time: Any, key: jax.Array) -> BanditRound:
        """Returns the round of the next row."""
        key_row, key_outcome = jax.random.split(key)
        if self.replacement:
            row = jax.random.randint(key_row, (), 0, self.num_rows)
        else:
            row = problem[jnp.asarray(time, jnp.int32) % self.num_rows]
        rewards, expected = self.outcome(row, key_outcome)
        return BanditRound(jnp.asarray(self.features)[row], rewards, expected)


@dataclasses.dataclass(frozen=True, eq=False)
class ClassificationBandit(_TableBandit):
    """Any labelled table as a bandit: reward 1 for naming the right class, else 0.

    Observation: float32, a row of the table.

    Args:
      features: `[rows, d]` float32.
      labels: `[rows]` integers in `0..num_actions - 1`.
      num_actions: classes; None is the highest label and one.
      replacement: draw a row for every round, instead of reading each once a pass.

    Raises:
      SpecError: features and labels that do not fit each other, are empty or not finite, or labels out of range.

    Source: Dudik, Langford & Li 2011, "Doubly robust policy evaluation and learning", section 4.1.

    >>> environment = ClassificationBandit(np.eye(3, dtype=np.float32), np.array([2, 0, 1]))
    >>> environment.draw_rounds(jnp.arange(3), jax.random.key(0), 0, 2).rewards
    Array([[0., 0., 1.], [1., 0., 0.]], dtype=float32)
    """

    features: np.ndarray
    labels: np.ndarray
    num_actions: int | None = None  # type: ignore[assignment]  # None is replaced by the number at once
    replacement: bool = False

    def __post_init__(self):
        features, labels = _checked(self.features, self.labels, "ClassificationBandit")
        classes = int(labels.max()) + 1 if self.num_actions is None else self.num_actions
        object.__setattr__(self, "num_actions", classes)
        if labels.min() < 0 or labels.max() >= classes:
            raise SpecError(
                "labels are outside their range",
                expected=f"0 to {classes - 1}",
                got=f"{labels.min()} to {labels.max()}",
                fix="numpy.unique(labels, return_inverse=True)[1]",
            )
        object.__setattr__(self, "features", features)
        object.__setattr__(self, "labels", labels)

    @property
    def reward_spec(self) -> specs.BoundedTensorSpec:
        """float32, 0 or 1."""
        return specs.BoundedTensorSpec((), np.float32, 0, 1, "reward")

    def outcome(self, row: jax.Array, key: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Returns 1 for the label and 0 for the others: nothing is random."""
        del key
        rewards = (jnp.arange(self.num_actions) == jnp.asarray(self.labels)[row]).astype(jnp.float32)
        return rewards, rewards


@dataclasses.dataclass(frozen=True, eq=False)
class MushroomBandit(_TableBandit):
    """A table of mushrooms: action 0 leaves the mushroom, action 1 eats it.

    ```text
                  leave    eat
    edible        0        +5
    poisonous     0        +5 or -35, each with probability 1/2
    ```

    Observation: float32, a row of the table.

    Args:
      features: `[rows, d]` float32.
      poisonous: `[rows]`, 1 or True where it is.
      replacement: draw a mushroom for every round, instead of each once a pass.

    Raises:
      SpecError: features and labels that do not fit each other, or labels that are not 0 and 1.

    Source: Blundell et al. 2015; Riquelme et al. 2018, section 5.1.

    >>> environment = MushroomBandit(np.eye(2, dtype=np.float32), np.array([0, 1]))
    >>> environment.draw_rounds(jnp.arange(2), jax.random.key(0), 0, 2).expected_rewards[:, 1]
    Array([ 5., -15.], dtype=float32)
    """

    features: np.ndarray
    poisonous: np.ndarray
    replacement: bool = False
    num_actions: int = dataclasses.field(default=2, init=False)

    def __post_init__(self):
        features, poisonous = _checked(self.features, self.poisonous, "MushroomBandit")
        if not np.isin(poisonous, (0, 1)).all():
            raise SpecError("poisonous is not a flag", expected="0 or 1", got=str(np.unique(poisonous)[:3]))
        object.__setattr__(self, "features", features)
        object.__setattr__(self, "poisonous", poisonous)

    def outcome(self, row: jax.Array, key: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Returns what leaving and eating earn."""
        poisonous = jnp.asarray(self.poisonous)[row] == 1
        unlucky = jax.random.bernoulli(key)
        eaten = jnp.where(poisonous & unlucky, jnp.float32(-35.0), 5.0)
        mean = jnp.where(poisonous, jnp.float32(-15.0), 5.0)
        return jnp.stack([jnp.zeros(()), eaten]), jnp.stack([jnp.zeros(()), mean])


@dataclasses.dataclass(frozen=True, eq=False)
class RewardTableBandit(_TableBandit):
    """A table that holds what every action earns in every row: users and their ratings of the same items.

    Observation: float32, a row of the features.

    Args:
      features: `[rows, d]` float32.
      rewards: `[rows, A]` float32.
      replacement: draw a row for every round, instead of reading each once a pass.

    Raises:
      SpecError: features and rewards that do not fit each other, are empty or not finite.

    >>> RewardTableBandit(np.eye(2, dtype=np.float32), np.array([[1.0, 2.0, 3.0], [0.0, 0.0, 5.0]])).num_actions
    3
    """

    features: np.ndarray
    rewards: np.ndarray
    replacement: bool = False

    def __post_init__(self):
        rewards = np.asarray(self.rewards, np.float32)
        if rewards.ndim != 2 or not np.isfinite(rewards).all():
            raise SpecError("rewards are no table", expected="finite [rows, A]", got=str(rewards.shape))
        features, _ = _checked(self.features, np.zeros(len(rewards), np.int32), "RewardTableBandit")
        object.__setattr__(self, "features", features)
        object.__setattr__(self, "rewards", rewards)

    @property
    def num_actions(self) -> int:  # type: ignore[override]  # follows from the rewards
        """A, columns of the rewards."""
        return self.rewards.shape[1]

    def outcome(self, row: jax.Array, key: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Returns the row of rewards: nothing is random."""
        del key
        rewards = jnp.asarray(self.rewards)[row]
        return rewards, rewards


def _checked(features: Any, labels: Any, owner: str) -> tuple[np.ndarray, np.ndarray]:
    features, labels = np.asarray(features, np.float32), np.asarray(labels)
    if features.ndim != 2 or labels.shape != features.shape[:1] or not features.size:
        raise SpecError(
            f"the table of {owner} does not fit together",
            expected="features [rows, d], labels [rows]",
            got=f"{features.shape}, {labels.shape}",
        )
    if not np.isfinite(features).all():
        rows = np.flatnonzero(~np.isfinite(features).all(axis=1))
        raise SpecError(f"features of {owner} are not finite", expected="finite", got=f"row {rows[0]}")
    if labels.dtype.kind not in "iub":
        raise SpecError(f"labels of {owner} are no integers", expected="integers", got=str(labels.dtype))
    return features, labels.astype(np.int32)
