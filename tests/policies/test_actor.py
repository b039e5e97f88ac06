"""ActorPolicy: clipping, log-probabilities, masks, memory, normalizers, and what it refuses."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jaxdaw import networks, specs, trajectories
from jaxdaw.distributions import Categorical, Deterministic, Normal
from jaxdaw.errors import ConfigError, MaskError, NonFiniteError, SpecError, SpecTypeError
from jaxdaw.networks import Network
from jaxdaw.policies import ActorPolicy, EpsilonGreedyPolicy, GreedyPolicy, PolicyInfo, is_distribution
from jaxdaw.trajectories import PolicyStep, StepType, TimeStep

OBSERVATION = specs.TensorSpec((2,), np.float32)
STEP = trajectories.time_step_spec(OBSERVATION)
STEER = specs.BoundedTensorSpec((2,), np.float32, -1.0, [1.0, 3.0])
GEAR = specs.BoundedTensorSpec((), np.int32, -1, 2)
LEVERS = specs.BoundedTensorSpec((3,), np.int32, 1, 4)
MASKED = {"place": OBSERVATION, "mask": specs.BoundedTensorSpec((4,), np.int32, 0, 1)}
LOGITS = np.array([0.5, 2.0, -1.0, 0.0], np.float32)


class Echo(Network):
    """Takes the observation for its action, twice that if training."""

    def call(self, observation, training=False):
        return observation * (2.0 if training else 1.0), ()


class Spread(Network):
    """A normal of deviation 2 around the observation."""

    def call(self, observation):
        return Normal(observation, 2.0, event_ndims=1), ()


class Constant(Network):
    """The same distribution in every row."""

    def __init__(self, input_tensor_spec, make):
        super().__init__(input_tensor_spec)
        self.make = nnx.static(make)

    def call(self, observation):
        return self.make(observation.shape[0]), ()


class Counter(Network):
    """Counts its steps; the action is the count."""

    def __init__(self, input_tensor_spec):
        super().__init__(input_tensor_spec, specs.TensorSpec((), np.int32))

    def call(self, observation, network_state):
        count = network_state + 1
        return jnp.broadcast_to(count[:, None].astype(jnp.float32), observation.shape), count


def steps(observation, step_type=StepType.MID):
    observation = jax.tree.map(np.asarray, observation)
    rows = len(jax.tree.leaves(observation)[0])
    return TimeStep(
        step_type=np.broadcast_to(np.asarray(step_type, np.int32), rows).copy(),
        reward=np.zeros(rows, np.float32),
        discount=np.ones(rows, np.float32),
        observation=observation,
    )


ROWS = np.array([[0.5, -0.5], [-3.0, 9.0], [1.0, 3.0]], np.float32)
WIDE = specs.BoundedTensorSpec((2,), np.float32, -1e6, 1e6)


def split(observation):
    return observation["place"], observation["mask"]


def masked(action_spec, network, **options):
    return ActorPolicy(
        trajectories.time_step_spec(MASKED),
        action_spec,
        network,
        observation_and_action_constraint_splitter=split,
        **options,
    )


def categorical(rows):
    return Categorical(jnp.tile(LOGITS, (rows, 1)), minimum=-1)


def test_actions_are_clipped_to_their_bounds_and_distributions_are_not():
    policy = ActorPolicy(STEP, STEER, Echo(OBSERVATION))
    np.testing.assert_array_equal(policy.action(steps(ROWS)).action, np.clip(ROWS, [-1, -1], [1, 3]))
    choice = policy.distribution(steps(ROWS)).action
    assert isinstance(choice, Deterministic)
    np.testing.assert_array_equal(choice.mode(), ROWS)
    free = ActorPolicy(STEP, STEER, Echo(OBSERVATION), clip=False)
    np.testing.assert_array_equal(free.action(steps(ROWS)).action, ROWS)
    unbounded = ActorPolicy(STEP, specs.TensorSpec((2,), np.float32), Echo(OBSERVATION))
    np.testing.assert_array_equal(unbounded.action(steps(ROWS)).action, ROWS)


def test_samples_have_the_moments_of_their_distribution():
    """20000 rows: the mean to 4 deviations of 2 / sqrt(20000) = .014, the deviation to 4 of .01."""
    rows = np.tile(np.array([[3.0, -5.0]], np.float32), (20_000, 1))
    policy = ActorPolicy(STEP, STEER, Spread(OBSERVATION), clip=False)
    action = policy.action(steps(rows), seed=0).action
    np.testing.assert_allclose(action.mean(0), [3.0, -5.0], atol=0.06)
    np.testing.assert_allclose(action.std(0), 2.0, atol=0.04)
    assert abs(np.corrcoef(action.T)[0, 1]) < 0.03
    clipped = ActorPolicy(STEP, STEER, Spread(OBSERVATION)).action(steps(rows), seed=0).action
    np.testing.assert_array_equal(clipped, np.clip(action, [-1, -1], [1, 3]))


@pytest.mark.parametrize("clip", [True, False])
def test_log_probability_is_that_of_the_sample_before_clipping(clip):
    """The same seed without clipping shows the sample; its density is -(x - m)**2 / 8 - log 2 - log(2 pi) / 2 each."""
    policy = ActorPolicy(STEP, STEER, Spread(OBSERVATION), clip=clip, emit_log_probability=True)
    step = policy.action(steps(ROWS), seed=1)
    sample = ActorPolicy(STEP, STEER, Spread(OBSERVATION), clip=False).action(steps(ROWS), seed=1).action
    want = (-((sample - ROWS) ** 2) / 8 - np.log(2) - np.log(2 * np.pi) / 2).sum(-1)
    assert isinstance(step.info, PolicyInfo)
    np.testing.assert_allclose(step.info.log_probability, want, rtol=1e-5)
    assert np.array_equal(step.action, sample) is not clip


def test_log_probability_of_a_nest_is_the_sum_over_its_leaves():
    nest = {"gear": GEAR, "steer": WIDE}

    def make(rows):
        return {"gear": categorical(rows), "steer": Normal(jnp.zeros((rows, 2)), 0.5, event_ndims=1)}

    policy = ActorPolicy(STEP, nest, Constant(OBSERVATION, make), emit_log_probability=True)
    step = policy.action(steps(ROWS), seed=0)
    log_probs = LOGITS - np.log(np.exp(LOGITS).sum())
    steer = step.action["steer"].astype(float)
    want = log_probs[step.action["gear"] + 1] - (2 * steer**2 + np.log(0.5) + np.log(2 * np.pi) / 2).sum(-1)
    np.testing.assert_allclose(step.info.log_probability, want, rtol=1e-5)
    specs.check(step.action, nest, (3,))
    choice = policy.distribution(steps(ROWS)).action
    assert all(is_distribution(choice[key]) for key in nest)


def test_densities_above_one_fit_the_info_spec():
    def make(rows):
        return Normal(jnp.zeros((rows, 2)), 1e-3, event_ndims=1)

    policy = ActorPolicy(STEP, STEER, Constant(OBSERVATION, make), emit_log_probability=True)
    step = policy.action(steps(ROWS), seed=0)
    assert step.info.log_probability.min() > 0.0
    specs.check(step.info, policy.info_spec, (3,))
    discrete = ActorPolicy(STEP, GEAR, Constant(OBSERVATION, categorical), emit_log_probability=True)
    assert discrete.info_spec.log_probability.maximum == 0.0


def test_categorical_actions_start_at_the_minimum():
    policy = ActorPolicy(STEP, GEAR, Constant(OBSERVATION, categorical))
    rows = steps(np.zeros((20_000, 2), np.float32))
    action = policy.action(rows, seed=0).action
    probs = np.exp(LOGITS) / np.exp(LOGITS).sum()
    np.testing.assert_allclose(np.bincount(action + 1) / 20_000, probs, atol=0.015)
    np.testing.assert_array_equal(GreedyPolicy(policy).action(steps(ROWS)).action, [0, 0, 0])  # index 1
    explore = EpsilonGreedyPolicy(policy, 0.4).distribution(steps(ROWS)).action.probs
    np.testing.assert_allclose(explore, [[0.1, 0.7, 0.1, 0.1]] * 3, rtol=1e-6)


def test_a_mask_reaches_the_categorical():
    network = Constant(OBSERVATION, categorical)
    policy = masked(GEAR, network, emit_log_probability=True)
    mask = np.array([[1, 0, 1, 1], [0, 0, 0, 1], [1, 1, 1, 1]], np.int32)
    step_of = steps({"place": ROWS, "mask": mask})
    probs = np.where(mask, np.exp(LOGITS), 0)
    probs /= probs.sum(-1, keepdims=True)
    np.testing.assert_allclose(policy.distribution(step_of).action.probs, probs, rtol=1e-6)
    np.testing.assert_array_equal(GreedyPolicy(policy).action(step_of).action, [-1, 2, 0])
    step = policy.action(step_of, seed=0)
    np.testing.assert_allclose(step.info.log_probability, np.log(probs[range(3), step.action + 1]), rtol=1e-5)
    with pytest.raises(MaskError):
        policy.action(steps({"place": ROWS, "mask": np.zeros((3, 4), np.int32)}))


def test_a_mask_holds_for_every_element_of_a_shaped_action():
    network = networks.ActorDistributionNetwork(OBSERVATION, LEVERS, fc_layer_params=None)
    policy = masked(LEVERS, network, emit_log_probability=True)
    mask = np.array([[0, 1, 0, 1], [0, 0, 1, 0], [1, 1, 1, 1]], np.int32)
    step = policy.action(steps({"place": ROWS, "mask": mask}), seed=3)
    assert set(step.action[0]) <= {2, 4}
    assert set(step.action[1]) == {3}
    logits = np.asarray(network(ROWS)[0].distribution.logits, float)
    probs = np.exp(logits) * mask[:, None, :]
    probs /= probs.sum(-1, keepdims=True)
    chosen = np.take_along_axis(probs, step.action[..., None] - 1, -1)[..., 0]
    np.testing.assert_allclose(step.info.log_probability, np.log(chosen).sum(-1), rtol=1e-4, atol=1e-6)


def test_memory_starts_anew_at_first_row_by_row():
    policy = ActorPolicy(STEP, WIDE, Counter(OBSERVATION))
    assert policy.policy_state_spec == specs.TensorSpec((), np.int32)
    state = np.array([4, 4, 4], np.int32)
    step = policy.action(steps(ROWS, [StepType.MID, StepType.FIRST, StepType.LAST]), state)
    np.testing.assert_array_equal(step.action[:, 0], [5, 1, 5])
    np.testing.assert_array_equal(step.state, [5, 1, 5])
    np.testing.assert_array_equal(policy.distribution(steps(ROWS, StepType.FIRST), state).state, [1, 1, 1])
    np.testing.assert_array_equal(policy.get_initial_state(2), [0, 0])
    single = policy.action(jax.tree.map(lambda x: x[0], steps(ROWS)), policy.get_initial_state())
    np.testing.assert_array_equal(single.action, [1, 1])


def test_training_mode_is_the_networks():
    training = ActorPolicy(STEP, WIDE, Echo(OBSERVATION), training=True)
    np.testing.assert_array_equal(training.action(steps(ROWS)).action, 2 * ROWS)

    class Noisy(nnx.Module):
        def __init__(self, rngs):
            self.layer = nnx.Linear(2, 2, rngs=rngs)
            self.norm = nnx.BatchNorm(2, rngs=rngs)

        def __call__(self, x):
            return self.norm(self.layer(x))

    network = Network.from_factory(Noisy, OBSERVATION)
    before = [np.asarray(variable.get_value()) for variable in network.variables]
    action = ActorPolicy(STEP, WIDE, network, training=True).action(steps(ROWS)).action
    np.testing.assert_allclose(action.mean(0), 0.0, atol=1e-5)  # normalized by the batch's own statistics
    assert np.abs(ActorPolicy(STEP, WIDE, network).action(steps(ROWS)).action.mean(0)).max() > 0.1
    for variable, value in zip(network.variables, before, strict=True):
        np.testing.assert_array_equal(variable.get_value(), value)


def test_a_normalizer_stands_before_the_network_and_its_statistics_are_weights():
    normalizer = networks.StreamingNormalizer(OBSERVATION)
    policy = ActorPolicy(STEP, WIDE, Echo(OBSERVATION), observation_normalizer=normalizer)
    assert policy.observation_normalizer is normalizer
    assert ActorPolicy(STEP, WIDE, Echo(OBSERVATION)).observation_normalizer is None
    batch = np.array([[1.0, 10.0], [3.0, 30.0]], np.float32)
    normalizer.update(batch)
    want = np.clip((ROWS - [2.0, 20.0]) / np.sqrt(np.array([1.0, 100.0]) + 1e-3), -5, 5)
    np.testing.assert_allclose(policy.action(steps(ROWS)).action, want, rtol=1e-5)
    assert len(policy.variables()) == len(normalizer.variables)
    assert policy.trainable_variables == []
    other = ActorPolicy(STEP, WIDE, Echo(OBSERVATION), observation_normalizer=networks.StreamingNormalizer(OBSERVATION))
    other.update(policy)
    np.testing.assert_allclose(other.action(steps(ROWS)).action, want, rtol=1e-5)
    bound = policy.bind()
    np.testing.assert_allclose(bound(ROWS), want, rtol=1e-5)


def test_normalized_integers_reach_the_network_as_floats():
    spec = specs.BoundedTensorSpec((2,), np.uint8, 0, 255)
    normalizer = networks.StreamingNormalizer(spec)
    normalizer.update(np.array([[0, 100], [200, 200]], np.uint8))
    step_spec = trajectories.time_step_spec(spec)
    policy = ActorPolicy(step_spec, WIDE, Echo(OBSERVATION), observation_normalizer=normalizer)
    action = policy.action(steps(np.array([[200, 150]], np.uint8))).action
    np.testing.assert_allclose(action, [[1.0, 0.0]], atol=1e-5)
    with pytest.raises(SpecError, match="made for other observations"):
        ActorPolicy(step_spec, WIDE, Echo(spec), observation_normalizer=normalizer)
    with pytest.raises(SpecError, match="StreamingNormalizer was made for other observations"):
        ActorPolicy(STEP, WIDE, Echo(OBSERVATION), observation_normalizer=normalizer)


def test_only_what_the_splitter_leaves_is_normalized():
    normalizer = networks.EMANormalizer(OBSERVATION, 1.0)
    normalizer.update(ROWS)

    class Loud(Constant):
        def call(self, observation):
            logits = jnp.stack([observation[:, 0], observation[:, 1], -observation[:, 0], -observation[:, 1]], -1)
            return Categorical(logits, minimum=-1), ()

    policy = masked(GEAR, Loud(OBSERVATION, None), observation_normalizer=normalizer)
    choice = policy.distribution(steps({"place": ROWS, "mask": np.ones((3, 4), np.int32)})).action
    np.testing.assert_allclose(choice.logits[:, :2], normalizer.normalize(ROWS), rtol=1e-6)


def test_info_is_what_a_subclass_reports():
    class Reporting(ActorPolicy):
        def _distribution(self, weights, time_step, policy_state):
            choice = super()._distribution(weights, time_step, policy_state)
            return choice._replace(info={"speed": time_step.observation[:, 0]})

    info = {"speed": specs.TensorSpec((), np.float32)}
    policy = Reporting(STEP, WIDE, Spread(OBSERVATION), info, emit_log_probability=True)
    assert set(policy.info_spec) == {"speed", "log_probability"}
    assert policy.emit_log_probability
    found = policy.action(steps(ROWS), seed=0).info
    np.testing.assert_array_equal(found["speed"], ROWS[:, 0])
    assert found["log_probability"].shape == (3,)
    silent = ActorPolicy(STEP, WIDE, Spread(OBSERVATION), info)
    with pytest.raises(SpecTypeError, match="does not report what its info_spec says"):
        silent.action(steps(ROWS))


def test_documented_properties():
    policy = ActorPolicy(STEP, STEER, Counter(OBSERVATION), name="Mine")
    assert policy.name == "Mine"
    assert ActorPolicy(STEP, STEER, Echo(OBSERVATION)).name == "ActorPolicy"
    assert policy.time_step_spec == STEP
    assert policy.action_spec == STEER
    assert policy.info_spec == ()
    assert policy.policy_step_spec == PolicyStep(STEER, specs.TensorSpec((), np.int32), ())
    assert policy.trajectory_spec == policy.collect_data_spec == trajectories.trajectory_spec(STEP, STEER, ())
    assert policy.observation_and_action_constraint_splitter is None
    assert not policy.emit_log_probability
    dense = networks.ActorNetwork(OBSERVATION, STEER, fc_layer_params=(3,))
    learned = ActorPolicy(STEP, STEER, dense)
    assert learned.variables() == dense.variables
    assert learned.trainable_variables == dense.trainable_variables


def test_update_moves_towards_another_policy():
    mine, theirs = (networks.ActorNetwork(OBSERVATION, STEER, fc_layer_params=(3,), rngs=seed) for seed in (0, 1))
    before, source = ([np.asarray(v.get_value()) for v in n.variables] for n in (mine, theirs))
    ActorPolicy(STEP, STEER, mine).update(ActorPolicy(STEP, STEER, theirs), tau=0.25)
    for variable, old, new in zip(mine.variables, before, source, strict=True):
        np.testing.assert_allclose(variable.get_value(), 0.75 * old + 0.25 * new, rtol=1e-6)


def test_narrow_floats_are_emitted_in_the_dtype_of_the_spec():
    """Compiled loops record what `act` gives: it has to fit the spec there too."""
    half = specs.BoundedTensorSpec((2,), np.float16, -1.0, 1.0)
    for network in (Spread(OBSERVATION), Echo(OBSERVATION)):
        policy = ActorPolicy(STEP, half, network)
        time_step = jax.tree.map(jnp.asarray, steps(ROWS))
        assert policy.action(time_step, seed=0).action.dtype == np.float16
        assert policy.action(steps(ROWS), seed=0).action.dtype == np.float16


def test_nan_is_reported_with_its_row():
    rows = ROWS.copy()
    rows[1, 1] = np.nan
    with pytest.raises(NonFiniteError, match="row 1"):
        ActorPolicy(STEP, STEER, Echo(OBSERVATION)).action(steps(rows))


def test_distributions_are_told_from_arrays():
    assert is_distribution(categorical(1))
    assert is_distribution(Deterministic(jnp.zeros(3)))
    assert not is_distribution(jnp.zeros(3))
    assert not is_distribution(np.float32(1))


@pytest.mark.parametrize("network", [None, lambda x: x, nnx.Linear(2, 2, rngs=nnx.Rngs(0))])
def test_what_is_not_a_network_is_refused(network):
    with pytest.raises(ConfigError, match="actor_network is not a Network"):
        ActorPolicy(STEP, STEER, network)
    if network is not None:
        with pytest.raises(ConfigError, match="observation_normalizer is not a Network"):
            ActorPolicy(STEP, STEER, Echo(OBSERVATION), observation_normalizer=network)


@pytest.mark.parametrize(
    ("action_spec", "network"),
    [
        (STEER, Echo(OBSERVATION)),
        ({"a": GEAR, "b": GEAR}, networks.ActorDistributionNetwork(OBSERVATION, {"a": GEAR, "b": GEAR})),
    ],
    ids=["float", "nest"],
)
def test_a_mask_needs_one_discrete_action(action_spec, network):
    with pytest.raises(NotImplementedError, match="one discrete action"):
        masked(action_spec, network)


def test_a_mask_needs_a_categorical():
    network = Constant(OBSERVATION, lambda rows: Deterministic(jnp.zeros(rows, jnp.int32)))
    with pytest.raises(SpecError, match=r"needs a network that returns a Categorical(?s:.*)got  Deterministic"):
        masked(GEAR, network).action(steps({"place": ROWS, "mask": np.ones((3, 4), np.int32)}))


@pytest.mark.parametrize(
    ("action_spec", "message"),
    [
        (specs.BoundedTensorSpec((3,), np.float32, -1, 1), r"expected  float32 \(3,\)(?s:.*)got  float32 \(2,\)"),
        (specs.BoundedTensorSpec((2,), np.int32, 0, 1), r"expected  int32 \(2,\)"),
        (specs.BoundedTensorSpec((), np.float32, -1, 1), r"got  float32 \(2,\)"),
        ({"a": STEER}, "the output of"),
        ((STEER, STEER), "the output of"),
    ],
)
@pytest.mark.parametrize("kind", [Echo, Spread])
def test_an_output_that_is_not_the_action_is_refused_at_construction(kind, action_spec, message):
    with pytest.raises(ValueError, match=message):
        ActorPolicy(STEP, action_spec, kind(OBSERVATION))


def test_the_leaf_that_does_not_fit_is_named():
    network = Constant(OBSERVATION, lambda rows: {"gear": categorical(rows), "steer": jnp.zeros((rows, 1))})
    with pytest.raises(SpecError, match=r"does not return actions at \['steer'\]"):
        ActorPolicy(STEP, {"gear": GEAR, "steer": STEER}, network)


def test_observations_of_another_kind_are_refused():
    with pytest.raises(SpecError, match="made for other observations"):
        ActorPolicy(STEP, STEER, Echo(specs.TensorSpec((3,), np.float32)))
    with pytest.raises(SpecTypeError, match="needs a TimeStep of specs"):
        ActorPolicy((1, 2), STEER, Echo(OBSERVATION))
    with pytest.raises(SpecError):
        ActorPolicy(STEP, STEER, Echo(OBSERVATION)).action(steps(ROWS[:, :1]))
