"""read_decisions: recognises the kind of a log by its contents, reads it, and joins its outcomes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jaxdaw.data.decisions._decisions import Decisions, concatenate
from jaxdaw.data.decisions._dsjson import is_dsjson, read_dsjson
from jaxdaw.data.decisions._jsonl import Shape, read_jsonl
from jaxdaw.data.decisions._outcomes import OutcomeTable, join_outcomes, stack_tables
from jaxdaw.data.decisions._parquet import read_parquet
from jaxdaw.data.decisions._writer import LOG_NAME, read_log_manifest
from jaxdaw.errors import StorageError
from jaxdaw.storage import LIMIT_BYTES, opened

_KINDS = "a directory of DecisionWriter, JSON Lines, dsjson, or Parquet"


def read_decisions(
    path: str | Path,
    *,
    num_arms: int | None = None,
    context_spec: Any = None,
    arm_features_spec: Any = None,
    default_reward: float | None = None,
    expiry_s: float | None = None,
    now: float | None = None,
    limit_bytes: int = LIMIT_BYTES,
) -> Decisions:
    """Returns the decisions that a path holds, with their outcomes joined by id.

    The kind is recognised by the contents, and no code in it is run: a directory that `DecisionWriter` wrote, JSON
    Lines, dsjson of Vowpal Wabbit, or Parquet, which needs the extra `parquet`. Values that are wrong are read as they
    are, and are for `check_decisions` and `audit`; what cannot be a column is refused with its lines.

    Args:
      path: of the file or directory.
      num_arms: A; None takes what the log says, or the greatest arm that it names.
      context_spec, arm_features_spec: nests of specs; None takes those of the log, or infers them.
      default_reward: of decisions without an outcome; None leaves NaN.
      expiry_s: seconds after a decision; later outcomes do not count, and only older decisions have the default.
      now: seconds since 1970 by which age is judged; None is the last time in the log.
      limit_bytes: the most that the contents may take in memory.

    Raises:
      StorageError: nothing that is known, damage, unknown fields, mixed types, or more than allowed.
      SpecError: contexts of other specs, or ids that are there twice while outcomes join by them.
      ImportError: an extra is missing.
    """
    place = Path(path)
    shape = Shape(num_arms, context_spec, arm_features_spec, num_arms is not None)
    if place.is_dir():
        if not (place / LOG_NAME).exists():
            raise StorageError(f"{place} holds no log of decisions", expected=_KINDS, got="another directory")
        manifest = read_log_manifest(place)
        specs = (manifest.context_spec, manifest.arm_features_spec)
        shape = Shape(num_arms or manifest.num_arms, *specs, num_arms is not None)
        files = manifest.parts(place)
    else:
        files = [place]
    made: list[Decisions] = []
    apart: list[OutcomeTable] = []
    unfinished = False
    for file in files:
        decisions, table, torn = _read(file, shape, limit_bytes)
        made.append(decisions)
        apart.append(table)
        unfinished |= torn
    decisions = concatenate([one for one in made if len(one)] or made[:1] or [Decisions([], num_arms=shape.num_arms)])
    reward, outcomes = join_outcomes(
        decisions.decision_id,
        decisions.time,
        decisions.reward,
        stack_tables(apart),
        default_reward=default_reward,
        expiry_s=expiry_s,
        now=now,
    )
    return decisions.replace(reward=reward, outcomes=outcomes._replace(unfinished=unfinished))


def _read(path: Path, shape: Shape, limit_bytes: int) -> tuple[Decisions, OutcomeTable, bool]:
    if not path.exists():
        raise StorageError(f"there is no {path}", expected=_KINDS, got="nothing")
    with opened(path) as file:
        start = file.read(4096)
    if start.startswith(b"PAR1"):
        return *read_parquet(path, shape, limit_bytes), False
    if not start.strip():
        raise StorageError(f"{path} is empty", expected=_KINDS, got=f"{len(start)} bytes")
    if not start.lstrip().startswith(b"{"):
        raise StorageError(f"{path} holds no log of decisions", expected=_KINDS, got=repr(start[:16]))
    if is_dsjson(start):
        return read_dsjson(path, shape, limit_bytes)
    return read_jsonl(path, shape, limit_bytes)
