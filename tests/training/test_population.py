import os
import signal

import jax
import numpy as np
import pytest

from jaxdaw import training
from jaxdaw.errors import ConfigError

from .worlds import SMALL


def test_every_member_has_metrics_and_policies_of_its_own(tmp_path):
    rows = []
    runs = training.train_seeds("dqn", "jax:CartPole-v1", 2, config=SMALL, out=tmp_path / "pair", watch=rows.append)
    texts = [(run.directory / "metrics.jsonl").read_text() for run in runs]
    assert texts[0] != texts[1]
    assert {row["kind"] for row in rows} == {"train", "eval"}
    for run in runs:
        best = max(row["mean_return"] for row in run.evaluations)
        assert np.isfinite(best)
        assert training.load_policy(run.directory / "policy").name == "GreedyPolicy"


def test_a_member_of_an_interrupted_population_goes_on_alone_as_it_would_have(tmp_path):
    """The oracle is the population itself, uninterrupted."""
    config = {**vars(SMALL), "eval_every": 0}
    config = type(SMALL)(**config)
    whole = training.train_seeds("dqn", "jax:CartPole-v1", 3, config=config, out=tmp_path / "whole")

    def interrupt(row):
        if row["kind"] == "train" and 1_000 <= row["step"] < 2_000:
            os.kill(os.getpid(), signal.SIGINT)
            interrupted.append(row["step"])

    interrupted = []
    runs = training.train_seeds("dqn", "jax:CartPole-v1", 3, config=config, out=tmp_path / "cut", watch=interrupt)
    assert [run.interrupted for run in runs] == [True] * 3
    assert len(interrupted) == 1
    with pytest.raises(ConfigError, match=r"seed_\*; do jaxdaw train dqn --resume"):
        training.resume(tmp_path / "cut")
    for index in (0, 2):
        resumed = training.resume(runs[index].directory)
        assert not resumed.interrupted
        weights = [run.final_policy.get_weights() for run in (resumed, whole[index])]
        for one, other in zip(*map(jax.tree.leaves, weights), strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-4)  # alone, sums are added up in another order
