"""A run under way: rows, evaluations, the best policy, checkpoints and interrupts, the same for every job."""

from __future__ import annotations

import dataclasses
import json
import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxdaw.errors import EnvironmentFault, NonFiniteError
from jaxdaw.policies import Policy
from jaxdaw.storage import remove_directory
from jaxdaw.training._checkpoint import Checkpointer
from jaxdaw.training._interrupt import Interrupts
from jaxdaw.training._job import Job, JobReport, Watcher
from jaxdaw.training._policy_file import load_policy, save_policy
from jaxdaw.training._run_directory import CHECKPOINTS, how_to_resume
from jaxdaw.training._upgrade import is_new_since_0_1, kept_of_0_1, leaf_of_0_1
from jaxdaw.training._writers import MetricsWriter, write_summaries

_CHECKPOINT_SECONDS = 60.0
"""From one checkpoint to the next, where no option counts them."""
_PATIENCE = 2.0
"""Seconds of an evaluation after which it is told how far it is."""


@dataclasses.dataclass
class Best:
    """The best policy so far.

    Attributes:
      score: larger is better; None before the first.
      step: when it was found.
      weights: the policy's; None if only the run directory has them, as in runs of version 0.1.
    """

    score: float | None = None
    step: int = 0
    weights: Any = None


class Log:
    """The rows of a run, or of a member of a population: in memory, in `metrics.jsonl`, in TensorBoard.

    Args:
      directory: None keeps them in memory alone.
    """

    def __init__(self, directory: Path | None):
        self.directory = directory
        self.rows: list[dict[str, Any]] = []
        self._writer = None if directory is None else MetricsWriter(directory)

    def write(self, row: dict[str, Any], scalars: dict[str, float | None] | None = None) -> None:
        """Appends a row, and some scalars of the same step."""
        self.rows.append(row)
        if self._writer is not None:
            self._writer.write(row)
            if scalars:
                self._writer.scalars({tag: value for tag, value in scalars.items() if value is not None}, row["step"])

    def write_summaries(self, step: int, summaries: dict[str, Any]) -> None:
        """Writes an agent's summaries of a gradient step to TensorBoard."""
        if self._writer is not None:
            write_summaries(self._writer.events, summaries, step)

    @property
    def position(self) -> int:
        """Bytes of `metrics.jsonl`."""
        return 0 if self._writer is None else self._writer.position

    def go_back(self, position: int | None, step: int) -> None:
        """Drops what was written behind a position, and reads what stands before it.

        Args:
          position: bytes; None is unknown, and drops the rows of later steps.
          step: of the state that was restored.
        """
        assert self.directory is not None
        assert self._writer is not None
        path = self.directory / "metrics.jsonl"
        lines = path.read_bytes().splitlines(keepends=True) if path.is_file() else []
        end = 0
        for line in lines:
            try:
                row = json.loads(line)
            except ValueError:  # cut short by a kill
                break
            if position is not None and end + len(line) > position:
                break
            if position is None and row["step"] > step:
                break
            end += len(line)
            self.rows.append({key: value if key in _NEVER_NAN else _with_nan(value) for key, value in row.items()})
        self._writer.go_back(end, step)

    def close(self) -> None:
        """Closes the files."""
        if self._writer is not None:
            self._writer.close()


class Session:
    """A run under way.

    Args:
      job: what is learned.
      config: the options as they are now.
      algorithm: its name, for messages.
      watch: is called with every row.
      read_policy: loads a saved policy of this run, with what no file can hold.
    """

    def __init__(
        self,
        job: Job,
        config: Any,
        algorithm: str,
        watch: Watcher | None,
        read_policy: Callable[[Path], Policy] = load_policy,
    ):
        self.job = job
        self._config, self._algorithm, self._watch, self._read_policy = config, algorithm, watch, read_policy
        self.directory: Path | None = None
        self._members: list[Path | None] = [None] * job.members
        self._checkpointer: Checkpointer | None = None
        self.log = Log(None)
        self.member_logs = [Log(None) for _ in range(job.members)] if job.members > 1 else [self.log]
        self.best = [Best() for _ in range(job.members)]
        self._since_best = 0
        self._started, self._seconds_before = time.perf_counter(), 0.0
        self._refused = 0
        self._evaluates = False
        self._saved_at: tuple[float, int] = (time.perf_counter(), 0)

    # Files.

    def write_to(self, directory: Path, members: Sequence[Path] = ()) -> None:
        """Writes rows, policies and checkpoints there from now on.

        Args:
          directory: the run's.
          members: those of a population's members, with their policies and rows.
        """
        self.directory = directory
        self._members = [*(members or [directory])]
        self._checkpointer = Checkpointer(directory / CHECKPOINTS, keep=2)

    @property
    def places(self) -> list[Path | None]:
        """The directories of the policies that are saved: the run's, or its members'; None where nothing is written."""
        return self._members

    @property
    def has_begun(self) -> bool:
        """Whether there is something to go on with: a report, or a checkpoint."""
        has_checkpoint = self.directory is not None and (self.directory / CHECKPOINTS).is_dir()
        return has_checkpoint or any(row["kind"] != "note" for row in self.log.rows)

    def open(self) -> None:
        """Opens the metrics for appending."""
        assert self.directory is not None
        self.log = Log(self.directory)
        self.member_logs = [Log(member) for member in self._members] if self.job.members > 1 else [self.log]

    def read_checkpoint(self) -> Callable[[], None] | None:
        """Restores the job from the latest checkpoint; no file is changed yet.

        Returns:
          What brings the files to the state of the checkpoint; None if there is no checkpoint.

        Raises:
          StorageError: no checkpoint is whole, or it is another structure's.
        """
        assert self._checkpointer is not None
        if self._checkpointer.latest() is None:
            return None

        def like(kept: dict[str, Any]) -> Any:
            return self._tree([bool(best and best["weights"]) for best in kept_of_0_1(kept, self._algorithm)["best"]])

        _, tree, kept = self._checkpointer.restore(like, names=leaf_of_0_1, may_lack=is_new_since_0_1)
        kept = kept_of_0_1(kept, self._algorithm)
        lost = self.job.restore(tree["job"], kept["job"])
        for member, (best, told) in enumerate(zip(self.best, kept["best"], strict=True)):
            if told is not None and told["score"] is not None:
                best.score, best.step = told["score"], told["step"]
                best.weights = jax.device_get(tree["best"][str(member)]) if told["weights"] else None
        self._since_best, self._seconds_before = kept["since_best"], kept["seconds"]
        self._saved_at = time.perf_counter(), self.job.position

        def bring_files() -> None:
            self.open()
            logs = [self.log] if self.job.members == 1 else [self.log, *self.member_logs]
            positions = kept["metrics"] if kept["metrics"] is not None else [None] * len(logs)
            for log, position in zip(logs, positions, strict=True):
                log.go_back(position, self.job.position)
            self._bring_best()
            row = {"kind": "resume", "step": self.job.position, "unit": self.job.unit}
            self._emit({**row, "restored": self.job.restores, "lost": lost})

        return bring_files

    def begin_again(self) -> None:
        """Starts in a directory whose run was ended before its first checkpoint."""
        self.job.begin()
        self.open()
        logs = [self.log] if self.job.members == 1 else [self.log, *self.member_logs]
        for log in logs:
            log.go_back(0, 0)
        row = {"kind": "resume", "step": 0, "unit": self.job.unit}
        self._emit({**row, "restored": "the options; there is no checkpoint yet, so it begins anew", "lost": None})

    def close(self) -> None:
        """Closes the files and the job."""
        for log in {id(log): log for log in [self.log, *self.member_logs]}.values():
            log.close()
        self.job.close()

    # The run.

    def go(self) -> tuple[list[Policy], list[Policy]]:
        """Runs to the end, or until it is stopped; returns the best and the final policy of each member."""
        job = self.job
        try:
            with Interrupts(job.stop, lambda: job.waits or self._evaluates):
                self._tell_notes()
                self._evaluate_if_due()  # it may have been stopped right before
                while not (job.stopped or self._is_over()):
                    report = job.run()
                    if report is not None:
                        self._record(report)
                        self._evaluate_if_due()
                    if not (job.stopped or self._is_over()) and self._checkpoint_is_due():
                        self._checkpoint()
                if not job.stopped and job.chosen_by == "report":
                    self._evaluate_best()
        except EnvironmentFault as fault:
            if self.directory is not None:
                self._checkpoint()
                fault.add_note(how_to_resume(self._algorithm, self.directory))
            raise
        finals = self._save_final()
        if self._is_over() and not job.stopped and not job.keeps_checkpoint:
            if self.directory is not None:
                remove_directory(self.directory / CHECKPOINTS)
        else:
            self._checkpoint()  # last: it is the largest, and a disk may be full
        return [self._best_policy(member, final) for member, final in enumerate(finals)], finals

    @property
    def interrupted(self) -> bool:
        """Whether it was stopped before its end."""
        return self.job.stopped and not self._is_over()

    def _is_over(self) -> bool:
        patience = self.job.patience
        return self.job.position >= self.job.total or bool(patience and self._since_best >= patience)

    def _emit(self, row: dict[str, Any], scalars: dict[str, float | None] | None = None) -> None:
        self.log.write(row, scalars)
        if self._watch is not None:
            self._watch(row)

    def _seconds(self) -> float:
        return self._seconds_before + time.perf_counter() - self._started

    def _record(self, report: JobReport) -> None:
        clock = {"seconds": self._seconds()}
        row = report.row | clock
        if report.score is not None:
            row["best"] = self._is_best(0, report.score, self.job.position)
            self._since_best = 0 if row["best"] else self._since_best + 1
        for log, member in zip(self.member_logs, report.members, strict=False):
            log.write(member | clock)
        self._emit(row, report.scalars)
        if report.summaries is not None:
            self.log.write_summaries(*report.summaries)
        self._watch_refused(report)

    def _watch_refused(self, report: JobReport) -> None:
        if not report.refused:
            self._refused = 0
            return
        self._refused = self._refused + 1 if report.refused == report.updates else 0
        step = report.row["step"]
        self._emit({"kind": "warning", "step": step, "refused": report.refused, "updates": report.updates})
        if self._refused >= self.job.refused_reports:
            reports = f"the last {self._refused} reports" if self._refused > 1 else "the last report"
            since = f"since {reports}" if self._refused == 1 else f"of {reports}"
            raise NonFiniteError(
                f"every gradient step {since} was refused: not finite",
                got=f"{report.refused} of {report.updates} at {self.job.unit} {step}",
                cause="rewards or observations that are not finite or too large, or a learning rate that is too high.",
                fix=self.job.refused_fix,
            )

    # Evaluation.

    def _tell_notes(self) -> None:
        job = self.job
        if job.position >= job.total and job.position:
            text = f"nothing is left to do: {job.position} of {job.total} {job.unit}s are done."
            self._emit({"kind": "note", "step": job.position, "unit": job.unit, "text": text})
        known = {row["text"] for row in self.log.rows if row["kind"] == "note"}
        for text in self.job.notes:
            if text not in known:
                self._emit({"kind": "note", "step": self.job.position, "unit": self.job.unit, "text": text})

    def _evaluate_if_due(self) -> None:
        job, every = self.job, getattr(self._config, "eval_every", 0)
        if not (every and job.evaluates) or job.stopped or not job.position:
            return
        last = job.chosen_by == "evaluation" and self._is_over()
        before = max((row["step"] for row in self._evaluations() if row["policy"] == "now"), default=0)
        is_due = (job.position + job.slack) // every > (before + job.slack if before else 0) // every
        if is_due or (last and before != job.position):
            self._evaluate("now", job.weights())

    def _evaluate_best(self) -> None:
        job = self.job
        known = any((row["step"], row["policy"]) == (job.position, "best") for row in self._evaluations())
        if job.evaluates and not known:
            weights = self.best[0].weights
            self._evaluate("best", job.weights() if weights is None else weights)

    def _evaluations(self) -> list[dict[str, Any]]:
        rows = [row for row in self.log.rows if row["kind"] == "eval"]
        return [row if "policy" in row else row | {"policy": "now"} for row in rows]

    def _evaluate(self, which: str, weights: Any) -> None:
        job, step = self.job, self.job.position
        self._evaluates = True
        returns, cut = job.evaluate(weights, step, self._evaluation_progress())
        self._evaluates = False
        chooses = job.chosen_by == "evaluation"
        means = [float(mean) for mean in returns.mean(axis=1)]
        bests = [chooses and self._is_best(member, mean, step) for member, mean in enumerate(means)]
        rows = [_evaluation_row(job, step, *one, which) for one in zip(returns, cut, bests, strict=True)]
        if job.members > 1:
            for log, row in zip(self.member_logs, rows, strict=True):
                log.write(row)
        row = rows[0] if job.members == 1 else _evaluation_row(job, step, returns, cut, any(bests), which)
        self._emit(row, {"Eval/AverageReturn": row["mean_return"]})

    def _evaluation_progress(self) -> Callable[[int, int], None]:
        """Returns what tells watchers of an evaluation that takes long; no row is written for that."""
        told = time.perf_counter()

        def tell(ended: int, steps: int) -> None:
            nonlocal told
            if self._watch is not None and time.perf_counter() - told > _PATIENCE:
                told = time.perf_counter()
                step, unit = self.job.position, self.job.unit
                self._watch({"kind": "evaluating", "step": step, "unit": unit, "episodes": ended, "actions": steps})

        return tell

    # The best policy.

    def _is_best(self, member: int, score: float, step: int) -> bool:
        """Returns whether this is the best policy so far, and keeps it if it is."""
        best, ties = self.best[member], self.job.chosen_by == "evaluation"
        if not (best.score is None or score > best.score or (ties and score == best.score)) or math.isnan(score):
            return False
        weights = jax.tree.map(np.array, jax.device_get(self._of_member(self.job.weights(), member)))
        self.best[member] = Best(score, step, weights)
        directory = self._members[member]
        if directory is not None:
            self._save_best(self.job.sync(member), directory, self.best[member])
        return True

    def _of_member(self, weights: Any, member: int) -> Any:
        return weights if self.job.members == 1 else jax.tree.map(lambda leaf: leaf[member], weights)

    def _save_best(self, policy: Policy, directory: Path, best: Best) -> None:
        measure = "mean_return" if self.job.chosen_by == "evaluation" else "loss"
        score = best.score if measure == "mean_return" or best.score is None else -best.score
        save_policy(policy, directory / "best_policy", {**self.job.about(best.step), measure: score})

    def _bring_best(self) -> None:
        """Writes the best policy of the checkpoint: the directory may hold one of a history that was left."""
        for best, directory in zip(self.best, self._members, strict=True):
            if directory is not None and best.weights is not None:
                self._save_best(self._with_weights(best.weights), directory, best)

    def _best_policy(self, member: int, final: Policy) -> Policy:
        best, directory = self.best[member], self._members[member]
        if best.score is None:
            return final
        if best.weights is None:  # of a run of version 0.1, and none was better since
            return self._read_policy(directory / "best_policy") if directory is not None else final
        return self._with_weights(best.weights)

    def _with_weights(self, weights: Any) -> Policy:
        policy = self.job.new_agent().policy
        policy.set_weights(weights)
        return policy

    def _save_final(self) -> list[Policy]:
        finals = []
        for member, directory in enumerate(self._members):
            policy = self.job.sync(member)
            if directory is not None:
                save_policy(policy, directory / "policy", self.job.about(self.job.position))
            if self.job.members > 1:  # the agent holds one member at a time
                policy = self._with_weights(policy.get_weights())
            finals.append(policy)
        return finals

    # Checkpoints.

    def _checkpoint_is_due(self) -> bool:
        job, (seconds, position) = self.job, self._saved_at
        if job.saves_by_time:
            return time.perf_counter() - seconds > _CHECKPOINT_SECONDS
        every = getattr(self._config, "checkpoint_every", 0)
        return bool(every) and (job.position + job.slack) // every > (position + job.slack if position else 0) // every

    def _checkpoint(self) -> None:
        if self._checkpointer is None:
            return
        has_weights = [best.weights is not None for best in self.best]
        best = [
            None
            if entry.score is None
            else {"score": entry.score, "step": entry.step, "weights": entry.weights is not None}
            for entry in self.best
        ]
        logs = [self.log] if self.job.members == 1 else [self.log, *self.member_logs]
        kept = {
            "version": 2,
            "best": best,
            "since_best": self._since_best,
            "seconds": self._seconds(),
            "metrics": [log.position for log in logs],
            "job": self.job.kept(),
        }
        self._checkpointer.save(self.job.checkpoint_number, self._tree(has_weights), kept)
        self._saved_at = time.perf_counter(), self.job.position

    def _tree(self, has_weights: Sequence[bool]) -> dict[str, Any]:
        tree = {"job": self.job.tree()}
        if any(has_weights):
            now = self.job.weights()
            tree["best"] = {
                str(i): self._of_member(now, i) if self.best[i].weights is None else self.best[i].weights
                for i, has in enumerate(has_weights)
                if has
            }
        return tree


def _evaluation_row(
    job: Job, step: int, returns: np.ndarray, cut: np.ndarray, best: bool, which: str
) -> dict[str, Any]:
    return {
        "kind": "eval",
        "step": step,
        "unit": job.unit,
        "policy": which,
        "episodes": returns.size,
        "cut": int(np.sum(cut)),
        "mean_return": float(np.mean(returns)),
        "std_return": float(np.std(returns)),
        "returns": [float(value) for value in returns.ravel()],
        "best": bool(best),
    }


_NEVER_NAN = ("lost", "epsilon", "unit", "text")
"""Entries of rows in which null means that there is none."""


def _with_nan(value: Any) -> Any:
    """Returns a value of a row as it was before it was written."""
    if isinstance(value, list):
        return [_with_nan(part) for part in value]
    return math.nan if value is None else value
