"""A bandit policy from a log alone: what others decided, and what came of it."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from jaxdaw import specs
from jaxdaw.data import DecisionExperience, Decisions, decision_experience
from jaxdaw.errors import ConfigError, NonFiniteError, SpecError
from jaxdaw.policies import PolicyInfo
from jaxdaw.training._bandit import BanditRun
from jaxdaw.training._bandit_config import BanditConfig
from jaxdaw.training._bandit_loop import in_units
from jaxdaw.training._config import FORMAT, replaced
from jaxdaw.training._directory import new_directory, versions, write_json
from jaxdaw.training._interrupt import Interrupts
from jaxdaw.training._policy_file import save_policy
from jaxdaw.training._warm_start import WarmStart, read_warm_start
from jaxdaw.training._writers import MetricsWriter
from jaxdaw.trajectories import time_step_spec

_MAX_ROUNDS = 50_000
"""Rounds of a run whose gradient steps are taken, however long the log is."""


def train_bandit_on_log(
    decisions: Decisions,
    *,
    config: BanditConfig | None = None,
    importance: Literal["none", "uniform"] = "none",
    seed: int = 0,
    out: str | Path | None = None,
    watch: Callable[[dict[str, Any]], Any] | None = None,
    source: str = "log",
    warm_start: str | Path | None = None,
    **options: Any,
) -> BanditRun:
    """Learns a bandit policy from logged decisions, without making any.

    The agent is the one that `train_bandit` would have, and takes as many gradient steps as a run of as many rounds,
    50,000 at most, which takes seconds; exact linear models see each row once. The policy explores as it would after
    that many rounds. What it is worth is told by `evaluate_off_policy` on decisions that it was not trained on.

    Args:
      decisions: with rewards in all rows; with features of arms, these stand beside the context.
      config: the options; None is the defaults. Those of rounds (`horizon`, `eager_rounds`, `replay_capacity`) have no
        effect.
      importance: weights of the rows, see `decision_experience`.
      seed: of weights and batches.
      out: the run directory, which must not hold a run; None writes nothing.
      watch: is called with every row of metrics.
      source: where the log came from, for `config.json`.
      warm_start: a run or a saved policy to start with, as for `train_bandit`.
      **options: fields of the config to replace.

    Returns:
      A run without summaries of regret, which a log cannot tell.

    Raises:
      SpecError: the log has faults, or features of arms; or `warm_start` was learned from other decisions.
      ConfigError: an unknown option, a value outside its range, linear models with weights, or `warm_start` holds
        another network.
      StorageError: `out` already holds a run; `warm_start` is none.
      NonFiniteError: nothing can be learned, because everything is refused as not finite.

    >>> log = Decisions([0, 1] * 200, [0.0, 1.0] * 200, [0.5] * 400, np.ones((400, 1), np.float32))
    >>> run = train_bandit_on_log(log, exploration="greedy", updates=4)
    >>> int(run.policy.action(np.ones(1, np.float32)).action)
    1
    """
    config = replaced(BanditConfig() if config is None else config, options)
    if specs.flatten(decisions.arm_features):
        raise SpecError(
            "features of arms are not learned from by `train_bandit_on_log`",
            expected="a log without arm_features",
            got=str(decisions.arm_features_spec)[:80],
            fix="NeuralEpsilonGreedyAgent(..., accepts_per_arm_features=True).train(*decision_experience(log))",
        )
    if not specs.flatten(decisions.context):
        raise SpecError("the log has no contexts to learn from", expected="context [N, ...]", got="none")
    impossible = (decisions.probability <= 0.0) | (decisions.probability > 1.0)
    if impossible.any():
        raise SpecError(
            f"{int(impossible.sum())} of {len(decisions)} actions were logged with a probability that cannot be",
            expected="above 0 and at most 1, or NaN where it is not known",
            got=f"{decisions.probability[impossible][0]} in row {int(np.argmax(impossible))}",
            fix="decisions.replace(probability=np.full(len(decisions), np.nan)), or repair what logs them",
        )
    is_linear = config.exploration in ("linucb", "lints")
    if is_linear and importance != "none":
        raise ConfigError("exact linear models take no weights", expected="importance='none'", got=repr(importance))
    context = specs.map_structure(lambda leaf: leaf.astype(np.float32), decisions.context)
    decisions = decisions.replace(context=context)
    rows = decision_experience(decisions, importance=importance)
    within = bool(((decisions.reward >= 0) & (decisions.reward <= 1)).all())
    reward_spec = specs.BoundedTensorSpec((), np.float32, 0.0, 1.0, "reward") if within else None
    step_spec = time_step_spec(decisions.context_spec, reward_spec)
    action_spec = specs.BoundedTensorSpec((), np.int32, 0, (decisions.num_arms or 1) - 1)
    rounds = min(len(decisions), _MAX_ROUNDS)
    agent = config.make_agent(step_spec, action_spec, seed, rounds)
    learned = None if warm_start is None else read_warm_start(warm_start, agent)
    directory = None if out is None else new_directory(Path(out))
    if directory is not None:
        described = {
            "format": FORMAT, "algorithm": "bandit", "environment": source, "log": source, "seed": seed,
            "decisions": len(decisions), "importance": importance, "options": dataclasses.asdict(config),
            "warm_start": None if warm_start is None else str(warm_start),
        }  # fmt: skip
        write_json(directory / "config.json", described)
        write_json(directory / "versions.json", versions())
    learning = _Learning(agent, config, rows, decisions.probability, seed, is_linear, directory, watch)
    if learned is not None:
        learning.start_with(learned)
    stopped = learning.run(rounds)
    policy = agent.policy
    if hasattr(policy, "step"):
        policy.step = len(decisions)
    if directory is not None:
        about = {"log": source, "round": len(decisions), "scale": learning.scale}
        save_policy(policy, directory / "policy", about)
    return BanditRun(policy, agent, config, directory, learning.rows, [], learning.rate, stopped)


class _Learning:
    """Gradient steps on rows drawn from a log, or one pass over them."""

    def __init__(
        self,
        agent: Any,
        config: BanditConfig,
        rows: DecisionExperience,
        probability: np.ndarray,
        seed: int,
        is_linear: bool,
        directory: Path | None,
        watch: Callable[[dict[str, Any]], Any] | None,
    ):
        self._agent, self._config, self._is_linear, self._watch = agent, config, is_linear, watch
        self._writer = None if directory is None else MetricsWriter(directory)
        self._random = np.random.default_rng(seed)
        reward = rows.experience.reward
        self._scales = not is_linear and config.exploration != "ensemble"
        self.scale = max(float(np.sqrt(np.mean(np.square(reward, dtype=np.float64)))), 1.0) if self._scales else 1.0
        info = PolicyInfo(log_probability=np.log(np.nan_to_num(probability, nan=1.0)).astype(np.float32)[:, None])
        self._experience = rows.experience._replace(reward=reward / np.float32(self.scale), policy_info=info)
        self._weights = None if is_linear else rows.weights
        self._stopped = False
        self.rows: list[dict[str, Any]] = []
        self.rate = 0.0

    def start_with(self, learned: WarmStart) -> None:
        """Makes what was learned before the agent's first weights."""
        state = self._agent.get_state()
        self._agent.set_state(jax.tree.map(jnp.copy, learned.begun(state, self.scale if self._scales else None)))

    def run(self, rounds: int) -> bool:
        """Learns, leaves the agent with its weights, and returns whether it was stopped before the end."""
        config, count = self._config, len(self._experience.reward)
        state = self._agent.get_state()
        update = jax.jit(self._agent.update_many, donate_argnums=0, compiler_options=self._agent.compiler_options())
        if self._is_linear:
            size = min(config.batch_size, count)
            batches = np.array_split(np.arange(count), range(size, count, size))
            plan = [np.array([batch]) for batch in batches]
        else:
            steps = max(1, rounds // config.learn_every * config.updates)
            each = max(1, steps // config.reports)
            plan = [(each, config.batch_size)] * (steps // each)
        taken, started = 0, time.perf_counter()
        losses: list[np.ndarray] = []  # since the last report
        every = max(1, len(plan) // config.reports)
        try:
            with Interrupts(self._stop):
                for number, entry in enumerate(plan, 1):
                    chosen = self._random.integers(0, count, entry) if isinstance(entry, tuple) else entry
                    batch = jax.tree.map(lambda leaf, chosen=chosen: leaf[chosen], self._experience)
                    weights = None if self._weights is None else self._weights[chosen]
                    state, info = update(state, batch, weights)
                    taken += len(chosen)
                    losses.append(info.loss)
                    if number % every == 0 or number == len(plan):
                        self._report(taken, np.concatenate(losses), time.perf_counter() - started)
                        losses = []
                    if self._stopped:
                        break
        finally:
            if self._writer is not None:
                self._writer.close()
        self.rate = taken / max(time.perf_counter() - started, 1e-9)
        self._agent.set_state(in_units(state, jnp.float32(self.scale)) if self.scale != 1.0 else state)
        return self._stopped

    def _stop(self) -> None:
        self._stopped = True

    def _report(self, step: int, losses: np.ndarray, seconds: float) -> None:
        refused = int(np.sum(~np.isfinite(losses)))
        loss = float(np.mean(losses, where=np.isfinite(losses))) if refused < len(losses) else math.nan
        row = {"kind": "log", "step": step, "loss": loss, "seconds": seconds}
        self.rows.append(row)
        self._emit(row)
        if self._writer is not None:
            self._writer.scalars({"Losses/loss": loss}, step)
        if refused:
            self._emit({"kind": "warning", "step": step, "refused": refused, "updates": len(losses)})
        if refused == len(losses):
            raise NonFiniteError(
                "every gradient step since the last report was refused: not finite",
                got=f"{refused} refused steps up to step {step}",
                cause="rewards or contexts that are too large, or a learning rate that is too high.",
                fix="--learning-rate 1e-3",
            )

    def _emit(self, row: dict[str, Any]) -> None:
        if self._writer is not None:
            self._writer.write(row)
        if self._watch is not None:
            self._watch(row)
