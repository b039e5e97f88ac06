"""The commands about logged decisions; their exit status is a gate."""

import json

import numpy as np
import pytest

from data.logs import log
from jaxdaw import specs
from jaxdaw.cli import main
from jaxdaw.data.decisions._jsonl import decision_rows, write_rows
from jaxdaw.networks import QNetwork
from jaxdaw.policies import EpsilonGreedyPolicy, QPolicy
from jaxdaw.training import save_policy
from jaxdaw.trajectories import time_step_spec


def write(path, decisions):
    with path.open("wb") as file:
        write_rows(file, decision_rows(decisions))
    return str(path)


@pytest.fixture
def honest(tmp_path):
    return write(tmp_path / "log.jsonl", log(3000))


def test_an_audit_passes_or_fails_by_its_exit_status(honest, tmp_path, capsys):
    assert main(["log", "audit", honest]) == 0
    assert "the log passes" in capsys.readouterr().out
    decisions = log(3000)
    lied = decisions.replace(probabilities=np.roll(decisions.probabilities, 1, axis=0), probability=None)
    assert main(["log", "audit", write(tmp_path / "lied.jsonl", lied), "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert told["passed"] is False
    assert {check["name"]: check["status"] for check in told["checks"]}["calibration"] == "fail"


def test_a_saved_policy_is_gated(honest, tmp_path, capsys):
    context, action = specs.TensorSpec((3,), "float32"), specs.BoundedTensorSpec((), "int32", 0, 3)
    policy = QPolicy(time_step_spec(context), action, QNetwork(context, action, fc_layer_params=(4,)))
    save_policy(EpsilonGreedyPolicy(policy, 0.5), tmp_path / "policy")
    options = ["ope", honest, "--policy", "greedy", str(tmp_path / "policy"), "--json"]
    assert main([*options, "--gate", "effective_sample_size > 100 and lower_bound > 0"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["passed"] == {"greedy": True, str(tmp_path / "policy"): True}
    assert [one["trusted"] for one in told["candidates"]] == [True, True]
    assert main([*options, "--gate", "lower_bound > 2 * logged"]) == 1
    assert json.loads(capsys.readouterr().out)["passed"]["greedy"] is False


def test_what_is_not_trusted_passes_no_gate(tmp_path, capsys):
    path = write(tmp_path / "log.jsonl", log(60))
    assert main(["ope", path, "--policy", "uniform", "--gate", "1 > 0", "--plot", str(tmp_path / "o.png")]) == 1
    out = capsys.readouterr().out
    assert "DO NOT TRUST" in out
    assert "FAILS  1 > 0" in out
    assert (tmp_path / "o.png").exists()


def test_a_log_is_converted(honest, tmp_path, capsys):
    for name in ("log.dsjson", "parquet"):
        assert main(["log", "convert", honest, "--out", str(tmp_path / name)]) == 0
        assert "3,000 decisions" in capsys.readouterr().out
        assert main(["log", "audit", str(tmp_path / name)]) == 0
        capsys.readouterr()
    assert main(["log", "convert", honest, "--out", str(tmp_path / "parquet")]) == 1


def test_late_outcomes_have_a_default(tmp_path, capsys):
    rows = [{"decision_id": str(i), "time": i, "action": i % 2, "probability": 0.5} for i in range(400)]
    rows += [{"decision_id": str(i), "time": i + (1 if i % 4 else 99), "reward": 1.0} for i in range(400)]
    path = tmp_path / "log.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    joining = ["--default-reward", "0", "--expiry-s", "10"]
    assert main(["ope", str(path), "--policy", "uniform", "--json", *joining]) == 0
    assert json.loads(capsys.readouterr().out)["logged"]["value"] == pytest.approx(0.75)
    assert main(["log", "audit", str(path), "--json", *joining]) == 0
    outcomes = json.loads(capsys.readouterr().out)["outcomes"]
    assert (outcomes["joined"], outcomes["late"], outcomes["expired"]) == (300, 100, 100)


@pytest.mark.parametrize(
    ("arguments", "status", "text"),
    [
        (["ope", "LOG", "--policy", "none"], 2, "there is no policy 'none'"),
        (["ope", "LOG", "--policy", "constant:9"], 2, "there is no candidate"),
        (["ope", "LOG", "--policy", "uniform", "--gate", "lower > 0"], 2, "cannot be read"),
        (["ope", "LOG", "--policy", "uniform", "--estimator", "x"], 2, "no such estimator"),
        (["log", "audit", "LOG", "--shares", "a=1"], 2, "--shares is not JSON"),
        (["log", "audit", "LOG", "--arms", "2"], 1, "one for each eligible arm"),
        (["log", "audit", "missing"], 1, "there is no missing"),
        (["log", "audti", "LOG"], 2, "Did you mean: jaxdaw log audit"),
    ],
)
def test_mistakes_are_told_in_words(honest, arguments, status, text, capsys):
    assert main([honest if argument == "LOG" else argument for argument in arguments]) == status
    assert text in capsys.readouterr().err


def test_any_estimators_are_computed_without_naming_the_main_one(honest, capsys):
    assert main(["ope", honest, "--policy", "uniform", "--json", "--estimators", "snips", "ips"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["estimator"] == "snips"
    assert set(told["candidates"][0]["estimates"]) == {"snips", "ips"}


def test_probabilities_that_were_not_logged_are_estimated(tmp_path, capsys):
    decisions = log(1000)
    path = write(tmp_path / "log.jsonl", decisions.replace(probabilities=None, probability=None))
    assert main(["ope", path, "--policy", "uniform"]) == 2
    assert "were not logged" in capsys.readouterr().err
    assert main(["ope", path, "--policy", "uniform", "--json", "--estimate-propensities"]) == 0
    assert json.loads(capsys.readouterr().out)["candidates"][0]["trusted"] is True


def test_a_policy_is_learned_from_a_log_and_judged_on_what_was_kept_aside(tmp_path, capsys):
    path, run = write(tmp_path / "log.jsonl", log(3000)), tmp_path / "run"
    options = ["--exploration", "greedy", "--updates", "4", "--quiet", "--out", str(run)]
    assert main(["train", "bandit", "--log", path, *options]) == 0
    out = capsys.readouterr().out
    assert "learned, greedy" in out
    assert f"jaxdaw decide {run}" in out
    held = write(tmp_path / "held.jsonl", log(3000, seed=1))
    assert main(["ope", held, "--policy", str(run), "--gate", "gain_lower_bound > 0"]) == 0
    capsys.readouterr()
    assert main(["train", "bandit", "digits", "--log", path]) == 2
    assert "a log stands in place of a bandit" in capsys.readouterr().err
