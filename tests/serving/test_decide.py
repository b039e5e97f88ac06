"""Lines in, lines out: probabilities are exact, and no line breaks the conversation."""

from __future__ import annotations

import json

import numpy as np
import pytest

from jaxdaw.data import audit, read_decisions
from jaxdaw.environments import LinearBandit, PerArmBandit
from jaxdaw.errors import JaxdawWarning
from jaxdaw.evaluation import evaluate_off_policy
from jaxdaw.networks import QNetwork
from jaxdaw.policies import EpsilonGreedyPolicy, GreedyRewardPredictionPolicy, RandomPolicy
from jaxdaw.serving import Decider

WORLD = LinearBandit(num_actions=4, size=2)
NETWORK = QNetwork(WORLD.observation_spec, WORLD.action_spec, fc_layer_params=(8,))
GREEDY = GreedyRewardPredictionPolicy(WORLD.time_step_spec(), WORLD.action_spec, NETWORK)
POLICY = EpsilonGreedyPolicy(GREEDY, 0.2)
CONTEXT = [0.5, -1.0]


def test_probabilities_are_those_of_the_eligible_arms():
    values = np.asarray(GREEDY.distribution(np.array(CONTEXT, np.float32)).action.logits)
    decider = Decider(POLICY, seed=0)
    for arms in ([0, 1, 2, 3], [1, 3], [2]):
        answer = decider.answer(json.dumps({"decision_id": "7", "context": CONTEXT, "eligible": arms}))
        expected = np.zeros(4)
        expected[arms] = 0.2 / len(arms)
        expected[max(arms, key=lambda arm: values[arm])] += 0.8
        np.testing.assert_allclose(answer["probabilities"], expected[arms], rtol=1e-5)
        assert answer["probability"] == answer["probabilities"][arms.index(answer["action"])]
        assert answer["decision_id"] == "7"


def test_actions_come_as_often_as_they_should():
    """2,000 draws of arms with probability 0.05: 100 each, standard deviation 9.7."""
    decider = Decider(POLICY, seed=1)
    answers = [decider.answer(json.dumps({"context": CONTEXT})) for _ in range(2_000)]
    counts = np.bincount([answer["action"] for answer in answers], minlength=4)
    assert np.abs(counts - 2_000 * np.array(answers[0]["probabilities"])).max() < 5 * 16
    assert len({answer["decision_id"] for answer in answers}) == 2_000


def test_a_seed_decides_the_draws():
    line = json.dumps({"context": CONTEXT})
    draws = [
        [decider.answer(line)["action"] for _ in range(30)] for decider in (Decider(POLICY, 3), Decider(POLICY, 3))
    ]
    assert draws[0] == draws[1]


@pytest.mark.parametrize(
    "line",
    [
        "", "{", "[1, 2]", "null", '{"arms": [1]}', '{"context": [1]}', '{"context": [1, "x"]}',
        '{"context": [1, NaN]}',
        '{"context": [1, 1e400]}', '{"context": [1, 1e39]}', '{"context": {"x": 1}}', '{"context": [[1], [2, 3]]}',
        '{"context": [1, 2], "eligible": []}', '{"context": [1, 2], "eligible": [4]}',
        '{"context": [1, 2], "eligible": "all"}', '{"context": [1, 2], "eligible": [true]}',
        '{"context": [1, 2], "eligible": [1, 1]}', '{"context": [1, 2], "decision_id": 7}',
        '{"context": [1, 2], "eligble": [1]}', "[" * 100_000, '{"context": null}',
    ],
)  # fmt: skip
def test_a_bad_line_is_answered_and_counted(line: str):
    decider = Decider(POLICY, seed=0)
    good = json.dumps({"decision_id": "good", "context": CONTEXT})
    answers = [json.loads(answer) for answer in decider.lines([line, good])]
    assert answers[-1]["decision_id"] == "good"
    assert "action" in answers[-1]
    if line:
        assert set(answers[0]) == {"decision_id", "error"}
    assert (decider.answered, decider.refused) == (1, int(bool(line)))


@pytest.mark.parametrize(("field", "meant"), [("arms", "eligible"), ("eligble", "eligible"), ("id", "decision_id")])
def test_a_field_that_is_not_known_is_refused_with_the_one_that_is_meant(field: str, meant: str):
    answer = Decider(POLICY, seed=0).answer(json.dumps({"context": CONTEXT, field: [1]}))
    assert f"is {field} meant to be {meant}?" in answer["error"]


@pytest.mark.parametrize("eligible", [True, False])
def test_answers_are_a_log_that_passes_its_audit_and_is_evaluated(eligible: bool, tmp_path):
    decider, random = Decider(POLICY, seed=2), np.random.default_rng(0)
    requests = [{"context": random.normal(size=2).tolist()} for _ in range(3_000)]
    for request in requests if eligible else []:
        request["eligible"] = random.permutation(4)[: random.integers(1, 5)].tolist()
    answers = list(decider.lines([json.dumps(request) for request in requests] + ["{}"]))
    ids = [json.loads(answer)["decision_id"] for answer in answers[:-1]]
    outcomes = [json.dumps({"decision_id": name, "reward": float(random.random())}) for name in ids]
    (tmp_path / "log.jsonl").write_text("\n".join([*answers, *outcomes, ""]))
    with pytest.warns(JaxdawWarning, match="1 requests that were refused"):
        decisions = read_decisions(tmp_path / "log.jsonl", num_arms=4)
    found = audit(decisions)
    assert found.passed, str(found)
    assert set(decisions.policy_version.tolist()) == {decider.policy_version}
    report = evaluate_off_policy(decisions, {"itself": POLICY}, estimators=["ips"])
    assert report.candidates[0].estimates["ips"].value == pytest.approx(report.logged.value, rel=1e-4)


def test_the_version_is_that_of_the_weights():
    other = GreedyRewardPredictionPolicy(
        WORLD.time_step_spec(), WORLD.action_spec, QNetwork(WORLD.observation_spec, WORLD.action_spec, rngs=1)
    )
    versions = [Decider(policy).policy_version for policy in (GREEDY, GREEDY, other)]
    assert versions[0] == versions[1] != versions[2]
    assert len(versions[0]) == 12


def test_contexts_may_be_nests():
    world = PerArmBandit(num_actions=3, size=1, arm_size=1)
    decider = Decider(RandomPolicy(world.time_step_spec(), world.action_spec), seed=0)
    good = {"global": [1.0], "per_arm": [[1.0], [2.0], [3.0]]}
    answer = decider.answer(json.dumps({"context": good}))
    assert answer["probabilities"] == pytest.approx([1 / 3] * 3)
    assert (answer["context"], answer["arm_features"]) == (good["global"], good["per_arm"])
    assert "expected an object of" in decider.answer(json.dumps({"context": {"global": [1.0]}}))["error"]
