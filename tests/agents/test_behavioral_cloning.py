"""BehavioralCloningAgent: its losses and gradients in NumPy, what it clones, and what it refuses."""

import inspect

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from jaxdaw import networks, specs, trajectories
from jaxdaw.agents import BehavioralCloningAgent, StepCounter, nested_loss
from jaxdaw.distributions import Normal
from jaxdaw.errors import ConfigError, NonFiniteError, SpecError, SpecTypeError
from jaxdaw.networks import Network
from jaxdaw.policies import ActorPolicy, EpsilonGreedyPolicy, GreedyPolicy, QPolicy
from jaxdaw.trajectories import StepType, Trajectory, Transition

from .batches import assert_same, weights_of

OBSERVATION = specs.TensorSpec((3,), np.float32)
STEP = trajectories.time_step_spec(OBSERVATION)
GEAR = specs.BoundedTensorSpec((), np.int32, 0, 3)
SHIFTED = specs.BoundedTensorSpec((), np.int32, 2, 5)
LEVERS = specs.BoundedTensorSpec((2,), np.int32, 0, 3)
GAS = specs.BoundedTensorSpec((), np.float32, -10.0, 10.0)
STEER = specs.BoundedTensorSpec((2,), np.float32, -10.0, 10.0)
MIXED = {"gear": SHIFTED, "steer": STEER}


class Linear(Network):
    """`x @ kernel + bias`, reshaped to the action; a normal of a trainable spread around it if asked."""

    def __init__(self, input_tensor_spec, shape, spread=None, *, rngs=0):
        super().__init__(input_tensor_spec)
        self.shape, self.spread = shape, spread
        self.layer = nnx.Linear(3, int(np.prod(shape)), rngs=networks.as_rngs(rngs))
        if spread is not None:
            self.log_scale = nnx.Param(jnp.full(shape, np.log(spread), jnp.float32))

    def call(self, observation):
        value = self.layer(observation).reshape(*observation.shape[:-1], *self.shape)
        if self.spread is None:
            return value, ()
        return Normal(value, jnp.exp(self.log_scale[...]), event_ndims=len(self.shape)), ()


def make(action_spec=GEAR, network=None, optimizer=None, **options):
    if network is None:
        network = Linear(OBSERVATION, (4,) if specs.is_discrete(action_spec) else action_spec.shape)
    optimizer = optax.sgd(0.1) if optimizer is None else optimizer
    return BehavioralCloningAgent(STEP, action_spec, network, optimizer, **options)


def batch(action_spec=GEAR, outer=(6,), seed=0, **changes):
    random = np.random.default_rng(seed)

    def draw(spec):
        if specs.is_discrete(spec):
            return random.integers(spec.minimum, spec.maximum + 1, (*outer, *spec.shape)).astype(spec.dtype)
        return random.normal(size=(*outer, *spec.shape)).astype(spec.dtype)

    made = Trajectory(
        step_type=np.ones(outer, np.int32),
        observation=random.normal(size=(*outer, 3)).astype(np.float32),
        action=specs.map_structure(draw, action_spec),
        policy_info=(),
        next_step_type=np.ones(outer, np.int32),
        reward=np.zeros(outer, np.float32),
        discount=np.ones(outer, np.float32),
    )
    return made._replace(**changes)


def arrays_of(agent):
    return [np.asarray(variable.get_value(), float) for variable in agent.cloning_network.variables]


def softmax_and_losses(agent, frames, minimum=0):
    kernel, bias = sorted(arrays_of(agent), key=np.ndim, reverse=True)
    logits = frames.observation.astype(float) @ kernel + bias
    probs = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    index = frames.action - minimum
    return probs, -np.log(np.take_along_axis(probs, index[..., None], -1))[..., 0], np.eye(4)[index]


def moved(agent, frames, weights=None):
    """The steps that the variables take, kernel first."""
    before = sorted(arrays_of(agent), key=np.ndim, reverse=True)
    info = agent.train(frames, weights)
    after = sorted(arrays_of(agent), key=np.ndim, reverse=True)
    return [b - a for a, b in zip(before, after, strict=True)], info


# The default losses.


@pytest.mark.parametrize(("outer", "spec", "minimum"), [((6,), GEAR, 0), ((3, 4), SHIFTED, 2)], ids=["B", "BT"])
def test_cross_entropy_and_its_gradient(outer, spec, minimum):
    """The gradient of the logits is softmax - onehot."""
    agent, frames = make(spec, num_outer_dims=len(outer)), batch(spec, outer)
    probs, losses, onehot = softmax_and_losses(agent, frames, minimum)
    gradient = np.tensordot(frames.observation, probs - onehot, axes=(range(len(outer)),) * 2) / losses.size
    steps, info = moved(agent, frames)
    np.testing.assert_allclose(info.extra.loss, losses, rtol=1e-5)
    np.testing.assert_allclose(info.loss, losses.mean(), rtol=1e-5)
    np.testing.assert_allclose(steps[0], -0.1 * gradient, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(
        steps[1], -0.1 * (probs - onehot).sum(axis=tuple(range(len(outer)))) / losses.size, atol=1e-6
    )
    assert info.extra.loss.shape == outer


@pytest.mark.parametrize(
    ("outer", "spec"),
    [((6,), GAS), ((6,), specs.BoundedTensorSpec((2, 2), np.float32, -1, 1)), ((3, 4), STEER)],
    ids=["B", "B2x2", "BT2"],
)
def test_squared_error_and_its_gradient(outer, spec):
    agent, frames = make(spec, num_outer_dims=len(outer)), batch(spec, outer)
    kernel, bias = sorted(arrays_of(agent), key=np.ndim, reverse=True)
    error = (frames.observation.astype(float) @ kernel + bias) - frames.action.reshape(*outer, -1)
    steps, info = moved(agent, frames)
    losses = (error**2).mean(-1)
    np.testing.assert_allclose(info.extra.loss, losses, rtol=1e-5)
    np.testing.assert_allclose(info.loss, losses.mean(), rtol=1e-5)
    gradient = np.tensordot(frames.observation, 2 * error, axes=(range(len(outer)),) * 2) / error.size
    np.testing.assert_allclose(steps[0], -0.1 * gradient, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("weights", "per_frame"),
    [
        (np.float32(0.5), np.full((3, 2), 0.5)),
        (np.array([0.0, 2.0, 1.0], np.float32), np.array([[0, 0], [2, 2], [1, 1]])),
        (np.arange(6, dtype=np.float32).reshape(3, 2), np.arange(6).reshape(3, 2)),
    ],
    ids=["[]", "[B]", "[B, T]"],
)
def test_weights_multiply_losses_of_sequences(weights, per_frame):
    agent, frames = make(num_outer_dims=2), batch(outer=(3, 2))
    probs, losses, onehot = softmax_and_losses(agent, frames)
    np.testing.assert_allclose(agent.loss(frames, weights).loss, (per_frame * losses).mean(), rtol=1e-5)
    np.testing.assert_allclose(agent.loss(frames, weights).extra.loss, losses, rtol=1e-5)  # unweighted
    steps, _ = moved(agent, frames, weights)
    want = np.tensordot(frames.observation, per_frame[..., None] * (probs - onehot), axes=((0, 1), (0, 1))) / 6
    np.testing.assert_allclose(steps[0], -0.1 * want, rtol=1e-4, atol=1e-6)


def test_weights_of_scalar_floats_select_rows():
    """(B,) losses times (B,) weights: not a mean over the batch times a mean of weights."""
    agent, frames = make(GAS), batch(GAS)
    losses = np.asarray(agent.loss(frames).extra.loss)
    assert losses.shape == (6,)
    weights = np.array([0, 0, 3, 0, 0, 0], np.float32)
    np.testing.assert_allclose(agent.loss(frames, weights).loss, 3 * losses[2] / 6, rtol=1e-5)


@pytest.mark.parametrize("weights", [np.ones((6, 1)), np.ones(5), np.ones((2, 6)), -np.ones(6), np.full(6, np.nan)])
def test_weights_that_do_not_fit_are_refused(weights):
    agent = make()
    before = weights_of(agent)
    with pytest.raises(SpecError, match="weights must be"):
        agent.train(batch(), weights.astype(np.float32))
    assert_same(weights_of(agent), before)


def test_regularization_is_added_once():
    class Penalized(Network):
        def __init__(self, input_tensor_spec, *, rngs=0):
            super().__init__(input_tensor_spec)
            self.layer = nnx.Linear(3, 2, kernel_metadata={"l2": 0.5}, rngs=networks.as_rngs(rngs))

        def call(self, observation):
            return self.layer(observation), ()

    agent, frames = make(STEER, Penalized(OBSERVATION)), batch(STEER)
    info = agent.loss(frames, np.zeros(6, np.float32))
    kernel = max(arrays_of(agent), key=np.ndim)
    np.testing.assert_allclose(info.loss, 0.5 * (kernel**2).sum(), rtol=1e-5)


def test_gradients_are_clipped_by_their_norm():
    frames = batch(GAS, action=np.full(6, 1000, np.float32))
    steps, _ = moved(make(GAS, optimizer=optax.sgd(1.0), gradient_clipping=0.25), frames)
    for step in steps:
        np.testing.assert_allclose(np.linalg.norm(step), 0.25, rtol=1e-5)


def test_a_transition_is_a_frame():
    agent, frames = make(), batch()
    time_step = trajectories.TimeStep(frames.step_type, frames.reward, frames.discount, frames.observation)
    transition = Transition(time_step, trajectories.PolicyStep(frames.action, (), ()), time_step)
    np.testing.assert_array_equal(agent.loss(transition).extra.loss, agent.loss(frames).extra.loss)


# What stands for a distribution.


def regression(rows=512):
    random = np.random.default_rng(0)
    observation = np.zeros((rows, 3), np.float32)
    action = random.normal([1.0, -2.0], [0.5, 2.0], size=(rows, 2)).astype(np.float32)
    return batch(STEER, (rows,), observation=observation, action=action)


def test_log_likelihood_recovers_mean_and_deviation():
    """One input for all rows: the likeliest normal has the rows' own mean and standard deviation."""
    frames = regression()
    agent = make(STEER, Linear(OBSERVATION, (2,), spread=1.0), optax.adam(0.05), loss="log_likelihood")
    many = jax.tree.map(lambda x: np.broadcast_to(x, (400, *x.shape)), frames)
    agent.train_many(many)
    found = agent.policy.distribution(trajectories.restart(np.zeros((1, 3), np.float32), batch_size=1)).action
    np.testing.assert_allclose(found.mode()[0], frames.action.mean(0), atol=0.01)
    agent_spread = np.exp(np.asarray(agent.cloning_network.log_scale[...]))
    np.testing.assert_allclose(agent_spread, frames.action.std(0), rtol=0.01)


def test_mode_equals_the_squared_error_of_an_array():
    plain, spread = make(STEER), make(STEER, Linear(OBSERVATION, (2,), spread=0.7), loss="mode")
    frames = batch(STEER)
    np.testing.assert_allclose(spread.loss(frames).extra.loss, plain.loss(frames).extra.loss, rtol=1e-5)
    before = np.asarray(spread.cloning_network.log_scale[...])
    steps, _ = moved(plain, frames)
    spread.train(frames)
    np.testing.assert_array_equal(spread.cloning_network.log_scale[...], before)
    kernel = next(v for v in spread.cloning_network.variables if v.get_value().ndim == 2)
    np.testing.assert_allclose(
        np.asarray(kernel.get_value()) - np.asarray(Linear(OBSERVATION, (2,)).layer.kernel[...]), steps[0], atol=1e-6
    )


def test_sample_is_the_default_costs_the_variance_and_is_drawn_anew_at_every_step():
    frames = batch(STEER, (20_000,))
    agent = make(STEER, Linear(OBSERVATION, (2,), 2.0), optax.sgd(0.01))
    error = agent.cloning_network(frames.observation)[0].mode() - frames.action
    first = agent.train(frames).extra.loss
    np.testing.assert_allclose(np.mean(first) - np.mean(np.square(error)), 4.0, rtol=0.05)
    assert (np.asarray(agent.cloning_network.log_scale[...]) < np.log(2.0)).all()
    # z**2 of two steps with noise of their own; with the same noise the correlation would be nearly 1.
    assert np.corrcoef(first, agent.train(frames).extra.loss)[0, 1] < 0.5


def test_each_seed_of_a_population_has_noise_of_its_own():
    agent, frames = make(STEER, Linear(OBSERVATION, (2,), 2.0)), batch(STEER)
    states = jax.vmap(agent.init)(jax.random.split(jax.random.key(0), 3))
    alike = states._replace(params=jax.tree.map(lambda x: jnp.broadcast_to(x[0], x.shape), states.params))
    update = jax.jit(jax.vmap(agent.update, in_axes=(0, None)))
    later, info = update(alike, frames)
    assert len(np.unique(info.loss)) == 3  # of the same weights
    np.testing.assert_array_equal(update(alike, frames)[1].loss, info.loss)
    assert not np.isin(update(later, frames)[1].loss, info.loss).any()
    of_one_key = alike._replace(key=jnp.broadcast_to(alike.key[0], alike.key.shape))
    assert len(np.unique(update(of_one_key, frames)[1].loss)) == 1


# loss_fn.


def test_loss_fn_of_output_and_action():
    def huber(output, action):
        error = jnp.abs(output - action)
        return jnp.where(error <= 1, error**2 / 2, error - 0.5)  # [B, 2]: further axes are averaged

    agent, frames = make(STEER, loss_fn=huber), batch(STEER)
    kernel, bias = sorted(arrays_of(agent), key=np.ndim, reverse=True)
    error = np.abs(frames.observation @ kernel + bias - frames.action)
    want = np.where(error <= 1, error**2 / 2, error - 0.5).mean(-1)
    np.testing.assert_allclose(agent.loss(frames).extra.loss, want, rtol=1e-5)


def test_loss_fn_is_given_the_action_spec_if_it_names_it():
    seen = []

    def loss(logits, action, action_spec):
        seen.append(action_spec)
        return jnp.zeros(action.shape)

    make(SHIFTED, loss_fn=loss).loss(batch(SHIFTED))
    assert seen == [SHIFTED]


@pytest.mark.parametrize("names", ["experience, training", "experience, training=False", "frames, training"])
def test_loss_fn_that_runs_the_network_itself_trains_the_same(names):
    network = Linear(OBSERVATION, (2,))
    frames = batch(STEER)

    def squared(experience):
        output, _ = network(experience.observation, experience.step_type)
        return jnp.mean((output - experience.action) ** 2, axis=-1)

    forms = {
        "experience, training": lambda experience, training: squared(experience),
        "experience, training=False": lambda experience, training=False: squared(experience),
        "frames, training": lambda frames, training: squared(frames),
    }
    agent, plain = make(STEER, network, loss_fn=forms[names]), make(STEER)
    steps, info = moved(agent, frames)
    wanted, plain_info = moved(plain, frames)
    np.testing.assert_allclose(info.extra.loss, plain_info.extra.loss, rtol=1e-6)
    for step, want in zip(steps, wanted, strict=True):
        np.testing.assert_allclose(step, want, atol=1e-7)
    np.testing.assert_allclose(agent.loss(frames).loss, plain.loss(frames).loss, rtol=1e-5)  # outside tracing too


class Noisy(nnx.Module):
    def __init__(self, rngs):
        self.layer = nnx.Linear(3, 2, rngs=rngs)
        self.norm = nnx.BatchNorm(2, momentum=0.9, rngs=rngs)
        self.dropout = nnx.Dropout(0.5, rngs=rngs)

    def __call__(self, x):
        return self.dropout(self.norm(self.layer(x)))


@pytest.mark.parametrize("own", [False, True], ids=["output", "experience"])
def test_dropout_and_batch_norm_move_in_training_only(own):
    """The moving mean after one step is 0.9 * 0 + 0.1 * the mean of the layer's outputs."""
    network = Network.from_factory(Noisy, OBSERVATION)
    seen = []

    def loss(experience, training):
        seen.append(training)
        output, _ = network(experience.observation, experience.step_type, training=training)
        return jnp.mean((output - experience.action) ** 2, axis=-1)

    agent, frames = make(STEER, network, optax.sgd(0.0), loss_fn=loss if own else None), batch(STEER)
    (kernel,) = (v.get_value() for name, v in network.named_variables() if name.endswith("kernel"))
    kernel, before = np.asarray(kernel), jax.tree.map(np.asarray, network.get_weights().params)
    still = [float(agent.loss(frames).loss) for _ in range(2)]
    assert still[0] == still[1]
    assert_same(network.get_weights().params, before)
    noisy = [float(agent.train(frames).loss) for _ in range(2)]
    assert noisy[0] != noisy[1]
    assert agent.loss(frames, training=True).loss != still[0]
    output = frames.observation @ kernel
    mean = next(np.asarray(v.get_value()) for name, v in network.named_variables() if name.endswith("mean"))
    np.testing.assert_allclose(mean, (1 - 0.9**2) * output.mean(0), rtol=1e-4)  # two steps towards one mean
    assert not own or set(seen) == {True, False}


def test_nested_loss_clones_a_nest():
    network = networks.ActorDistributionNetwork(OBSERVATION, MIXED, fc_layer_params=None)
    agent, frames = make(MIXED, network, loss_fn=nested_loss, loss="mode"), batch(MIXED)
    output = network(frames.observation)[0]
    logits = np.asarray(output["gear"].logits, float)
    gear = np.log(np.exp(logits).sum(-1)) - logits[range(6), frames.action["gear"] - 2]
    steer = ((np.asarray(output["steer"].loc) - frames.action["steer"]) ** 2).mean(-1)
    np.testing.assert_allclose(agent.loss(frames).extra.loss, gear + steer, rtol=1e-5)
    action = agent.collect_policy.action(trajectories.restart(frames.observation, batch_size=6), seed=0).action
    specs.check(action, MIXED, (6,))


@pytest.mark.parametrize(
    ("loss", "outer"),
    [
        (lambda output, action: jnp.mean((output - action) ** 2), (6,)),
        (lambda output, action: jnp.zeros(5), (6,)),
        (lambda output, action: jnp.zeros((2, 3)), (3, 2)),
    ],
)
def test_a_loss_that_is_not_one_for_each_example_is_refused(loss, outer):
    agent = make(STEER, loss_fn=loss, num_outer_dims=len(outer))
    with pytest.raises(SpecError, match="a loss for each example"):
        agent.train(batch(STEER, outer))


def test_a_loss_for_each_sequence_takes_weights_for_each_sequence():
    def of_sequences(output, action):
        return jnp.sum((output - action) ** 2, axis=(1, 2))

    agent, frames = make(STEER, loss_fn=of_sequences, num_outer_dims=2), batch(STEER, (3, 3))
    losses = np.asarray(agent.loss(frames).extra.loss)
    assert losses.shape == (3,)
    weights = np.array([1, 0, 2], np.float32)
    np.testing.assert_allclose(agent.loss(frames, weights).loss, (weights * losses).mean(), rtol=1e-5)
    with pytest.raises(SpecError, match="weights for each frame"):
        agent.train(frames, np.ones((3, 3), np.float32))
    ignoring = make(STEER, loss_fn=of_sequences, num_outer_dims=2, ignore_boundaries=True)
    with pytest.raises(SpecError, match="ignore_boundaries"):
        ignoring.train(frames)


# Sequences.


def recurrent(action_spec=SHIFTED, **options):
    network = networks.ActorDistributionRnnNetwork(
        OBSERVATION, action_spec, input_fc_layer_params=None, lstm_size=(4,), output_fc_layer_params=None
    )
    return make(action_spec, network, optax.sgd(0.1), num_outer_dims=2, **options)


def test_sequences_of_any_length_train_and_padding_with_weights_of_zero_gives_the_same_direction():
    """Four frames of real data in each row, then two of rubbish: the mean is over 6 frames instead of 4."""
    short = batch(SHIFTED, (3, 4))
    short.step_type[:, 0] = StepType.FIRST

    def pad(x, value):
        return np.concatenate([x, np.full((3, 2, *x.shape[2:]), value, x.dtype)], axis=1)

    padded = short._replace(
        step_type=pad(short.step_type, StepType.LAST),
        next_step_type=pad(short.next_step_type, StepType.FIRST),
        observation=pad(short.observation, 0.0),
        action=pad(short.action, 0),  # outside 2..5
        reward=pad(short.reward, 0.0),
        discount=pad(short.discount, 1.0),
    )
    weights = np.array([[1, 1, 1, 1, 0, 0]] * 3, np.float32)
    agent = recurrent()
    assert agent.train_sequence_length is None
    first, before = jax.tree.map(jnp.copy, agent.get_state()), arrays_of(agent)
    info = agent.train(short)
    assert info.extra.loss.shape == (3, 4)
    after = arrays_of(agent)
    agent.set_state(first)
    np.testing.assert_allclose(agent.train(padded, weights).loss, info.loss * 4 / 6, rtol=1e-5)
    for start, plain, masked in zip(before, after, arrays_of(agent), strict=True):
        np.testing.assert_allclose((masked - start) * 6 / 4, plain - start, rtol=1e-3, atol=1e-7)


def test_sequences_start_from_zeros():
    agent = recurrent()
    network, weights = agent.cloning_network, agent.cloning_network.get_weights()
    frame = jax.jit(lambda *inputs: network.apply(weights, *inputs)[:2])
    frames = batch(SHIFTED, (2, 3))
    state, losses = network.get_initial_state(2), []
    for t in range(3):
        output, state = frame(frames.observation[:, t], frames.step_type[:, t], state)
        losses.append(-output.log_prob(jnp.asarray(frames.action[:, t])))
    np.testing.assert_allclose(agent.loss(frames).extra.loss, np.stack(losses, 1), rtol=1e-4)


@pytest.mark.parametrize("outer", [(6,), (3, 4)], ids=["B", "BT"])
def test_boundary_frames_count_unless_ignored(outer):
    frames = batch(outer=outer)
    frames.step_type[1] = StepType.LAST
    counting, ignoring = (make(num_outer_dims=len(outer), ignore_boundaries=value) for value in (False, True))
    losses = np.asarray(counting.loss(frames).extra.loss)
    assert (losses[1] > 0).all()
    kept = np.where(frames.step_type == StepType.LAST, 0, losses)
    np.testing.assert_allclose(ignoring.loss(frames).extra.loss, kept, rtol=1e-5)
    np.testing.assert_allclose(ignoring.loss(frames).loss, kept.mean(), rtol=1e-5)


# Policies.


def test_policies_of_logits():
    agent = make(SHIFTED, epsilon_greedy=0.4)
    observation = batch().observation
    step = trajectories.restart(observation, batch_size=6)
    kernel, bias = sorted(arrays_of(agent), key=np.ndim, reverse=True)
    best = (observation @ kernel + bias).argmax(-1)
    assert isinstance(agent.policy, GreedyPolicy)
    assert isinstance(agent.policy.wrapped_policy, QPolicy)
    np.testing.assert_array_equal(agent.policy.action(step).action, best + 2)
    probs = agent.collect_policy.distribution(step).action.probs
    np.testing.assert_allclose(probs, 0.1 + 0.6 * np.eye(4)[best], rtol=1e-5)
    state = agent.get_state()
    assert float(agent.collect_policy_weights(state, 0)[1]) == np.float32(0.4)
    assert agent.policy_weights(state).params.keys() == state.params["cloning_network"].keys()


def test_policies_of_distributions_over_floats_sample_when_collecting():
    agent = make(STEER, Linear(OBSERVATION, (2,), spread=0.5))
    step = trajectories.restart(batch().observation, batch_size=6)
    assert isinstance(agent.collect_policy, ActorPolicy)
    assert not np.array_equal(*(agent.collect_policy.action(step, seed=seed).action for seed in (0, 1)))
    np.testing.assert_array_equal(*(agent.policy.action(step, seed=seed).action for seed in (0, 1)))
    state = agent.get_state()
    assert agent.collect_policy_weights(state, 0) == agent.policy_weights(state)


def test_policies_of_a_categorical_network_explore_by_epsilon():
    network = networks.ActorDistributionNetwork(OBSERVATION, SHIFTED, fc_layer_params=None)
    agent = make(SHIFTED, network, epsilon_greedy=1.0)
    step = trajectories.restart(batch().observation, batch_size=6)
    assert isinstance(agent.collect_policy, EpsilonGreedyPolicy)
    np.testing.assert_allclose(agent.collect_policy.distribution(step).action.probs, np.full((6, 4), 0.25))
    assert set(agent.policy.action(step).action) <= {2, 3, 4, 5}


def test_a_subclass_may_give_other_policies():
    class Sampling(BehavioralCloningAgent):
        def _get_policies(self, time_step_spec, action_spec, cloning_network, epsilon_greedy):
            policy = QPolicy(time_step_spec, action_spec, cloning_network, emit_log_probability=True)
            return policy, policy

    agent = Sampling(STEP, GEAR, Linear(OBSERVATION, (4,)), optax.sgd(0.1))
    assert agent.collect_policy is agent.policy
    assert agent.collect_data_spec.policy_info.log_probability.shape == ()


def test_it_learns_to_do_what_was_recorded():
    """A linear rule, which cross-entropy finds up to cases on the border; by chance 1 in 4 would be right."""
    frames = batch(SHIFTED, (256,))
    rule = np.random.default_rng(3).normal(size=(3, 4))
    best = (frames.observation @ rule).argmax(-1)
    frames = frames._replace(action=(best + 2).astype(np.int32))
    agent = make(SHIFTED, optimizer=optax.adam(0.1))
    agent.train_many(jax.tree.map(lambda x: np.broadcast_to(x, (300, *x.shape)), frames))
    step = trajectories.restart(frames.observation, batch_size=256)
    assert (agent.policy.action(step).action == frames.action).mean() > 0.93


def test_documented_properties():
    counter = StepCounter(7)
    network = Linear(OBSERVATION, (4,))
    agent = make(network=network, train_step_counter=counter, debug_summaries=True, summarize_grads_and_vars=True)
    assert agent.cloning_network is network
    assert agent.name == "BehavioralCloningAgent"
    assert make(name="mine").name == "mine"
    assert agent.action_spec == GEAR
    assert agent.time_step_spec == STEP
    assert agent.collect_data_spec == agent.training_data_spec == trajectories.trajectory_spec(STEP, GEAR, ())
    assert agent.train_sequence_length is None
    assert (agent.num_outer_dims, make(num_outer_dims=2).num_outer_dims) == (1, 2)
    assert agent.train_step_counter is counter
    assert (agent.debug_summaries, agent.summarize_grads_and_vars, agent.summaries_enabled) == (True, True, True)
    assert agent.variables == agent.trainable_variables == network.variables
    agent.initialize()
    agent.train(batch())
    assert int(counter) == 8
    assert "Losses/total_loss" in agent.summaries
    assert any(tag.startswith("loss/cloning_loss") for tag in agent.summaries)
    assert make(debug_summaries=True, enable_summaries=False).debug_summaries is False
    assert agent.preprocess_sequence(1) == 1
    assert agent.post_process_policy() is agent.policy
    order = list(inspect.signature(BehavioralCloningAgent).parameters)
    assert order[:12] == [
        "time_step_spec", "action_spec", "cloning_network", "optimizer", "num_outer_dims", "epsilon_greedy", "loss_fn",
        "gradient_clipping", "debug_summaries", "summarize_grads_and_vars", "train_step_counter", "name",
    ]  # fmt: skip


# Refusals.


@pytest.mark.parametrize("on_device", [False, True], ids=["numpy", "device"])
@pytest.mark.parametrize("action", [1, 6])
def test_a_label_outside_the_spec_is_refused_and_nothing_changes(on_device, action):
    agent, frames = make(SHIFTED, optimizer=optax.adam(0.1)), batch(SHIFTED)
    frames.action[2] = action
    agent.train(batch(SHIFTED, seed=1))
    before = weights_of(agent)
    if on_device:
        frames = jax.tree.map(jnp.asarray, frames)

    def train_and_look():
        assert np.isnan(agent.train(frames).loss)
        agent.get_state()

    with pytest.raises(SpecError, match="action"):
        train_and_look()
    assert int(agent.train_step_counter) == 1
    assert_same(weights_of(agent), before)
    agent.train(batch(SHIFTED))
    assert int(agent.train_step_counter) == 2


def test_a_label_that_nothing_is_learned_from_may_be_anything():
    agent, frames = make(SHIFTED), batch(SHIFTED)
    weights = np.ones(len(frames.action), np.float32)
    frames.action[2], weights[2] = 99, 0.0
    assert np.isfinite(agent.train(frames, weights).loss)
    with pytest.raises(SpecError, match=r"1 of \d+ values out of range: \[2\]=99"):
        agent.train(frames)


def test_nan_in_an_observation_is_refused_before_the_step():
    agent, frames = make(STEER), batch(STEER)
    frames.observation[4, 1] = np.nan
    before = weights_of(agent)
    with pytest.raises(NonFiniteError, match=r"observation holds NaN(?s:.*)first row 4"):
        agent.train(frames)
    assert_same(weights_of(agent), before)


@pytest.mark.parametrize(
    ("spec", "changes", "error", "message"),
    [
        (STEER, {"action": np.zeros((6, 2))}, TypeError, "float64"),
        (GAS, {"action": np.zeros((6, 1), np.float32)}, ValueError, "action"),
        (GEAR, {"action": np.zeros((6, 1), np.int32)}, ValueError, "action"),
        (GEAR, {"action": np.zeros(6, np.int64)}, TypeError, "int64"),
        (GEAR, {"observation": np.zeros((6, 2), np.float32)}, ValueError, "observation"),
        (GEAR, {"action": np.zeros(5, np.int32)}, ValueError, "action"),
    ],
)
def test_experience_that_does_not_fit_is_refused(spec, changes, error, message):
    agent = make(spec)
    before = weights_of(agent)
    with pytest.raises(error, match=message):
        agent.train(batch(spec, **changes))
    assert_same(weights_of(agent), before)


def test_other_outer_axes_and_other_types_are_refused():
    with pytest.raises(ValueError, match="experience"):
        make().train(batch(outer=(3, 2)))
    with pytest.raises(ValueError, match="experience"):
        make(num_outer_dims=2).train(batch())
    with pytest.raises(SpecError, match="empty"):
        make().train(batch(outer=(0,)))
    with pytest.raises(SpecTypeError):
        make().train({"observation": np.zeros((4, 3), np.float32)})

    class Unready(BehavioralCloningAgent):
        def __init__(self):
            pass

    for call in (lambda a: a.initialize(), lambda a: a.train(batch()), lambda a: a.loss(batch())):
        with pytest.raises(RuntimeError):
            call(Unready())


@pytest.mark.parametrize(
    ("action_spec", "message"),
    [
        (MIXED, "no default loss for several actions"),
        ({"a": STEER, "b": STEER}, "got  2 actions"),
        (LEVERS, "an integer action has a shape"),
    ],
)
def test_what_has_no_default_loss_needs_a_loss_fn(action_spec, message):
    network = networks.ActorDistributionNetwork(OBSERVATION, action_spec, fc_layer_params=None)
    with pytest.raises(ValueError, match=rf"{message}(?s:.*)loss_fn=jaxdaw.agents.nested_loss"):
        make(action_spec, network)
    assert make(action_spec, network, loss_fn=nested_loss).loss(batch(action_spec)).extra.loss.shape == (6,)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"num_outer_dims": 3}, ConfigError, "num_outer_dims is outside its range"),
        ({"num_outer_dims": 0}, ConfigError, "num_outer_dims"),
        ({"epsilon_greedy": 1.5}, ConfigError, r"epsilon in \[0, 1\]"),
        ({"loss": "median"}, ConfigError, "'sample', 'mode', 'log_likelihood'"),
        ({"gradient_clipping": -1.0}, ConfigError, "gradient_clipping"),
        ({"optimizer": "adam"}, ConfigError, "optax"),
        ({"on_nan": "stop"}, ConfigError, "on_nan"),
        ({"train_step_counter": 3}, ConfigError, "StepCounter"),
        ({"network": lambda x: x}, ConfigError, "cloning_network is not a Network"),
        ({"network": Linear(OBSERVATION, (3,))}, SpecError, "one value for each action"),
        ({"network": Linear(OBSERVATION, (5,))}, SpecError, "one value for each action"),
        ({"action_spec": STEER, "network": Linear(OBSERVATION, (3,))}, SpecError, "does not return actions"),
        ({"action_spec": GAS, "network": Linear(OBSERVATION, (1,))}, SpecError, "does not return actions"),
        ({"action_spec": ()}, SpecError, "no action to clone"),
    ],
)
def test_constructor_refuses(options, error, message):
    with pytest.raises(error, match=message):
        make(**{"network": Linear(OBSERVATION, (4,)), **options})


def test_the_time_step_spec_is_checked():
    with pytest.raises(SpecTypeError, match="needs a TimeStep of specs"):
        BehavioralCloningAgent((1, 2), GEAR, Linear(OBSERVATION, (4,)), optax.sgd(0.1))
