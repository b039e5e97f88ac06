"""A log as experience: shapes by hand, and an importance-weighted mean that a uniform log would have."""

import numpy as np
import pytest

from data.logs import log
from jaxdaw.data import Decisions, decision_experience
from jaxdaw.errors import ConfigError, SpecError
from jaxdaw.specs import StepType


def test_every_decision_is_an_episode_of_one_step():
    decisions = log(50)
    rows = decision_experience(decisions)
    assert rows.experience.step_type.tolist() == [[StepType.FIRST]] * 50
    assert rows.experience.next_step_type.tolist() == [[StepType.LAST]] * 50
    assert rows.experience.discount.sum() == 0
    np.testing.assert_array_equal(rows.experience.action[:, 0], decisions.action)
    np.testing.assert_array_equal(rows.experience.observation[:, 0], decisions.context)
    np.testing.assert_array_equal(rows.experience.reward[:, 0], decisions.reward)
    assert rows.weights.tolist() == [1.0] * 50


def test_arm_features_stand_beside_the_context():
    rows = decision_experience(log(5, arm_features=np.zeros((5, 4, 2))))
    assert rows.experience.observation["per_arm"].shape == (5, 1, 4, 2)
    assert rows.experience.observation["global"].shape == (5, 1, 3)


def test_weights_make_all_arms_equally_frequent():
    decisions = log(20_000)
    weights = decision_experience(decisions, importance="uniform", clip=1e9).weights
    shares = np.bincount(decisions.action, weights, 4) / 20_000
    np.testing.assert_allclose(shares, 0.25, atol=0.02)
    clipped = decision_experience(decisions, importance="uniform", clip=2.0).weights
    assert clipped.max() / clipped.min() < weights.max() / weights.min()
    assert clipped.mean() == pytest.approx(1.0, abs=1e-5)


def test_a_log_with_faults_is_refused():
    bare = Decisions([0, 1], [1.0, 0.0], context=np.zeros((2, 3)))
    assert len(decision_experience(bare).weights) == 2
    with pytest.raises(SpecError, match="were not logged"):
        decision_experience(bare, importance="uniform")
    with pytest.raises(SpecError, match="without a reward"):
        decision_experience(Decisions([0], [np.nan]))
    for options in ({"importance": "half"}, {"clip": 0.0}):
        with pytest.raises(ConfigError, match="weights of a log"):
            decision_experience(bare, **options)
