"""Bandits on the command line: interrupted, resumed, started from what another run learned."""

import os
import signal

from jaxdaw.cli import main
from jaxdaw.training import Progress

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
    assert main(["train", "bandit", "--resume", out]) == 0
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
