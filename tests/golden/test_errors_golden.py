"""Which arguments raise which exception, row by row; where docs/differences.md says so, ours."""

import warnings

import jax
import numpy as np
import optax
import pytest

from jaxdaw import networks, specs, trajectories
from jaxdaw.agents import Agent, DqnAgent
from jaxdaw.errors import JaxdawWarning
from jaxdaw.math import soft_update
from jaxdaw.policies import QPolicy
from jaxdaw.training import Periodically
from jaxdaw.trajectories import PolicyStep, StepType, TimeStep, Trajectory, Transition

from . import cases

OBSERVATION = specs.BoundedTensorSpec((3,), np.float32, -10.0, 10.0, "observation")
STEP = trajectories.time_step_spec(OBSERVATION)
ACTION = specs.BoundedTensorSpec((), np.int32, 0, 2, "action")


def integer(low=0, high=2, shape=()):
    return specs.BoundedTensorSpec(shape, np.int32, low, high)


def network(action=ACTION, observation=OBSERVATION, units=(4,)):
    return networks.QNetwork(observation, action, fc_layer_params=units)


def agent(action=ACTION, net=None, **options):
    options.setdefault("epsilon_greedy", 0.1)
    return DqnAgent(STEP, action, network() if net is None else net, optax.sgd(0.1), **options)


def frames(steps=2, rows=4, **changes):
    one = np.ones((rows, steps), np.int32)
    made = Trajectory(
        step_type=one,
        observation=np.zeros((rows, steps, 3), np.float32),
        action=np.zeros((rows, steps), np.int32),
        policy_info=(),
        next_step_type=one,
        reward=np.ones((rows, steps), np.float32),
        discount=np.ones((rows, steps), np.float32),
    )
    return made._replace(**changes)


def step(rows=2, observation=None):
    return trajectories.restart(
        np.zeros((rows, 3), np.float32) if observation is None else observation, batch_size=rows
    )


class Unready(Agent):
    def __init__(self):
        pass


def shares_weights():
    net = network()
    with pytest.warns(UserWarning, match="shares weights"):
        agent(net=net, target_q_network=net)


def a_transition():
    made = trajectories.to_n_step_transition(frames(), 1.0)
    assert isinstance(made, Transition)
    agent().train(made)


def nan_reward():
    bad = np.ones((4, 2), np.float32)
    bad[1, 0] = np.nan
    agent().train(frames(reward=bad))


def superfluous_state():
    got = agent().policy.action(step(), np.zeros((2, 1), np.float32))
    assert got.state == ()


def other_observation_network():
    wide = specs.TensorSpec((4,), np.float32)
    DqnAgent(trajectories.time_step_spec(wide), ACTION, network(), optax.sgd(0.1), epsilon_greedy=0.1)


two = {"a": integer(), "b": integer()}
rnn = lambda: networks.QRnnNetwork(OBSERVATION, ACTION, lstm_size=(3,))  # noqa: E731

DQN = {
    "several_actions": lambda: agent(two),
    "tuple_of_one_action": lambda: agent((integer(),)),
    "tuple_of_one_action_policy": lambda: agent((integer(),)).policy.action(step()),
    "tuple_of_one_action_train": lambda: agent((integer(),)).train(frames(action=(np.zeros((4, 2), np.int32),))),
    "vector_action": lambda: agent(integer(shape=(2,))),
    "vector_action_one": lambda: agent(integer(shape=(1,))),
    "minimum_not_zero": lambda: agent(integer(1, 3)),
    "negative_minimum": lambda: agent(integer(-1, 1)),
    "unbounded_action": lambda: agent(specs.TensorSpec((), np.int32)),
    "float_action": lambda: agent(specs.BoundedTensorSpec((), np.float32, 0.0, 2.0)),
    "epsilon_and_temperature": lambda: agent(boltzmann_temperature=1.0),
    "n_step_with_rnn": lambda: agent(net=rnn(), n_step_update=2),
    "network_outputs": lambda: agent(net=network(integer(0, 3))),
    "target_outputs": lambda: agent(target_q_network=network(units=(5,))),
    "target_shares_weights": shares_weights,
    "time_step_spec_type": lambda: DqnAgent((1, 2), ACTION, network(), optax.sgd(0.1)),
    "observation_without_splitter_match": other_observation_network,
    "tau_too_large": lambda: agent(target_update_tau=1.5),
    "train_T_too_long": lambda: agent().train(frames(3)),
    "train_T_too_short": lambda: agent(n_step_update=3).train(frames(2)),
    "train_no_time": lambda: agent().train(jax.tree.map(lambda x: x[:, 0], frames())),
    "train_experience_type": lambda: agent().train({"observation": np.zeros((4, 2, 3), np.float32)}),
    "train_structure": lambda: agent().train(frames(observation={"x": np.zeros((4, 2, 3), np.float32)})),
    "train_observation_dtype": lambda: agent().train(frames(observation=np.zeros((4, 2, 3)))),
    "train_action_dtype": lambda: agent().train(frames(action=np.zeros((4, 2), np.int64))),
    "train_nan_loss": nan_reward,
    "train_weights_shape": lambda: agent().train(frames(), np.ones(5, np.float32)),
    "train_transition": a_transition,
    "n_step_zero": lambda: agent(n_step_update=0),
    "initialize_without_super": lambda: Unready().initialize(),
    "train_without_super": lambda: Unready().train(frames()),
    "policy_state_structure": superfluous_state,
    "policy_observation_structure": lambda: agent().policy.action(
        step(observation={"x": np.zeros((2, 3), np.float32)})
    ),
    "collect_policy_distribution": lambda: agent().collect_policy.distribution(step()),
}

OURS = {
    # docs/differences.md: the reference accepts these silently, or fails with an accident of its implementation.
    "float_action": ValueError,
    "unbounded_action": ValueError,
    "time_step_spec_type": TypeError,
    "target_shares_weights": None,  # documented: a warning, no exception
    "collect_policy_distribution": None,  # every policy has a distribution
    "tuple_of_one_action_train": None,  # a nest of one action trains like the bare action
    "observation_without_splitter_match": ValueError,  # found by the constructor, not by the first batch
}

QPOLICY = {
    "minimum_not_zero": lambda: QPolicy(STEP, integer(1, 3), network(integer(1, 3))),
    "vector_action": lambda: QPolicy(STEP, integer(shape=(2,)), network()),
}

EPSILON = {
    "two_outer_axes": lambda: agent().collect_policy.action(
        TimeStep(*(np.zeros((2, 3), t) for t in (np.int32, np.float32, np.float32)), np.zeros((2, 3, 3), np.float32))
    )
}

NETWORKS = {
    "q_network_two_actions": lambda: networks.QNetwork(OBSERVATION, two),
    "q_network_vector_action": lambda: networks.QNetwork(OBSERVATION, integer(shape=(2,))),
    "q_network_two_observations": lambda: networks.QNetwork({"a": OBSERVATION, "b": OBSERVATION}, ACTION),
    "q_rnn_without_size": lambda: networks.QRnnNetwork(OBSERVATION, ACTION),
    "wrong_observation_dtype": lambda: network()(np.zeros((2, 3))),
    "wrong_observation_shape": lambda: network()(np.zeros((2, 4), np.float32)),
}

flat = frames()
TRAJECTORIES = {
    "n_step_one_frame": lambda: trajectories.to_n_step_transition(frames(1), 1.0),
    "n_step_no_time": lambda: trajectories.to_n_step_transition(jax.tree.map(lambda x: x[:, 0], flat), 1.0),
    "to_transition_rank0": lambda: trajectories.to_transition(jax.tree.map(lambda x: x[0, 0], flat)),
    "to_transition_rank3": lambda: trajectories.to_transition(jax.tree.map(lambda x: x[None], flat)),
    "from_episode_lengths": lambda: trajectories.from_episode(
        np.zeros((3, 1)), np.zeros(2), (), np.zeros(2, np.float32), terminated=True
    ),
    "step_type_value": lambda: StepType(7),
    "nan_reward_numpy": lambda: trajectories.transition(np.zeros(3), np.nan),
    "mixed_spec_flavours": lambda: trajectories.time_step_spec(
        OBSERVATION, np.zeros(1)
    ),  # one flavour here: anything else
}

COMMON = {
    "soft_update_lengths": lambda: soft_update([np.zeros(1)], [np.zeros(1), np.zeros(1)], 0.5),
    "periodically_not_callable": lambda: Periodically(3, 1),
}

TABLES = {
    "dqnagent": DQN,
    "qpolicy": QPOLICY,
    "epsilongreedypolicy": EPSILON,
    "networks": NETWORKS,
    "trajectories": TRAJECTORIES,
    "common": COMMON,
}
ROWS = [(table, row) for table in TABLES for row in cases.rows("errors", table)]


@pytest.mark.parametrize(("table", "row"), ROWS, ids=[f"{t}-{r['id']}" for t, r in ROWS])
def test_row(table, row):
    compare(row, TABLES[table][row["id"]], OURS if table == "dqnagent" else {})


def compare(row, attempt, ours):
    """Asserts that an attempt raises what is documented, or what `ours` says instead."""
    expected = ours[row["id"]] if row["id"] in ours else _classes(row["documented"] or row["raises"])
    if expected is None:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            warnings.simplefilter("ignore", JaxdawWarning)  # of defaults that are the reference's too
            attempt()
    else:
        with pytest.raises(expected):
            attempt()


def _classes(text):
    if text is None:
        return None
    built_in = {"InvalidArgumentError": ValueError}
    return tuple(built_in.get(name) or getattr(__import__("builtins"), name) for name in text.split(" or "))


def test_every_row_is_visited():
    for table, attempts in TABLES.items():
        assert {row["id"] for row in cases.rows("errors", table)} == set(attempts)


def test_policy_step_is_a_record():
    assert PolicyStep() == ((), (), ())
