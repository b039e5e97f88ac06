"""Epochs over demonstrations: on the device if they fit there, else streamed from the disk and prefetched."""

from __future__ import annotations

import itertools
import math
import queue
import threading
from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxdaw import specs
from jaxdaw.agents import AgentState, BehavioralCloningAgent
from jaxdaw.data import Demonstrations, check
from jaxdaw.networks import Weights
from jaxdaw.policies import is_distribution
from jaxdaw.replay import RecordedSource
from jaxdaw.training._loop import learn_phase
from jaxdaw.training._trainer import seeded
from jaxdaw.trajectories import Trajectory

_ON_DEVICE = 2**30
"""Bytes of demonstrations that are kept on the device."""
_UPDATES_IN_A_CALL = 200
"""Gradient steps in one compiled call at most, after which an interrupt is seen."""
_OPERATIONS_IN_A_CALL = 2e10
"""Multiplications and additions with weights in one call: well below a second on two CPU cores."""
_BYTES_IN_A_CALL = 2**24
"""Bytes of steps in one call: of images there are fewer, whose weights are each used many times."""
_VALIDATION_STEPS = 8_192
"""Steps in one call of the validation."""


class EpochReport(NamedTuple):
    """What happened in one epoch.

    Attributes:
      epoch: from 1.
      train_step: gradient steps applied since the beginning.
      loss: mean loss of the epoch's gradient steps; NaN if all were refused.
      refused: gradient steps refused as not finite.
      validation_loss: mean loss of the validation steps after the epoch; NaN without validation.
      match: of the validation steps, the share of integer actions that the greedy policy would repeat; NaN without.
      error: root mean square difference of float actions from the greedy ones; NaN without.
    """

    epoch: int
    train_step: int
    loss: float
    refused: int
    validation_loss: float
    match: float
    error: float


class CloningTrainer:
    """Trains an agent on demonstrations, an epoch at a time.

    Args:
      agent: its weights are where training starts.
      demonstrations: to learn from; observations and actions in the agent's structure, values inside its specs.
      validation: to measure on, or None.
      batch_size: steps, or sequences, in one gradient step; fewer if there are fewer.
      sequence_length: steps in a sequence, for an agent with `num_outer_dims=2`; None for one with 1.
      seed: of the order, which is another in each epoch.
      epoch_updates: gradient steps in an epoch at least: it passes over the data as often as that takes.
      is_checked: whether `check` has found nothing in what both are parts of: it is not read again.

    Attributes:
      epoch: whole epochs so far.

    Raises:
      SpecError: the demonstrations are not in the agent's specs, or hold what is wrong; all of it is listed.
    """

    def __init__(
        self,
        agent: BehavioralCloningAgent,
        demonstrations: Demonstrations,
        validation: Demonstrations | None = None,
        batch_size: int = 256,
        sequence_length: int | None = None,
        seed: int = 0,
        epoch_updates: int = 1,
        *,
        is_checked: bool = False,
    ):
        self.agent = agent
        self.state: AgentState = seeded(agent, seed)
        self.epoch = 0
        self.stopped = False
        self._length = sequence_length or 1
        self._validation = validation
        frame: Trajectory = agent.training_data_spec
        parts = (demonstrations,) if validation is None else (demonstrations, validation)
        for part in () if is_checked else parts:
            check(part, frame.observation, frame.action).raise_if_faulty()
        self._demonstrations = demonstrations
        self._seed = seed
        self._batch_size = min(batch_size, _num_sequences(demonstrations, self._length))
        steps = demonstrations.num_steps
        size = steps * sum(
            math.prod(spec.shape) * spec.dtype.itemsize
            for spec in specs.flatten((demonstrations.observation_spec, demonstrations.action_spec))
        )
        self._passes = _num_passes(demonstrations, batch_size, sequence_length, epoch_updates)
        batches = num_updates(demonstrations, batch_size, sequence_length, epoch_updates)
        most = min(batches, self._most_updates(size / steps))
        self._updates = max(range((most + 1) // 2, most + 1), key=lambda count: (batches // count * count, count))
        self._calls = batches // self._updates
        self._position = 0  # calls of the epoch under way
        self._losses = np.full((self._calls, self._updates), np.nan, np.float32)
        compiler = agent.compiler_options()
        self._many = jax.jit(agent.update_many, donate_argnums=0, compiler_options=compiler)
        self._indexed = jax.jit(self._update_indexed, donate_argnums=0, compiler_options=compiler)
        self._measure = jax.jit(self._measure_batch)
        self._data = (
            jax.device_put(self._prepared(demonstrations.windows(self._length))) if size <= _ON_DEVICE else None
        )

    @property
    def validates(self) -> bool:
        """Whether there is something to measure on."""
        return self._validation is not None

    def stop(self) -> None:
        """Asks `run` to return as soon as the state is consistent."""
        self.stopped = True

    @property
    def updates(self) -> int:
        """Gradient steps so far, those that were refused included."""
        return (self.epoch * self._calls + self._position) * self._updates

    def run(self) -> EpochReport | None:
        """Runs to the end of the epoch, and measures on the validation part.

        Returns:
          What happened; None if it was asked to stop before. Another `run` goes on from there.
        """
        for loss in self._learn():
            self._losses[self._position] = loss
            self._position += 1
            if self.stopped:
                return None
        validation = self._validate(hurry=True)
        if validation is None:
            return None
        applied = np.isfinite(self._losses)
        self.epoch, self._position = self.epoch + 1, 0
        return EpochReport(
            epoch=self.epoch,
            train_step=int(self.state.train_step),
            loss=float(self._losses[applied].mean()) if applied.any() else float("nan"),
            refused=int((~applied).sum()),
            validation_loss=validation[0],
            match=validation[1],
            error=validation[2],
        )

    def validate(self) -> tuple[float, float, float]:
        """Returns loss, match and error on the validation part, see `EpochReport`; NaN without one."""
        measured = self._validate(hurry=False)
        assert measured is not None
        return measured

    def _validate(self, hurry: bool) -> tuple[float, float, float] | None:
        """Returns loss, match and error; None if in a hurry, and asked to stop."""
        if self._validation is None:
            return math.nan, math.nan, math.nan
        rows = max(_VALIDATION_STEPS // self._length, 1)
        sums = np.zeros(6)
        for batch in self._validation.batches(rows, 0, num_steps=self._length, num_epochs=1, drop_remainder=False):
            if hurry and self.stopped:
                return None
            sums += jax.device_get(self._measure(self.state, *self._prepared(batch)))
        loss, matches, discrete, squares, continuous, steps = sums.tolist()
        match = matches / discrete if discrete else math.nan
        return loss / steps, match, math.sqrt(squares / continuous) if continuous else math.nan

    def tree(self) -> dict[str, Any]:
        """Returns everything that a checkpoint must hold; the data has to be there again."""
        return {
            "agent": self.state,
            "losses": self._losses,
            "counters": {"epoch": np.int64(self.epoch), "position": np.int64(self._position)},
        }

    def restore(self, tree: dict[str, Any]) -> None:
        """Goes on from a checkpoint's tree, exactly, in the middle of an epoch too."""
        self.state = jax.tree.map(jnp.copy, tree["agent"])
        self._losses = np.array(tree["losses"])
        self.epoch, self._position = (int(tree["counters"][name]) for name in ("epoch", "position"))

    def sync(self) -> None:
        """Gives the agent a copy of the trained state: its networks, counter and optimizer."""
        self.agent.set_state(jax.tree.map(jnp.copy, self.state))
        self.agent.train_step_counter.value = int(self.state.train_step)

    def _most_updates(self, step_bytes: float) -> int:
        """Returns how many gradient steps one call takes at most, `step_bytes` being those of one step of the data."""
        weights = sum(map(np.size, jax.tree.leaves(self.state.params)))
        steps = self._batch_size * self._length
        by_work = _OPERATIONS_IN_A_CALL / (6 * weights * steps)  # twice forwards, four times backwards
        return max(int(min(_UPDATES_IN_A_CALL, by_work, _BYTES_IN_A_CALL / (step_bytes * steps))), 1)

    def _learn(self) -> Iterator[np.ndarray]:
        """Yields the losses of the epoch's calls from where it stands, each `[gradient steps]`."""
        random = np.random.default_rng([self._seed, self.epoch])
        if self._data is not None:
            count = self._calls * self._updates * self._batch_size
            size = len(self._data[1])
            whole = size - size % self._batch_size
            passes = [random.permutation(size)[:whole] for _ in range(self._passes)]
            order = np.concatenate(passes)[:count].astype(np.int32)
            for rows in order.reshape(self._calls, self._updates, self._batch_size)[self._position :]:
                self.state, loss = self._indexed(self.state, self._data, rows)
                yield jax.device_get(loss)
            return
        for stacked in _prefetched(self._stacked(int(random.integers(2**31)))):
            self.state, info = self._many(self.state, *stacked)
            yield jax.device_get(info.loss)

    def _update_indexed(self, state: AgentState, recorded: Any, rows: Any) -> tuple[AgentState, Any]:
        experience, weights = recorded
        data = experience, weights if self._length > 1 else None
        source = RecordedSource(len(weights), self._batch_size, self._updates)
        state, _, losses = learn_phase(self.agent, source, state, data, rows)
        return state, losses

    def _stacked(self, seed: int) -> Iterator[Any]:
        """Yields the batches of one epoch from where it stands, as many as one call takes at a time."""
        batches = self._demonstrations.batches(self._batch_size, seed, num_steps=self._length, num_epochs=self._passes)
        rest = itertools.islice(batches, self._position * self._updates, None)
        for _ in range(self._position, self._calls):
            several = [self._prepared(next(rest)) for _ in range(self._updates)]
            yield jax.device_put(jax.tree.map(lambda *leaves: np.stack(leaves), *several))

    def _prepared(self, sequences: Any) -> tuple[Trajectory, Any]:
        """Returns experience and weights as the agent's `update` takes them."""
        experience, weights = sequences
        frame: Trajectory = self.agent.training_data_spec
        if self.agent.num_outer_dims == 1:
            experience, weights = jax.tree.map(lambda leaf: leaf[:, 0], (experience, weights))
        cast = [
            specs.map_structure(lambda x, spec: np.asarray(x, spec.dtype), given, wanted)
            for given, wanted in ((experience.observation, frame.observation), (experience.action, frame.action))
        ]
        return experience._replace(observation=cast[0], action=cast[1]), weights

    def _measure_batch(self, state: AgentState, experience: Trajectory, weights: Any) -> jax.Array:
        per_step = self.agent.batch_loss(state.params, state, experience, state.step_key, False).per_example
        network = self.agent.cloning_network
        held = Weights(state.params["cloning_network"], state.rest["cloning_network"])
        output, _, _ = network.apply(held, experience.observation, experience.step_type)
        sums = [jnp.zeros(2), jnp.zeros(2)]  # of discrete and of continuous leaves: the sum, and over how many
        for spec, predicted, action in zip(
            specs.flatten(self.agent.action_spec), specs.flatten(output), specs.flatten(experience.action), strict=True
        ):
            greedy = _greedy(predicted, spec)
            axes = tuple(range(weights.ndim, action.ndim))
            distance = greedy == action if specs.is_discrete(spec) else jnp.square(greedy - action)
            mean = jnp.mean(distance.astype(jnp.float32), axis=axes)
            sums[not specs.is_discrete(spec)] += jnp.stack([jnp.sum(weights * mean), jnp.sum(weights)])
        return jnp.stack([jnp.sum(weights * per_step), *sums[0], *sums[1], jnp.sum(weights)])


def num_updates(
    demonstrations: Demonstrations, batch_size: int, sequence_length: int | None, epoch_updates: int = 1
) -> int:
    """Returns the gradient steps in one epoch, but for a few that are left out where they fill no call."""
    passes = _num_passes(demonstrations, batch_size, sequence_length, epoch_updates)
    return passes * _num_batches(demonstrations, batch_size, sequence_length)


def _num_passes(
    demonstrations: Demonstrations, batch_size: int, sequence_length: int | None, epoch_updates: int
) -> int:
    return max(math.ceil(epoch_updates / _num_batches(demonstrations, batch_size, sequence_length)), 1)


def _num_batches(demonstrations: Demonstrations, batch_size: int, sequence_length: int | None) -> int:
    sequences = _num_sequences(demonstrations, sequence_length or 1)
    return sequences // min(batch_size, sequences)


def _num_sequences(demonstrations: Demonstrations, length: int) -> int:
    return int(np.sum(-(-demonstrations.lengths // length)))


def _greedy(predicted: Any, spec: specs.TensorSpec) -> jax.Array:
    if is_distribution(predicted):
        action = predicted.mode()
    elif specs.is_discrete(spec):
        action = jnp.argmax(predicted, axis=-1) + int(np.min(getattr(spec, "minimum", 0)))
    else:
        action = predicted
    if isinstance(spec, specs.BoundedTensorSpec) and specs.is_continuous(spec):
        return jnp.clip(action, spec.minimum, spec.maximum)
    return action


def _prefetched(source: Iterator[Any], depth: int = 2) -> Iterator[Any]:
    """Yields what `source` does, which runs ahead in a thread by up to `depth` items."""
    ready: queue.Queue[Any] = queue.Queue(depth)
    ended = threading.Event()

    def offer(item: Any) -> bool:
        while not ended.is_set():
            try:
                ready.put(item, timeout=0.1)
            except queue.Full:
                continue
            return True
        return False

    def work() -> None:
        try:
            for item in source:
                if not offer((item, None)):
                    return
            offer((None, StopIteration()))
        except Exception as error:  # handed to the thread that waits
            offer((None, error))

    threading.Thread(target=work, name="jaxdaw-prefetch", daemon=True).start()
    try:
        while True:
            item, error = ready.get()
            if isinstance(error, StopIteration):
                return
            if error is not None:
                raise error
            yield item
    finally:
        ended.set()
