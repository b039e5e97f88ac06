"""Estimates missing propensities by cloning the policy that made the log."""

from __future__ import annotations

from typing import Any

import numpy as np
import optax

from jaxdaw import specs
from jaxdaw.agents import BehavioralCloningAgent
from jaxdaw.data import Decisions, check_decisions
from jaxdaw.errors import ConfigError
from jaxdaw.evaluation._candidates import policy_probabilities
from jaxdaw.evaluation._reward_model import standardized
from jaxdaw.networks import QNetwork
from jaxdaw.policies import BoltzmannPolicy, QPolicy
from jaxdaw.trajectories import StepType, Trajectory, time_step_spec

_BATCH = 512


def estimate_propensities(
    decisions: Decisions,
    *,
    fc_layer_params: tuple[int, ...] = (),
    updates: int = 2000,
    learning_rate: float = 0.03,
    folds: int = 2,
    seed: int = 0,
) -> Decisions:
    """Returns a log with a probability in every row: the logged one, or that of a clone of the policy that chose.

    A network is trained by behavioral cloning to say which arm is chosen in which context, and is asked about rows that
    it was not trained on. Arms that were not eligible are left out. An evaluation is only as good as the clone: what
    the policy knew and the log does not hold, biases it.

    Args:
      decisions: the log; an existing table of probabilities is dropped if the chosen ones are missing.
      fc_layer_params: units of the hidden layers; none is a softmax of a linear function.
      updates: gradient steps of 512 rows, for each fold.
      learning_rate: of Adam at the beginning; it falls to 0 along a cosine.
      folds: into how many parts the rows are cut; each is told by a clone of the others.
      seed: of weights, folds and batches.

    Raises:
      ConfigError: fewer than 2 folds or 1 update.
      SpecError: the log has faults that are not missing probabilities.

    >>> decisions = Decisions([0, 1, 1, 1] * 100, np.ones(400))  # the second arm in 3 of 4 rows
    >>> estimate_propensities(decisions, updates=200).probability[:2].round(1).tolist()
    [0.2, 0.8]
    """
    if folds < 2 or updates < 1:
        expected, got = "2 folds and 1 update at least", f"{folds} folds, {updates} updates"
        raise ConfigError("the clone cannot be trained so", expected=expected, got=got)
    missing = np.isnan(decisions.probability)
    bare = decisions.replace(probabilities=None)
    check_decisions(bare, needs_probability=False, needs_reward=False).raise_if_faulty("the logged decisions")
    if not missing.any():
        return decisions
    count, num_arms = len(decisions), decisions.num_arms or 1
    columns = [standardized(decisions.context, 1, count)]
    if decisions.eligible is not None and not decisions.eligible.all():
        columns.append(decisions.eligible.astype(np.float32))
    columns.append(np.ones((count, 1), np.float32))  # the bias: without it a log without context would have no features
    rows = np.concatenate(columns, axis=1)
    random = np.random.default_rng(seed)
    fold = random.permutation(count) % folds
    found = np.empty(count)
    for part in range(folds):
        own, train = np.flatnonzero(fold == part), np.flatnonzero(fold != part)
        if not len(own):
            continue
        policy = _clone(rows, decisions.action, num_arms, train, fc_layer_params, updates, learning_rate, random)
        table = policy_probabilities(policy, Decisions(decisions.action[own], context=rows[own], num_arms=num_arms))
        if decisions.eligible is not None:
            table = np.where(decisions.eligible[own], table, 0.0)
            table /= table.sum(axis=1, keepdims=True)
        found[own] = table[np.arange(len(own)), decisions.action[own]]
    return bare.replace(probability=np.where(missing, found, decisions.probability))


def _clone(
    rows: np.ndarray,
    action: np.ndarray,
    num_arms: int,
    train: np.ndarray,
    fc_layer_params: tuple[int, ...],
    updates: int,
    learning_rate: float,
    random: Any,
) -> BoltzmannPolicy:
    """Returns the policy whose probabilities are the softmax of a cloned network."""
    context_spec = specs.TensorSpec(rows.shape[1:], np.float32)
    action_spec = specs.BoundedTensorSpec((), np.int32, 0, num_arms - 1)
    step_spec = time_step_spec(context_spec)
    network = QNetwork(context_spec, action_spec, fc_layer_params=fc_layer_params)
    schedule = optax.cosine_decay_schedule(learning_rate, updates)
    agent = BehavioralCloningAgent(
        step_spec, action_spec, network, optax.adam(schedule), ignore_boundaries=False, enable_summaries=False
    )
    size = min(_BATCH, len(train))
    fixed = {
        "step_type": np.full(size, StepType.FIRST, np.int32),
        "next_step_type": np.full(size, StepType.LAST, np.int32),
        "reward": np.zeros(size, np.float32),
        "discount": np.zeros(size, np.float32),
    }
    agent.initialize(int(random.integers(2**31)))
    for _ in range(updates):
        batch = train[random.integers(0, len(train), size)]
        agent.train(Trajectory(observation=rows[batch], action=action[batch].astype(np.int32), policy_info=(), **fixed))
    return BoltzmannPolicy(QPolicy(step_spec, action_spec, network), 1.0)
