"""Which arguments of C51 raise which exception, row by row; where docs/differences.md says so, ours."""

import numpy as np
import optax
import pytest

from jaxdaw import math, networks, specs
from jaxdaw.agents import CategoricalDqnAgent

from . import cases
from .test_errors_golden import ACTION, OBSERVATION, STEP, compare, frames, integer, two


def network(action=ACTION, num_atoms=5, units=(4,)):
    return networks.CategoricalQNetwork(OBSERVATION, action, num_atoms, fc_layer_params=units)


def agent(action=ACTION, net=None, **options):
    return CategoricalDqnAgent(STEP, action, network() if net is None else net, optax.sgd(0.1), **options)


def shares_weights():
    net = network()
    with pytest.warns(UserWarning, match="target_categorical_q_network shares weights"):
        agent(net=net, target_categorical_q_network=net)


def nan_reward():
    bad = np.ones((4, 2), np.float32)
    bad[1, 0] = np.nan
    agent().train(frames(reward=bad))


def project(supports, weights, target):
    return lambda: math.project_distribution(*(np.zeros(shape, np.float32) for shape in (supports, weights)), target)


EVEN, UNEVEN = np.arange(3, dtype=np.float32), np.array([0.0, 1.0, 3.0], np.float32)
AGENT = {
    "plain_q_network": lambda: agent(net=networks.QNetwork(OBSERVATION, ACTION)),
    "plain_target": lambda: agent(target_categorical_q_network=networks.QNetwork(OBSERVATION, ACTION)),
    "atoms_differ": lambda: agent(target_categorical_q_network=network(num_atoms=6)),
    "minimum_not_zero": lambda: agent(integer(1, 3)),
    "two_actions": lambda: agent(two),
    "float_action": lambda: agent(specs.BoundedTensorSpec((), np.float32, 0.0, 2.0)),
    "epsilon_and_boltzmann": lambda: agent(epsilon_greedy=0.1, boltzmann_temperature=1.0),
    "network_for_other_spec": lambda: agent(net=network(integer(0, 3))),
    "support_reversed": lambda: agent(min_q_value=1.0, max_q_value=-1.0),
    "wrong_frames": lambda: agent(n_step_update=2).train(frames(2)),
    "nan_reward": nan_reward,
    "weights_any_shape": lambda: agent().train(frames(), np.ones(7, np.float32)),
    "target_shares_weights": shares_weights,
    "one_atom": lambda: agent(net=network(num_atoms=1)),
}
TABLES = {
    "categoricaldqnagent": AGENT,
    "categoricalqnetwork": {"unbounded_action": lambda: network(specs.TensorSpec((), np.int32))},
    "project_distribution": {
        "shapes_differ": project((2, 3), (2, 4), EVEN),
        "target_of_other_length": project((2, 4), (2, 4), EVEN),
        "target_of_rank_2": project((2, 3), (2, 3), EVEN[None]),
        "uneven_not_validated": project((2, 3), (2, 3), UNEVEN),
        "uneven_validated": project((2, 3), (2, 3), UNEVEN),
    },
}
OURS = {
    # docs/differences.md: the reference accepts these silently, or finds them in train.
    "float_action": ValueError,
    "support_reversed": ValueError,
    "wrong_frames": ValueError,
    "weights_any_shape": ValueError,
    "uneven_not_validated": ValueError,
    "target_shares_weights": None,  # documented: a warning, no exception
}
ROWS = [(table, row) for table in TABLES for row in cases.rows("errors_policy_gradient", table)]


@pytest.mark.parametrize(("table", "row"), ROWS, ids=[f"{table}-{row['id']}" for table, row in ROWS])
def test_row(table, row):
    compare(row, TABLES[table][row["id"]], OURS)


def test_every_row_is_visited():
    for table, attempts in TABLES.items():
        assert {row["id"] for row in cases.rows("errors_policy_gradient", table)} == set(attempts)
