"""SAC: targets, which rows count, the temperature, memory, and what is refused. Numbers: tests/golden."""

from __future__ import annotations

import copy
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxdaw import networks, specs, trajectories
from jaxdaw.agents import SacAgent
from jaxdaw.errors import ConfigError, JaxdawWarning, SpecError
from jaxdaw.policies import ActorPolicy, GreedyPolicy
from jaxdaw.testing import random_experience
from jaxdaw.trajectories import StepType

OBSERVATION = specs.BoundedTensorSpec((2,), np.float32, -1.0, 1.0, "observation")
ACTION = specs.BoundedTensorSpec((2,), np.float32, [-1.0, 0.0], [1.0, 3.0], "action")
STEP = trajectories.time_step_spec(OBSERVATION)


class Fixed(networks.Network):
    """A critic whose value is the sum of what it is given, times a weight."""

    def __init__(self, scale: float = 1.0, *, rngs: Any = 0):
        super().__init__((OBSERVATION, ACTION))
        self.scale = networks.Parameter(scale)

    def call(self, observation: Any) -> Any:
        return sum(jnp.sum(part, axis=-1) for part in observation) * self.scale.value[...], ()


class Certain(networks.Network):
    """An actor that always takes the same action, one number in each element."""

    def __init__(self, action: Any = 0.5, *, rngs: Any = 0):
        super().__init__(OBSERVATION)
        self.action = networks.Parameter(action)

    def call(self, observation: Any) -> Any:
        return jnp.broadcast_to(self.action.value[...], (*observation.shape[:-1], 2)), ()


def actor(action: Any = ACTION, **options: Any) -> networks.Network:
    return networks.ActorDistributionNetwork(
        OBSERVATION,
        action,
        fc_layer_params=(6,),
        continuous_projection_net=networks.TanhNormalProjection,
        **options,
    )


def critic(**options: Any) -> networks.Network:
    return networks.CriticNetwork((OBSERVATION, ACTION), joint_fc_layer_params=(6,), **options)


def make(action: Any = ACTION, **options: Any) -> SacAgent:
    given = {
        "critic_network": None,
        "actor_network": None,
        "actor_optimizer": optax.sgd(0.1),
        "critic_optimizer": optax.sgd(0.1),
        "alpha_optimizer": optax.sgd(0.1),
        "gamma": 0.9,
        "target_update_tau": 0.1,
        **options,
    }
    given["critic_network"] = critic() if given["critic_network"] is None else given["critic_network"]
    given["actor_network"] = actor(action) if given["actor_network"] is None else given["actor_network"]
    return SacAgent(STEP, action, **given)


def certain(**options: Any) -> SacAgent:
    """Fixed critics of scales 1 and 2, and a certain actor: the numbers can be computed by hand."""
    given = {"critic_network": Fixed(1.0), "critic_network_2": Fixed(2.0), "actor_network": Certain(0.5), **options}
    return make(**given)


def test_the_target_is_the_lesser_target_critic_and_truncation_is_no_termination():
    agent = certain(reward_scale_factor=2.0)
    frames = random_experience(agent, batch_size=2)
    frames = frames._replace(
        observation=np.float32([[[0, 0], [0.1, 0.2]]] * 2),
        action=np.float32([[[1, 1], [0, 0]]] * 2),
        reward=np.float32([[3, 0]] * 2),
        discount=np.float32([[1, 1], [0, 1]]),
        next_step_type=np.int32([[StepType.LAST, 0]] * 2),
    )
    # The next action is (0.5, 0.5) with log-probability 0, the next value the lesser of 1.3 and 2.6.
    target = 2 * 3 + 0.9 * np.float32([1, 0]) * 1.3
    errors = target - 2.0, target - 4.0  # scales 1 and 2 of 1 + 1
    np.testing.assert_allclose(agent.loss(frames).extra.actor_loss, -1.0, rtol=1e-5)  # the lesser of 1 and 2
    info = agent.loss(frames, training=True)
    np.testing.assert_allclose(info.extra.critic_loss, 0.5 * np.mean(errors[0] ** 2 + errors[1] ** 2), rtol=1e-5)
    np.testing.assert_allclose(info.extra.td_error, (np.abs(errors[0]) + np.abs(errors[1])) / 2, rtol=1e-5)
    # The critics step first: each weight moves by -0.1 * 0.5 * mean(-2 error * 2), then the lesser value counts.
    scales = [k + 0.1 * np.mean(2 * error) for k, error in zip((1.0, 2.0), errors, strict=True)]
    np.testing.assert_allclose(info.extra.actor_loss, -min(scales) * 1.0, rtol=1e-5)
    np.testing.assert_allclose(info.loss, sum(info.extra[:3]), rtol=1e-6)


def test_a_certain_actor_has_no_entropy_and_its_temperature_falls_at_a_constant_rate():
    agent = certain(target_entropy=-3.0, initial_log_alpha=1.0)
    for step in range(3):
        log_alpha = agent.get_state().params["log_alpha"]["value"]
        np.testing.assert_allclose(log_alpha, 1.0 - 0.1 * 3.0 * step, rtol=1e-5)  # the loss is 3 log alpha
        agent.train(random_experience(agent))


def test_boundary_frames_teach_nothing_and_count_in_no_mean():
    agent = certain()
    frames = random_experience(agent, batch_size=4)
    frames.step_type[1:3, 0] = StepType.LAST
    real = jax.tree.map(lambda x: x[[0, 3]], frames)
    spoiled = frames._replace(reward=np.where(frames.step_type == StepType.LAST, 1e6, frames.reward))
    found, expected = agent.loss(spoiled), agent.loss(real)
    np.testing.assert_allclose(found.extra[:3], expected.extra[:3], rtol=1e-5)
    np.testing.assert_array_equal(found.extra.td_error[1:3], 0.0)
    only = frames._replace(step_type=np.full_like(frames.step_type, StepType.LAST))
    assert float(agent.train(only).loss) == 0.0


def test_the_temperature_steers_the_entropy_to_the_target():
    for target, rises in ((-20.0, False), (20.0, True)):
        agent = certain(target_entropy=target)  # the entropy of a certain actor counts as 0
        agent.train(random_experience(agent))
        assert (float(agent.get_state().params["log_alpha"]["value"]) > 0) == rises
    by_alpha = certain(use_log_alpha_in_alpha_loss=False, initial_log_alpha=-1.0, target_entropy=0.5)
    loss = by_alpha.loss(random_experience(by_alpha)).extra.alpha_loss
    np.testing.assert_allclose(loss, np.exp(-1.0) * -0.5, rtol=1e-6)


def test_a_fixed_temperature_is_no_weight():
    agent = certain(alpha_optimizer=None, initial_log_alpha=-2.0)
    assert float(agent.train(random_experience(agent)).extra.alpha_loss) == 0.0
    state = agent.get_state()
    assert "log_alpha" not in state.params
    np.testing.assert_allclose(agent._alpha(state.params), np.exp(-2.0), rtol=1e-6)


def test_the_default_target_entropy_is_minus_the_number_of_elements():
    """`docs/differences.md, "the default target entropy of SAC"`: the reference's code takes half of it, here -1."""
    for options, target in (({}, -2.0), ({"target_entropy": -1.0}, -1.0)):
        agent = certain(initial_log_alpha=1.0, **options)
        np.testing.assert_allclose(agent.loss(random_experience(agent)).extra.alpha_loss, -target, rtol=1e-6)


def test_the_second_critic_is_fresh_and_each_target_is_its_own():
    agent = make()
    first, second = agent._critics.values()
    assert any(np.any(a.get_value() != b.get_value()) for a, b in zip(first.variables, second.variables, strict=True))
    agent.initialize(seed=1)
    state = agent.get_state()
    for label, target in zip(("critic_network", "critic_network_2"), state.memory, strict=True):
        jax.tree.map(np.testing.assert_array_equal, target.params, state.params[label])
    assert len(agent.variables) == len(jax.tree.leaves((state.params, state.memory)))


def test_targets_follow_every_period():
    agent = make(target_update_period=2)
    first = jax.tree.map(np.array, agent.get_state().memory)
    agent.train(random_experience(agent))
    jax.tree.map(np.testing.assert_array_equal, agent.get_state().memory, first)
    online = jax.tree.map(np.array, agent.train(random_experience(agent)) and agent.get_state())
    for old, moved, new in zip(
        jax.tree.leaves(first),
        jax.tree.leaves(online.memory),
        jax.tree.leaves([online.params[label] for label in agent._critics]),
        strict=True,
    ):
        np.testing.assert_allclose(moved, 0.9 * old + 0.1 * new, rtol=1e-5, atol=1e-7)


def test_policy_takes_the_mode_and_collect_policy_draws():
    agent = make()
    assert isinstance(agent.policy, GreedyPolicy)
    seen = np.zeros((3, 2), np.float32)
    greedy = [agent.policy.action(seen, seed=seed).action for seed in (0, 1)]
    np.testing.assert_array_equal(*greedy)
    drawn = [agent.collect_policy.action(seen, seed=seed).action for seed in (0, 1)]
    assert np.all(drawn[0] != drawn[1])
    assert np.all((drawn[0] >= ACTION.minimum) & (drawn[0] <= ACTION.maximum))

    class Named(ActorPolicy):
        pass

    assert isinstance(make(actor_policy_ctor=Named).collect_policy, Named)


def test_networks_with_memory_learn_from_sequences():
    memory = {"lstm_size": (3,), "output_fc_layer_params": None}
    recurrent_actor = networks.ActorDistributionRnnNetwork(
        OBSERVATION,
        ACTION,
        input_fc_layer_params=None,
        continuous_projection_net=networks.TanhNormalProjection,
        **memory,
    )
    recurrent_critic = networks.CriticRnnNetwork(
        (OBSERVATION, ACTION),
        observation_fc_layer_params=None,
        action_fc_layer_params=None,
        joint_fc_layer_params=None,
        **memory,
    )
    agent = make(actor_network=recurrent_actor, critic_network=recurrent_critic, gradient_clipping=1.0)
    assert agent.train_sequence_length is None
    frames = random_experience(agent, batch_size=2, num_frames=4)
    frames.step_type[0, 1] = StepType.LAST
    info = agent.train(frames)
    assert info.extra.td_error.shape == (2, 3)
    assert float(info.extra.td_error[0, 1]) == 0.0
    assert np.isfinite(info.loss)


def test_transitions_are_what_frames_become():
    agent = certain()
    frames = random_experience(agent, batch_size=3)
    frames.step_type[1, 0] = StepType.LAST
    steps = trajectories.to_n_step_transition(frames, 0.9)
    np.testing.assert_allclose(agent.loss(steps).extra[:3], agent.loss(frames).extra[:3], rtol=1e-6)


def test_nests_of_actions_need_a_critic_that_takes_them():
    nest = {"gas": specs.BoundedTensorSpec((), np.float32, 0.0, 1.0), "steer": ACTION}

    class OverNest(networks.Network):
        def __init__(self, *, rngs: Any = 0):
            super().__init__((OBSERVATION, nest))
            self.scale = networks.Parameter(1.0)

        def call(self, observation: Any) -> Any:
            return observation[1]["gas"] + jnp.sum(observation[1]["steer"], -1) * self.scale.value[...], ()

    agent = make(nest, actor_network=actor(nest), critic_network=OverNest())
    assert agent._entropy_target(STEP) == -3.0
    _, info = jax.eval_shape(agent.update, agent.get_state(), random_experience(agent))
    assert info.extra.td_error.shape == (6,)


def test_critics_are_given_actions_of_the_declared_dtype():
    narrow = specs.BoundedTensorSpec((2,), np.float16, -1.0, 1.0)
    agent = make(
        narrow,
        actor_network=actor(narrow),
        critic_network=networks.CriticNetwork((OBSERVATION, narrow), joint_fc_layer_params=(3,)),
    )
    _, info = jax.eval_shape(agent.update, agent.get_state(), random_experience(agent))
    assert info.loss.dtype == np.float32


def test_a_copy_is_independent():
    agent = make()
    agent.train(random_experience(agent))
    twin = copy.deepcopy(agent)
    jax.tree.map(np.testing.assert_array_equal, twin.get_state(), agent.get_state())
    before = jax.tree.map(np.array, agent.get_state().params)
    twin.train(random_experience(twin))
    jax.tree.map(np.testing.assert_array_equal, agent.get_state().params, before)


@pytest.mark.parametrize(
    ("wrong", "kind", "message"),
    [
        ({"action": specs.BoundedTensorSpec((), np.int32, 0, 2)}, NotImplementedError, "DiscreteSacAgent"),
        ({"action": specs.TensorSpec((2,), np.float32)}, SpecError, "acts between finite bounds"),
        ({"action": specs.BoundedTensorSpec((2,), np.float32, -np.inf, 1)}, SpecError, "acts between finite bounds"),
        ({"action": specs.BoundedTensorSpec((2,), np.float32, [0, 1], [1, 1])}, SpecError, "single value"),
        ({"action": {"a": ACTION, "n": specs.BoundedTensorSpec((), np.int32, 0, 2)}}, NotImplementedError, "at .*n"),
        ({"action": {"a": ACTION, "b": ACTION}}, SpecError, "what CriticNetwork would be given"),
        ({"actor_network": "mlp"}, ConfigError, "actor_network is not a Network"),
        ({"critic_network": "mlp"}, ConfigError, "critic_network is not a Network"),
        ({"critic_network_2": actor()}, SpecError, "what ActorDistributionNetwork would be given"),
        ({"critic_optimizer": None}, ConfigError, "critic_optimizer is not an optax transformation"),
        ({"target_update_tau": 2.0}, ConfigError, "target_update_tau"),
        ({"target_critic_network_2": Fixed()}, ConfigError, "target_critic_network_2 has another structure"),
        ({"gamma": 1.5}, ConfigError, "gamma"),
        ({"actor_loss_weight": -1.0}, ConfigError, "actor_loss_weight"),
        ({"critic_loss_weight": np.nan}, ConfigError, "critic_loss_weight"),
        ({"initial_log_alpha": 100.0}, ConfigError, "initial_log_alpha"),
        ({"target_entropy": np.inf}, ConfigError, "target_entropy"),
        ({"reward_scale_factor": np.inf}, ConfigError, "reward_scale_factor"),
        ({"target_update_period": 0}, ConfigError, "target_update_period"),
    ],
)  # fmt: skip
def test_constructor_refuses(wrong: dict[str, Any], kind: type[Exception], message: str):
    given: dict[str, Any] = {"actor_network": Certain()} if "action" in wrong else {}
    if "CriticNetwork" in message:
        given = {"actor_network": actor(wrong["action"])}
    with pytest.raises(kind, match=message):
        make(**{**given, **wrong})


def test_a_shared_target_is_copied_and_rare_defaults_warn():
    shared = critic()
    with pytest.warns(UserWarning, match="target_critic_network shares weights with critic_network"):
        agent = make(critic_network=shared, target_critic_network=shared)
    assert agent._targets[0] is not shared
    with pytest.warns(JaxdawWarning, match="gamma=1.0"):
        make(gamma=1.0)
