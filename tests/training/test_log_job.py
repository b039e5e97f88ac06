"""Policies from logs alone, against the best arm of a world that is known."""

import copy
import json
import shutil

import numpy as np
import pytest

from jaxdaw.data import Decisions, hold_out
from jaxdaw.errors import ConfigError, JaxdawWarning, SpecError, StorageError
from jaxdaw.evaluation import evaluate_off_policy
from jaxdaw.training import load_policy, run_policy, train


def world(rows, seed=0, scale=1.0):
    """Returns a log of uniform choices among 3 arms, the best of which is told by the context."""
    random = np.random.default_rng(seed)
    kind = random.integers(0, 3, rows)
    context = np.eye(3, dtype=np.float32)[kind] + 0.1 * random.normal(size=(rows, 3)).astype(np.float32)
    action = random.integers(0, 3, rows)
    reward = (random.random(rows) < np.where(action == kind, 0.9, 0.1)) * scale
    return Decisions(action, reward, np.full(rows, 1 / 3), context, num_arms=3), kind


@pytest.mark.parametrize("exploration", ["greedy", "squarecb", "ensemble", "linucb", "lints"])
@pytest.mark.parametrize("scale", [1.0, 50.0])
def test_the_best_arm_is_learned_from_a_log_alone(exploration, scale):
    decisions, _ = world(1500, scale=scale)
    run = train("bandit", decisions, exploration=exploration, updates=4)
    other, kind = world(300, seed=1)
    chosen = np.asarray(run.policy.greedy().action(other.context, seed=0).action)
    assert np.mean(chosen == kind) > 0.9
    assert run.rows[-1]["loss"] is not None


def test_a_run_is_saved_and_worth_what_it_is(tmp_path):
    learned_from, _ = world(1500)
    run = train("bandit", learned_from, exploration="greedy", updates=4, out=tmp_path / "run", source="log.jsonl")
    policy = run_policy(tmp_path / "run")
    held, _ = world(3000, seed=2)
    report = evaluate_off_policy(held, {"learned": policy})
    estimate = report.candidates[0].estimates["dr"]
    assert estimate.value == pytest.approx(0.9, abs=0.05)  # .9 is what the best arm earns
    assert report.candidates[0].gain.interval.low > 0.4
    assert json.loads((tmp_path / "run" / "config.json").read_text())["log"] == "log.jsonl"
    assert len((tmp_path / "run" / "metrics.jsonl").read_text().splitlines()) == len(run.rows)
    with pytest.raises(StorageError, match="already holds a run"):
        train("bandit", learned_from, out=tmp_path / "run")


def test_a_policy_tells_what_it_learned_from_wherever_it_goes(tmp_path):
    decisions, _ = world(600)
    learned, rest = hold_out(decisions, 0.5)
    run = train("bandit", learned, exploration="linucb", reports=1, out=tmp_path / "run", source="log")
    copied = shutil.copytree(tmp_path / "run" / "policy", tmp_path / "elsewhere")
    for policy in (run.policy, run.final_policy, run.policy.greedy(), copy.deepcopy(run.policy), load_policy(copied)):
        np.testing.assert_array_equal(policy.learned_keys, np.sort(learned.keys))
        assert evaluate_off_policy(decisions, {"new": policy}, estimators=["ips"]).num_decisions == len(rest)
    with pytest.raises(SpecError, match="every decision of this log was learned from by new"):
        evaluate_off_policy(learned, {"new": run.policy})
    again = train("bandit", rest, exploration="linucb", reports=1, warm_start=tmp_path / "run")
    np.testing.assert_array_equal(again.policy.learned_keys, np.sort(decisions.keys))


def test_the_same_seed_gives_the_same_policy():
    decisions, _ = world(300)
    one, other = (train("bandit", decisions, updates=2, seed=5, importance="uniform") for _ in range(2))
    assert [row["loss"] for row in one.rows] == [row["loss"] for row in other.rows]


def test_what_cannot_be_learned_from_is_refused():
    decisions, _ = world(50)
    with pytest.raises(SpecError, match="without a reward"):
        train("bandit", decisions.replace(reward=np.full(50, np.nan)))
    with pytest.raises(SpecError, match="features of arms"):
        train("bandit", decisions.replace(arm_features=np.zeros((50, 3, 2))))
    with pytest.raises(SpecError, match="no contexts"):
        train("bandit", decisions.replace(context=()))
    with pytest.raises(ConfigError, match="take no weights"):
        train("bandit", decisions, exploration="linucb", importance="uniform")
    with pytest.raises(ConfigError):
        train("bandit", decisions, exploraton="linucb")
    for column, value, match in (
        ("context", np.nan, "NaN or infinity"),
        ("action", 7, "do not exist"),
        ("probability", 0.0, r"with a probability that cannot be\n.*got  0.0 in row 3"),
        ("probability", 1.5, r"got  1.5 in row 3"),
        ("reward", np.inf, "rewards that are infinite"),
    ):
        changed = getattr(decisions, column).copy()
        changed[3] = value
        with pytest.raises(SpecError, match=match):
            train("bandit", decisions.replace(**{column: changed}))


@pytest.mark.parametrize("exploration", ["greedy", "linucb"])
def test_rewards_whose_squares_overflow_are_learned_in_their_units(exploration):
    """1e30 is the mean of arm 0, and its square no float32."""
    context = np.ones((64, 1), np.float32)
    decisions = Decisions(np.arange(64) % 2, np.where(np.arange(64) % 2, 0.0, 1e30), np.full(64, 0.5), context)
    options = {"updates": 64, "learning_rate": 0.05, "fc_layer_params": (4,)} if exploration == "greedy" else {}
    run = train("bandit", decisions, exploration=exploration, **options)
    values = run.policy.greedy().distribution(context[:1]).action.logits[0]
    np.testing.assert_allclose(values / 1e30, [1.0, 0.0], atol=0.1)


@pytest.mark.parametrize("exploration", ["greedy", "squarecb", "ensemble", "linucb"])
@pytest.mark.parametrize("rewards", ["clicks", "amounts"])
def test_arms_that_the_log_never_shows_are_told_and_not_taken(exploration, rewards):
    """Where all rewards are negative, a prediction of 0 would make the unknown arm the best."""
    decisions, kind = world(1500)
    decisions = decisions.replace(num_arms=5, probability=np.full(1500, 1 / 3))
    if rewards == "amounts":
        decisions = decisions.replace(reward=7.5 * decisions.reward - 30.0)
    with pytest.warns(JaxdawWarning, match=r"never shows 2 of 5 arms \(3, 4\)"):
        policy = train("bandit", decisions, exploration=exploration, updates=2, reports=1).policy
    greedy = policy.greedy().distribution(decisions.context).action
    assert np.mean(np.asarray(greedy.mode()) == kind) > 0.9
    lowest = {"clicks": 0.0, "amounts": -30.0}[rewards]
    np.testing.assert_allclose(np.asarray(greedy.logits)[:, 3:], lowest, atol=1e-3)


@pytest.mark.parametrize("exploration", ["greedy", "squarecb", "boltzmann", "ensemble", "linucb", "lints"])
def test_an_affine_change_of_rewards_changes_no_policy(exploration):
    decisions, kind = world(1500)
    reward = decisions.reward + 0.1 * np.random.default_rng(1).normal(size=1500)
    found = {}
    for scale, offset in ((1.0, 0.0), (1.0, 1000.0), (1e-6, 0.0), (1e6, -3e6)):
        changed = decisions.replace(reward=scale * reward + offset)
        policy = train("bandit", changed, exploration=exploration, updates=2, reports=1).policy
        probabilities = np.asarray(policy.distribution(decisions.context[:200]).action.probs)
        predicted = (np.asarray(policy.greedy().distribution(decisions.context[:200]).action.logits) - offset) / scale
        assert np.mean(np.argmax(predicted, axis=-1) == kind[:200]) > 0.95
        found[scale, offset] = probabilities, predicted
    for probabilities, predicted in found.values():
        np.testing.assert_allclose(predicted, found[1.0, 0.0][1], atol=0.02)
        assert np.mean(np.abs(probabilities - found[1.0, 0.0][0])) < 0.02


@pytest.mark.parametrize("exploration", ["linucb", "lints"])
def test_an_exact_model_goes_on_with_a_log_of_another_level(exploration, tmp_path):
    first, _ = world(400)
    second, _ = world(400, seed=1)
    train("bandit", first.replace(reward=first.reward + 10), exploration=exploration, out=tmp_path / "first")
    later = second.replace(reward=second.reward + 20)
    both = train("bandit", later, exploration=exploration, warm_start=tmp_path / "first").policy
    predicted = np.asarray(both.greedy().distribution(first.context).action.logits)
    assert np.mean(predicted) == pytest.approx(15.4, abs=0.3)  # half of the rows at 10.4, half at 20.4
