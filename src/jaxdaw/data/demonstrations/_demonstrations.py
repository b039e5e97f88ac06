"""Demonstrations: a sequence of episodes with shuffled batches, windows and splits."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, overload

import numpy as np

from jaxdaw import specs
from jaxdaw.data._conform import conform
from jaxdaw.data._report import Report
from jaxdaw.data.demonstrations._episode import Episode
from jaxdaw.data.demonstrations._infer_specs import infer_action_spec, infer_spec
from jaxdaw.data.demonstrations._shards import HAS_LAST, TERMINATED, TRUNCATED, Shard, pack
from jaxdaw.data.demonstrations._structure import structure_faults
from jaxdaw.errors import ConfigError
from jaxdaw.specs import StepType
from jaxdaw.trajectories import Trajectory


class Sequences(NamedTuple):
    """Runs of consecutive steps, each of one episode: the two arguments of `agent.train`.

    Attributes:
      experience: `[N, T, ...]`. Where an episode ends early, its last step is repeated as boundary frames (LAST, then
        FIRST; reward 0, discount 1), which every loss masks.
      weights: `[N, T]` float32, 1 for a recorded step, 0 for one that was repeated.
    """

    experience: Trajectory
    weights: np.ndarray


class Steps(NamedTuple):
    """All recorded steps one after the other, `[steps, ...]`; `episode` says whose each is."""

    observation: Any
    action: Any
    reward: np.ndarray
    step_type: np.ndarray
    next_step_type: np.ndarray
    discount: np.ndarray
    episode: np.ndarray


class Demonstrations(Sequence[Episode]):
    """Episodes in one form, wherever they came from: a sequence of `Episode`, with ways to draw from it.

    Episodes are views. Data that was read from a directory of jaxdaw stays on the disk until it is drawn.

    Args:
      episodes: at least one; their arrays are copied.
      observation_spec: a nest of specs; None infers shapes and dtypes, and no bounds.
      action_spec: a nest of specs; None infers: integers count from 0 to the greatest seen, floats have no bounds.
      metadata: JSON values by name, such as the environment or the recorder.

    Attributes:
      observation_spec: of one step.
      action_spec: of one step.
      metadata: as given.
      lengths: `[episodes]` int64, steps.
      terminated: `[episodes]` bool: what each `Episode` says.
      truncated: `[episodes]` bool: likewise.

    Raises:
      SpecError: the episodes do not fit together, or not the specs; all reasons are listed. Whether the values make
        sense is for `check`.

    >>> demonstrations = Demonstrations([Episode(np.zeros((4, 2), "float32"), np.array([0, 1, 1]), terminated=True)])
    >>> demonstrations.num_steps, demonstrations.action_spec
    (3, BoundedTensorSpec(shape=(), dtype=int64, minimum=0, maximum=1, name=None))
    """

    def __init__(
        self,
        episodes: Sequence[Episode],
        observation_spec: Any = None,
        action_spec: Any = None,
        metadata: Mapping[str, Any] | None = None,
    ):
        Report.of(structure_faults(episodes)).raise_if_faulty()
        if observation_spec is None:
            observation_spec = infer_spec([episode.observation for episode in episodes])
        if action_spec is None:
            action_spec = infer_action_spec([episode.action for episode in episodes])
        shard = conform_shard(pack(episodes), observation_spec, action_spec)
        self._hold([shard], observation_spec, action_spec, metadata)

    @classmethod
    def from_shards(
        cls, shards: Sequence[Shard], observation_spec: Any, action_spec: Any, metadata: Mapping[str, Any] | None
    ) -> Demonstrations:
        """Returns demonstrations that hold these shards, uncopied. For readers, which have made sure that they fit."""
        demonstrations = cls.__new__(cls)
        demonstrations._hold(shards, observation_spec, action_spec, metadata)
        return demonstrations

    def _hold(self, shards: Sequence[Shard], observation_spec: Any, action_spec: Any, metadata: Any) -> None:
        self.observation_spec, self.action_spec = observation_spec, action_spec
        self.metadata: dict[str, Any] = dict(metadata or {})
        self._shards = tuple(shards)
        counts = [len(shard.lengths) for shard in shards]
        self._shard = np.repeat(np.arange(len(shards)), counts)  # of each episode, as all below
        self._place = np.concatenate([np.arange(count) for count in counts])
        self._frame = np.concatenate([_starts(shard.frames) for shard in shards])
        self._start = np.concatenate([_starts(shard.lengths) for shard in shards])
        self._flags = np.concatenate([shard.flags for shard in shards])
        self.lengths = np.concatenate([shard.lengths for shard in shards])

    # A sequence of episodes.

    def __len__(self) -> int:
        """Returns the number of episodes."""
        return len(self.lengths)

    @overload
    def __getitem__(self, index: int) -> Episode: ...

    @overload
    def __getitem__(self, index: slice) -> Demonstrations: ...

    def __getitem__(self, index: int | slice) -> Episode | Demonstrations:
        """Returns one episode as views, or the demonstrations of a slice."""
        if isinstance(index, slice):
            return self.select(np.arange(len(self))[index])
        at = range(len(self))[index]
        shard = self._shards[self._shard[at]]
        return shard.episode(int(self._place[at]), int(self._frame[at]), int(self._start[at]))

    def select(self, episodes: Any) -> Demonstrations:
        """Returns the demonstrations of some episodes, in the order given, uncopied.

        Args:
          episodes: `[N]` indices.

        Raises:
          ConfigError: there are none.
        """
        chosen = np.asarray(episodes)
        if not chosen.size:
            raise ConfigError("no episodes are left", expected="at least 1", got="0")
        selected = Demonstrations.from_shards(self._shards, self.observation_spec, self.action_spec, self.metadata)
        for name in ("_shard", "_place", "_frame", "_start", "_flags", "lengths"):
            setattr(selected, name, getattr(self, name)[chosen])
        return selected

    def runs(self, num_steps: int = 2**16) -> Iterator[tuple[int, Shard]]:
        """Yields all episodes as runs of consecutive ones: the number of the first, and a shard of views.

        Args:
          num_steps: about how many there are in a run; one with a longer episode has more.
        """
        breaks = np.flatnonzero((np.diff(self._shard) != 0) | (np.diff(self._place) != 1)) + 1
        breaks = np.append(breaks, len(self))
        steps = np.cumsum(self.lengths)
        start = 0
        while start < len(self):
            full = int(np.searchsorted(steps, steps[start] - self.lengths[start] + num_steps, side="right"))
            stop = min(max(full, start + 1), int(breaks[np.searchsorted(breaks, start, side="right")]))
            shard = self._shards[self._shard[start]]
            places = slice(int(self._place[start]), int(self._place[start]) + stop - start)
            yield start, shard.run(places, int(self._frame[start]), int(self._start[start]))
            start = stop

    def split(self, fraction: float, seed: int = 0) -> tuple[Demonstrations, Demonstrations]:
        """Returns two disjoint parts of whole episodes, drawn at random.

        Args:
          fraction: of the episodes, in (0, 1), that the first part gets: rounded, and at least 1; the rest go to the
            second, at least 1.
          seed: of the draw.

        Raises:
          ConfigError: the fraction is outside (0, 1), or there is only one episode.
        """
        if not 0 < fraction < 1:
            raise ConfigError("cannot split the demonstrations", expected="a fraction in (0, 1)", got=repr(fraction))
        if len(self) < 2:
            fix = "train on all of them, without a part for validation"
            raise ConfigError("cannot split the demonstrations", expected="2 episodes", got="1", fix=fix)
        order = np.random.default_rng(seed).permutation(len(self))
        count = min(max(round(fraction * len(self)), 1), len(self) - 1)
        return self.select(np.sort(order[:count])), self.select(np.sort(order[count:]))

    # Figures.

    @property
    def num_steps(self) -> int:
        """Actions in all episodes."""
        return int(self.lengths.sum())

    @property
    def has_rewards(self) -> bool:
        """Whether rewards were recorded."""
        return self._shards[0].reward is not None

    @property
    def terminated(self) -> np.ndarray:
        """`[episodes]` bool."""
        return (self._flags & TERMINATED) != 0

    @property
    def truncated(self) -> np.ndarray:
        """`[episodes]` bool."""
        return (self._flags & TRUNCATED) != 0

    @property
    def has_last_observation(self) -> np.ndarray:
        """`[episodes]` bool, whether the observation after the last action is known."""
        return (self._flags & HAS_LAST) != 0

    @functools.cached_property
    def returns(self) -> np.ndarray | None:
        """`[episodes]` float64, the undiscounted sum of each episode's rewards; None without rewards."""
        sums = [
            None if shard.reward is None else np.add.reduceat(shard.reward, _starts(shard.lengths), dtype=np.float64)
            for shard in self._shards
        ]
        if not self.has_rewards:
            return None
        return np.array([sums[s][p] for s, p in zip(self._shard, self._place, strict=True)])  # type: ignore[index]  # none is None

    # Steps to learn from.

    def flat(self) -> Steps:
        """Returns all steps as contiguous arrays, which are made once and take as much memory as the data.

        The observation after an episode's last action is not among them. Without recorded rewards they are 0.
        """
        return self._flat

    @functools.cached_property
    def _flat(self) -> Steps:
        episode, offset = self._sequences(1)
        experience = self._gather(episode, offset, 1).experience
        steps = specs.map_structure(lambda leaf: leaf[:, 0], experience._replace(policy_info=()))
        fields = {name: getattr(steps, name) for name in Steps._fields if name != "episode"}
        return Steps(**fields, episode=episode)

    def windows(self, num_steps: int) -> Sequences:
        """Returns every recorded step once, in runs of `num_steps` that start where an episode or the last run does.

        Args:
          num_steps: T, at least 1.

        Returns:
          `[N, T, ...]`, N the sum of the episodes' lengths over T, each rounded up; in memory.
        """
        return self._gather(*self._sequences(num_steps), num_steps)

    def batches(
        self,
        batch_size: int,
        seed: int,
        *,
        num_steps: int = 1,
        num_epochs: int | None = None,
        drop_remainder: bool = True,
    ) -> Iterator[Sequences]:
        """Returns an iterator over shuffled epochs; only the batch at hand is copied.

        Args:
          batch_size: B, sequences in a batch.
          seed: of the order; each epoch has another.
          num_steps: T, steps in a sequence, cut as in `windows`.
          num_epochs: how often each step comes; None for ever.
          drop_remainder: True: all batches are full, and what is left over at the end of an epoch waits for another.

        Returns:
          Batches `[B, T, ...]`: `agent.train(*batch)`.

        Raises:
          ConfigError: a number below 1, or fewer sequences than fill a batch.
        """
        _positive("batch_size", batch_size)
        _positive("num_epochs", 1 if num_epochs is None else num_epochs)
        episode, offset = self._sequences(num_steps)
        if drop_remainder and len(episode) < batch_size:
            raise ConfigError(
                "the demonstrations do not fill one batch",
                expected=f"{batch_size} sequences of {num_steps} steps",
                got=str(len(episode)),
                fix=f"batch_size={len(episode)}",
            )
        return self._draw(episode, offset, batch_size, seed, num_steps, num_epochs, drop_remainder)

    def _draw(
        self,
        episode: np.ndarray,
        offset: np.ndarray,
        batch_size: int,
        seed: int,
        num_steps: int,
        num_epochs: int | None,
        drop_remainder: bool,
    ) -> Iterator[Sequences]:
        generator, epoch = np.random.default_rng(seed), 0
        whole = len(episode) - len(episode) % batch_size if drop_remainder else len(episode)
        while num_epochs is None or epoch < num_epochs:
            order = generator.permutation(len(episode))
            for start in range(0, whole, batch_size):
                chosen = order[start : start + batch_size]
                yield self._gather(episode[chosen], offset[chosen], num_steps)
            epoch += 1

    def _sequences(self, num_steps: int) -> tuple[np.ndarray, np.ndarray]:
        """Returns episode and first step of each sequence, `[N]`."""
        _positive("num_steps", num_steps)
        counts = -(-self.lengths // num_steps)
        episode = np.repeat(np.arange(len(self)), counts)
        return episode, (np.arange(len(episode)) - np.repeat(_starts(counts), counts)) * num_steps

    def _gather(self, episode: np.ndarray, offset: np.ndarray, num_steps: int) -> Sequences:
        """Returns sequences of these episodes `[N]` from these steps `[N]` on."""
        last = self.lengths[episode][:, None] - 1
        time = offset[:, None] + np.arange(num_steps)
        real, time = time <= last, np.minimum(time, last)
        shard = self._shard[episode]
        frames, rows = self._frame[episode][:, None] + time, self._start[episode][:, None] + time

        def take(rows: np.ndarray, *leaves: np.ndarray) -> np.ndarray:
            if len(leaves) == 1:
                return np.asarray(leaves[0][rows])
            taken = np.empty((*rows.shape, *leaves[0].shape[1:]), leaves[0].dtype)
            for index in np.unique(shard):
                of_shard = shard == index
                taken[of_shard] = leaves[index][rows[of_shard]]
            return taken

        def nest(rows: np.ndarray, name: str) -> Any:
            return specs.map_structure(
                lambda *leaves: take(rows, *leaves), *(getattr(shard, name) for shard in self._shards)
            )

        reward = np.asarray(nest(rows, "reward"), np.float32) if self.has_rewards else np.zeros(rows.shape, np.float32)
        ends = time == last
        experience = Trajectory(
            step_type=np.where(real, np.where(time == 0, StepType.FIRST, StepType.MID), StepType.LAST).astype(np.int32),
            observation=nest(frames, "observation"),
            action=nest(rows, "action"),
            policy_info=(),
            next_step_type=np.where(real, np.where(ends, StepType.LAST, StepType.MID), StepType.FIRST).astype(np.int32),
            reward=np.where(real, reward, np.float32(0)),
            discount=np.where(real & ends & self.terminated[episode][:, None], np.float32(0), np.float32(1)),
        )
        return Sequences(experience, real.astype(np.float32))


def conform_shard(shard: Shard, observation_spec: Any, action_spec: Any) -> Shard:
    """Returns a shard in the dtypes of these specs.

    Raises:
      SpecError: a leaf has another shape, or a dtype or value that cannot be kept.
    """
    parts = (("observation", shard.observation, observation_spec), ("action", shard.action, action_spec))
    conformed = []
    for what, nest, spec in parts:
        nest = conform(nest, spec, what)
        specs.check(nest, spec, 1, what=what, check_bounds=False)
        conformed.append(nest)
    return Shard(conformed[0], conformed[1], shard.reward, shard.lengths, shard.flags, shard.info)


def _starts(lengths: np.ndarray) -> np.ndarray:
    """Returns where each begins if one follows the other."""
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths, dtype=np.int64)[:-1]])


def _positive(name: str, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
        raise ConfigError(f"{name} is out of range", expected="an integer of at least 1", got=repr(value))
