"""The record of a log: shapes are refused when it is made, values are kept as they are."""

import numpy as np
import pytest

from jaxdaw.data import Decisions
from jaxdaw.errors import SpecError, SpecTypeError
from jaxdaw.specs import TensorSpec


def test_columns_are_cast_and_what_is_not_given_is_told_by_what_is():
    decisions = Decisions([0, 2], probabilities=[[0.5, 0.2, 0.3], [0.1, 0.1, 0.8]], context={"x": np.ones((2, 3))})
    assert decisions.num_arms == 3
    assert decisions.probability.tolist() == [0.5, 0.8]
    assert np.isnan(decisions.reward).all()
    assert decisions.context_spec == {"x": TensorSpec((3,), "float64")}
    assert decisions.arm_features_spec == ()


def test_rows_are_selected_from_every_column():
    decisions = Decisions(
        [0, 1, 1], [1.0, 2.0, 3.0], [0.5, 0.25, 0.75], (np.arange(3),), 2, np.ones((3, 2), bool),
        arm_features={"f": np.arange(6).reshape(3, 2)}, decision_id=["a", "b", "c"], time=[1, 2, 3],
    )  # fmt: skip
    some = decisions.select(np.array([True, False, True]))
    assert some.decision_id.tolist() == ["a", "c"]
    assert some.context[0].tolist() == [0, 2]
    assert some.arm_features["f"].tolist() == [[0, 1], [4, 5]]
    assert (some.reward.tolist(), some.time.tolist(), some.num_arms) == ([1, 3], [1, 3], 2)


def test_what_is_wrong_with_values_is_kept_for_the_check():
    decisions = Decisions([-1, 7, 0], [np.nan, np.inf, 0.0], [0.0, 2.0, np.nan], num_arms=2)
    assert decisions.in_range.tolist() == [False, False, True]
    assert decisions.probability[:2].tolist() == [0.0, 2.0]
    own = Decisions([-1, 7, 0], probabilities=[[0.5, 0.5]] * 3)
    assert np.isnan(own.probability).tolist() == [True, True, False]


@pytest.mark.parametrize(
    ("columns", "error", "text"),
    [
        ({"action": [0.0, 1.0]}, SpecTypeError, "actions are no integers"),
        ({"action": [[0], [1]]}, SpecError, "not one for each decision"),
        ({"action": [0, 1], "reward": [1.0]}, SpecError, "reward does not fit"),
        ({"action": [0, 1], "reward": ["a", "b"]}, SpecTypeError, "reward holds something else"),
        ({"action": [0, 1], "probability": [[0.5], [0.5]]}, SpecError, "probability does not fit"),
        ({"action": [0, 1], "eligible": [[0.5, 1], [1, 1]]}, SpecTypeError, "eligible holds something else"),
        ({"action": [0, 1], "probabilities": np.ones((2, 3)), "num_arms": 2}, SpecError, "probabilities does not fit"),
        ({"action": [0, 1], "context": np.zeros((3, 2))}, SpecError, "context does not fit"),
        ({"action": [0, 1], "context": {"a": np.array(["x", "y"])}}, SpecTypeError, r"context\['a'\] holds"),
        ({"action": [0, 1], "arm_features": np.zeros((2, 5, 1))}, SpecError, "arm_features does not fit"),
        ({"action": [0, 1], "decision_id": [1, 2]}, SpecTypeError, "decision_id is no text"),
    ],
)
def test_columns_that_do_not_fit_are_refused(columns, error, text):
    with pytest.raises(error, match=text):
        Decisions(**columns)


def test_an_empty_log_is_one():
    assert len(Decisions([])) == 0
    assert Decisions([], num_arms=3).num_arms == 3
