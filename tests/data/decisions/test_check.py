"""Everything that is wrong with a log is told, with counts and the first rows."""

import numpy as np
import pytest

from data.logs import log
from jaxdaw.data import Decisions, check_decisions, is_rewarded
from jaxdaw.errors import JaxdawWarning, SpecError


def broken(**columns):
    sound = {"action": [0, 1, 0, 1], "reward": [0.0, 1.0, 2.0, 3.0], "probability": [0.5] * 4, "num_arms": 2}
    return Decisions(**sound | columns)


def test_an_honest_log_has_no_faults():
    assert check_decisions(log()) == ((), ())


@pytest.mark.parametrize(
    ("columns", "text", "count", "where"),
    [
        ({"action": [0, 5, -1, 1]}, "chosen arms that do not exist", 2, "row 1"),
        ({"probability": [0.5, 0.0, 0.5, 0.0]}, r"outside (0, 1]", 2, "row 1"),
        ({"probability": [0.5, 1.5, 0.5, 0.5]}, r"outside (0, 1]", 1, "row 1"),
        ({"probability": [np.nan, 0.5, np.nan, np.nan]}, "were not logged", 3, "row 0"),
        ({"reward": [0.0, np.nan, 0.0, 0.0]}, "without a reward", 1, "row 1"),
        ({"reward": [0.0, 0.0, np.inf, 0.0]}, "rewards that are infinite", 1, "row 2"),
        ({"eligible": [[1, 1], [1, 0], [0, 1], [1, 1]]}, "were not eligible", 2, "row 1"),
        ({"eligible": [[1, 1], [1, 1], [0, 0], [1, 1]]}, "without an eligible arm", 1, "row 2"),
        ({"probabilities": [[0.5, 0.5]] * 3 + [[0.6, 0.5]]}, "do not add up to 1", 1, "row 3"),
        ({"probabilities": [[0.5, 0.5]] * 3 + [[0.4, 0.6]]}, "that differ", 1, "row 3"),
        ({"probabilities": [[0.5, 0.5]] * 3 + [[1.5, -0.5]]}, "outside [0, 1]", 1, "row 3"),
        ({"context": np.array([0.0, 1.0, np.nan, np.inf])}, "with NaN or infinity", 2, "row 2"),
        ({"decision_id": ["a", "b", "a", "a"]}, "were there before", 2, "row 2"),
    ],
)
def test_each_fault_is_counted_and_placed(columns, text, count, where):
    report = check_decisions(broken(**columns))
    found = [fault for fault in report.errors if text in fault.what]
    assert [fault.count for fault in found] == [count]
    assert found[0].places[0] == where
    with pytest.raises(SpecError, match=r"the log ha(s|ve)"):
        report.raise_if_faulty("the log")


def test_probabilities_of_arms_that_were_not_eligible_are_told():
    decisions = broken(probabilities=[[0.5, 0.5]] * 4, action=[0, 0, 0, 0], eligible=[[True, False]] * 4)
    assert any("of arms that were not eligible" in fault.what for fault in check_decisions(decisions).errors)


def test_rounding_of_float32_is_no_fault():
    half = np.float32(0.1) * 5 + np.float32(0.5)  # 1.0000000149
    table = np.array([[1.0 + 1.2e-7, 0.0]] * 4)
    assert not check_decisions(broken(action=[0] * 4, probability=[float(half)] * 4)).errors
    assert not check_decisions(broken(action=[0] * 4, probability=None, probabilities=table)).errors
    assert check_decisions(broken(probability=[1.01] * 4)).errors


def test_a_few_decisions_without_reward_are_left_out_and_told():
    decisions = log(100).replace(reward=np.where(np.arange(100) < 3, np.nan, 1.0))
    with pytest.warns(JaxdawWarning, match="3 of 100 decisions have no reward, and are left out"):
        assert is_rewarded(decisions).tolist() == [False] * 3 + [True] * 97
    most = log(100).replace(reward=np.where(np.arange(100) < 6, np.nan, 1.0))
    assert is_rewarded(most).all()  # and check_decisions refuses them
    assert is_rewarded(log(0)).shape == (0,)


def test_an_empty_log_is_a_fault():
    with pytest.raises(SpecError, match="holds no decisions"):
        check_decisions(Decisions([])).raise_if_faulty("the log")


def test_what_is_not_needed_is_not_missed():
    decisions = Decisions([0, 1])
    assert len(check_decisions(decisions).errors) == 2
    assert not check_decisions(decisions, needs_probability=False, needs_reward=False).errors
