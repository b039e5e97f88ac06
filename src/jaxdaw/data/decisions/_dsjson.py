"""Reader and writer of dsjson, the decision log of Vowpal Wabbit.

```text
{"_label_cost": -1.0, "_label_probability": 0.5, "_label_Action": 1, "_labelIndex": 0, "Version": "1",
 "Timestamp": "2026-01-31T09:00:00Z", "EventId": "12", "a": [1, 2], "p": [0.5, 0.5],
 "c": {"User": {"age": 31}, "_multi": [{"id": "x"}, {"id": "y"}]}}
```

Cost is minus the reward; `p` belongs to the arms in the order of `a`, which counts from 1, or from 0 if it holds one.
Numbers become features by their path, `User.age`; text becomes one that is 1, `User.country=CH`. Arms are told by their
place in `_multi`; a row with fewer has the others not eligible.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from jaxdaw import specs
from jaxdaw.data.decisions._columns import COLUMN, TEXT
from jaxdaw.data.decisions._decisions import Decisions
from jaxdaw.data.decisions._jsonl import Shape, read_lines, refusal, write_rows
from jaxdaw.data.decisions._outcomes import OutcomeTable, empty_table
from jaxdaw.errors import SpecError
from jaxdaw.storage import refuse_expansion, replace

_COST, _PROBABILITY, _ID = (COLUMN[name].dsjson for name in ("reward", "probability", "decision_id"))
_MAX_FEATURES = 4096
_DEEPEST = 100
_LARGEST, _LARGEST_FLOAT = 2**62, 2**1023
_MARKS = (b'"_label_cost"', b'"_label_Action"', b'"_labelIndex"', b'"_label_probability"', b'"RewardValue"')


def is_dsjson(start: bytes) -> bool:
    """Returns whether the start of a file is one of dsjson."""
    first = start.split(b"\n", 1)[0]
    return any(mark in first for mark in _MARKS)


def read_dsjson(path: Path, shape: Shape, limit_bytes: int) -> tuple[Decisions, OutcomeTable, bool]:
    """Returns the decisions of a file, outcomes that stand apart (`EventId`, `RewardValue`), and whether it was cut.

    Raises:
      StorageError: lines that are no JSON, lack what a decision needs, or are of several slots: with their numbers.
    """
    lines = read_lines(path, limit_bytes)
    made: list[tuple[Mapping[str, Any], int]] = []
    apart: list[tuple[str, float]] = []
    bad: list[tuple[int, str]] = []
    for row, number in zip(lines.rows, lines.numbers, strict=True):
        name = row.get(_ID, row.get("event_id"))
        if "c" in row:
            problem = _problem(row)
            made.append((row, number))
        elif isinstance(name, str) and _is_number(row.get("RewardValue")):
            problem = None
            apart.append((name, float(row["RewardValue"])))
        else:
            problem = "no decision and no outcome"
        if problem is not None:
            bad.append((number, problem))
    if bad:
        expected = "_label_cost, _label_probability, _labelIndex, a, c._multi, p"
        raise refusal(path, "rows that are no decisions", expected, bad[0][1], [number for number, _ in bad])
    table = empty_table()
    if apart:
        table = OutcomeTable(np.array([name for name, _ in apart], TEXT), np.array([reward for _, reward in apart]))
    return _decisions(path, made, shape, lines.file_size, limit_bytes), table, lines.unfinished


def _decisions(
    path: Path, made: list[tuple[Mapping[str, Any], int]], shape: Shape, file_size: int, limit_bytes: int
) -> Decisions:
    rows = [row for row, _ in made]
    arms = [row["c"]["_multi"] for row in rows]
    num_arms = shape.num_arms or max(map(len, arms), default=1)
    if max(map(len, arms), default=0) > num_arms:
        raise SpecError(f"{path} has more arms than expected", expected=str(num_arms), got=str(max(map(len, arms))))

    def refuse_expanded(num_columns: int) -> None:
        cells = len(rows) * (num_arms * 9 + 4 * num_columns)
        refuse_expansion(path, cells, file_size, limit_bytes, "split the file: rows with few arms, and with many")

    refuse_expanded(0)
    eligible = np.arange(num_arms) < np.array([len(one) for one in arms], np.int64)[:, None]
    probabilities = np.zeros((len(rows), num_arms))
    for index, row in enumerate(rows):
        probabilities[index, np.array(row["a"]) - (0 not in row["a"])] = row["p"]
    numbers = [number for _, number in made]
    context = _features(path, [[row["c"]] for row in rows], 1, numbers, refuse_expanded)
    features = _features(path, arms, num_arms, numbers, refuse_expanded)
    return Decisions(
        np.array([_action(row) for row in rows], np.int64),
        [np.nan if row.get(_COST) is None else -float(row[_COST]) for row in rows],
        [float(row[_PROBABILITY]) for row in rows],
        {name: column[:, 0] for name, column in context.items()} or (),
        num_arms,
        eligible,
        probabilities,
        features or (),
        decision_id=_optional([row.get(_ID, row.get("event_id")) for row in rows]),
        time=_times([row.get(COLUMN["time"].dsjson) for row in rows]),
        policy_version=_optional([(row.get("VWState") or {}).get("m") for row in rows]),
    )


def write_dsjson(decisions: Decisions, path: str | Path) -> Path:
    """Writes decisions as dsjson, for `vw --dsjson --cb_explore_adf`; the file is whole or not there.

    Args:
      decisions: with rewards, and with the probabilities of all arms.
      path: of the file; one that is there is replaced.

    Raises:
      SpecError: the probabilities of all arms are not known, or a reward is missing.
    """
    if decisions.probabilities is None or np.isnan(decisions.reward).any():
        raise SpecError("dsjson needs all probabilities and rewards", expected="probabilities [N, A]", got="not all")
    path = Path(path)
    replace(path, lambda file: write_rows(file, _rows(decisions)))
    return path


def _problem(row: Mapping[str, Any]) -> str | None:
    """Returns why a row is no decision, in words; None if it is one."""
    c, arms, p, cost, state = (row.get(name) for name in ("c", "a", "p", _COST, "VWState"))
    if row.get("pdrop"):
        return "rows that were dropped at random (pdrop)"
    if "_outcomes" in row or (isinstance(c, dict) and "_slots" in c):
        return "decisions of several slots"
    if not isinstance(c, dict) or not isinstance(c.get("_multi"), list) or not c["_multi"]:
        return "no arms in c._multi"
    count = len(c["_multi"])
    if not isinstance(arms, list) or not isinstance(p, list) or len(p) != len(arms):
        return "no a and p of one length"
    first = 0 if 0 in arms else 1
    if any(type(arm) is not int or not first <= arm < count + first for arm in arms):
        return f"a of {str(arms)[:20]} among {count} arms"
    if len(set(arms)) < len(arms):
        return "an arm that stands twice in a"
    if not all(map(_is_number, (*p, row.get(_PROBABILITY)))):
        return "probabilities that are no numbers"
    if cost is not None and not _is_number(cost):
        return "a cost that is no number"
    if state is not None and not isinstance(state, dict):
        return "a VWState that is no object"
    names = (row.get(_ID, row.get("event_id")), (state or {}).get("m"))
    if any(name is not None and type(name) not in (str, int) for name in names):
        return "an EventId or a VWState.m that is no text"
    action = _action(row)
    return None if type(action) is int and -_LARGEST <= action <= _LARGEST else "no _labelIndex"


def _is_number(value: Any) -> bool:
    """Returns whether a JSON value is a number that float64 can hold."""
    return type(value) is float or (type(value) is int and abs(value) < _LARGEST_FLOAT)


def _action(row: Mapping[str, Any]) -> Any:
    index = row.get(COLUMN["action"].dsjson)
    return index if index is not None else row["_label_Action"] - 1 if type(row.get("_label_Action")) is int else None


def _features(
    path: Path,
    rows: list[list[Any]],
    width: int,
    numbers: list[int],
    refuse_expanded: Callable[[int], None],
) -> dict[str, np.ndarray]:
    """Returns columns `[N, width]` by name, of the features of each entry of each row.

    Args:
      path: of the file.
      rows: the entries of each row.
      width: the most entries of a row.
      numbers: of the rows' lines.
      refuse_expanded: is called with the columns that there are to be, before another one is made.
    """
    columns: dict[str, np.ndarray] = {}
    for index, entries in enumerate(rows):
        for place, entry in enumerate(entries):
            try:
                for name, value in _walk(entry, "", 0):
                    if name not in columns:
                        if len(columns) == _MAX_FEATURES:
                            what = f"{path} has more features than become columns"
                            got = f"more, in line {numbers[index]}"
                            raise SpecError(what, expected=f"at most {_MAX_FEATURES}", got=got)
                        refuse_expanded(width * (len(columns) + 1))
                        columns[name] = np.zeros((len(rows), width), np.float32)
                    columns[name][index, place] = value
            except (OverflowError, RecursionError) as error:
                what, expected = "features that are too large or nested", f"numbers, at most {_DEEPEST} levels"
                raise refusal(path, what, expected, str(error)[:60], [numbers[index]]) from error
    return dict(sorted(columns.items()))


def _walk(entry: Any, name: str, level: int) -> Iterator[tuple[str, float]]:
    if level > _DEEPEST:
        raise RecursionError(f"more than {_DEEPEST} levels")
    if isinstance(entry, dict):
        for key, child in entry.items():
            if not key.startswith("_"):  # VW's own
                yield from _walk(child, f"{name}.{key}" if name else key, level + 1)
    elif isinstance(entry, list):
        for index, child in enumerate(entry):
            yield from _walk(child, name if isinstance(child, dict) else f"{name}[{index}]", level + 1)
    elif isinstance(entry, bool | int | float):
        yield name, float(entry)
    elif isinstance(entry, str):
        yield f"{name}={entry}", 1.0


def _optional(texts: list[Any]) -> list[str] | None:
    return ["" if text is None else str(text) for text in texts] if any(text is not None for text in texts) else None


def _times(texts: list[Any]) -> np.ndarray | None:
    """Returns seconds since 1970, NaN for what is no time; None if nothing is."""
    found = np.full(len(texts), np.nan)
    for index, text in enumerate(texts):
        try:
            when = datetime.datetime.fromisoformat(text)
            found[index] = (when if when.tzinfo else when.replace(tzinfo=datetime.UTC)).timestamp()
        except (TypeError, ValueError, OverflowError):
            continue
    return None if np.isnan(found).all() else found


def _rows(decisions: Decisions) -> Iterator[dict[str, Any]]:
    contexts, features = (specs.flatten_with_path(nest) for nest in (decisions.context, decisions.arm_features))
    for index in range(len(decisions)):
        arms = np.arange(decisions.num_arms or 1)
        if decisions.eligible is not None:
            arms = arms[decisions.eligible[index]]
        action = int(np.flatnonzero(arms == decisions.action[index])[0])
        p = decisions.probabilities[index, arms].tolist()
        order = [action, *(arm for arm in range(len(arms)) if arm != action)]
        multi = [{"arm": {"id": str(arm)}} | _named(features, (index, arm)) for arm in arms]
        row: dict[str, Any] = {
            _COST: -float(decisions.reward[index]),
            _PROBABILITY: float(decisions.probability[index]),
            "_label_Action": action + 1,
            COLUMN["action"].dsjson: action,
            "Version": "1",
            _ID: str(index) if decisions.decision_id is None else str(decisions.decision_id[index]),
            "a": [arm + 1 for arm in order],
            "c": _named(contexts, (index,)) | {"_multi": multi},
            "p": [p[arm] for arm in order],
        }
        if decisions.time is not None and not np.isnan(decisions.time[index]):
            when = datetime.datetime.fromtimestamp(float(decisions.time[index]), datetime.UTC)
            row[COLUMN["time"].dsjson] = when.isoformat().replace("+00:00", "Z")
        if decisions.policy_version is not None:
            row["VWState"] = {"m": str(decisions.policy_version[index])}
        yield row


def _named(leaves: list[tuple[str, np.ndarray]], where: tuple[Any, ...]) -> dict[str, Any]:
    """Returns features in a namespace, by the names of their leaves."""
    found: dict[str, Any] = {}
    for path, leaf in leaves:
        value = leaf[where].tolist()
        name = path.strip("[]'\"").replace("']['", ".") or "x"
        scalar = isinstance(value, bool | int | float)
        found |= {name: value} if scalar else {f"{name}_{i}": v for i, v in enumerate(np.ravel(value).tolist())}
    return {"features": found} if found else {}
