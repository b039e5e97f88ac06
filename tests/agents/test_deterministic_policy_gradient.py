"""What DDPG and TD3 share: targets, boundaries, which network moves by which loss, and what is refused."""

import jax
import numpy as np
import optax
import pytest

from jaxdaw import networks, specs, trajectories
from jaxdaw.agents import DdpgAgent, Td3Agent
from jaxdaw.errors import ConfigError, JaxdawWarning, SpecError
from jaxdaw.trajectories import StepType

from .batches import assert_same, weights_of
from .steering import KINDS, OBSERVATION, STEER, STEP, actor, batch, critic, make


@pytest.mark.parametrize("discount", [1.0, 0.0])
def test_truncation_bootstraps_and_termination_does_not(discount):
    """The target is 1 + 0.9 * discount * Q'(s', mu'(s')), for a frame that ends its episode in either way."""
    agent = make(DdpgAgent)
    frames = batch(
        reward=np.ones((4, 2), np.float32),
        discount=np.full((4, 2), discount, np.float32),
        next_step_type=np.full((4, 2), StepType.LAST, np.int32),
    )
    following = frames.observation[:, 1]
    own = agent.target_actor_network(following)[0]
    target = 1.0 + 0.9 * discount * np.asarray(agent.target_critic_network((following, own))[0])
    values = np.asarray(agent._critics["critic_network"]((frames.observation[:, 0], frames.action[:, 0]))[0])
    error = np.abs(target - values)
    huber = np.where(error <= 1, error**2 / 2, error - 0.5)
    np.testing.assert_allclose(agent.loss(frames).extra.critic_loss, huber.mean(), rtol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_boundary_frames_teach_nothing_and_count_in_no_mean(kind):
    frames = batch()
    frames.step_type[1, 0] = StepType.LAST
    spoiled = frames._replace(reward=frames.reward.copy(), action=frames.action.copy())
    spoiled.reward[1], spoiled.action[1] = 99.0, 0.5
    with_weights, by_type, with_others = (make(kind) for _ in range(3))
    losses = [
        with_weights.train(batch(), np.float32([4, 0, 4, 4]) / 3).loss,
        by_type.train(frames).loss,
        with_others.train(spoiled).loss,
    ]
    np.testing.assert_allclose(losses, losses[0], rtol=1e-6)
    for other in (by_type, with_others):
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7),
            weights_of(with_weights).params,
            weights_of(other).params,
        )


@pytest.mark.parametrize("kind", KINDS)
def test_each_optimizer_moves_its_own_networks_by_its_own_loss(kind):
    for rates, moves in (((0.1, 0.0), {"actor_network"}), ((0.0, 0.1), {"critic_network", "critic_network_2"})):
        agent = make(kind, rates=rates)
        before = weights_of(agent).params
        agent.train(batch())
        after = weights_of(agent).params
        moved = {name for name in after if any(map(np.any, jax.tree.leaves(_difference(before[name], after[name]))))}
        assert moved == moves & after.keys()


def _difference(one, other):
    return jax.tree.map(lambda a, b: a != b, one, other)


@pytest.mark.parametrize("kind", KINDS)
def test_the_actor_climbs_the_first_critic(kind):
    """Along the gradient of the mean value a step of rate r gains r |g|^2, up to its square."""
    agent, frames = make(kind, rates=(1e-2, 0.0)), batch()
    observation = frames.observation[:, 0]

    def value():
        return float(np.mean(agent._critics["critic_network"]((observation, agent._actor_network(observation)[0]))[0]))

    before, params = value(), weights_of(agent).params["actor_network"]
    agent.train(frames)
    after = weights_of(agent).params["actor_network"]
    steps = jax.tree.leaves(jax.tree.map(lambda a, b: np.sum(np.square((b - a) / 1e-2)), params, after))
    np.testing.assert_allclose(value() - before, 1e-2 * sum(steps), rtol=0.05)


@pytest.mark.parametrize("kind", KINDS)
def test_the_loss_of_training_is_that_of_train_and_otherwise_of_the_present_weights(kind):
    agent, frames = make(kind), batch()
    present, trained = agent.loss(frames), agent.loss(frames, training=True)
    info = agent.train(frames)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), info.extra, trained.extra)
    np.testing.assert_allclose(info.loss, info.extra.actor_loss + info.extra.critic_loss, rtol=1e-6)
    np.testing.assert_allclose(present.extra.critic_loss, info.extra.critic_loss, rtol=1e-6)
    assert abs(present.extra.actor_loss - info.extra.actor_loss) > 1e-4  # the critics have moved since


@pytest.mark.parametrize("period", [1, 3])
def test_the_targets_move_by_their_share_at_multiples_of_their_period(period):
    agent = make(Td3Agent, target_update_tau=0.25, target_update_period=period)
    agent.initialize()
    for call in range(1, 4):
        before = weights_of(agent)
        agent.train(batch(seed=call))
        after = weights_of(agent)
        assert set(after.memory.targets) == {"actor_network", "critic_network", "critic_network_2"}
        for name, target in after.memory.targets.items():
            held = before.memory.targets[name].params
            if call % period == 0:
                held = jax.tree.map(lambda old, new: 0.75 * old + 0.25 * new, held, after.params[name])
            jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7), target.params, held)
    shown = (agent.target_actor_network, agent.target_critic_network, agent.target_critic_network_2)
    for network, target in zip(shown, weights_of(agent).memory.targets.values(), strict=True):
        assert_same(jax.tree.map(np.asarray, network.get_weights().params), target.params)


def test_given_target_networks_keep_their_weights_until_initialize():
    given = actor(rngs=7)
    own = jax.tree.map(np.array, given.get_weights().params)
    agent = make(DdpgAgent, target_actor_network=given)
    assert_same(weights_of(agent).memory.targets["actor_network"].params, own)
    agent.initialize()
    state = weights_of(agent)
    assert_same(state.memory.targets["actor_network"].params, state.params["actor_network"])
    network = critic()
    with pytest.warns(UserWarning, match="target_critic_network shares weights with critic_network"):
        make(DdpgAgent, critic_network=network, target_critic_network=network)


@pytest.mark.parametrize("kind", KINDS)
def test_rows_explore_on_their_own_within_the_bounds_and_the_policy_does_not(kind):
    options = {"ou_stddev": 5.0} if kind is DdpgAgent else {"exploration_noise_std": 5.0}
    agent = make(kind, **options)
    step = trajectories.restart(np.ones((50, 3), np.float32), batch_size=50)
    policy_step = agent.policy.action(step)
    assert len(np.unique(policy_step.action[:, 1])) == 1
    drawn = agent.collect_policy.action(step, seed=0).action
    assert len(np.unique(drawn[:, 1])) > 10
    specs.check(drawn, STEER, (50,))


def test_an_agent_without_optimizers_acts_and_cannot_train():
    agent = DdpgAgent(STEP, STEER, actor(), critic(), gamma=0.9, target_update_tau=0.5)
    assert agent.policy.action(trajectories.restart(np.ones((1, 3), np.float32), batch_size=1)).action.shape == (1, 2)
    with pytest.raises(ConfigError, match="cannot train without critic_optimizer"):
        agent.train(batch())
    agent = make(Td3Agent, actor_optimizer=None)
    with pytest.raises(ConfigError, match="cannot train without actor_optimizer"):
        agent.train(batch())


NEST = {"gas": specs.BoundedTensorSpec((), np.float32, 0.0, 1.0), "steer": STEER}


class NestedActor(networks.Network):
    """Two actions from one observation."""

    def __init__(self, *, rngs=0):
        super().__init__(OBSERVATION)
        rngs = networks.as_rngs(rngs)
        self.gas = networks.ActorNetwork(OBSERVATION, NEST["gas"], rngs=rngs)
        self.steer = networks.ActorNetwork(OBSERVATION, STEER, rngs=rngs)

    def call(self, observation):
        return {"gas": self.gas(observation)[0], "steer": self.steer(observation)[0]}, ()


class NestedCritic(networks.Network):
    """The sum of one critic for each action."""

    def __init__(self, *, rngs=0):
        super().__init__((OBSERVATION, NEST))
        rngs = networks.as_rngs(rngs)
        self.gas = networks.CriticNetwork((OBSERVATION, NEST["gas"]), joint_fc_layer_params=(5,), rngs=rngs)
        self.steer = networks.CriticNetwork((OBSERVATION, STEER), joint_fc_layer_params=(5,), rngs=rngs)

    def call(self, observation):
        state, action = observation
        return self.gas((state, action["gas"]))[0] + self.steer((state, action["steer"]))[0], ()


@pytest.mark.parametrize(("kind", "options"), [(DdpgAgent, {"dqda_clipping": 0.1}), (Td3Agent, {})])
def test_nested_actions_train_with_networks_of_ones_own(kind, options):
    agent = make(kind, NEST, actor_network=NestedActor(), critic_network=NestedCritic(rngs=1), **options)
    before = weights_of(agent).params
    plain = batch()
    agent.train(plain._replace(action={"gas": plain.action[..., 0] ** 2, "steer": plain.action}))
    moved = jax.tree.map(lambda a, b: bool(np.any(a != b)), before, weights_of(agent).params)
    assert all(any(jax.tree.leaves(moved[name][part])) for name in moved for part in ("gas", "steer"))


@pytest.mark.parametrize(
    ("kind", "options"), [(DdpgAgent, {"dqda_clipping": 0.1}), (Td3Agent, {"scale_noise_to_bounds": True})]
)
def test_narrow_floats_train(kind, options):
    narrow = specs.BoundedTensorSpec((2,), np.float16, -1, 1)
    agent = make(kind, narrow, **options)
    frames = batch()
    info = agent.train(frames._replace(action=frames.action.astype(np.float16)))
    assert np.isfinite(info.loss)
    assert info.loss.dtype == np.float32


def test_summaries_of_a_delayed_actor_have_its_tags_from_the_first_step_on():
    agent = make(actor_update_period=2, debug_summaries=True, summarize_grads_and_vars=True, summary_interval=1)
    norm = "actor_optimizer/summarize_grads/actor_network/action/kernel_gradient_norm"
    norms = []
    for seed in range(3):
        agent.train(batch(seed=seed))
        norms.append(float(agent.summaries[norm]))
    assert norms[0] > 0
    assert norms[1] == 0  # not its turn
    assert norms[2] > 0
    assert "critic_optimizer/critic_network_2/td_error/mean" in agent.summaries
    assert "actor_optimizer/actor/action/mean" in agent.summaries


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("spec", "text"),
    [
        (specs.BoundedTensorSpec((2,), np.int32, 0, 1), "int32"),
        (specs.TensorSpec((2,), np.float32), "TensorSpec"),
        (specs.BoundedTensorSpec((2,), np.float32, [-1, -1], [1, np.inf]), "inf"),
        ({"steer": STEER, "gear": specs.BoundedTensorSpec((), np.int32, 0, 1)}, r"at \['gear'\]"),
    ],
    ids=["integers", "unbounded", "infinite", "mixed"],
)
def test_actions_without_finite_bounds_are_refused(kind, spec, text):
    with pytest.raises(SpecError, match=f"(?s){kind.__name__} acts .*{text}"):
        kind(STEP, spec, actor(), critic(), None, None, gamma=0.9, target_update_tau=0.5)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "options",
    [
        {"gamma": 1.5},
        {"target_update_tau": -0.1},
        {"target_update_period": 0},
        {"reward_scale_factor": np.inf},
        {"gradient_clipping": 0.0},
    ],
    ids=lambda options: next(iter(options)),
)
def test_numbers_outside_their_range_are_refused_by_name(kind, options):
    with pytest.raises(ConfigError, match=next(iter(options))):
        make(kind, **options)


OTHER = specs.TensorSpec((4,), np.float32)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"actor_network": None}, "actor_network is not a Network"),
        ({"critic_network": None}, "critic_network is not a Network"),
        ({"actor_network": networks.ActorNetwork(OTHER, STEER)}, "made for other observations"),
        ({"critic_network": networks.CriticNetwork((OTHER, STEER))}, "made for other observations"),
        ({"critic_network": networks.ValueNetwork(OBSERVATION)}, "would be given"),
        ({"critic_network": networks.Network.from_factory(lambda rngs: lambda pair: pair[1], None)}, "one value"),
        (
            {"actor_network": networks.ActorDistributionNetwork(OBSERVATION, STEER, fc_layer_params=(4,))},
            "returns distributions",
        ),
        ({"target_critic_network": critic(joint_fc_layer_params=(3,))}, "another structure"),
        ({"actor_optimizer": "adam"}, "actor_optimizer is not an optax transformation"),
    ],
)
def test_networks_and_optimizers_that_do_not_fit_are_refused(options, text):
    with pytest.raises(ValueError, match=text):
        make(DdpgAgent, **options)


def test_defaults_that_are_rarely_meant_warn():
    with pytest.warns(JaxdawWarning) as caught:
        DdpgAgent(STEP, STEER, actor(), critic(), optax.sgd(0.1), optax.sgd(0.1))
    texts = [str(warning.message) for warning in caught]
    assert any(text.startswith("gamma=1.0") for text in texts)
    assert any("there is no target network" in text for text in texts)
