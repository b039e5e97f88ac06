"""The protocol between a run and what it learns: a job is learning in pieces, with a position, a total and a tree."""

from __future__ import annotations

import abc
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np

from jaxdaw.agents import Agent
from jaxdaw.errors import ConfigError
from jaxdaw.policies import Policy

Told = Callable[[int, int], Any]
"""Called while an evaluation goes on, with the episodes that have ended and the actions taken in each row."""


class JobReport(NamedTuple):
    """What happened in one piece of a job.

    Attributes:
      row: the row of metrics, without the clock.
      members: the rows of each member of a population; empty for a single policy.
      scalars: for TensorBoard, by tag.
      updates, refused: gradient steps tried, and those refused as not finite.
      score: what the best policy is chosen by, larger is better; None where evaluations or nothing choose it.
      summaries: the agent's, at a gradient step; None without any.
    """

    row: dict[str, Any]
    members: Sequence[dict[str, Any]] = ()
    scalars: dict[str, float | None] = {}  # noqa: RUF012  never changed
    updates: int = 0
    refused: int = 0
    score: float | None = None
    summaries: tuple[int, dict[str, Any]] | None = None


class Evaluated(NamedTuple):
    """Returns of whole episodes.

    Attributes:
      returns: `[members, episodes]`.
      cut: `[members, episodes]`, those that had not ended when their budget of actions was spent.
    """

    returns: np.ndarray
    cut: np.ndarray


class Job(abc.ABC):
    """Learning in pieces that a run reports, evaluates, saves and resumes.

    Attributes:
      unit: what position and total count: step, epoch or round.
      chosen_by: what the best policy is chosen by: the evaluations, or the reports' scores; None keeps the last.
      saves_by_time: whether a checkpoint is due every minute; else the option `checkpoint_every` counts.
      keeps_checkpoint: whether the checkpoint of a finished run is kept, so that its total can be raised.
      refused_reports: reports in a row in which every gradient step was refused before training stops.
      agent: its policy is what is trained. `sync` gives it the weights.
      name: of what is learned from, for messages.
      members: policies of a population that are evaluated and saved apart; 1 for a single one.
      stopped: whether `stop` was asked for.
      waits: whether someone else's code, an environment, runs at this moment.
      patience: reports without a better score before the run ends; 0 never ends early.
      notes: what a user should know before it starts.
    """

    unit: ClassVar[str] = "step"
    chosen_by: ClassVar[Literal["evaluation", "report"] | None] = None
    saves_by_time: ClassVar[bool] = False
    keeps_checkpoint: ClassVar[bool] = True
    refused_reports: ClassVar[int] = 1
    refused_fix: ClassVar[str] = "--learning-rate 1e-4 --gradient-clipping 1"
    restores: ClassVar[str] = "weights, optimizer, random keys, counters, metrics"

    agent: Agent
    name: str
    members: int = 1
    stopped: bool = False
    waits: bool = False
    patience: int = 0
    notes: Sequence[str] = ()

    @property
    @abc.abstractmethod
    def position(self) -> int:
        """How far it is, in its unit."""

    @property
    @abc.abstractmethod
    def total(self) -> int:
        """How far it goes."""

    @property
    def checkpoint_number(self) -> int:
        """Names a checkpoint: grows with every piece of work."""
        return self.position

    @property
    def slack(self) -> int:
        """Half of what one piece advances the position: what is due is done at the nearest end of a piece."""
        return 0

    def begin(self) -> None:  # noqa: B027  most have nothing to do
        """Is called once before a run that goes on from no checkpoint."""

    @abc.abstractmethod
    def run(self) -> JobReport | None:
        """Goes on by one piece; returns a report where one is due, else None. Another `run` goes on from there."""

    def stop(self) -> None:
        """Asks `run` to return as soon as the state is consistent."""
        self.stopped = True

    @abc.abstractmethod
    def tree(self) -> dict[str, Any]:
        """Returns the arrays that a checkpoint must hold."""

    @abc.abstractmethod
    def restore(self, tree: dict[str, Any], kept: dict[str, Any]) -> str | None:
        """Goes on from a checkpoint. Returns what could not be restored, in words, or None."""

    def kept(self) -> dict[str, Any]:
        """Returns the JSON values that a checkpoint must hold beside the tree."""
        return {}

    @abc.abstractmethod
    def weights(self) -> Any:
        """Returns the policy's weights as they are now; of a population with an axis for its members."""

    @abc.abstractmethod
    def sync(self, member: int = 0) -> Policy:
        """Gives the agent the weights of a member, and returns its policy."""

    @abc.abstractmethod
    def new_agent(self) -> Agent:
        """Returns another agent of the same making, to hold other weights."""

    @abc.abstractmethod
    def about(self, step: int) -> dict[str, Any]:
        """Returns what is to be known about a policy that is saved: environment, step."""

    @property
    def evaluates(self) -> bool:
        """Whether there is an environment to evaluate in."""
        return False

    def evaluate(self, weights: Any, step: int, progress: Told) -> Evaluated:
        """Runs whole greedy episodes with these weights; `progress` is called while it takes long."""
        raise NotImplementedError

    def results(self) -> dict[str, Any]:
        """Returns what the run's result has beside policies and rows."""
        return {}

    def close(self) -> None:  # noqa: B027  most hold nothing
        """Closes what the job has made: environments, threads."""


class JobSource(abc.ABC):
    """What is learned from: an environment, demonstrations, a bandit, a log.

    Attributes:
      OPTIONS: keyword arguments of `train` that belong to it.
      name: for messages and the name of a run directory.
      modules: those that are imported to make it, because somebody wrote their names.
      why_not_resumable: why a run of it cannot be taken up from its directory alone; None if it can.
    """

    OPTIONS: ClassVar[tuple[str, ...]] = ()

    name: str
    modules: tuple[str, ...] = ()
    why_not_resumable: str | None = None

    @abc.abstractmethod
    def describe(self) -> dict[str, Any]:
        """Returns the JSON values from which `config.json` tells what was learned from."""

    @abc.abstractmethod
    def job(self, config: Any, started: Any, seeds: Sequence[int]) -> Job:
        """Returns the job of learning from this; nothing is written.

        Args:
          config: the options as they are now.
          started: the options with which the run began: schedules follow them, so that a resumed run keeps its own.
          seeds: of the members; several only if `is_one_program`.
        """

    @classmethod
    @abc.abstractmethod
    def reopen(
        cls, described: dict[str, Any], what: Any, environment: Any, max_episode_steps: int | None, directory: Path
    ) -> JobSource:
        """Returns what a run learns from.

        Args:
          described: the contents of its `config.json`.
          what: what is given in its place; None is as described.
          environment: the environment of the run, a recipe or as it is given anew; None if there is none.
          max_episode_steps: a time limit for an environment that is given as an object.
          directory: of the run, for messages.

        Raises:
          ConfigError: `described` does not say how it is made, or something else is given.
        """

    def refuse_idle(self, given: Collection[str]) -> None:
        """Refuses options that were given and have no effect on what is learned from.

        Raises:
          ConfigError: such an option.
        """
        del given

    def settled(self, config: Any) -> Any:
        """Returns the options with what depends on what is learned from."""
        return config

    @property
    def is_one_program(self) -> bool:
        """Whether several seeds are one job, by `vmap`, or one after the other."""
        return False


Watcher = Callable[[dict[str, Any]], Any]
"""Called with every row of metrics, as it is written."""


def not_described(directory: Path, what: str, argument: str) -> ConfigError:
    """Returns the error for a run that does not say how something is made."""
    return ConfigError(
        f"{directory} does not say how its {what} is made",
        expected=f"the {what}",
        got="None",
        fix=f"resume({str(directory)!r}, {argument})",
    )
