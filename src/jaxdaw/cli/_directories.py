"""Where a run goes that was not told where to go."""

from __future__ import annotations

import datetime
import re
from pathlib import Path


def default_directory(environment: str, algorithm: str, seed: int) -> Path:
    """Returns a new directory under runs/, named after the environment, the algorithm, the seed and the time."""
    now = datetime.datetime.now(datetime.UTC).strftime("%Y%m%dT%H%M%S")
    safe = re.sub(r"[^A-Za-z0-9._-]+", "-", environment)
    return Path("runs") / f"{safe}__{algorithm}__{seed}__{now}"
