"""Training on the command line: what is typed, what is refused, what is printed to go on with."""

import json
import os
import shlex
import signal

import numpy as np
import pytest

from jaxdaw.cli import main
from jaxdaw.data import Decisions, write_decisions
from jaxdaw.training import ALGORITHMS, Progress, read_config

FAST = ["--horizon", "32", "--updates", "1", "--eager-rounds", "0", "--reports", "2"]


def test_an_interrupted_run_is_resumed_and_then_started_from(tmp_path, capsys, monkeypatch):
    out = str(tmp_path / "run")
    with monkeypatch.context() as patched:
        patched.setattr(Progress, "update", lambda self, row: os.kill(os.getpid(), signal.SIGINT))
        command = ["train", "bandit", "bernoulli", "--exploration", "falcon", "--out", out, *FAST]
        assert main(command) == 130
    shown = capsys.readouterr()
    assert f"everything is saved. Go on with:\n  jaxdaw train bandit --resume {out}" in shown.err
    assert "in 16 rounds" in shown.out
    assert main(["resume", out]) == 0
    shown = capsys.readouterr()
    assert "resumed at round 16: weights" in shown.err
    assert "in 32 rounds" in shown.out
    assert f"next    jaxdaw decide {out}" in shown.out
    assert main(["train", "bandit", "--resume", out]) == 2
    assert f"--warm-start {out}" in capsys.readouterr().err
    assert main(["train", "bandit", "bernoulli", "--resume", out]) == 2
    assert "resumed with the options that it has" in capsys.readouterr().err
    again = ["train", "bandit", "bernoulli", "--warm-start", out, "--out", str(tmp_path / "other"), *FAST]
    assert main([*again, "--fc-layer-params", "8"]) == 2
    assert "holds another reward model" in capsys.readouterr().err


DQN = [
    *("--num-envs", "2", "--fc-layer-params", "8", "--learning-starts", "32", "--train-every", "8", "--updates", "1"),
    *("--report-every", "100", "--eval-every", "200", "--eval-episodes", "2", "--quiet"),
]
DEMONSTRATIONS = "tests/files/0.1/demonstrations"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "it's a $run"
    assert main(["train", "dqn", "jax:CartPole-v1", "--steps", "300", "--out", str(out), *DQN]) == 0
    return out


def hints_of(text):
    return [line.removeprefix("next").strip() for line in text.splitlines() if "jaxdaw " in line]


def test_every_hint_works_as_pasted(run, capsys):
    assert main(["train", "dqn", "--resume", str(run), "--steps", "600", "--quiet"]) == 0
    (hint,) = hints_of(capsys.readouterr().out)
    words = shlex.split(hint)
    assert words[0] == "jaxdaw"
    assert main([*words[1:], "--episodes", "2"]) == 0


def test_a_total_that_equals_the_default_is_a_total(run, capsys):
    """50,000 steps are the default: typed, they are meant."""
    assert main(["resume", str(run), "--quiet", "--steps", "1k"]) == 0
    assert main(["resume", str(run), "--quiet", "--eval-every", "1500", "--report-every", "1000"]) == 0
    assert read_config(run)["changed"] == {"steps": 1_000, "eval_every": 1_500, "report_every": 1_000}


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        (["--learning-rate", "0.001"], ["--learning-rate"]),
        (["--gamma", "0.9", "--network", "rnn"], ["--gamma", "--network"]),
        (["--no-double"], ["--double"]),
        (["--seed", "0"], ["--seed"]),
        (["--seeds", "2", "--steps", "9k"], ["--seeds"]),
        (["--out", "elsewhere"], ["--out"]),
        (["--env.length", "1"], ["--env.length"]),
        (["--wrapper", "a:B"], ["--wrapper"]),
    ],
)
def test_what_cannot_change_is_refused_by_name(run, flags, named, capsys):
    before = (run / "config.json").read_bytes()
    assert main(["train", "dqn", "--resume", str(run), *flags]) == 2
    error = capsys.readouterr().err
    assert "resumed with the options that it has" in error
    assert all(name in error for name in named)
    assert (run / "config.json").read_bytes() == before


@pytest.mark.parametrize(
    ("arguments", "flag"),
    [
        (["dqn", "jax:CartPole-v1", "--lstm-size", "8"], "--lstm-size"),
        (["dqn", "jax:CartPole-v1", "--priority-exponent", "0.6"], "--priority-exponent"),
        (["dqn", "jax:CartPole-v1", "--reschedule"], "--reschedule"),
        (["dqn", "jax:CartPole-v1", "--trust", "a"], "--trust"),
        (["bc", DEMONSTRATIONS, "--eval-every", "2"], "--eval-every"),
        (["bc", DEMONSTRATIONS, "--env.length", "2"], "--env.length"),
        (["bandit", "bernoulli", "--alpha", "1"], "--alpha"),
        (["bandit", "bernoulli", "--aside", "0.3"], "--aside"),
        (["bandit", "bernoulli", "--arms", "3"], "--arms"),
        (["bandit", "--log", "log.jsonl", "--horizon", "9"], "--horizon"),
    ],
)
def test_a_flag_that_would_do_nothing_is_refused_by_name(arguments, flag, tmp_path, capsys):
    assert main(["train", *arguments, "--out", str(tmp_path / "run")]) == 2
    assert flag in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_a_run_of_another_algorithm_says_which(run, capsys):
    assert main(["train", "bc", "--resume", str(run)]) == 2
    assert shlex.join(["jaxdaw", "train", "dqn", "--resume", str(run)]) in capsys.readouterr().err


def test_a_refused_command_can_be_corrected(tmp_path, capsys):
    out = str(tmp_path / "run")
    command = ["train", "dqn", "jax:CartPole-v1", "--steps", "300", "--out", out, *DQN]
    assert main([*command, "--gamma", "2"]) == 2
    assert main(command) == 0


def test_a_population_is_trained_resumed_and_evaluated_as_a_whole(tmp_path, capsys):
    out = tmp_path / "a population"
    command = ["train", "dqn", "jax:CartPole-v1", "--steps", "300", "--seeds", "2", "--out", str(out), *DQN]
    assert main(command) == 0
    (hint,) = hints_of(capsys.readouterr().out)
    assert main([*shlex.split(hint)[1:], "--episodes", "3", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert len(found["members"]) == len(found["returns"]) == 2
    assert found["mean_return"] == pytest.approx(np.mean([one["mean_return"] for one in found["members"]]))
    assert main(["resume", str(out), "--steps", "600", "--quiet"]) == 0
    assert main(["record", str(out), "--out", str(tmp_path / "video.gif")]) == 0
    assert main(["play", str(out), "--episodes", "1", "--render-mode", "none"]) == 0


def test_an_environment_is_given_options_and_a_wrapper(tmp_path, capsys):
    out = str(tmp_path / "run")
    lake = ["FrozenLake-v1", "--env.is_slippery", "false", "--wrapper", "gymnasium.wrappers:TimeAwareObservation"]
    assert main(["train", "dqn", *lake, "--max-episode-steps", "20", "--steps", "300", "--out", out, *DQN]) == 0
    recipe = read_config(out)["recipe"]
    assert (recipe["kwargs"], recipe["max_episode_steps"]) == ({"is_slippery": False}, 20)
    capsys.readouterr()
    assert main(["evaluate", out, "--episodes", "4", "--env.is_slippery=true"]) == 0
    assert "FrozenLake-v1" in capsys.readouterr().out
    assert main(["train", "bandit", "bernoulli", "--env.x", "1"]) == 2
    assert main(["plot", out, "--env.x", "1"]) == 2
    assert "takes no --env.NAME" in capsys.readouterr().err


def test_a_log_is_learned_from_and_taken_up_again(tmp_path, capsys, monkeypatch):
    random = np.random.default_rng(0)
    action, context = random.integers(0, 2, 400), np.ones((400, 1), np.float32)
    write_decisions(Decisions(action, action.astype(float), np.full(400, 0.5), context), tmp_path / "log.jsonl")
    log, out = str(tmp_path / "log.jsonl"), str(tmp_path / "run")
    small = ["--updates", "1", "--fc-layer-params", "8", "--exploration", "greedy", "--reports", "4"]
    with monkeypatch.context() as patched:
        patched.setattr(Progress, "update", lambda self, row: os.kill(os.getpid(), signal.SIGINT))
        assert main(["train", "bandit", "--log", log, "--out", out, *small]) == 130
    assert main(["resume", out, "--quiet"]) == 0
    assert "learned, greedy" in capsys.readouterr().out
    assert read_config(out)["reading"]["aside"] == 0.3


def test_every_algorithm_of_the_table_is_a_command(capsys):
    for name, row in ALGORITHMS.items():
        with pytest.raises(SystemExit):
            main(["train", name, "--help"])
        shown = capsys.readouterr().out
        assert " ".join(row.summary.split()[:3]) in " ".join(shown.split())
        assert f"--{row.total}" in shown
        assert main(["train", name]) == 2
        capsys.readouterr()
