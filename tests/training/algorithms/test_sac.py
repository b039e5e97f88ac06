"""Options of SAC, the agents that they make, and runs: resumed exactly, saved, loaded and evaluated."""

import jax
import numpy as np
import pytest

from jaxdaw import environments, specs, training, trajectories
from jaxdaw.agents import DiscreteSacAgent, SacAgent
from jaxdaw.errors import ConfigError, SpecError
from jaxdaw.networks import CriticRnnNetwork, QRnnNetwork
from jaxdaw.training import SacConfig
from jaxdaw.training._jax_trainer import JaxTrainer

SMALL = {
    "steps": 600, "num_envs": 2, "fc_layer_params": (8,), "batch_size": 8, "replay_capacity": 1_000,
    "learning_starts": 100, "train_every": 25, "updates": 4, "report_every": 100, "eval_every": 300, "eval_episodes": 2,
    "checkpoint_every": 200,
}  # fmt: skip
FLOATS = specs.BoundedTensorSpec((2,), np.float32, [-1, 0], [1, 5])
INTEGER = specs.BoundedTensorSpec((), np.int32, 0, 3)
SEEN = specs.TensorSpec((3,), np.float32)


def agent_of(action=FLOATS, observation=SEEN, **changes):
    return SacConfig(fc_layer_params=(8,), **changes).make_agent(trajectories.time_step_spec(observation), action)


def test_members_of_a_population_differ_and_go_on_exactly_from_a_checkpoint():
    """The trainer's tree is what a checkpoint holds; its oracle is the trainer that was not interrupted."""
    config = SacConfig(**SMALL)
    world = environments.make("jax:Pendulum-v1")
    agent = config.make_agent(world.time_step_spec(), world.action_spec)
    trainer = JaxTrainer(agent, world, config.loop_options(), seeds=(0, 1), num_envs=2)
    trainer.run()
    kept = jax.tree.map(np.array, trainer.tree())
    report = trainer.run()
    whole = jax.tree.map(np.array, trainer.tree())
    trainer.restore(kept)
    trainer.run()
    jax.tree.map(np.testing.assert_array_equal, trainer.tree(), whole)
    assert report.updates == 2 * 4 * 2  # seeds, updates, phases of 25 steps in 2 environments
    assert np.isfinite(report.loss)
    first, second = trainer.member(0), trainer.member(1)
    for name, params in first.params.items():
        assert any(np.any(a != b) for a, b in zip(*map(jax.tree.leaves, (params, second.params[name])), strict=True))


@pytest.mark.parametrize(
    ("world", "options"),
    [("Pendulum-v1", {"replay": "prioritized", "max_episode_steps": 50}), ("CartPole-v1", {"replay": "host"})],
)
def test_runs_in_environments_of_gymnasium_save_a_policy_that_loads(tmp_path, world, options):
    run = training.train("sac", world, out=tmp_path / "run", **{**SMALL, "steps": 300, **options})
    assert np.isfinite(run.evaluations[-1]["mean_return"])
    assert np.isfinite([row["loss"] for row in run.rows if row["kind"] == "train" and row["train_step"]]).all()
    loaded = training.load_policy(tmp_path / "run" / "policy")
    seen = np.full((4, *run.policy.time_step_spec.observation.shape), 0.1, np.float32)
    np.testing.assert_array_equal(loaded.action(seen).action, run.final_policy.action(seen).action)


def test_actions_before_learning_are_random():
    options = SacConfig(learning_starts=321).loop_options()
    assert (options.random_starts, options.learning_starts) == (True, 321)


def test_the_kind_of_action_chooses_the_agent():
    floats, integer = agent_of(), agent_of(INTEGER)
    assert type(floats) is SacAgent
    assert type(integer) is DiscreteSacAgent
    recurrent = agent_of(network="rnn", lstm_size=4), agent_of(INTEGER, network="rnn", lstm_size=4)
    assert [type(agent._critics["critic_network"]) for agent in recurrent] == [CriticRnnNetwork, QRnnNetwork]
    assert all(agent.collect_policy.policy_state_spec != () for agent in recurrent)
    masked = {"x": SEEN, "mask": specs.BoundedTensorSpec((4,), np.int8, 0, 1)}
    agent = agent_of(INTEGER, masked, mask_key="mask")
    assert agent.policy.observation_and_action_constraint_splitter is not None
    with pytest.raises(ConfigError, match="these actions are floats"):
        agent_of(observation=masked, mask_key="mask")
    for wrong in (specs.TensorSpec((2,), np.float32), {"gear": INTEGER, "gas": FLOATS}):
        with pytest.raises(SpecError, match="SacAgent acts b"):
            agent_of(wrong)
    image = specs.BoundedTensorSpec((84, 84, 4), np.uint8, 0, 255)
    agent_of(observation=image)


def test_every_option_reaches_the_agent():
    agent = agent_of(
        temperature=0.1, target_update_tau=0.2, target_update_period=3, gamma=0.5, gradient_clipping=1.0,
        reward_scale_factor=2.0, td_errors_loss="huber",
    )  # fmt: skip
    assert "log_alpha" not in agent.get_state().params
    np.testing.assert_allclose(agent._alpha({}), 0.1, rtol=1e-6)
    assert (agent._gamma, agent._tau, agent._period, agent._reward_scale_factor) == (0.5, 0.2, 3, 2.0)
    learned = agent_of(initial_temperature=0.5, target_entropy=-1.5)
    np.testing.assert_allclose(learned._alpha(learned.get_state().params), 0.5, rtol=1e-6)
    assert learned._target_entropy == -1.5
    assert agent_of()._target_entropy is None


@pytest.mark.parametrize(
    "wrong",
    [
        {"alpha_learning_rate": 0.0}, {"temperature": -0.1}, {"initial_temperature": 0.0}, {"target_entropy": np.nan},
        {"steps": 0}, {"gradient_clipping": -1.0}, {"frame_stack": -1}, {"updates": -1},
    ],
)  # fmt: skip
def test_numbers_out_of_range_are_refused_by_name(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        SacConfig(**wrong)


def test_options_without_effect_are_refused():
    row = training.ALGORITHMS["sac"]
    for given, needed in (("target_entropy", "temperature"), ("frame_stack", "replay")):
        config = SacConfig(temperature=0.5)
        with pytest.raises(ConfigError, match=f"no effect with {needed}"):
            training.refuse_idle(config, [given], row.depends)
