"""Demonstrations from tables with one row for each step: CSV and Parquet."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from jaxdaw import specs
from jaxdaw.data._parquet_file import arrow, column_names, read_parquet_file, texts_of
from jaxdaw.data.demonstrations._arrays import assemble
from jaxdaw.data.demonstrations._demonstrations import Demonstrations
from jaxdaw.errors import ConfigError, SpecError, StorageError
from jaxdaw.storage import opened, refuse_too_large

_ROLES = ("observation", "action", "reward", "episode", "terminated", "truncated")
_FLAGS = {"": 0, "0": 0, "false": 0, "no": 0, "1": 1, "true": 1, "yes": 1, "0.0": 0, "1.0": 1}
_INT64 = np.iinfo(np.int64)
_FLOAT32_MAX = float(np.finfo(np.float32).max)
_MAX_SHOWN = 3
_PARQUET = "a Parquet table"


def read_csv(
    path: Path, columns: Mapping[str, Any], observation_spec: Any, action_spec: Any, *, limit_bytes: int
) -> Demonstrations:
    """Returns the demonstrations of a CSV file in UTF-8, with or without a mark, its columns cut by `,`, `;` or tabs.

    The first row names the columns. Numbers are written with a point. NaN and infinity are read, and are for `check`.
    Columns of integers stay integers, all others become float32 where they fit it.

    Args:
      path: of the file.
      columns, observation_spec, action_spec, limit_bytes: as in `read_demonstrations`.

    Raises:
      StorageError: another encoding, rows of unequal length, text in place of numbers: with the numbers of the rows.
      SpecError: episodes that do not fit together.
      ConfigError: columns that the table lacks.
    """
    with opened(path) as file:
        refuse_too_large(path, file.seek(0, 2), limit_bytes)
        file.seek(0)
        contents = file.read()
    try:
        text = contents.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        row = contents[: error.start].count(b"\n") + 1
        fix = f"iconv -f latin1 -t utf8 {path.name}"
        raise StorageError(
            f"{path} is no text in UTF-8, in row {row}", expected="UTF-8", got="bytes", fix=fix
        ) from error
    header = text.partition("\n")[0]
    delimiter = max(",;\t", key=header.count)
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        names = [name.strip() for name in next(rows, [])]
        wanted = _wanted(path, columns, names)
        places = {name: names.index(name) for name in wanted}
        cells: dict[str, list[str]] = {name: [] for name in wanted}
        numbers: list[int] = []
        for row in rows:
            if not row:
                continue
            if len(row) != len(names):
                raise StorageError(
                    f"{path} is damaged in row {rows.line_num}",
                    expected=f"{len(names)} cells",
                    got=str(len(row)),
                    cause="a file that was cut short, or a text with an unquoted delimiter.",
                )
            numbers.append(rows.line_num)
            for name, place in places.items():
                cells[name].append(row[place].strip())
    except csv.Error as error:
        raise StorageError(f"{path} is damaged in row {rows.line_num}", got=str(error)) from error
    flags = {columns.get(role) for role in ("terminated", "truncated")}
    table = {
        name: np.array(column, object)
        if name == columns.get("episode")
        else _numbers(path, name, column, numbers, name in flags)
        for name, column in cells.items()
    }
    return _episodes(path, table, columns, numbers, observation_spec, action_spec)


def read_parquet(
    path: Path, columns: Mapping[str, Any], observation_spec: Any, action_spec: Any, *, limit_bytes: int
) -> Demonstrations:
    """Returns the demonstrations of a Parquet file; arguments, rules and errors are those of `read_csv`.

    Raises:
      ImportError: pyarrow is not installed.
    """
    pa = arrow(_PARQUET)
    wanted = _wanted(path, columns, column_names(path, _PARQUET))
    episode = columns.get("episode")
    file = read_parquet_file(path, limit_bytes, _PARQUET, columns=wanted, texts=[episode] if episode else [])
    read = file.table
    table = {}
    for name in wanted:
        column = read.column(name).combine_chunks()
        kind = column.type
        if name == episode and (pa.types.is_dictionary(kind) or pa.types.is_string(kind)):
            table[name] = texts_of(path, column, file.file_size, limit_bytes)
            continue
        if not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)):
            raise _no_number(path, name, f"a column of {kind}", 1)
        if column.null_count:
            first = int(np.flatnonzero(np.asarray(column.is_null()))[0]) + 1
            raise _no_number(path, name, f"{column.null_count} empty cells", first)
        found = column.to_numpy(zero_copy_only=False)
        table[name] = found if name == episode else _narrow(found)
    return _episodes(path, table, columns, np.arange(1, read.num_rows + 1), observation_spec, action_spec)


def _wanted(path: Path, columns: Mapping[str, Any], names: list[str]) -> tuple[str, ...]:
    """Returns the columns that are asked for, each once."""
    unknown = sorted(set(columns) - set(_ROLES))
    if unknown or not {"observation", "action"} <= columns.keys():
        raise ConfigError(
            "columns do not say what the columns are",
            expected="observation and action; reward, episode, terminated and truncated where there are",
            got=", ".join(map(repr, columns)) or "nothing",
            fix='columns={"observation": ["x", "v"], "action": "a", "episode": "id"}',
        )
    wanted = dict.fromkeys(specs.flatten(dict(columns)))
    absent = [name for name in wanted if name not in names]
    twice = [name for name in wanted if names.count(name) > 1]
    if absent or twice:
        got = f"no {absent[0]!r} among {', '.join(names)[:80] or 'none'}" if absent else f"{twice[0]!r} twice"
        raise ConfigError(f"{path} lacks a column", expected=", ".join(map(repr, wanted)), got=got)
    return tuple(wanted)


def _numbers(path: Path, name: str, column: list[str], rows: list[int], is_flag: bool) -> np.ndarray:
    """Returns a column as numbers: int64 if all are integers that fit."""
    if is_flag:
        found = [_FLAGS.get(cell.lower()) for cell in column]
        if None in found:
            at = found.index(None)
            raise _no_number(path, name, repr(column[at])[:40], rows[at], "true, false, 1, 0 or nothing")
        return np.array(found, bool)
    bad = []
    values: list[float | int] = []
    for cell, row in zip(column, rows, strict=True):
        value = _number(cell)
        if value is None:
            bad.append((row, cell))
        else:
            values.append(value)
    if bad:
        where = ", ".join(str(row) for row, _ in bad[:_MAX_SHOWN]) + (", ..." if len(bad) > _MAX_SHOWN else "")
        raise _no_number(path, name, f"{bad[0][1]!r}"[:40] + f" and {len(bad) - 1} more" * (len(bad) > 1), where)
    if all(isinstance(value, int) for value in values):
        return np.array(values, np.int64)
    return _narrow(np.array([float(value) for value in values], np.float64))


def _number(cell: str) -> int | float | None:
    """Returns the number that a cell holds; None for text, Python's `1_000` among it."""
    if "_" in cell:
        return None
    try:
        number = int(cell)
        if _INT64.min <= number <= _INT64.max:
            return number
    except ValueError:
        pass
    try:
        return float(cell)
    except ValueError:
        return None


def _narrow(values: np.ndarray) -> np.ndarray:
    """Returns 64-bit floats as float32 if all fit: nothing computes with more. Others stay, and are for `check`."""
    fits = values.dtype == np.float64 and not np.any(np.isfinite(values) & (np.abs(values) > _FLOAT32_MAX))
    return values.astype(np.float32) if fits else values


def _no_number(path: Path, name: str, got: str, row: Any, expected: str = "numbers") -> StorageError:
    return StorageError(
        f"{path}: column {name!r} holds something else than numbers in row {row}",
        expected=expected,
        got=got,
        cause="text, an empty cell, a formula, a decimal comma, or rows that slipped.",
        fix="mend these rows, or leave their episodes out",
    )


def _episodes(
    path: Path,
    table: Mapping[str, np.ndarray],
    columns: Mapping[str, Any],
    rows: Any,
    observation_spec: Any,
    action_spec: Any,
) -> Demonstrations:
    steps = len(rows)
    if not steps:
        raise StorageError(f"{path} holds no rows", expected="one for each step", got="0")
    flags = {role: table[columns[role]] for role in ("terminated", "truncated") if role in columns}
    ends = None
    if "episode" in columns:
        ends = _episode_ends(path, columns["episode"], table[columns["episode"]], rows)
    try:
        return assemble(
            _nest(columns["observation"], table),
            _nest(columns["action"], table),
            table[columns["reward"]] if "reward" in columns else None,
            flags.get("terminated"),
            flags.get("truncated"),
            episode_ends=ends,
            observation_spec=observation_spec,
            action_spec=action_spec,
            metadata={"source": path.name},
        )
    except SpecError as error:
        raise type(error)(f"{path}: {error}") from error


def _episode_ends(path: Path, name: str, ids: np.ndarray, rows: Any) -> np.ndarray:
    changes = np.flatnonzero(ids[1:] != ids[:-1]) + 1
    starts = [0, *changes.tolist()]
    seen: dict[Any, int] = {}
    for start in starts:
        if ids[start] in seen:
            raise StorageError(
                f"{path}: episode {ids[start]!r} of column {name!r} goes on in row {rows[start]}, after another one",
                expected="the rows of an episode one after the other, each id once",
                got=f"rows {rows[seen[ids[start]]]} and {rows[start]}",
                cause="two recordings in one file that number their episodes alike, or rows that were sorted.",
                fix="sort by file and episode, and number the episodes anew",
            )
        seen[ids[start]] = start
    return np.array([*changes.tolist(), len(ids)], np.int64)


def _nest(names: Any, table: Mapping[str, np.ndarray]) -> Any:
    """Returns the arrays of a nest of names, in which a list stands for one array of several columns."""
    if isinstance(names, str):
        return table[names]
    if isinstance(names, Mapping):
        return {key: _nest(child, table) for key, child in names.items()}
    if isinstance(names, tuple):
        return tuple(_nest(child, table) for child in names)
    return np.stack([table[name] for name in _texts(names)], axis=-1)


def _texts(names: Any) -> Iterator[str]:
    for name in names:
        if not isinstance(name, str):
            fix = '{"position": ["x", "y"], "speed": "v"}'
            raise ConfigError("a list of columns holds something else", expected="names", got=repr(name)[:40], fix=fix)
        yield name
