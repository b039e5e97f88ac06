"""One call from a bandit to a policy that learned online, its regret beside the baselines, in a run directory."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxdaw.agents import Agent
from jaxdaw.environments import BanditEnvironment, make_bandit
from jaxdaw.errors import ConfigError, NonFiniteError
from jaxdaw.metrics import RegretState, RegretSummary
from jaxdaw.policies import Policy
from jaxdaw.storage import remove_directory
from jaxdaw.training._bandit_config import BanditConfig
from jaxdaw.training._bandit_loop import OnlineState
from jaxdaw.training._bandit_seeds import BanditSeeds
from jaxdaw.training._checkpoint import Checkpointer
from jaxdaw.training._config import FORMAT, from_json, replaced
from jaxdaw.training._directory import new_directory, read_config, versions, write_json
from jaxdaw.training._interrupt import Interrupts
from jaxdaw.training._policy_file import save_policy
from jaxdaw.training._stretches import Stretches
from jaxdaw.training._warm_start import WarmStart, read_warm_start
from jaxdaw.training._writers import MetricsWriter, plain_row


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
    warm_start: str | Path | None = None,
    **options: Any,
) -> BanditRun:
    """Learns a bandit online, from the first decision to the last, and returns its run.

    With `out`, a run that is interrupted leaves a checkpoint, as it does every minute; see `resume_bandit`.

    Args:
      bandit: the name of a table or of a bandit that is drawn, the path of a labelled CSV file, or a bandit.
      config: the options; None is the defaults.
      seed: of everything random, the order of a table among it.
      seeds: how many runs, from `seed` on, as one `vmap`. The policy that is kept is that of the first: the best of
        them would be chosen by luck, and be worth less than it earned.
      out: the run directory, which must not hold a run; None writes nothing.
      watch: is called with every row of metrics.
      bandit_options: of a bandit given by name: `{"delta": 0.9}`; of a table `{"path": folder}`.
      warm_start: a run, from a log or online, or a saved policy, of the same specs and network: its weights are those
        that every seed starts with. Optimizer, exploration and memory begin anew.
      **options: fields of the config to replace: `horizon=5_000`.

    Raises:
      ConfigError: an unknown bandit or option, or a value outside its range; another network in `warm_start`.
      SpecError: `warm_start` was learned from other observations or actions.
      ImportError: the package that a table lies in is not installed.
      StorageError: `out` already holds a run; `warm_start` is none.
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
    rounds = config.horizon or int(getattr(world, "num_rows", 10_000))
    directory = None if out is None else new_directory(Path(out))
    session = _Session(world, name, config, rounds, range(seed, seed + seeds), watch)
    if warm_start is not None:
        session.start_with(read_warm_start(warm_start, session.agent))
    if directory is not None:
        place = str(Path(bandit).resolve()) if isinstance(bandit, str) and Path(bandit).is_file() else bandit
        described = {
            "format": FORMAT, "algorithm": "bandit", "environment": name, "bandit": source, "seed": seed,
            "seeds": seeds, "rounds": rounds, "options": dataclasses.asdict(config),
            "given": {"bandit": place, "options": bandit_options or {}} if isinstance(bandit, str) else None,
            "warm_start": None if warm_start is None else str(warm_start), "programs": len(session.runs.states),
        }  # fmt: skip
        write_json(directory / "config.json", described)
        write_json(directory / "versions.json", versions())
        session.write_to(directory)
    return _run(session)


def resume_bandit(
    directory: str | Path,
    bandit: BanditEnvironment | None = None,
    *,
    watch: Callable[[dict[str, Any]], Any] | None = None,
) -> BanditRun:
    """Goes on with an interrupted run of a bandit, exactly as if it had not been interrupted.

    Args:
      directory: a run directory of `train_bandit`.
      bandit: that of the run, if it was not given by name.
      watch: is called with every row of metrics.

    Raises:
      StorageError: no run there, or no checkpoint; or the bandit is not that of the run.
      ConfigError: the run is another kind's, has come to its end, or learned from a log, which takes seconds.
    """
    directory = Path(directory)
    described = read_config(directory)
    if described["algorithm"] != "bandit" or "log" in described:
        kind = "a bandit from a log" if "log" in described else described["algorithm"]
        again = f"bandit --log {described['log']}" if "log" in described else f"{kind} --resume {directory}"
        raise ConfigError(
            f"{directory} is not an online run of a bandit", expected="bandit", got=kind, fix=f"jaxdaw train {again}"
        )
    if bandit is None and described.get("given") is None:
        raise ConfigError(
            f"{directory} does not say how its bandit is made",
            expected="the bandit",
            got="None",
            fix=f"resume_bandit({str(directory)!r}, bandit)",
        )
    if (directory / "policy").is_dir() and not (directory / CHECKPOINTS).is_dir():
        raise ConfigError(
            f"{directory} has come to its end",
            expected="an interrupted run",
            got=f"{described['rounds']} of {described['rounds']} rounds",
            fix=f"jaxdaw train bandit {described['environment']} --warm-start {directory}",
        )
    world = make_bandit(described["given"]["bandit"], described["given"]["options"])[0] if bandit is None else bandit
    config = BanditConfig(**from_json(described["options"]))
    seeds = range(described["seed"], described["seed"] + described["seeds"])
    session = _Session(world, described["environment"], config, described["rounds"], seeds, watch)
    if len(session.runs.states) != described["programs"]:
        raise ConfigError(
            f"the seeds of {directory} were dealt to the cores of another machine",
            expected=f"{described['programs']} programs",
            got=f"{len(session.runs.states)}, of as many cores as there are here",
            cause="sums of floats depend on how many seeds stand together.",
        )
    session.write_to(directory)
    return _run(session, resumed=True)


CHECKPOINTS = "checkpoints"
"""Where in a run directory the checkpoints lie, until the run has come to its end."""


def _run(session: _Session, resumed: bool = False) -> BanditRun:
    try:
        if resumed:
            session.restore()
        return session.go()
    finally:
        session.close()


class _Session:
    """A run under way: the loop, what it costs, and what is written."""

    def __init__(
        self,
        world: BanditEnvironment,
        name: str,
        config: BanditConfig,
        rounds: int,
        seeds: range,
        watch: Callable[[dict[str, Any]], Any] | None,
    ):
        self.config, self._name, self._watch = config, name, watch
        self.directory: Path | None = None
        self.agent = config.make_agent(world.time_step_spec(), world.action_spec, seeds[0], rounds)
        kept = config.replay_capacity or rounds
        capacity = -(-kept // config.learn_every) * config.learn_every  # a phase is written in one piece
        calls = -(-rounds // (config.learn_every * _most_phases(config, self.agent, len(seeds))))
        self._stretches = Stretches(
            rounds, config.eager_rounds, config.learn_every, max(config.reports, calls), aligned=capacity < rounds
        )
        self._loop = config.make_loop(self.agent, world, capacity)
        self.runs = BanditSeeds(self._loop, seeds)
        self._seeds, self._rounds, self._stopped = seeds, rounds, False
        self._writer: MetricsWriter | None = None
        self._checkpointer: Checkpointer | None = None
        outer = (len(seeds),) if len(seeds) > 1 else ()
        self._sums: RegretState = jax.tree.map(lambda x: np.zeros(outer + x.shape), self._loop.metrics.init())
        self._done, self._seconds, self._measured = 0, 0.0, 0
        self._refused, self._tried = 0, 0
        self.rows: list[dict[str, Any]] = []

    def write_to(self, directory: Path) -> None:
        self.directory = directory
        self._writer = MetricsWriter(directory)
        self._checkpointer = Checkpointer(directory / CHECKPOINTS, keep=2)

    def start_with(self, learned: WarmStart) -> None:
        scale = learned.scale if self._loop.scales else None

        def begun(state: OnlineState) -> OnlineState:
            least = jnp.asarray(learned.scale if self._loop.scales else 1.0, jnp.float32)
            return state._replace(agent=learned.begun(state.agent, scale), least_scale=least)

        begin = jax.jit(jax.vmap(begun) if len(self._seeds) > 1 else begun)
        self.runs.states = [begin(state) for state in self.runs.states]

    def go(self) -> BanditRun:
        runs, plan, saved = self.runs, self._plan(), time.perf_counter()
        with Interrupts(self._stop):
            for updates, decisions in plan[self._done :]:
                if self._stopped:
                    break
                runs.prepare(updates, decisions)
                rounds = len(updates) * decisions * len(self._seeds)
                started = time.perf_counter()
                sums = runs.advance(updates, decisions)
                took = time.perf_counter() - started
                self._seconds, self._measured = self._seconds + took, self._measured + rounds
                self._done += 1
                self._sums = jax.tree.map(np.add, self._sums, sums)
                if self._done % max(1, len(plan) // self.config.reports) == 0 or self._done == len(plan):
                    self._report(rounds / took)
                if time.perf_counter() - saved > _CHECKPOINT_SECONDS and self._done < len(plan):
                    self._checkpoint()
                    saved = time.perf_counter()
        first = runs.first
        self.agent.set_state(self._loop.policy_state(first))
        policy = self.agent.policy
        if hasattr(policy, "step"):
            policy.step = int(first.time)
        interrupted = self._done < len(plan)
        if self.directory is not None:
            scale = float(first.scale) if self._loop.scales else 1.0
            about = {"environment": self._name, "round": int(first.time), "scale": scale}
            save_policy(policy, self.directory / "policy", about)
            if interrupted:
                self._checkpoint()
            else:
                remove_directory(self.directory / CHECKPOINTS)
        rate = self._measured / max(self._seconds, 1e-9)
        return BanditRun(
            policy, self.agent, self.config, self.directory, self.rows, self._summaries(), rate, interrupted
        )

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()

    def restore(self) -> None:
        assert self._checkpointer is not None
        assert self._writer is not None
        _, tree, kept = self._checkpointer.restore(self._tree())
        self.runs.states, self._sums = tree["states"], tree["sums"]
        self._done, self._seconds, self._measured = kept["done"], kept["seconds"], kept["measured"]
        self._refused, self._tried = kept["refused"], kept["tried"]
        self.rows = [{key: _with_nan(value) for key, value in row.items()} for row in kept["rows"]]
        self._writer.go_back(kept["metrics"])
        restored = "weights, optimizer, memory, random keys, regret, metrics"
        step = self._summaries()[0].rounds if self._done else 0
        self._emit({"kind": "resume", "step": step, "unit": "round", "restored": restored, "lost": None})

    def _checkpoint(self) -> None:
        if self._checkpointer is None or self._writer is None:
            return
        kept = {
            "done": self._done, "seconds": self._seconds, "measured": self._measured, "refused": self._refused,
            "tried": self._tried, "rows": [plain_row(row) for row in self.rows], "metrics": self._writer.position,
        }  # fmt: skip
        self._checkpointer.save(int(self.runs.first.time), self._tree(), kept)

    def _tree(self) -> dict[str, Any]:
        return {"states": self.runs.states, "sums": self._sums}

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
        if self._done == 0:
            return []
        metrics = self._loop.metrics
        if len(self._seeds) == 1:
            return [metrics.compute(self._sums)]
        return [
            metrics.compute(jax.tree.map(lambda x: x[member], self._sums))  # noqa: B023  used at once
            for member in range(len(self._seeds))
        ]

    def _warn(self) -> None:
        """Tells of the gradient steps that were refused since the last report."""
        taken, total = self.runs.counts
        refused, updates = total - self._refused, taken - self._tried + total - self._refused
        self._refused, self._tried = total, taken
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

    def _report(self, rate: float) -> None:
        summaries = self._summaries()
        row: dict[str, Any] = {"kind": "bandit", "step": summaries[0].rounds, "rounds": self._rounds}
        for field in ("mean_reward", "regret", "relative_regret", "greedy_regret", "constant_regret",
                      "uniform_regret", "suboptimal_share", "exploration_share"):  # fmt: skip
            row[field] = float(np.mean([getattr(summary, field) for summary in summaries]))
        row["regrets"] = [summary.regret for summary in summaries]
        row["reward_interval"] = list(summaries[0].reward_interval)
        row |= {"steps_per_second": rate, "seconds": self._seconds}
        self.rows.append(row)
        self._emit(row)
        self._warn()
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


def _with_nan(value: Any) -> Any:
    """Returns a value of a row as it was before `plain_row`."""
    if isinstance(value, list):
        return [_with_nan(part) for part in value]
    return math.nan if value is None else value


_CHECKPOINT_SECONDS = 60.0
"""From one checkpoint to the next."""
_MOST_WORK = 2**30
"""Multiplications in the gradient steps of one call, which nothing interrupts: a fraction of a second."""
_LEAST_WEIGHTS = 4096
"""Of networks with fewer weights a gradient step takes no less time."""


def _most_phases(config: BanditConfig, agent: Agent, seeds: int) -> int:
    """Returns how many learning phases one call may hold."""
    weights = sum(map(np.size, jax.tree.leaves(agent.get_state().params)))
    return max(1, _MOST_WORK // (config.updates * config.batch_size * max(weights, _LEAST_WEIGHTS) * seeds))
