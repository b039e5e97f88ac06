"""The pages say what is so: their Python runs, their links lead somewhere, their tests exist.

Blocks marked `python` run, top to bottom, in one namespace for each page. Blocks marked `py` are shown only.
"""

from __future__ import annotations

import ast
import doctest
import re
from pathlib import Path
from typing import Any

import pytest

import jaxdaw
from jaxdaw.training import ALGORITHMS, Algorithm, ReinforceConfig

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted(path for path in DOCS.rglob("*.md") if "_build" not in path.parts)
PAGES += [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"]
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\((?!http|#|mailto)([^)#\s]+)(?:#[^)]*)?\)")
_PLACE = re.compile(r"`((?:tests|src)/[\w/.]+\.py)(?:::(\w+))?`")


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def blocks_of(page: Path, language: str) -> list[str]:
    return [code for kind, code in _BLOCK.findall(page.read_text()) if kind == language]


@pytest.mark.parametrize("page", [page for page in PAGES if blocks_of(page, "python")], ids=name_of)
def test_examples_run(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, Any] = {"__name__": "page"}
    for number, code in enumerate(blocks_of(page, "python")):
        code = re.sub(
            r"steps=(\d+)_000", lambda steps: f"steps={int(steps[1]) * 40}", code
        )  # enough to see that it runs
        if ">>>" in code:
            example = doctest.DocTestParser().get_doctest(code, namespace, f"{page.name}[{number}]", str(page), 0)
            runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
            assert runner.run(example, clear_globs=False).failed == 0
            namespace.update(example.globs)
        else:
            exec(compile(code, f"{page}[{number}]", "exec"), namespace)


@pytest.mark.parametrize("page", [page for page in PAGES if blocks_of(page, "py")], ids=name_of)
def test_shown_code_is_python(page: Path):
    for code in blocks_of(page, "py"):
        ast.parse(code)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_to_files(page: Path):
    missing = [link for link in _LINK.findall(page.read_text()) if not (page.parent / link).exists()]
    assert not missing


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_tests_and_sources_that_a_page_names_exist(page: Path):
    missing = []
    for path, name in _PLACE.findall(page.read_text()):
        file = ROOT / path
        defined = rf"^\s*(def|class) {name}\b|^{name}\b.*="
        if not file.is_file() or (name and not re.search(defined, file.read_text(), re.MULTILINE)):
            missing.append(f"{path}::{name}")
    assert not missing


def test_the_readme_lists_the_algorithms_that_there_are():
    rows = re.findall(r"^\| `(\w+)` \| (\w+) \| (.+) \|$", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert rows == [(name, row.learns_from, row.summary) for name, row in ALGORITHMS.items()]


def test_the_recipe_shows_the_row_that_there_is():
    (shown,) = [code for code in blocks_of(ROOT / "CONTRIBUTING.md", "py") if code.startswith("ALGORITHMS = ")]
    namespace: dict[str, Any] = {"Algorithm": Algorithm, "ReinforceConfig": ReinforceConfig}
    exec(shown, namespace)
    assert namespace["ALGORITHMS"] == {"reinforce": ALGORITHMS["reinforce"]}


def test_every_public_package_has_a_page_that_lists_it():
    listed = {
        page.stem: re.findall(r"automodule:: jaxdaw\.(\w+)", page.read_text()) for page in (DOCS / "api").glob("*.md")
    }
    assert {name for name, modules in listed.items() if modules} == set(jaxdaw._ROOMS)
    assert all(modules == [name] for name, modules in listed.items() if modules)


def test_every_page_is_in_the_table_of_contents():
    listed = {DOCS / "index.md"}
    for page in PAGES:
        for entries in re.findall(r"^```{toctree}\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL):
            names = [line for line in entries.splitlines() if line and not line.startswith(":")]
            listed |= {page.parent / f"{name}.md" for name in names}
    assert {page for page in PAGES if page.is_relative_to(DOCS)} == listed


def test_rows_that_a_test_names_exist():
    """A test that departs from a reference number says so: `docs/differences.md, "name of the row"`."""
    page = (DOCS / "differences.md").read_text()
    named = {
        name
        for path in sorted((ROOT / "tests").rglob("*.py"))
        for name in re.findall(r'docs/differences\.md, "([^"]+)"', path.read_text())
        if path != Path(__file__)
    }
    assert named
    assert not [name for name in sorted(named) if f"| {name} |" not in page]


def test_decisions_are_numbered_without_gaps():
    numbers = [int(path.name[:4]) for path in sorted((DOCS / "decisions").glob("[0-9]*.md"))]
    assert numbers == list(range(1, len(numbers) + 1))


def test_decisions_have_the_same_four_sections():
    for path in sorted((DOCS / "decisions").glob("[0-9]*.md")):
        headings = re.findall(r"^## (.+)$", path.read_text(), re.MULTILINE)
        assert headings == ["Context", "Choice", "Alternatives", "Consequences"], path.name
