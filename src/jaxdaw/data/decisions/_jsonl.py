"""Decisions as JSON Lines, one object a line: with an action it is a decision, without one the outcome of a decision.

```text
{"decision_id": "a1", "time": 1700000000.5, "policy_version": "v3", "context": {"age": 31, "clicks": [0, 2]},
 "eligible": [0, 2], "probabilities": [0.9, 0.1], "action": 0}
{"decision_id": "a1", "reward": 1.0, "time": 1700000009.0}
```

`eligible` lists the arms, or has true or false for each; without it all are. `probabilities` belong to the arms that
are listed, or else to all arms; where only the chosen arm's is known it stands in `probability`. `reward` may stand in
the decision itself. `arm_features` is a list with one nest for each arm, eligible or not.
"""

from __future__ import annotations

import itertools
import json
import warnings
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from jaxdaw import specs
from jaxdaw.data._conform import conform
from jaxdaw.data.decisions._columns import COLUMN, TEXT, names_of, rename_hint
from jaxdaw.data.decisions._decisions import MAX_ARMS, Decisions
from jaxdaw.data.decisions._outcomes import OutcomeTable, empty_table
from jaxdaw.errors import JaxdawWarning, SpecError, StorageError
from jaxdaw.storage import opened, refuse_expansion, refuse_too_large, without_duplicates

_DEEPEST = 100
"""Levels of a context."""
_MAX_RANK = 32
_FLOAT32_MAX = float(np.finfo(np.float32).max)
_MAX_SHOWN = 3
_REFUSED = {"decision_id", "error"}
"""The keys of what `jaxdaw decide` answers to a request that it refuses."""
_NUMBERS = {int, float}
_NUMBERS_OR_BOOLS = {int, float, bool}


class Shape(NamedTuple):
    """What is known of a log before it is read.

    Attributes:
      num_arms: A, or None.
      context_spec: the nest of specs of one context, or None.
      arm_features_spec: of the features of one arm, or None.
      num_arms_are_given: whether the caller said how many arms there are, and not a file.
    """

    num_arms: int | None = None
    context_spec: Any = None
    arm_features_spec: Any = None
    num_arms_are_given: bool = False


class Lines(NamedTuple):
    """Rows of a file with their line numbers, whether it ended within a row, and its bytes."""

    rows: list[Mapping[str, Any]]
    numbers: list[int]
    unfinished: bool
    file_size: int


def read_lines(path: Path, limit_bytes: int) -> Lines:
    """Returns the objects of a file of JSON Lines; an unfinished last line is left out, and told.

    Raises:
      StorageError: other lines that are no JSON objects, or too large a file.
    """
    rows: list[Mapping[str, Any]] = []
    numbers: list[int] = []
    bad: list[tuple[int, str]] = []
    unfinished = False
    with opened(path) as file:
        size = file.seek(0, 2)
        refuse_too_large(path, size, limit_bytes)
        file.seek(0)
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            try:
                row = json.loads(line, object_pairs_hook=without_duplicates)
            except (ValueError, RecursionError) as error:
                if not line.endswith(b"\n"):
                    unfinished = True
                else:
                    bad.append((number, str(error)[:60]))
                continue
            if isinstance(row, dict):
                rows.append(row)
                numbers.append(number)
            else:
                bad.append((number, f"a JSON {type(row).__name__}"))
    if bad:
        raise refusal(path, "no JSON objects", "one object a line", bad[0][1], [number for number, _ in bad])
    return Lines(rows, numbers, unfinished, size)


def read_jsonl(path: Path, shape: Shape, limit_bytes: int) -> tuple[Decisions, OutcomeTable, bool]:
    """Returns the decisions of a file, the outcomes that stand apart from them, and whether it ended within a row.

    Raises:
      StorageError: lines that are no JSON, unknown fields, a column of mixed types: with the numbers of the lines.
      SpecError: contexts that do not fit `shape`.
    """
    lines = read_lines(path, limit_bytes)
    is_decision = ["action" in row for row in lines.rows]
    made = [(row, n) for row, n, yes in zip(lines.rows, lines.numbers, is_decision, strict=True) if yes]
    apart = [(row, n) for row, n, yes in zip(lines.rows, lines.numbers, is_decision, strict=True) if not yes]
    refused = [n for row, n in apart if row.keys() == _REFUSED]
    if refused:
        text = f"{path} holds {len(refused):,} requests that were refused: they are no decisions (line {refused[0]})"
        warnings.warn(text, JaxdawWarning, stacklevel=2)
        apart = [(row, n) for row, n in apart if row.keys() != _REFUSED]
    odd = [n for row, n in apart if "reward" not in row or "decision_id" not in row]
    if odd:
        raise refusal(path, "neither a decision nor an outcome", "action, or decision_id and reward", "others", odd)
    try:
        decisions = _Rows(path, made).decisions(shape, lines.file_size, limit_bytes)
        outcomes = _Rows(path, apart).outcomes()
    except (OverflowError, RecursionError) as error:
        odd = [n for row, n in zip(lines.rows, lines.numbers, strict=True) if _is_extreme(row)]
        what, expected = "numbers or nests that are too large", "numbers of 64 bits, a few levels"
        raise refusal(path, what, expected, str(error)[:60], odd) from error
    return decisions, outcomes, lines.unfinished


class _Rows:
    """The rows of a log as columns; what cannot be one is refused with the numbers of its lines."""

    def __init__(self, path: Path, rows: Sequence[tuple[Mapping[str, Any], int]]):
        self._path = path
        self._rows = [row for row, _ in rows]
        self._lines = [number for _, number in rows]

    def decisions(self, shape: Shape, file_size: int, limit_bytes: int) -> Decisions:
        """Returns all rows as decisions."""
        self._refuse_unknown(COLUMN)
        if not self._rows:
            return Decisions(np.zeros(0, np.int64), num_arms=shape.num_arms or 1)
        action = self._of_types("action", {int}, "integers")
        eligible, probabilities, seen = self._arms()
        num_arms = shape.num_arms or max(seen, max(action) + 1, 1)
        if num_arms > MAX_ARMS:
            what, got = f"{self._path} names more arms than can be", str(num_arms - 1)[:30]
            raise StorageError(what, expected=f"arms in 0..{MAX_ARMS - 1:,}", got=got)
        cell = (eligible is not None) + 8 * (probabilities is not None)
        size = len(self._rows) * num_arms * cell
        if shape.num_arms_are_given:
            refuse_too_large(self._path, size, limit_bytes)
        else:
            fix = f"num_arms={num_arms} (--arms {num_arms}) if there are so many; else number the arms from 0"
            refuse_expansion(self._path, size, file_size, limit_bytes, fix)
        columns: dict[str, Any] = {
            "action": np.array(action, np.int64),
            **{name: self._floats(name) for name in names_of("float64") if self._any(name)},
            **{name: self._texts(name) for name in names_of("text")},
            "eligible": self._scatter(eligible, None, num_arms, np.bool_),
            "probabilities": self._scatter(eligible, probabilities, num_arms, np.float64),
        }
        context = self._nest("context", shape.context_spec)
        features = self._nest("arm_features", shape.arm_features_spec, per_arm=True)
        return Decisions(**columns, context=context, arm_features=features, num_arms=num_arms)

    def outcomes(self) -> OutcomeTable:
        """Returns all rows as outcomes."""
        self._refuse_unknown(("decision_id", "reward", "time"))
        if not self._rows:
            return empty_table()
        ids = self._texts("decision_id")
        time = self._floats("time") if self._any("time") else None
        return OutcomeTable(np.zeros(0, TEXT) if ids is None else ids, self._floats("reward"), time)

    def _refuse_unknown(self, known: Collection[str]) -> None:
        unknown = set().union(*self._rows) - set(known)
        if unknown:
            odd = [n for row, n in zip(self._rows, self._lines, strict=True) if not row.keys() <= set(known)]
            got = ", ".join(name[:40] for name in sorted(unknown)[:3])
            raise refusal(self._path, "unknown fields", ", ".join(known), got, odd, rename_hint(unknown))

    def _any(self, name: str) -> bool:
        return any(row.get(name) is not None for row in self._rows)

    def _of_types(self, name: str, types: set[type], words: str) -> list[Any]:
        values = [row.get(name) for row in self._rows]
        self._require(name, [type(value) in types for value in values], values, words)
        return values

    def _require(self, name: str, fits: Sequence[bool], values: Sequence[Any], words: str) -> None:
        if not all(fits):
            odd = [index for index, fit in enumerate(fits) if not fit]
            what = f"something else than {words} in {name!r}"
            raise refusal(self._path, what, words, repr(values[odd[0]])[:40], [self._lines[index] for index in odd])

    def _floats(self, name: str) -> np.ndarray:
        values = self._of_types(name, {int, float, type(None)}, "numbers")
        return np.array([np.nan if value is None else value for value in values], np.float64)

    def _texts(self, name: str) -> np.ndarray | None:
        if not self._any(name):
            return None
        return np.array(self._of_types(name, {str}, "text"), TEXT)

    def _arms(self) -> tuple[list[list[int]] | None, list[list[float]] | None, int]:
        """Returns the listed arms and the probabilities of each row, None where no row has them; and how many arms."""
        listed, seen = None, 0
        if self._any("eligible"):
            values = [row.get("eligible") for row in self._rows]
            fits = [value is None or (isinstance(value, list) and _uniform(value, ({int}, {bool}))) for value in values]
            self._require("eligible", fits, values, "a list of arms, or of true and false")
            seen = max(
                [len(v) if v and type(v[0]) is bool else max(v, default=-1) + 1 for v in values if v is not None]
            )
            listed = [
                None if v is None else [i for i, yes in enumerate(v) if yes] if v and type(v[0]) is bool else v
                for v in values
            ]
        if not self._any("probabilities"):
            return listed, None, seen  # type: ignore[return-value]  # None for all arms is filled in by `_scatter`
        values = [row.get("probabilities") for row in self._rows]
        fits = [isinstance(value, list) and _uniform(value, (_NUMBERS,)) for value in values]
        self._require("probabilities", fits, values, "a list of numbers for every decision")
        return listed, values, max(seen, max(len(v) for v in values if v is not None) if listed is None else seen)  # type: ignore[return-value]  # checked above

    def _scatter(self, listed: Any, values: Any, num_arms: int, dtype: Any) -> np.ndarray | None:
        """Returns `[N, A]` of what each row says about the arms that it lists, and 0 for others."""
        if listed is None and values is None:
            return None
        raw = [row.get("eligible") for row in self._rows]
        # a list of true and false is as long as the probabilities; a list of arms goes with one for each
        arms: list[Any] = [
            None if a is None or (values is not None and (not r or type(r[0]) is bool)) else a
            for r, a in zip(raw, listed or [None] * len(raw), strict=True)
        ]
        found = np.zeros((len(arms), num_arms), dtype)
        if values is not None:
            fits = [len(p) == (num_arms if a is None else len(a)) for p, a in zip(values, arms, strict=True)]
            self._require("probabilities", fits, values, "one for each eligible arm")
        for index, row in enumerate(arms):
            if row is None:  # all arms
                found[index] = True if values is None else values[index]
        some = [index for index, row in enumerate(arms) if row is not None]
        sizes = [len(arms[index]) for index in some]
        column = np.fromiter(itertools.chain.from_iterable(arms[index] for index in some), np.int64, sum(sizes))
        row = np.repeat(np.array(some, np.int64), sizes)
        outside = (column < 0) | (column >= num_arms)
        if outside.any():
            raise refusal(
                self._path,
                "eligible arms that do not exist",
                f"0..{num_arms - 1}",
                str(column[outside][0]),
                [self._lines[index] for index in np.unique(row[outside])],
            )
        flat: Any = True
        if values is not None:
            flat = np.fromiter(itertools.chain.from_iterable(values[index] for index in some), dtype, len(column))
        found[row, column] = flat
        return found

    def _nest(self, name: str, spec: Any, per_arm: bool = False) -> Any:
        if not self._any(name):
            if spec not in (None, ()):
                raise SpecError(f"{self._path} has no {name}", expected=str(spec)[:100], got="none")
            return ()
        values = [row.get(name) for row in self._rows]
        if not per_arm:
            found = self._stack(name, values, spec)
        else:
            self._require(name, [isinstance(value, list) for value in values], values, "a list with one entry an arm")
            lists: list[list[Any]] = values  # type: ignore[assignment]  # required above
            self._require(name, [len(one) == len(lists[0]) for one in lists], values, f"{len(lists[0])} arms")
            flat = self._stack(name, list(itertools.chain.from_iterable(lists)), spec)
            found = specs.map_structure(lambda leaf: leaf.reshape(len(lists), -1, *leaf.shape[1:]), flat)
        if spec is None:
            return found
        conformed = conform(found, spec, name)
        specs.check(conformed, spec, 2 if per_arm else 1, what=name, check_bounds=False)
        return conformed

    def _stack(self, name: str, values: list[Any], spec: Any) -> Any:
        """Returns a nest of arrays `[N, ...]` of nests that are as the spec says, or else as the first."""
        like = values[0] if spec is None else spec
        if name.count(".") + name.count("[") > _DEEPEST:  # whatever the interpreter's own limit
            raise RecursionError(f"more than {_DEEPEST} levels")
        if isinstance(like, Mapping):
            keys = {str(key): key for key in like}
            fits = [isinstance(value, dict) and value.keys() == keys.keys() for value in values]
            self._require(name, fits, values, f"the keys {', '.join(sorted(keys))[:60]}")
            return {
                key: self._stack(
                    f"{name}.{text}", [value[text] for value in values], None if spec is None else like[key]
                )
                for text, key in keys.items()
            }
        if isinstance(like, list | tuple) and (spec is not None or any(isinstance(entry, dict) for entry in like)):
            fits = [isinstance(value, list) and len(value) == len(like) for value in values]
            self._require(name, fits, values, f"a list of {len(like)}")
            inner = [None] * len(like) if spec is None else list(like)
            found = [self._stack(f"{name}[{i}]", [v[i] for v in values], each) for i, each in enumerate(inner)]
            return tuple(found) if isinstance(like, tuple) else found
        return self._array(name, values)

    def _array(self, name: str, values: list[Any]) -> np.ndarray:
        leaves, shape = _leaves(values)
        kinds = set(map(type, leaves))
        mixed = len(shape) == 1 and bool in kinds and len(kinds) > 1
        found = None if mixed or not kinds <= _NUMBERS_OR_BOOLS else np.array(leaves)
        if found is None or found.dtype.kind not in "biuf":
            like = next((each for each in map(_shape, values) if each is not None), None)
            fits = [like is not None and _shape(value) == like and type(value) is type(values[0]) for value in values]
            self._require(name, fits, values, f"numbers of one shape and type {like or ''}".strip())
            raise OverflowError(f"integers of more than 64 bits in {name!r}")  # some are signed, others not
        found = found.reshape(shape)
        return found.astype(np.float32) if found.dtype == np.float64 and _fits(found) else found


def _leaves(values: list[Any]) -> tuple[list[Any], tuple[int, ...]]:
    """Returns the entries of nested lists one after the other, and their shape; lists that differ in length are left.

    Types are looked at before NumPy sees them: it would give all texts of a list the width of the longest.
    """
    shape = [len(values)]
    while values and set(map(type, values)) == {list} and len(set(map(len, values))) == 1:
        shape.append(len(values[0]))
        values = list(itertools.chain.from_iterable(values))
        if len(shape) > _MAX_RANK:
            raise RecursionError(f"more than {_MAX_RANK} levels of lists")
    return values, tuple(shape)


def _shape(value: Any) -> tuple[int, ...] | None:
    """Returns the shape of nested lists of numbers of at most 64 bits; None for anything else."""
    leaves, shape = _leaves([value])
    is_number = set(map(type, leaves)) <= _NUMBERS_OR_BOOLS and np.array(leaves).dtype.kind in "biuf"
    return shape[1:] if is_number else None


def _is_extreme(value: Any, level: int = 0) -> bool:
    """Returns whether a JSON value holds an integer of more than 64 bits, or more levels than are read."""
    if isinstance(value, dict | list):
        children = value.values() if isinstance(value, dict) else value
        return level > _MAX_RANK or any(_is_extreme(child, level + 1) for child in children)
    return isinstance(value, int) and not -(2**63) <= value < 2**64


def _fits(values: np.ndarray) -> bool:
    return not np.any(np.isfinite(values) & (np.abs(values) > _FLOAT32_MAX))


def _uniform(values: list[Any], kinds: Iterable[set[type]]) -> bool:
    found = {type(value) for value in values}
    return any(found <= kind for kind in kinds)


def refusal(
    path: Path, what: str, expected: str, got: str, lines: Sequence[int], fix: str | None = None
) -> StorageError:
    """Returns the error for lines of a log that cannot be read; it counts them and names the first three."""
    where = ", ".join(map(str, lines[:_MAX_SHOWN])) + (", ..." if len(lines) > _MAX_SHOWN else "")
    plural = "line" if len(lines) == 1 else "lines"
    return StorageError(
        f"{path} holds {what} in {len(lines):,} {plural} ({where})",
        expected=expected,
        got=got,
        cause="rows of another service or version, or a column of mixed types.",
        fix=fix or "mend these lines; nothing is read while they are wrong, and nothing is lost",
    )


def write_rows(file: BinaryIO, rows: Iterable[Mapping[str, Any]]) -> None:
    """Writes objects, one a line."""
    for row in rows:
        file.write(json.dumps(row, allow_nan=False, separators=(",", ":")).encode() + b"\n")


def decision_rows(decisions: Decisions) -> Iterator[dict[str, Any]]:
    """Yields the rows of decisions, which `read_jsonl` reads back; what is not known, such as NaN, is left out."""
    leaves, features = specs.flatten(decisions.context), specs.flatten(decisions.arm_features)
    for index in range(len(decisions)):
        row: dict[str, Any] = {}
        for name in names_of("text"):
            column = getattr(decisions, name)
            if column is not None:
                row[name] = str(column[index])
        if leaves:
            row["context"] = specs.pack_like(decisions.context, [leaf[index].tolist() for leaf in leaves])
        if features:
            arms = range(decisions.num_arms or 0)
            row["arm_features"] = [
                specs.pack_like(decisions.arm_features, [leaf[index, arm].tolist() for leaf in features])
                for arm in arms
            ]
        for name in (*names_of("bool", per_arm=True), *names_of("float64", per_arm=True)):
            if getattr(decisions, name) is not None:
                row[name] = getattr(decisions, name)[index].tolist()
        row["action"] = int(decisions.action[index])
        for name in names_of("float64"):
            column = getattr(decisions, name)
            if column is not None and not np.isnan(column[index]):
                row[name] = float(column[index])
        yield row
