"""What policies report."""

import jax.numpy as jnp
import numpy as np

from jaxdaw.policies import BanditPolicyType, PolicyInfo
from jaxdaw.policies._info import with_explored, with_log_probability


def test_policy_types_have_the_reference_s_numbers():
    names = ["UNKNOWN", "GREEDY", "UNIFORM", "BOLTZMANN", "FALCON"]
    assert [BanditPolicyType[name] for name in names] == [0, 1, 2, 3, 4]


def test_fields_that_nobody_asked_for_are_empty():
    assert set(PolicyInfo()) == {()}


def test_log_probability_is_set_where_there_is_a_place_for_it():
    assert with_log_probability((), 1.0) == PolicyInfo(log_probability=1.0)
    assert with_log_probability({"a": 2.0}, 1.0) == {"a": 2.0, "log_probability": 1.0}
    assert with_log_probability((2.0,), 1.0) == (2.0,)


def test_rows_whose_action_is_not_the_greedy_one_are_of_the_explorer_s_type():
    info = PolicyInfo(bandit_policy_type=jnp.ones((2, 1), jnp.int32))
    marked = with_explored(info, jnp.array([True, False]), BanditPolicyType.UNIFORM)
    np.testing.assert_array_equal(marked.bandit_policy_type, [[1], [2]])
    assert with_explored((), jnp.array([True]), BanditPolicyType.UNIFORM) == ()
    assert with_explored(PolicyInfo(), jnp.array([True]), BanditPolicyType.UNIFORM) == PolicyInfo()
