"""A log in each form is the same log."""

import numpy as np
import pytest

from data.logs import log, same
from jaxdaw.data import read_decisions, write_decisions
from jaxdaw.errors import SpecError, StorageError


@pytest.mark.parametrize("name", ["log.jsonl", "log"])
def test_a_log_is_written_and_read_back(tmp_path, name):
    wanted = log(50, eligible=np.ones((50, 4), bool), time=np.arange(50.0))
    found = read_decisions(write_decisions(wanted, tmp_path / name))
    same(found, wanted.replace(decision_id=[str(index) for index in range(50)]))
    with pytest.raises(StorageError, match="is there already"):
        write_decisions(wanted, tmp_path / name)


def test_dsjson_holds_actions_rewards_and_probabilities(tmp_path):
    wanted = log(50)
    found = read_decisions(write_decisions(wanted, tmp_path / "log.dsjson"))
    np.testing.assert_array_equal(found.reward, wanted.reward)
    np.testing.assert_allclose(found.probabilities, wanted.probabilities)


def test_faults_are_kept_by_json_lines_and_refused_by_a_directory(tmp_path):
    faulty = log(5, probabilities=None, probability=np.zeros(5))
    assert read_decisions(write_decisions(faulty, tmp_path / "log.jsonl")).probability.tolist() == [0.0] * 5
    with pytest.raises(SpecError, match="outside"):
        write_decisions(faulty, tmp_path / "log")


def test_a_refused_log_leaves_nothing_behind(tmp_path):
    bad = log(200_000, probability=np.full(200_000, 0.25), probabilities=None)
    bad.probability[150_000] = 0.0  # in the second part
    with pytest.raises(SpecError, match="outside"):
        write_decisions(bad, tmp_path / "log")
    assert not (tmp_path / "log").exists()
