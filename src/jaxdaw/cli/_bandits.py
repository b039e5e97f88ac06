"""The commands about bandits: their flags are their fields."""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from jaxdaw.cli._directories import default_directory
from jaxdaw.cli._log import Joining
from jaxdaw.errors import ConfigError
from jaxdaw.training import BanditConfig, BanditRun


@dataclasses.dataclass(frozen=True)
class TrainBandit:
    """Learn a contextual bandit online, or from a log alone, and save its run."""

    bandit: Annotated[
        str,
        tyro.conf.Positional,
        tyro.conf.arg(metavar="BANDIT", help="digits, shuttle, letter, wheel, linear ..., or a labelled .csv."),
    ] = ""
    config: Annotated[BanditConfig, tyro.conf.arg(name="")] = dataclasses.field(default_factory=BanditConfig)
    env: str = ""
    """The bandit, by another way to name it."""
    delta: float | None = None
    """Of the wheel: radius of the inner disc."""
    path: Path | None = None
    """Folder that holds a table's file, where its package is not installed."""
    bandit_options: str = ""
    """Other fields of the bandit, as JSON: {"num_actions": 5}."""
    log: str = ""
    """Learn from these logged decisions in place of a bandit; what it is worth is told by those that are kept aside."""
    joining: Annotated[Joining, tyro.conf.arg(name="")] = dataclasses.field(default_factory=Joining)
    importance: Literal["none", "uniform"] = "none"
    """Of a log: weight rows as if all arms had been chosen equally often."""
    aside: float = 0.3
    """Of a log: share of the decisions, drawn at random, that is not learned from."""
    seed: int = 0
    """Seed of everything random."""
    seeds: int = 1
    """Train this many seeds together, for an interval. The policy of the first is saved: the best is best by luck."""
    warm_start: Path | None = None
    """Start with the weights of this run or saved policy, of the same contexts, actions and network."""
    out: Path | None = None
    """Run directory; by default one under runs/ named after the bandit, the seed and the time."""
    resume: Path | None = None
    """Go on with this run from its latest checkpoint, with its options. A log is learned from in seconds, and anew."""
    quiet: bool = False
    """Show nothing while training."""

    def run(self) -> int:
        """Trains; returns the exit status."""
        from jaxdaw import environments, training

        if self.resume is not None:
            return self._resume(self.resume)
        if self.log:
            return self._learn_from_log()
        if (self.bandit == "") == (self.env == ""):
            raise ConfigError(
                "train bandit needs a bandit",
                expected="jaxdaw train bandit digits",
                got="two" if self.bandit else "none",
                fix="one of " + ", ".join(environments.BANDITS),
            )
        name = self.bandit or self.env
        out = self.out or default_directory(Path(name).stem, "bandit", self.seed)
        with training.Progress(self.config.horizon or 1, f"bandit {name}", quiet=self.quiet) as progress:
            run = training.train_bandit(
                name,
                config=self.config,
                seed=self.seed,
                seeds=self.seeds,
                out=out,
                watch=progress.update,
                bandit_options=self._options(),
                warm_start=self.warm_start,
            )
        return self._tell(run, out)

    def _resume(self, out: Path) -> int:
        from jaxdaw import training

        if self != dataclasses.replace(TrainBandit(), resume=self.resume, quiet=self.quiet):
            raise ConfigError(
                "a run is resumed with the options that it has",
                expected="--resume RUN, and --quiet",
                got="more",
                fix=f"jaxdaw train bandit --resume {out}",
            )
        rounds = training.read_config(out).get("rounds", 1)
        with training.Progress(rounds, f"bandit {out}", quiet=self.quiet) as progress:
            run = training.resume_bandit(out, watch=progress.update)
        return self._tell(run, out)

    def _tell(self, run: BanditRun, out: Path) -> int:
        from jaxdaw import evaluation, training

        for line in evaluation.describe_regret(run.summaries):
            print(line)
        if not run.interrupted:  # the picture takes seconds
            print(f"plot    {evaluation.plot_regret(out, out / 'regret.png')}")
        print(f"run     {out}")
        if run.interrupted:
            print(f"stopped; everything is saved. Go on with:\n  jaxdaw train bandit --resume {out}", file=sys.stderr)
            return training.exit_status()
        print(f"next    jaxdaw decide {out}")
        return 0

    def _learn_from_log(self) -> int:
        import numpy as np

        from jaxdaw import evaluation, training

        if self.bandit or self.env or self.seeds != 1 or not 0 <= self.aside < 1:
            raise ConfigError(
                "a log stands in place of a bandit",
                expected="--log LOG, no bandit, one seed, --aside in [0, 1)",
                got=f"{self.bandit or self.env or 'no bandit'}, {self.seeds} seeds, --aside {self.aside}",
                fix="jaxdaw train bandit --log LOG",
            )
        decisions = self.joining.read(self.log)
        is_aside = np.random.default_rng(self.seed).random(len(decisions)) < self.aside
        out = self.out or default_directory(Path(self.log).stem, "bandit", self.seed)
        run = training.train_bandit_on_log(
            decisions.select(~is_aside),
            config=self.config,
            importance=self.importance,
            seed=self.seed,
            out=out,
            source=self.log,
            warm_start=self.warm_start,
        )
        if is_aside.any() and not np.isnan(decisions.probability).any():
            learned = {"learned, greedy": run.policy.greedy(), "learned, as it explores": run.policy}
            report = evaluation.evaluate_off_policy(decisions.select(is_aside), learned)
            print(evaluation.describe_off_policy(report))
        print(f"run     {out}")
        if run.interrupted:
            print(f"stopped; the policy so far is saved in {out}", file=sys.stderr)
            return training.exit_status()
        print(f"next    jaxdaw decide {out}")
        return 0

    def _options(self) -> dict[str, Any]:
        try:
            options = json.loads(self.bandit_options) if self.bandit_options else {}
        except ValueError as error:
            raise ConfigError(
                "--bandit-options is not JSON", got=str(error), fix="""--bandit-options '{"num_actions": 5}'"""
            ) from error
        given = {"delta": self.delta, "path": None if self.path is None else str(self.path)}
        return {**options, **{name: value for name, value in given.items() if value is not None}}


@dataclasses.dataclass(frozen=True)
class Decide:
    """Answer contexts from standard input, one JSON object a line, with actions and their probabilities."""

    policy: Annotated[
        Path, tyro.conf.Positional, tyro.conf.arg(metavar="POLICY", help="A run directory, or a saved policy.")
    ]
    seed: int | None = None
    """Seed of the draws; by default another each time."""

    def run(self) -> int:
        """Decides until the input ends; returns 1 if a line was refused."""
        from jaxdaw import serving, training

        is_policy = (self.policy / "policy.json").is_file()
        policy = training.load_policy(self.policy) if is_policy else training.run_policy(self.policy)
        decider = serving.Decider(policy, self.seed)
        for answer in decider.lines(sys.stdin):
            print(answer, flush=True)
        told = f"{decider.answered:,} decisions"
        print(told + (f", {decider.refused:,} lines refused" if decider.refused else ""), file=sys.stderr)
        return 1 if decider.refused else 0
