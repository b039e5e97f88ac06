"""Constraints with networks: which actions they leave, and that propensities are exact over these."""

import jax.numpy as jnp
import numpy as np
import pytest

from jaxdaw import networks, specs
from jaxdaw.errors import ConfigError, MaskError, SpecError
from jaxdaw.policies import (
    AbsoluteConstraint,
    EpsilonGreedyPolicy,
    FalconPolicy,
    GreedyRewardPredictionPolicy,
    NeuralConstraint,
    QuantileConstraint,
    RelativeConstraint,
    RelativeQuantileConstraint,
)
from jaxdaw.trajectories import restart, time_step_spec

CONTEXT = specs.TensorSpec((2,), np.float32)
ACTION = specs.BoundedTensorSpec((), np.int32, 0, 2)
CONTEXTS = np.float32([[1, 2], [3, 4]])
PREDICTED = jnp.array([[1.0, 2.0, 1.0], [3.0, 4.0, 1.0]])


def linear(kernel, bias):
    network = networks.QNetwork(CONTEXT, ACTION, fc_layer_params=None)
    for variable, value in zip(network.variables, (kernel, bias), strict=True):
        variable.set_value(jnp.asarray(value, jnp.float32))
    return network


def rewards():
    """Predicts (10, 13, 16) and (20, 27, 34)."""
    return linear([[1, 2, 3], [4, 5, 6]], [1, 1, 1])


def costs():
    """Predicts (1, 2, 1) and (3, 4, 1)."""
    return linear([[1, 1, 0], [0, 0, 0]], [0, 1, 1])


def policy(*constraints):
    return GreedyRewardPredictionPolicy(time_step_spec(CONTEXT), ACTION, rewards(), constraints=constraints)


def the_last(observation):
    return jnp.full(len(observation), 2, jnp.int32)


CASES = {  # of (1, 2, 1) and (3, 4, 1); the first and third are the reference's
    "above 1.5": (AbsoluteConstraint, {"absolute_value": 1.5}, [[0, 1, 0], [1, 1, 0]]),
    "at most 1": (AbsoluteConstraint, {"comparator_fn": jnp.less_equal, "absolute_value": 1}, [[1, 0, 1], [0, 0, 1]]),
    "nine tenths of the first": (RelativeConstraint, {"margin": 0.1}, [[1, 1, 1], [1, 1, 0]]),
    "more than the first": (RelativeConstraint, {}, [[1, 1, 0], [1, 1, 0]]),
    "less than thrice the last": (
        RelativeConstraint,
        {"comparator_fn": jnp.less, "margin": -2.0, "baseline_action_fn": the_last},
        [[1, 1, 1], [0, 0, 1]],
    ),
    "a quantile above 3": (QuantileConstraint, {"quantile": 0.9, "quantile_value": 3.0}, [[0, 0, 0], [0, 1, 0]]),
    "no less than the first": (
        RelativeQuantileConstraint,
        {"comparator_fn": jnp.greater_equal},
        [[1, 1, 1], [1, 1, 0]],
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_what_satisfies_a_constraint(name):
    kind, options, expected = CASES[name]
    np.testing.assert_array_equal(kind(costs(), **options).is_satisfied(PREDICTED, CONTEXTS), np.array(expected, bool))


def test_quantiles_are_learned_by_the_pinball_loss():
    """0.9 * 1 where the outcome is above, 0.1 * 1 where it is below."""
    constraint = QuantileConstraint(costs(), quantile=0.9)
    np.testing.assert_allclose(constraint.errors(jnp.array([2.0, 1.0]), jnp.array([1.0, 2.0])), [0.9, 0.1], rtol=1e-6)


def test_only_what_is_left_is_explored_with_exact_propensities():
    """Left are {1} and {0, 1}: of (20, 27) the second is greedy, with 1 - 0.4 + 0.4 / 2."""
    explorer = EpsilonGreedyPolicy(policy(AbsoluteConstraint(costs(), absolute_value=1.5)), 0.4)
    found = explorer.distribution(restart(CONTEXTS, batch_size=2)).action.probs
    np.testing.assert_allclose(found, [[0, 1, 0], [0.2, 0.8, 0]], rtol=1e-6)


def test_a_row_where_nothing_is_left_passes_over_trained_constraints_but_over_no_others():
    """Only action 1 of the second row is above 3; the first row falls back to what the function allows: 0 and 1."""
    constraint = AbsoluteConstraint(costs(), absolute_value=3.0)
    not_the_last = lambda observation: jnp.broadcast_to(jnp.arange(3) < 2, (len(observation), 3))  # noqa: E731
    step = restart(CONTEXTS, batch_size=2)
    alone = EpsilonGreedyPolicy(policy(constraint), 0.6).distribution(step).action.probs
    np.testing.assert_allclose(alone, [[0.2, 0.2, 0.6], [0, 1, 0]], rtol=1e-6)
    both = EpsilonGreedyPolicy(policy(not_the_last, constraint), 0.6).distribution(step).action.probs
    np.testing.assert_allclose(both, [[0.3, 0.7, 0], [0, 1, 0]], rtol=1e-6)
    nothing = lambda observation: jnp.zeros((len(observation), 3), bool)  # noqa: E731
    with pytest.raises(MaskError, match="no action for 2 of 2 rows"):
        policy(nothing, constraint).action(step)


def test_several_have_to_be_satisfied_together():
    """Above 1.5 leaves {1} and {0, 1}; below 3.5 leaves {0, 1, 2} and {0, 2}."""
    above, below = AbsoluteConstraint(costs(), absolute_value=1.5), AbsoluteConstraint(costs(), None, jnp.less, 3.5)
    np.testing.assert_array_equal(policy(above, below).action(restart(CONTEXTS, batch_size=2)).action, [1, 0])


def test_the_policy_follows_the_network_of_its_constraint():
    constraint = AbsoluteConstraint(costs(), absolute_value=1.5)
    bounded = policy(constraint)
    step = restart(CONTEXTS, batch_size=2)
    np.testing.assert_array_equal(bounded.action(step).action, [1, 1])
    constraint.constraint_network.variables[1].set_value(jnp.array([0.0, 1.0, 9.0]))
    np.testing.assert_array_equal(bounded.action(step).action, [2, 2])
    assert len(bounded.variables()) == 4


def test_falcon_counts_the_numbers_of_the_reward_model_alone():
    """9 of them: gamma for 3 actions after 4 steps is sqrt(3 * 4 / 9)."""
    alone, bounded = (FalconPolicy(p) for p in (policy(), policy(AbsoluteConstraint(costs()))))
    alone.step = bounded.step = 4
    assert alone.get_weights()[1] == bounded.get_weights()[1] == np.float32(np.sqrt(4 / 9))


@pytest.mark.parametrize(
    ("error", "match", "make"),
    [
        (ConfigError, "constraint_network is not a Network", lambda: AbsoluteConstraint(abs)),  # type: ignore
        (ConfigError, "quantile is outside its range", lambda: QuantileConstraint(costs(), quantile=1.0)),
        (
            NotImplementedError,
            "must define is_satisfied",
            lambda: policy(NeuralConstraint(costs())).action(restart(CONTEXTS, batch_size=2)),
        ),
        (ConfigError, "share a network", lambda: (lambda n: policy(*map(AbsoluteConstraint, (n, n))))(costs())),
        (
            SpecError,
            "one value for each action",
            lambda: policy(AbsoluteConstraint(networks.QNetwork(CONTEXT, specs.BoundedTensorSpec((), np.int32, 0, 3)))),
        ),
    ],
)
def test_constraints_are_refused(error, match, make):
    with pytest.raises(error, match=match):
        make()
