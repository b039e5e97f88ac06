"""GaussianPolicy and OUNoisePolicy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdaw import networks, specs, trajectories
from jaxdaw.distributions import Deterministic, Normal, Uniform
from jaxdaw.errors import ConfigError, NonFiniteError, SpecError
from jaxdaw.policies import GaussianPolicy, GreedyPolicy, OUNoisePolicy, Policy, QPolicy, RandomPolicy
from jaxdaw.policies._noise import OUNoiseState
from jaxdaw.trajectories import PolicyStep, StepType

OBSERVATION = specs.TensorSpec((2,), np.float32)
STEP = trajectories.time_step_spec(OBSERVATION)
ACTION = specs.BoundedTensorSpec((2,), np.float32, -1.0, [1.0, 3.0])
WIDE = specs.BoundedTensorSpec((2,), np.float32, -1e6, 1e6)


class Echo(Policy):
    """Takes the observation for its action, and counts its steps within the episode."""

    def __init__(self, action_spec, **options):
        super().__init__(STEP, action_spec, specs.TensorSpec((), np.int32), **options)

    def _distribution(self, weights, time_step, policy_state):
        def repeat(spec):
            value = time_step.observation.astype(spec.dtype)
            return Deterministic(value if spec.shape else value[:, 0], event_ndims=len(spec.shape))

        return PolicyStep(specs.map_structure(repeat, self._action_spec), policy_state + 1)


class EchoNest(Echo):
    """The same for a nest of actions."""

    def _sample(self, distribution, randomness):
        return specs.map_structure(lambda leaf: leaf.mode(), distribution)


def steps(rows, value=0.0, step_type=StepType.MID):
    return trajectories.TimeStep(
        step_type=np.full(rows, step_type, np.int32),
        reward=np.zeros(rows, np.float32),
        discount=np.ones(rows, np.float32),
        observation=np.full((rows, 2), value, np.float32),
    )


def roll_out(policy, time_step, num_steps, seed=0):
    """Actions and states of a scan over `act`, `[num_steps, B, ...]`."""
    rows = len(time_step.step_type)

    def body(state, randomness):
        step = policy.act(policy.get_weights(), time_step, state, randomness)
        return step.state, (step.action, step.state)

    randomness = policy.draw(jax.random.key(seed), num_steps, rows)
    return jax.jit(lambda r: jax.lax.scan(body, policy.initial_state(rows), r)[1])(randomness)


def test_gaussian_noise_has_its_moments_and_is_independent_everywhere():
    """Of 400 x 50 x 2 normal numbers: mean 0 +- .5 / 200, deviation .5 +- .5 / 280, correlations 0 +- 1 / 140."""
    actions, _ = roll_out(GaussianPolicy(Echo(WIDE), scale=0.5), steps(50, 7.0), 400)
    noise = np.asarray(actions, float) - 7.0
    np.testing.assert_allclose(noise.mean(), 0.0, atol=4 * 0.0025)
    np.testing.assert_allclose(noise.std(), 0.5, atol=4 * 0.0018)
    for one, other in [
        (noise[:, :, 0], noise[:, :, 1]),  # elements
        (noise[:, ::2], noise[:, 1::2]),  # rows
        (noise[:-1], noise[1:]),  # steps
    ]:
        assert abs(np.corrcoef(one.ravel(), other.ravel())[0, 1]) < 4 / 140
    within = (np.abs(noise) < 0.5).mean()
    np.testing.assert_allclose(within, 0.6827, atol=4 * 0.0024)  # of a normal number, within one deviation


def test_scale_zero_is_the_wrapped_policy_memory_included():
    policy = GaussianPolicy(Echo(ACTION), scale=0.0)
    first = policy.action(steps(3, 0.5, StepType.FIRST), seed=0)
    second = policy.action(steps(3, -0.5), first.state, seed=1)
    np.testing.assert_array_equal(second.action, np.full((3, 2), -0.5))
    np.testing.assert_array_equal(second.state, [2, 2, 2])
    again = policy.action(steps(3, 0.5, StepType.FIRST), second.state, seed=2)
    np.testing.assert_array_equal(again.state, [1, 1, 1])


@pytest.mark.parametrize("make", [GaussianPolicy, OUNoisePolicy])
def test_actions_stay_within_their_bounds_if_clipped(make):
    time_step = steps(500)
    clipped = make(Echo(ACTION), 5.0).action(time_step, seed=0).action
    assert clipped.min() == -1.0
    np.testing.assert_array_equal(clipped.max(0), [1.0, 3.0])
    free = make(Echo(ACTION), 5.0, clip=False).action(time_step, seed=0).action
    assert free.min() < -3.0
    np.testing.assert_array_equal(np.clip(free, [-1, -1], [1, 3]), clipped)


def test_what_the_wrapped_policy_clips_is_disturbed_from_the_bound():
    """The observation 100 is the action 1, not 100 + noise: half of the actions lie inside the bounds."""
    action = GaussianPolicy(Echo(ACTION), 0.1).action(steps(1000, 100.0), seed=0).action[:, 0]
    assert 0.4 < (action < 1.0).mean() < 0.6


def test_ou_noise_decays_as_its_damping_and_rows_are_independent():
    """400 rows over 300 steps after 100 of warm-up, damping .2, stddev .5: variance .25 / (1 - .8**2) = .6944."""
    policy = OUNoisePolicy(Echo(WIDE), ou_stddev=0.5, ou_damping=0.2)
    actions, states = roll_out(policy, steps(400, -3.0), 400)
    noise = np.asarray(actions, float) + 3.0
    np.testing.assert_allclose(noise, states.noise, atol=1e-6)
    noise = noise[100:]
    np.testing.assert_allclose(noise.mean(), 0.0, atol=0.03)
    np.testing.assert_allclose(noise.var(), 0.25 / (1 - 0.64), rtol=0.03)
    for lag in (1, 2, 5, 10):
        correlation = (noise[:-lag] * noise[lag:]).mean() / noise.var()
        np.testing.assert_allclose(correlation, 0.8**lag, atol=0.02)
    for one, other in [(noise[..., 0], noise[..., 1]), (noise[:, ::2], noise[:, 1::2])]:
        assert abs(np.corrcoef(one.ravel(), other.ravel())[0, 1]) < 0.03
    steps_taken = noise[1:] - 0.8 * noise[:-1]
    np.testing.assert_allclose(steps_taken.std(), 0.5, rtol=0.01)


@pytest.mark.parametrize(("damping", "variance"), [(1.0, 0.25), (0.0, 50 * 0.25)])
def test_ou_damping_one_has_no_memory_and_zero_is_a_random_walk(damping, variance):
    """After 50 steps of deviation .5: .25, or the sum of 50 of them; 4000 numbers, 2.2 % deviation of a variance."""
    _, states = roll_out(OUNoisePolicy(Echo(WIDE), 0.5, damping), steps(2000), 50)
    np.testing.assert_allclose(np.var(states.noise[-1]), variance, rtol=0.1)


def test_ou_noise_starts_anew_row_by_row():
    policy = OUNoisePolicy(Echo(WIDE), ou_stddev=0.0, ou_damping=0.25)
    state = OUNoiseState(noise=np.full((3, 2), 8, np.float32), wrapped=np.array([5, 5, 5], np.int32))
    time_step = steps(3)._replace(step_type=np.array([StepType.MID, StepType.FIRST, StepType.LAST], np.int32))
    step = policy.action(time_step, state, seed=0)
    np.testing.assert_array_equal(step.action, [[6, 6], [0, 0], [6, 6]])  # 8 * (1 - 0.25)
    np.testing.assert_array_equal(step.state.noise, step.action)
    np.testing.assert_array_equal(step.state.wrapped, [6, 1, 6])


def test_ou_state_keeps_the_noise_before_clipping():
    policy = OUNoisePolicy(Echo(ACTION), ou_stddev=0.0, ou_damping=0.5)
    step = policy.action(steps(1), OUNoiseState(np.full((1, 2), 8, np.float32), np.zeros(1, np.int32)), seed=0)
    np.testing.assert_array_equal(step.action, [[1, 3]])
    np.testing.assert_array_equal(step.state.noise, [[4, 4]])


def test_nests_scalars_and_narrow_floats():
    nest = {
        "gas": specs.BoundedTensorSpec((), np.float32, -9, 9),
        "wheel": (ACTION, specs.TensorSpec((2,), np.float16)),
    }
    for make in (GaussianPolicy, OUNoisePolicy):
        policy = make(EchoNest(nest), 0.1)
        step = policy.action(steps(4, 0.5), seed=0)
        specs.check(step.action, nest, (4,))
        specs.check(step.state, policy.policy_state_spec, (4,))
        noise = np.concatenate([np.ravel(leaf) - 0.5 for leaf in specs.flatten(step.action)])
        assert len(np.unique(noise)) == 4 * 5  # every element has its own
        assert 0.05 < noise.std() < 0.2
        alone = policy.action(jax.tree.map(lambda x: x[0], steps(1)), policy.get_initial_state(), seed=0)
        specs.check(alone.action, nest)


@pytest.mark.parametrize("make", [GaussianPolicy, OUNoisePolicy])
def test_the_wrapped_policy_draws_from_a_key_of_its_own(make):
    """Uniform on [-1, 1] plus noise of deviation .1: independent, so that the variances 1/3 and .01 add up."""
    uniform = RandomPolicy(STEP, specs.BoundedTensorSpec((2,), np.float32, -1.0, 1.0))
    action = make(uniform, 0.1, clip=False).action(steps(20_000), seed=3).action
    np.testing.assert_allclose(action.var(), 1 / 3 + 0.01, rtol=0.02)


@pytest.mark.parametrize("clip", [True, False])
def test_gaussian_noise_around_a_certain_action_has_a_density(clip):
    """Of the action before clipping: -(x - m)**2 / (2 s**2) - log(s) - log(2 pi) / 2 for each element; 2 > 1 here."""
    policy = GaussianPolicy(Echo(ACTION), 0.05, clip=clip, emit_log_probability=True)
    time_step = steps(200, 0.98)
    time_step.observation[100:] = [0.5, 7.0]  # which the wrapped policy clips to 3
    means = np.clip(time_step.observation, [-1, -1], [1, 3]).astype(float)
    choice = policy.distribution(time_step).action
    assert isinstance(choice, Normal)
    np.testing.assert_allclose(choice.loc, means, rtol=1e-6)
    np.testing.assert_allclose(choice.scale, 0.05)
    free = GaussianPolicy(Echo(ACTION), 0.05, clip=False).action(time_step, seed=0).action
    step = policy.action(time_step, seed=0)
    np.testing.assert_allclose(step.action, np.clip(free, [-1, -1], [1, 3]) if clip else free, rtol=1e-6)
    want = (-(((free - means) / 0.05) ** 2) / 2 - np.log(0.05) - np.log(2 * np.pi) / 2).sum(-1)
    np.testing.assert_allclose(step.info.log_probability, want, rtol=1e-3, atol=1e-3)
    specs.check(step.info, policy.info_spec, (200,))
    assert step.info.log_probability.max() > 0.0  # a density


def test_gaussian_noise_over_a_nest_has_the_sum_of_its_leaves_densities():
    nest = {"gas": specs.BoundedTensorSpec((), np.float32, -9, 9), "wheel": (WIDE,)}
    policy = GaussianPolicy(EchoNest(nest), 2.0, emit_log_probability=True, clip=False)
    step = policy.action(steps(5, 0.5), seed=0)
    noise = np.concatenate([step.action["gas"][:, None], step.action["wheel"][0]], axis=-1) - 0.5
    want = (-(noise**2) / 8 - np.log(2) - np.log(2 * np.pi) / 2).sum(-1)
    np.testing.assert_allclose(step.info.log_probability, want, rtol=1e-5)


def test_gaussian_noise_around_what_is_drawn_leaves_the_noise_out_and_has_no_density():
    uniform = RandomPolicy(STEP, ACTION)
    assert isinstance(GaussianPolicy(uniform, 0.1).distribution(steps(2)).action, Uniform)
    assert isinstance(GaussianPolicy(Echo(ACTION), 0.0).distribution(steps(2)).action, Deterministic)
    drifting = OUNoisePolicy(Echo(ACTION), 0.1)
    assert isinstance(GaussianPolicy(drifting, 0.1).distribution(steps(2)).action, Deterministic)
    for policy, scale in [(uniform, 0.1), (Echo(ACTION), 0.0), (drifting, 0.1), (GaussianPolicy(Echo(ACTION), 0.1), 1)]:
        with pytest.raises(ConfigError, match="has no log-probability to emit"):
            GaussianPolicy(policy, scale, emit_log_probability=True)


@pytest.mark.parametrize("make", [GaussianPolicy, OUNoisePolicy])
def test_modes_and_greedy_leave_the_noise_out(make):
    policy = make(Echo(ACTION), 5.0)
    choice = policy.distribution(steps(3, 0.5))
    np.testing.assert_array_equal(choice.action.mode(), np.full((3, 2), 0.5))
    specs.check(choice.state, policy.policy_state_spec, (3,))
    greedy = GreedyPolicy(policy)
    step = greedy.action(steps(3, 0.5), greedy.get_initial_state(3))
    np.testing.assert_array_equal(step.action, np.full((3, 2), 0.5))


def test_bound_policy_carries_the_noise_from_call_to_call():
    act = OUNoisePolicy(Echo(WIDE), 1.0, ou_damping=0.001).bind(seed=0)
    walk = np.stack([act(np.zeros(2, np.float32)) for _ in range(30)])
    assert np.abs(np.diff(walk, axis=0)).mean() < np.abs(walk).mean()
    assert len(np.unique(walk)) == 60


@pytest.mark.parametrize("make", [GaussianPolicy, OUNoisePolicy])
def test_nan_is_not_hidden_by_clipping(make):
    time_step = steps(3)
    time_step.observation[1, 0] = np.nan
    with pytest.raises(NonFiniteError, match="row 1"):
        make(Echo(ACTION)).action(time_step, seed=0)


@pytest.mark.parametrize("make", [GaussianPolicy, OUNoisePolicy])
def test_what_cannot_be_disturbed_is_refused(make):
    discrete = specs.BoundedTensorSpec((), np.int32, 0, 3)
    with pytest.raises(SpecError, match="adds noise to float actions only"):
        make(QPolicy(STEP, discrete, networks.QNetwork(OBSERVATION, discrete)))
    with pytest.raises(SpecError, match=r"not at \['gear'\]"):
        make(RandomPolicy(STEP, {"gas": ACTION, "gear": discrete}))
    with pytest.raises(ConfigError, match="before the noise"):
        make(RandomPolicy(STEP, ACTION, emit_log_probability=True))


@pytest.mark.parametrize("value", [-0.1, float("nan"), float("inf"), np.ones(2)])
def test_numbers_outside_their_range_are_refused(value):
    with pytest.raises(ConfigError, match="scale"):
        GaussianPolicy(Echo(ACTION), value)
    with pytest.raises(ConfigError, match="ou_stddev"):
        OUNoisePolicy(Echo(ACTION), value)
    for damping in (value, 1.1):
        with pytest.raises(ConfigError, match=r"ou_damping .*\n.*\[0, 1\]"):
            OUNoisePolicy(Echo(ACTION), ou_damping=damping)


def test_a_population_is_one_vmap():
    policy = OUNoisePolicy(Echo(WIDE), 1.0, 0.1)
    keys = jax.random.split(jax.random.key(0), 4)
    time_step = jax.tree.map(jnp.asarray, steps(3))

    def first(key):
        randomness = jax.tree.map(lambda x: x[0], policy.draw(key, 1, 3))
        return policy.act((), time_step, policy.initial_state(3), randomness).action

    together = jax.jit(jax.vmap(first))(keys)
    np.testing.assert_allclose(together[2], first(keys[2]), rtol=1e-6)
    assert len(np.unique(together)) == 4 * 3 * 2


@pytest.mark.parametrize("make", [GaussianPolicy, OUNoisePolicy])
def test_noise_in_units_of_half_the_width_of_the_bounds(make):
    """The bounds are [-1, 1] and [-1, 3]: of deviation .01 and .02, over 2000 rows, +- 1.6 %."""
    action = make(Echo(ACTION), 0.01, scale_to_bounds=True).action(steps(2000), seed=0).action
    np.testing.assert_allclose(action.std(axis=0), [0.01, 0.02], rtol=4 * 0.016)
    endless = specs.BoundedTensorSpec((2,), np.float32, -1.0, [1.0, np.inf])
    with pytest.raises(SpecError, match="finite bounds"):
        make(Echo(endless), 0.1, scale_to_bounds=True)


def test_scaled_gaussian_noise_has_its_density():
    policy = GaussianPolicy(Echo(ACTION), 0.01, emit_log_probability=True, scale_to_bounds=True)
    np.testing.assert_allclose(policy.distribution(steps(3)).action.scale, np.tile([0.01, 0.02], (3, 1)), rtol=1e-6)
    step = policy.action(steps(5), seed=0)
    scale = np.array([0.01, 0.02])
    want = (-((step.action / scale) ** 2) / 2 - np.log(scale) - np.log(2 * np.pi) / 2).sum(-1)
    np.testing.assert_allclose(step.info.log_probability, want, rtol=1e-4)
