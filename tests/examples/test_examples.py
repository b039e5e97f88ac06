"""Every example runs, with fewer steps than it has."""

from __future__ import annotations

import inspect
import re
import runpy
from pathlib import Path

import numpy as np
import pytest

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.py"))


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_example_runs(example: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    source = example.read_text()
    if "def main(" in source:
        main = runpy.run_path(str(example))["main"]
        fewer = {"steps": 1_600, "seeds": 3, "decisions": 200}
        result = main(**{name: fewer[name] for name in inspect.signature(main).parameters})
        assert np.all(np.isfinite(result))
    else:
        code, found = re.subn(r"steps=[\d_]+", "steps=1_600", source)
        assert found == 1
        exec(compile(code, str(example), "exec"), {"__name__": "example"})
