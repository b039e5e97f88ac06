import json
import os
import signal

import gymnasium
import jax
import numpy as np
import pytest

from jaxdaw import training
from jaxdaw.errors import ConfigError

from .worlds import SMALL


def test_every_member_has_metrics_and_policies_of_its_own(tmp_path):
    rows = []
    runs = training.train("dqn", "jax:CartPole-v1", seeds=2, config=SMALL, out=tmp_path / "pair", watch=rows.append)
    texts = [(run.directory / "metrics.jsonl").read_text() for run in runs.members]
    assert texts[0] != texts[1]
    assert {row["kind"] for row in rows} == {"train", "eval"}
    for run in runs.members:
        best = max(row["mean_return"] for row in run.evaluations)
        assert np.isfinite(best)
        assert training.load_policy(run.directory / "policy").name == "GreedyPolicy"


def test_an_interrupted_population_goes_on_as_a_whole(tmp_path):
    """The oracle is the population itself, uninterrupted: weights, rows and the best policies are equal."""
    whole = training.train("dqn", "jax:CartPole-v1", seeds=3, config=SMALL, out=tmp_path / "whole")
    asked = []

    def interrupt(row):
        if row["kind"] == "train" and row["step"] >= 1_500 and not asked:
            asked.append(row["step"])
            os.kill(os.getpid(), signal.SIGINT)

    cut = training.train("dqn", "jax:CartPole-v1", seeds=3, config=SMALL, out=tmp_path / "cut", watch=interrupt)
    assert cut.interrupted
    with pytest.raises(ConfigError, match="is a member of a population") as refusal:
        training.resume(cut.members[1].directory)
    assert f"jaxdaw resume {tmp_path / 'cut'}" in str(refusal.value)
    resumed = training.resume(tmp_path / "cut")
    assert not resumed.interrupted
    for one, other in zip(resumed.members, whole.members, strict=True):
        for a, b in ((one.final_policy, other.final_policy), (one.policy, other.policy)):
            for x, y in zip(*map(jax.tree.leaves, (a.get_weights(), b.get_weights())), strict=True):
                np.testing.assert_array_equal(x, y)
        assert _written(one.directory) == _written(other.directory)
    assert [row["step"] for row in resumed.rows] == [row["step"] for row in whole.rows]


def _written(run):
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [{**row, "seconds": 0, "steps_per_second": 0} for row in rows]


def test_the_policy_of_a_population_is_that_of_its_best_member(tmp_path):
    run = training.train("dqn", "jax:CartPole-v1", seeds=2, config=SMALL, steps=1_500, out=tmp_path / "pair")
    scores = [max(row["mean_return"] for row in member.evaluations) for member in run.members]
    saved = training.run_policy(tmp_path / "pair")
    best = run.members[int(np.argmax(scores))].policy
    for x, y in zip(*map(jax.tree.leaves, (saved.get_weights(), best.get_weights())), strict=True):
        np.testing.assert_array_equal(x, y)


def test_a_population_on_the_host_goes_on_where_it_was_stopped(tmp_path):
    """One member is finished, one interrupted, one not begun."""
    rows = []

    def interrupt(row):
        rows.append(row)
        if len([r for r in rows if r["kind"] == "train"]) == 5:
            os.kill(os.getpid(), signal.SIGINT)

    options = {"config": SMALL, "steps": 1_200, "out": tmp_path / "turn", "seeds": 3}
    run = training.train("dqn", "CartPole-v1", watch=interrupt, **options)
    assert run.interrupted
    assert [member.interrupted for member in run.members] == [False, True]
    training.resume(tmp_path / "turn")
    for seed in range(3):
        assert (tmp_path / "turn" / f"seed_{seed}" / "policy").is_dir()
    assert len(training.members_of(tmp_path / "turn", training.read_config(tmp_path / "turn"))) == 3


def test_rows_of_an_environment_that_is_given_as_an_object_cannot_be_chosen(tmp_path):
    with pytest.raises(ConfigError, match="num_envs has no effect"):
        training.train("dqn", gymnasium.make("CartPole-v1"), num_envs=4, out=tmp_path / "run")
    assert list(tmp_path.iterdir()) == []
