"""The command line as a person meets it."""

import errno
import io
import json
import os
import signal
import subprocess
import sys
import time
import warnings

import pytest

from jaxdaw.cli import main
from jaxdaw.cli._main import COMMANDS, _warnings_in_a_line
from jaxdaw.errors import EnvironmentFault, JaxdawWarning

FAST = [
    *("--steps", "1.5k", "--num-envs", "4", "--fc-layer-params", "16", "--learning-starts", "200"),
    *("--train-every", "4", "--updates", "2", "--report-every", "500", "--eval-every", "700"),
    *("--eval-episodes", "3", "--quiet"),
]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    out = tmp_path_factory.mktemp("cli") / "run with spaces ünïcode"
    assert main(["train", "dqn", "CartPole-v1", "--out", str(out), *FAST]) == 0
    return out


def test_train_evaluate_plot_record_play(run, capsys):
    assert (run / "learning_curve.png").stat().st_size > 5_000
    capsys.readouterr()
    assert main(["evaluate", str(run), "--episodes", "7", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["episodes"], found["seed"], len(found["ci95"]), len(found["returns"])) == (7, 0, 2, 7)
    assert {"mean_return", "iqm"} <= set(found)
    assert main(["evaluate", str(run), "--episodes", "3", "--policy", "final"]) == 0
    assert "95% interval" in capsys.readouterr().out
    assert main(["plot", str(run), "--out", str(run / "curve.png")]) == 0
    assert main(["record", str(run)]) == 0
    assert (run / "video.gif").read_bytes()[:3] == b"GIF"
    assert main(["play", str(run), "--render-mode", "none", "--episodes", "2"]) == 0
    assert "episode 2: return" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ([], "no command given"),
        (["trian", "dqn"], "Did you mean: jaxdaw train dqn"),
        (["train", "dqnn"], "Did you mean: jaxdaw train dqn"),
        (["train", "dqn"], "needs an environment"),
        (["train", "dqn", "CartPol-v1"], "CartPole-v1"),
        (["train", "dqn", "CartPole-v1", "--steps", "-5"], "steps is outside its range"),
        (["train", "dqn", "CartPole-v1", "--gamma", "1.5"], "gamma"),
        (["train", "dqn", "no_such_package:Env-v0"], "no_such_package"),
        (["train", "dqn", "CartPole-v1", "--seed", "1", "--seed=2"], "--seed is given more than once"),
        (["train", "dqn", "CartPole-v1", "--double", "--no-double"], "--double is given more than once"),
        (["train", "dqn", "CartPole-v1", "--num_envs", "1", "--num-envs", "2"], "--num-envs is given more than once"),
        (["evaluate", "no/such/run"], "holds no run"),
        (["evaluate", "no/such/run", "--episodes", "0"], "episodes is outside its range"),
        (["plot", "no/such/run"], "holds no"),
    ],
)
def test_a_mistake_gets_a_message_and_no_traceback(arguments, text, capsys):
    status = main(arguments)
    error = capsys.readouterr().err
    assert status in (1, 2)
    assert text in error
    assert "Traceback" not in error


def test_an_unknown_flag_exits_with_2(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["train", "dqn", "CartPole-v1", "--learning-rat", "1"])
    assert stop.value.code == 2
    assert "--learning-rate" in capsys.readouterr().err


@pytest.mark.parametrize(("wish", "colors"), [("", True), ("1", False)])
def test_colors_are_left_out_where_nobody_wants_them(wish, colors, monkeypatch, capsys):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("NO_COLOR", wish)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    with pytest.raises(SystemExit):
        main(["train", "dqn", "CartPole-v1", "--learning-rat", "1"])
    assert ("\x1b[" in capsys.readouterr().err) == colors
    assert os.environ["TERM"] == "xterm"


def test_help_and_version(capsys):
    assert main(["--help"]) == 0
    assert "evaluate" in capsys.readouterr().out
    assert main(["--version"]) == 0
    with pytest.raises(SystemExit) as stop:
        main(["train", "dqn", "--help"])
    assert stop.value.code == 0
    assert "--target-update-period" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["train", "--help"], "train bandit"),
        (["train", "-h"], "train bc"),
        (["data", "--help"], "data repair"),
        (["log", "--help"], "log audit"),
    ],
)
def test_help_is_there_at_every_level(arguments, text, capsys):
    assert main(arguments) == 0
    shown = capsys.readouterr().out
    assert text in shown
    assert "evaluate" not in shown.split("jaxdaw")[0]
    assert main(arguments[:1]) == 2
    assert text in capsys.readouterr().err


@pytest.mark.parametrize("name", [*COMMANDS])
def test_every_command_has_help(name, capsys):
    with pytest.raises(SystemExit) as stop:
        main([*name.split(), "--help"])
    assert stop.value.code == 0
    assert f"jaxdaw {name}" in capsys.readouterr().out


def test_doctor_finds_nothing_wrong_with_cartpole(capsys):
    assert main(["doctor", "CartPole-v1"]) == 0
    assert "no faults found" in capsys.readouterr().out


@pytest.mark.parametrize(("signal_number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interruption_saves_and_says_how_to_go_on(tmp_path, signal_number, status):
    out = tmp_path / "run"
    command = [sys.executable, "-m", "jaxdaw", "train", "dqn", "CartPole-v1", "--out", str(out), "--steps", "10M"]
    environment = {**os.environ, "JAX_PLATFORMS": "cpu"}
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment)
    deadline = time.time() + 60
    while not (out / "metrics.jsonl").exists() or (out / "metrics.jsonl").read_text().count("\n") < 4:
        assert time.time() < deadline, process.poll()
        time.sleep(0.1)
    asked = time.time()
    process.send_signal(signal_number)
    _, error = process.communicate(timeout=30)
    assert time.time() - asked < 10  # 2 s on an idle machine, with the process's own end
    assert process.returncode == status
    assert f"jaxdaw train dqn --resume {out}" in error
    assert "Traceback" not in error
    assert list((out / "checkpoints").glob("step_*"))
    assert main(["train", "dqn", "--resume", str(out), "--steps", "5k", "--quiet"]) == 0


def test_a_closed_pipe_is_quiet(run):
    command = f"{sys.executable} -m jaxdaw evaluate '{run}' --episodes 2 --json | head -c 1"
    environment = {**os.environ, "JAX_PLATFORMS": "cpu"}
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, env=environment)
    assert "Traceback" not in done.stderr


def test_errors_into_a_closed_pipe_are_quiet():
    command = f"{sys.executable} -m jaxdaw trian 2>&1 | true; exit ${{PIPESTATUS[0]}}"
    assert subprocess.run(["bash", "-c", command], capture_output=True).returncode in (2, 141)


def test_a_picture_where_no_file_can_be_is_a_message(run, tmp_path, capsys):
    (tmp_path / "file").touch()
    assert main(["plot", str(run), "--out", str(tmp_path / "file" / "curve.png")]) == 1
    error = capsys.readouterr().err
    assert "could not be read or written" in error
    assert "Not a directory" in error


def test_a_full_disk_is_a_message(run, tmp_path, monkeypatch, capsys):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("matplotlib.figure.Figure.savefig", full)
    assert main(["plot", str(run), "--out", str(tmp_path / "curve.png")]) == 1
    assert "No space left on device" in capsys.readouterr().err


def test_a_terminal_without_the_letters_of_a_path_shows_them_escaped(run, monkeypatch):
    out, error = (io.TextIOWrapper(io.BytesIO(), "ascii") for _ in range(2))
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", error)
    assert main(["plot", str(run)]) == 0
    out.flush()
    assert b"run with spaces \\xfcn\\xefcode" in out.buffer.getvalue()


def test_a_fault_of_an_environment_shows_its_own_traceback_and_how_to_go_on(monkeypatch, capsys):
    def fail(self, given):
        fault = EnvironmentFault("Mine.step() raised ZeroDivisionError")
        fault.add_note("  Go on with:\n  jaxdaw train dqn --resume there")
        raise fault from ZeroDivisionError("a defect of its own")

    monkeypatch.setattr("jaxdaw.cli._train.Train.run", fail)
    assert main(["train", "dqn", "Mine-v0"]) == 1
    error = capsys.readouterr().err
    lines = ("ZeroDivisionError: a defect of its own", "EnvironmentFault: Mine", "--resume there")
    assert [error.index(line) for line in lines] == sorted(error.index(line) for line in lines)


def test_an_interruption_is_said(monkeypatch, capsys):
    def interrupt(self, given):
        raise KeyboardInterrupt

    monkeypatch.setattr("jaxdaw.cli._train.Train.run", interrupt)
    assert main(["train", "dqn", "CartPole-v1"]) == 130
    assert capsys.readouterr().err == "interrupted\n"


def test_numbers_as_people_write_them():
    from jaxdaw.cli._main import parse_count

    texts = ("50k", "1e6", "2M", "1_000", "7")
    assert [parse_count(text) for text in texts] == [50_000, 1_000_000, 2_000_000, 1_000, 7]
    with pytest.raises(ValueError, match="not a whole number"):
        parse_count("1.0005k")


def test_warnings_are_messages_without_the_line_of_code_that_gives_them():
    usual = warnings.formatwarning
    with _warnings_in_a_line():
        assert warnings.formatwarning(JaxdawWarning("few rows"), JaxdawWarning, "a.py", 3) == "warning: few rows\n"
        assert "a.py:3" in warnings.formatwarning("old", DeprecationWarning, "a.py", 3)
    assert warnings.formatwarning is usual
