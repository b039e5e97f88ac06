"""`jaxdaw train NAME` and `jaxdaw resume`: one command an algorithm, made from the table of algorithms."""

from __future__ import annotations

import dataclasses
import json
import shlex
import sys
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import tyro

from jaxdaw.cli._data import Columns, Data, Verify, mapping, read
from jaxdaw.cli._directories import default_directory
from jaxdaw.cli._given import Given, Trust
from jaxdaw.cli._log import Joining
from jaxdaw.errors import ConfigError
from jaxdaw.training import ALGORITHMS, Algorithm, Run

Environment = Annotated[
    str,
    tyro.conf.Positional,
    tyro.conf.arg(metavar="ENVIRONMENT", help="Gymnasium id, my_package:MyEnv-v0, or jax:CartPole-v1."),
]
Bandit = Annotated[
    str,
    tyro.conf.Positional,
    tyro.conf.arg(metavar="BANDIT", help="digits, shuttle, letter, wheel, linear ..., or a labelled .csv."),
]
Wrappers = Annotated[
    tyro.conf.UseAppendAction[tuple[str, ...]],
    tyro.conf.arg(
        metavar="MODULE:CLASS",
        help="Gymnasium wrapper around the environment, the innermost first; may be repeated. Keyword arguments of the "
        "environment itself are given by --env.NAME VALUE.",
    ),
]
RunDirectory = Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN", help="A run directory.")]

_REPORTING = ("quiet", "trust", "reschedule", "resume")


@dataclasses.dataclass(frozen=True)
class Train:
    """What all commands that train have in common."""

    ALGORITHM: ClassVar[str]
    TAKES_GIVEN: ClassVar[bool] = True

    seed: int = 0
    """Seed of everything random."""
    seeds: int = 1
    """Train this many seeds: as one program where the environment is pure or a bandit, else in turn."""
    out: Path | None = None
    """Run directory; by default one under runs/ named after what is learned from, the seed and the time."""
    resume: Path | None = None
    """Go on with this run from its latest checkpoint, as `jaxdaw resume RUN` does."""
    trust: Trust = ()
    reschedule: bool = False
    """With --resume: compute schedules (exploration, learning rate) from the new total."""
    quiet: bool = False
    """Show nothing while training."""

    def run(self, given: Given) -> int:
        """Trains; returns the exit status."""
        row, names = ALGORITHMS[self.ALGORITHM], [field.name for field in dataclasses.fields(self.options)]
        typed = given.among(names)
        if self.resume is not None:
            self._refuse_to_resume_with(given, names)
            what = self.moved()
            changes = {name: getattr(self.options, name) for name in typed}
            return go_on(self.resume, self.ALGORITHM, what, changes, self.trust, self.reschedule, self.quiet)
        idle = given.among(("trust", "reschedule"))
        if idle:
            raise ConfigError(f"--{idle[0]} has no effect without --resume", expected="--resume RUN", got="none")
        from jaxdaw import training

        training.refuse_idle(self.options, typed, row.depends, training.flag_of)
        name, what, options, after = self.source(given)
        out = self.out or default_directory(name, self.ALGORITHM, self.seed)
        with training.Progress(getattr(self.options, row.total), f"{self.ALGORITHM} {name}", quiet=self.quiet) as shown:
            run = training.train(
                self.ALGORITHM,
                what,
                config=self.options,
                seed=self.seed,
                seeds=self.seeds,
                out=out,
                watch=shown.update,
                **options,
            )
        return tell(run, out, self.ALGORITHM, after)

    @property
    def options(self) -> Any:
        """The options of the algorithm: the field `config` of the subclass."""
        return vars(self)["config"]

    def source(self, given: Given) -> tuple[str, Any, dict[str, Any], Any]:
        """Returns the name of what is learned from, itself, its options, and what to print of the run at the end."""
        raise NotImplementedError

    def moved(self) -> Any:
        """Returns what a resumed run learns from where it has moved; None if it has not."""
        return None

    def _refuse_to_resume_with(self, given: Given, names: list[str]) -> None:
        own = [field.name for field in dataclasses.fields(self) if field.name not in ("config", "joining", *_REPORTING)]
        typed = [name for name in own if name in given.flags]
        typed += [f"env.{name}" for name in given.env_options]
        row = ALGORITHMS[self.ALGORITHM]
        typed += [name for name in given.among(names) if name not in row.resumable]
        extra = self.positional() + [f"--{name.replace('_', '-')}" for name in typed]
        extra += [f"--{name.replace('_', '-')}" for name in given.among(("arms", "default_reward", "expiry_s"))]
        if extra:
            allowed = [f"--{name.replace('_', '-')}" for name in row.resumable]
            raise ConfigError(
                "a run is resumed with the options that it has",
                expected=", ".join(["--resume RUN", *allowed, "--quiet"]),
                got=", ".join(extra),
                fix=f"jaxdaw train {self.ALGORITHM} --resume {shlex.quote(str(self.resume))}",
            )

    def positional(self) -> list[str]:
        """Returns what was given by position and cannot be given to a run that is resumed."""
        return []


@dataclasses.dataclass(frozen=True)
class TrainInEnvironment(Train):
    """Train in an environment."""

    environment: Environment = ""
    wrapper: Wrappers = ()

    def source(self, given: Given) -> tuple[str, Any, dict[str, Any], Any]:
        """Returns the environment."""
        if not self.environment:
            raise ConfigError(
                "train needs an environment, or a run to resume",
                expected=f"jaxdaw train {self.ALGORITHM} CartPole-v1",
                got="neither",
                fix=f"jaxdaw train {self.ALGORITHM} --resume RUN",
            )
        options = {"env_options": given.env_options, "wrappers": self.wrapper}
        return self.environment, self.environment, options, tell_returns

    def positional(self) -> list[str]:
        """Returns the environment."""
        return [self.environment] if self.environment else []


@dataclasses.dataclass(frozen=True)
class TrainOnDemonstrations(Train):
    """Train on demonstrations."""

    demonstrations: Data = ""
    env: str = ""
    """Environment to evaluate in: its specs are those of the policy."""
    wrapper: Wrappers = ()
    columns: Columns = ""
    verify: Verify = True

    def source(self, given: Given) -> tuple[str, Any, dict[str, Any], Any]:
        """Returns the demonstrations."""
        if not self.demonstrations:
            raise ConfigError(
                "train needs demonstrations, or a run to resume",
                expected=f"jaxdaw train {self.ALGORITHM} DATA",
                got="neither",
                fix=f"jaxdaw train {self.ALGORITHM} --resume RUN",
            )
        if not self.env:
            idle = [*given.among(("wrapper", "eval_every", "eval_episodes", "max_episode_steps"))]
            idle += [f"env.{name}" for name in given.env_options]
            if idle:
                raise ConfigError(
                    f"--{idle[0].replace('_', '-')} has no effect without an environment to evaluate in",
                    expected="--env ENVIRONMENT",
                    got="none",
                )
        place = Path(self.demonstrations)
        options = {
            "environment": self.env or None,
            "columns": mapping(self.columns),
            "source": str(place.resolve()) if place.exists() else self.demonstrations,
            **({"env_options": given.env_options, "wrappers": self.wrapper} if self.env else {}),
        }
        return self.env or place.stem, read(self.demonstrations, self.columns, self.verify), options, tell_losses

    def moved(self) -> Any:
        """Returns the demonstrations where they are now."""
        return read(self.demonstrations, self.columns, self.verify) if self.demonstrations else None

    def _refuse_to_resume_with(self, given: Given, names: list[str]) -> None:
        moved = {"columns", "verify", "no_verify"} if self.demonstrations else set()
        super()._refuse_to_resume_with(dataclasses.replace(given, flags=given.flags - moved), names)


@dataclasses.dataclass(frozen=True)
class TrainBandit(Train):
    """Train on a bandit, or on a log."""

    bandit: Bandit = ""
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
    """Of a log: share of the decisions that is not learned from, the latest; a random draw where they have no times."""
    warm_start: Path | None = None
    """Start with the weights of this run or saved policy, of the same contexts, actions and network."""

    def source(self, given: Given) -> tuple[str, Any, dict[str, Any], Any]:
        """Returns the bandit, or the log."""
        if given.env_options:
            raise ConfigError("a bandit's options are --bandit-options", got=f"--env.{next(iter(given.env_options))}")
        if self.log:
            return self._log(given)
        of_logs = [field.name for field in dataclasses.fields(Joining)]
        idle = given.among((*of_logs, "importance", "aside"))
        if idle:
            raise ConfigError(
                f"--{idle[0].replace('_', '-')} has no effect without a log", expected="--log LOG", got="none"
            )
        if (self.bandit == "") == (self.env == ""):
            from jaxdaw import environments

            raise ConfigError(
                "train bandit needs a bandit",
                expected="jaxdaw train bandit digits",
                got="two" if self.bandit else "none",
                fix="one of " + ", ".join(environments.BANDITS),
            )
        name = self.bandit or self.env
        options = {"bandit_options": self._bandit_options(), "warm_start": self.warm_start}
        return Path(name).stem, name, options, tell_regret

    def _log(self, given: Given) -> tuple[str, Any, dict[str, Any], Any]:
        idle = given.among(("delta", "path", "bandit_options", "horizon", "eager_rounds", "replay_capacity"))
        if self.bandit or self.env or idle or not 0 <= self.aside < 1:
            got = [self.bandit or self.env or "no bandit", *(f"--{name.replace('_', '-')}" for name in idle)]
            raise ConfigError(
                "a log stands in place of a bandit",
                expected="--log LOG, no bandit and none of its options, --aside in [0, 1)",
                got=", ".join([*got, f"--aside {self.aside}"]),
                fix="jaxdaw train bandit --log LOG",
            )
        reading = {"joining": dataclasses.asdict(self.joining), "aside": self.aside, "seed": self.seed, "by": "time"}
        learned, aside = _read_log(self.log, reading)
        place = Path(self.log)
        options = {
            "importance": self.importance,
            "warm_start": self.warm_start,
            "source": str(place.resolve()) if place.exists() else self.log,
            "reading": reading,
        }
        return place.stem, learned, options, lambda run, out: tell_worth(run, aside)

    def positional(self) -> list[str]:
        """Returns the bandit."""
        return [self.bandit] if self.bandit else []

    def _bandit_options(self) -> dict[str, Any]:
        try:
            options = json.loads(self.bandit_options) if self.bandit_options else {}
        except ValueError as error:
            raise ConfigError(
                "--bandit-options is not JSON", got=str(error), fix="""--bandit-options '{"num_actions": 5}'"""
            ) from error
        if not isinstance(options, dict):
            raise ConfigError(
                "--bandit-options is no JSON object", expected="""'{"num_actions": 5}'""", got=self.bandit_options[:60]
            )
        given = {"delta": self.delta, "path": None if self.path is None else str(self.path)}
        return {**options, **{name: value for name, value in given.items() if value is not None}}


def _read_log(path: str, reading: dict[str, Any]) -> tuple[Any, Any]:
    """Returns the decisions that are learned from, and those that are kept aside."""
    from jaxdaw.data import hold_out

    decisions = Joining(**reading["joining"]).read(path)
    return hold_out(decisions, reading["aside"], reading["seed"], by_time=reading.get("by") == "time")


_COMMANDS: dict[str, type[Train]] = {
    "environment": TrainInEnvironment,
    "demonstrations": TrainOnDemonstrations,
    "bandit": TrainBandit,
}


def train_command(name: str, row: Algorithm) -> type:
    """Returns the command `train NAME`: the flags of what is learned from, and the options of the algorithm."""
    options = (
        "config",
        Annotated[row.config, tyro.conf.arg(name="")],
        dataclasses.field(default_factory=row.config),
    )
    made = dataclasses.make_dataclass(
        f"Train_{name}",
        [options],
        bases=(_COMMANDS[row.learns_from],),
        namespace={"ALGORITHM": name, "__doc__": row.summary},
        frozen=True,
    )
    made.__doc__ = row.summary
    return made


def _resumable() -> list[str]:
    return list(dict.fromkeys(name for row in ALGORITHMS.values() for name in row.resumable))


@dataclasses.dataclass(frozen=True)
class _Resume:
    """Go on with a run from its latest checkpoint, exactly as if it had not been interrupted."""

    TAKES_GIVEN: ClassVar[bool] = True

    run_directory: RunDirectory
    demonstrations: str = ""
    """Where the demonstrations or the log of the run lie now, if they have moved."""
    trust: Trust = ()
    reschedule: bool = False
    """Compute schedules (exploration, learning rate) from the new total; else they stay those of the start."""
    quiet: bool = False
    """Show nothing while training."""

    def run(self, given: Given) -> int:
        """Goes on; returns the exit status."""
        from jaxdaw import training

        if given.env_options:
            raise ConfigError(
                "a run is resumed with the options that it has", got=f"--env.{next(iter(given.env_options))}"
            )
        algorithm = training.read_config(self.run_directory)["algorithm"]
        changes = {name: getattr(self, name) for name in given.among(_resumable())}
        return go_on(
            self.run_directory, algorithm, self.demonstrations or None, changes, self.trust, self.reschedule, self.quiet
        )


def resume_command() -> type:
    """Returns the command `resume`, with a flag for every option that some algorithm lets change."""
    fields = [
        (name, Annotated[int | None, tyro.conf.arg(help="See `jaxdaw train NAME --help`.")], None)
        for name in _resumable()
    ]
    made = dataclasses.make_dataclass("Resume", fields, bases=(_Resume,), frozen=True)
    made.__doc__ = _Resume.__doc__
    return made


def go_on(
    out: Path, algorithm: str, what: Any, changes: dict[str, Any], trust: Any, reschedule: bool, quiet: bool
) -> int:
    """Resumes a run; returns the exit status."""
    from jaxdaw import training

    described = training.read_config(out)
    if described["algorithm"] != algorithm:
        raise ConfigError(
            f"{out} is a run of another algorithm",
            expected=algorithm,
            got=described["algorithm"],
            fix=shlex.join(["jaxdaw", "train", described["algorithm"], "--resume", str(out)]),
        )
    after: Any = {"environment": tell_returns, "demonstrations": tell_losses, "bandit": tell_regret}[
        ALGORITHMS[algorithm].learns_from
    ]
    if "log" in described:
        after = None
        if what is None and isinstance(described.get("reading"), dict):
            what, aside = _read_log(described["log"], described["reading"])
            after = lambda run, out: tell_worth(run, aside)  # noqa: E731
    options = {**described["options"], **described["changed"], **changes}
    total = options.get(ALGORITHMS[algorithm].total) or described.get("rounds") or 0
    with training.Progress(int(total), f"{algorithm} {out}", quiet=quiet) as shown:
        run = training.resume(out, what, watch=shown.update, trust=trust, reschedule=reschedule, **changes)
    return tell(run, out, algorithm, after)


def tell(run: Run, out: Path, algorithm: str, after: Any) -> int:
    """Prints where a run lies and how to go on; returns the exit status."""
    from jaxdaw import training

    if after is not None:
        after(run, out)
    print(f"run     {out}")
    if run.interrupted:
        again = shlex.join(["jaxdaw", "train", algorithm, "--resume", str(out)])
        print(f"stopped; everything is saved. Go on with:\n  {again}", file=sys.stderr)
        return training.exit_status()
    described = training.read_config(out)
    if described["algorithm"] == "bandit":
        print(f"next    {shlex.join(['jaxdaw', 'decide', str(out)])}")
    elif described["environment"]:
        print(f"next    {shlex.join(['jaxdaw', 'evaluate', str(out)])}")
    return 0


def tell_returns(run: Run, out: Path) -> None:
    """Draws learning curves."""
    from jaxdaw.evaluation import plot_learning_curves

    if not run.interrupted and (run.evaluations or any(member.evaluations for member in run.members)):
        print(f"plot    {plot_learning_curves([out], out / 'learning_curve.png')}")


def tell_losses(run: Run, out: Path) -> None:
    """Draws the losses of cloning."""
    from jaxdaw.evaluation import plot_cloning

    if not run.interrupted and not run.members:
        print(f"plot    {plot_cloning(out, out / 'learning_curve.png')}")


def tell_regret(run: Run, out: Path) -> None:
    """Prints and draws the regret."""
    from jaxdaw import evaluation

    for line in evaluation.describe_regret(run.summaries):
        print(line)
    if not run.interrupted:  # the picture takes seconds
        print(f"plot    {evaluation.plot_regret(out, out / 'regret.png')}")


def tell_worth(run: Run, aside: Any) -> None:
    """Prints what the policy is worth on decisions that it was not trained on."""
    import numpy as np

    from jaxdaw import evaluation

    if len(aside) and np.isnan(aside.probability).any():
        told = "the log has no probabilities; they can be estimated"
        print(f"worth   not known: {told}: jaxdaw ope LOG --policy {run.directory} --estimate-propensities")
    elif len(aside):
        learned = {"learned, greedy": run.policy.greedy(), "learned, as it explores": run.policy}
        print(evaluation.describe_off_policy(evaluation.evaluate_off_policy(aside, learned)))
