"""A run from its id to its policy, its directory, and going on after an interruption."""

import json
import os
import signal
import time

import gymnasium
import jax
import numpy as np
import pytest
from gymnasium.envs.classic_control.cartpole import CartPoleEnv

from jaxdaw import drivers, environments, training
from jaxdaw.errors import ConfigError, EnvironmentFault, StorageError
from jaxdaw.training import _experiment

from .worlds import SMALL


@pytest.fixture(scope="module", params=["CartPole-v1", "jax:CartPole-v1"])
def finished(request, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "run"
    rows = []
    run = training.train("dqn", request.param, config=SMALL, seed=3, out=out, watch=rows.append)
    return run, rows, request.param


def test_a_run_directory_holds_what_it_promises(finished):
    run, rows, name = finished
    assert {"config.json", "versions.json", "metrics.jsonl", "checkpoints", "policy", "best_policy", "tensorboard"} <= {
        path.name for path in run.directory.iterdir()
    }
    config = training.read_config(run.directory)
    assert (config["environment"], config["seed"], config["options"]["steps"]) == (name, 3, 3_000)
    written = [json.loads(line) for line in (run.directory / "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in written] == [row["step"] for row in rows]
    assert {row["kind"] for row in written} == {"train", "eval"}
    assert len(run.evaluations) >= 3
    assert json.loads((run.directory / "versions.json").read_text())["jax"] == jax.__version__


def test_the_saved_policy_is_the_best_one_evaluated(finished):
    run, _, _ = finished
    saved = training.load_policy(run.directory / "best_policy")
    pure = environments.make("jax:CartPole-v1")
    np.testing.assert_array_equal(
        drivers.run_episodes(saved, pure, 10).returns, drivers.run_episodes(run.policy, pure, 10).returns
    )


def test_a_run_is_not_overwritten(finished):
    run, _, name = finished
    with pytest.raises(StorageError, match="already holds a run"):
        training.train("dqn", name, config=SMALL, out=run.directory)


def test_resume_raises_the_total_and_says_what_is_lost(finished):
    run, _, name = finished
    rows = []
    again = training.resume(run.directory, steps=4_000, watch=rows.append)
    assert rows[0]["kind"] == "resume"
    assert (rows[0]["lost"] is None) == name.startswith("jax:")
    assert rows[-1]["step"] >= 4_000
    assert int(again.agent.train_step_counter) > int(run.agent.train_step_counter)


def test_resume_is_exact_where_the_environment_can_be_saved(tmp_path):
    whole = training.train("dqn", "jax:CartPole-v1", config=SMALL, out=tmp_path / "whole")
    training.train("dqn", "jax:CartPole-v1", config=SMALL, steps=1_500, out=tmp_path / "half", epsilon_steps=500)
    training.train("dqn", "jax:CartPole-v1", config=SMALL, out=tmp_path / "again", epsilon_steps=500)
    resumed = training.resume(tmp_path / "half", steps=3_000)
    straight = training.run_policy(tmp_path / "again", "final")
    for a, b in zip(resumed.final_policy.variables(), straight.variables(), strict=True):
        np.testing.assert_array_equal(a.get_value(), b.get_value())
    assert whole.agent is not None


def test_what_was_best_before_the_interruption_is_still_the_best_policy(tmp_path, monkeypatch):
    run = training.train("dqn", "jax:CartPole-v1", config=SMALL, steps=1_500, out=tmp_path / "run")
    assert run.evaluations
    row = _experiment.evaluation_row
    monkeypatch.setattr(_experiment, "evaluation_row", lambda *told: {**row(*told), "best": False})
    resumed = training.resume(tmp_path / "run", steps=3_000)
    assert len(resumed.evaluations) > len(run.evaluations)
    for a, b in zip(resumed.policy.variables(), run.policy.variables(), strict=True):
        np.testing.assert_array_equal(a.get_value(), b.get_value())


def test_two_runs_of_one_seed_are_equal_and_of_two_seeds_are_not():
    def weights(seed):
        run = training.train("dqn", "jax:CartPole-v1", config=SMALL, seed=seed, steps=1_000)
        return np.concatenate([np.ravel(v.get_value()) for v in run.final_policy.variables()])

    first = weights(1)
    np.testing.assert_array_equal(first, weights(1))
    assert np.any(first != weights(2))


def test_a_population_lies_in_directories_of_its_own(tmp_path):
    runs = training.train_seeds("dqn", "jax:CartPole-v1", 3, config=SMALL, seed=5, out=tmp_path / "many")
    assert [run.directory.name for run in runs] == ["seed_5", "seed_6", "seed_7"]
    kernels = [np.asarray(run.final_policy.variables()[0].get_value()) for run in runs]
    assert np.any(kernels[0] != kernels[1])
    assert training.read_config(tmp_path / "many")["seeds"] == 3
    with pytest.raises(ConfigError, match="population"):
        training.resume(tmp_path / "many")
    in_turn = training.train_seeds("dqn", "CartPole-v1", 2, config=SMALL, out=tmp_path / "turn")
    assert len(in_turn) == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("sac", "CartPole-v1"), "unknown algorithm"),
        (("dqn", "CartPole-v9"), "CartPole"),
        (("dqn", "Cartpol-v1"), "CartPole-v1"),
    ],
)
def test_unknown_names_are_answered_with_known_ones(arguments, message):
    with pytest.raises(ConfigError, match=message):
        training.train(*arguments)


def test_unknown_options_are_answered_with_the_closest():
    with pytest.raises(ConfigError, match="learning_rate"):
        training.train("dqn", "CartPole-v1", learning_rat=1.0)


def test_summaries_are_written(tmp_path):
    from tensorboardX.proto import event_pb2

    flags = {"debug_summaries": True, "summarize_grads_and_vars": True}
    run = training.train("dqn", "jax:CartPole-v1", config=SMALL, out=tmp_path / "run", **flags)
    tags = set()
    for path in (run.directory / "tensorboard").iterdir():
        data, position = path.read_bytes(), 0
        while position < len(data):
            length = int.from_bytes(data[position : position + 8], "little")
            event = event_pb2.Event.FromString(data[position + 12 : position + 12 + length])
            tags |= {value.tag for value in event.summary.value}
            position += 12 + length + 4
    assert {"Losses/td_loss", "loss/td_error/histogram", "Metrics/AverageReturn", "Eval/AverageReturn"} <= tags
    assert any(tag.startswith("summarize_grads/") for tag in tags)


@pytest.mark.parametrize("network", ["dueling", "rnn"])
def test_other_networks_train(network):
    options = {"network": network, "steps": 800, "lstm_size": 8, "double": True}
    run = training.train("dqn", "jax:Recall-v0", config=SMALL, **options)
    assert run.evaluations


class Troubled(CartPoleEnv):
    """CartPole that once, at its 600th step over all copies, does something else."""

    steps = 0
    trouble = staticmethod(lambda: None)

    def step(self, action):
        Troubled.steps += 1
        if Troubled.steps == 600:
            Troubled.trouble()
        return super().step(action)


@pytest.fixture
def troubled(monkeypatch):
    """Makes the environment with its trouble, and returns its id."""

    def name_of(trouble):
        monkeypatch.setattr(Troubled, "steps", 0)
        monkeypatch.setattr(Troubled, "trouble", staticmethod(trouble))
        return "Troubled-v0"

    gymnasium.register("Troubled-v0", entry_point=Troubled, max_episode_steps=500)
    yield name_of
    del gymnasium.registry["Troubled-v0"]


def test_an_environment_that_fails_costs_nothing_of_what_was_learned(tmp_path, troubled):
    def fail():
        raise ZeroDivisionError("a defect of its own")

    name = troubled(fail)
    with pytest.raises(EnvironmentFault, match="Troubled") as caught:
        training.train("dqn", name, config=SMALL, out=tmp_path / "run", checkpoint_every=0)
    assert f"--resume {tmp_path / 'run'}" in caught.value.__notes__[0]
    rows = []
    training.resume(tmp_path / "run", steps=1_000, watch=rows.append)
    assert rows[0]["kind"] == "resume"
    assert 500 < rows[0]["step"] < 600  # one of four copies failed; boundary frames are no steps


def test_a_run_is_saved_though_its_environment_does_not_return(tmp_path, troubled):
    def hang():
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(60)

    started = time.monotonic()
    run = training.train("dqn", troubled(hang), config=SMALL, out=tmp_path / "run", checkpoint_every=0)
    assert run.interrupted
    assert time.monotonic() - started < 40
    assert [path.name for path in (tmp_path / "run" / "checkpoints").iterdir()]
    assert training.resume(tmp_path / "run", steps=1_000).interrupted is False
