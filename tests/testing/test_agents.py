"""The suite for agents finds each fault, each with the one check that is made for it."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxdaw.agents import DqnAgent
from jaxdaw.testing import AGENT_CHECKS, random_experience
from jaxdaw.trajectories import StepType

from .mutants import ACTION, STEP, found_by, q_network


class DropsWeights(DqnAgent):
    def weighted_loss(self, params: Any, batch: Any, weights: Any = None) -> Any:
        return super().weighted_loss(params, batch, None)


class RetracesByAWeaklyTypedCounter(DqnAgent):
    def train(self, experience: Any, weights: Any = None) -> Any:
        info = super().train(experience, weights)
        kind = jnp.float32 if int(self.train_step_counter) % 2 else jnp.int32
        self.set_state(self.get_state()._replace(train_step=jnp.asarray(self.get_state().train_step, kind)))
        return info


class SharesOneSeed(DqnAgent):
    def init(self, key: Any) -> Any:
        return super().init(jax.random.key(0) if isinstance(key, jax.Array) else key)


class LearnsInLoss(DqnAgent):
    def loss(self, experience: Any, weights: Any = None, training: bool = False) -> Any:
        info = super().loss(experience, weights, training)
        if training:
            self.set_state(jax.tree.map(lambda x: x * 2, self.get_state()))
        return info


class AcceptsAnything(DqnAgent):
    def train(self, experience: Any, weights: Any = None) -> Any:
        try:
            return super().train(experience, weights)
        except (TypeError, ValueError) as error:
            if "finite" in str(error):
                raise
            return None


class ActsByStaleWeights(DqnAgent):
    def policy_weights(self, state: Any) -> Any:
        return jax.tree.map(jnp.zeros_like, super().policy_weights(state))


@pytest.mark.parametrize(
    ("kind", "check"),
    [
        (DqnAgent, None),
        (DropsWeights, "weights_scale_each_row"),
        (RetracesByAWeaklyTypedCounter, "nothing_recompiles"),
        (SharesOneSeed, "init_gives_each_seed_its_own_weights_under_vmap"),
        (LearnsInLoss, "loss_is_what_train_minimises_and_changes_nothing"),
        (AcceptsAnything, "batch_of_another_shape_or_dtype_is_refused"),
        (ActsByStaleWeights, "policies_follow_the_training"),
    ],
)
def test_each_fault_is_found_by_its_check(kind: type[DqnAgent], check: str | None):
    def make() -> DqnAgent:
        return kind(STEP, ACTION, q_network(), optax.adam(1e-2))

    assert found_by(AGENT_CHECKS, make) == ([] if check is None else [check])


def test_random_experience_fits_the_agent():
    agent = DqnAgent(STEP, ACTION, q_network(), optax.adam(1e-2), n_step_update=2)
    experience = random_experience(agent, batch_size=5, seed=1)
    assert experience.reward.shape == (5, 3)
    assert np.all(experience.step_type == StepType.MID)
    assert random_experience(agent, num_frames=7).reward.shape == (6, 7)
    assert not np.array_equal(experience.observation, random_experience(agent, batch_size=5, seed=2).observation)
