"""The documented methods of every agent: refusals, weights, counters, summaries, copies, threads."""

import copy
import pickle
import threading

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from jaxdaw import networks
from jaxdaw.agents import Histogram
from jaxdaw.errors import ConfigError, JaxdawWarning, MaskError, NonFiniteError, SpecError
from jaxdaw.trajectories import to_n_step_transition

from .batches import OBSERVATION, assert_same, batch, make, make_masked, weights_of


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("leaf", ["reward", "observation", "discount"])
def test_train_refuses_a_batch_that_is_not_finite_and_changes_nothing(leaf, value):
    agent = make()
    agent.train(batch())
    before = weights_of(agent)
    bad = batch(seed=1)
    getattr(bad, leaf)[2, 0] = value
    with pytest.raises(NonFiniteError, match=rf"\.{leaf} holds NaN or infinity in 1 of 4 rows \(first row 2\)"):
        agent.train(bad)
    assert_same(weights_of(agent), before)
    assert int(agent.train_step_counter) == 1


def test_train_refuses_on_the_device_reports_the_batch_and_costs_no_other():
    agent, twin = make(), make()
    bad = jax.tree.map(jnp.asarray, batch())
    bad = bad._replace(reward=bad.reward.at[1, 0].set(jnp.nan))
    agent.train(batch())
    info = agent.train(bad)
    assert np.isnan(info.loss)
    message = r"\.reward holds NaN or infinity in 1 of 4 rows \(first row 1\)"
    with pytest.raises(NonFiniteError, match=message) as raised:
        agent.train(batch(seed=1))
    assert "batch 2 of those given to DqnAgent" in raised.value.__notes__[0]
    twin.train(batch())
    twin.train(batch(seed=1))
    assert_same(weights_of(agent), weights_of(twin))
    assert (int(agent.train_step_counter), agent.refused_steps) == (2, 1)


@pytest.mark.parametrize("ask", ["get_state", "policy", "collect_policy", "loss"])
def test_a_refused_last_batch_is_reported_by_whoever_asks_for_the_weights(ask):
    agent = make()
    agent.train(jax.tree.map(jnp.asarray, batch(reward=np.full((4, 2), np.nan, np.float32))))
    with pytest.raises(NonFiniteError, match="reward holds NaN"):
        {"get_state": agent.get_state, "loss": lambda: agent.loss(batch())}.get(ask, lambda: getattr(agent, ask))()
    agent.get_state()  # reported once


@pytest.mark.parametrize("action", [7, -1])
def test_an_action_outside_its_spec_is_refused(action):
    agent = make()
    before = weights_of(agent)
    bad = batch()
    bad.action[3, 0] = action
    with pytest.raises(SpecError, match=str(action)):
        agent.train(bad)
    assert np.isnan(agent.train(jax.tree.map(jnp.asarray, bad)).loss)  # seen by the device alone
    with pytest.raises(SpecError, match=str(action)):
        agent.get_state()
    assert_same(weights_of(agent), before)


@pytest.mark.parametrize("step_type", [7, -1])
@pytest.mark.parametrize("leaf", ["step_type", "next_step_type"])
def test_a_step_type_that_does_not_exist_is_refused(leaf, step_type):
    agent = make()
    before = weights_of(agent)
    bad = batch()
    bad = bad._replace(**{leaf: bad.step_type.copy()})
    getattr(bad, leaf)[1, 1] = step_type
    with pytest.raises(SpecError, match=rf"\.{leaf} holds a step type.*\n.*got  {step_type} at \[1, 1\]"):
        agent.train(bad)
    assert_same(weights_of(agent), before)


def test_a_state_that_allows_nothing_is_refused_unless_the_episode_ended_there():
    agent = make_masked()
    frames = batch()
    mask = np.ones((4, 2, 3), bool)
    mask[1, 1] = False
    observation = {"obs": frames.observation, "mask": mask}
    ended = frames.discount.copy()
    ended[1, 0] = 0.0
    assert np.isfinite(agent.train(frames._replace(observation=observation, discount=ended)).loss)
    stuck = frames._replace(observation=observation)
    for refuse in (lambda: agent.train(stuck), lambda: (agent.train(jax.tree.map(jnp.asarray, stuck)), agent.policy)):
        with pytest.raises(MaskError, match=r"1 of 8 states of the batch allow no action.*\[1, 1\]"):
            refuse()


def test_weights_scale_each_row_and_zero_rows_teach_nothing():
    agent, frames = make(), batch()
    each = agent.loss(frames).extra.td_loss
    weights = np.array([0.5, 2.0, 0.0, 1.0], np.float32)
    np.testing.assert_allclose(agent.loss(frames, weights).loss, np.mean(weights * each), rtol=1e-6)
    np.testing.assert_allclose(agent.loss(frames, np.float32(3.0)).loss, 3 * np.mean(each), rtol=1e-6)
    before = weights_of(make(optimizer=optax.sgd(0.1)))
    still = make(optimizer=optax.sgd(0.1))
    assert float(still.train(frames, np.zeros(4, np.float32)).loss) == 0.0
    jax.tree.map(np.testing.assert_array_equal, weights_of(still).params, before.params)


@pytest.mark.parametrize(("on_nan", "bad_steps"), [("skip", 9), ("ignore", 25)])
def test_steps_that_are_not_finite_can_be_skipped_and_are_counted(on_nan, bad_steps):
    agent = make(on_nan=on_nan)
    bad = batch(reward=np.full((4, 2), np.nan, np.float32))
    before = weights_of(agent)
    for _ in range(bad_steps):
        agent.train(bad)
    assert_same(weights_of(agent), before)
    agent.train(batch())
    agent.get_state()
    assert (agent.refused_steps, int(agent.train_step_counter)) == (bad_steps, 1)


def test_ten_refused_steps_in_a_row_are_too_many_to_skip():
    agent = make(on_nan="skip")
    bad = batch(reward=np.full((4, 2), np.nan, np.float32))

    def train_on_bad_batches():
        for _ in range(10):
            agent.train(bad)
        agent.get_state()

    with pytest.raises(NonFiniteError, match=r"\.reward holds NaN or infinity in 4 of 4 rows"):
        train_on_bad_batches()


def test_skipping_does_not_cover_for_actions_outside_their_spec():
    agent = make(on_nan="ignore")
    with pytest.raises(SpecError, match="action"):
        agent.train(batch(action=np.full((4, 2), 9, np.int32)))


def test_weights_of_shape_b1_are_refused():
    with pytest.raises(SpecError, match=r"one for each row\n +expected  \(\) or \(4,\) +got  \(4, 1\)"):
        make().train(batch(), np.ones((4, 1), np.float32))


def test_loss_changes_nothing_and_equals_train():
    agent, frames = make(), batch()
    before = weights_of(agent)
    loss = agent.loss(frames).loss
    assert_same(weights_of(agent), before)
    np.testing.assert_allclose(agent.train(frames).loss, loss, rtol=1e-6)


def test_whoever_holds_the_network_sees_it_train():
    agent = make()
    held = agent.trainable_variables[0]
    before = np.asarray(held.get_value())
    agent.train(batch())
    assert np.abs(np.asarray(held.get_value()) - before).max() > 0
    held.set_value(jnp.zeros_like(held.get_value()))
    agent.train(batch(), np.float32(0.0))
    kernel = next(iter(jax.tree.leaves(agent.get_state().params["q_network"])))
    assert np.isfinite(kernel).all()


def test_train_many_equals_train_in_turn():
    one, many = make(), make()
    batches = [batch(seed=s) for s in range(5)]
    losses = [float(one.train(b).loss) for b in batches]
    stacked = jax.tree.map(lambda *x: np.stack(x), *batches)
    info = many.train_many(stacked)
    np.testing.assert_allclose(info.loss, losses, rtol=1e-5)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6), weights_of(one), weights_of(many))
    assert int(many.train_step_counter) == 5


def test_single_and_many_steps_follow_each_other_and_the_state_can_be_looked_at_in_between():
    one, mixed = make(optimizer=optax.adam(1e-2)), make(optimizer=optax.adam(1e-2))
    batches = [batch(seed=s) for s in range(6)]
    for frames in batches:
        one.train(frames)
    mixed.train(batches[0])
    mixed.train_many(jax.tree.map(lambda *x: np.stack(x), *batches[1:3]))
    seen = jax.tree.map(np.array, mixed.get_state())
    for frames in batches[3:5]:
        mixed.train(frames)
    mixed.set_state(jax.tree.map(jnp.array, mixed.get_state()))
    mixed.train(batches[5])
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6), one.get_state(), mixed.get_state()
    )
    assert (int(seen.train_step), int(mixed.get_state().train_step)) == (3, 6)


def test_initialize_with_a_seed_draws_new_weights_and_copies_them_to_the_target():
    agent = make()
    before = weights_of(agent).params
    agent.initialize(seed=1)
    state = weights_of(agent)
    assert any(np.any(a != b) for a, b in zip(jax.tree.leaves(before), jax.tree.leaves(state.params), strict=True))
    assert_same(state.memory.target_q_network.params, state.params["q_network"])
    again = make()
    again.initialize(seed=1)
    assert_same(weights_of(again), state)


def test_init_is_vmappable_over_seeds():
    agent = make()
    states = jax.jit(jax.vmap(agent.init))(jax.random.split(jax.random.key(0), 3))
    leaf = jax.tree.leaves(states.params)[0]
    assert leaf.shape[0] == 3
    update = jax.jit(jax.vmap(agent.update, in_axes=(0, None)))
    states, info = update(states, batch())
    assert info.loss.shape == (3,)


def test_nothing_recompiles_after_the_first_call():
    agent = make()
    for seed in range(4):
        agent.train(batch(seed=seed))
    assert agent._compiled_update._cache_size() == 1


def test_a_transition_trains_like_the_frames_it_came_from():
    frames = batch()
    a, b = make(), make()
    transition = jax.tree.map(np.asarray, to_n_step_transition(frames, 0.9))
    np.testing.assert_allclose(a.train(frames).loss, b.train(transition).loss, rtol=1e-6)


def test_extra_keys_are_dropped_and_missing_ones_named():
    agent = make_masked()
    frames = batch()
    observation = {"obs": frames.observation, "mask": np.ones((4, 2, 3), bool), "camera": np.zeros((4, 2))}
    with pytest.warns(JaxdawWarning, match="drops entries"):
        assert np.isfinite(agent.train(frames._replace(observation=observation)).loss)
    with pytest.raises(SpecError, match="mask"):
        agent.train(frames._replace(observation={"obs": frames.observation}))


def test_an_empty_batch_is_refused_and_other_sizes_are_fine():
    agent = make()
    with pytest.raises(SpecError, match="empty"):
        agent.train(batch(rows=0))
    for rows in (1, 3):
        assert np.isfinite(agent.train(batch(rows=rows)).loss)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"gamma": 1.01}, "gamma"),
        ({"gamma": float("nan")}, "gamma"),
        ({"target_update_tau": 2.0}, "target_update_tau"),
        ({"target_update_period": 0}, "target_update_period"),
        ({"target_update_period": 1.5}, "target_update_period"),
        ({"n_step_update": 0}, "n_step_update"),
        ({"epsilon_greedy": -0.1}, "epsilon"),
        ({"epsilon_greedy": 1.5}, "epsilon"),
        ({"epsilon_greedy": float("nan")}, "epsilon"),
        ({"boltzmann_temperature": 0.0}, "temperature"),
        ({"gradient_clipping": 0.0}, "gradient_clipping"),
        ({"reward_scale_factor": float("nan")}, "reward_scale_factor"),
        ({"on_nan": "skipp"}, "on_nan"),
        ({"epsilon_greedy": 0.1, "boltzmann_temperature": 1.0}, "exclude each other"),
    ],
)
def test_constructor_refuses_numbers_outside_their_range(options, message):
    with pytest.raises(ConfigError, match=message):
        make(**options)


def test_optimizers_of_other_libraries_are_refused():
    with pytest.raises(ConfigError, match=r"optax\.adam\(1e-3\)"):
        make(optimizer=object())


def test_summaries_leave_the_compiled_step():
    agent = make(debug_summaries=True, summarize_grads_and_vars=True, summary_interval=2)
    agent.train(batch())
    first = jax.device_get(agent.summaries)
    tags = {"Losses/td_loss", "Losses/reg_loss", "Losses/total_loss", "loss/td_error/histogram", "loss/q_values/mean"}
    tags |= {"loss/next_q_values/max", "loss/diff_q_values/std", "loss/td_loss/mean_abs"}
    assert tags <= set(first)
    names = [tag for tag in first if tag.startswith("summarize_grads/")]
    assert len(names) == 8  # two layers, kernel and bias, histogram and norm
    histogram = first["loss/td_error/histogram"]
    assert isinstance(histogram, Histogram)
    assert histogram.counts.sum() == 4
    agent.train(batch(seed=1))  # not due: train step 1
    assert float(agent.summaries["Losses/total_loss"]) == float(first["Losses/total_loss"])
    agent.train(batch(seed=2))
    assert float(agent.summaries["Losses/total_loss"]) != float(first["Losses/total_loss"])


def test_summaries_can_be_turned_off():
    agent = make(debug_summaries=True, summarize_grads_and_vars=True, enable_summaries=False)
    agent.train(batch())
    assert agent.summaries == {}
    assert not any([agent.debug_summaries, agent.summarize_grads_and_vars, agent.summaries_enabled])


def test_module_surface():
    agent = make(name="Learner")
    assert (agent.name, agent.name_scope) == ("Learner", "Learner")
    assert agent._q_network in agent.submodules
    assert len(agent.variables) == 2 * len(agent.trainable_variables)
    assert agent.post_process_policy() is agent.policy
    frames = batch()
    assert agent.preprocess_sequence(frames) is frames
    assert agent.collect_data_spec.action == agent.action_spec
    assert agent.train_sequence_length == 2


def test_many_shapes_of_experience_warn():
    agent = make()
    for rows in range(1, 8):
        agent.loss(batch(rows=rows))
    with pytest.warns(JaxdawWarning, match="compiled for 8 different shapes"):
        agent.loss(batch(rows=8))


def test_extra_entries_are_dropped_with_a_warning():
    agent = make_masked()
    observation = {"obs": batch().observation, "mask": np.ones((4, 2, 3), bool), "more": np.zeros((4, 2))}
    with pytest.warns(JaxdawWarning, match="drops entries of the experience"):
        agent.train(batch(observation=observation))
    observation["obs"] = np.full((4, 2, 3), np.nan, np.float32)
    with pytest.warns(JaxdawWarning), pytest.raises(NonFiniteError, match=r"observation.*NaN"):
        agent.train(batch(observation=observation))  # found before the step, like NaN in a batch without them


def test_every_refused_batch_is_reported_with_its_own_number_and_no_other():
    agent = make(on_nan="skip")
    bad = jax.tree.map(jnp.asarray, batch(reward=np.full((4, 2), np.nan, np.float32)))
    wrong = jax.tree.map(jnp.asarray, batch(step_type=np.full((4, 2), 7, np.int32)))
    agent.train(wrong).loss.block_until_ready()
    with pytest.raises(SpecError, match="step type") as first:
        agent.train(jax.tree.map(jnp.asarray, batch(action=np.full((4, 2), 9, np.int32))))
    with pytest.raises(SpecError, match="action") as second:
        agent.get_state()
    numbers = [error.value.__notes__[0].split(" of those")[0].strip() for error in (first, second)]
    assert numbers == ["It was batch 1", "It was batch 2"]
    agent.train(bad)
    agent.train(batch(), jnp.array([1.0, -1.0, 1.0, 1.0]))
    with pytest.raises(SpecError, match="weights must be finite and not negative"):
        agent.get_state()
    assert (agent.refused_steps, int(agent.train_step_counter)) == (4, 0)


def test_refused_steps_of_several_are_counted_one_by_one():
    agent = make(on_nan="skip")
    batches = [batch(seed=s) if s % 2 else batch(reward=np.full((4, 2), np.nan, np.float32)) for s in range(24)]
    agent.train_many(jax.tree.map(lambda *x: jnp.stack(x), *batches))
    agent.get_state()  # never ten in a row
    assert (agent.refused_steps, int(agent.train_step_counter)) == (12, 12)


def test_a_deep_copy_is_an_agent_of_its_own_in_the_same_state():
    agent = make(optimizer=optax.adam(1e-2))
    agent.train(batch())
    twin = copy.copy(copy.deepcopy(agent))
    assert_same(weights_of(twin), weights_of(agent))
    assert (int(twin.train_step_counter), twin.train_step_counter is agent.train_step_counter) == (1, False)
    before = weights_of(agent)
    twin.train(batch(seed=1))
    assert_same(weights_of(agent), before)
    agent.train(batch(seed=1))
    assert_same(weights_of(twin), weights_of(agent))
    with pytest.raises(TypeError, match="save_policy"):
        pickle.dumps(agent)


def test_policies_act_in_other_threads_while_the_agent_trains():
    agent, stop, seen = make(optimizer=optax.sgd(0.1)), threading.Event(), []
    observation = np.ones((2, 3), np.float32)
    policies = [agent.policy, agent.collect_policy] * 2

    def act(policy):
        try:
            while not stop.is_set():
                policy.action(observation, seed=0)
            seen.append(None)
        except Exception as error:  # handed to the thread that asserts
            seen.append(error)

    threads = [threading.Thread(target=act, args=(policy,)) for policy in policies]
    for thread in threads:
        thread.start()
    try:
        for step in range(300):
            agent.train(batch(seed=step))
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert seen == [None] * 4


def test_a_layer_that_is_handed_over_ready_made_is_copied_for_the_target():
    layer = nnx.Linear(3, 3, rngs=nnx.Rngs(0))

    def make_network():
        return networks.Network.from_factory(lambda rngs: layer, OBSERVATION)

    agent = make(network=make_network(), optimizer=optax.sgd(0.1), target_update_period=2)
    start = np.asarray(layer.kernel[...])
    agent.train(batch())
    target = agent.target_q_network.get_weights().params
    np.testing.assert_array_equal(jax.tree.leaves(target)[1], start)  # not due yet
    assert np.any(np.asarray(layer.kernel[...]) != start)
    with pytest.warns(UserWarning, match="a copy is used"):
        shared = make(network=make_network(), target_q_network=make_network(), target_update_period=2)
    online = {id(variable) for variable in shared.trainable_variables}
    assert not online & {id(variable) for variable in shared.target_q_network.variables}
    assert np.isfinite(shared.train(batch()).loss)
