"""Every error that jaxdaw raises on purpose, and the one form in which they speak.

```text
JaxdawError
 ├─ SpecError         (ValueError)         a value does not match what was promised: structure, shape, range
 │   └─ SpecTypeError (TypeError too)      ... or its dtype or container type
 ├─ MaskError         (ValueError)         an action mask that allows nothing, or is not a mask
 ├─ NonFiniteError    (ArithmeticError)    NaN or infinity reached the loss or the gradient
 ├─ ConfigError       (ValueError)         an argument or option outside its range
 ├─ EnvironmentFault  (RuntimeError)       an environment broke its own contract, or raised
 └─ StorageError      (OSError)            a replay buffer, checkpoint or policy file cannot give what is asked
```

Each is also the built-in that a caller expects, so `except ValueError` works. An optional package that is
absent raises `ImportError` with the line that installs it.
"""

from __future__ import annotations


def explain(
    what: str,
    *,
    expected: str | None = None,
    got: str | None = None,
    cause: str | None = None,
    fix: str | None = None,
) -> str:
    """Returns an error message in the house form: what, expected and got, likely cause, fix as code.

    >>> print(explain("reward is not a scalar", expected="float32 ()", got="float32 (1,)", fix="reward.item()"))
    reward is not a scalar
      expected  float32 ()          got  float32 (1,)
      Fix: reward.item()
    """
    lines = [what]
    if expected is not None and got is not None:
        lines.append(f"  expected  {expected}          got  {got}")
    elif expected is not None or got is not None:
        lines.append(f"  expected  {expected}" if got is None else f"  got  {got}")
    if cause is not None:
        lines.append(f"  Likely cause: {cause}")
    if fix is not None:
        lines.append(f"  Fix: {fix}")
    return "\n".join(lines)


class JaxdawError(Exception):
    """Base of all errors that jaxdaw raises on purpose; built from the parts of its message, as `explain` is."""

    def __init__(
        self,
        what: str,
        *,
        expected: str | None = None,
        got: str | None = None,
        cause: str | None = None,
        fix: str | None = None,
    ):
        super().__init__(explain(what, expected=expected, got=got, cause=cause, fix=fix))


class SpecError(JaxdawError, ValueError):
    """A value does not match its spec."""


class SpecTypeError(SpecError, TypeError):
    """A value has another dtype or container type than its spec."""


class MaskError(JaxdawError, ValueError):
    """A mask allows no action in some row, or is not a mask."""


class NonFiniteError(JaxdawError, ArithmeticError, ValueError):
    """NaN or infinity in a batch, a loss or a gradient; the weights are as they were."""


class ConfigError(JaxdawError, ValueError):
    """An argument or option outside its documented range."""


class EnvironmentFault(JaxdawError, RuntimeError):
    """An environment broke its contract or raised."""


class JaxdawWarning(UserWarning):
    """What is legal, and rarely what was meant."""


class StorageError(JaxdawError, OSError, ValueError):
    """A replay buffer, checkpoint or policy file cannot give what is asked of it."""


def missing_extra(package: str, extra: str, purpose: str) -> ImportError:
    """Returns the error for an optional package that is absent, with the line that installs it."""
    return ImportError(
        f"{purpose} needs the package '{package}', which is not installed.\n  Fix: pip install 'jaxdaw[{extra}]'"
    )
