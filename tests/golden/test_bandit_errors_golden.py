"""Which arguments of the reward prediction agents raise which exception, or by docs/differences.md ours."""

import numpy as np
import optax
import pytest

from jaxdaw import specs, trajectories
from jaxdaw.agents import GreedyRewardPredictionAgent, NeuralEpsilonGreedyAgent
from jaxdaw.errors import NonFiniteError
from jaxdaw.trajectories import restart, time_step_spec

from . import cases
from .test_errors_golden import ACTION, OBSERVATION, STEP, compare, frames, integer, network, step

MASKED = {"obs": OBSERVATION, "mask": specs.BoundedTensorSpec((3,), np.bool_, False, True)}


def split(observation):
    return observation["obs"], observation["mask"]


def agent(action=ACTION, net=None, kind=NeuralEpsilonGreedyAgent, time_step=STEP, **options):
    if kind is NeuralEpsilonGreedyAgent:
        options.setdefault("epsilon", 0.1)
    return kind(time_step, action, network() if net is None else net, optax.sgd(0.1), **options)


def boolean_mask():
    masked = agent(time_step=time_step_spec(MASKED), observation_and_action_constraint_splitter=split)
    observation = {"obs": np.zeros((2, 3), np.float32), "mask": np.array([[0, 1, 0], [0, 0, 1]], bool)}
    np.testing.assert_array_equal(masked.policy.action(restart(observation, batch_size=2)).action, [1, 2])


def nan_reward():
    reward = np.ones((4, 1), np.float32)
    reward[2] = np.nan
    agent().train(frames(1, reward=reward))


TWO = {"a": integer(), "b": integer()}
NEURAL = {
    "several_actions": lambda: agent(TWO),
    "tuple_of_one_action": lambda: agent((integer(),)),
    "vector_action": lambda: agent(integer(shape=(2,))),
    "minimum_not_zero": lambda: agent(integer(1, 3)),
    "float_action": lambda: agent(specs.BoundedTensorSpec((), np.float32, 0.0, 2.0)),
    "uint8_action": lambda: agent(specs.BoundedTensorSpec((), np.uint8, 0, 2)),
    "int64_action": lambda: agent(specs.BoundedTensorSpec((), np.int64, 0, 2)),
    "unbounded_action": lambda: agent(specs.TensorSpec((), np.int32)),
    "laplacian_rows": lambda: agent(laplacian_matrix=np.ones((3, 3), np.float32)),
    "laplacian_columns": lambda: agent(laplacian_matrix=np.float32([[1, -1, 0], [1, -1, 0], [1, -1, 0]])),
    "laplacian_size": lambda: agent(laplacian_matrix=np.zeros((4, 4), np.float32)).train(frames(1)),
    "network_outputs": lambda: agent(net=network(integer(0, 3))).policy.action(step()),
    "network_outputs_constructor": lambda: agent(net=network(integer(0, 3))),
    "mask_with_arm_features": lambda: agent(
        accepts_per_arm_features=True, observation_and_action_constraint_splitter=split
    ),
    "bool_mask": boolean_mask,
    "error_loss_without_reduction": lambda: agent(error_loss_fn=lambda labels, predictions: labels - predictions).train(
        frames(1)
    ),
    "emit_unknown": lambda: agent(emit_policy_info=("nonsense",)),
    "train_experience_type": lambda: agent().train({"observation": np.zeros((4, 1, 3), np.float32)}),
    "train_no_time": lambda: agent().train(trajectories.Trajectory(*(_first(leaf) for leaf in frames(1)))),
    "train_observation_dtype": lambda: agent().train(frames(1, observation=np.zeros((4, 1, 3)))),
    "train_weights_shape": lambda: agent().train(frames(1), np.ones(5, np.float32)),
    "train_two_actions": lambda: agent().train(frames(1, action=np.zeros((4, 1, 2), np.int32))),
    "train_nan_loss": nan_reward,
    "num_samples_argument": lambda: agent(num_samples_list=[0, 0, 0]),
}
GREEDY = {"num_samples_length": lambda: agent(kind=GreedyRewardPredictionAgent, num_samples_list=[0, 0])}

OURS = {
    # docs/differences.md: found by the constructor, or no error at all where the documentation promises none.
    "int64_action": None,
    "bool_mask": None,
    "error_loss_without_reduction": None,
    "network_outputs_constructor": ValueError,
    "train_nan_loss": NonFiniteError,
}
TABLES = {"neuralepsilongreedyagent": NEURAL, "greedyrewardpredictionagent": GREEDY}
ROWS = [(table, row) for table in TABLES for row in cases.rows("errors", table)]


def _first(leaf):
    return leaf if isinstance(leaf, tuple) else leaf[:, 0]


@pytest.mark.parametrize(("table", "row"), ROWS, ids=[f"{t}-{r['id']}" for t, r in ROWS])
def test_row(table, row):
    compare(row, TABLES[table][row["id"]], OURS)


def test_every_row_is_visited():
    for table, attempts in TABLES.items():
        assert {row["id"] for row in cases.rows("errors", table)} == set(attempts)
