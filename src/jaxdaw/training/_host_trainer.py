"""Training in a host environment: one compiled call for each step of all its rows."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxdaw.agents import Agent
from jaxdaw.environments import Environment
from jaxdaw.training._loop import LoopState, Losses
from jaxdaw.training._trainer import LoopOptions, Report, Trainer, mean_loss, seeded
from jaxdaw.trajectories import StepType

_FIRST_ACTION, _RESTORED = 2**31, 2**31 + 1
"""What a run's key is folded with for its first action, and after it was restored. Chunks have the numbers below."""


class HostTrainer(Trainer):
    """Trains in a host environment: one compiled call for each step of all its rows. See `Trainer`."""

    environment: Environment

    def __init__(self, agent: Agent, environment: Environment, options: LoopOptions, seed: int = 0):
        super().__init__(agent, environment, options, seed, environment.batch_size)
        loop = self.loop
        self._draw = jax.jit(loop.draw, static_argnums=(1, 2))

        def advance(
            state: LoopState, following: Any, actions: Any, to_learn: Any, i: Any, phase: Any
        ) -> tuple[LoopState, Any]:
            learned = None if phase is None else _at(to_learn, phase)
            state = loop.advance(state, following, _at(actions, i), learned)
            return state, state.action_step.action

        def act(state: LoopState, following: Any, actions: Any, i: Any) -> tuple[LoopState, Any]:
            state = loop.act(state, following, _at(actions, i))
            return state, state.action_step.action

        compiler = agent.compiler_options()
        self._advance = jax.jit(advance, donate_argnums=0, compiler_options=compiler)
        self._record = jax.jit(loop.record, donate_argnums=0)
        self._learn = jax.jit(loop.learn, donate_argnums=0, compiler_options=compiler)
        self._act = jax.jit(act, donate_argnums=0)
        self._kept = loop.source.init() if loop.source.on_host else None
        self._clear = jax.jit(
            lambda s: s._replace(metrics=loop.metrics.clear(s.metrics), losses=Losses.zero()), donate_argnums=0
        )
        self.iteration = 0
        self.env_steps = 0
        self._since, self._first = 0, 0  # the iteration since which chunks are of this length, and their first number
        first = environment.reset(seed=seed)
        self._state = jax.jit(loop.init)(seeded(agent, seed), first, jax.random.fold_in(self._key, _FIRST_ACTION))
        self._action = jax.device_get(self._state.action_step.action)

    @property
    def state(self) -> LoopState:
        """Everything that the compiled calls carry on."""
        return self._state

    def run(self) -> Report:
        """Runs to the next report, or to the next step if asked to stop."""
        chunk, start = divmod(self.iteration - self._since, self._chunk)
        actions, to_learn = self._draw(self._chunk_key(self._first + chunk), self._chunk, self._chunk_phases)
        state, action, step = self._state, self._action, self.environment.clipped_step
        every, warm_up, rows = self.options.train_every, self._warm_up, self.num_envs
        advance = self._advance if self._kept is None else self._advance_on_host
        on_host = np.asarray if isinstance(action, np.ndarray) else jax.device_get  # the general way takes 25 us more
        try:
            for i in range(start, self._chunk):
                self.waits = True
                following = step(action)
                self.waits = False
                self.env_steps += rows - int(np.count_nonzero(following.step_type == StepType.FIRST))
                self.iteration += 1
                is_due = self.iteration > warm_up and self.iteration % every == 0
                phase = np.int32(i // every) if is_due else None
                state, action = advance(state, following, actions, to_learn, np.int32(i), phase)
                action = on_host(action)
                if self._stop:
                    break
        finally:
            self.waits = False
            self._state, self._action = state, action
        losses, summary = jax.device_get(state.losses), self.loop.metrics.compute(state.metrics)
        train_step = int(state.agent.train_step)
        self._state = self._clear(state)
        return Report(
            env_steps=self.env_steps,
            train_step=train_step,
            episodes=summary,
            members=(summary,),
            loss=mean_loss(losses),
            updates=int(losses.updates),
            refused=int(losses.refused),
            exploration=self._exploration(self.env_steps),
            learning=self.iteration > warm_up,
        )

    def _advance_on_host(
        self, state: LoopState, following: Any, actions: Any, to_learn: Any, i: Any, phase: Any
    ) -> tuple[LoopState, Any]:
        """Does what `Loop.advance` does, with a source that keeps its frames in NumPy."""
        source = self.loop.source
        state, frame = self._record(state, following)
        source.add(self._kept, frame)
        if phase is not None:
            state = self._learn(state, source.batches(self._kept, to_learn[phase], lambda rollout: rollout))
        return self._act(state, following, actions, i)

    def tree(self) -> dict[str, Any]:
        """Returns everything that a checkpoint must hold."""
        chunks = {"since": self._since, "first": self._first, "length": self._chunk}
        counters = {"iteration": self.iteration, "env_steps": self.env_steps, **chunks}
        counters = {name: np.int64(value) for name, value in counters.items()}
        kept = {} if self._kept is None else {"replay": self._kept.arrays()}
        return {"loop": self._state, "counters": counters, **kept}

    def restore(self, tree: dict[str, Any]) -> str | None:
        """Goes on from a checkpoint's tree. Returns what could not be restored, in words, or None."""
        counters = {name: int(value) for name, value in tree["counters"].items()}
        self.iteration, self.env_steps = counters["iteration"], counters["env_steps"]
        self._since, self._first = counters["since"], counters["first"]
        if counters["length"] != self._chunk:  # reports are at another interval: no number is drawn twice
            self._first += (self.iteration - self._since) // counters["length"] + 1
            self._since = self.iteration
        if self._kept is not None:
            self._kept.load_arrays(tree["replay"])
        key_reset, key = jax.random.split(jax.random.fold_in(jax.random.fold_in(self._key, _RESTORED), self.iteration))
        first = self.environment.reset(seed=int(jax.random.bits(key_reset) >> 1))
        cut = self.loop.cut(jax.tree.map(jnp.copy, tree["loop"]))
        actions = jax.jit(lambda key: self.loop.draw(key, 1, 0)[0])(key)
        advance = self._advance if self._kept is None else self._advance_on_host
        self._state, action = advance(cut, first, actions, None, np.int32(0), None)
        self._action = jax.device_get(action)
        return "the environment's own state: new episodes start, and those under way count as cut"


def _at(tree: Any, index: Any) -> Any:
    return jax.tree.map(lambda x: jax.lax.dynamic_index_in_dim(x, index, keepdims=False), tree)
