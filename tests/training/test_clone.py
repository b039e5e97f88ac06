"""From demonstrations to a saved policy."""

import json
import os
import signal

import numpy as np
import pytest

from jaxdaw import data, training
from jaxdaw.errors import ConfigError, SpecError, StorageError
from jaxdaw.evaluation import plot_cloning

from .demonstrations import OBSERVATION, TWICE, continuous, discrete

SMALL = {"epochs": 6, "fc_layer_params": (16,), "learning_rate": 1e-2, "batch_size": 32, "eval_episodes": 2}


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
    run = training.clone(
        cartpole(), "CartPole-v1", out=tmp_path / "run", seed=1, watch=rows.append, eval_every=3, source="here", **SMALL
    )
    assert [row["kind"] for row in rows] == ["epoch"] * 3 + ["eval"] + ["epoch"] * 3 + ["eval", "eval"]
    assert not run.interrupted
    best = min(run.epochs, key=lambda row: row["validation_loss"])
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
        training.clone(cartpole(), out=tmp_path / "run", **SMALL)


def test_without_an_environment_the_data_says_what_actions_are(tmp_path):
    run = training.clone(continuous(), **{**SMALL, "epochs": 25})
    assert run.evaluations == []
    step = np.array([[0.5, 0.0, 0.0], [-0.5, 0.0, 0.0]], np.float32)
    np.testing.assert_allclose(run.policy.action(step).action, [[0.75], [-0.75]], atol=0.25)
    assert run.policy.action_spec == TWICE
    assert run.policy.time_step_spec.observation == OBSERVATION


def test_training_stops_when_validation_does_not_improve():
    run = training.clone(discrete(seed=3), **{**SMALL, "epochs": 200, "patience": 2, "learning_rate": 0.1})
    assert len(run.epochs) < 200
    best = [row["best"] for row in run.epochs]
    assert best[-2:] == [False, False]
    assert best[-3]


def test_the_same_seed_gives_the_same_weights():
    first, second = (training.clone(discrete(), seed=5, **SMALL) for _ in range(2))
    for a, b in zip(first.final_policy.variables(), second.final_policy.variables(), strict=True):
        np.testing.assert_array_equal(a.get_value(), b.get_value())


def test_demonstrations_of_another_environment_are_refused(tmp_path):
    with pytest.raises(SpecError, match="observation"):
        training.clone(discrete(), "CartPole-v1", out=tmp_path / "run", **SMALL)
    assert not (tmp_path / "run" / "config.json").exists()
    with pytest.raises(ConfigError, match="unknown option 'epoch'"):
        training.clone(discrete(), epoch=3)


def test_an_interrupt_saves_what_there_is(tmp_path):
    def interrupt(row):
        if row["epoch"] == 2:
            os.kill(os.getpid(), signal.SIGINT)

    run = training.clone(discrete(), out=tmp_path / "run", watch=interrupt, **SMALL)
    assert run.interrupted
    assert len(run.epochs) == 2
    assert training.run_policy(tmp_path / "run").action_spec == run.policy.action_spec
