"""An agent that learns a bandit online, from the first decision to the last: one seed, or several side by side."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from jaxdaw.agents import Agent
from jaxdaw.environments import BANDITS, BanditEnvironment, make_bandit
from jaxdaw.errors import ConfigError, StorageError
from jaxdaw.metrics import RegretState, RegretSummary
from jaxdaw.policies import Policy
from jaxdaw.training._bandit_loop import OnlineState
from jaxdaw.training._bandit_seeds import BanditSeeds
from jaxdaw.training._job import Job, JobReport, JobSource, not_described
from jaxdaw.training._reward_units import RewardUnits
from jaxdaw.training._stretches import Stretches
from jaxdaw.training._warm_start import WarmStart, learned_before, read_warm_start

_MOST_WORK = 2**30
"""Multiplications in the gradient steps of one call, which nothing interrupts: a fraction of a second."""
_LEAST_WEIGHTS = 4096
"""Of networks with fewer weights a gradient step takes no less time."""


class BanditSource(JobSource):
    """A bandit to learn online.

    Args:
      what: the name of a table or of a bandit that is drawn, the path of a labelled CSV file, or a bandit.
      bandit_options: of a bandit given by name: `{"delta": 0.9}`; of a table `{"path": folder}`.
      warm_start: a run, from a log or online, or a saved policy, of the same specs and network: its weights are those
        that every seed starts with. Optimizer, exploration and memory begin anew.
      rounds: of the run, where it has begun; None is the option `horizon`.
      programs: that share the seeds, where it has begun.
    """

    OPTIONS: ClassVar[tuple[str, ...]] = ("bandit_options", "warm_start")

    def __init__(
        self,
        what: str | BanditEnvironment,
        bandit_options: dict[str, Any] | None = None,
        warm_start: str | Path | None = None,
        rounds: int | None = None,
        programs: int | None = None,
    ):
        self._options, self._warm_start, self._rounds, self._programs = (
            bandit_options or {},
            warm_start,
            rounds,
            programs,
        )
        self._given: dict[str, Any] | None = None
        self._about: dict[str, Any] = {}
        if isinstance(what, str):
            self._world, self._about = make_bandit(what, self._options)
            place = str(Path(what).resolve()) if Path(what).is_file() else what
            self._given = {"bandit": place, "options": self._options}
            self.name = what
        elif isinstance(what, BanditEnvironment):
            if bandit_options:
                raise ConfigError("options are for a bandit given by its name", got=type(what).__name__)
            self._world, self.name = what, type(what).__name__
            self.why_not_resumable = "its bandit was given as an object"
        else:
            raise ConfigError(
                "this is no bandit",
                expected="a bandit, a log, or one of " + ", ".join(BANDITS),
                got=type(what).__name__,
            )

    @classmethod
    def reopen(
        cls, described: dict[str, Any], what: Any, environment: Any, max_episode_steps: int | None, directory: Path
    ) -> BanditSource:
        """Returns the bandit that is given, or that the run names."""
        del max_episode_steps
        if environment is not None:
            raise ConfigError("a bandit has no environment", got=type(environment).__name__)
        given, rounds, programs = (described.get(name) for name in ("given", "rounds", "programs"))
        if what is None and given is None:
            raise not_described(directory, "bandit", "bandit")
        if what is None and not (
            isinstance(given, dict) and isinstance(given.get("bandit"), str) and isinstance(given.get("options"), dict)
        ):
            raise StorageError(
                f"{directory / 'config.json'} describes no bandit", expected="'given'", got=str(given)[:60]
            )
        if type(rounds) is not int or type(programs) is not int or rounds < 1:
            raise StorageError(f"{directory / 'config.json'} describes no run", expected="'rounds', 'programs'")
        options = given["options"] if what is None and given is not None else None
        bandit: Any = given["bandit"] if what is None and given is not None else what
        return cls(bandit, options, described.get("warm_start"), rounds, programs)

    @property
    def is_one_program(self) -> bool:
        """Seeds of a bandit are always run side by side."""
        return True

    def describe(self) -> dict[str, Any]:
        """Returns how the bandit is made."""
        return {
            "environment": self.name,
            "bandit": self._about,
            "given": self._given,
            "rounds": self._rounds,
            "programs": self._programs,
            "warm_start": None if self._warm_start is None else str(self._warm_start),
        }

    def job(self, config: Any, started: Any, seeds: Sequence[int]) -> BanditJob:
        """Returns the job of learning it."""
        rounds = self._rounds or started.horizon or int(getattr(self._world, "num_rows", 10_000))
        job = BanditJob(self._world, self.name, started, rounds, seeds)
        if self._programs is not None and len(job.runs.states) != self._programs:
            raise ConfigError(
                "the seeds of this run were dealt to the cores of another machine",
                expected=f"{self._programs} programs",
                got=f"{len(job.runs.states)}, of as many cores as there are here",
                cause="sums of floats depend on how many seeds stand together.",
            )
        self._rounds, self._programs = rounds, len(job.runs.states)
        job.warm_start = self._warm_start
        return job


class BanditJob(Job):
    """Decides, earns, remembers and learns, a stretch of rounds at a time.

    The policy that is kept is that of the first seed: the best of several would be chosen by luck, and be worth less
    than it earned.
    """

    unit: ClassVar[str] = "round"
    saves_by_time: ClassVar[bool] = True
    keeps_checkpoint: ClassVar[bool] = False
    refused_fix: ClassVar[str] = "--learning-rate 1e-3"
    restores: ClassVar[str] = "weights, optimizer, memory, random keys, regret, metrics"
    warm_start: str | Path | None = None
    _learned_before: np.ndarray | None = None

    def __init__(self, world: BanditEnvironment, name: str, config: Any, rounds: int, seeds: Sequence[int]):
        self.name, self._config, self._seeds, self._rounds = name, config, seeds, rounds
        self._make = lambda: config.make_agent(world.time_step_spec(), world.action_spec, seeds[0], rounds)
        self.agent = self._make()
        kept = config.replay_capacity or rounds
        capacity = -(-kept // config.learn_every) * config.learn_every  # a phase is written in one piece
        calls = -(-rounds // (config.learn_every * _most_phases(config, self.agent, len(seeds))))
        self._stretches = Stretches(
            rounds, config.eager_rounds, config.learn_every, max(config.reports, calls), aligned=capacity < rounds
        )
        self._loop = config.make_loop(self.agent, world, capacity)
        self.runs = BanditSeeds(self._loop, seeds)
        outer = (len(seeds),) if len(seeds) > 1 else ()
        self._sums: RegretState = jax.tree.map(lambda x: np.zeros(outer + x.shape), self._loop.metrics.init())
        self._plan = self._make_plan()
        self._done, self._seconds, self._measured = 0, 0.0, 0
        self._refused, self._tried = 0, 0
        self._reported = max(1, len(self._plan) // config.reports)

    @property
    def position(self) -> int:
        """Rounds so far."""
        return self._loop_rounds(self._done)

    def _loop_rounds(self, stretches: int) -> int:
        return sum(len(updates) * decisions for updates, decisions in self._plan[:stretches])

    @property
    def total(self) -> int:
        """Rounds of the run."""
        return self._rounds

    def begin(self) -> None:
        """Takes over what was learned before, if it is to start with that."""
        if self.warm_start is not None:
            self.start_with(read_warm_start(self.warm_start, self.agent))

    def start_with(self, learned: WarmStart) -> None:
        """Makes what was learned before the first weights of every seed."""
        units = RewardUnits(scale=learned.units.scale) if self._loop.scales else RewardUnits()

        def begun(state: OnlineState) -> OnlineState:
            least = jnp.asarray(units.scale, jnp.float32)
            agent = learned.begun(self._loop.agent.reward_network, state.agent, units)
            return state._replace(agent=agent, least_scale=least)

        begin = jax.jit(jax.vmap(begun) if len(self._seeds) > 1 else begun)
        self.runs.states = [begin(state) for state in self.runs.states]
        self._learned_before = learned.learned_keys

    def run(self) -> JobReport | None:
        """Runs one stretch; returns a report where one is due."""
        updates, decisions = self._plan[self._done]
        self.runs.prepare(updates, decisions)
        rounds = len(updates) * decisions * len(self._seeds)
        started = time.perf_counter()
        sums = self.runs.advance(updates, decisions)
        took = time.perf_counter() - started
        self._seconds, self._measured = self._seconds + took, self._measured + rounds
        self._done += 1
        self._sums = jax.tree.map(np.add, self._sums, sums)
        is_due = self._done % self._reported == 0 or self._done == len(self._plan)
        return self._report(rounds / took) if is_due else None

    def _report(self, rate: float) -> JobReport:
        summaries = self._summaries()
        row: dict[str, Any] = {
            "kind": "bandit", "step": summaries[0].rounds, "unit": self.unit, "total": self._rounds,
            "rounds": self._rounds,
        }  # fmt: skip
        for field in ("mean_reward", "regret", "relative_regret", "greedy_regret", "constant_regret",
                      "uniform_regret", "suboptimal_share", "exploration_share"):  # fmt: skip
            row[field] = float(np.mean([getattr(summary, field) for summary in summaries]))
        row["regrets"] = [summary.regret for summary in summaries]
        row["reward_interval"] = list(summaries[0].reward_interval)
        row["steps_per_second"] = rate
        taken, total = self.runs.counts
        refused, updates = total - self._refused, taken - self._tried + total - self._refused
        self._refused, self._tried = total, taken
        return JobReport(
            row=row,
            scalars={
                "Metrics/Regret": row["regret"],
                "Metrics/RelativeRegret": row["relative_regret"],
                "Metrics/SuboptimalArms": row["suboptimal_share"],
                "Metrics/AverageReward": row["mean_reward"],
                "Metrics/Exploration": row["exploration_share"],
            },
            updates=updates,
            refused=refused,
        )

    def tree(self) -> dict[str, Any]:
        """Returns the states of all seeds, and the sums of their regret."""
        return {"states": self.runs.states, "sums": self._sums}

    def kept(self) -> dict[str, Any]:
        """Returns what is counted on the host."""
        return {
            "done": self._done, "seconds": self._seconds, "measured": self._measured, "refused": self._refused,
            "tried": self._tried,
        }  # fmt: skip

    def restore(self, tree: dict[str, Any], kept: dict[str, Any]) -> str | None:
        """Goes on from a checkpoint, exactly."""
        self.runs.states, self._sums = tree["states"], tree["sums"]
        self._learned_before = learned_before(self.warm_start, self.agent)
        self._done, self._seconds, self._measured = kept["done"], kept["seconds"], kept["measured"]
        self._refused, self._tried = kept["refused"], kept["tried"]
        return None

    def weights(self) -> Any:
        """Returns the weights of the first seed's policy."""
        return self.sync().get_weights()

    def sync(self, member: int = 0) -> Policy:
        """Gives the agent the first seed's weights, and returns its policy: it explores as it did in the last round."""
        del member
        first = self.runs.first
        self.agent.set_state(self._loop.policy_state(first))
        policy: Any = self.agent.policy
        if hasattr(policy, "step"):
            policy.step = int(first.time)
        policy.learned_keys = self._learned_before
        return policy

    def new_agent(self) -> Agent:
        """Returns another agent with these options."""
        return self._make()

    def about(self, step: int) -> dict[str, Any]:
        """Returns bandit, round, and the scale of the rewards while it learned."""
        scale = float(self.runs.first.scale) if self._loop.scales else 1.0
        return {"environment": self.name, "round": step, "scale": scale}

    def results(self) -> dict[str, Any]:
        """Returns the regret of every seed, and the rounds in a second of all, without compilation."""
        rate = self._measured / max(self._seconds, 1e-9)
        return {"summaries": self._summaries(), "rounds_per_second": rate}

    def close(self) -> None:
        """Ends the threads."""
        self.runs.close()

    def _make_plan(self) -> list[tuple[np.ndarray, int]]:
        """Returns of every stretch the gradient steps of each phase, and the decisions before it."""
        cut, every = self._stretches, self._config.learn_every
        stretches = [(cut.eager, 1)] * bool(cut.eager) + [(cut.phases, every)] * cut.chunks
        stretches += [(cut.tail, 1)] * bool(cut.tail)
        plan, start = [], 0
        for phases, decisions in stretches:
            taken = self._config.gradient_steps(start + decisions * np.arange(phases + 1))
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


def _most_phases(config: Any, agent: Agent, seeds: int) -> int:
    """Returns how many learning phases one call may hold."""
    weights = sum(map(np.size, jax.tree.leaves(agent.get_state().params)))
    return max(1, _MOST_WORK // (config.updates * config.batch_size * max(weights, _LEAST_WEIGHTS) * seeds))
