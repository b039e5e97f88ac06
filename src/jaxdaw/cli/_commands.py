"""The commands: their flags are their fields."""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from jaxdaw.cli._data import Columns, Data, mapping, read
from jaxdaw.cli._directories import default_directory
from jaxdaw.errors import ConfigError
from jaxdaw.training import BcConfig, CloneRun, DqnConfig

Environment = Annotated[
    str,
    tyro.conf.Positional,
    tyro.conf.arg(metavar="ENVIRONMENT", help="Gymnasium id, my_package:MyEnv-v0, or jax:CartPole-v1."),
]
RunDirectory = Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN", help="A run directory.")]


@dataclasses.dataclass(frozen=True)
class TrainDqn:
    """Train a DQN agent and save its run."""

    environment: Environment = ""
    config: Annotated[DqnConfig, tyro.conf.arg(name="")] = dataclasses.field(default_factory=DqnConfig)
    seed: int = 0
    """Seed of everything random."""
    seeds: int = 1
    """Train this many seeds: together where the environment is pure, else in turn."""
    out: Path | None = None
    """Run directory; by default one under runs/ named after the environment, the seed and the time."""
    resume: Path | None = None
    """Go on with this run from its latest checkpoint; --steps may raise its total."""
    quiet: bool = False
    """Show nothing while training."""

    def run(self) -> int:
        """Trains; returns the exit status."""
        from jaxdaw import training

        if (self.resume is None) == (self.environment == ""):
            raise ConfigError(
                "train needs an environment, or a run to resume",
                expected="jaxdaw train dqn CartPole-v1",
                got="both" if self.environment else "neither",
                fix="jaxdaw train dqn --resume RUN",
            )
        if self.resume is not None:
            default = DqnConfig().steps
            steps = self.config.steps if self.config.steps != default else None
            total = steps or training.read_config(self.resume)["options"]["steps"]
            with training.Progress(total, f"dqn {self.resume}", quiet=self.quiet) as progress:
                runs = [training.resume(self.resume, steps=steps, watch=progress.update)]
            out = self.resume
        else:
            out = self.out or default_directory(self.environment, "dqn", self.seed)
            with training.Progress(self.config.steps, f"dqn {self.environment}", quiet=self.quiet) as progress:
                if self.seeds > 1:
                    runs = training.train_seeds(
                        "dqn",
                        self.environment,
                        self.seeds,
                        config=self.config,
                        seed=self.seed,
                        out=out,
                        watch=progress.update,
                    )
                else:
                    run = training.train(
                        "dqn", self.environment, config=self.config, seed=self.seed, out=out, watch=progress.update
                    )
                    runs = [run]
        if runs[-1].interrupted:
            print(f"stopped; everything is saved. Go on with:\n  {self._how_to_go_on(out, runs)}", file=sys.stderr)
            return training.exit_status()
        _say_where(out, runs)
        return 0

    def _how_to_go_on(self, out: Path, runs: list[Any]) -> str:
        if self.seeds == 1 or self.resume is not None:
            return f"jaxdaw train dqn --resume {out}"
        if len([run for run in runs if run.interrupted]) > 1:
            return f'for run in {out}/seed_*; do jaxdaw train dqn --resume "$run"; done'
        begun = f"jaxdaw train dqn --resume {runs[-1].directory}"
        missing = self.seeds - len(runs)
        return begun + (f"\nThe last {missing} of {self.seeds} seeds were not begun." if missing else "")


@dataclasses.dataclass(frozen=True)
class TrainBc:
    """Clone a policy from demonstrations and save its run."""

    demonstrations: Data = ""
    config: Annotated[BcConfig, tyro.conf.arg(name="")] = dataclasses.field(default_factory=BcConfig)
    env: str = ""
    """Environment to evaluate in: its specs are those of the policy."""
    columns: Columns = ""
    seed: int = 0
    """Seed of everything random."""
    out: Path | None = None
    """Run directory; by default one under runs/ named after the data, the seed and the time."""
    resume: Path | None = None
    """Go on with this run from its latest checkpoint; --epochs may raise its total, DATA says where its data is now."""
    quiet: bool = False
    """Show nothing while training."""

    def run(self) -> int:
        """Trains; returns the exit status."""
        from jaxdaw import evaluation, training

        if self.resume is None and self.demonstrations == "":
            raise ConfigError(
                "train needs demonstrations, or a run to resume",
                expected="jaxdaw train bc DATA",
                got="neither",
                fix="jaxdaw train bc --resume RUN",
            )
        if self.resume is not None:
            out, run = self._resume(self.resume)
        else:
            out, run = self._train()
        if run.interrupted:
            print(f"stopped; everything is saved. Go on with:\n  jaxdaw train bc --resume {out}", file=sys.stderr)
            return training.exit_status()
        print(f"plot    {evaluation.plot_cloning(out, out / 'learning_curve.png')}")
        print(f"run     {out}")
        if training.read_config(out)["environment"]:
            print(f"next    jaxdaw evaluate {out}")
        return 0

    def _train(self) -> tuple[Path, CloneRun]:
        from jaxdaw import training

        demonstrations = read(self.demonstrations, self.columns)
        place = Path(self.demonstrations)
        out = self.out or default_directory(self.env or place.stem, "bc", self.seed)
        with training.Progress(self.config.epochs, f"bc {self.demonstrations}", quiet=self.quiet) as progress:
            return out, training.clone(
                demonstrations,
                self.env or None,
                config=self.config,
                seed=self.seed,
                out=out,
                watch=progress.update,
                source=str(place.resolve()) if place.exists() else self.demonstrations,
                columns=mapping(self.columns),
            )

    def _resume(self, out: Path) -> tuple[Path, CloneRun]:
        from jaxdaw import training

        epochs = self.config.epochs if self.config.epochs != BcConfig().epochs else None
        total = epochs or training.read_config(out)["options"].get("epochs", 1)
        found = read(self.demonstrations, self.columns) if self.demonstrations else None
        with training.Progress(total, f"bc {out}", quiet=self.quiet) as progress:
            return out, training.resume_clone(out, found, epochs=epochs, watch=progress.update)


def _say_where(out: Path, runs: list) -> None:
    from jaxdaw.evaluation import plot_learning_curves

    if any(run.evaluations for run in runs):
        picture = plot_learning_curves([out], out / "learning_curve.png")
        print(f"plot    {picture}")
    print(f"run     {out}")
    print(f"next    jaxdaw evaluate {out}")


@dataclasses.dataclass(frozen=True)
class Evaluate:
    """Score a run's policy over greedy episodes, with intervals."""

    run_directory: RunDirectory
    episodes: int = 100
    """Whole episodes."""
    seed: int = 0
    """Seed of the environment."""
    policy: Literal["best", "final"] = "best"
    """The best evaluated policy, or the one after the last step."""
    num_envs: int = 10
    """Environments that step side by side."""
    json: bool = False
    """Print one JSON object."""

    def run(self) -> int:
        """Evaluates; returns the exit status."""
        from jaxdaw import environments, evaluation

        if self.episodes < 1:
            raise ConfigError("episodes is outside its range", expected="at least 1", got=str(self.episodes))
        policy, config = _policy_and_config(self.run_directory, self.policy)
        limit = config["options"].get("max_episode_steps") or None
        world = environments.make(
            config["environment"], num_envs=min(self.num_envs, self.episodes), max_episode_steps=limit
        )
        result = evaluation.evaluate(policy, world, self.episodes, self.seed)
        if self.json:
            print(json.dumps(result.to_json()))
        else:
            low, high = result.ci95
            print(
                f"{config['environment']}: mean return {result.mean_return:.1f} "
                f"(95% interval {low:.1f} to {high:.1f}), IQM {result.iqm:.1f}, "
                f"mean length {result.mean_length:.1f}, {result.episodes} episodes, seed {result.seed}"
            )
        return 0


@dataclasses.dataclass(frozen=True)
class Play:
    """Watch a run's policy act."""

    run_directory: RunDirectory
    episodes: int = 3
    """Episodes to play."""
    seed: int = 0
    """Seed of the environment."""
    policy: Literal["best", "final"] = "best"
    """The best evaluated policy, or the one after the last step."""
    render_mode: str = "human"
    """Gymnasium render mode: human opens a window; ansi and none print returns only."""

    def run(self) -> int:
        """Plays; returns the exit status."""
        from jaxdaw import recording

        policy, config = _policy_and_config(self.run_directory, self.policy)
        for episode, value in enumerate(
            recording.play(policy, config["environment"], self.episodes, self.seed, render_mode=self.render_mode), 1
        ):
            print(f"episode {episode}: return {value:.1f}", flush=True)
        return 0


@dataclasses.dataclass(frozen=True)
class Record:
    """Record a run's policy as a GIF or MP4; needs no display."""

    run_directory: RunDirectory
    out: Path | None = None
    """File to write, .gif or .mp4; by default video.gif in the run directory."""
    episodes: int = 1
    """Episodes to record."""
    seed: int = 0
    """Seed of the environment."""
    policy: Literal["best", "final"] = "best"
    """The best evaluated policy, or the one after the last step."""

    def run(self) -> int:
        """Records; returns the exit status."""
        from jaxdaw import recording

        policy, config = _policy_and_config(self.run_directory, self.policy)
        path = self.out or self.run_directory / "video.gif"
        print(recording.record(policy, config["environment"], path, episodes=self.episodes, seed=self.seed))
        return 0


@dataclasses.dataclass(frozen=True)
class Plot:
    """Plot learning curves: one run, or the IQM over the seeds of several with its interval."""

    run_directories: Annotated[
        tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="RUN...", help="Run directories.")
    ]
    out: Path | None = None
    """File to write; by default learning_curve.png in the first run directory."""

    def run(self) -> int:
        """Plots; returns the exit status."""
        from jaxdaw import evaluation, training

        if not self.run_directories:
            raise ConfigError("plot needs a run directory", expected="jaxdaw plot RUN [RUN ...]", got="none")
        first = self.run_directories[0]
        if (first / "config.json").is_file() and training.read_config(first)["algorithm"] == "bandit":
            print(evaluation.plot_regret(first, self.out or first / "regret.png"))
            return 0
        path = self.out or first / "learning_curve.png"
        print(evaluation.plot_learning_curves(list(self.run_directories), path))
        return 0


@dataclasses.dataclass(frozen=True)
class Doctor:
    """Check this installation, and an environment if one is named."""

    environment: Environment = ""

    def run(self) -> int:
        """Checks; returns 1 if the environment has faults."""
        import jax

        from jaxdaw import environments, training

        for name, version in training.versions().items():
            print(f"{name:12s} {version}")
        print(f"{'devices':12s} {', '.join(str(d) for d in jax.devices())}")
        if not self.environment:
            return 0
        faults = environments.find_faults(environments.make_unchecked(self.environment))
        for entry in faults:
            print(f"\n{entry}")
        count = sum(not entry.startswith("note: ") for entry in faults)
        print(f"\n{self.environment}: " + (f"{count} faults" if count else "no faults found"))
        return 1 if count else 0


def _policy_and_config(directory: Path, which: str):
    from jaxdaw import training

    config = training.read_config(directory)
    if config["algorithm"] == "bandit":
        raise ConfigError(
            "a bandit has no episodes to play: it was measured while it learned",
            expected="a run of an environment with episodes",
            got=str(directory),
            fix=f"jaxdaw plot {directory}, or jaxdaw decide {directory}",
        )
    return training.run_policy(directory, which), config
