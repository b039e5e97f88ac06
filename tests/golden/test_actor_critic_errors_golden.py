"""Which arguments of DDPG, TD3 and critics raise which exception, row by row; else as docs/differences.md says."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import optax
import pytest

from jaxdaw import networks, specs, trajectories
from jaxdaw.agents import DdpgAgent, Td3Agent
from jaxdaw.trajectories import Trajectory

from . import cases
from .test_errors_golden import compare

OBSERVATION = specs.TensorSpec((3,), np.float32)
ACTION = specs.BoundedTensorSpec((2,), np.float32, -1.0, 1.0)
STEP = trajectories.time_step_spec(OBSERVATION)


def frames(steps: int = 2, rows: int = 3, **changes: Any) -> Trajectory:
    one = np.ones((rows, steps), np.int32)
    made = Trajectory(
        step_type=one,
        observation=np.ones((rows, steps, 3), np.float32),
        action=np.zeros((rows, steps, 2), np.float32),
        policy_info=(),
        next_step_type=one,
        reward=np.ones((rows, steps), np.float32),
        discount=np.ones((rows, steps), np.float32),
    )
    return made._replace(**changes)


def attempts(kind: Any) -> dict[str, Callable[[], Any]]:
    def agent(action: Any = ACTION, **options: Any) -> Any:
        given = {
            "actor_network": networks.ActorNetwork(OBSERVATION, ACTION),
            "critic_network": networks.CriticNetwork((OBSERVATION, ACTION)),
            "actor_optimizer": optax.sgd(0.1),
            "critic_optimizer": optax.sgd(0.1),
        }
        return kind(STEP, action, **{**given, **options})

    def shares_weights() -> None:
        critic = networks.CriticNetwork((OBSERVATION, ACTION))
        with pytest.warns(UserWarning, match="shares weights"):
            agent(critic_network=critic, target_critic_network=critic)

    wide = specs.BoundedTensorSpec((3,), np.float32, -1.0, 1.0)
    reward = np.ones((3, 2), np.float32)
    reward[0, 0] = np.nan
    step = trajectories.restart(np.ones((2, 3), np.float32), batch_size=2)
    common = {
        "integer_action": lambda: agent(specs.BoundedTensorSpec((2,), np.int32, 0, 3)),
        "no_actor": lambda: agent(actor_network=None),
        "no_critic": lambda: agent(critic_network=None),
        "optimizers_none": lambda: agent(actor_optimizer=None, critic_optimizer=None),
        "train_without_optimizer": lambda: agent(critic_optimizer=None).train(frames()),
        "three_frames": lambda: agent().train(frames(3)),
        "nan_reward": lambda: agent().train(frames(reward=reward)),
        "weights_of_batch": lambda: agent().train(frames(), np.ones(3, np.float32)),
        "target_shares_weights": shares_weights,
        "collect_distribution": lambda: agent().collect_policy.distribution(step),
        "action_dtype": lambda: agent().train(frames(action=np.zeros((3, 2, 2)))),
        "actor_of_other_shape": lambda: agent(actor_network=networks.ActorNetwork(OBSERVATION, wide)),
    }
    if kind is Td3Agent:
        return {**common, "actor_update_period_zero": lambda: agent(actor_update_period=0)}
    return {**common, "dqda_clipping_zero": lambda: agent(dqda_clipping=0).train(frames())}


def critics(kind: Any, **options: Any) -> dict[str, Callable[[], Any]]:
    two = {"a": OBSERVATION, "b": OBSERVATION}
    return {
        "two_observations": lambda: kind((two, ACTION), **options),
        "two_actions": lambda: kind((OBSERVATION, (ACTION, ACTION)), **options),
    }


def core(spec: Any, rngs: Any) -> networks.Network:
    return networks.RecurrentCore(spec, 2, rngs=rngs)


PAIR = (OBSERVATION, ACTION)
TABLES = {
    "ddpgagent": attempts(DdpgAgent),
    "td3agent": attempts(Td3Agent),
    "criticnetwork": {
        **critics(networks.CriticNetwork),
        "rank_2_observation": lambda: networks.CriticNetwork((specs.TensorSpec((2, 3), np.float32), ACTION)),
        "scalar_action": lambda: networks.CriticNetwork(
            (OBSERVATION, specs.BoundedTensorSpec((), np.float32, -1.0, 1.0))
        ),
    },
    "criticrnnnetwork": {
        **critics(networks.CriticRnnNetwork, lstm_size=(2,)),
        "no_lstm": lambda: networks.CriticRnnNetwork(PAIR),
        "both_rnn": lambda: networks.CriticRnnNetwork(PAIR, lstm_size=(2,), rnn_construction_fn=core),
    },
}
OURS: dict[str, Any] = {
    "no_actor": ValueError,  # the reference's AttributeError is what happens, not a promise
    "no_critic": ValueError,
    "train_without_optimizer": ValueError,
    "weights_of_batch": None,  # each row's weight
    "target_shares_weights": None,  # documented: a warning, no exception
    "collect_distribution": None,  # every policy has a distribution
    "rank_2_observation": None,  # flattened
    "scalar_action": None,
}
ROWS = [(table, row) for table in TABLES for row in cases.rows("errors", table)]


@pytest.mark.parametrize(("table", "row"), ROWS, ids=[f"{t}-{r['id']}" for t, r in ROWS])
def test_row(table: str, row: dict[str, Any]):
    compare(row, TABLES[table][row["id"]], OURS)


def test_every_row_is_visited():
    for table, rows in TABLES.items():
        assert {row["id"] for row in cases.rows("errors", table)} == set(rows)
