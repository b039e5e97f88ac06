"""One call from a bandit to a policy that learned online, its regret beside the baselines, in a run directory."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxdaw.agents import Agent
from jaxdaw.environments import BanditEnvironment
from jaxdaw.errors import ConfigError, NonFiniteError
from jaxdaw.metrics import RegretState, RegretSummary
from jaxdaw.policies import Policy
from jaxdaw.training._bandit_config import BanditConfig
from jaxdaw.training._bandit_seeds import BanditSeeds
from jaxdaw.training._bandits import make_bandit
from jaxdaw.training._config import FORMAT, replaced
from jaxdaw.training._directory import new_directory, versions, write_json
from jaxdaw.training._interrupt import Interrupts
from jaxdaw.training._policy_file import save_policy
from jaxdaw.training._writers import MetricsWriter


@dataclasses.dataclass
class BanditRun:
    """A run of a bandit: what was learned, what it cost, and where it lies.

    Attributes:
      policy: the first seed's, after the last round; it explores as it did then, and `policy.greedy()` does not.
      agent: the agent, with the first seed's weights.
      config: the options.
      directory: the run directory, or None if nothing was written.
      rows: the metrics as they were reported, cumulative.
      summaries: of every seed's whole run.
      rounds_per_second: of all seeds together, without compilation.
      interrupted: whether the run was stopped before its last round.
    """

    policy: Policy
    agent: Agent
    config: BanditConfig
    directory: Path | None
    rows: list[dict[str, Any]]
    summaries: list[RegretSummary]
    rounds_per_second: float
    interrupted: bool = False


def train_bandit(
    bandit: str | BanditEnvironment,
    *,
    config: BanditConfig | None = None,
    seed: int = 0,
    seeds: int = 1,
    out: str | Path | None = None,
    watch: Callable[[dict[str, Any]], Any] | None = None,
    bandit_options: dict[str, Any] | None = None,
    **options: Any,
) -> BanditRun:
    """Learns a bandit online, from the first decision to the last, and returns its run.

    Args:
      bandit: the name of a table or of a bandit that is drawn, the path of a labelled CSV file, or a bandit.
      config: the options; None is the defaults.
      seed: of everything random, the order of a table among it.
      seeds: how many runs, from `seed` on, as one `vmap`.
      out: the run directory, which must not hold a run; None writes nothing.
      watch: is called with every row of metrics.
      bandit_options: of a bandit given by name: `{"delta": 0.9}`; of a table `{"path": folder}`.
      **options: fields of the config to replace: `horizon=5_000`.

    Raises:
      ConfigError: an unknown bandit or option, or a value outside its range.
      ImportError: the package that a table lies in is not installed.
      StorageError: `out` already holds a run.
      NonFiniteError: nothing can be learned, because everything is refused as not finite.

    >>> run = train_bandit("bernoulli", horizon=200, updates=1)
    >>> run.summaries[0].rounds
    200
    """
    config = replaced(BanditConfig() if config is None else config, options)
    if seeds < 1:
        raise ConfigError("seeds is outside its range", expected="at least 1", got=str(seeds))
    world, source = make_bandit(bandit, bandit_options or {}) if isinstance(bandit, str) else (bandit, {})
    name = bandit if isinstance(bandit, str) else type(bandit).__name__
    directory = None if out is None else new_directory(Path(out))
    rounds = config.horizon or int(getattr(world, "num_rows", 10_000))
    if directory is not None:
        described = {
            "format": FORMAT, "algorithm": "bandit", "environment": name, "bandit": source, "seed": seed,
            "seeds": seeds, "rounds": rounds, "options": dataclasses.asdict(config),
        }  # fmt: skip
        write_json(directory / "config.json", described)
        write_json(directory / "versions.json", versions())
    session = _Session(world, name, config, rounds, range(seed, seed + seeds), directory, watch)
    try:
        return session.go()
    finally:
        session.close()


class Stretches:
    """How the rounds of a run are cut: some at the start that are learned from one by one, then equal chunks.

    A chunk is one compiled program, so all have to be alike: what does not come out even is added to the start.

    Attributes:
      eager: rounds at the start.
      chunks: how many follow.
      phases: learning phases in each.
      tail: rounds at the end that are learned from one by one again; 0 unless `aligned`.

    Args:
      rounds, eager, learn_every, reports: as in `BanditConfig`.
      aligned: whether chunks have to begin at a multiple of `learn_every`, for a memory that begins anew there.
    """

    def __init__(self, rounds: int, eager: int, learn_every: int, reports: int, aligned: bool = False):
        eager = min(eager, rounds)
        phases = (rounds - eager) // learn_every
        candidates = range(max(1, reports // 2), reports + reports // 2 + 1)
        self.chunks = min(candidates, key=lambda c: (phases % c if phases >= c else math.inf, abs(c - reports)))
        if phases < self.chunks:
            self.chunks = max(phases, 0)
        self.phases = phases // self.chunks if self.chunks else 0
        self.eager = rounds - self.chunks * self.phases * learn_every
        self.tail = self.eager % learn_every if aligned else 0
        self.eager -= self.tail


class _Session:
    """A run under way: the loop, what it costs, and what is written."""

    def __init__(
        self,
        world: BanditEnvironment,
        name: str,
        config: BanditConfig,
        rounds: int,
        seeds: range,
        directory: Path | None,
        watch: Callable[[dict[str, Any]], Any] | None,
    ):
        self.config, self.directory, self._name, self._watch = config, directory, name, watch
        self.agent = config.make_agent(world.time_step_spec(), world.action_spec, seeds[0], rounds)
        kept = config.replay_capacity or rounds
        capacity = -(-kept // config.learn_every) * config.learn_every  # a phase is written in one piece
        self._stretches = Stretches(
            rounds, config.eager_rounds, config.learn_every, config.reports, aligned=capacity < rounds
        )
        self._loop = config.make_loop(self.agent, world, capacity)
        self._runs = BanditSeeds(self._loop, seeds)
        self._seeds, self._rounds, self._stopped = seeds, rounds, False
        self._writer = None if directory is None else MetricsWriter(directory)
        self._sums: RegretState | None = None
        self.rows: list[dict[str, Any]] = []

    def go(self) -> BanditRun:
        runs = self._runs
        seconds, measured, refused, tried = 0.0, 0, 0, 0
        with Interrupts(self._stop):
            for updates, decisions in self._plan():
                if self._stopped:
                    break
                runs.prepare(updates, decisions)
                rounds = len(updates) * decisions * len(self._seeds)
                started = time.perf_counter()
                sums = runs.advance(updates, decisions)
                took = time.perf_counter() - started
                seconds, measured = seconds + took, measured + rounds
                self._sums = sums if self._sums is None else jax.tree.map(np.add, self._sums, sums)
                self._report(rounds / took, seconds)
                taken, total = runs.counts
                self._warn(total - refused, taken - tried + total - refused)
                refused, tried = total, taken
        first = runs.first
        self.agent.set_state(jax.jit(self._loop.policy_state)(first))
        policy = self.agent.policy
        if hasattr(policy, "step"):
            policy.step = int(first.time)
        if self.directory is not None:
            save_policy(policy, self.directory / "policy", {"environment": self._name, "round": int(first.time)})
        rate = measured / max(seconds, 1e-9)
        return BanditRun(
            policy, self.agent, self.config, self.directory, self.rows, self._summaries(), rate, self._stopped
        )

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()

    def _stop(self) -> None:
        self._stopped = True

    def _plan(self) -> list[tuple[np.ndarray, int]]:
        """Returns of every stretch the gradient steps of each phase, and the decisions before it."""
        cut, every = self._stretches, self.config.learn_every
        stretches = [(cut.eager, 1)] * bool(cut.eager) + [(cut.phases, every)] * cut.chunks
        stretches += [(cut.tail, 1)] * bool(cut.tail)
        plan, start = [], 0
        for phases, decisions in stretches:
            taken = self.config.gradient_steps(start + decisions * np.arange(phases + 1))
            plan.append((np.diff(taken).astype(np.int32), decisions))
            start += phases * decisions
        return plan

    def _summaries(self) -> list[RegretSummary]:
        if self._sums is None:
            return []
        metrics = self._loop.metrics
        if len(self._seeds) == 1:
            return [metrics.compute(self._sums)]
        return [
            metrics.compute(jax.tree.map(lambda x: x[member], self._sums))  # noqa: B023  used at once
            for member in range(len(self._seeds))
        ]

    def _warn(self, refused: int, updates: int) -> None:
        if not refused:
            return
        row = {"kind": "warning", "step": self.rows[-1]["step"], "refused": refused, "updates": updates}
        self._emit(row)
        if refused == updates:
            raise NonFiniteError(
                "every gradient step since the last report was refused: not finite",
                got=f"{refused} refused steps up to round {row['step']}",
                cause="rewards or contexts that are not finite, or a learning rate that is too high.",
                fix="--learning-rate 1e-3",
            )

    def _report(self, rate: float, seconds: float) -> None:
        summaries = self._summaries()
        row: dict[str, Any] = {"kind": "bandit", "step": summaries[0].rounds, "rounds": self._rounds}
        for field in ("mean_reward", "regret", "relative_regret", "greedy_regret", "constant_regret",
                      "uniform_regret", "suboptimal_share", "exploration_share"):  # fmt: skip
            row[field] = float(np.mean([getattr(summary, field) for summary in summaries]))
        row["regrets"] = [summary.regret for summary in summaries]
        row["reward_interval"] = list(summaries[0].reward_interval)
        row |= {"steps_per_second": rate, "seconds": seconds}
        self.rows.append(row)
        self._emit(row)
        if self._writer is not None:
            scalars = {"Metrics/Regret": row["regret"], "Metrics/RelativeRegret": row["relative_regret"],
                       "Metrics/SuboptimalArms": row["suboptimal_share"], "Metrics/AverageReward": row["mean_reward"],
                       "Metrics/Exploration": row["exploration_share"]}  # fmt: skip
            self._writer.scalars(scalars, row["step"])

    def _emit(self, row: dict[str, Any]) -> None:
        if self._writer is not None:
            self._writer.write(row)
        if self._watch is not None:
            self._watch(row)
