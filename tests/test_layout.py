"""The house is in order: where files stand, what they are called, what they export, and what they never do."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import tokenize
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "jaxdaw"
TESTS = ROOT / "tests"
MODULES = sorted(SOURCE.rglob("*.py"))
ROOMS = sorted(path.parent for path in SOURCE.glob("*/__init__.py"))
ACROSS_ROOMS = {"conformance", "docs", "examples", "golden", "learning", "benchmarks", "scripts"}
BANNED_ARGUMENTS = {"done", "obs", "ts", "rng", "data", "kwds"}
BANNED_MODULES = {"util", "utils", "common", "helper", "helpers", "misc", "tools"}
RUNS_CODE = {"pickle", "cPickle", "cloudpickle", "dill", "joblib", "marshal", "shelve"}
SLOW_TRANSFORMATIONS = {"jit", "grad", "value_and_grad", "vmap", "scan", "Optimizer", "cached_partial"}


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def comments_of(path: Path) -> list[str]:
    with path.open("rb") as file:
        return [token.string for token in tokenize.tokenize(file.readline) if token.type == tokenize.COMMENT]


def test_modules_are_underscored_or_packages():
    allowed = {"__init__.py", "__main__.py"}
    plain = [path for path in MODULES if path.name not in allowed and not path.name.startswith("_")]
    assert plain == [SOURCE / "errors.py"]  # the ground floor: one file, imported by its name


def test_no_module_is_a_grab_bag():
    names = {path: {path.stem.strip("_"), path.parent.name} for path in [*MODULES, *TESTS.rglob("*.py")]}
    assert not [name_of(path) for path, found in names.items() if found & BANNED_MODULES]


def test_tests_mirror_the_source_file_for_file():
    strays = []
    for path in sorted(TESTS.glob("*/**/test_*.py")):
        room, *between = path.relative_to(TESTS).parts[:-1]
        stem = path.stem.removeprefix("test_")
        mirrored = SOURCE.joinpath(room, *between)
        if room not in ACROSS_ROOMS and not ((mirrored / f"_{stem}.py").is_file() or (mirrored / stem).is_dir()):
            strays.append(name_of(path))
    assert not strays


def test_every_module_that_exports_something_has_its_tests():
    untested = []
    for room in ROOMS:
        package = importlib.import_module(f"jaxdaw.{room.name}")
        prefix = f"{package.__name__}."
        values = [value for name, value in vars(package).items() if not name.startswith("_")]
        homes = {str(value.__module__) for value in values if inspect.isclass(value) or inspect.isfunction(value)}
        wanted = {
            TESTS.joinpath(room.name, *between, f"test{module}.py")
            for *between, module in (home.removeprefix(prefix).split(".") for home in homes if home.startswith(prefix))
        }
        untested += [name_of(path) for path in sorted(wanted) if not path.is_file()]
    assert not untested


@pytest.mark.parametrize("room", ROOMS, ids=name_of)
def test_exported_names_are_listed_and_documented(room: Path):
    package = importlib.import_module(f"jaxdaw.{room.name}")
    assert package.__doc__
    handed_on = [
        alias
        for node in tree_of(room / "__init__.py").body
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("jaxdaw.")
        for alias in node.names
    ]
    assert {alias.name for alias in handed_on if alias.asname is None} == set(package.__all__)
    for name in package.__all__:
        value = getattr(package, name)
        if inspect.isclass(value) or inspect.isfunction(value):
            documentation = inspect.getdoc(value) or ""
            assert documentation, name
            assert not documentation.startswith(f"{name}("), f"{name} has only the text that Python made"


@pytest.mark.parametrize("room", ROOMS, ids=name_of)
def test_names_handed_on_with_as_are_used_by_another_room(room: Path):
    hidden = {
        alias.name
        for node in tree_of(room / "__init__.py").body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
        if alias.asname is not None
    }
    others = "\n".join(path.read_text() for path in MODULES if room not in path.parents)
    assert not [name for name in sorted(hidden) if not re.search(rf"\b{name}\b", others)]


def test_rooms_use_only_what_other_rooms_hand_on():
    trespasses = []
    for path in MODULES:
        room = path.relative_to(SOURCE).parts[0]
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("jaxdaw."):
                _, owner, *inner = (node.module or "").split(".")
                private = [part for part in [*inner, *(alias.name for alias in node.names)] if part.startswith("_")]
                if owner != room and private:
                    trespasses.append(f"{name_of(path)}:{node.lineno} imports {node.module} {private}")
    assert not trespasses


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_module_never_runs_code_from_elsewhere(path: Path):
    found = []
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names if alias.name.split(".")[0] in RUNS_CODE]
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in RUNS_CODE:
            found.append(node.module)
        elif isinstance(node, ast.Call):
            if isinstance(node.func, ast.Name) and node.func.id in {"eval", "exec", "compile", "__import__"}:
                found.append(node.func.id)
            pickles = [keyword.value for keyword in node.keywords if keyword.arg == "allow_pickle"]
            found += [ast.unparse(value) for value in pickles if ast.unparse(value) != "False"]
    assert not found


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_module_keeps_nnx_out_of_compiled_code(path: Path):
    used = {
        f"nnx.{node.attr}"
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "nnx"
    }
    imported = {
        f"nnx.{alias.name}"
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("flax.nnx")
        for alias in node.names
    }
    assert not (used | imported) & {f"nnx.{name}" for name in SLOW_TRANSFORMATIONS}


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_module_speaks_the_vocabulary(path: Path):
    arguments = {
        argument.arg
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        for argument in [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
    }
    assert not arguments & BANNED_ARGUMENTS


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_comments_promise_nothing_and_silence_nothing_without_a_reason(path: Path):
    comments = comments_of(path)
    assert not [text for text in comments if re.search(r"\b(TODO|FIXME|XXX|HACK)\b", text)]
    assert not [text for text in comments if re.search(r"type: ignore(\[[\w, -]+\])?\s*$", text)]


def test_no_test_is_skipped():
    skips = re.compile(r"mark\.(skip|skipif|xfail)\b|\bimportorskip\(|\bpytest\.(skip|xfail)\(")
    paths = [path for path in sorted(TESTS.rglob("*.py")) if path != Path(__file__)]
    assert not [name_of(path) for path in paths if skips.search(path.read_text())]


@pytest.mark.parametrize("path", sorted((ROOT / "constraints").glob("*.txt")), ids=name_of)
def test_constraints_are_names_and_versions_only(path: Path):
    lines = [line for line in path.read_text().splitlines() if not line.startswith("#")]
    assert lines
    assert not [line for line in lines if not re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.+]+", line)]
