"""Decisions as Parquet, with the specs in the metadata of each file, so that each can be read by itself.

A nest has one column for each leaf, named by its path: `context['age']`. Arrays are lists of a fixed size. Needs the
extra `parquet`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from jaxdaw import specs
from jaxdaw.data._parquet_file import arrow, read_parquet_file, texts_of
from jaxdaw.data.decisions._columns import COLUMN, TEXT, names_of, rename_hint
from jaxdaw.data.decisions._decisions import MAX_ARMS, Decisions
from jaxdaw.data.decisions._jsonl import Shape
from jaxdaw.data.decisions._outcomes import OutcomeTable, empty_table
from jaxdaw.errors import StorageError
from jaxdaw.storage import damaged, parse_json

_KEY = b"jaxdaw"
PURPOSE = "a Parquet log"
_PER_ARM = (*names_of("bool", per_arm=True), *names_of("float64", per_arm=True))
_NESTS = (*names_of("nest"), *names_of("nest", per_arm=True))
_OUTCOMES = ("decision_id", "reward", "time")


def write_parquet_decisions(file: BinaryIO, decisions: Decisions) -> None:
    """Writes decisions; `read_parquet` gives them back with their dtypes."""
    pa = arrow(PURPOSE)
    columns: dict[str, Any] = {"action": pa.array(decisions.action)}
    for name in names_of("float64"):
        column = getattr(decisions, name)
        if column is not None:
            columns[name] = pa.array(column, from_pandas=True)  # NaN becomes null
    for name in names_of("text"):
        column = getattr(decisions, name)
        if column is not None:
            columns[name] = pa.array(column.tolist(), pa.string())
    for name in _PER_ARM:
        if getattr(decisions, name) is not None:
            columns[name] = _lists(pa, getattr(decisions, name))
    for name in _NESTS:
        for path, leaf in specs.flatten_with_path(getattr(decisions, name)):
            columns[f"{name}{path}"] = _lists(pa, leaf)
    about = {
        "num_arms": decisions.num_arms,
        "context": specs.to_json(decisions.context_spec),
        "arm_features": specs.to_json(decisions.arm_features_spec),
    }
    table = pa.table(columns).replace_schema_metadata({_KEY: json.dumps(about)})
    pa.parquet.write_table(table, file, write_page_checksum=True)


def write_parquet_outcomes(file: BinaryIO, table: OutcomeTable) -> None:
    """Writes outcomes."""
    pa = arrow(PURPOSE)
    columns = {"decision_id": pa.array(table.decision_id.tolist(), pa.string()), "reward": pa.array(table.reward)}
    if table.time is not None:
        columns["time"] = pa.array(table.time, from_pandas=True)
    pa.parquet.write_table(pa.table(columns), file, write_page_checksum=True)


def read_parquet(path: Path, shape: Shape, limit_bytes: int) -> tuple[Decisions, OutcomeTable]:
    """Returns what a file holds: decisions if it has a column `action`, outcomes if not.

    Raises:
      ImportError: pyarrow is not installed.
      StorageError: no whole Parquet file, columns of other types, or none of the columns that are needed.
    """
    pa = arrow(PURPOSE)
    file = read_parquet_file(path, limit_bytes, PURPOSE, texts=names_of("text"))
    found, names = file.table, file.table.column_names

    def texts(name: str) -> np.ndarray:
        kind, column = found.schema.field(name).type, found.column(name)
        is_text = pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_dictionary(kind)
        if not is_text or column.null_count or (pa.types.is_dictionary(kind) and not _is_text(pa, kind.value_type)):
            raise _refusal(path, name, "text in every row", kind)
        return np.array(texts_of(path, column, file.file_size, limit_bytes), TEXT)

    if "action" not in names:
        if not {"decision_id", "reward"} <= set(names):
            expected = "action, or decision_id and reward"
            raise StorageError(f"{path} holds no decisions", expected=expected, got=", ".join(names)[:80])
        _refuse_unknown(path, names, _OUTCOMES)
        time = _floats(pa, path, found, "time") if "time" in names else None
        table = OutcomeTable(texts("decision_id"), _floats(pa, path, found, "reward"), time)
        return Decisions(np.zeros(0, np.int64), num_arms=shape.num_arms or 1), table
    try:
        about = parse_json(file.metadata.get(_KEY, b"{}"))
        context_spec, features_spec = (specs.from_json(about[name]) if name in about else None for name in _NESTS)
        num_arms = shape.num_arms or about.get("num_arms")
        if num_arms is not None and (type(num_arms) is not int or not 1 <= num_arms <= MAX_ARMS):
            raise ValueError(f"{num_arms!r} arms")
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        raise damaged(path, "specs in its metadata", str(error)[:80]) from error
    if context_spec is None:
        _refuse_unknown(path, names, COLUMN, [f"{name}." for name in _NESTS])
    if not pa.types.is_integer(found.schema.field("action").type) or found.column("action").null_count:
        raise _refusal(path, "action", "an integer in every row", found.schema.field("action").type)
    columns: dict[str, Any] = {"action": found.column("action").to_numpy()}
    columns |= {name: _floats(pa, path, found, name) for name in names_of("float64") if name in names}
    columns |= {name: texts(name) for name in names_of("text") if name in names}
    for name in _PER_ARM:
        if name in names:
            column = _array(pa, path, found, name)
            if column.ndim != 2:
                raise _refusal(path, name, "a list with one entry an arm", found.schema.field(name).type)
            columns[name] = column.astype(COLUMN[name].numpy_dtype)
    widths = [columns[name].shape[1] for name in _PER_ARM if name in columns]
    num_arms = num_arms or max(int(columns["action"].max(initial=0)) + 1, *widths, 1)
    context_spec = shape.context_spec if context_spec is None else context_spec
    columns["context"] = _nest(pa, path, found, "context", context_spec, ())
    features = shape.arm_features_spec if features_spec is None else features_spec
    columns["arm_features"] = _nest(pa, path, found, "arm_features", features, (num_arms,))
    return Decisions(**columns, num_arms=num_arms), empty_table()


def _is_text(pa: Any, kind: Any) -> bool:
    return pa.types.is_string(kind) or pa.types.is_large_string(kind)


def _refuse_unknown(path: Path, names: Iterable[str], known: Collection[str], starts: Sequence[str] = ()) -> None:
    unknown = [name for name in names if name not in known and not name.startswith(tuple(starts))]
    if unknown:
        raise StorageError(
            f"{path} has unknown columns",
            expected=", ".join(known),
            got=", ".join(name[:40] for name in unknown[:3]),
            cause="a log of another program, or one column too many.",
            fix=rename_hint(unknown) or "leave them out: pyarrow.parquet.read_table(path, columns=[...])",
        )


def _lists(pa: Any, leaf: np.ndarray) -> Any:
    if leaf.ndim == 1:
        return pa.array(leaf)
    size = int(np.prod(leaf.shape[1:]))
    return pa.FixedSizeListArray.from_arrays(pa.array(np.ascontiguousarray(leaf).reshape(-1)), size)


def _floats(pa: Any, path: Path, found: Any, name: str) -> np.ndarray:
    kind = found.schema.field(name).type
    if not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_null(kind)):
        raise _refusal(path, name, "numbers", kind)
    column = found.column(name).cast(pa.float64()).to_numpy()
    return np.array(column, np.float64)


def _array(pa: Any, path: Path, found: Any, name: str) -> np.ndarray:
    """Returns a column of numbers, or of lists that are all as long, as `[N]` or `[N, size]`."""
    column = found.column(name).combine_chunks()
    kind = column.type
    nested = pa.types.is_fixed_size_list(kind) or pa.types.is_list(kind) or pa.types.is_large_list(kind)
    leaf = kind.value_type if nested else kind
    number = pa.types.is_integer(leaf) or pa.types.is_floating(leaf) or pa.types.is_boolean(leaf)
    if not number or column.null_count:
        raise _refusal(path, name, "numbers, or lists of numbers, in every row", kind)
    if not nested:
        return column.to_numpy(zero_copy_only=False)
    values = column.flatten()
    size = len(values) // max(len(column), 1)
    lengths = (
        np.full(1, size) if pa.types.is_fixed_size_list(kind) else np.asarray(pa.compute.list_value_length(column))
    )
    ragged = bool((lengths != size).any())
    if ragged or values.null_count:
        raise _refusal(path, name, "lists of one length, without empty cells", kind)
    return values.to_numpy(zero_copy_only=False).reshape(len(column), size)


def _nest(pa: Any, path: Path, found: Any, name: str, spec: Any, outer: tuple[int, ...]) -> Any:
    count = found.num_rows
    if spec is None:  # of another writer: a column, or several named `context.x`
        names = [column for column in found.column_names if column == name or column.startswith(f"{name}.")]
        nest = {column.removeprefix(f"{name}."): _array(pa, path, found, column) for column in names}
        for key, leaf in nest.items():
            if outer and (leaf.ndim != 2 or leaf.shape[1] % outer[0]):
                raise _refusal(path, key, f"a list with as many numbers for each of {outer[0]} arms", leaf.dtype)
        nest = {key: leaf.reshape(count, *outer, -1) if outer else leaf for key, leaf in nest.items()}
        return nest.get(name, nest) if nest else ()
    leaves = []
    for leaf_path, leaf in specs.flatten_with_path(spec):
        column = f"{name}{leaf_path}"
        if column not in found.column_names:
            raise damaged(path, f"a column {column}", ", ".join(found.column_names)[:80])
        values = _array(pa, path, found, column)
        if values.size != count * math.prod((*outer, *leaf.shape)):
            raise damaged(path, f"{leaf.shape} in {column}", str(values.shape[1:]))
        leaves.append(values.astype(leaf.dtype, copy=False).reshape(count, *outer, *leaf.shape))
    return specs.pack_like(spec, leaves)


def _refusal(path: Path, name: str, expected: str, kind: Any) -> StorageError:
    return StorageError(
        f"{path}: column {name!r} holds something else",
        expected=expected,
        got=f"a column of {kind}",
        cause="empty cells, or a column of mixed types that was written as text.",
    )
