"""Tables as bandits: the label decides."""

from __future__ import annotations

import jax
import numpy as np
import pytest

from jaxdaw.environments import ClassificationBandit, MushroomBandit, RewardTableBandit
from jaxdaw.errors import SpecError

FEATURES = np.random.default_rng(0).standard_normal((200, 3)).astype(np.float32)
LABELS = np.random.default_rng(1).integers(0, 4, 200)


def rounds_of(environment, count: int):
    problem = environment.draw_problem(jax.random.key(0))
    return jax.device_get(environment.draw_rounds(problem, jax.random.key(1), 0, count))


def rows_of(observations: np.ndarray) -> np.ndarray:
    return np.array([int(np.flatnonzero((row == FEATURES).all(axis=1))[0]) for row in observations])


def test_one_pass_reads_every_row_once_and_pays_for_its_label():
    rounds = rounds_of(ClassificationBandit(FEATURES, LABELS), 200)
    rows = rows_of(rounds.observation)
    assert sorted(rows) == list(range(200))
    assert rows.tolist() != list(range(200))
    np.testing.assert_array_equal(rounds.rewards, np.eye(4)[LABELS[rows]])


def test_the_second_pass_repeats_the_first():
    seen = rounds_of(ClassificationBandit(FEATURES, LABELS), 400).observation
    np.testing.assert_array_equal(seen[:200], seen[200:])


def test_with_replacement_rows_come_again():
    rows = rows_of(rounds_of(ClassificationBandit(FEATURES, LABELS, replacement=True), 200).observation)
    assert len(set(rows.tolist())) < 200


def test_mushrooms_feed_and_poison():
    """Of 5,000 poisonous ones eaten half cost 35: a mean of -15, standard error 20 / sqrt(5000)."""
    rounds = rounds_of(MushroomBandit(FEATURES, LABELS % 2, replacement=True), 10_000)
    poisonous = LABELS[rows_of(rounds.observation[:300])] % 2
    np.testing.assert_array_equal(rounds.expected_rewards[:300, 1], np.where(poisonous, -15.0, 5.0))
    assert (rounds.rewards[:, 0] == 0.0).all()
    is_poison = rounds.expected_rewards[:, 1] == -15.0
    assert set(rounds.rewards[is_poison, 1].tolist()) == {-35.0, 5.0}
    assert (rounds.rewards[~is_poison, 1] == 5.0).all()
    assert abs(rounds.rewards[is_poison, 1].mean() + 15.0) < 5 * 20 / np.sqrt(is_poison.sum())


def test_a_table_of_rewards_pays_what_it_says():
    table = np.random.default_rng(2).standard_normal((200, 5)).astype(np.float32)
    rounds = rounds_of(RewardTableBandit(FEATURES, table), 200)
    np.testing.assert_array_equal(rounds.rewards, table[rows_of(rounds.observation)])


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: ClassificationBandit(FEATURES, LABELS[:5]), "does not fit together"),
        (lambda: ClassificationBandit(FEATURES * np.nan, LABELS), "not finite"),
        (lambda: ClassificationBandit(FEATURES, LABELS.astype(float)), "no integers"),
        (lambda: ClassificationBandit(FEATURES, LABELS, num_actions=2), "labels are outside their range"),
        (lambda: ClassificationBandit(FEATURES, LABELS - 1), "labels are outside their range"),
        (lambda: MushroomBandit(FEATURES, LABELS), "poisonous is not a flag"),
        (lambda: RewardTableBandit(FEATURES, FEATURES[0]), "rewards are no table"),
    ],
)
def test_what_is_no_table_is_refused(make, text: str):
    with pytest.raises(SpecError, match=text):
        make()
