"""The shell of every policy: what it accepts, what it refuses, what it hands back."""

import copy
import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdaw import networks, specs, trajectories
from jaxdaw.errors import ConfigError, MaskError, NonFiniteError, SpecError
from jaxdaw.policies import BoltzmannPolicy, EpsilonGreedyPolicy, GreedyPolicy, QPolicy, RandomPolicy
from jaxdaw.trajectories import TimeStep

OBSERVATION = specs.BoundedTensorSpec((3,), np.float32, -10.0, 10.0, "observation")
ACTION = specs.BoundedTensorSpec((), np.int64, 0, 3, "action")
STEP = trajectories.time_step_spec(OBSERVATION)
MASKED = {"obs": OBSERVATION, "mask": specs.BoundedTensorSpec((4,), np.bool_, False, True)}


def split(observation):
    return observation["obs"], observation["mask"]


def q_policy(**options):
    return QPolicy(STEP, ACTION, networks.QNetwork(OBSERVATION, ACTION, fc_layer_params=(8,)), **options)


def masked_policy(**options):
    network = networks.QNetwork(OBSERVATION, ACTION, fc_layer_params=(8,))
    step = trajectories.time_step_spec(MASKED)
    return QPolicy(step, ACTION, network, observation_and_action_constraint_splitter=split, **options)


def recurrent_policy():
    return QPolicy(STEP, ACTION, networks.QRnnNetwork(OBSERVATION, ACTION, lstm_size=(5,)))


KINDS = {
    "q": q_policy,
    "greedy": lambda **o: GreedyPolicy(q_policy(**o)),
    "epsilon": lambda **o: EpsilonGreedyPolicy(q_policy(**o), 0.3),
    "boltzmann": lambda **o: BoltzmannPolicy(q_policy(**o), 0.5),
    "random": lambda **o: RandomPolicy(STEP, ACTION, **o),
}
random = np.random.default_rng(0)
ROWS = trajectories.restart(random.normal(size=(5, 3)).astype(np.float32), batch_size=5)


@pytest.fixture(params=KINDS)
def kind(request):
    return KINDS[request.param]


def test_every_policy_acts_within_its_spec_and_reports_its_own_probability(kind):
    policy = kind(emit_log_probability=True)
    step = policy.action(ROWS, seed=1)
    specs.check(step.action, ACTION, (5,))
    assert isinstance(step.action, np.ndarray)
    distribution = policy.distribution(ROWS).action
    np.testing.assert_allclose(step.info.log_probability, distribution.log_prob(step.action), rtol=1e-5, atol=1e-6)
    specs.check(step.info, policy.info_spec, (5,))


def test_every_policy_draws_from_the_distribution_that_it_shows(kind):
    policy = kind()
    weights, shown = policy.get_weights(), policy.distribution(ROWS).action
    draws = policy.draw(jax.random.key(0), 20_000, 5)
    actions = np.asarray(jax.jit(jax.vmap(lambda r: policy.act(weights, ROWS, (), r).action))(draws))
    for action in range(4):
        share = np.exp(np.asarray(shown.log_prob(jnp.full(5, action))))
        np.testing.assert_allclose((actions == action).mean(axis=0), share, atol=4 * np.sqrt(0.25 / 20_000))


def test_a_seed_decides_and_another_seed_differs(kind):
    policy = kind()
    wide = trajectories.restart(np.repeat(ROWS.observation, 40, axis=0), batch_size=200)
    first = policy.action(wide, seed=7).action
    np.testing.assert_array_equal(first, policy.action(wide, seed=7).action)
    np.testing.assert_array_equal(first, policy.action(wide, seed=jax.random.key(7)).action)
    if not isinstance(policy, GreedyPolicy):
        assert np.any(first != policy.action(wide, seed=8).action)
        assert np.any(policy.action(wide).action != policy.action(wide).action)


@pytest.mark.parametrize("seed", [-1, 2**64, 1.5, "one"])
def test_a_seed_out_of_range_is_refused(kind, seed):
    with pytest.raises(ConfigError, match=r"0\.\.2\*\*32 - 1"):
        kind().action(ROWS, seed=seed)


def test_a_bare_observation_is_a_convenience(kind):
    policy = kind()
    one = policy.action(ROWS.observation[0], seed=0)
    assert one.action.shape == ()
    assert policy.action(ROWS.observation, seed=0).action.shape == (5,)
    assert policy.action([0.0, 1.0, 2.0], seed=0).action.shape == ()
    single = jax.tree.map(lambda x: x[0], ROWS)
    assert policy.action(single, seed=0).action.shape == ()


def test_device_arrays_come_back_as_device_arrays(kind):
    step = kind().action(jax.tree.map(jnp.asarray, ROWS), seed=0)
    assert isinstance(step.action, jax.Array)


@pytest.mark.parametrize(
    ("observation", "message"),
    [
        (np.zeros((5, 4), np.float32), r"\(3,\)"),
        (np.zeros((3, 1), np.float32), r"\(3,\)"),
        ((np.zeros(3, np.float32), {}), "observation"),
        ({"x": np.zeros(3, np.float32)}, "observation"),
    ],
)
def test_observations_that_do_not_fit_are_refused(kind, observation, message):
    with pytest.raises(SpecError, match=message):
        kind().action(observation)


def test_a_sequence_is_refused(kind):
    two = TimeStep(*(np.zeros((2, 3), t) for t in (np.int32, np.float32, np.float32)), np.zeros((2, 3, 3), np.float32))
    with pytest.raises(SpecError, match="2 outer axes"):
        kind().action(two)


def test_a_row_that_allows_nothing_is_refused():
    mask = np.ones((5, 4), bool)
    mask[3] = False
    step = trajectories.restart({"obs": ROWS.observation, "mask": mask}, batch_size=5)
    for policy in (GreedyPolicy(masked_policy()), EpsilonGreedyPolicy(masked_policy(), 1.0)):
        with pytest.raises(MaskError, match=r"1 of 5 rows allow no action \(first row 3\)"):
            policy.action(step)


def test_masked_actions_are_never_taken():
    mask = np.eye(4, dtype=bool)[[0, 1, 2, 3, 1]] | np.eye(4, dtype=bool)[[1, 1, 3, 0, 1]]
    step = trajectories.restart({"obs": ROWS.observation, "mask": mask}, batch_size=5)
    random_policy = RandomPolicy(
        trajectories.time_step_spec(MASKED), ACTION, observation_and_action_constraint_splitter=split
    )
    for policy in (
        masked_policy(),
        EpsilonGreedyPolicy(masked_policy(), 0.9),
        BoltzmannPolicy(masked_policy(), 5.0),
        random_policy,
    ):
        for seed in range(30):
            assert mask[np.arange(5), policy.action(step, seed=seed).action].all()


def test_swapped_splitters_and_odd_masks_are_named():
    network = networks.QNetwork(OBSERVATION, ACTION)
    step = trajectories.time_step_spec(MASKED)
    with pytest.raises(MaskError, match="swapped"):
        QPolicy(step, ACTION, network, observation_and_action_constraint_splitter=lambda o: (o["mask"], o["obs"]))
    ints = {"obs": OBSERVATION, "mask": specs.TensorSpec((4,), np.int32)}
    policy = QPolicy(
        trajectories.time_step_spec(ints), ACTION, network, observation_and_action_constraint_splitter=split
    )
    odd = {"obs": ROWS.observation, "mask": np.full((5, 4), 3, np.int32)}
    with pytest.raises(MaskError, match="other numbers than 0 and 1"):
        policy.action(trajectories.restart(odd, 5))


def test_nan_values_are_never_an_action():
    policy = GreedyPolicy(q_policy())
    bad = ROWS.observation.copy()
    bad[2] = np.nan
    with pytest.raises(NonFiniteError, match=r"no action for 1 of 5 rows \(first row 2\)"):
        policy.action(ROWS._replace(observation=bad))


def test_memory_is_reset_where_an_episode_starts():
    policy = GreedyPolicy(recurrent_policy())
    first = policy.action(ROWS)
    moving = ROWS._replace(step_type=np.array([1, 0, 1, 1, 0], np.int32))
    kept = policy.action(moving, first.state)
    fresh = policy.action(moving._replace(step_type=np.zeros(5, np.int32)), first.state)
    for a, b in zip(jax.tree.leaves(kept.state), jax.tree.leaves(fresh.state), strict=True):
        np.testing.assert_allclose(a[[1, 4]], b[[1, 4]], rtol=1e-6)
        assert np.abs(a[[0, 2, 3]] - b[[0, 2, 3]]).max() > 1e-4
    with pytest.raises(SpecError, match="policy_state"):
        policy.action(ROWS, jax.tree.map(lambda x: x[:2], first.state))
    assert [x.shape for x in jax.tree.leaves(policy.get_initial_state(3))] == [(3, 5), (3, 5)]
    assert [x.shape for x in jax.tree.leaves(policy.get_initial_state())] == [(5,), (5,)]


def test_the_documented_surface(kind):
    policy = kind()
    assert policy.trajectory_spec == policy.collect_data_spec
    assert policy.policy_step_spec.action == ACTION
    assert policy.time_step_spec == STEP
    assert policy.name == type(policy).__name__
    assert len(policy.trainable_variables) == len(policy.variables())
    assert not policy.emit_log_probability


def test_update_refuses_other_variables_and_factors_outside_0_1():
    policy, other = q_policy(), QPolicy(STEP, ACTION, networks.QNetwork(OBSERVATION, ACTION, fc_layer_params=(9,)))
    with pytest.raises(ConfigError, match="different variables"):
        policy.update(other)
    with pytest.raises(ConfigError, match="tau"):
        policy.update(q_policy(), tau=1.5)


def test_update_copies_though_weights_are_not_finite():
    policy, other = q_policy(), q_policy()
    for variable in policy.variables():
        variable.set_value(np.nan * variable.get_value())
    policy.update(other)
    for mine, theirs in zip(policy.variables(), other.variables(), strict=True):
        np.testing.assert_array_equal(mine.get_value(), theirs.get_value())
        assert mine.get_value() is not theirs.get_value()  # donating one must not take the other


class ActsByAnother(QPolicy):
    other: QPolicy

    def get_weights(self):
        return self.other.get_weights()


@pytest.mark.parametrize("around", [lambda policy: policy, GreedyPolicy])
def test_an_heir_may_act_by_other_weights(around):
    policy = ActsByAnother(STEP, ACTION, networks.QNetwork(OBSERVATION, ACTION))
    policy.other = QPolicy(STEP, ACTION, networks.QNetwork(OBSERVATION, ACTION, rngs=7))
    observation = np.random.default_rng(0).standard_normal((64, *OBSERVATION.shape)).astype(np.float32)
    np.testing.assert_array_equal(
        around(policy).action(observation, seed=0).action, around(policy.other).action(observation, seed=0).action
    )


def test_nothing_recompiles_after_the_first_call(kind):
    policy = kind()
    for seed in range(4):
        policy.action(ROWS, seed=seed)
    assert policy._compiled_leaves._cache_size() == 1


def test_deep_copy_acts_the_same_and_has_weights_of_its_own(kind):
    policy = kind()
    twin = copy.deepcopy(policy)
    assert type(twin) is type(policy)
    assert not {id(v) for v in twin.variables()} & {id(v) for v in policy.variables()}
    taken = twin.action(ROWS, seed=1).action
    np.testing.assert_array_equal(taken, policy.action(ROWS, seed=1).action)
    for variable in policy.variables():
        variable.set_value(-variable.get_value())
    np.testing.assert_array_equal(twin.action(ROWS, seed=1).action, taken)


def test_deep_copy_keeps_the_step_of_a_schedule_and_what_its_parts_share():
    policy = EpsilonGreedyPolicy(q_policy(), lambda step: step / 10)
    policy.step = 3
    twin, network = copy.deepcopy((policy, policy._networks()[0]))
    assert twin.get_weights()[1] == np.float32(0.3)
    assert twin._networks()[0] is network
    twin.step = 5
    assert policy.step == 3


def test_pickle_is_refused_with_the_way_to_save(kind):
    for value in (kind(), kind().bind(), kind()._networks()):
        if value != ():
            with pytest.raises(TypeError, match=r"cannot be pickled(?s:.*)jaxdaw.training.save_policy"):
                pickle.dumps(value)


def test_constructor_arguments_are_remembered_by_name():
    inner = q_policy()
    assert EpsilonGreedyPolicy(inner, epsilon=0.5).constructor_arguments() == {"policy": inner, "epsilon": 0.5}


def test_constructor_still_refuses_unknown_arguments_in_the_words_of_python():
    with pytest.raises(TypeError, match=r"__init__\(\) got an unexpected keyword argument 'temperature'"):
        EpsilonGreedyPolicy(q_policy(), temperature=0.5)
