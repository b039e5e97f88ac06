"""Options of PPO, the agents that they make, and their runs: populations, exact restoration, statistics in files."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdaw import environments, specs, training, trajectories
from jaxdaw.drivers import Rollout
from jaxdaw.errors import ConfigError
from jaxdaw.training import A2cConfig, PpoConfig, load_policy
from jaxdaw.training._jax_trainer import JaxTrainer

SMALL = {
    "num_envs": 4, "rollout_steps": 16, "epochs": 2, "minibatches": 2, "fc_layer_params": (8,), "report_every": 256,
    "eval_every": 512, "eval_episodes": 2, "checkpoint_every": 0,
}  # fmt: skip


def test_a_run_with_normalizers_saves_their_statistics_in_the_policy(tmp_path):
    options = {**SMALL, "normalize": ("observation", "reward"), "target_kl": 0.5, "initial_adaptive_kl_beta": 0.1}
    run = training.train("ppo", "jax:CartPole-v1", steps=1_024, out=tmp_path / "run", **options)
    rows = [row for row in run.rows if row["kind"] == "train"]
    assert np.isfinite([row["loss"] for row in rows if row["train_step"]]).all()
    assert rows[-1]["train_step"] == 4 * 16  # four for each rollout of 64 frames but the first
    policy = load_policy(run.directory / "policy")
    statistics = policy.get_weights()[1]
    assert float(statistics.rest["count"]["total"]) == 64 * 16
    observation = np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32)
    assert run.final_policy is not None
    ours, theirs = (p.distribution(observation).action.mode() for p in (run.final_policy, policy))
    np.testing.assert_array_equal(ours, theirs)


def test_a_population_goes_on_exactly_from_what_it_wrote():
    world = environments.make("jax:CartPole-v1")
    config = PpoConfig(**SMALL, normalize=("observation", "reward"))
    agent = config.make_agent(world.time_step_spec(), world.action_spec)
    trainer = JaxTrainer(agent, world, dataclasses.replace(config.loop_options(), report_every=128), (0, 1), 4)
    for _ in range(3):
        trainer.run()
    written = jax.tree.map(np.array, trainer.tree())
    results = []
    for _ in range(2):
        trainer.run()
        results.append(jax.tree.map(np.array, trainer.tree()))
        trainer.restore(written)
    jax.tree.map(np.testing.assert_array_equal, *results)
    one, other = (trainer.member(i).params["value_network"]["value"]["kernel"] for i in (0, 1))
    assert not np.array_equal(one, other)


def test_memory_and_float_actions_in_a_gymnasium_environment():
    run = training.train("ppo", "Pendulum-v1", steps=96, network="rnn", lstm_size=4, **{**SMALL, "eval_every": 0})
    assert run.final_policy.policy_state_spec != ()
    assert [row["train_step"] for row in run.rows if row["kind"] == "train"][-1] >= 4


def test_a2c_steps_along_the_gradient_of_advantage_actor_critic():
    """By hand: minus the mean of log-probabilities times advantages, plus half the mean squared error of values."""
    world = environments.make("jax:CartPole-v1")
    config = A2cConfig(num_envs=2, fc_layer_params=(4,), gradient_clipping=0.0, learning_rate_end=1.0)
    agent = config.make_agent(world.time_step_spec(), world.action_spec)
    rollout = Rollout(world, agent.collect_policy, 2)
    keys = jax.random.split(jax.random.key(0))
    _, frames = rollout.run(agent.collect_policy.get_weights(), rollout.init(keys[0]), keys[1], 16)
    state = agent.get_state()
    rows = agent.prepare(state, frames)
    counts = np.asarray(rows.frames.step_type) != trajectories.StepType.LAST

    def by_hand(params):
        seen, types = rows.frames.observation, rows.frames.step_type
        actor, value = (agent.weights_of(state, name, params) for name in ("actor_network", "value_network"))
        chosen = agent.actor_net.apply(actor, seen, types)[0].log_prob(rows.frames.action)
        errors = rows.returns - agent.constructor_arguments()["value_net"].apply(value, seen, types)[0]
        return jnp.sum(jnp.where(counts, 0.5 * errors**2 - chosen * rows.advantage, 0.0)) / counts.sum()

    gradient = jax.grad(by_hand)(state.params)

    def own(params):
        loss = agent._loss(params, state, rows, None, True)
        return jnp.sum(loss.per_example) / loss.count

    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6), jax.grad(own)(state.params), gradient
    )
    assert (config.loop_options().epochs, config.loop_options().minibatches) == (1, 1)


def test_options_shape_the_agent():
    observation = {"place": specs.TensorSpec((3,), np.float32), "mask": specs.BoundedTensorSpec((2,), np.int32, 0, 1)}
    step = trajectories.time_step_spec(observation)
    action = specs.BoundedTensorSpec((), np.int32, 0, 1)
    agent = PpoConfig(mask_key="mask", fc_layer_params=(8,), steps=512).make_agent(step, action)
    forbidden = {"place": np.ones((5, 3), np.float32), "mask": np.tile(np.int32([1, 0]), (5, 1))}
    assert not agent.collect_policy.action(forbidden, seed=0).action.any()
    kernels = {n: net.get_weights().params for n, net in agent._networks.items()}
    head = np.asarray(kernels["actor_network"]["head_0"]["logits"]["kernel"])
    np.testing.assert_allclose(head.T @ head, 0.01**2 * np.eye(2), atol=1e-6)  # orthogonal, of gain 0.01
    last = np.asarray(kernels["value_network"]["value"]["kernel"])
    np.testing.assert_allclose(np.sum(last**2), 1.0, rtol=1e-5)
    plain = PpoConfig(orthogonal_init=False, fc_layer_params=(8,), mask_key="mask").make_agent(step, action)
    assert np.abs(plain._networks["value_network"].get_weights().params["value"]["kernel"]).max() <= 0.03


@pytest.mark.parametrize(
    "wrong",
    [
        {"rollout_steps": 0}, {"epochs": 0}, {"gamma": 1.5}, {"lambda_value": -0.1}, {"learning_rate": 0.0},
        {"importance_ratio_clipping_end": 2.0}, {"normalize": ("rewards",)}, {"value_clipping": -1.0},
        {"minibatches": 7}, {"minibatches": 512}, {"network": "rnn", "minibatches": 16}, {"target_kl": -1.0},
    ],
    ids=str,
)  # fmt: skip
def test_numbers_out_of_range_are_refused_by_name(wrong):
    with pytest.raises(ConfigError, match=list(wrong)[-1]):
        PpoConfig(**wrong)


@pytest.mark.parametrize(
    ("idle", "message"),
    [
        ({"adaptive_kl_target": 0.1}, "adaptive_kl_target has no effect with initial_adaptive_kl_beta 0.0"),
        ({"importance_ratio_clipping": 0.0, "importance_ratio_clipping_end": 1.0}, "has no effect"),
        ({"lstm_size": 3}, "lstm_size has no effect with network mlp"),
    ],
    ids=str,
)
def test_options_without_effect_are_refused(idle, message):
    with pytest.raises(ConfigError, match=message):
        training.train("ppo", "jax:CartPole-v1", steps=64, **idle)
