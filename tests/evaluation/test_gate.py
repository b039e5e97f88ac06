"""Gates against Python's own arithmetic, and what is none."""

import pytest

from jaxdaw.errors import ConfigError
from jaxdaw.evaluation import passes_gate

FIGURES = {"lower_bound": 0.52, "logged": 0.5, "effective_sample_size": 400.0, "nan": float("nan")}


@pytest.mark.parametrize(
    "gate",
    [
        "lower_bound > logged",
        "lower_bound >= 1.02 * logged",
        "lower_bound > 1.05 * logged",
        "lower_bound - logged > .01 and effective_sample_size >= 4e2",
        "lower_bound - logged > .01 and effective_sample_size < 400",
        "-(logged - lower_bound) / 2 < 0.5 + -0.4 and 1 <= 1",
        "2 * (lower_bound + logged) * 3 > 6.11",
        "logged - lower_bound - 1 < -1.01",
        "nan > 0",
        "nan <= 0",
        "1 / 0 > 0",
    ],
)
def test_gates_agree_with_python(gate):
    try:
        wanted = eval(gate, {"__builtins__": {}}, FIGURES)
    except ZeroDivisionError:
        wanted = False
    assert passes_gate(gate, FIGURES) is wanted


@pytest.mark.parametrize(
    "gate",
    [
        "", "lower_bound", "lower_bound >", "> logged", "lower_bound > logged extra", "lower_bound == logged",
        "lower_bond > 0", "(lower_bound > 0", "lower_bound > (logged", "__import__('os').system('true') > 0",
        "lower_bound > logged or logged > 0", "1 < 2 < 3", "lower_bound > logged and", "x" * 600, "0 < 1 and 2",
    ],
)  # fmt: skip
def test_what_is_no_gate_is_refused_with_an_example(gate):
    with pytest.raises(ConfigError, match="lower_bound > logged"):
        passes_gate(gate, FIGURES)
