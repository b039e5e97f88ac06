"""The commands about demonstrations, and cloning from them."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from jaxdaw import data, specs, training
from jaxdaw.cli import main


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "steps.csv"
    random = np.random.default_rng(0)
    rows = ["id,x,v,a,r"]
    for episode in range(6):
        for _ in range(30):
            x, v = random.normal(size=2).round(4)
            rows.append(f"{episode},{x},{v},{int(x > 0)},1.0")
    path.write_text("\n".join(rows))
    return path


COLUMNS = json.dumps({"observation": ["x", "v"], "action": "a", "reward": "r", "episode": "id"})


def test_from_a_table_to_a_policy(table, tmp_path, capsys):
    converted, run = tmp_path / "data", tmp_path / "run"
    assert main(["data", "convert", str(table), "--out", str(converted), "--columns", COLUMNS]) == 0
    assert "6 episodes, 180 steps" in capsys.readouterr().out
    assert main(["data", "check", str(converted)]) == 0
    assert "it is not known how an episode ended" in capsys.readouterr().out
    assert main(["data", "show", str(converted), "--plot", str(tmp_path / "data.png")]) == 0
    assert "episodes     6, of 180 steps" in capsys.readouterr().out
    assert (tmp_path / "data.png").exists()
    assert main(["data", "repair", str(converted)]) == 0
    assert "6 episodes are sound, 0 are lost" in capsys.readouterr().out
    options = ["--epochs", "3", "--fc-layer-params", "8", "--batch-size", "16", "--out", str(run)]
    assert main(["train", "bc", str(converted), *options]) == 0
    out = capsys.readouterr()
    assert f"run     {run}" in out.out
    assert "epoch 3/3" in out.err
    assert (run / "learning_curve.png").exists()


def test_mistakes_are_told_in_words(table, tmp_path, capsys):
    assert main(["data", "show", str(table), "--columns", "x,v"]) == 2
    assert "--columns is not JSON" in capsys.readouterr().err
    assert main(["data", "show", str(table)]) == 2
    assert "is a table" in capsys.readouterr().err
    assert main(["data", "show", str(tmp_path / "none")]) == 1
    assert "there is no" in capsys.readouterr().err
    assert main(["data", "shw", "x"]) == 2
    assert "Did you mean: jaxdaw data show" in capsys.readouterr().err


def test_demonstrations_of_another_environment_are_refused_before_training(table, tmp_path, capsys):
    columns = ["--columns", COLUMNS]
    assert main(["data", "check", str(table), "--env", "CartPole-v1", *columns]) == 1
    assert main(["train", "bc", str(table), "--env", "CartPole-v1", "--out", str(tmp_path / "run"), *columns]) == 2
    assert "observation" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def waited_for(process, out, rows):
    deadline = time.time() + 90
    while not (out / "metrics.jsonl").exists() or (out / "metrics.jsonl").read_text().count("\n") < rows:
        assert time.time() < deadline, process.poll()
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)


def test_an_interrupted_or_killed_clone_goes_on(tmp_path, capsys):
    table, out = tmp_path / "steps.csv", tmp_path / "run"
    lines = [f"{seen},{int(seen > 4)},{episode}" for episode in range(4) for seen in range(10)]
    table.write_text("\n".join(["x,a,id", *lines]) + "\n")
    columns = ["--columns", '{"observation": ["x"], "action": "a", "episode": "id"}']
    options = ["--epochs", "1M", "--patience", "0", "--checkpoint-every", "1", "--fc-layer-params", "8"]
    environment = {**os.environ, "JAX_PLATFORMS": "cpu"}
    command = [sys.executable, "-m", "jaxdaw", "train", "bc"]
    process = subprocess.Popen(
        [*command, str(table), *columns, *options, "--out", str(out)],
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )
    waited_for(process, out, 3)
    asked = time.time()
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=30)
    assert time.time() - asked < 10  # 2 s on an idle machine, with the process's own end
    assert process.returncode == 130
    assert f"jaxdaw train bc --resume {out}" in error
    assert "Traceback" not in error
    assert training.run_policy(out).action(np.zeros((1, 1), int)).action.shape == (1,)

    before = (out / "metrics.jsonl").read_text().count("\n")
    process = subprocess.Popen([*command, "--resume", str(out), "--quiet"], env=environment)
    waited_for(process, out, before + 5)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    assert main(["train", "bc", "--resume", str(out), "--epochs", "3", "--quiet"]) == 2
    assert "has been trained for longer than that" in capsys.readouterr().err
    total = (out / "metrics.jsonl").read_text().count("\n") + 5
    assert main(["train", "bc", "--resume", str(out), "--epochs", str(total), "--quiet"]) == 0
    rows = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    epochs = [row["epoch"] for row in rows if row["kind"] == "epoch"]
    assert epochs == list(range(1, total + 1))  # none is missing, none is there twice
    assert main(["train", "bc", "--quiet"]) == 2
    assert "jaxdaw train bc --resume RUN" in capsys.readouterr().err


def test_damaged_values_are_neither_checked_nor_cloned_nor_converted_unless_one_says_so(tmp_path, capsys):
    with data.DemonstrationWriter(
        tmp_path / "d", specs.TensorSpec((2,), "float32"), specs.BoundedTensorSpec((), "int64", 0, 1)
    ) as writer:
        for seed in range(8):
            random = np.random.default_rng(seed)
            writer.add(data.Episode(random.normal(size=(6, 2)).astype("f4"), random.integers(2, size=5)))
    shard = tmp_path / "d" / "shard-000000.npz"
    contents = bytearray(shard.read_bytes())
    with np.load(shard) as arrays:
        start = contents.index(arrays["observation_0"].tobytes())
    for place in range(start, start + 384, 4):
        contents[place] ^= 1  # the lowest bit of 96 numbers: all are still numbers, and within their bounds
    shard.write_bytes(contents)
    for command in (
        ["data", "check", str(tmp_path / "d")],
        ["data", "show", str(tmp_path / "d")],
        ["data", "convert", str(tmp_path / "d"), "--out", str(tmp_path / "new")],
        ["train", "bc", str(tmp_path / "d"), "--out", str(tmp_path / "run")],
    ):
        assert main(command) == 1
        assert "shard-000000.npz: sha256" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()
    assert not (tmp_path / "run").exists()
    assert main(["data", "convert", str(tmp_path / "d"), "--out", str(tmp_path / "new"), "--no-verify"]) == 0
    assert main(["data", "check", str(tmp_path / "new")]) == 0
