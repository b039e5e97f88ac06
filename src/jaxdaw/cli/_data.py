"""The commands about demonstrations. The fields of each class are its flags."""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import tyro

from jaxdaw.cli._given import Given, Trust
from jaxdaw.errors import ConfigError

Data = Annotated[
    str,
    tyro.conf.Positional,
    tyro.conf.arg(metavar="DATA", help="Demonstrations: a directory of jaxdaw, .npz, .parquet, .csv or Minari."),
]
Columns = Annotated[
    str,
    tyro.conf.arg(help='Of a table, as JSON: {"observation": ["x", "v"], "action": "a", "episode": "id"}.'),
]


Verify = Annotated[
    bool,
    tyro.conf.arg(
        help="Compare a directory of jaxdaw with its digests first. Without, values that a disk or a copy damaged are "
        "taken as they are."
    ),
]


def read(path: str, columns: str, verify: bool = True) -> Any:
    """Returns the demonstrations of a path; `columns` is JSON, or empty."""
    from jaxdaw import data

    return data.read_demonstrations(path, columns=mapping(columns), verify=verify)


def mapping(columns: str) -> Any:
    """Returns what the flag `--columns` says, None if it is empty."""
    try:
        return json.loads(columns) if columns else None
    except ValueError as error:
        raise ConfigError(
            "--columns is not JSON",
            got=f"{columns[:60]}: {error}",
            fix="""--columns '{"observation": ["x", "v"], "action": "a", "episode": "id"}'""",
        ) from error


@dataclasses.dataclass(frozen=True)
class Check:
    """List everything that is wrong with demonstrations."""

    demonstrations: Data
    env: str = ""
    """Environment whose specs they should have."""
    columns: Columns = ""
    verify: Verify = True

    def run(self) -> int:
        """Checks; returns 0, or 1 if there are faults."""
        from jaxdaw import data, environments

        world: Any = environments.make(self.env) if self.env else None
        found = read(self.demonstrations, self.columns, self.verify)
        specs = (None, None) if world is None else (world.observation_spec, world.action_spec)
        report = data.check(found, *specs)
        print(report)
        return 1 if report.errors else 0


@dataclasses.dataclass(frozen=True)
class Show:
    """Print what demonstrations hold: episodes, returns, lengths, actions."""

    demonstrations: Data
    columns: Columns = ""
    verify: Verify = True
    plot: Path | None = None
    """Picture of returns, lengths and actions to write."""

    def run(self) -> int:
        """Shows; returns the exit status."""
        from jaxdaw import evaluation

        found = read(self.demonstrations, self.columns, self.verify)
        print(evaluation.describe_demonstrations(found))
        if self.plot is not None:
            print(f"plot    {evaluation.plot_demonstrations(found, self.plot)}")
        return 0


@dataclasses.dataclass(frozen=True)
class Record:
    """Record a run's policy, or yourself at the keyboard, as demonstrations."""

    TAKES_GIVEN: ClassVar[bool] = True

    source: Annotated[
        str,
        tyro.conf.Positional,
        tyro.conf.arg(metavar="RUN|ENVIRONMENT", help="A run directory; with --human a Gymnasium id."),
    ]
    out: Annotated[Path, tyro.conf.arg(help="Directory to write; one of the same environment is continued.")]
    episodes: int = 10
    """Episodes to record."""
    env: str = ""
    """Environment to act in; by default the run's."""
    seed: int = 0
    """Seed of the first episode; each has the next."""
    policy: Literal["best", "final"] = "best"
    """The best evaluated policy, or the one after the last step."""
    human: bool = False
    """Act yourself, in a window: R restarts, Escape ends."""
    keys: str = ""
    """With --human, what the keys do: left=0,right=1,none=2, left+up=3, or left=-1:0 for two floats."""
    fps: float | None = None
    """With --human, steps a second; by default the environment's own."""

    trust: Trust = ()

    def run(self, given: Given) -> int:
        """Records; returns the exit status."""
        from jaxdaw import recording, training

        def say(number: int, value: float) -> None:
            print(f"episode {number}/{self.episodes}: return {value:.1f}", file=sys.stderr)

        def tell(line: str) -> None:
            print(line, file=sys.stderr)

        if self.human:
            if self.env:
                fix = f"jaxdaw data record {self.env} --human --out {self.out}"
                raise ConfigError("--env is for a run's policy", expected="the environment itself", got="both", fix=fix)
            options = {"keys": self.keys, "fps": self.fps, "watch": say, "tell": tell}
            print(recording.record_human(self.source, self.out, self.episodes, self.seed, **options))
            return 0
        if self.keys or self.fps is not None:
            raise ConfigError("--keys and --fps are for a person", expected="--human", got="a run", fix="add --human")
        run = Path(self.source)
        policy = training.run_policy(run, self.policy)
        recipe = training.run_recipe(run, self.env, env_options=given.env_options, trust=self.trust)
        print(recording.record_demonstrations(policy, recipe, self.out, self.episodes, self.seed, say))
        return 0


@dataclasses.dataclass(frozen=True)
class Convert:
    """Write demonstrations of any kind into a directory of jaxdaw."""

    demonstrations: Data
    out: Annotated[Path, tyro.conf.arg(help="New directory.")]
    columns: Columns = ""
    verify: Verify = True

    def run(self) -> int:
        """Converts; returns the exit status."""
        from jaxdaw import data

        options = {"columns": mapping(self.columns)} if self.columns else {}
        found = data.convert(self.demonstrations, self.out, verify=self.verify, **options)
        print(f"{self.out}: {len(found):,} episodes, {found.num_steps:,} steps")
        return 0


@dataclasses.dataclass(frozen=True)
class Repair:
    """Keep what is sound in a damaged directory of jaxdaw; what is not is moved aside."""

    demonstrations: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="DATA", help="A directory of jaxdaw.")]

    def run(self) -> int:
        """Repairs; returns the exit status."""
        from jaxdaw import data

        repair = data.repair(self.demonstrations)
        for problem in repair.problems:
            print(problem, file=sys.stderr)
        aside = "; what was damaged: " + ", ".join(map(str, repair.aside)) if repair.aside else ""
        print(f"{repair.num_episodes:,} episodes are sound, {repair.num_lost:,} are lost{aside}")
        return 0
