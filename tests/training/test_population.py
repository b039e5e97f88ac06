import numpy as np

from jaxdaw import training

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
