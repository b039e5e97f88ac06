"""Prints how much source a reader of one class or function reaches by its imports: a number to watch, without a limit.

Modules are followed from name to name: those that define what is used. Told are their raw lines, docstrings and blanks
included; their lines of code alone; and what Python loads along the way.

    python scripts/reach.py jaxdaw.agents.DqnAgent jaxdaw.training.train
"""

from __future__ import annotations

import argparse
import ast
import io
import tokenize
from functools import cache
from pathlib import Path

SOURCE = Path(__file__).parent.parent / "src"
_LAYOUT = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}


@cache
def file_of(module: str) -> Path | None:
    """Returns the file of a dotted name if it is a module of this source tree."""
    base = SOURCE.joinpath(*module.split("."))
    return next((path for path in (base / "__init__.py", base.with_suffix(".py")) if path.is_file()), None)


@cache
def tree_of(module: str) -> ast.Module:
    """Returns a module's syntax tree."""
    path = file_of(module)
    assert path is not None, module
    return ast.parse(path.read_text())


def imports_of(module: str, when_loaded: bool = False) -> list[tuple[str, str | None, str]]:
    """Returns what a module imports from this source tree, as (module, name or None, bound as).

    Args:
      module: dotted.
      when_loaded: only what loading the module runs; otherwise imports inside functions and under `if` too.
    """
    found = []
    for node in tree_of(module).body if when_loaded else ast.walk(tree_of(module)):
        if isinstance(node, ast.ImportFrom) and node.module and file_of(node.module):
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                bound = alias.asname or alias.name
                found.append((inner, None, bound) if file_of(inner) else (node.module, alias.name, bound))
        elif isinstance(node, ast.Import):
            found += [(alias.name, None, alias.asname or alias.name) for alias in node.names if file_of(alias.name)]
    return found


def home_of(module: str, name: str) -> str:
    """Returns the module that defines a name, through the packages that hand it on."""
    for origin, imported, bound in imports_of(module):
        if bound == name:
            return origin if imported is None else home_of(origin, imported)
    return module


def read_from(module: str) -> set[str]:
    """Returns the modules that define what a module uses; a module imported whole counts for the attributes taken."""
    homes = {home_of(origin, name) for origin, name, _ in imports_of(module) if name is not None}
    whole = {bound: origin for origin, name, bound in imports_of(module) if name is None}
    for node in ast.walk(tree_of(module)):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in whole:
            homes.add(home_of(whole[node.value.id], node.attr))
    return homes


def loaded_by(module: str) -> set[str]:
    """Returns the modules that importing a module loads directly, its parent packages included."""
    parents = {module.rsplit(".", i)[0] for i in range(1, module.count(".") + 1)}
    return parents | {origin for origin, _, _ in imports_of(module, when_loaded=True)}


def closure(start: str, step) -> set[str]:
    """Returns everything that `step` reaches from a module."""
    reached, todo = set(), [start]
    while todo:
        module = todo.pop()
        if module not in reached:
            reached.add(module)
            todo += step(module)
    return reached


def lines_of(module: str) -> int:
    """Returns a module's lines of code: no blanks, comments or docstrings."""
    path = file_of(module)
    assert path is not None, module
    lines = set()
    for token in tokenize.generate_tokens(io.StringIO(path.read_text()).readline):
        if token.type not in _LAYOUT:
            lines.update(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(tree_of(module)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            lines.difference_update(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    return len(lines)


def raw_lines_of(module: str) -> int:
    """Returns all lines of a module."""
    path = file_of(module)
    assert path is not None, module
    return len(path.read_text().splitlines())


def main() -> None:
    """Measures each name."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="+", help="dotted names, such as jaxdaw.agents.DqnAgent")
    parser.add_argument("--list", action="store_true", help="name the modules that are read")
    arguments = parser.parse_args()
    for dotted in arguments.names:
        start = home_of(*dotted.rsplit(".", 1))
        read, loaded = closure(start, read_from), closure(start, loaded_by)
        if arguments.list:
            for module in sorted(read, key=raw_lines_of, reverse=True):
                print(f"{raw_lines_of(module):6d}  {module}")
        raw, code, on_the_way = sum(map(raw_lines_of, read)), sum(map(lines_of, read)), sum(map(lines_of, loaded))
        print(f"to follow {dotted}: {raw} lines in {len(read)} modules, {code} of them code; Python loads {on_the_way}")


if __name__ == "__main__":
    main()
