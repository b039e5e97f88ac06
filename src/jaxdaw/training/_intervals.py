"""Intervals of a run in an environment, in whole learning phases."""

from __future__ import annotations

import math

from jaxdaw.errors import ConfigError


def report_interval(phase: int, steps: int, report_every: int, **others: int) -> int:
    """Returns the environment steps between two reports, such that what is due at other intervals is done in time.

    Training goes on in learning phases, and whatever else happens, happens after a report. So reports are as far apart
    as was asked for, or closer where another interval needs it.

    Args:
      phase: environment steps of a learning phase: `num_envs * train_every`.
      steps: of the whole run.
      report_every: at most so many.
      **others: by their options: `eval_every`, `checkpoint_every`; 0 is never.

    Raises:
      ConfigError: an interval that is shorter than a learning phase, with the nearest that is possible.

    >>> report_interval(256, 50_000, 1_000, eval_every=1_500)
    768
    >>> report_interval(16, 1_500, 500, eval_every=700)
    352
    """
    for name, every in {"report_every": report_every, **others}.items():
        if 0 < every < phase:
            raise ConfigError(
                f"{name} is shorter than a learning phase, after which training can pause",
                expected=f"at least {phase}: num_envs times train_every, or rollout_steps"
                + ("" if name == "report_every" else "; or 0"),
                got=str(every),
                fix=f"--{name.replace('_', '-')} {phase}, or fewer steps before each learning phase",
            )
    phases = max(report_every // phase, 1)
    for every in others.values():
        if every:
            wanted = max(round(every / phase), 1)
            phases = max(wanted // math.ceil(wanted / phases), 1)
    return min(phases, math.ceil(steps / phase)) * phase
