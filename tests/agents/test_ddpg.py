"""DDPG: the actor follows the critic's gradient by its actions, and the noise that it explores with. Numbers:
tests/golden."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdaw import networks, trajectories
from jaxdaw.agents import DdpgAgent
from jaxdaw.errors import ConfigError
from jaxdaw.policies import OUNoisePolicy
from jaxdaw.trajectories import StepType

from .batches import weights_of
from .steering import OBSERVATION, STEER, batch, make


def step_of_the_actor(frames, **options):
    """The negative gradient that the actor stepped along, and the one by hand from dQ/da and the actor's Jacobian."""
    agent = make(DdpgAgent, rates=(1.0, 0.0), **options)
    state, observation = agent.get_state(), frames.observation[:, 0]
    before = jax.tree.map(np.array, state.params["actor_network"])
    own, values = agent._actor_network, agent._critics["critic_network"]

    def action_of(params):
        return own.apply(agent.weights_of(state, "actor_network", {"actor_network": params}), observation)[0]

    action, pullback = jax.vjp(action_of, state.params["actor_network"])
    critic = agent.weights_of(state, "critic_network")
    slope = jax.grad(lambda a: jnp.sum(values.apply(critic, (observation, a))[0]))(action)
    limit = options.get("dqda_clipping") or np.inf
    real = (frames.step_type[:, 0] != StepType.LAST)[:, None]
    (by_hand,) = pullback(jnp.where(real, jnp.clip(slope, -limit, limit), 0.0) / np.sum(real))
    info = agent.train(frames)
    after = weights_of(agent).params["actor_network"]
    return jax.tree.map(lambda a, b: b - a, before, after), by_hand, info, np.asarray(slope)


@pytest.mark.parametrize("clipping", [None, 0.0, 0.05])
def test_the_actor_follows_the_clipped_gradient_of_the_value_by_the_action(clipping):
    frames = batch()
    frames.step_type[2, 0] = StepType.LAST
    moved, by_hand, _, slope = step_of_the_actor(frames, dqda_clipping=clipping)
    assert np.abs(slope).max() > 0.05
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6), moved, by_hand)


def test_clipping_changes_the_gradient_and_not_the_loss():
    infos = [step_of_the_actor(batch(), dqda_clipping=clipping)[2] for clipping in (None, 0.01)]
    np.testing.assert_allclose(infos[0].loss, infos[1].loss, rtol=1e-6)


def test_recurrent_networks_follow_gradients_through_time():
    """An early action moves later values through the critic's memory: the frames before the last act on it."""
    agent = make(
        DdpgAgent,
        rates=(1.0, 0.0),
        actor_network=networks.ActorRnnNetwork(
            OBSERVATION, STEER, input_fc_layer_params=None, lstm_size=(3,), output_fc_layer_params=None
        ),
        critic_network=networks.CriticRnnNetwork(
            (OBSERVATION, STEER),
            observation_fc_layer_params=None,
            action_fc_layer_params=None,
            joint_fc_layer_params=None,
            lstm_size=(3,),
            output_fc_layer_params=None,
        ),
        dqda_clipping=1e3,
    )
    assert agent.train_sequence_length is None
    frames = batch(frames=4)
    before = weights_of(agent).params["actor_network"]
    unclipped = make_like(agent, before)
    for one in (agent, unclipped):
        one.train(frames)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-7),
        weights_of(agent).params,
        weights_of(unclipped).params,
    )
    assert any(
        np.any(a != b) for a, b in zip(*map(jax.tree.leaves, (before, weights_of(agent).params["actor_network"])))
    )


def make_like(agent, params):
    """The same agent with gradients that are not clipped, which are computed in another way."""
    arguments = {**agent.constructor_arguments(), "dqda_clipping": None}
    arguments |= {name: arguments[name].clone() for name in ("actor_network", "critic_network")}
    other = DdpgAgent.from_constructor_arguments(arguments)
    jax.tree.map(np.testing.assert_array_equal, weights_of(other).params["actor_network"], params)
    return other


def test_the_noise_drifts_within_an_episode_and_starts_anew_with_the_next():
    agent = make(DdpgAgent, ou_stddev=0.1, ou_damping=0.0)
    policy = agent.collect_policy
    assert isinstance(policy, OUNoisePolicy)
    step, state, sizes = (
        trajectories.restart(np.ones((200, 3), np.float32), batch_size=200),
        policy.initial_state(200),
        [],
    )
    for k in range(5):
        kind = StepType.FIRST if k in (0, 4) else StepType.MID
        chosen = policy.action(step._replace(step_type=np.full(200, kind, np.int32)), state, seed=k)
        state = chosen.state
        sizes.append(np.std(state.noise))
    np.testing.assert_allclose(sizes, 0.1 * np.sqrt([1, 2, 3, 4, 1]), rtol=0.15)


@pytest.mark.parametrize(
    "options", [{"ou_stddev": -1.0}, {"ou_damping": 1.5}, {"dqda_clipping": -1.0}], ids=lambda o: next(iter(o))
)
def test_numbers_outside_their_range_are_refused_by_name(options):
    with pytest.raises(ConfigError, match=next(iter(options))):
        make(DdpgAgent, **options)
