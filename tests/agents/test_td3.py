"""TD3: the lower of two critics, smoothed actions within their bounds, and the actor's delay. Numbers: tests/golden."""

import inspect

import jax
import numpy as np
import pytest

from jaxdaw.agents import Td3Agent
from jaxdaw.errors import ConfigError

from .batches import weights_of
from .steering import batch, critic, make


def test_the_target_is_the_lower_of_both_critics():
    agent = make(target_policy_noise=0.0)
    frames = batch(rows=50)
    now, following = frames.observation[:, 0], frames.observation[:, 1]
    action = agent.target_actor_network(following)[0]
    both = [np.asarray(t((following, action))[0]) for t in (agent.target_critic_network, agent.target_critic_network_2)]
    assert 0 < np.mean(both[0] < both[1]) < 1
    target = frames.reward[:, 0] + 0.9 * np.minimum(*both)
    loss = 0.0
    for network in agent._critics.values():
        error = np.abs(target - np.asarray(network((now, frames.action[:, 0]))[0]))
        loss += np.where(error <= 1, error**2 / 2, error - 0.5).mean()
    np.testing.assert_allclose(agent.loss(frames).extra.critic_loss, loss, rtol=1e-5)


def test_the_second_critic_has_weights_of_its_own():
    agent = make()
    one, two = (agent._critics[name].get_weights().params for name in ("critic_network", "critic_network_2"))
    kernels = [weights["encoder"]["joint"]["layer_0"]["kernel"] for weights in (one, two)]
    assert np.all(kernels[0] != kernels[1])
    network = critic()
    with pytest.raises(ConfigError, match="critic_network_2 shares weights with critic_network"):
        make(critic_network=network, critic_network_2=network)
    with pytest.raises(ConfigError, match="target_critic_network_2 has no effect"):
        make(target_critic_network_2=critic())


def test_noise_on_target_actions_is_clipped_and_keeps_them_within_their_bounds():
    """The bounds are [-1, 1] and [0, 3]; the middle of the first is 0, and 3 is the second's highest."""
    agent = make(target_policy_noise=0.5, target_policy_noise_clip=0.25)
    action = np.tile(np.float32([0.0, 2.9]), (200, 1))
    noisy = np.asarray(agent._target_action(action, jax.random.key(0)))
    np.testing.assert_allclose([noisy[:, 0].min(), noisy[:, 0].max()], [-0.25, 0.25])
    np.testing.assert_allclose([noisy[:, 1].min(), noisy[:, 1].max()], [2.65, 3.0])
    assert len(np.unique(noisy[:, 0])) > 5  # each row its own
    calm = make(target_policy_noise=0.0)
    np.testing.assert_array_equal(calm._target_action(action, jax.random.key(0)), action)


def test_noise_can_be_in_units_of_half_the_width_of_the_bounds():
    """Half of the widths are 1 and 1.5."""
    agent = make(target_policy_noise=5.0, target_policy_noise_clip=0.1, scale_noise_to_bounds=True)
    action = np.tile(np.float32([0.0, 1.5]), (200, 1))
    noisy = np.asarray(agent._target_action(action, jax.random.key(0))) - action
    np.testing.assert_allclose(noisy.max(axis=0), [0.1, 0.15], rtol=1e-5)
    np.testing.assert_allclose(agent.collect_policy._units, [1.0, 1.5])


def test_noise_differs_from_step_to_step_and_from_seed_to_seed():
    agent = make(target_policy_noise=1.0, target_policy_noise_clip=5.0, rates=(1e-9, 1e-9), target_update_tau=0.0)
    frames, losses = batch(), set()
    for seed in (0, 1):
        agent.initialize(seed)
        state = agent.init(jax.random.key(7))._replace(key=agent.get_state().key)
        agent.set_state(jax.tree.map(np.array, state))
        losses |= {float(agent.train(frames).extra.critic_loss) for _ in range(2)}
    assert len(losses) == 4


def test_the_actor_steps_in_the_first_train_step_and_then_each_period():
    agent, moved, losses = make(actor_update_period=3), [], []
    for seed in range(5):
        before = weights_of(agent)
        expected = agent.loss(batch(seed=seed), training=True)
        info = agent.train(batch(seed=seed))
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), info.extra, expected.extra)
        losses.append(float(info.extra.actor_loss))
        same = jax.tree.map(np.array_equal, before.params["actor_network"], weights_of(agent).params["actor_network"])
        moved.append(not all(jax.tree.leaves(same)))
    assert moved == [True, False, False, True, False]
    assert np.all(losses)  # reported where the actor waits, too


def test_a_population_delays_its_actors_as_one_agent_does():
    """The second step is not the actor's; under `vmap` both branches of a condition are computed, and one is taken."""
    agent = make(actor_update_period=2)
    states = jax.vmap(agent.init)(jax.random.split(jax.random.key(0), 2))
    steps = jax.jit(lambda state: agent.update_many(state, jax.tree.map(lambda x: np.stack([x, x]), batch())))
    alone, info = steps(jax.tree.map(lambda x: x[1], states))
    states, together = jax.jit(jax.vmap(steps))(states)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a[1], b, rtol=1e-4, atol=1e-6),
        (states.params, together.loss),
        (alone.params, info.loss),
    )


@pytest.mark.parametrize(
    "options",
    [
        {"actor_update_period": 0},
        {"exploration_noise_std": -1.0},
        {"target_policy_noise": -1.0},
        {"target_policy_noise_clip": np.nan},
    ],
    ids=lambda options: next(iter(options)),
)
def test_numbers_outside_their_range_are_refused_by_name(options):
    with pytest.raises(ConfigError, match=next(iter(options))):
        make(Td3Agent, **options)


def test_the_arguments_of_the_reference_come_in_its_order():
    names = list(inspect.signature(Td3Agent.__init__).parameters)[1:]
    assert names[:14] == [
        "time_step_spec", "action_spec", "actor_network", "critic_network", "actor_optimizer", "critic_optimizer",
        "exploration_noise_std", "critic_network_2", "target_actor_network", "target_critic_network",
        "target_critic_network_2", "target_update_tau", "target_update_period", "actor_update_period",
    ]  # fmt: skip
