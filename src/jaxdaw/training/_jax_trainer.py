"""Training in a pure environment: one compiled call for a thousand steps, of one seed or of many."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxdaw.agents import Agent
from jaxdaw.environments import JaxEnvironment
from jaxdaw.errors import ConfigError
from jaxdaw.training._dealing import cores, num_programs, waits_for_cores
from jaxdaw.training._loop import LoopState, Losses
from jaxdaw.training._trainer import LoopOptions, Report, Trainer, mean_loss, seeded


class JaxTrainer(Trainer):
    """Trains in a pure environment: acting, stepping and learning in one scan; for several seeds in one `vmap`.

    On a CPU the seeds are dealt to several such programs, of which each core runs one at a time: that is twice as fast
    as one program whose operations take turns in using all cores.

    Args:
      seeds: one for each member of the population; a single one trains the agent itself, from its own weights.
    """

    environment: JaxEnvironment

    def __init__(
        self,
        agent: Agent,
        environment: JaxEnvironment,
        options: LoopOptions,
        seeds: tuple[int, ...] = (0,),
        num_envs: int = 1,
    ):
        super().__init__(agent, environment, options, seeds[0], num_envs)
        if self.loop.source.on_host:
            raise ConfigError(
                "a pure environment runs in one program with its replay, which then is on the device",
                expected="replay uniform, prioritized or rollout",
                got=options.replay,
                fix="gymnasium's version of this environment, or replay uniform",
            )
        self.seeds = seeds
        loop, self._population = self.loop, len(seeds) > 1

        def begin(state: Any, key: jax.Array) -> tuple[LoopState, Any]:
            key_agent, key_environment, key_action = jax.random.split(key, 3)
            states, first = jax.vmap(environment.init)(jax.random.split(key_environment, num_envs))
            return loop.init(agent.init(key_agent) if state is None else state, first, key_action), states

        def advance(state: LoopState, states: Any, key: jax.Array, phases: int, every: int) -> tuple[LoopState, Any]:
            return loop.scan(environment, state, states, key, phases, every)

        def clear(state: LoopState) -> LoopState:
            return state._replace(metrics=loop.metrics.clear(state.metrics), losses=Losses.zero())

        compiler = agent.compiler_options()
        keys = [jnp.stack([jax.random.key(int(seed)) for seed in part]) for part in _dealt(seeds)]
        if self._population:
            axes: Any = (0, loop.source.state_axes, 0, 0, 0, 0)
            shared = LoopState(*axes)
            initialize = jax.jit(jax.vmap(lambda key: begin(None, key), out_axes=(shared, 0)))
            self._shards = [initialize(part) for part in keys]
            self._advance = jax.jit(
                lambda state, states, keys, phases, every: jax.vmap(
                    lambda s, e, k: advance(s, e, k, phases, every), in_axes=(shared, 0, 0), out_axes=(shared, 0)
                )(state, states, keys),
                static_argnums=(3, 4),
                donate_argnums=(0, 1),
                compiler_options=compiler,
            )
            self._clear = jax.jit(jax.vmap(clear, in_axes=(shared,), out_axes=shared), donate_argnums=0)
            self._chunk_keys = jax.jit(jax.vmap(jax.random.fold_in, in_axes=(0, None)))
        else:
            self._shards = [jax.jit(begin)(seeded(agent, seeds[0]), keys[0][0])]
            self._advance = jax.jit(advance, static_argnums=(3, 4), donate_argnums=(0, 1), compiler_options=compiler)
            self._clear = jax.jit(clear, donate_argnums=0)
            self._chunk_keys = lambda keys, chunk: jax.random.fold_in(keys[0], chunk)
        self._keys = keys
        self._threads = ThreadPoolExecutor(min(len(keys), cores()), "jaxdaw-seeds")
        self._in_turn: dict[tuple[int, int], bool] = {}
        self.chunk = 0
        self.env_steps = 0

    @property
    def state(self) -> LoopState:
        """The state of a single run; a population has `member`."""
        return self._shards[0][0]

    def run(self) -> Report:
        """Runs to the next report."""
        every = self.options.train_every
        phases, learn = (self._warm_up, 0) if self.chunk == 0 and self._warm_up else (self._chunk_phases, every)

        def advance(shard: int) -> Any:
            keys = self._chunk_keys(self._keys[shard], self.chunk)
            state, states = self._advance(*self._shards[shard], keys, phases, learn)
            told = jax.device_get((state.metrics, state.losses, state.agent.train_step))
            self._shards[shard] = self._clear(state), states
            return told

        told = list(self._map(advance, phases, learn))
        self.chunk += 1
        metrics, losses, train_step = jax.tree.map(lambda *x: np.concatenate(x) if self._population else x[0], *told)
        compute = self.loop.metrics.compute
        members = (
            [jax.tree.map(lambda x, i=i: x[i], metrics) for i in range(len(self.seeds))]
            if self._population
            else [metrics]
        )
        self.env_steps = int(np.mean(metrics.env_steps))  # of one seed
        return Report(
            env_steps=self.env_steps,
            train_step=int(np.mean(train_step)),
            episodes=compute(metrics),
            members=tuple(compute(member) for member in members),
            loss=mean_loss(losses),
            updates=int(np.sum(losses.updates)),
            refused=int(np.sum(losses.refused)),
            exploration=self._exploration(self.env_steps),
            learning=bool(np.any(losses.updates)),
        )

    def _map(self, advance: Callable[[int], Any], phases: int, learn: int) -> Iterable[Any]:
        """Advances every program: side by side, but for those that would wait for one another's cores."""
        if len(self._keys) > 1 and (phases, learn) not in self._in_turn:
            lowered = self._advance.lower(*self._shards[0], self._chunk_keys(self._keys[0], 0), phases, learn)
            self._in_turn[phases, learn] = waits_for_cores(lowered)
        run = map if self._in_turn.get((phases, learn)) else self._threads.map
        return run(advance, range(len(self._keys)))

    def member(self, index: int) -> Any:
        """Returns the agent state of one member of the population."""
        shard, row = self._place(index)
        return jax.tree.map(lambda x: x[row], self._shards[shard][0].agent)

    def member_tree(self, index: int) -> dict[str, Any]:
        """Returns what a checkpoint must hold of one member, with which a run of its seed alone goes on."""
        shard, row = self._place(index)
        state, states = self._shards[shard]
        own = jax.tree.map(lambda x: x[row], state._replace(source=()))
        source = jax.tree.map(
            lambda axis, part: part if axis is None else jax.tree.map(lambda x: x[row], part),
            self.loop.source.state_axes,
            state.source,
            is_leaf=lambda axis: axis is None,
        )
        environment = jax.tree.map(lambda x: x[row], states)
        counters = {"chunk": np.int64(self.chunk)}
        return {"loop": [own._replace(source=source)], "environment": [environment], "counters": counters}

    def _place(self, index: int) -> tuple[int, int]:
        """Returns the program of a member, and its place there."""
        shard = 0
        while index >= len(self._keys[shard]):
            index -= len(self._keys[shard])
            shard += 1
        return shard, index

    def collect_weights(self) -> Any:
        """Returns the weights of the agent's policy as they are now; of a population with an axis for its members."""
        weights = [self.agent.policy_weights(state.agent) for state, _ in self._shards]
        return jax.tree.map(lambda *x: jnp.concatenate(x), *weights) if self._population else weights[0]

    def tree(self) -> dict[str, Any]:
        """Returns everything that a checkpoint must hold."""
        states, environments = ([shard[i] for shard in self._shards] for i in (0, 1))
        return {"loop": states, "environment": environments, "counters": {"chunk": np.int64(self.chunk)}}

    def restore(self, tree: dict[str, Any]) -> str | None:
        """Goes on from a checkpoint's tree, exactly: nothing is lost. Returns None."""
        self.chunk = int(tree["counters"]["chunk"])
        states, environments = jax.tree.map(jnp.copy, (tree["loop"], tree["environment"]))
        self._shards = list(zip(states, environments, strict=True))
        env_steps = [np.atleast_1d(jax.device_get(state.metrics.env_steps)) for state in states]
        self.env_steps = int(np.mean(np.concatenate(env_steps)))
        return None


def _dealt(seeds: tuple[int, ...]) -> list[np.ndarray]:
    """Returns the seeds of each program."""
    return np.array_split(seeds, num_programs(len(seeds), _SEEDS_IN_CACHE))


_SEEDS_IN_CACHE = 8
"""Seeds in one program on a CPU."""
