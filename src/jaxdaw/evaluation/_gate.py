"""Gate expressions: comparisons of the figures of a report, parsed here and never evaluated as code."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from typing import Any

from jaxdaw.errors import ConfigError

_TOKEN = re.compile(r"\s*(?:(\d+\.?\d*(?:[eE][+-]?\d+)?|\.\d+)|([a-z_][a-z0-9_]*)|(>=|<=|>|<|[-+*/()]))")
_COMPARISONS: Mapping[str, Callable[[float, float], bool]] = {
    ">": operator.gt, ">=": operator.ge, "<": operator.lt, "<=": operator.le,
}  # fmt: skip
_MAX_LENGTH = 500


def passes_gate(gate: str, figures: Mapping[str, float]) -> bool:
    """Returns whether figures satisfy a gate.

    A gate is comparisons (`>`, `>=`, `<`, `<=`) of sums and products of numbers and figures, joined by `and`. A
    comparison with NaN does not hold.

    Args:
      gate: such as `lower_bound > 1.02 * logged and effective_sample_size >= 500`.
      figures: by name.

    Raises:
      ConfigError: the gate is none, or names an unknown figure.

    >>> passes_gate("lower_bound > 1.02 * logged", {"lower_bound": 0.52, "logged": 0.5})
    True
    """
    return _Gate(gate, figures).holds()


class _Gate:
    """A recursive descent over the tokens of a gate."""

    def __init__(self, gate: str, figures: Mapping[str, float]):
        self._gate, self._figures = gate, figures
        self._tokens: list[str] = []
        end = 0
        while gate[end:].strip():
            match = _TOKEN.match(gate, end) if len(gate) <= _MAX_LENGTH else None
            if match is None:
                raise self._refusal(gate[end : end + 20].strip())
            self._tokens.append(match[0].strip())
            end = match.end()
        self._tokens.reverse()

    def holds(self) -> bool:
        result = self._comparison()
        while self._peek() == "and":
            self._tokens.pop()
            result = self._comparison() and result
        if self._tokens:
            raise self._refusal(self._tokens[-1])
        return result

    def _comparison(self) -> bool:
        left = self._sum()
        sign = self._take()
        if sign not in _COMPARISONS:
            raise self._refusal(sign)
        return bool(_COMPARISONS[sign](left, self._sum()))

    def _sum(self) -> float:
        value = self._product()
        while self._peek() in ("+", "-"):
            value = value + self._product() if self._take() == "+" else value - self._product()
        return value

    def _product(self) -> float:
        value = self._atom()
        while self._peek() in ("*", "/"):
            if self._take() == "*":
                value *= self._atom()
            else:
                divisor = self._atom()
                value = value / divisor if divisor else float("nan")
        return value

    def _atom(self) -> float:
        token = self._take()
        if token == "-":
            return -self._atom()
        if token == "(":
            value = self._sum()
            if self._take() != ")":
                raise self._refusal("a bracket that is not closed")
            return value
        if token in self._figures:
            return float(self._figures[token])
        if token[:1].isdigit() or token[:1] == ".":
            return float(token)
        raise self._refusal(token)

    def _peek(self) -> Any:
        return self._tokens[-1] if self._tokens else None

    def _take(self) -> str:
        return self._tokens.pop() if self._tokens else ""

    def _refusal(self, got: str) -> ConfigError:
        return ConfigError(
            f"the gate {self._gate[:80]!r} cannot be read",
            expected="comparisons joined by 'and', of numbers and of " + ", ".join(self._figures),
            got=got or "its end",
            fix='--gate "lower_bound > logged"',
        )
