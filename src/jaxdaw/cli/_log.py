"""The commands about logged decisions. The fields of each class are its flags."""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path
from typing import Annotated, Any

import tyro

from jaxdaw.errors import ConfigError

Log = Annotated[
    str,
    tyro.conf.Positional,
    tyro.conf.arg(metavar="LOG", help="Logged decisions: a directory of jaxdaw, .jsonl, .dsjson or .parquet."),
]


@dataclasses.dataclass(frozen=True)
class Joining:
    """How a log becomes decisions with rewards."""

    arms: int | None = None
    """Number of arms; by default what the log says."""
    default_reward: float | None = None
    """Reward of a decision without an outcome."""
    expiry_s: float | None = None
    """Seconds after which an outcome no longer counts, and the default reward does."""

    def read(self, path: str) -> Any:
        """Returns the decisions of a path."""
        from jaxdaw import data

        return data.read_decisions(path, num_arms=self.arms, default_reward=self.default_reward, expiry_s=self.expiry_s)


@dataclasses.dataclass(frozen=True)
class Audit:
    """Test whether a log's probabilities are those its arms were chosen with."""

    log: Log
    joining: Annotated[Joining, tyro.conf.arg(name="")] = dataclasses.field(default_factory=Joining)
    alpha: float = 1e-3
    """A test fails below this p value."""
    shares: str = ""
    """Expected shares of the policy versions, as JSON: {"v1": 0.5, "v2": 0.5}."""
    json: bool = False
    """Print one JSON object."""

    def run(self) -> int:
        """Audits; returns 0, or 1 if the log fails."""
        from jaxdaw import data

        decisions = self.joining.read(self.log)
        found = data.audit(decisions, alpha=self.alpha, expected_shares=_shares(self.shares))
        if self.json:
            print(json.dumps(found.to_json() | {"outcomes": decisions.outcomes._asdict()}))
        else:
            print(found)
            print(f"outcomes: {decisions.outcomes}")
        return 0 if found.passed else 1


@dataclasses.dataclass(frozen=True)
class Convert:
    """Write logged decisions, outcomes joined, as .jsonl, .dsjson, or a directory of Parquet."""

    log: Log
    out: Annotated[Path, tyro.conf.arg(help="New .jsonl, .dsjson, or directory.")]
    joining: Annotated[Joining, tyro.conf.arg(name="")] = dataclasses.field(default_factory=Joining)

    def run(self) -> int:
        """Converts; returns the exit status."""
        from jaxdaw import data

        decisions = self.joining.read(self.log)
        path = data.write_decisions(decisions, self.out)
        print(f"{path}: {len(decisions):,} decisions; outcomes: {decisions.outcomes}")
        return 0


@dataclasses.dataclass(frozen=True)
class Ope:
    """Estimate from a log what other policies would have earned."""

    log: Log
    policy: Annotated[
        tuple[str, ...],
        tyro.conf.arg(
            metavar="RUN...",
            help="Runs or policy directories, uniform, logged, greedy, or constant:ARM.",
            aliases=["-p"],
        ),
    ]
    joining: Annotated[Joining, tyro.conf.arg(name="")] = dataclasses.field(default_factory=Joining)
    gate: str = ""
    """What each policy must satisfy for exit status 0: "lower_bound > logged"."""
    estimator: str = ""
    """The one that is compared and gated; by default dr, or the first of --estimators."""
    estimators: tuple[str, ...] = ()
    """Some of ips, snips, clipped_ips, dm, dr, switch_dr, shrunk_dr; the first three fit no reward model."""
    reward_range: tuple[float, float] | None = None
    """Between which numbers every reward lies, 0 1 for clicks: for intervals that hold for every number of rows."""
    confidence: float = 0.95
    """Of the intervals."""
    resamples: int = 200
    """Of the bootstrap."""
    seed: int = 0
    """Of the resampling, and of the folds of the reward model."""
    estimate_propensities: bool = False
    """Clone the policy that made the log for probabilities that were not logged."""
    plot: Path | None = None
    """Picture of the estimates to write."""
    json: bool = False
    """Print one JSON object."""

    def run(self) -> int:
        """Evaluates; returns 0, or 1 if a policy does not pass the gate."""
        from jaxdaw import evaluation

        decisions = self.joining.read(self.log)
        if self.estimate_propensities:
            decisions = evaluation.estimate_propensities(decisions, seed=self.seed)
        report = evaluation.evaluate_off_policy(
            decisions,
            {name: _candidate(name) for name in self.policy},
            estimators=self.estimators or tuple(evaluation.ESTIMATORS),
            main=self.estimator or None,
            reward_range=self.reward_range,
            confidence=self.confidence,
            resamples=self.resamples,
            seed=self.seed,
        )
        verdicts = {}
        if self.gate:
            verdicts = {
                one.name: evaluation.passes_gate(self.gate, report.figures(one.name)) and one.is_trusted
                for one in report.candidates
            }
        if self.json:
            print(json.dumps(report.to_json() | {"gate": self.gate, "passed": verdicts}))
        else:
            print(evaluation.describe_off_policy(report))
            for name, passed in verdicts.items():
                print(f"gate    {name}: {'passes' if passed else 'FAILS'}  {self.gate}")
        if self.plot is not None:
            picture = evaluation.plot_off_policy(report, self.plot)
            print(f"plot    {picture}", file=sys.stderr if self.json else sys.stdout)
        return 0 if all(verdicts.values()) else 1


def _candidate(name: str) -> Any:
    from jaxdaw import evaluation, training

    if name.partition(":")[0] in {built_in.partition(":")[0] for built_in in evaluation.BUILT_IN}:
        return name
    place = Path(name)
    if not place.is_dir():
        built_in = ", ".join(evaluation.BUILT_IN)
        raise ConfigError(f"there is no policy {name!r}", expected=f"a run, a policy directory, {built_in}", got=name)
    return training.load_policy(place) if (place / "policy.json").exists() else training.run_policy(place)


def _shares(text: str) -> dict[str, float] | None:
    try:
        found = json.loads(text) if text else None
        return None if found is None else {str(name): float(share) for name, share in found.items()}
    except (ValueError, TypeError, AttributeError) as error:
        fix = """--shares '{"v1": 0.5, "v2": 0.5}'"""
        raise ConfigError("--shares is not JSON of numbers by name", got=f"{text[:60]}: {error}", fix=fix) from error
