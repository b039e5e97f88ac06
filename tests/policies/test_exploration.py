import numpy as np
import optax
import pytest

from jaxdaw.errors import ConfigError
from jaxdaw.policies import BoltzmannPolicy, EpsilonGreedyPolicy, GreedyPolicy

from .test_base import ROWS, q_policy


def test_a_schedule_is_read_at_the_policy_s_step():
    policy = EpsilonGreedyPolicy(q_policy(), optax.linear_schedule(1.0, 0.0, 100))
    assert policy.exploration_at(50) == 0.5
    np.testing.assert_allclose(policy.distribution(ROWS).action.probs, 0.25)  # step 0: uniform
    policy.step = 100
    assert set(np.unique(policy.distribution(ROWS).action.probs)) == {0.0, 1.0}


def test_a_function_without_arguments_is_asked_every_time_but_not_in_a_compiled_loop():
    values = [0.0, 1.0]
    policy = EpsilonGreedyPolicy(q_policy(), lambda: values[0])
    before = policy.distribution(ROWS).action.probs
    values[0] = 1.0
    assert np.any(before != policy.distribution(ROWS).action.probs)
    with pytest.raises(ConfigError, match="compiled loop cannot ask again"):
        policy.weights_at((), 0)


def test_a_schedule_that_gives_an_array_is_refused():
    with pytest.raises(ConfigError, match="one number"):
        EpsilonGreedyPolicy(q_policy(), lambda: np.zeros(3)).action(ROWS)


@pytest.mark.parametrize("temperature", [0.0, -1.0, float("nan"), float("inf")])
def test_temperatures_out_of_range_are_refused(temperature):
    with pytest.raises(ConfigError, match="temperature"):
        BoltzmannPolicy(q_policy(), temperature)


def test_each_row_explores_on_its_own():
    policy = EpsilonGreedyPolicy(q_policy(), 0.5)
    same = ROWS._replace(observation=np.repeat(ROWS.observation[:1], 5, axis=0))
    different = [len(set(policy.action(same, seed=s).action.tolist())) for s in range(40)]
    assert np.mean(np.array(different) > 1) > 0.8


def test_greedy_takes_the_exploration_off():
    inner = q_policy()
    for policy in (EpsilonGreedyPolicy(inner, 1.0), BoltzmannPolicy(inner, 9.0), inner):
        greedy = policy.greedy()
        assert isinstance(greedy, GreedyPolicy)
        assert greedy.wrapped_policy is inner
        assert greedy.greedy() is greedy
        assert policy.draws
        assert not greedy.draws
