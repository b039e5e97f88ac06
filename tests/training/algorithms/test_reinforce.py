"""Options of REINFORCE, and the agents that they make."""

import numpy as np
import pytest

from jaxdaw import environments, training
from jaxdaw.errors import ConfigError
from jaxdaw.training import ReinforceConfig

SMALL = {
    "steps": 4_000, "num_envs": 4, "rollout_steps": 250, "fc_layer_params": (8,), "report_every": 1_000,
    "eval_every": 2_000, "eval_episodes": 2, "checkpoint_every": 2_000,
}  # fmt: skip


def test_the_learning_rate_falls_over_the_run_and_a_step_follows_each_rollout():
    run = training.train("reinforce", "jax:CartPole-v1", **SMALL)
    steps = [row["train_step"] for row in run.rows if row["kind"] == "train"]
    assert steps == list(range(1, len(steps) + 1))
    assert steps[-1] >= 4
    assert np.isfinite([row["loss"] for row in run.rows if row["kind"] == "train"]).all()


@pytest.mark.parametrize("changes", [{"network": "rnn", "lstm_size": 4, "baseline": False}, {"gradient_clipping": 1.0}])
def test_networks_with_memory_and_any_actions(changes):
    world = environments.make("Pendulum-v1", num_envs=2)
    config = ReinforceConfig(fc_layer_params=(8,), **changes)
    agent = config.make_agent(world.time_step_spec(), world.action_spec, seed=3)
    assert (agent.collect_policy.policy_state_spec != ()) == ("network" in changes)
    assert agent.collect_policy.action_spec.shape == (1,)


@pytest.mark.parametrize(
    "wrong",
    [{"rollout_steps": 0}, {"learning_rate": 0.0}, {"learning_rate_end": 2.0}, {"entropy_regularization": -1.0}],
)
def test_numbers_out_of_range_are_refused_by_name(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        ReinforceConfig(**wrong)
