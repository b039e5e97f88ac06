"""PPO: advantages, which frames count, normalizers, epochs and minibatches. Numbers: tests/golden."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxdaw import networks, specs, trajectories
from jaxdaw.agents import PPOAgent
from jaxdaw.errors import ConfigError, JaxdawWarning, NonFiniteError, SpecError, SpecTypeError
from jaxdaw.trajectories import StepType, Trajectory

OBSERVATION = specs.BoundedTensorSpec((1,), np.float32, -100.0, 100.0)
ACTION = specs.BoundedTensorSpec((), np.int32, 0, 1)
STEP = trajectories.time_step_spec(OBSERVATION)
PLAIN = {"normalize_observations": False, "normalize_rewards": False, "kl_cutoff_factor": 0.0}
F, M, L = StepType.FIRST, StepType.MID, StepType.LAST


class Reading(networks.Network):
    """Values that are the observation itself, times a weight that starts at 1."""

    def __init__(self, *, rngs=0):
        super().__init__(OBSERVATION)
        self.scale = networks.Parameter(1.0)

    def call(self, observation):
        return observation[..., 0] * self.scale.value[...], ()


class Beside(networks.Network):
    """Values made from the logits of another network."""

    def __init__(self, actor, *, rngs=0):
        super().__init__(OBSERVATION)
        self.actor = actor

    def call(self, observation):
        return self.actor(observation)[0].logits[..., 0], ()


def make(action=ACTION, value_net=None, optimizer=None, actor_net=None, **options):
    actor = networks.ActorDistributionNetwork(OBSERVATION, action, fc_layer_params=None)
    optimizer = optax.sgd(0.1) if optimizer is None else optimizer
    options = {**PLAIN, "num_epochs": 1, "initial_adaptive_kl_beta": 0.0, "use_gae": True, **options}
    value = Reading() if value_net is None else value_net
    return PPOAgent(STEP, action, optimizer, actor if actor_net is None else actor_net, value, **options)


def frames(step_type, next_step_type, reward, discount, observation, **info):
    """One row, recorded by a policy of even chances."""
    row = [np.asarray([values], np.float32) for values in (reward, discount)]
    types = [np.asarray([values], np.int32) for values in (step_type, next_step_type)]
    logits = np.zeros((*types[0].shape, 2), np.float32)
    info = {"dist_params": {"logits": logits}, **{k: np.asarray([v], np.float32) for k, v in info.items()}}
    observation = np.asarray([observation], np.float32)[..., None]
    return Trajectory(types[0], observation, np.zeros_like(types[0]), info, types[1], *row)


GOES_ON = frames([F, M, M], [M, M, M], [0, 0, 0], [1, 1, 1], [0, 0, 10])
CUT = frames([F, M, L, F, M, M], [M, L, F, M, M, M], [1, 2, 9, 4, 5, 6], [1, 1, 1, 1, 1, 1], [1, 2, 3, 4, 5, 6])
CUT_ADVANTAGE = [1 + 0.5 * 2 - 1 + 0.25 * (2 + 0.5 * 3 - 2), 2 + 0.5 * 3 - 2]  # gamma 0.5, lambda 0.5


def test_the_last_advantage_looks_at_the_value_of_the_frame_after_it():
    agent = make(discount_factor=0.9, lambda_value=1.0)
    rows = agent.prepare(agent.get_state(), GOES_ON)
    np.testing.assert_allclose(rows.advantage, [[8.1, 9.0]], rtol=1e-6)  # 0.9 * 9, 0.9 * 10
    np.testing.assert_allclose(rows.returns, [[8.1, 9.0]], rtol=1e-6)
    np.testing.assert_array_equal(rows.value, [[0.0, 0.0]])


@pytest.mark.parametrize("use_gae", [True, False])
def test_an_episode_that_was_cut_is_bootstrapped_and_its_sums_stop_there(use_gae):
    agent = make(discount_factor=0.5, lambda_value=0.5, use_gae=use_gae)
    rows = agent.prepare(agent.get_state(), CUT)
    returns = [1 + 0.5 * 3.5, 2 + 0.5 * 3]
    np.testing.assert_allclose(rows.returns[0, :2], returns, rtol=1e-6)
    np.testing.assert_allclose(rows.advantage[0, :2], CUT_ADVANTAGE if use_gae else np.subtract(returns, [1, 2]))
    terminated = CUT._replace(discount=np.float32([[1, 0, 1, 1, 1, 1]]))
    np.testing.assert_allclose(agent.prepare(agent.get_state(), terminated).returns[0, :2], [2.0, 2.0], rtol=1e-6)


def test_td_lambda_returns_are_advantages_plus_values():
    agent = make(discount_factor=0.5, lambda_value=0.5, use_td_lambda_return=True)
    rows = agent.prepare(agent.get_state(), CUT)
    np.testing.assert_allclose(rows.returns, rows.advantage + rows.value, rtol=1e-6)


def test_boundary_frames_and_the_last_one_teach_nothing():
    agent = make(entropy_regularization=0.1, normalize_advantages=True, initial_adaptive_kl_beta=1.0)
    spoiled = CUT._replace(
        reward=np.float32([[1, 2, 99, 4, 5, -66]]),
        action=np.int32([[0, 0, 1, 0, 0, 1]]),
        policy_info={"dist_params": {"logits": np.zeros((1, 6, 2), np.float32)}},
    )
    spoiled.policy_info["dist_params"]["logits"][0, [2, 5]] = [7.0, -7.0]
    np.testing.assert_allclose(agent.loss(spoiled).loss, agent.loss(CUT).loss, rtol=1e-6)


def test_a_frame_whose_return_and_advantage_are_0_counts():
    agent = make(value_pred_loss_coef=1.0, normalize_advantages=False)
    nothing = frames([F, F, F], [L, L, L], [0, 0, 3], [0, 0, 0], [0, 2, 0])
    np.testing.assert_allclose(agent.loss(nothing).extra.value_estimation_loss, (0 + 2.0**2) / 2)  # a mean over two


def test_means_and_normalization_are_over_the_frames_that_count():
    agent = make(discount_factor=0.5, lambda_value=0.5, value_pred_loss_coef=1.0)
    info = agent.loss(CUT)
    rows = agent.prepare(agent.get_state(), CUT)
    counts = np.array([True, True, False, True, True])
    advantage, error = (np.asarray(x)[0, counts] for x in (rows.advantage, rows.returns - rows.value))
    np.testing.assert_allclose(info.extra.value_estimation_loss, np.mean(error**2), rtol=1e-5)
    log_pi = agent.collect_policy.distribution(CUT.observation[0, :5][counts]).action.log_prob(np.zeros(4, np.int32))
    normalized = (advantage - advantage.mean()) / np.sqrt(advantage.var() + 1e-8)
    expected = -np.mean(np.exp(log_pi - np.log(0.5)) * normalized)
    np.testing.assert_allclose(info.extra.policy_gradient_loss, expected, rtol=1e-4, atol=1e-6)


@pytest.fixture(scope="module")
def collected():
    """Frames of a policy with normal actions, and the agent that collected them."""
    action = specs.BoundedTensorSpec((2,), np.float32, -1.0, 1.0)
    squashed = functools.partial(networks.NormalProjection, scale_distribution=True)
    actor = networks.ActorDistributionNetwork(
        OBSERVATION, action, fc_layer_params=None, continuous_projection_net=squashed
    )
    options = {"normalize_observations": True, "normalize_rewards": True, "reward_normalization": "return"}
    agent = make(action, networks.ValueNetwork(OBSERVATION, fc_layer_params=None), actor_net=actor, num_epochs=2,
                 discount_factor=0.5, **options)  # fmt: skip
    random = np.random.default_rng(0)
    step_type = np.tile(np.int32([F, M, M, M, L, F]), (4, 1))
    observation = random.normal(5.0, 2.0, (4, 6, 1)).astype(np.float32)
    step = trajectories.TimeStep(step_type.ravel(), *np.ones((2, 24), np.float32), observation.reshape(24, 1))
    taken = agent.collect_policy.action(step, seed=0)
    shaped = jax.tree.map(lambda x: np.asarray(x).reshape(4, 6, *np.shape(x)[1:]), taken)
    following = np.tile(np.int32([M, M, M, L, F, M]), (4, 1))
    reward = random.normal(3.0, 1.0, (4, 6)).astype(np.float32)
    earned = random.normal(6.0, 4.0, (4, 6)).astype(np.float32)  # by the time of each step
    info = {**shaped.info, "discounted_return": earned}
    recorded = Trajectory(step_type, observation, shaped.action, info, following, reward, np.ones_like(reward))
    return agent, recorded


def test_the_ratio_is_1_for_the_policy_that_recorded_squashed_actions(collected):
    agent, recorded = collected
    info = agent.loss(recorded)
    assert abs(float(info.extra.approx_kl)) < 1e-6
    assert abs(float(info.extra.policy_gradient_loss)) < 1e-5  # advantages have mean 0


def test_rewards_are_divided_by_the_deviation_of_returns_from_the_first_batch_on(collected):
    agent, recorded = collected
    rows = agent.prepare(agent.get_state(), recorded)
    sums = recorded.policy_info["discounted_return"][recorded.step_type != F]
    scaled = recorded.reward / np.sqrt(sums.var() + 1e-3)
    value = np.asarray(rows.value)
    following = np.concatenate([value[:, 1:], value[:, -1:]], 1)  # only looked at within the rows
    delta = scaled[:, :5] + 0.5 * following - value
    np.testing.assert_allclose(rows.advantage[:, 2], (delta[:, 2] + 0.5 * 0.95 * delta[:, 3]), rtol=1e-3)


def test_epochs_over_prepared_frames_are_what_train_does(collected):
    agent, recorded = collected
    state = jax.tree.map(np.array, agent.get_state())
    rows = agent.prepare(state, recorded)
    by_hand, update = state, jax.jit(agent.update)
    for _ in range(2):
        by_hand, info = update(by_hand, rows)
    by_hand = agent.finish(by_hand, rows)
    last = agent.train(recorded)
    trained = agent.get_state()
    assert int(trained.train_step) == int(agent.train_step_counter) == 2
    np.testing.assert_allclose(last.loss, info.loss, rtol=1e-5)
    for ours, theirs in zip(jax.tree.leaves(trained.params), jax.tree.leaves(by_hand.params), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)
    counted = [s.rest["observation_normalizer"]["count"]["total"] for s in (trained, by_hand)]
    assert [float(count) for count in counted] == [24, 20]  # `train` has no other batch for the last frames
    assert float(trained.rest["reward_normalizer"]["count"]["total"]) == 24 - 8  # FIRST steps have earned nothing
    weights = agent.policy.get_weights()
    np.testing.assert_array_equal(weights[1].rest["count"]["total"], 24)  # statistics are the policy's
    agent.set_state(state)
    agent.train_step_counter.value = 0


def test_a_refused_epoch_takes_all_of_them_back(collected):
    agent, recorded = collected
    before = jax.tree.map(np.array, agent.get_state())
    with pytest.raises(NonFiniteError):
        agent.train(recorded._replace(reward=recorded.reward * np.nan))
    agent.train(jax.tree.map(jnp.asarray, recorded._replace(reward=recorded.reward * np.nan)))
    with pytest.raises(NonFiniteError):
        agent.get_state()
    assert int(agent.train_step_counter) == 0
    jax.tree.map(np.testing.assert_array_equal, before, jax.tree.map(np.array, agent.get_state()))


def test_an_actor_with_memory_goes_on_from_the_state_that_recorded_the_row():
    actor = networks.ActorDistributionRnnNetwork(
        OBSERVATION, ACTION, input_fc_layer_params=None, lstm_size=(3,), output_fc_layer_params=None
    )
    for variable in actor.variables:
        variable.set_value(4.0 * variable.get_value())
    agent = make(actor_net=actor)
    observation = np.random.default_rng(0).normal(size=(4, 6, 1)).astype(np.float32)
    kinds = np.tile(np.int32([F, M, M, L, F, M]), (4, 1))
    state, steps = agent.collect_policy.get_initial_state(4), []
    for t in range(6):
        step = trajectories.TimeStep(kinds[:, t], *np.ones((2, 4), np.float32), observation[:, t])
        steps.append(agent.collect_policy.action(step, state, seed=t))
        state = steps[-1].state
    taken = jax.tree.map(lambda *x: np.stack(x, 1), *steps)
    ones = np.ones((4, 6), np.float32)
    following = np.roll(kinds, -1, 1)
    recorded = Trajectory(kinds, observation, taken.action, taken.info, following, ones, ones)
    for whole in (recorded, jax.tree.map(lambda x: x[:, 1:], recorded)):  # rows may begin within an episode
        assert abs(float(agent.loss(whole).extra.approx_kl)) < 1e-6


def test_a_value_network_with_memory_goes_on_from_its_state_too():
    value = networks.ValueRnnNetwork(
        OBSERVATION, input_fc_layer_params=None, lstm_size=(3,), output_fc_layer_params=None
    )
    for variable in value.variables:
        variable.set_value(4.0 * variable.get_value())
    agent = make(value_net=value)
    observation = np.random.default_rng(0).normal(size=(4, 6, 1)).astype(np.float32)
    state, steps = agent.collect_policy.get_initial_state(4), []
    for t in range(6):
        step = trajectories.TimeStep(
            np.full(4, F if t == 0 else M, np.int32), *np.ones((2, 4), np.float32), observation[:, t]
        )
        steps.append(agent.collect_policy.action(step, state, seed=t))
        state = steps[-1].state
    taken = jax.tree.map(lambda *x: np.stack(x, 1), *steps)
    kinds, ones = np.tile(np.int32([F, M, M, M, M, M]), (4, 1)), np.ones((4, 6), np.float32)
    recorded = Trajectory(kinds, observation, taken.action, taken.info, np.full_like(kinds, M), ones, ones)
    whole, part = (agent.prepare(agent.get_state(), jax.tree.map(lambda x, n=n: x[:, n:], recorded)) for n in (0, 2))
    np.testing.assert_allclose(part.value, whole.value[:, 2:], rtol=1e-5, atol=1e-6)


def test_constant_rewards_stay_as_they_are():
    agent = make(normalize_rewards=True)
    ones = GOES_ON._replace(reward=np.full((1, 3), 7.0, np.float32))
    rows = agent.prepare(agent.get_state(), ones)
    np.testing.assert_allclose(rows.returns[0, 1], 7 + 0.99 * 10, rtol=1e-6)
    agent.update_reward_normalizer(np.float32([[7.0, 7.0]]))
    np.testing.assert_array_equal(agent.prepare(agent.get_state(), ones).returns, rows.returns)


def test_the_mask_is_split_off_before_observations_are_normalized():
    both = {"seen": OBSERVATION, "mask": specs.BoundedTensorSpec((2,), np.int32, 0, 1)}
    agent = PPOAgent(
        trajectories.time_step_spec(both),
        ACTION,
        optax.sgd(0.1),
        networks.ActorDistributionNetwork(OBSERVATION, ACTION, fc_layer_params=None),
        networks.ValueNetwork(OBSERVATION, fc_layer_params=None),
        observation_and_action_constraint_splitter=lambda observation: (observation["seen"], observation["mask"]),
    )
    seen = np.float32(np.random.default_rng(0).normal(50, 9, (8, 5, 1)))
    mask = np.tile(np.int32([1, 0]), (8, 5, 1))
    agent.update_observation_normalizer({"seen": seen, "mask": mask})
    taken = agent.collect_policy.action({"seen": seen[:, 0], "mask": mask[:, 0]}, seed=3)
    assert not taken.action.any()


def test_a_rollout_is_passed_over_once_the_policy_has_moved_far_enough():
    agent = make(optimizer=optax.sgd(5.0), target_kl=1e-3)
    state = agent.get_state()
    rows, update = agent.prepare(state, CUT), jax.jit(agent.update)
    kls, moved = [], []
    for _ in range(4):
        after, info = update(state, rows)
        kls.append(float(info.extra.approx_kl))
        moved.append(not np.array_equal(*(s.params["value_network"]["scale"]["value"] for s in (state, after))))
        state = after
    beyond = np.array(kls) > 1.5e-3
    assert beyond.any()
    first = int(np.argmax(beyond))
    assert moved == [step < first for step in range(4)]
    assert not agent.finish(state, rows).memory.stopped


def test_values_recorded_while_collecting_give_the_advantages():
    recorded = frames([F, M, M], [M, M, M], [0, 0, 0], [1, 1, 1], [0, 0, 10], value_prediction=[1, 2, 3])
    agent = make(compute_value_and_advantage_in_train=False, discount_factor=0.5, lambda_value=0.0)
    ready = agent.preprocess_sequence(recorded)
    np.testing.assert_allclose(ready.policy_info["advantage"], [[0.5 * 2 - 1, 0.5 * 3 - 2]])
    info = agent.train(jax.tree.map(np.asarray, ready))
    assert np.isfinite(info.loss)
    with pytest.raises(SpecError, match=r"advantage|return"):
        agent.train(recorded)


def test_weights_of_frames_go_with_the_frames_that_are_kept():
    agent = make()
    some = np.float32([[1, 0, 5, 2, 1, 3]])
    assert float(agent.loss(CUT, some).loss) == float(agent.loss(CUT, np.float32([[1, 0, 7, 2, 1, 9]])).loss)


@pytest.mark.parametrize(
    "wrong",
    [
        {"discount_factor": 1.5}, {"lambda_value": -0.1}, {"num_epochs": 0}, {"entropy_regularization": -1.0},
        {"importance_ratio_clipping": -0.2}, {"target_kl": 0.0}, {"shared_vars_l2_reg": 0.1}, {"value_clipping": -1.0},
        {"reward_normalization": "rewards"}, {"optimizer": 1e-3}, {"gradient_clipping": np.nan},
    ],
    ids=str,
)  # fmt: skip
def test_arguments_out_of_range_are_refused_by_name(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        make(**wrong)


def test_td_lambda_returns_without_generalized_advantages_warn():
    with pytest.warns(JaxdawWarning, match="use_td_lambda_return has no effect without use_gae"):
        make(use_gae=False, use_td_lambda_return=True)


def test_networks_that_share_variables_and_rows_of_one_frame_are_refused():
    actor = networks.ActorDistributionNetwork(OBSERVATION, ACTION, fc_layer_params=None)
    with pytest.raises(ConfigError, match="share variables"):
        make(actor_net=actor, value_net=Beside(actor))
    agent = make()
    with pytest.raises(SpecError, match="at least two frames in a row"):
        agent.train(jax.tree.map(lambda x: x[:, :1], GOES_ON))
    with pytest.raises(SpecTypeError, match="does not train on Transitions"):
        agent.train(trajectories.to_transition(GOES_ON))
    assert int(agent.train_step_counter) == 0


def test_summaries_have_the_parts_of_the_loss_as_numbers():
    agent = make(debug_summaries=True, summary_interval=1)
    info = agent.train(CUT)
    summaries = agent.summaries
    np.testing.assert_allclose(summaries["Losses/policy_gradient_loss"], info.extra.policy_gradient_loss, rtol=1e-6)
    rows = agent.prepare(make().get_state(), CUT)
    counts = np.array([True, True, False, True, True])
    error, returns = (np.asarray(x)[0, counts] for x in (rows.returns - rows.value, rows.returns))
    np.testing.assert_allclose(summaries["Losses/explained_variance"], 1 - error.var() / returns.var(), rtol=1e-4)
    assert {"Losses/approx_kl", "Losses/clip_fraction", "Losses/kl_divergence"} < summaries.keys()


def test_a_boundary_frame_may_hold_no_parameters_at_all():
    """A deviation of 0 in a frame that does not count made the divergence's gradient NaN."""
    steer = specs.BoundedTensorSpec((1,), np.float32, -1.0, 1.0)
    agents = [make(steer, initial_adaptive_kl_beta=1.0, kl_cutoff_factor=2.0) for _ in range(2)]
    dist = {"loc": np.zeros((1, 6, 1), np.float32), "scale": np.ones((1, 6, 1), np.float32)}
    action = np.zeros((1, 6, 1), np.float32)
    whole = CUT._replace(action=action, policy_info={"dist_params": dist})
    empty = jax.tree.map(np.copy, whole)
    empty.policy_info["dist_params"]["scale"][0, 2] = 0.0
    losses = [agent.train(frames).loss for agent, frames in zip(agents, (whole, empty), strict=True)]
    np.testing.assert_allclose(*losses, rtol=1e-6)
    jax.tree.map(np.testing.assert_array_equal, *(agent.get_state().params for agent in agents))


@pytest.mark.parametrize("option", ["entropy_regularization", "value_pred_loss_coef", "adaptive_kl_target"])
def test_numbers_that_have_no_none_are_refused_without_one(option):
    with pytest.raises(ConfigError, match=option):
        make(**{option: None})


def test_an_actor_of_other_actions_is_refused():
    for other in (specs.BoundedTensorSpec((), np.int32, 0, 4), specs.BoundedTensorSpec((), np.int32, 1, 2)):
        actor = networks.ActorDistributionNetwork(OBSERVATION, other, fc_layer_params=None)
        with pytest.raises(SpecError, match=r"made for other actions\n.*expected  2 values from 0"):
            make(actor_net=actor)
