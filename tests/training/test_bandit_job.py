"""Runs of bandits: what is learned, measured and written."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import jax
import numpy as np
import pytest

import jaxdaw
from jaxdaw.environments import ClassificationBandit, LinearBandit
from jaxdaw.errors import ConfigError, NonFiniteError, StorageError
from jaxdaw.policies import EpsilonGreedyPolicy
from jaxdaw.training import BanditConfig, _session, load_policy, resume, train
from jaxdaw.training import _bandit_job as module
from jaxdaw.training._stretches import Stretches

FAST = {"updates": 2, "batch_size": 32, "fc_layer_params": (16,), "eager_rounds": 16, "reports": 4}
RANDOM = np.random.default_rng(0)
FEATURES = RANDOM.standard_normal((400, 4)).astype(np.float32)
SEPARABLE = ClassificationBandit(FEATURES, (FEATURES[:, 0] > 0).astype(int) + 2 * (FEATURES[:, 1] > 0))


@pytest.mark.parametrize(
    ("rounds", "eager", "learn_every", "reports"),
    [
        (15_000, 64, 16, 40),
        (100, 64, 16, 40),
        (10, 64, 16, 40),
        (1_797, 0, 7, 3),
        (33, 1, 16, 40),
        (80_000, 64, 16, 40),
    ],
)
def test_every_round_is_in_one_stretch(rounds: int, eager: int, learn_every: int, reports: int):
    cut = Stretches(rounds, eager, learn_every, reports)
    assert cut.eager + cut.chunks * cut.phases * learn_every == rounds
    assert cut.eager >= min(eager, rounds)
    if rounds > 10_000:
        assert cut.eager < 1_000


@pytest.mark.parametrize(("rounds", "eager"), [(1_000, 64), (1_003, 64), (1_003, 10), (70, 64)])
def test_chunks_begin_where_a_memory_that_wraps_begins_anew(rounds: int, eager: int):
    cut = Stretches(rounds, eager, 16, 5, aligned=True)
    assert cut.eager % 16 == 0
    assert cut.eager + cut.chunks * cut.phases * 16 + cut.tail == rounds


def test_a_memory_that_wraps_learns_too():
    found = train("bandit", SEPARABLE, horizon=1_003, replay_capacity=100, updates=4)
    assert found.summaries[0].rounds == 1_003
    assert found.summaries[0].relative_regret < 60


def test_a_run_that_learns_nothing_says_so():
    class Broken(LinearBandit):
        def draw_round(self, problem, time, key):
            return super().draw_round(problem, time, key)._replace(rewards=jax.numpy.full(8, jax.numpy.nan))

    with pytest.raises(NonFiniteError, match="every gradient step since the last report was refused"):
        train("bandit", Broken(), horizon=64, **FAST)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    out = tmp_path_factory.mktemp("bandit") / "run"
    rows = []
    return train("bandit", SEPARABLE, out=out, seeds=3, watch=rows.append, updates=8, horizon=1_200), rows


def test_a_run_learns_and_knows_its_baselines(run):
    found, _ = run
    for summary in found.summaries:
        assert summary.rounds == 1_200
        np.testing.assert_allclose(summary.uniform_regret, 1_200 * 0.75, rtol=1e-5)  # three of four are wrong
        assert summary.regret < 0.5 * summary.uniform_regret
    assert len({summary.regret for summary in found.summaries}) > 1  # seeds differ
    late = [row["regret"] for row in found.rows[-2:]]
    assert late[1] - late[0] < 0.25 * (found.rows[-1]["uniform_regret"] - found.rows[-2]["uniform_regret"])


def test_the_best_single_action_is_that_of_the_labels(run):
    found, _ = run
    share = np.bincount(SEPARABLE.labels).max() / 400
    for summary in found.summaries:  # three passes over 400 rows
        np.testing.assert_allclose(summary.constant_regret, 1_200 * (1 - share), rtol=1e-5)


def test_a_run_is_written(run):
    found, rows = run
    config = json.loads((found.directory / "config.json").read_text())
    assert (config["algorithm"], config["seeds"], config["rounds"]) == ("bandit", 3, 1_200)
    lines = [json.loads(line) for line in (found.directory / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [row["step"] for row in rows] == [row["step"] for row in found.rows]
    assert lines[-1]["step"] == 1_200
    assert len(lines[-1]["regrets"]) == 3
    with pytest.raises(StorageError, match="already holds a run"):
        train("bandit", SEPARABLE, out=found.directory)


def test_the_saved_policy_decides_as_the_trained_one(run):
    found, _ = run
    saved = load_policy(found.directory / "policy")
    theirs, ours = (policy.distribution(FEATURES).action.probs for policy in (saved, found.policy))
    np.testing.assert_allclose(theirs, ours, rtol=1e-5)
    np.testing.assert_allclose(np.sum(theirs, axis=1), 1.0, rtol=1e-5)
    greedy = np.asarray(saved.greedy().action(FEATURES).action)
    assert np.mean(greedy == SEPARABLE.labels) > 0.85


@pytest.mark.parametrize(
    "exploration", ["falcon", "epsilon_greedy", "boltzmann", "greedy", "ensemble", "linucb", "lints"]
)
def test_every_exploration_runs_and_is_saved(tmp_path: Path, exploration: str):
    members = {"num_members": 2} if exploration == "ensemble" else {}
    found = train("bandit", SEPARABLE, out=tmp_path / "run", horizon=100, exploration=exploration, **members, **FAST)
    saved = load_policy(tmp_path / "run" / "policy")
    probabilities = [np.asarray(p.distribution(FEATURES).action.probs) for p in (found.policy, saved)]
    np.testing.assert_allclose(*probabilities, rtol=1e-4, atol=1e-6)


def test_epsilon_falls_as_it_was_asked():
    agent = BanditConfig(exploration="epsilon_greedy", epsilon_scale=2.0, epsilon_end=0.01).make_agent(
        SEPARABLE.time_step_spec(), SEPARABLE.action_spec
    )
    policy = agent.collect_policy
    assert isinstance(policy, EpsilonGreedyPolicy)
    assert policy.exploration_at(0) == 1.0
    np.testing.assert_allclose(policy.exploration_at(799), 0.01 + 2 * 4 / 800, rtol=1e-5)


def test_falcon_grows_greedier_with_the_rounds_and_slower_in_larger_networks():
    """gamma is 2 * sqrt(4 n / p), with p = 4 * 16 + 16 + 16 * 4 + 4 = 148 numbers in the network."""
    config = BanditConfig(exploration="falcon", exploitation=2.0, fc_layer_params=(16,))
    policy = config.make_agent(SEPARABLE.time_step_spec(), SEPARABLE.action_spec).collect_policy
    policy.step = 37
    values = np.asarray(policy.greedy().distribution(FEATURES[:1]).action.logits)[0]
    gaps = 4 + 2.0 * np.sqrt(4 * 37 / 148) * (values.max() - values)
    expected = 1 / gaps
    expected[values.argmax()] = 1 - expected.sum() + expected[values.argmax()]
    np.testing.assert_allclose(policy.distribution(FEATURES[:1]).action.probs[0], expected, rtol=1e-5)


def test_the_same_seed_is_the_same_run_alone_or_beside_others():
    options = {"horizon": 200, **FAST}
    alone = train("bandit", SEPARABLE, seed=5, **options)
    again = train("bandit", SEPARABLE, seed=5, **options)
    beside = train("bandit", SEPARABLE, seed=4, seeds=2, **options)
    assert alone.summaries[0].regret == again.summaries[0].regret
    assert abs(beside.summaries[1].regret - alone.summaries[0].regret) <= 10  # a vmap rounds otherwise


def test_predictions_of_large_rewards_are_in_units_of_reward():
    """Rewards of thousands: what is learned is divided by their root mean square, what is predicted is not."""

    class Large(LinearBandit):
        def draw_round(self, problem, time, key):
            found = super().draw_round(problem, time, key)
            return jax.tree.map(lambda x: x, found)._replace(
                rewards=1e3 * found.rewards, expected_rewards=1e3 * found.expected_rewards
            )

    found = train("bandit", Large(num_actions=2, size=2, noise=0.0), horizon=2_000, updates=8)
    assert found.summaries[0].relative_regret < 30
    values = np.asarray(found.policy.distribution(RANDOM.standard_normal((500, 2))).action.logits)
    assert 500 < values.std() < 1_500


def test_train_knows_bandits():
    found = jaxdaw.train("bandit", "bernoulli", horizon=64, **FAST)
    assert found.summaries[0].rounds == 64
    with pytest.raises(ConfigError, match="unknown bandit"):
        jaxdaw.train("bandit", "one_armed")
    with pytest.raises(ConfigError, match="seeds is outside its range"):
        jaxdaw.train("bandit", "bernoulli", seeds=0)


def rows_of(run: Path):
    """Returns the metrics of a run, but for what was measured by the clock and the note of having been resumed."""
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [{**row, "seconds": 0, "steps_per_second": 0} for row in rows if row["kind"] != "resume"]


def test_interrupted_killed_and_resumed_is_the_same_as_uninterrupted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Two seeds, and a memory of 160 decisions that wraps. The kill comes two stretches after the last checkpoint."""
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    options = {**FAST, "horizon": 400, "replay_capacity": 160, "reports": 6, "seeds": 2}
    uninterrupted = train("bandit", SEPARABLE, out=whole, **options)
    steps = [row["step"] for row in uninterrupted.rows]
    assert len(steps) == 7
    assert not (whole / "checkpoints").exists()

    def interrupt(row: dict):
        if row["step"] == steps[1]:
            os.kill(os.getpid(), signal.SIGINT)

    def kill(row: dict):
        if row["step"] == steps[3]:
            monkeypatch.setattr(_session, "_CHECKPOINT_SECONDS", 1e9)
        if row["step"] == steps[5]:
            raise MemoryError

    found = train("bandit", SEPARABLE, out=cut, watch=interrupt, **options)
    assert found.interrupted
    assert [row["step"] for row in found.rows] == steps[:2]
    assert [path.name for path in (cut / "checkpoints").iterdir()] == [f"step_{steps[1]:09d}"]
    assert load_policy(cut / "policy").time_step_spec.observation.shape == (4,)
    monkeypatch.setattr(_session, "_CHECKPOINT_SECONDS", 0.0)
    with pytest.raises(MemoryError):
        resume(cut, SEPARABLE, watch=kill)
    assert sorted(path.name for path in (cut / "checkpoints").iterdir()) == [f"step_{step:09d}" for step in steps[1:3]]
    told = []
    resumed = resume(cut, SEPARABLE, watch=told.append)
    assert (told[0]["kind"], told[0]["step"], told[0]["lost"]) == ("resume", steps[2], None)
    assert not resumed.interrupted
    assert rows_of(cut) == rows_of(whole)
    assert [s.regret for s in resumed.summaries] == [s.regret for s in uninterrupted.summaries]
    same = [(run / "policy" / "weights.safetensors").read_bytes() for run in (cut, whole)]
    assert same[0] == same[1]
    with pytest.raises(ConfigError, match="has come to its end"):
        resume(cut, SEPARABLE)


def test_what_cannot_be_resumed_says_why(tmp_path: Path):
    with pytest.raises(StorageError, match="holds no run"):
        resume(tmp_path)
    described = {"format": 1, "algorithm": "bandit", "environment": "wheel", "seed": 0, "options": {}}
    (tmp_path / "config.json").write_text(json.dumps({**described, "log": "decisions.jsonl"}))
    with pytest.raises(ConfigError, match="does not say how its log is made"):
        resume(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({**described, "given": None}))
    with pytest.raises(ConfigError, match="does not say how its bandit is made"):
        resume(tmp_path)


def test_a_call_holds_less_work_the_more_there_is_of_it():
    """2**30 multiplications: of 16 steps of 128 examples and 4,096 weights 128 phases, of 8 seeds 16 each."""
    agent = BanditConfig().make_agent(SEPARABLE.time_step_spec(), SEPARABLE.action_spec)
    config = BanditConfig(updates=16, batch_size=128)
    assert [module._most_phases(config, agent, seeds) for seeds in (1, 8, 10_000)] == [128, 16, 1]
