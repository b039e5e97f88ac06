"""The commands about demonstrations: their flags are their fields."""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

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


def read(path: str, columns: str) -> Any:
    """Returns the demonstrations of a path; `columns` is JSON, or empty."""
    from jaxdaw import data

    return data.read_demonstrations(path, columns=mapping(columns))


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

    def run(self) -> int:
        """Checks; returns 0, or 1 if there are faults."""
        from jaxdaw import data, environments

        world: Any = environments.make(self.env) if self.env else None
        found = read(self.demonstrations, self.columns)
        specs = (None, None) if world is None else (world.observation_spec, world.action_spec)
        report = data.check(found, *specs)
        print(report)
        return 1 if report.errors else 0


@dataclasses.dataclass(frozen=True)
class Show:
    """Print what demonstrations hold: episodes, returns, lengths, actions."""

    demonstrations: Data
    columns: Columns = ""
    plot: Path | None = None
    """Picture of returns, lengths and actions to write."""

    def run(self) -> int:
        """Shows; returns the exit status."""
        from jaxdaw import evaluation

        found = read(self.demonstrations, self.columns)
        print(evaluation.describe_demonstrations(found))
        if self.plot is not None:
            print(f"plot    {evaluation.plot_demonstrations(found, self.plot)}")
        return 0


@dataclasses.dataclass(frozen=True)
class Record:
    """Record a run's policy as demonstrations."""

    run_directory: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN", help="A run directory.")]
    out: Annotated[Path, tyro.conf.arg(help="Directory to write; one of the same environment is continued.")]
    episodes: int = 10
    """Episodes to record."""
    env: str = ""
    """Environment to act in; by default the run's."""
    seed: int = 0
    """Seed of the first episode; each has the next."""
    policy: Literal["best", "final"] = "best"
    """The best evaluated policy, or the one after the last step."""

    def run(self) -> int:
        """Records; returns the exit status."""
        from jaxdaw import evaluation, training

        policy = training.run_policy(self.run_directory, self.policy)
        environment = self.env or training.read_config(self.run_directory)["environment"]

        def say(number: int, value: float) -> None:
            print(f"episode {number}/{self.episodes}: return {value:.1f}", file=sys.stderr)

        print(evaluation.record_demonstrations(policy, environment, self.out, self.episodes, self.seed, say))
        return 0


@dataclasses.dataclass(frozen=True)
class Convert:
    """Write demonstrations of any kind into a directory of jaxdaw."""

    demonstrations: Data
    out: Annotated[Path, tyro.conf.arg(help="New directory.")]
    columns: Columns = ""

    def run(self) -> int:
        """Converts; returns the exit status."""
        from jaxdaw import data

        options = {"columns": mapping(self.columns)} if self.columns else {}
        found = data.convert(self.demonstrations, self.out, **options)
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
