"""Replay buffers that draw windows of consecutive frames, and sources that make batches of them.

| | where | drawn | use |
|---|---|---|---|
| `UniformReplay` | device, pure functions over a `ReplayState` | uniformly | inside `scan` and `vmap` |
| `HostReplay` | NumPy, an object | uniformly | host loops; images, stored once and stacked when drawn (`FrameStack`) |
| `PrioritizedReplay` | NumPy, an object | by priority | as `HostReplay`, with importance weights |
| `PurePrioritizedReplay` | device, pure functions over a `PrioritizedState` | by priority | as `UniformReplay` |

A frame is any nest of arrays that a nest of `TensorSpec` describes; replays do not interpret it. Every `sample`
returns `(experience, ReplaySample)` with leaves `[batch, num_steps, ...]`.

A `Source` says how recorded frames become the batches that an agent learns from; training loops know this protocol
alone. `UniformSource`, `PrioritizedSource` and `HostSource` draw from a replay, `RolloutSource` gives the latest steps
to an on-policy agent, `RecordedSource` passes over data that was recorded before.
"""

from jaxdaw.replay._host import FrameStack, HostReplay
from jaxdaw.replay._host_source import HostSource
from jaxdaw.replay._prioritized import PrioritizedReplay
from jaxdaw.replay._pure_prioritized import PrioritizedState, PurePrioritizedReplay
from jaxdaw.replay._recorded import RecordedSource
from jaxdaw.replay._records import ReplaySample, WindowIndices
from jaxdaw.replay._rollout import RolloutSource
from jaxdaw.replay._source import BatchSource, PrioritizedSource, Source, UniformSource
from jaxdaw.replay._uniform import ReplayState, UniformReplay

__all__ = [
    "BatchSource",
    "FrameStack",
    "HostReplay",
    "HostSource",
    "PrioritizedReplay",
    "PrioritizedSource",
    "PrioritizedState",
    "PurePrioritizedReplay",
    "RecordedSource",
    "ReplaySample",
    "ReplayState",
    "RolloutSource",
    "Source",
    "UniformReplay",
    "UniformSource",
    "WindowIndices",
]
