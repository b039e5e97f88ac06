"""Epochs over demonstrations: on the device if they fit there, else streamed from the disk and prefetched."""

from __future__ import annotations

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
from jaxdaw.trajectories import Trajectory

_ON_DEVICE = 2**30
"""Bytes of demonstrations that are kept on the device."""
_UPDATES_IN_A_CALL = 200
"""Gradient steps in one compiled call, after which an interrupt is seen."""
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
      seed: of the order.
      epoch_updates: gradient steps in an epoch at least: it passes over the data as often as that takes.

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
    ):
        self.agent = agent
        self.state: AgentState = jax.tree.map(jnp.copy, agent.get_state())
        self.epoch = 0
        self.stopped = False
        self._observed = False
        self._length = sequence_length or 1
        self._validation = validation
        frame: Trajectory = agent.training_data_spec
        for part in (demonstrations,) if validation is None else (demonstrations, validation):
            check(part, frame.observation, frame.action).raise_if_faulty()
        self._demonstrations = demonstrations
        self._order = np.random.default_rng(seed)
        self._batch_size = min(batch_size, _num_sequences(demonstrations, self._length))
        self._passes = _num_passes(demonstrations, batch_size, sequence_length, epoch_updates)
        batches = num_updates(demonstrations, batch_size, sequence_length, epoch_updates)
        self._calls = math.ceil(batches / _UPDATES_IN_A_CALL)
        self._updates = batches // self._calls
        compiler = agent.compiler_options()
        self._many = jax.jit(self._update_stacked, donate_argnums=0, compiler_options=compiler)
        self._indexed = jax.jit(self._update_indexed, donate_argnums=0, compiler_options=compiler)
        self._measure = jax.jit(self._measure_batch)
        steps = demonstrations.num_steps
        size = steps * sum(
            math.prod(spec.shape) * spec.dtype.itemsize
            for spec in specs.flatten((demonstrations.observation_spec, demonstrations.action_spec))
        )
        self._data = (
            jax.device_put(self._prepared(demonstrations.windows(self._length))) if size <= _ON_DEVICE else None
        )

    @property
    def validates(self) -> bool:
        """Whether there is something to measure on."""
        return self._validation is not None

    def observe(self) -> None:
        """Moves the statistics of normalizers by all demonstrations, before training, which then leaves them so.

        Within a gradient step they include the batch at hand, as in any training mode, and go back afterwards. For
        networks that keep nothing else beside their weights: what dropout counts would stand still too.
        """
        network, held = self.agent.cloning_network, self.agent.policy_weights(self.state)
        if not jax.tree.leaves(held.rest):
            return

        def moved(rest: Any, experience: Trajectory) -> Any:
            weights = Weights(held.params, rest)
            return network.apply(weights, experience.observation, experience.step_type, training=True)[2]

        move, rest = jax.jit(moved), held.rest
        for batch in self._demonstrations.batches(_VALIDATION_STEPS, 0, num_epochs=1, drop_remainder=False):
            rest = move(rest, self._prepared(batch)[0])
        self.state = self.state._replace(rest={**self.state.rest, "cloning_network": rest})
        self._observed = True

    def stop(self) -> None:
        """Asks `run` to return as soon as the state is consistent."""
        self.stopped = True

    def run(self) -> EpochReport:
        """Runs one epoch, or until asked to stop, and measures on the validation part."""
        losses = []
        for loss in self._learn():
            losses.append(loss)
            if self.stopped:
                break
        self.epoch += 1
        told = np.concatenate([np.ravel(jax.device_get(loss)) for loss in losses])
        applied = np.isfinite(told)
        validation, match, error = self.validate()
        return EpochReport(
            epoch=self.epoch,
            train_step=int(self.state.train_step),
            loss=float(told[applied].mean()) if applied.any() else float("nan"),
            refused=int((~applied).sum()),
            validation_loss=validation,
            match=match,
            error=error,
        )

    def validate(self) -> tuple[float, float, float]:
        """Returns loss, match and error on the validation part, see `EpochReport`; NaN without one."""
        if self._validation is None:
            return math.nan, math.nan, math.nan
        rows = max(_VALIDATION_STEPS // self._length, 1)
        batches = self._validation.batches(rows, 0, num_steps=self._length, num_epochs=1, drop_remainder=False)
        sums = np.sum([jax.device_get(self._measure(self.state, *self._prepared(batch))) for batch in batches], axis=0)
        loss, matches, discrete, squares, continuous, steps = sums.tolist()
        match = matches / discrete if discrete else math.nan
        return loss / steps, match, math.sqrt(squares / continuous) if continuous else math.nan

    def sync(self) -> None:
        """Gives the agent a copy of the trained state: its networks, counter and optimizer."""
        self.agent.set_state(jax.tree.map(jnp.copy, self.state))
        self.agent.train_step_counter.value = int(self.state.train_step)

    def _learn(self) -> Iterator[Any]:
        """Yields the losses of one epoch's calls, each `[gradient steps]`."""
        if self._data is not None:
            count = self._calls * self._updates * self._batch_size
            size = len(self._data[1])
            whole = size - size % self._batch_size
            passes = [self._order.permutation(size)[:whole] for _ in range(self._passes)]
            order = np.concatenate(passes)[:count].astype(np.int32)
            for rows in order.reshape(self._calls, self._updates, self._batch_size):
                self.state, loss = self._indexed(self.state, self._data, rows)
                yield loss
            return
        for stacked in _prefetched(self._stacked()):
            self.state, loss = self._many(self.state, stacked)
            yield loss

    def _update_indexed(self, state: AgentState, recorded: Any, rows: Any) -> tuple[AgentState, Any]:
        def step(state: AgentState, rows: Any) -> tuple[AgentState, Any]:
            return self._update(state, jax.tree.map(lambda leaf: leaf[rows], recorded))

        return jax.lax.scan(step, state, rows)

    def _update_stacked(self, state: AgentState, stacked: Any) -> tuple[AgentState, Any]:
        return jax.lax.scan(self._update, state, stacked)

    def _update(self, state: AgentState, batch: Any) -> tuple[AgentState, Any]:
        experience, weights = batch
        after, info = self.agent.update(state, experience, weights if self._length > 1 else None)
        return after._replace(rest=state.rest) if self._observed else after, info.loss

    def _stacked(self) -> Iterator[Any]:
        """Yields the batches of one epoch, as many as one call takes at a time."""
        seed = int(self._order.integers(2**31))
        batches = self._demonstrations.batches(self._batch_size, seed, num_steps=self._length, num_epochs=self._passes)
        for _ in range(self._calls):
            several = [self._prepared(next(batches)) for _ in range(self._updates)]
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
        per_step = self.agent._batch_loss(state.params, state, experience, False).per_example
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
