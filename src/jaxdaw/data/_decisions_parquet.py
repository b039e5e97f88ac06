"""Decisions as Parquet: a column each, with the specs in the file's metadata, so that each file stands alone.

A nest has one column for each leaf, named by its path: `context['age']`. Arrays are lists of a fixed size. Needs the
extra `parquet`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from jaxdaw import specs
from jaxdaw.data._decisions import Decisions
from jaxdaw.data._decisions_jsonl import Shape
from jaxdaw.data._outcomes import OutcomeTable, empty_table
from jaxdaw.errors import StorageError, missing_extra
from jaxdaw.storage import damaged, opened, refuse_too_large

_KEY = b"jaxdaw"
_TEXTS = ("decision_id", "policy_version")
_FLOATS = ("reward", "probability", "time")


def arrow(purpose: str = "a Parquet log") -> Any:
    """Returns pyarrow with its `parquet`.

    Raises:
      ImportError: it is not installed.
    """
    try:
        import pyarrow
        import pyarrow.compute
        import pyarrow.parquet  # so that `pyarrow.parquet` is there
    except ImportError:
        raise missing_extra("pyarrow", "parquet", purpose) from None
    return pyarrow


def write_parquet_decisions(file: BinaryIO, decisions: Decisions) -> None:
    """Writes decisions; `read_parquet` gives them back with their dtypes."""
    pa = arrow()
    columns: dict[str, Any] = {"action": pa.array(decisions.action)}
    for name in (*_FLOATS, *_TEXTS):
        column = getattr(decisions, name)
        if column is not None:
            columns[name] = pa.array(column, from_pandas=True)  # NaN becomes null
    for name in ("eligible", "probabilities"):
        if getattr(decisions, name) is not None:
            columns[name] = _lists(pa, getattr(decisions, name))
    for name in ("context", "arm_features"):
        for path, leaf in specs.flatten_with_path(getattr(decisions, name)):
            columns[f"{name}{path}"] = _lists(pa, leaf)
    about = {
        "num_arms": decisions.num_arms,
        "context": specs.to_json(decisions.context_spec),
        "arm_features": specs.to_json(decisions.arm_features_spec),
    }
    pa.parquet.write_table(pa.table(columns).replace_schema_metadata({_KEY: json.dumps(about)}), file)


def write_parquet_outcomes(file: BinaryIO, table: OutcomeTable) -> None:
    """Writes outcomes."""
    pa = arrow()
    columns = {"decision_id": pa.array(table.decision_id), "reward": pa.array(table.reward)}
    if table.time is not None:
        columns["time"] = pa.array(table.time, from_pandas=True)
    pa.parquet.write_table(pa.table(columns), file)


def read_parquet(path: Path, shape: Shape, limit_bytes: int) -> tuple[Decisions, OutcomeTable]:
    """Returns what a file holds: decisions if it has a column `action`, outcomes if not.

    Raises:
      ImportError: pyarrow is not installed.
      StorageError: no whole Parquet file, columns of other types, or none of the columns that are needed.
    """
    pa = arrow()
    try:
        with opened(path) as source, pa.parquet.ParquetFile(source) as file:
            groups = [file.metadata.row_group(index) for index in range(file.metadata.num_row_groups)]
            refuse_too_large(path, sum(group.total_byte_size for group in groups), limit_bytes)
            found = file.read()
            metadata = file.schema_arrow.metadata or {}
    except (pa.ArrowException, OSError, ValueError) as error:
        if isinstance(error, StorageError):
            raise
        raise damaged(path, "a whole Parquet file", str(error).split("\n")[0][:80]) from error
    names = found.column_names
    if "action" not in names:
        if not {"decision_id", "reward"} <= set(names):
            expected = "action, or decision_id and reward"
            raise StorageError(f"{path} holds no decisions", expected=expected, got=", ".join(names)[:80])
        time = _floats(pa, path, found, "time") if "time" in names else None
        table = OutcomeTable(_texts(pa, path, found, "decision_id"), _floats(pa, path, found, "reward"), time)
        return Decisions(np.zeros(0, np.int64), num_arms=shape.num_arms or 1), table
    try:
        about = json.loads(metadata.get(_KEY, b"{}"))
        context_spec, features_spec = (
            specs.from_json(about[name]) if name in about else None for name in ("context", "arm_features")
        )
        num_arms = shape.num_arms or about.get("num_arms")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise damaged(path, "specs in its metadata", str(error)[:80]) from error
    if not pa.types.is_integer(found.schema.field("action").type) or found.column("action").null_count:
        raise _refusal(path, "action", "an integer in every row", found.schema.field("action").type)
    columns: dict[str, Any] = {"action": found.column("action").to_numpy()}
    columns |= {name: _floats(pa, path, found, name) for name in _FLOATS if name in names}
    columns |= {name: _texts(pa, path, found, name) for name in _TEXTS if name in names}
    for name, dtype in (("eligible", np.bool_), ("probabilities", np.float64)):
        if name in names:
            columns[name] = _array(pa, path, found, name).astype(dtype)
    widths = [columns[name].shape[1] for name in ("eligible", "probabilities") if name in columns]
    num_arms = num_arms or max(int(columns["action"].max(initial=0)) + 1, *widths, 1)
    context_spec = shape.context_spec if context_spec is None else context_spec
    columns["context"] = _nest(pa, path, found, "context", context_spec, ())
    features = shape.arm_features_spec if features_spec is None else features_spec
    columns["arm_features"] = _nest(pa, path, found, "arm_features", features, (num_arms,))
    return Decisions(**columns, num_arms=num_arms), empty_table()


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


def _texts(pa: Any, path: Path, found: Any, name: str) -> np.ndarray:
    kind, column = found.schema.field(name).type, found.column(name)
    is_text = pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_dictionary(kind)
    if not is_text or column.null_count:
        raise _refusal(path, name, "text in every row", kind)
    return np.array(column.cast(pa.string()).to_numpy(zero_copy_only=False), np.str_).reshape(-1)


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
        nest = {key: leaf.reshape(count, *outer, -1) if outer else leaf for key, leaf in nest.items()}
        return nest.get(name, nest) if nest else ()
    leaves = []
    for leaf_path, leaf in specs.flatten_with_path(spec):
        column = f"{name}{leaf_path}"
        if column not in found.column_names:
            raise damaged(path, f"a column {column}", ", ".join(found.column_names)[:80])
        values = _array(pa, path, found, column)
        if values.size != count * int(np.prod((*outer, *leaf.shape))):
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
