"""A bandit's agent that learns from a log alone: what others decided, and what came of it."""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

import jax
import jax.numpy as jnp
import numpy as np

from jaxdaw import specs
from jaxdaw.agents import Agent, AgentState
from jaxdaw.data import Decisions, decision_experience, is_rewarded, read_decisions
from jaxdaw.errors import ConfigError, JaxdawWarning, SpecError
from jaxdaw.policies import Policy, PolicyInfo
from jaxdaw.replay import RecordedSource
from jaxdaw.training._job import Job, JobReport, JobSource, not_described
from jaxdaw.training._loop import learn_phase
from jaxdaw.training._reward_units import RewardUnits, with_constant_arms
from jaxdaw.training._trainer import seeded
from jaxdaw.training._warm_start import WarmStart, all_keys, learned_before, read_warm_start
from jaxdaw.trajectories import time_step_spec

_MAX_ROUNDS = 50_000
"""Rounds of a run whose gradient steps are taken, however long the log is."""

_SURELY_NOT = -20.0
"""The logit of a reward of 0, or nearly."""


class LogSource(JobSource):
    """Logged decisions to learn from, without making any.

    The agent is the one that a bandit would have, and takes as many gradient steps as a run of as many rounds, 50,000
    at most, which takes seconds; exact linear models see each row once. The policy explores as it would after that many
    rounds. Rewards are learned in units of their own, so that what is learned is the same whatever they are counted in;
    an arm that the log never shows is taken to earn the lowest reward in it. What the policy is worth is told by
    `evaluate_off_policy` on decisions that it was not trained on.

    Args:
      what: decisions with rewards in all rows, or what `read_decisions` reads; with features of arms, these stand
        beside the context.
      importance: weights of the rows, see `decision_experience`.
      warm_start: a run or a saved policy to start with, as for `BanditSource`.
      source: where decisions that are given as an object came from.
      reading: how they were read from there and which were kept, as JSON values, for whoever reads them again.
      recorded: of a run that is resumed, the number of its decisions.

    Raises:
      SpecError: the log has faults, no contexts, or features of arms.
    """

    OPTIONS: ClassVar[tuple[str, ...]] = ("importance", "warm_start", "source", "reading")

    def __init__(
        self,
        what: Any,
        importance: Literal["none", "uniform"] = "none",
        warm_start: str | Path | None = None,
        source: str = "",
        reading: dict[str, Any] | None = None,
        recorded: int | None = None,
    ):
        if isinstance(what, str | Path):
            source, what = str(Path(what).resolve()), read_decisions(what)
        _refuse_faults(what)
        if recorded is not None and recorded != len(what):
            raise ConfigError(
                "these decisions are not those of the run", expected=f"{recorded} decisions", got=str(len(what))
            )
        context = specs.map_structure(lambda leaf: leaf.astype(np.float32), what.context)
        self._decisions = what.replace(context=context)
        self._warm_start, self._source, self._reading = warm_start, source, reading
        self._importance: Literal["none", "uniform"] = importance
        self.name = Path(source).stem if source else "log"
        if not source:
            self.why_not_resumable = "its log was given as an object"

    def describe(self) -> dict[str, Any]:
        """Returns where the log came from."""
        return {
            "environment": self._source or "log",
            "log": self._source or "log",
            "reading": self._reading,
            "decisions": len(self._decisions),
            "importance": self._importance,
            "warm_start": None if self._warm_start is None else str(self._warm_start),
        }

    @classmethod
    def reopen(
        cls, described: dict[str, Any], what: Any, environment: Any, max_episode_steps: int | None, directory: Path
    ) -> LogSource:
        """Returns the decisions that are given, or the log that the run names, if they are as many."""
        del max_episode_steps
        if environment is not None:
            raise ConfigError("a log has no environment", got=type(environment).__name__)
        source, reading = described.get("log"), described.get("reading")
        if what is None and (not isinstance(source, str) or reading is not None or not Path(source).exists()):
            raise not_described(directory, "log", "decisions")
        importance: Literal["none", "uniform"] = "uniform" if described.get("importance") == "uniform" else "none"
        given = source if what is None else what
        recorded = described.get("decisions")
        return cls(given, importance, described.get("warm_start"), str(source or ""), reading, recorded)

    def job(self, config: Any, started: Any, seeds: Sequence[int]) -> LogJob:
        """Returns the job of learning from it."""
        del config
        if started.exploration in ("linucb", "lints") and self._importance != "none":
            raise ConfigError(
                "exact linear models take no weights", expected="importance='none'", got=repr(self._importance)
            )
        job = LogJob(self._decisions, self._importance, started, seeds[0], self._source or "log")
        job.warm_start = self._warm_start
        return job


def _refuse_faults(decisions: Any) -> None:
    if not isinstance(decisions, Decisions):
        raise ConfigError(
            "these are no decisions", expected="Decisions, or the path of a log", got=type(decisions).__name__
        )
    if specs.flatten(decisions.arm_features):
        raise SpecError(
            "features of arms are not learned from by `train('bandit', log)`",
            expected="a log without arm_features",
            got=str(decisions.arm_features_spec)[:80],
            fix="NeuralEpsilonGreedyAgent(..., accepts_per_arm_features=True).train(*decision_experience(log))",
        )
    if not specs.flatten(decisions.context):
        raise SpecError("the log has no contexts to learn from", expected="context [N, ...]", got="none")
    impossible = ~decisions.is_possible & ~np.isnan(decisions.probability)
    if impossible.any():
        raise SpecError(
            f"{int(impossible.sum())} of {len(decisions)} actions were logged with a probability that cannot be",
            expected="above 0 and at most 1, or NaN where it is not known",
            got=f"{decisions.probability[impossible][0]} in row {int(np.argmax(impossible))}",
            fix="decisions.replace(probability=np.full(len(decisions), np.nan)), or repair what logs them",
        )


class LogJob(Job):
    """Gradient steps on rows drawn from a log; of exact linear models one pass over them."""

    unit: ClassVar[str] = "update"
    saves_by_time: ClassVar[bool] = True
    keeps_checkpoint: ClassVar[bool] = False
    refused_fix: ClassVar[str] = "--learning-rate 1e-3"
    restores: ClassVar[str] = "weights, optimizer, random numbers, metrics"
    warm_start: str | Path | None = None

    def __init__(self, decisions: Decisions, importance: Literal["none", "uniform"], config: Any, seed: int, name: str):
        has_reward = is_rewarded(decisions)
        decisions = decisions if has_reward.all() else decisions.select(has_reward)
        rows = decision_experience(decisions, importance=importance)
        is_linear = self._is_linear = config.exploration in ("linucb", "lints")
        reward = np.asarray(decisions.reward)
        is_share = bool(reward.min() == 0.0 and reward.max() == 1.0)  # of what is possible: a click, a rating
        reward_spec = specs.BoundedTensorSpec((), np.float32, 0.0, 1.0, "reward") if is_share else None
        learns_shares = not is_linear and (config.loss == "log" or (config.loss == "auto" and is_share))
        self._units = RewardUnits() if learns_shares else RewardUnits.standard(reward)
        step_spec = time_step_spec(decisions.context_spec, reward_spec)
        action_spec = specs.BoundedTensorSpec((), np.int32, 0, (decisions.num_arms or 1) - 1)
        rounds = min(len(decisions), _MAX_ROUNDS)
        usual = 1.0 if learns_shares else 2.0 * self._units.scale  # 1 of fair coins with 0 and 1
        self._make = lambda: config.make_agent(step_spec, action_spec, seed, rounds, usual)
        agent = self._make()
        self.agent, self._network = agent, agent.reward_network
        self._is_unknown = np.bincount(decisions.action, minlength=int(specs.num_values(action_spec))) == 0
        self._worst = _SURELY_NOT if learns_shares else float(self._units.learned(reward.min()))
        self.name, self._config, self._rounds = name, config, len(decisions)
        self._decisions = decisions
        self._learned_before: np.ndarray | None = None
        known = np.minimum(np.nan_to_num(decisions.probability, nan=1.0), 1.0)
        info = PolicyInfo(log_probability=np.log(known).astype(np.float32)[:, None])
        self._rows = rows.experience._replace(policy_info=info), None if is_linear else rows.weights
        self._record()
        count = self._count = len(reward)
        self._plan: list[Any]
        if is_linear:
            size = min(config.batch_size, count)
            self._plan = [np.array([batch]) for batch in np.array_split(np.arange(count), range(size, count, size))]
        else:
            steps = max(1, rounds // config.learn_every * config.updates)
            each = max(1, steps // config.reports)
            self._plan = [(each, config.batch_size)] * (steps // each)
        self._every = max(1, len(self._plan) // config.reports)
        self._random = np.random.default_rng(seed)
        compiler = self.agent.compiler_options()
        self._learn = jax.jit(self._learn_rows, donate_argnums=0, compiler_options=compiler)
        self._state = seeded(self.agent, seed)
        self._done, self._seconds = 0, 0.0
        self._losses: list[float] = []  # since the last report

    @property
    def position(self) -> int:
        """Gradient steps so far."""
        return sum(map(_size, self._plan[: self._done]))

    @property
    def total(self) -> int:
        """Gradient steps of the run."""
        return sum(map(_size, self._plan))

    def begin(self) -> None:
        """Takes over what was learned before, if it is to start with that."""
        if self.warm_start is not None:
            self.start_with(read_warm_start(self.warm_start, self.agent))
        elif self._is_unknown.any():
            unknown = np.flatnonzero(self._is_unknown)
            warnings.warn(
                f"the log never shows {len(unknown)} of {len(self._is_unknown)} arms "
                f"({', '.join(map(str, unknown[:5]))}{', ...' if len(unknown) > 5 else ''}): nothing is learned of "
                "them, and they are taken to earn the lowest logged reward",
                JaxdawWarning,
                stacklevel=2,
            )

    def _record(self) -> None:
        """Puts the rows on the device, their rewards in the units that are learned."""
        experience, weights = self._rows
        rewards = self._units.learned(experience.reward)
        self._recorded = jax.device_put((experience._replace(reward=rewards), weights))

    def start_with(self, learned: WarmStart) -> None:
        """Makes what was learned before the agent's first weights."""
        if self._is_linear:  # a posterior goes on in the units of its prior
            self._units = learned.units
            self._record()
        begun = learned.begun(self._network, self._state, self._units)
        self._state = jax.tree.map(jnp.copy, begun)
        self._learned_before = learned.learned_keys

    def run(self) -> JobReport | None:
        """Takes the gradient steps of one call; returns a report where one is due."""
        started, chosen = time.perf_counter(), self._chosen(self._plan[self._done])
        self._state, loss = self._learn(self._state, self._recorded, chosen)
        self._losses += np.asarray(loss).tolist()
        self._done += 1
        self._seconds += time.perf_counter() - started
        if self._done % self._every and self._done != len(self._plan):
            return None
        losses, self._losses = np.array(self._losses), []
        refused = int(np.sum(~np.isfinite(losses)))
        loss = float(np.mean(losses, where=np.isfinite(losses))) if refused < len(losses) else math.nan
        row = {"kind": "log", "step": self.position, "unit": self.unit, "total": self.total, "loss": loss}
        return JobReport(row=row, scalars={"Losses/loss": loss}, updates=len(losses), refused=refused)

    def _learn_rows(self, state: AgentState, recorded: Any, rows: jax.Array) -> tuple[AgentState, jax.Array]:
        source = RecordedSource(self._count, rows.shape[1], len(rows))
        state, _, losses = learn_phase(self.agent, source, state, recorded, rows)
        return state, losses

    def _chosen(self, entry: Any) -> np.ndarray:
        return self._random.integers(0, self._count, entry) if isinstance(entry, tuple) else entry

    def tree(self) -> dict[str, Any]:
        """Returns the agent's state."""
        return {"agent": self._state}

    def kept(self) -> dict[str, Any]:
        """Returns how far it is, and the losses since the last report."""
        losses = [loss if math.isfinite(loss) else None for loss in self._losses]
        return {"done": self._done, "seconds": self._seconds, "losses": losses, "units": list(self._units)}

    def restore(self, tree: dict[str, Any], kept: dict[str, Any]) -> str | None:
        """Goes on from a checkpoint, exactly: the random numbers until then are drawn again."""
        self._state = jax.tree.map(jnp.copy, tree["agent"])
        self._learned_before = learned_before(self.warm_start, self.agent)
        self._done, self._seconds, self._units = kept["done"], kept["seconds"], RewardUnits(*kept["units"])
        self._record()
        self._losses = [math.nan if loss is None else loss for loss in kept["losses"]]
        for entry in self._plan[: self._done]:
            self._chosen(entry)
        return None

    def weights(self) -> Any:
        """Returns the policy's weights."""
        return self.sync().get_weights()

    def sync(self, member: int = 0) -> Policy:
        """Gives the agent what was learned, in units of reward, and returns its policy."""
        del member
        state = self._state
        if self.warm_start is None and self._is_unknown.any():
            state = with_constant_arms(self._network, state, self._is_unknown, self._worst)
        state = self._units.restored(self._network, state)
        self.agent.set_state(jax.tree.map(jnp.copy, state))
        policy: Any = self.agent.policy
        if hasattr(policy, "step"):
            policy.step = self._rounds
        policy.learned_keys = all_keys(self._decisions.keys, self._learned_before)
        return policy

    def new_agent(self) -> Agent:
        """Returns another agent with these options."""
        return self._make()

    def about(self, step: int) -> dict[str, Any]:
        """Returns the log, its decisions, and the units in which their rewards were learned."""
        del step
        return {"log": self.name, "round": self._rounds, **self._units._asdict()}

    def results(self) -> dict[str, Any]:
        """Returns the gradient steps in a second."""
        return {"rounds_per_second": self.position / max(self._seconds, 1e-9)}


def _size(entry: Any) -> int:
    return entry[0] if isinstance(entry, tuple) else len(entry)
