"""From demonstrations to a saved policy."""

import json
import os
import signal
import time

import jax
import numpy as np
import pytest

from jaxdaw import data, training
from jaxdaw.drivers import Episodes
from jaxdaw.environments import Environment
from jaxdaw.errors import ConfigError, EnvironmentFault, SpecError, StorageError
from jaxdaw.evaluation import plot_cloning
from jaxdaw.training import _cloning_trainer as module
from jaxdaw.training import _demonstrations_job as session
from jaxdaw.training._cloning_trainer import CloningTrainer

from .demonstrations import OBSERVATION, TWICE, continuous, discrete

SMALL = {
    "epoch_updates": 1,
    "validation": 0.1,
    "epochs": 6,
    "fc_layer_params": (16,),
    "learning_rate": 1e-2,
    "batch_size": 32,
    "eval_episodes": 2,
}


def cartpole(episodes=4):
    """Pushes towards where the pole leans."""
    import gymnasium

    made, world = [], gymnasium.make("CartPole-v1")
    for seed in range(episodes):
        seen, actions = [world.reset(seed=seed)[0]], []
        ended = cut = False
        while not (ended or cut):
            actions.append(int(seen[-1][2] + 0.3 * seen[-1][3] > 0))
            observation, _, ended, cut, _ = world.step(actions[-1])
            seen.append(observation)
        made.append(data.Episode(np.array(seen), np.array(actions), np.ones(len(actions), np.float32), ended, cut))
    world.close()
    return data.Demonstrations(made)


def test_a_run_is_evaluated_saved_and_drawn(tmp_path):
    rows = []
    run = training.train(
        "bc",
        cartpole(),
        environment="CartPole-v1",
        out=tmp_path / "run",
        seed=1,
        watch=rows.append,
        eval_every=3,
        source="here",
        **SMALL,
    )
    assert [row["kind"] for row in rows] == ["epoch"] * 3 + ["eval"] + ["epoch"] * 3 + ["eval", "eval"]
    assert not run.interrupted
    best = min(run.rows, key=lambda row: row["validation_loss"])
    assert best["best"]
    written = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert len(written) == len(rows)
    config = training.read_config(tmp_path / "run")
    assert config["demonstrations"]["source"] == "here"
    assert config["options"]["epochs"] == 6
    seen = np.random.default_rng(0).normal(size=(20, 4)).astype(np.float32)
    loaded = training.run_policy(tmp_path / "run")
    np.testing.assert_array_equal(loaded.action(seen).action, run.policy.action(seen).action)
    final = training.run_policy(tmp_path / "run", "final")
    np.testing.assert_array_equal(final.action(seen).action, run.final_policy.action(seen).action)
    assert plot_cloning(tmp_path / "run", tmp_path / "curve.png").stat().st_size > 10_000
    with pytest.raises(StorageError, match="already holds a run"):
        training.train("bc", cartpole(), out=tmp_path / "run", **SMALL)


def test_without_an_environment_the_data_says_what_actions_are(tmp_path):
    run = training.train("bc", continuous(), **{**SMALL, "epochs": 25})
    assert run.evaluations == []
    step = np.array([[0.5, 0.0, 0.0], [-0.5, 0.0, 0.0]], np.float32)
    np.testing.assert_allclose(run.policy.action(step).action, [[0.75], [-0.75]], atol=0.25)
    assert run.policy.action_spec == TWICE
    assert run.policy.time_step_spec.observation == OBSERVATION


def test_training_stops_when_validation_does_not_improve():
    run = training.train("bc", discrete(seed=3), **{**SMALL, "epochs": 200, "patience": 2, "learning_rate": 0.1})
    assert len(run.rows) < 200
    best = [row["best"] for row in run.rows]
    assert best[-2:] == [False, False]
    assert best[-3]


def test_demonstrations_of_another_environment_are_refused(tmp_path):
    with pytest.raises(SpecError, match="observation"):
        training.train("bc", discrete(), environment="CartPole-v1", out=tmp_path / "run", **SMALL)
    assert not (tmp_path / "run" / "config.json").exists()
    with pytest.raises(ConfigError, match="unknown option 'epoch'"):
        training.train("bc", discrete(), epoch=3)


class World(Environment):
    """An environment that is only asked for its specs."""

    batch_size, observation_spec, action_spec = 1, OBSERVATION, TWICE

    def reset(self, seed=None):
        raise NotImplementedError

    def step(self, action):
        raise NotImplementedError


def rows_of(run):
    """Returns what a run wrote, but for how long it took and where it was taken up again."""
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [{**row, "seconds": None, "epoch_seconds": None} for row in rows if row["kind"] != "resume"]


def saved(run):
    """Returns what lies in a run's last checkpoint and policy, and its early-stopping state."""
    newest = sorted((run / "checkpoints").iterdir())[-1]
    kept = json.loads((newest / "manifest.json").read_text())["metadata"]
    files = (newest / "arrays.safetensors", run / "policy" / "weights.safetensors")
    return newest.name, kept["best"], kept["since_best"], [path.read_bytes() for path in files]


def interrupt():
    os.kill(os.getpid(), signal.SIGINT)


@pytest.fixture
def world(monkeypatch):
    """An environment in which a policy's return is the sum of its weights."""

    def run_episodes(policy, environment, episodes, seed, weights, progress):
        returns = np.full(episodes, sum(float(x.sum()) for x in jax.tree.leaves(weights)) + seed)
        return Episodes(returns, np.ones(episodes, np.int64), np.zeros(episodes, bool))

    monkeypatch.setattr(session, "run_episodes", run_episodes)
    return World()


@pytest.mark.parametrize("where", ["on the device", "from the disk"])
def test_interrupted_and_resumed_is_the_same_as_uninterrupted(tmp_path, monkeypatch, world, where):
    demonstrations = continuous(episodes=8)
    if where == "from the disk":
        monkeypatch.setattr(module, "_ON_DEVICE", 0)
    monkeypatch.setattr(module, "_UPDATES_IN_A_CALL", 2)
    options = {**SMALL, "epochs": 5, "patience": 3, "learning_rate": 0.1, "loss": "sample", "eval_every": 1}
    options["batch_size"] = 20
    training.train("bc", demonstrations, environment=world, out=tmp_path / "whole", **options)

    learn = CloningTrainer._learn

    def in_the_middle(self):
        for number, loss in enumerate(learn(self)):
            if self.epoch == 1 and number == 1:
                interrupt()
            yield loss

    def before_an_evaluation(row):
        if row["kind"] == "epoch" and row["epoch"] == 3:
            interrupt()

    with monkeypatch.context() as patched:
        patched.setattr(CloningTrainer, "_learn", in_the_middle)
        run = training.train("bc", demonstrations, environment=world, out=tmp_path / "cut", **options)
    assert run.interrupted
    assert [row["epoch"] for row in run.rows] == [1]
    checkpoints = [path.name for path in (tmp_path / "cut" / "checkpoints").iterdir()]
    assert checkpoints == ["step_000000012"]  # 7 episodes of 25 steps are 4 calls of 2 in epoch 1, then 2 calls
    probe = np.ones((2, 3), np.float32)
    loaded = training.run_policy(tmp_path / "cut").action(probe).action
    np.testing.assert_array_equal(loaded, run.policy.action(probe).action)
    if where == "on the device":
        run = training.resume(tmp_path / "cut", demonstrations, environment=world, watch=before_an_evaluation)
        assert run.interrupted
    run = training.resume(tmp_path / "cut", demonstrations, environment=world)
    assert not run.interrupted
    assert rows_of(tmp_path / "cut") == rows_of(tmp_path / "whole")
    assert saved(tmp_path / "cut") == saved(tmp_path / "whole")
    assert [row["validation_loss"] for row in run.rows] == [
        row["validation_loss"] for row in rows_of(tmp_path / "whole") if row["kind"] == "epoch"
    ]


def test_a_resumed_run_wants_its_own_demonstrations(tmp_path):
    training.train("bc", discrete(), out=tmp_path / "run", **{**SMALL, "epochs": 1})
    with pytest.raises(ConfigError, match="does not say where its demonstrations came from"):
        training.resume(tmp_path / "run")
    with pytest.raises(ConfigError, match="not those of the run") as refusal:
        training.resume(tmp_path / "run", discrete(11))
    assert "12 episodes, 300 steps" in str(refusal.value)
    with pytest.raises(StorageError, match="holds no run"):
        training.resume(tmp_path, discrete())


def test_a_fault_of_the_environment_costs_nothing_of_what_was_learned(tmp_path, monkeypatch, world):
    def run_episodes(*_, **__):
        raise EnvironmentFault("Mine.step() raised ZeroDivisionError")

    options = {**SMALL, "eval_every": 2, "checkpoint_every": 0}
    with monkeypatch.context() as patched:
        patched.setattr(session, "run_episodes", run_episodes)
        with pytest.raises(EnvironmentFault) as caught:
            training.train("bc", continuous(), environment=world, out=tmp_path / "run", **options)
    assert f"jaxdaw train bc --resume {tmp_path / 'run'}" in caught.value.__notes__[0]
    rows = []
    run = training.resume(tmp_path / "run", continuous(), environment=world, watch=rows.append)
    assert (rows[0]["kind"], rows[0]["step"]) == ("resume", 2)
    assert [row["epoch"] for row in run.rows] == [1, 2, 3, 4, 5, 6]


def test_a_run_is_saved_though_its_environment_does_not_return(tmp_path, monkeypatch, world):
    def run_episodes(*_, **__):
        interrupt()
        time.sleep(60)

    monkeypatch.setattr(session, "run_episodes", run_episodes)
    run = training.train("bc", continuous(), environment=world, out=tmp_path / "run", **{**SMALL, "eval_every": 2})
    assert run.interrupted
    assert [row["epoch"] for row in run.rows] == [1, 2]
    assert (tmp_path / "run" / "policy").is_dir()
