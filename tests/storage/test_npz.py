"""Archives: NumPy writes what we read, and reads what we write."""

from __future__ import annotations

import contextlib
import gc
import io
import sys
import tempfile
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from jaxdaw.errors import StorageError
from jaxdaw.storage import map_npz, member_names, opened, read_npz, verify_npz, write_npz

ARRAYS = {"a": np.arange(12.0).reshape(3, 4), "b": np.zeros((0, 2), np.int8), "c": np.array(True)}


def written(path: Path, arrays: dict[str, np.ndarray]) -> Path:
    with path.open("w+b") as file:
        write_npz(file, arrays)
    return path


@given(hnp.arrays(st.sampled_from(["f4", "i8", "u1", "?"]), hnp.array_shapes(min_dims=0, min_side=0)))
def test_numpy_reads_what_write_npz_wrote(array: np.ndarray):
    file = io.BytesIO()
    write_npz(file, {"x": array, "yy": array})
    file.seek(0)
    with np.load(file, allow_pickle=False) as loaded:
        for name in ("x", "yy"):
            assert loaded[name].dtype == array.dtype
            np.testing.assert_array_equal(loaded[name], array)


def test_map_npz_gives_aligned_read_only_views(tmp_path: Path):
    arrays = map_npz(written(tmp_path / "x.npz", ARRAYS))
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(arrays[name], array)
    assert arrays["a"].__array_interface__["data"][0] % 64 == 0
    with pytest.raises(ValueError, match="read-only"):
        arrays["a"][0, 0] = 1


def test_map_npz_takes_what_numpy_wrote(tmp_path: Path):
    np.savez(tmp_path / "x.npz", fortran=np.asfortranarray(ARRAYS["a"]), **ARRAYS)  # type: ignore[arg-type]  # names
    arrays = map_npz(tmp_path / "x.npz")
    np.testing.assert_array_equal(arrays["fortran"], ARRAYS["a"])
    np.testing.assert_array_equal(arrays["a"], ARRAYS["a"])


class SlowToForget:
    """Lets another thread in whenever the garbage collector runs, as an object does whose `__del__` reads a file."""

    def __init__(self) -> None:
        self.myself = self

    def __del__(self) -> None:
        with open(__file__, "rb"):
            pass


def test_sound_files_are_read_in_many_threads(tmp_path: Path):
    with (tmp_path / "a.npz").open("w+b") as file:
        write_npz(file, {f"a{index}": np.full(3, index) for index in range(20)})

    def read(_: int) -> float:
        SlowToForget()
        return sum(array.sum() for array in map_npz(tmp_path / "a.npz").values())

    interval, threshold = sys.getswitchinterval(), gc.get_threshold()
    sys.setswitchinterval(1e-6)
    gc.set_threshold(50)
    try:
        with ThreadPoolExecutor(4) as threads:
            assert set(threads.map(read, range(300))) == {3 * sum(range(20))}
    finally:
        sys.setswitchinterval(interval)
        gc.set_threshold(*threshold)


def test_map_npz_refuses_what_cannot_be_mapped(tmp_path: Path):
    np.savez_compressed(tmp_path / "x.npz", a=ARRAYS["a"])
    with pytest.raises(StorageError, match="a is compressed"):
        map_npz(tmp_path / "x.npz")


@pytest.mark.parametrize("compressed", [True, False])
def test_read_npz_takes_the_members_asked_for(compressed: bool, tmp_path: Path):
    infos = np.array([{}, {"a": 1}], dtype=object)
    (np.savez_compressed if compressed else np.savez)(tmp_path / "x.npz", infos=infos, **ARRAYS)  # type: ignore[arg-type]  # names
    assert member_names(tmp_path / "x.npz") == {"infos", *ARRAYS}
    arrays = read_npz(tmp_path / "x.npz", ("a", "c", "absent"), 1000)
    assert arrays.keys() == {"a", "c"}
    np.testing.assert_array_equal(arrays["a"], ARRAYS["a"])


def test_python_objects_are_refused(tmp_path: Path):
    np.savez(tmp_path / "x.npz", a=np.array([{}], dtype=object))
    for read in (map_npz, lambda path: read_npz(path, ("a",), 1000)):
        with pytest.raises(StorageError, match=r"holds Python objects in a, which are never loaded(.|\n)*dtype object"):
            read(tmp_path / "x.npz")


def test_more_than_the_limit_is_refused_before_it_is_read(tmp_path: Path):
    np.savez_compressed(tmp_path / "bomb.npz", a=np.zeros(10**7))  # 80 MB in some 80 kB
    assert (tmp_path / "bomb.npz").stat().st_size < 10**6
    with pytest.raises(StorageError, match=r"at most 1,000,000 bytes.*80,000,128 bytes"):
        read_npz(tmp_path / "bomb.npz", ("a",), 10**6)


@pytest.mark.parametrize("kept", [0, 1, 10, 100, 300])
def test_a_truncated_archive_is_named(kept: int, tmp_path: Path):
    path = tmp_path / "x.npz"
    np.savez(path, a=ARRAYS["a"])
    path.write_bytes(path.read_bytes()[:kept])
    for read in (map_npz, lambda path: read_npz(path, ("a",), 1000), member_names):
        with pytest.raises(StorageError, match=r"x\.npz is truncated or damaged"):
            read(path)


def test_a_header_that_promises_more_than_there_is_is_refused(tmp_path: Path):
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"descr": "<f8", "fortran_order": False, "shape": (10**15,)})
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as archive:
        archive.writestr("a.npy", buffer.getvalue() + b"\0" * 8)
    for read in (map_npz, lambda path: read_npz(path, ("a",), 10**6)):
        with pytest.raises(StorageError, match="truncated or damaged"):
            read(tmp_path / "x.npz")


def test_a_flipped_bit_in_a_compressed_member_is_found(tmp_path: Path):
    path = tmp_path / "x.npz"
    np.savez_compressed(path, a=np.random.default_rng(0).normal(size=1000))
    contents = bytearray(path.read_bytes())
    contents[2000] ^= 1
    path.write_bytes(contents)
    with pytest.raises(StorageError, match="truncated or damaged"):
        read_npz(path, ("a",), 10**6)


def test_what_is_no_file_is_refused(tmp_path: Path):
    for path in (tmp_path, tmp_path / "absent", Path("/dev/null")):
        with pytest.raises(StorageError, match="cannot read"), opened(path):
            pass


def test_a_flipped_bit_in_a_member_that_is_not_compressed_is_found(tmp_path: Path):
    path = tmp_path / "x.npz"
    np.savez(path, a=np.random.default_rng(0).normal(size=1000))
    contents = bytearray(path.read_bytes())
    contents[2000] ^= 1
    path.write_bytes(contents)
    for read in (lambda path: read_npz(path, ("a",), 10**6), verify_npz):
        with pytest.raises(StorageError, match="the array a, as its CRC-32 tells it"):
            read(path)


@pytest.mark.parametrize("dtype", [">f4", "<f8", "u1"])
def test_read_npz_gives_aligned_arrays_of_any_layout(dtype: str, tmp_path: Path):
    array = np.arange(35).reshape(5, 7).astype(dtype)
    np.savez(tmp_path / "x.npz", a=array, b=np.asfortranarray(array), c=array[:0])
    found = read_npz(tmp_path / "x.npz", ("a", "b", "c"), 10**6)
    for name, wanted in (("a", array), ("b", array), ("c", array[:0])):
        assert found[name].dtype == array.dtype
        assert found[name].flags.aligned
        np.testing.assert_array_equal(found[name], wanted)


def archive_of(path: Path, header: str, contents: bytes = b"\0" * 8) -> Path:
    """Writes an NPZ of one array `a` whose header is any text."""
    text = header.encode("latin1") + b"\n"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.npy", b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + contents)
    return path


@pytest.mark.parametrize(
    "header",
    [
        "",
        "(" * 9_000,
        "{'descr': '<f8', 'fortran_order': False, 'shape': (1",
        "{'descr': '<f8', 'fortran_order': False, 'shape': (-1,)}",
        "{'descr': '<f8', 'fortran_order': False, 'shape': (-1, -1)}",
        "{'descr': '<f8', 'fortran_order': False, 'shape': (True,)}",
        "{'descr': '<f8', 'fortran_order': False, 'shape': (1.0,)}",
        "{'descr': '<f8', 'fortran_order': False, 'shape': (" + "9" * 400 + ",)}",
        "{'descr': '<f8', 'fortran_order': False, 'shape': (0, 1000000000000000000)}",
        "{'descr': '<f8', 'fortran_order': False, 'shape': (" + "1," * 60 + ")}",
        "{'descr': '<U0', 'fortran_order': False, 'shape': (1000000000000,)}",
        "{'descr': '|V0', 'fortran_order': False, 'shape': (1000000000000,)}",
        "{'descr': '<U999999999', 'fortran_order': False, 'shape': (1,)}",
        "{'descr': [('x', '<f8', (1000000000,))], 'fortran_order': False, 'shape': (1,)}",
        "{'descr': [('x', '<f8')] * 2, 'fortran_order': False, 'shape': (1,)}",
        "{'descr': 7, 'fortran_order': False, 'shape': (1,)}",
        "{'descr': '<f8', 'fortran_order': 1, 'shape': (1,)}",
        "{'descr': '<f8', 'shape': (1,)}",
        "{'descr': '<f8', 'fortran_order': False, 'shape': (1L,)}\0",
        "'" * 3 + "\\",
        "{'a'\n  'b",
    ],
)
def test_headers_of_any_text_are_refused(header: str, tmp_path: Path):
    archive_of(tmp_path / "x.npz", header)
    for read in (map_npz, lambda path: read_npz(path, ("a",), 10**9)):
        with pytest.raises(StorageError, match=r"x\.npz"):
            read(tmp_path / "x.npz")


def test_a_name_that_is_there_twice_is_refused(tmp_path: Path):
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as archive:
        archive.writestr("a.npy", b"")
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("a.npy", b"")
    with pytest.raises(StorageError, match="there twice"):
        map_npz(tmp_path / "x.npz")


@given(st.data(), st.booleans())
def test_damage_at_any_place_is_a_storage_error(drawn, compressed: bool):
    buffer = io.BytesIO()
    (np.savez_compressed if compressed else np.savez)(buffer, **ARRAYS)  # type: ignore[arg-type]  # names
    contents = bytearray(buffer.getvalue())
    for _ in range(drawn.draw(st.integers(1, 4))):
        place = drawn.draw(st.integers(0, len(contents) - 1))
        contents[place] = drawn.draw(st.sampled_from([0, 1, 7, 0x7F, 0x80, 0xFF]))
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "x.npz"
        path.write_bytes(contents)
        for read in (map_npz, verify_npz, member_names, lambda path: read_npz(path, tuple(ARRAYS), 10**6)):
            with contextlib.suppress(StorageError):
                read(path)
