"""Run directories that version 0.1 wrote are read, evaluated and resumed."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from jaxdaw import drivers, environments, training

FILES = Path(__file__).parents[1] / "files" / "0.1"
RUNS = sorted(path.name for path in (FILES / "runs").iterdir())


def test_every_kind_of_run_is_kept():
    kinds = {"bandit_finished", "bandit_interrupted", "bc_finished", "dqn_finished", "dqn_interrupted"}
    assert {*kinds, "dqn_population", "log_finished"} == set(RUNS)


@pytest.mark.parametrize("name", [name for name in RUNS if name.startswith(("dqn_fin", "dqn_int", "bc"))])
def test_its_policy_is_evaluated(name):
    policy = training.run_policy(FILES / "runs" / name)
    pure = environments.make("jax:CartPole-v1")
    assert np.all(drivers.run_episodes(policy, pure, 2).returns >= 8)


@pytest.mark.parametrize("name", [name for name in RUNS if name.startswith(("bandit", "log"))])
def test_its_policy_decides(name):
    policy = training.run_policy(FILES / "runs" / name)
    probabilities = policy.distribution(
        np.zeros((1, *policy.time_step_spec.observation.shape), np.float32)
    ).action.probs
    np.testing.assert_allclose(np.sum(probabilities), 1.0, rtol=1e-5)


@pytest.mark.parametrize("name", ["dqn_interrupted", "dqn_finished"])
def test_a_run_of_dqn_goes_on(name, tmp_path):
    run = shutil.copytree(FILES / "runs" / name, tmp_path / name)
    rows = []
    resumed = training.resume(run, steps=900, watch=rows.append)
    assert rows[0]["kind"] == "resume"
    assert 400 < rows[0]["step"] < 500
    assert rows[-1]["step"] >= 900
    assert len(resumed.evaluations) > 2


def test_a_run_of_cloning_goes_on(tmp_path):
    run = shutil.copytree(FILES / "runs" / "bc_finished", tmp_path / "bc")
    from jaxdaw.data import read_demonstrations

    rows = []
    training.resume(run, read_demonstrations(FILES / "demonstrations"), epochs=3, watch=rows.append)
    assert [row["step"] for row in rows if row["kind"] in ("resume", "epoch")] == [2, 3]


def test_an_interrupted_run_of_a_bandit_goes_on(tmp_path):
    run = shutil.copytree(FILES / "runs" / "bandit_interrupted", tmp_path / "bandit")
    resumed = training.resume(run)
    assert not resumed.interrupted
    assert resumed.rows[-1]["step"] == 400
