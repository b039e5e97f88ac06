"""Lines in, lines out: probabilities are exact, and no line breaks the conversation."""

from __future__ import annotations

import json

import numpy as np
import pytest

from jaxdaw.environments import LinearBandit, PerArmBandit
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
        answer = decider.answer(json.dumps({"id": 7, "context": CONTEXT, "arms": arms}))
        expected = np.zeros(4)
        expected[arms] = 0.2 / len(arms)
        expected[max(arms, key=lambda arm: values[arm])] += 0.8
        np.testing.assert_allclose(answer["probabilities"], expected, rtol=1e-5)
        assert answer["probability"] == answer["probabilities"][answer["action"]]
        assert (answer["id"], answer["action"] in arms) == (7, True)


def test_actions_come_as_often_as_they_should():
    """2,000 draws of arms with probability 0.05: 100 each, standard deviation 9.7."""
    decider = Decider(POLICY, seed=1)
    answers = [decider.answer(json.dumps({"context": CONTEXT})) for _ in range(2_000)]
    counts = np.bincount([answer["action"] for answer in answers], minlength=4)
    assert np.abs(counts - 2_000 * np.array(answers[0]["probabilities"])).max() < 5 * 16
    assert len({answer["id"] for answer in answers}) == 2_000


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
        '{"context": [1, 2], "arms": []}', '{"context": [1, 2], "arms": [4]}', '{"context": [1, 2], "arms": "all"}',
        '{"context": [1, 2], "arms": [true]}', "[" * 100_000, '{"context": null}',
    ],
)  # fmt: skip
def test_a_bad_line_is_answered_and_counted(line: str):
    decider = Decider(POLICY, seed=0)
    good = json.dumps({"id": "good", "context": CONTEXT})
    answers = [json.loads(answer) for answer in decider.lines([line, good])]
    assert answers[-1]["id"] == "good"
    assert "action" in answers[-1]
    if line:
        assert set(answers[0]) == {"id", "error"}
    assert (decider.answered, decider.refused) == (1, int(bool(line)))


def test_contexts_may_be_nests():
    world = PerArmBandit(num_actions=3, size=1, arm_size=1)
    decider = Decider(RandomPolicy(world.time_step_spec(), world.action_spec), seed=0)
    good = {"global": [1.0], "per_arm": [[1.0], [2.0], [3.0]]}
    assert decider.answer(json.dumps({"context": good}))["probabilities"] == pytest.approx([1 / 3] * 3)
    assert "expected an object of" in decider.answer(json.dumps({"context": {"global": [1.0]}}))["error"]
