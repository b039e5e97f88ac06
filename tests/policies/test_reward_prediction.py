"""Reward prediction policies: exact propensities with masks and ties, information about the action taken."""

import functools

import jax
import numpy as np
import pytest

from jaxdaw import networks, specs
from jaxdaw.errors import ConfigError, JaxdawWarning, MaskError, SpecError
from jaxdaw.policies import BoltzmannPolicy, EpsilonGreedyPolicy, GreedyPolicy, GreedyRewardPredictionPolicy, PolicyInfo
from jaxdaw.trajectories import restart, time_step_spec

ACTION = specs.BoundedTensorSpec((), np.int32, 0, 3)
REWARDS = specs.TensorSpec((4,), np.float32)
MASKED = {"rewards": REWARDS, "mask": specs.BoundedTensorSpec((4,), np.bool_, False, True)}
ARMS = {
    "global": specs.TensorSpec((1,), np.float32),
    "per_arm": specs.TensorSpec((4, 2), np.float32),
    "num_actions": specs.BoundedTensorSpec((), np.int32, 1, 4),
}
EVERYTHING = ("log_probability", "predicted_rewards_mean", "bandit_policy_type")


class Shown(networks.Network):
    """Predicts the rewards that the observation shows."""

    def __init__(self, input_tensor_spec, *, rngs=0):
        super().__init__(input_tensor_spec)
        self.scale = networks.QNetwork(REWARDS, ACTION, fc_layer_params=None, rngs=rngs).q

    def call(self, observation):
        return observation + 0.0, ()


class FirstFeature(networks.PerArmNetwork):
    """Predicts the first feature of each arm."""

    def __init__(self, input_tensor_spec, *, rngs=0):
        super().__init__(input_tensor_spec)
        del rngs

    def _values(self, context, arms, training):
        return arms[..., 0]


def split(observation):
    return observation["rewards"], observation["mask"]


def masked(**options):
    return GreedyRewardPredictionPolicy(
        time_step_spec(MASKED), ACTION, Shown(REWARDS), observation_and_action_constraint_splitter=split, **options
    )


def plain(**options):
    return GreedyRewardPredictionPolicy(time_step_spec(REWARDS), ACTION, Shown(REWARDS), **options)


def over_arms(**options):
    network = FirstFeature({key: ARMS[key] for key in ("global", "per_arm")})
    return GreedyRewardPredictionPolicy(time_step_spec(ARMS), ACTION, network, accepts_per_arm_features=True, **options)


# Two best actions that tie, the first of them not allowed in the second row; one allowed action in the third.
SHOWN = np.float32([[1, 3, 3, 0], [1, 3, 3, 0], [5, 6, 7, 8]])
MASK = np.array([[1, 1, 1, 1], [1, 0, 1, 1], [0, 1, 0, 0]], bool)
GREEDY = np.array([1, 2, 1])
STEP = restart({"rewards": SHOWN, "mask": MASK}, batch_size=3)


def expected_probs(epsilon):
    uniform = MASK / MASK.sum(axis=1, keepdims=True)
    return (1 - epsilon) * np.eye(4)[GREEDY] + epsilon * uniform


@pytest.mark.parametrize("epsilon", [0.0, 0.05, 0.2, 1.0])
def test_propensities_are_exact_with_masks_and_ties(epsilon):
    """Chi-square of 10**6 draws a row against the closed form, in which the lowest of two equals is greedy."""
    policy = EpsilonGreedyPolicy(masked(emit_policy_info=("log_probability",)), epsilon)
    probs = np.asarray(policy.distribution(STEP).action.probs, np.float64)
    np.testing.assert_allclose(probs, expected_probs(epsilon), atol=1e-6)
    draws = 1_000_000
    distribution = policy.distribution(STEP).action
    randomness = policy.draw(jax.random.key(1), draws, 3)
    actions = np.asarray(jax.jit(distribution.sample_from_uniform)(randomness))
    for row in range(3):
        counts, want = np.bincount(actions[:, row], minlength=4), expected_probs(epsilon)[row] * draws
        assert np.all(counts[want == 0] == 0)
        statistic = (np.square(counts - want)[want > 0] / want[want > 0]).sum()
        assert statistic < 21.1, (row, counts)  # 3 degrees of freedom: exceeded once in 10**4


@pytest.mark.parametrize("epsilon", [0.0, 0.05, 0.2, 1.0])
def test_inverse_propensities_value_a_known_policy_without_bias(epsilon):
    """The target takes each allowed action of a row equally; where epsilon is 0, it takes the greedy one."""
    policy = EpsilonGreedyPolicy(masked(emit_policy_info=("log_probability",)), epsilon)
    rows = np.random.default_rng(3).integers(0, 3, 60_000)
    step = restart({"rewards": SHOWN[rows], "mask": MASK[rows]}, batch_size=len(rows))
    taken = policy.action(step, seed=11)
    target = expected_probs(1.0) if epsilon else expected_probs(0.0)
    value = (target * SHOWN).sum(axis=1)[rows].mean()
    weights = target[rows, taken.action] / np.exp(np.float64(taken.info.log_probability))
    returns = weights * SHOWN[rows, taken.action]
    error = (returns - (target * SHOWN).sum(axis=1)[rows]).mean()
    assert abs(error) <= 3 * returns.std() / np.sqrt(len(rows)) + 1e-6, (returns.mean(), value)
    np.testing.assert_allclose(weights.mean(), 1.0, atol=3 * weights.std() / np.sqrt(len(rows)) + 1e-6)


def test_information_is_about_the_action_taken():
    policy = EpsilonGreedyPolicy(masked(emit_policy_info=EVERYTHING), 0.5)
    rows = np.arange(3).repeat(50)
    taken = policy.action(restart({"rewards": SHOWN[rows], "mask": MASK[rows]}, batch_size=150), seed=0)
    np.testing.assert_array_equal(taken.info.predicted_rewards_mean, SHOWN[rows])
    np.testing.assert_array_equal(taken.info.bandit_policy_type[:, 0], np.where(taken.action == GREEDY[rows], 1, 2))
    probs = expected_probs(0.5)[rows, taken.action]
    np.testing.assert_allclose(np.exp(taken.info.log_probability), probs, rtol=1e-5)
    specs.check(taken.info, policy.info_spec, 1, what="info")


def test_other_explorers_wrap_the_same_values():
    policy = BoltzmannPolicy(masked(emit_policy_info=EVERYTHING), 0.5)
    logits = np.where(MASK, SHOWN / 0.5, -np.inf)
    softmax = np.exp(logits - logits.max(axis=1, keepdims=True))
    np.testing.assert_allclose(
        policy.distribution(STEP).action.probs, softmax / softmax.sum(axis=1, keepdims=True), rtol=1e-5
    )
    assert set(np.ravel(policy.action(STEP, seed=0).info.bandit_policy_type)) <= {1, 3}


def test_greedy_gives_the_policy_for_evaluation():
    inner = masked(emit_policy_info=EVERYTHING)
    policy = EpsilonGreedyPolicy(inner, 1.0)
    assert policy.greedy() is inner
    assert inner.greedy() is inner
    step = inner.action(STEP)
    np.testing.assert_array_equal(step.action, GREEDY)
    np.testing.assert_array_equal(step.info.log_probability, np.zeros(3))
    np.testing.assert_array_equal(step.info.bandit_policy_type, np.ones((3, 1)))
    assert isinstance(GreedyPolicy(policy).greedy(), GreedyPolicy)


def test_nothing_is_reported_unless_it_is_asked_for():
    assert plain().action(restart(SHOWN, batch_size=3)).info == ()
    info = plain(emit_policy_info=("predicted_rewards_mean",)).action(restart(SHOWN, batch_size=3)).info
    assert info._replace(predicted_rewards_mean=()) == PolicyInfo()


def test_only_arms_that_exist_are_taken_and_their_features_are_reported():
    policy = EpsilonGreedyPolicy(over_arms(emit_policy_info=("log_probability",)), 0.4)
    arms = np.arange(16, dtype=np.float32).reshape(2, 4, 2)
    observation = {"global": np.zeros((2, 1), np.float32), "per_arm": arms, "num_actions": np.int32([4, 2])}
    step = restart(observation, batch_size=2)
    probs = policy.distribution(step).action.probs
    np.testing.assert_allclose(probs, [[0.1, 0.1, 0.1, 0.7], [0.2, 0.8, 0, 0]], rtol=1e-5)
    for seed in range(5):
        taken = policy.action(step, seed=seed)
        np.testing.assert_array_equal(taken.info.chosen_arm_features, arms[[0, 1], taken.action])
        np.testing.assert_allclose(
            np.exp(taken.info.log_probability), np.asarray(probs)[[0, 1], taken.action], rtol=1e-5
        )
    for wrong in (0, 5):
        with pytest.raises(MaskError, match=r"1 of 2 rows have a number of arms that cannot be \(first row 1\)"):
            policy.action(restart({**observation, "num_actions": np.int32([4, wrong])}, batch_size=2))


def test_constraints_hold_while_exploring():
    cheap = lambda rewards: rewards < 3.5  # noqa: E731
    not_the_first = lambda rewards: (rewards < np.inf) & (np.arange(4) > 0)  # noqa: E731
    policy = EpsilonGreedyPolicy(plain(constraints=(cheap, not_the_first)), 0.6)
    step = restart(np.float32([[1, 2, 3, 4], [1, 9, 2, 0]]), batch_size=2)
    np.testing.assert_allclose(policy.distribution(step).action.probs, [[0, 0.3, 0.7, 0], [0, 0, 0.7, 0.3]], rtol=1e-5)
    with pytest.raises(MaskError, match=r"no action for 1 of 2 rows \(first row 1\)"):
        policy.action(restart(np.float32([[1, 2, 3, 4], [9, 9, 9, 9]]), batch_size=2))


def test_constraints_that_are_not_sure_are_refused():
    step = restart(SHOWN, batch_size=3)
    with pytest.raises(SpecError, match="is not sure"):
        plain(constraints=(lambda rewards: rewards / 10,)).action(step)
    with pytest.raises(SpecError, match="of every action"):
        plain(constraints=(lambda rewards: rewards[:, :2] > 0,)).action(step)


@pytest.mark.parametrize(
    ("error", "match", "make"),
    [
        (ConfigError, "not a Network", lambda: GreedyRewardPredictionPolicy(time_step_spec(REWARDS), ACTION, abs)),
        (NotImplementedError, "exclude each other", lambda: masked(accepts_per_arm_features=True)),
        (ConfigError, "one name", lambda: plain(emit_policy_info="log_probability")),
        (SpecError, "features of arms", lambda: plain(accepts_per_arm_features=True)),
        (
            SpecError,
            "one reward for each action",
            lambda: GreedyRewardPredictionPolicy(
                time_step_spec(REWARDS), specs.BoundedTensorSpec((), np.int32, 0, 4), Shown(REWARDS)
            ),
        ),
        (
            ConfigError,
            "has memory",
            lambda: GreedyRewardPredictionPolicy(
                time_step_spec(REWARDS), ACTION, networks.QRnnNetwork(REWARDS, ACTION, lstm_size=2)
            ),
        ),
        (
            SpecError,
            "not in a nest",
            lambda: GreedyRewardPredictionPolicy(time_step_spec(REWARDS), (ACTION,), Shown(REWARDS)),
        ),
    ],
)
def test_constructor_refuses(error, match, make):
    with pytest.raises(error, match=match):
        make()


def test_names_that_nobody_reports_warn_and_stay_empty():
    make = functools.partial(plain, emit_policy_info=("predicted_rewards_optimistic", "nonsense"))
    with pytest.warns(JaxdawWarning, match="'predicted_rewards_optimistic', 'nonsense'"):
        assert make().info_spec == ()
