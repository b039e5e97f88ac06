import numpy as np
import pytest

from jaxdaw import networks, specs
from jaxdaw.errors import MaskError, NonFiniteError, SpecError
from jaxdaw.policies import ActorPolicy, EpsilonGreedyPolicy, GreedyPolicy, QPolicy
from jaxdaw.trajectories import time_step_spec

from .test_base import ACTION, OBSERVATION, ROWS, STEP, masked_policy, q_policy, recurrent_policy


def test_bound_acts_like_the_policy():
    policy = GreedyPolicy(q_policy())
    act = policy.bind()
    np.testing.assert_array_equal(act(ROWS.observation), policy.action(ROWS).action)
    assert act(ROWS.observation[0]) == policy.action(ROWS).action[0]
    assert act([0.0, 1.0, 2.0]).shape == ()


def test_bound_keeps_the_weights_of_its_moment():
    policy = GreedyPolicy(q_policy())
    act = policy.bind()
    before = act(ROWS.observation)
    for variable in policy.variables():
        variable.set_value(-variable.get_value())
    np.testing.assert_array_equal(act(ROWS.observation), before)


def test_bound_remembers_and_forgets():
    policy = GreedyPolicy(recurrent_policy())
    act, first = policy.bind(), None
    for _ in range(3):
        action = act(ROWS.observation)
        first = action if first is None else first
    act.reset()
    np.testing.assert_array_equal(act(ROWS.observation), first)


def test_bound_draws_anew_at_each_call():
    act = EpsilonGreedyPolicy(q_policy(), 1.0).bind(seed=1)
    draws = np.array([act(ROWS.observation[0]) for _ in range(60)])
    assert len(set(draws.tolist())) > 1


def test_bound_refuses_what_does_not_fit():
    act = GreedyPolicy(q_policy()).bind()
    with pytest.raises(SpecError, match=r"\(3,\) or \(N, 3\).*got  \(3, 1\)"):
        act(np.zeros((3, 1), np.float32))
    with pytest.raises(NonFiniteError):
        act(np.full(3, np.nan, np.float32))


@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize("dtype", [np.float32, np.int32])
def test_bound_says_which_row_of_a_batch_has_no_action(nested, dtype):
    observation, leaf = specs.TensorSpec((3,), np.float32), specs.BoundedTensorSpec((2,), dtype, 0, 2)
    action = {"a": leaf, "b": leaf} if nested else leaf
    network = networks.ActorDistributionNetwork(observation, action, fc_layer_params=(4,), rngs=0)
    act = ActorPolicy(time_step_spec(observation), action, network).greedy().bind()
    given = np.zeros((4, 3), np.float32)
    specs.check(act(given), action, 1, what="action")
    specs.check(act(given[0]), action, 0, what="action")
    given[2] = np.nan
    with pytest.raises(NonFiniteError, match=r"1 of 4 rows \(first row 2\)"):
        act(given)
    with pytest.raises(NonFiniteError):
        act(given[2])


def test_bound_names_the_weights_that_were_not_finite_when_it_was_made():
    policy = GreedyPolicy(q_policy())
    bias = policy.variables()[-1]
    finite = bias.get_value()
    bias.set_value(finite * np.nan)
    act = policy.bind()
    bias.set_value(finite)
    policy.action(ROWS)
    with pytest.raises(NonFiniteError) as caught:
        act(ROWS.observation)
    assert str(caught.value) == (
        "GreedyPolicy has no action for 5 of 5 rows (first row 0)\n"
        "  expected  finite weights when the policy was bound          "
        "got  NaN or infinity in the bound weights.params['q']['bias']\n"
        "  Likely cause: weights that had diverged; mending the network since then does not change bound weights.\n"
        "  Fix: policy.bind()  # again, after the weights are mended"
    )
    with pytest.raises(NonFiniteError, match="1 of 1 rows"):
        act(ROWS.observation[0])
    np.testing.assert_array_equal(policy.bind()(ROWS.observation), policy.action(ROWS).action)


def test_bound_names_a_mask_that_allows_nothing():
    act = masked_policy().bind()
    observation = {"obs": np.zeros((2, 3), np.float32), "mask": np.array([[True] * 4, [False] * 4])}
    with pytest.raises(MaskError, match=r"1 of 2 rows allow no action \(first row 1\)"):
        act(observation)


def test_refused_observation_leaves_the_recurrent_state_as_it_was():
    act, other = (GreedyPolicy(recurrent_policy_of_one_seed()).bind() for _ in range(2))
    act(ROWS.observation)
    other(ROWS.observation)
    with pytest.raises(NonFiniteError):
        act(ROWS.observation * np.nan)
    np.testing.assert_array_equal(act(ROWS.observation), other(ROWS.observation))


def recurrent_policy_of_one_seed():
    return QPolicy(STEP, ACTION, networks.QRnnNetwork(OBSERVATION, ACTION, lstm_size=(5,), rngs=3))
