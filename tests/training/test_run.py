"""A run from its id to its policy, its directory, and going on after an interruption."""

import dataclasses
import json
import os
import signal
import socket
import subprocess
import sys
import time

import gymnasium
import jax
import numpy as np
import pytest
from gymnasium.envs.classic_control.cartpole import CartPoleEnv

from jaxdaw import drivers, environments, storage, training
from jaxdaw.errors import ConfigError, EnvironmentFault, StorageError
from jaxdaw.training import _run, _session

from . import demonstrations
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
    monkeypatch.setattr(_session.Session, "_is_best", lambda *_: False)
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
    runs = training.train("dqn", "jax:CartPole-v1", seeds=3, config=SMALL, seed=5, out=tmp_path / "many").members
    assert [run.directory.name for run in runs] == ["seed_5", "seed_6", "seed_7"]
    kernels = [np.asarray(run.final_policy.variables()[0].get_value()) for run in runs]
    assert np.any(kernels[0] != kernels[1])
    assert training.read_config(tmp_path / "many")["seeds"] == 3
    in_turn = training.train("dqn", "CartPole-v1", seeds=2, config=SMALL, steps=600, out=tmp_path / "turn")
    assert len(in_turn.members) == 2


def test_a_population_needs_no_directory():
    run = training.train("dqn", "jax:CartPole-v1", seeds=2, config=SMALL, steps=600, eval_every=0)
    assert [member.directory for member in run.members] == [None, None]


def test_the_best_member_is_the_one_that_its_policies_were_chosen_by(tmp_path):
    """Of demonstrations that is the loss, in the run and in its directory."""
    options = {"epochs": 2, "fc_layer_params": (4,), "validation": 0.5, "patience": 0, "batch_size": 8}
    run = training.train("bc", demonstrations.discrete(seed=3), seeds=3, out=tmp_path / "run", **options)
    chosen = max(run.members, key=lambda member: member.score)
    saved = training.run_policy(tmp_path / "run")
    for mine, its in zip(run.policy.variables(), chosen.policy.variables(), strict=True):
        np.testing.assert_array_equal(mine.get_value(), its.get_value())
    for mine, its in zip(run.policy.variables(), saved.variables(), strict=True):
        np.testing.assert_array_equal(mine.get_value(), its.get_value())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("sarsa", "CartPole-v1"), "unknown algorithm"),
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


@pytest.mark.parametrize(
    "options", [{"network": "dueling"}, {"network": "rnn", "lstm_size": 8}], ids=["dueling", "rnn"]
)
def test_other_networks_train(options):
    run = training.train("dqn", "jax:Recall-v0", config=SMALL, steps=800, double=True, **options)
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


REFUSED = [
    ("dqn", "jax:CartPole-v1", {"gamma": 2.0}),
    ("dqn", "jax:CartPole-v1", {"n_step_update": -1}),
    ("dqn", "jax:CartPole-v1", {"eval_every": 3}),
    ("dqn", "jax:CartPole-v1", {"mask_key": "mask"}),
    ("dqn", "jax:CartPole-v1", {"seed": -1}),
    ("dqn", "jax:CartPole-v1", {"seeds": 0}),
    ("dqn", "jax:NoSuch-v1", {}),
    ("dqn", "CartPole-v9", {}),
    ("dqn", "Pendulum-v1", {}),
    ("dqn", "CartPole-v1", {"seeds": 2, "gamma": 2.0}),
    ("reinforce", "jax:CartPole-v1", {"rollout_steps": 0}),
    ("ppo", "jax:CartPole-v1", {"minibatches": 7}),
    ("ppo", "jax:CartPole-v1", {"lambda_value": 1.5}),
    ("bc", "no/such/data", {}),
    ("bandit", "one_armed", {}),
    ("bandit", "wheel", {"bandit_options": {"dleta": 1}}),
    ("bandit", "bernoulli", {"warm_start": "no/such/run"}),
    ("td3", "CartPole-v1", {}),
    ("sarsa", "CartPole-v1", {}),
]


@pytest.mark.parametrize(("algorithm", "what", "options"), REFUSED, ids=str)
def test_a_refused_start_leaves_nothing_behind(algorithm, what, options, tmp_path):
    for _ in range(7):
        with pytest.raises((ConfigError, StorageError, ValueError)):
            training.train(algorithm, what, out=tmp_path / "runs" / "run", **options)
        assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("moment", ["make_agent", "loop_options"])
def test_an_interrupted_start_leaves_nothing_behind(moment, tmp_path, monkeypatch):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(training.DqnConfig, moment, interrupt)
    with pytest.raises(KeyboardInterrupt):
        training.train("dqn", "jax:CartPole-v1", out=tmp_path / "run")
    assert list(tmp_path.iterdir()) == []


def test_a_run_that_fails_before_its_first_report_leaves_nothing_behind(tmp_path, monkeypatch):
    def fail(self):
        raise MemoryError

    monkeypatch.setattr("jaxdaw.training._jax_trainer.JaxTrainer.run", fail)
    for seeds in (1, 2):
        with pytest.raises(MemoryError):
            training.train("dqn", "jax:CartPole-v1", config=SMALL, out=tmp_path / "run", seeds=seeds)
        assert list(tmp_path.iterdir()) == []


def files_of(directory):
    return {path: path.read_bytes() for path in sorted(directory.rglob("*")) if path.is_file()}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"gamma": 0.5}, "--gamma cannot change"),
        ({"learning_rate": 5.0, "steps": 9_000}, "--learning-rate cannot change"),
        ({"num_envs": 2}, "--num-envs cannot change"),
        ({"stpes": 9_000}, "unknown option 'stpes'"),
        ({"steps": -1}, "steps is outside its range"),
        ({"steps": 8}, "has been trained for longer than that"),
        ({"trust": ["nothing_of_it"]}, "imports nothing of the kind that is trusted"),
        ({"eval_every": 3}, "shorter than a learning phase"),
    ],
)
def test_a_refused_resume_changes_no_file(finished, changes, message):
    run, _, _ = finished
    before = files_of(run.directory)
    with pytest.raises(ConfigError, match=message):
        training.resume(run.directory, **changes)
    assert files_of(run.directory) == before


def test_a_resume_whose_checkpoint_is_damaged_changes_no_file(tmp_path):
    run = training.train("dqn", "jax:CartPole-v1", config=SMALL, steps=600, out=tmp_path / "run")
    for path in (run.directory / "checkpoints").rglob("arrays.safetensors"):
        path.write_bytes(path.read_bytes()[:-3])
    before = files_of(run.directory)
    with pytest.raises(StorageError, match="damaged"):
        training.resume(run.directory, steps=9_000)
    assert files_of(run.directory) == before


def test_a_directory_in_use_is_refused_with_its_owner(tmp_path):
    run = training.train("dqn", "jax:CartPole-v1", config=SMALL, steps=600, out=tmp_path / "run")
    code = (
        "import sys, time; from jaxdaw.storage import DirectoryLock\n"
        f"with DirectoryLock({str(run.directory)!r}): print('held', flush=True); time.sleep(60)"
    )
    owner = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    try:
        assert owner.stdout.readline() == "held\n"
        for _ in range(10):
            with pytest.raises(StorageError, match=rf"in use by another run\n.*process {owner.pid} on .* since 20"):
                training.resume(run.directory, steps=900)
    finally:
        owner.kill()
        owner.communicate()
    assert training.resume(run.directory, steps=900).rows[-1]["step"] >= 900  # the lock of a dead process is taken over


def test_a_run_in_progress_holds_its_directory(tmp_path):
    def another(row):
        if row["kind"] == "train":
            with pytest.raises(StorageError, match=f"process {os.getpid()}"):
                training.resume(tmp_path / "run")
            with pytest.raises(StorageError, match="already holds a run"):
                training.train("dqn", "jax:CartPole-v1", config=SMALL, out=tmp_path / "run")

    run = training.train("dqn", "jax:CartPole-v1", config=SMALL, steps=600, out=tmp_path / "run", watch=another)
    assert not run.interrupted
    assert not (tmp_path / "run" / ".lock").exists()


def test_schedules_stay_those_of_the_start_unless_told(tmp_path):
    options = {"config": SMALL, "steps": 1_200, "epsilon_end": 0.1, "learning_rate_end": 0.5}
    run = training.train("dqn", "jax:CartPole-v1", out=tmp_path / "run", **options)
    assert run.rows[-1]["epsilon"] == pytest.approx(0.1)  # after a sixth of 1,200 steps
    kept = training.resume(tmp_path / "run", steps=2_400)
    np.testing.assert_allclose([row["epsilon"] for row in kept.rows if row["step"] > 1_200], 0.1, rtol=1e-5)
    assert training.read_config(tmp_path / "run")["options"]["steps"] == 1_200
    assert training.read_config(tmp_path / "run")["changed"] == {"steps": 2_400}
    told = training.resume(
        tmp_path / "run", steps=30_000, reschedule=True, eval_every=0, checkpoint_every=0, report_every=500
    )
    first = next(row for row in told.rows if row["step"] > 2_900)
    assert first["epsilon"] == pytest.approx(1 - 0.9 * first["step"] / 5_000, abs=0.02)


@pytest.mark.parametrize("name", ["jax:CartPole-v1", "CartPole-v1"])
def test_a_killed_and_resumed_run_has_every_row_once(name, tmp_path):
    def kill(row):
        if row["kind"] == "train" and row["step"] > 1_900:
            raise SystemExit

    with pytest.raises(SystemExit):
        training.train("dqn", name, config=SMALL, out=tmp_path / "run", watch=kill)
    with (tmp_path / "run" / "metrics.jsonl").open("a") as file:
        file.write('{"kind": "tra')
    training.resume(tmp_path / "run")
    rows = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    steps = [row["step"] for row in rows if row["kind"] == "train"]
    assert steps == sorted(set(steps))
    assert len([row for row in rows if row["kind"] == "resume"]) == 1
    if name.startswith("jax:"):
        whole = training.train("dqn", name, config=SMALL, out=tmp_path / "whole")
        written = [json.loads(line) for line in (tmp_path / "whole" / "metrics.jsonl").read_text().splitlines()]
        clock = {"seconds": 0, "steps_per_second": 0}
        assert [{**row, **clock} for row in rows if row["kind"] != "resume"] == [{**row, **clock} for row in written]
        names = ("policy", "best_policy")
        weights = [
            [(run / name / "weights.safetensors").read_bytes() for name in names]
            for run in (tmp_path / "run", whole.directory)
        ]
        assert weights[0] == weights[1]


def test_a_run_that_was_killed_before_its_first_checkpoint_begins_anew(tmp_path):
    def kill(row):
        raise SystemExit

    with pytest.raises(SystemExit):
        training.train("dqn", "jax:CartPole-v1", config=SMALL, steps=900, out=tmp_path / "run", watch=kill)
    rows = []
    run = training.resume(tmp_path / "run", watch=rows.append)
    assert (rows[0]["kind"], rows[0]["step"]) == ("resume", 0)
    assert run.rows[-1]["step"] >= 900
    whole = training.train("dqn", "jax:CartPole-v1", config=SMALL, steps=900)
    assert [row["loss"] for row in run.rows[1:]] == [row["loss"] for row in whole.rows[1:]]


def test_a_population_that_was_killed_while_its_members_were_made_begins_anew(tmp_path, monkeypatch):
    config = dataclasses.replace(SMALL, steps=900)
    write = _run._Plan._write_member

    def kill(plan, seed, place):
        if seed == 1:
            raise SystemExit
        write(plan, seed, place)

    with monkeypatch.context() as patched:
        patched.setattr(_run._Plan, "_write_member", kill)
        patched.setattr(_run, "_remove_begun", lambda *_: None)  # nothing is tidied up by a process that is killed
        with pytest.raises(SystemExit):
            training.train("dqn", "jax:CartPole-v1", seeds=3, config=config, out=tmp_path / "run")
    assert not (tmp_path / "run" / "seed_1" / "config.json").exists()
    run = training.resume(tmp_path / "run")
    assert [member.directory.name for member in run.members] == ["seed_0", "seed_1", "seed_2"]
    assert [training.read_config(member.directory)["seed"] for member in run.members] == [0, 1, 2]
    assert training.run_policy(tmp_path / "run") is not None


def test_a_population_killed_again_right_after_it_was_resumed_has_every_row_once(tmp_path):
    config = dataclasses.replace(SMALL, steps=2_500, report_every=500, checkpoint_every=1_000, eval_every=0)

    def stop_after(step):
        def watch(row):
            if row["kind"] == "train" and row["step"] > step:
                raise SystemExit

        return watch

    with pytest.raises(SystemExit):
        training.train(
            "dqn", "jax:CartPole-v1", seeds=2, config=config, out=tmp_path / "run", watch=stop_after(1_900)
        )  # the rows behind the checkpoint at 1,000 are written, and left
    for step in (900, 1_400, 1_900):
        with pytest.raises(SystemExit):
            training.resume(tmp_path / "run", watch=stop_after(step))
    run = training.resume(tmp_path / "run")
    for place in (run.directory, *(member.directory for member in run.members)):
        rows = [json.loads(line) for line in (place / "metrics.jsonl").read_text().splitlines()]
        steps = [row["step"] for row in rows if row["kind"] == "train"]
        assert steps == sorted(set(steps))
        assert len(steps) == len(run.rows)


def test_checkpoints_of_a_resumed_run_come_when_they_would_have_come(tmp_path, monkeypatch):
    saved, save = [], training.Checkpointer.save
    monkeypatch.setattr(
        training.Checkpointer, "save", lambda self, step, *rest: (saved.append(step), save(self, step, *rest))
    )

    def kill(row):
        if row["kind"] == "train" and row["step"] > 1_400:
            raise SystemExit

    with pytest.raises(SystemExit):
        training.train("dqn", "jax:CartPole-v1", config=SMALL, out=tmp_path / "run", watch=kill)
    training.resume(tmp_path / "run")
    resumed = list(saved)
    saved.clear()
    training.train("dqn", "jax:CartPole-v1", config=SMALL, out=tmp_path / "whole")
    assert resumed == saved


def test_what_a_kill_left_in_a_finished_run_is_removed(tmp_path):
    training.train("bandit", "bernoulli", horizon=200, updates=1, out=tmp_path / "run")
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    left = tmp_path / "run" / f".jaxdaw-{socket.gethostname()}-{gone.pid}-0123abcd-0.tmp"
    left.mkdir()
    with pytest.raises(ConfigError, match="has come to its end"):
        training.resume(tmp_path / "run")
    assert not left.exists()


class Counted(CartPoleEnv):
    """CartPole that counts how often it was closed."""

    closed = 0

    def close(self):
        Counted.closed += 1
        super().close()


def test_environments_are_given_as_objects_and_functions(tmp_path):
    options = {"config": SMALL, "steps": 400, "eval_every": 0}
    env = gymnasium.make("CartPole-v1")
    run = training.train("dqn", env, out=tmp_path / "object", **options)
    assert run.rows
    assert training.read_config(tmp_path / "object")["recipe"]["id"] == "CartPole-v1"
    env.reset()  # it is the caller's, and still open
    assert training.resume(tmp_path / "object", steps=900).rows[-1]["step"] >= 900
    Counted.closed = 0
    training.train("dqn", Counted, **{**options, "eval_every": 200})
    assert Counted.closed == 4 + 3  # four rows to learn in, three to be evaluated in
    vector = gymnasium.vector.SyncVectorEnv([lambda: gymnasium.make("CartPole-v1")] * 2)
    assert training.train("dqn", vector, **{**options, "eval_every": 200}).evaluations
    rows = []
    own = Counted()
    training.train("dqn", own, watch=rows.append, **{**options, "eval_every": 200})
    assert any(row["kind"] == "note" and "cannot be made again" in row["text"] for row in rows)
    with pytest.raises(ConfigError, match="no environment was given"):
        training.train("dqn", 7, **options)


def test_a_run_on_an_object_asks_for_it_again(tmp_path, caplog):
    options = {"config": SMALL, "steps": 400, "eval_every": 0}
    training.train("dqn", lambda: Counted(), out=tmp_path / "run", **options)
    assert "cannot be resumed from its directory alone" in caplog.text
    with pytest.raises(ConfigError, match="does not say how its environment is made"):
        training.resume(tmp_path / "run", steps=600)
    assert training.resume(tmp_path / "run", Counted, steps=900).rows[-1]["step"] >= 900


def test_an_environment_without_a_time_limit_is_named_and_its_evaluations_are_cut(tmp_path, monkeypatch):
    monkeypatch.setattr("jaxdaw.drivers._episodes.DEFAULT_EPISODE_BUDGET", 50)
    gymnasium.register("Endless-v0", entry_point=Endless)
    try:
        rows = []
        run = training.train("dqn", "Endless-v0", config=SMALL, steps=400, eval_every=200, watch=rows.append)
        assert rows[0]["kind"] == "note"
        assert "no time limit" in rows[0]["text"]
        assert [row["cut"] for row in run.evaluations] == [3] * len(run.evaluations)
        limited = training.train("dqn", "Endless-v0", config=SMALL, steps=400, eval_every=200, max_episode_steps=20)
        assert [row["cut"] for row in limited.evaluations] == [0] * len(limited.evaluations)
    finally:
        del gymnasium.registry["Endless-v0"]


class Endless(CartPoleEnv):
    """CartPole that never falls."""

    def step(self, action):
        super().step(action)
        self.state = np.zeros(4)
        self.steps_beyond_terminated = None
        return np.zeros(4, np.float32), 1.0, False, False, {}


def test_reports_and_evaluations_come_as_often_as_asked(tmp_path):
    run = training.train("dqn", "jax:CartPole-v1", config=SMALL, report_every=320, eval_every=640)
    evaluations = [row["step"] for row in run.evaluations]
    assert len(evaluations) in (5, 6)
    assert all(abs(step - 640 * (i + 1)) <= 160 for i, step in enumerate(evaluations[:4]))
    with pytest.raises(ConfigError, match="at least 16"):
        training.train("dqn", "jax:CartPole-v1", config=SMALL, eval_every=15)


@pytest.fixture
def foreign(tmp_path, monkeypatch):
    """A run whose config names a module that it would import, and which somebody else made."""
    (tmp_path / "evilmod.py").write_text("import gymnasium\nraise SystemExit('run')")
    monkeypatch.syspath_prepend(str(tmp_path))
    run = training.train("dqn", "CartPole-v1", config=SMALL, steps=400, out=tmp_path / "run").directory
    described = training.read_config(run)
    described["recipe"]["id"] = "evilmod:CartPole-v1"
    storage.write_json(run / "config.json", described)
    return run


def test_a_run_of_somebody_else_names_no_code(foreign):
    before = files_of(foreign)
    for refused in (
        lambda: training.resume(foreign, steps=900),
        lambda: training.run_recipe(foreign),
        lambda: training.run_recipe(foreign, trust=("other",)),
    ):
        with pytest.raises(ConfigError, match="--trust evilmod"):
            refused()
    assert files_of(foreign) == before
    assert training.run_recipe(foreign, trust=("evilmod",)).id == "evilmod:CartPole-v1"
    assert training.run_recipe(foreign, "CartPole-v1").id == "CartPole-v1"
    with pytest.raises(SystemExit, match="run"):
        training.resume(foreign, steps=900, trust=("evilmod",))
    training.resume(foreign, "CartPole-v1", steps=900)  # the environment is typed, so nothing is imported
    with pytest.raises(ConfigError, match="--trust evilmod"):  # and the run is no more one's own than it was
        training.run_recipe(foreign)


def test_a_population_goes_on_with_its_own_members_alone(tmp_path):
    options = {"config": SMALL, "steps": 400, "eval_every": 0, "seeds": 2}
    run = training.train("dqn", "CartPole-v1", out=tmp_path / "run", **options).directory
    described = storage.read_json(run / "seed_0" / "config.json")
    described["recipe"]["id"] = "evilmod:CartPole-v1"
    storage.write_json(run / "seed_0" / "config.json", described)
    before = files_of(run / "seed_0")
    with pytest.raises(StorageError, match="seed_0 is not a member of this population: its recipe differs"):
        training.resume(run, steps=900)
    assert files_of(run / "seed_0") == before


def test_a_run_of_ones_own_names_code_that_was_typed(tmp_path, monkeypatch):
    (tmp_path / "mymod.py").write_text(
        "import gymnasium\n"
        "cartpole = 'gymnasium.envs.classic_control.cartpole:CartPoleEnv'\n"
        "gymnasium.register('Mine-v0', cartpole, max_episode_steps=9)"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    run = training.train("dqn", "mymod:Mine-v0", config=SMALL, steps=400, out=tmp_path / "run")
    assert training.run_recipe(run.directory).id == "mymod:Mine-v0"
    training.resume(run.directory, steps=900)
    assert training.run_recipe(run.directory).max_episode_steps is None
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "another"))
    with pytest.raises(ConfigError, match="--trust mymod"):
        training.run_recipe(run.directory)


def test_options_and_wrappers_belong_to_the_run(tmp_path):
    run = training.train(
        "dqn", "FrozenLake-v1", config=SMALL, steps=400, out=tmp_path / "run", max_episode_steps=30,
        env_options={"is_slippery": False}, wrappers=("gymnasium.wrappers:TimeAwareObservation",),
    )  # fmt: skip
    recipe = training.run_recipe(run.directory)
    assert (recipe.kwargs, recipe.max_episode_steps) == ({"is_slippery": False}, 30)
    assert run.policy.time_step_spec.observation == recipe.make().observation_spec
    other = training.run_recipe(run.directory, env_options={"is_slippery": True})
    assert other.kwargs == {"is_slippery": True}
    training.resume(run.directory, steps=900)


def test_a_run_is_told_from_a_policy(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(StorageError, match=r"is a run, which holds policies\n.*\n.*run_policy\("):
        training.load_policy(tmp_path)
