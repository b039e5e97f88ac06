"""The commands: their flags are their fields."""

from __future__ import annotations

import dataclasses
import json
import shlex
import sys
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import tyro

from jaxdaw.cli._given import Given, Trust
from jaxdaw.cli._train import Environment, RunDirectory
from jaxdaw.errors import ConfigError

OtherEnvironment = Annotated[
    str,
    tyro.conf.arg(
        help="Another environment, or another version of it, in place of the run's. --env.NAME VALUE gives it keyword "
        "arguments."
    ),
]


@dataclasses.dataclass(frozen=True)
class Evaluate:
    """Score a run's policy over greedy episodes, with intervals; of a population each member's."""

    TAKES_GIVEN: ClassVar[bool] = True

    run_directory: RunDirectory
    episodes: int = 100
    """Whole episodes."""
    seed: int = 0
    """Seed of the environment."""
    policy: Literal["best", "final"] = "best"
    """The best evaluated policy, or the one after the last step."""
    num_envs: int = 10
    """Environments that step side by side."""
    env: OtherEnvironment = ""
    trust: Trust = ()
    json: bool = False
    """Print one JSON object."""

    def run(self, given: Given) -> int:
        """Evaluates; returns the exit status."""
        from jaxdaw import evaluation, training

        for name in ("episodes", "num_envs"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} is outside its range", expected="at least 1", got=str(getattr(self, name)))
        described, recipe = _opened(self.run_directory, self.env, given, self.trust)
        places = training.members_of(self.run_directory, described) or [self.run_directory]
        found = []
        for place in places:
            policy = training.run_policy(place, self.policy)
            found.append(evaluation.evaluate(policy, recipe, self.episodes, self.seed, num_envs=self.num_envs))
            if len(places) > 1 and not self.json:
                print(f"{place.name}: mean return {found[-1].mean_return:.1f}", flush=True)
        result = found[0] if len(found) == 1 else evaluation.over_members(found)
        if self.json:
            members = {"members": [one.to_json() for one in found]} if len(found) > 1 else {}
            print(json.dumps(result.to_json() | members))
            return 0
        low, high = result.ci95
        cut = f", {result.cut_episodes} cut" if result.cut_episodes else ""
        over = f"{len(found)} seeds of {self.episodes} episodes" if len(found) > 1 else f"{result.episodes} episodes"
        print(
            f"{recipe.id}: mean return {result.mean_return:.1f} "
            f"(95% interval {low:.1f} to {high:.1f}), IQM {result.iqm:.1f}, "
            f"mean length {result.mean_length:.1f}, {over}{cut}, seed {result.seed}"
        )
        return 0


@dataclasses.dataclass(frozen=True)
class Play:
    """Watch a run's policy act; of a population the best member's."""

    TAKES_GIVEN: ClassVar[bool] = True

    run_directory: RunDirectory
    episodes: int = 3
    """Episodes to play."""
    seed: int = 0
    """Seed of the environment."""
    policy: Literal["best", "final"] = "best"
    """The best evaluated policy, or the one after the last step."""
    render_mode: str = "human"
    """Gymnasium render mode: human opens a window; ansi and none print returns only."""
    env: OtherEnvironment = ""
    trust: Trust = ()

    def run(self, given: Given) -> int:
        """Plays; returns the exit status."""
        from jaxdaw import recording, training

        _, recipe = _opened(self.run_directory, self.env, given, self.trust)
        policy = training.run_policy(self.run_directory, self.policy)
        for episode, value in enumerate(
            recording.play(policy, recipe, self.episodes, self.seed, render_mode=self.render_mode), 1
        ):
            print(f"episode {episode}: return {value:.1f}", flush=True)
        return 0


@dataclasses.dataclass(frozen=True)
class Record:
    """Record a run's policy as a GIF or MP4; needs no display; of a population the best member's."""

    TAKES_GIVEN: ClassVar[bool] = True

    run_directory: RunDirectory
    out: Path | None = None
    """File to write, .gif or .mp4; by default video.gif in the run directory."""
    episodes: int = 1
    """Episodes to record."""
    seed: int = 0
    """Seed of the environment."""
    policy: Literal["best", "final"] = "best"
    """The best evaluated policy, or the one after the last step."""
    env: OtherEnvironment = ""
    trust: Trust = ()

    def run(self, given: Given) -> int:
        """Records; returns the exit status."""
        from jaxdaw import recording, training

        _, recipe = _opened(self.run_directory, self.env, given, self.trust)
        policy = training.run_policy(self.run_directory, self.policy)
        path = self.out or self.run_directory / "video.gif"
        print(recording.record(policy, recipe, path, episodes=self.episodes, seed=self.seed))
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


def _opened(directory: Path, env: str, given: Given, trust: tuple[str, ...]) -> tuple[dict[str, Any], Any]:
    """Returns a run's config, and the recipe of the environment to act in."""
    from jaxdaw import training

    described = training.read_config(directory)
    if described["algorithm"] == "bandit":
        run, log = shlex.quote(str(directory)), described.get("log")
        raise ConfigError(
            "a bandit has no episodes to play: it was measured while it learned",
            expected="a run of an environment with episodes",
            got=str(directory),
            fix=f"jaxdaw plot {run}" if log is None else f"jaxdaw ope {shlex.quote(str(log))} --policy {run}",
        )
    return described, training.run_recipe(directory, env, env_options=given.env_options, trust=trust)
