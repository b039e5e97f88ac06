"""Estimated propensities against those that the log was made with."""

import numpy as np
import pytest

from data.logs import log
from jaxdaw.data import Decisions
from jaxdaw.errors import ConfigError, SpecError
from jaxdaw.evaluation import estimate_propensities, evaluate_off_policy


def test_the_probabilities_of_a_softmax_policy_are_found():
    wanted = log(6000)
    unknown = Decisions(wanted.action, wanted.reward, context=wanted.context, num_arms=4)
    with pytest.raises(SpecError, match="--estimate-propensities"):
        evaluate_off_policy(unknown, {"u": "uniform"})
    found = estimate_propensities(unknown, updates=600)
    assert np.mean(np.abs(found.probability - wanted.probability)) < 0.02
    estimates = [evaluate_off_policy(one, {"u": "uniform"}).candidates[0].estimates["ips"] for one in (found, wanted)]
    assert estimates[0].value == pytest.approx(estimates[1].value, abs=0.02)


def test_what_was_logged_stays():
    wanted = log(300)
    probability = np.where(np.arange(300) % 2, wanted.probability, np.nan)
    found = estimate_propensities(wanted.replace(probabilities=None, probability=probability), updates=20)
    np.testing.assert_array_equal(found.probability[1::2], wanted.probability[1::2])
    assert ((found.probability > 0) & (found.probability < 1)).all()
    assert estimate_propensities(wanted) is wanted


def test_arms_that_are_not_eligible_have_no_part():
    eligible = np.tile([[True, False, True], [True, True, True]], (300, 1))
    random = np.random.default_rng(0)
    action = np.array([random.choice(np.flatnonzero(row)) for row in eligible])  # 1/2 or 1/3
    found = estimate_propensities(Decisions(action, np.ones(600), eligible=eligible), updates=400)
    np.testing.assert_allclose(found.probability, np.where(eligible.all(axis=1), 1 / 3, 1 / 2), atol=0.1)


def test_what_cannot_be_cloned_is_refused():
    with pytest.raises(ConfigError, match="cannot be trained so"):
        estimate_propensities(log(10), folds=1)
    with pytest.raises(SpecError, match="do not exist"):
        estimate_propensities(Decisions([0, 5], num_arms=2))
