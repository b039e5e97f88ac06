"""jaxdaw: train decision-making agents on JAX.

The packages, from the ground up: `math`, `distributions`, `specs`, `trajectories`, `networks`, `policies`, `replay`,
`metrics`, `data`, `environments`, `agents`, `drivers`, `training`, `evaluation`, `recording`, `serving`.
The names here are those that a first program needs.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jaxdaw.evaluation import evaluate
    from jaxdaw.training import fit, load_policy, resume, save_policy, train

__version__ = "0.1.0"

_HOMES = {
    "evaluate": "evaluation",
    "fit": "training",
    "load_policy": "training",
    "resume": "training",
    "save_policy": "training",
    "train": "training",
}
_ROOMS = (
    "agents", "data", "distributions", "drivers", "environments", "errors", "evaluation", "math", "metrics", "networks",
    "policies", "recording", "replay", "serving", "specs", "testing", "training", "trajectories",
)  # fmt: skip

__all__ = ["evaluate", "fit", "load_policy", "resume", "save_policy", "train"]


def __getattr__(name: str) -> Any:
    """Loads a room, or a name from one, when it is first used: importing jaxdaw costs nothing beyond JAX."""
    if name in _HOMES:
        return getattr(importlib.import_module(f"jaxdaw.{_HOMES[name]}"), name)
    if name in _ROOMS:
        return importlib.import_module(f"jaxdaw.{name}")
    raise AttributeError(f"module 'jaxdaw' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, *_ROOMS})
