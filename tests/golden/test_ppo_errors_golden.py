"""Which arguments of PPO raise which exception, row by row; where docs/differences.md says so, ours."""

import functools

import jax
import numpy as np
import optax
import pytest
from flax import nnx

from jaxdaw import networks, specs, trajectories
from jaxdaw.agents import PPOAgent, PPOClipAgent, PPOKLPenaltyAgent
from jaxdaw.trajectories import StepType, Trajectory

from . import cases
from .test_errors_golden import compare

OBSERVATION = specs.TensorSpec((3,), np.float32)
STEP = trajectories.time_step_spec(OBSERVATION)
STEER = specs.BoundedTensorSpec((2,), np.float32, -1.0, 1.0)
GEARS = specs.BoundedTensorSpec((2,), np.int32, 0, 2)


def actor(action=STEER, observation=OBSERVATION, **options):
    return networks.ActorDistributionNetwork(observation, action, fc_layer_params=None, **options)


def value(observation=OBSERVATION):
    return networks.ValueNetwork(observation, fc_layer_params=None)


def agent(kind, action=STEER, step=STEP, **options):
    options = {"optimizer": optax.sgd(0.1), "num_epochs": 1, "actor_net": actor(), "value_net": value(), **options}
    return kind(step, action, **options)


def frames(rows=4, steps=3, **changes):
    zeros = np.zeros((rows, steps, 2), np.float32)
    kind = np.full((rows, steps), StepType.MID, np.int32)
    ones = np.ones((rows, steps), np.float32)
    info = {"dist_params": {"loc": zeros, "scale": zeros + 0.5}}
    made = Trajectory(kind, np.zeros((rows, steps, 3), np.float32), zeros, info, kind, ones, ones)
    return made._replace(**changes)


SQUASHED = functools.partial(networks.NormalProjection, scale_distribution=True)
INTEGERS = specs.BoundedTensorSpec((3,), np.int32, 0, 9)


def common(kind):
    make = functools.partial(agent, kind)
    plain = functools.partial(make, normalize_observations=False, normalize_rewards=False)

    def train(experience, weights=None, **options):
        made = plain(**options)
        made.train(experience, weights)
        made.get_state()  # reports what only the device saw

    nan = np.ones((4, 3), np.float32)
    nan[1, 1] = np.nan
    return {
        "no_actor": lambda: make(actor_net=None),
        "no_value": lambda: make(value_net=None),
        "keras_actor": lambda: make(actor_net=nnx.Linear(3, 2, rngs=nnx.Rngs(0))),
        "deterministic_actor": lambda: make(actor_net=networks.ActorNetwork(OBSERVATION, STEER)),
        "optimizer_none": lambda: make(optimizer=None),
        "train_without_optimizer": lambda: train(frames(), optimizer=None),
        "discrete_vector_action": lambda: make(GEARS, actor_net=actor(GEARS)),
        "actor_for_other_spec": lambda: make(actor_net=actor(specs.BoundedTensorSpec((3,), np.float32, -1, 1))),
        "value_of_rank_1": lambda: make(
            value_net=networks.QNetwork(OBSERVATION, specs.BoundedTensorSpec((), np.int32, 0, 2))
        ),
        "one_frame": lambda: train(frames(steps=1)),
        "no_batch_axis": lambda: train(jax.tree.map(lambda x: x[0], frames())),
        "no_dist_params": lambda: train(frames(policy_info=())),
        "weights_of_batch": lambda: train(frames(), np.ones(4, np.float32)),
        "weights_b_1": lambda: train(frames(), np.ones((4, 1), np.float32)),
        "zero_epochs": lambda: train(frames(), num_epochs=0),
        "nan_reward": lambda: train(frames(reward=nan)),
        "nan_reward_checked": lambda: train(frames(reward=nan), check_numerics=True),
        "td_lambda_without_gae": lambda: train(frames(), use_td_lambda_return=True, use_gae=False),
        "squashed_distribution_collect": lambda: make(
            actor_net=actor(continuous_projection_net=SQUASHED)
        ).collect_policy.action(np.zeros((2, 3), np.float32)),
        "train_unprocessed": lambda: train(
            frames(policy_info={**frames().policy_info, "value_prediction": np.zeros((4, 3), np.float32)}),
            compute_value_and_advantage_in_train=False,
        ),
        "integer_observation_normalized": lambda: make(
            step=trajectories.time_step_spec(INTEGERS), actor_net=actor(), value_net=value()
        ),
    }


def without_old_values():
    info = {**frames().policy_info, **dict.fromkeys(("return", "advantage"), np.ones((4, 3), np.float32))}
    made = agent(PPOAgent, value_clipping=0.1, compute_value_and_advantage_in_train=False)
    made.train(frames(policy_info=info))


def penalty(**options):
    adaptive = {"initial_adaptive_kl_beta": 1.0, "adaptive_kl_target": 0.01, "adaptive_kl_tolerance": 0.3}
    agent(PPOKLPenaltyAgent, **adaptive, **options).train(frames())


TABLES = {
    "ppoagent": {**common(PPOAgent), "value_clipping_without_old_values": without_old_values},
    "ppoclipagent": {
        **common(PPOClipAgent),
        "kl_argument": lambda: agent(PPOClipAgent, adaptive_kl_target=0.1),
        "log_prob_clipping": lambda: agent(PPOClipAgent, log_prob_clipping=1.0),
    },
    "ppoklpenaltyagent": {
        "kl_cutoff_factor_default": penalty,
        "kl_cutoff_factor_0_0": lambda: penalty(kl_cutoff_factor=0.0),
    },
}
OURS = {
    "no_actor": ValueError,  # ConfigError
    "no_value": ValueError,
    "keras_actor": ValueError,
    "optimizer_none": ValueError,  # found by the constructor, not by the first batch
    "discrete_vector_action": None,
    "no_dist_params": ValueError,  # another structure
    "weights_of_batch": None,  # docs/differences.md, "weights of PPO"
    "weights_b_1": ValueError,  # docs/differences.md, "weights of shape `[B, 1]`"
    "nan_reward": ValueError,  # docs/differences.md, "non-finite losses"
    "squashed_distribution_collect": None,
    "td_lambda_without_gae": None,  # documented: a warning, no exception
    "kl_cutoff_factor_default": None,
}
ROWS = [(table, row) for table in TABLES for row in cases.rows("errors_policy_gradient", table)]


@pytest.mark.parametrize(("table", "row"), ROWS, ids=[f"{t}-{r['id']}" for t, r in ROWS])
def test_row(table, row):
    compare(row, TABLES[table][row["id"]], OURS)


def test_every_row_is_visited():
    for table, attempts in TABLES.items():
        assert {row["id"] for row in cases.rows("errors_policy_gradient", table)} == set(attempts)
