"""One greedy action, NumPy to NumPy, against a hand-written compiled call. Run: python benchmarks/act.py [--sync]

On a CPU, JAX hands a program to another thread, which sleeps between calls unless they follow each other at once: that
favours whoever does nothing in between. With --sync, as the command line of jaxdaw does, programs run where they are
called: `jax.config.update("jax_cpu_enable_async_dispatch", False)`.
"""

from __future__ import annotations

import sys
from pathlib import Path

import jax
import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
import raw_dqn
from timing import ratio_rounds
from train_step import make

from jaxdaw.trajectories import restart


def main():
    jax.config.update("jax_cpu_enable_async_dispatch", "--sync" not in sys.argv)
    agent, _, _ = make((4, 100, 50, 2), 64)
    params = raw_dqn.init_mlp(jax.random.key(0), (4, 100, 50, 2))
    compiled = jax.jit(lambda p, x: raw_dqn.mlp(p, x).argmax(-1))
    closed = jax.jit(lambda x: raw_dqn.mlp(params, x).argmax(-1))
    observation = np.zeros((1, 4), np.float32)
    step = restart(observation, batch_size=1)
    bound = agent.policy.bind()
    calls = 2000

    def loop(call):
        def run():
            for _ in range(calls):
                call()
            return calls

        return run

    print(f"{'':32s} raw us   jaxdaw us   ratio (median, min to max over rounds)")
    raw = loop(lambda: np.asarray(compiled(params, observation)))
    ratio_rounds("policy.action(time_step)", raw, loop(lambda: agent.policy.action(step)))
    ratio_rounds("bound policy, weights passed", raw, loop(lambda: bound(observation)))
    ratio_rounds(
        "bound policy, weights closed", loop(lambda: np.asarray(closed(observation))), loop(lambda: bound(observation))
    )


if __name__ == "__main__":
    main()
