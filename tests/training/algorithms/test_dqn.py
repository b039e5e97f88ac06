import jax
import numpy as np
import pytest

from jaxdaw import environments, specs, training, trajectories
from jaxdaw.agents import CategoricalDqnAgent, DdqnAgent, DqnAgent, QrDqnAgent
from jaxdaw.errors import ConfigError
from jaxdaw.policies import GreedyPolicy, NoisyNetworkPolicy
from jaxdaw.training import ALGORITHMS, C51Config, DqnConfig, QrDqnConfig, RainbowConfig, refuse_idle
from jaxdaw.training._jax_trainer import JaxTrainer

ACTION = specs.BoundedTensorSpec((), np.int64, 0, 2)


def agent_of(config, observation, action=ACTION):
    return config.make_agent(trajectories.time_step_spec(observation), action)


def test_every_option_reaches_the_agent():
    config = DqnConfig(double=True, n_step_update=3, gamma=0.5, target_update_tau=0.1, gradient_clipping=0.0, updates=0)
    agent = agent_of(config, specs.TensorSpec((4,), np.float32))
    assert type(agent) is DdqnAgent
    assert agent.train_sequence_length == 4
    assert (agent._gamma, agent._tau) == (0.5, 0.1)
    assert config.loop_options().updates is None
    assert type(agent_of(DqnConfig(), specs.TensorSpec((4,), np.float32))) is DqnAgent


def test_images_nests_and_masks_need_no_more_than_their_specs():
    image = specs.BoundedTensorSpec((84, 84, 4), np.uint8, 0, 255)
    assert len(agent_of(DqnConfig(), image).trainable_variables) == 2 * (3 + 2 + 1)  # convolutions, dense, head
    nest = {"a": specs.TensorSpec((2,), np.float32), "b": specs.TensorSpec((), np.int32)}
    agent_of(DqnConfig(), nest)
    masked = {"x": specs.TensorSpec((2,), np.float32), "mask": specs.BoundedTensorSpec((3,), np.int8, 0, 1)}
    agent = agent_of(DqnConfig(mask_key="mask"), masked)
    assert agent.policy.observation_and_action_constraint_splitter is not None
    with pytest.raises(ConfigError, match="names no entry"):
        agent_of(DqnConfig(mask_key="allowed"), masked)


@pytest.mark.parametrize(
    "options",
    [
        {"steps": 0},
        {"steps": -5},
        {"num_envs": 0},
        {"learning_rate": 0.0},
        {"learning_rate": float("nan")},
        {"epsilon_end": 1.5},
        {"eval_every": -1},
        {"boltzmann_temperature": -1.0},
    ],
)
def test_numbers_outside_their_range_are_named(options):
    with pytest.raises(ConfigError, match=next(iter(options))):
        DqnConfig(**options)


VECTOR = specs.TensorSpec((4,), np.float32)
SHORT = {
    "steps": 700, "num_envs": 2, "fc_layer_params": (8,), "learning_starts": 100, "train_every": 8, "updates": 2,
    "batch_size": 8, "replay_capacity": 500, "report_every": 200, "eval_every": 0, "checkpoint_every": 200,
}  # fmt: skip


def test_the_variants_are_dqn_with_other_defaults():
    c51, qrdqn = (
        agent_of(C51Config(num_atoms=11, max_q_value=3.0, double=True), VECTOR),
        agent_of(QrDqnConfig(), VECTOR),
    )
    assert type(c51) is CategoricalDqnAgent
    np.testing.assert_allclose(c51.policy.wrapped_policy.support, np.linspace(-10.0, 3.0, 11), rtol=1e-6)
    assert c51._double
    assert type(qrdqn) is QrDqnAgent
    assert qrdqn._q_network.num_quantiles == QrDqnConfig().num_quantiles
    assert type(agent_of(DqnConfig(distribution="quantile", network="dueling"), VECTOR)) is QrDqnAgent


def test_rainbow_has_all_its_parts():
    config = RainbowConfig()
    agent = agent_of(config, VECTOR)
    assert type(agent) is CategoricalDqnAgent
    assert agent._double
    assert agent.train_sequence_length == 4  # three rewards
    assert config.loop_options().replay == "prioritized"
    names = agent._q_network.variable_names
    assert {"q/advantage/kernel_deviation", "q/value/kernel_deviation"} <= set(names)
    assert isinstance(agent.collect_policy, NoisyNetworkPolicy)
    assert isinstance(agent.policy, GreedyPolicy)


@pytest.mark.parametrize("options", [{"distribution": "categorical"}, {"noisy": True}])
def test_recurrent_networks_have_neither_distribution_nor_noise(options):
    with pytest.raises(ConfigError, match="network q or dueling"):
        DqnConfig(network="rnn", **options)


def test_options_of_another_distribution_are_idle():
    depends = ALGORITHMS["qrdqn"].depends
    for name in ("num_atoms", "td_errors_loss"):
        with pytest.raises(ConfigError, match=f"{name} has no effect"):
            refuse_idle(QrDqnConfig(), [name], depends)
    refuse_idle(QrDqnConfig(), ["num_quantiles"], depends)


def test_a_population_of_rainbow_goes_on_exactly_from_a_checkpoint():
    """The noise of weights and the priorities go on where they were: the oracle is the run itself, uninterrupted."""
    config = RainbowConfig(**SHORT)
    world = environments.CartPole()
    agent = agent_of(config, world.observation_spec, world.action_spec)
    trainer = JaxTrainer(agent, world, config.loop_options(), (0, 1), 2)
    for _ in range(2):
        trainer.run()
    checkpoint = jax.tree.map(np.array, trainer.tree())
    trainer.run()
    straight = jax.tree.map(np.array, trainer.collect_weights())
    trainer.restore(checkpoint)
    trainer.run()
    jax.tree.map(np.testing.assert_array_equal, trainer.collect_weights(), straight)
    assert not np.array_equal(*straight.params["q"]["value"]["kernel"])  # two seeds


@pytest.mark.parametrize("name", ["qrdqn", "rainbow"])
def test_variants_train_in_gymnasium(name):
    run = training.train(name, "CartPole-v1", **{**SHORT, "steps": 300})
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(run.final_policy.get_weights()))
    assert int(run.agent.train_step_counter) > 0
