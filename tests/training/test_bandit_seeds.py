"""Seeds dealt to several programs against the same loop without them."""

from __future__ import annotations

import os
import subprocess
import sys

import jax
import numpy as np

from jaxdaw.environments import LinearBandit
from jaxdaw.training import BanditConfig, _dealing
from jaxdaw.training._bandit_seeds import BanditSeeds

WORLD = LinearBandit(num_actions=2, size=2)
SEEDS, UPDATES = (7, 8, 9), np.array([2, 0, 1], np.int32)


def test_seeds_are_told_of_in_order_however_they_were_dealt(monkeypatch):
    """Three seeds in two programs of two: the third is run twice, and told of once."""
    monkeypatch.setattr(_dealing, "cores", lambda: 2)
    config = BanditConfig(batch_size=4, fc_layer_params=(4,))
    loop = config.make_loop(config.make_agent(WORLD.time_step_spec(), WORLD.action_spec), WORLD, 12)
    runs = BanditSeeds(loop, SEEDS)
    assert [state.time.shape for state in runs.states] == [(2,), (2,)]
    sums = runs.advance(UPDATES, 4)
    assert sums.rounds.tolist() == [12, 12, 12]
    for place, seed in enumerate(SEEDS):  # what the bandit would have paid does not depend on who decides
        _, key_problem, key_rounds, _ = jax.random.split(jax.random.key(seed), 4)
        rounds = WORLD.draw_rounds(WORLD.draw_problem(key_problem), key_rounds, 0, 12)
        lost = np.max(rounds.expected_rewards, axis=1, keepdims=True) - rounds.expected_rewards
        np.testing.assert_allclose(sums.arm_regrets[place], lost.sum(axis=0), rtol=1e-4)
        if place == 0:
            np.testing.assert_allclose(runs.first.memory.observation, rounds.observation, rtol=1e-5)
    assert runs.counts == (3 * UPDATES.sum(), 0)


LINEAR = """
import numpy as np
from jaxdaw.environments import ClassificationBandit
from jaxdaw.training import train

random = np.random.default_rng(0)
table = ClassificationBandit(random.standard_normal((600, 64)).astype(np.float32), random.integers(0, 10, 600))
run = train("bandit", table, exploration="lints", seeds=2, horizon=600)
print(run.summaries[1].rounds)
"""


def test_programs_in_several_threads_do_not_wait_for_one_anothers_cores():
    """With a program in each of two threads this hangs, on two cores, within its first 200 rounds."""
    environment = {**os.environ, "JAX_CPU_ENABLE_ASYNC_DISPATCH": "false"}
    done = subprocess.run([sys.executable, "-c", LINEAR], capture_output=True, text=True, timeout=300, env=environment)
    assert (done.returncode, done.stdout) == (0, "600\n"), done.stderr[-2_000:]
