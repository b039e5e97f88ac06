"""Decider: answers one JSON line with a context by one with a decision, as a log holds it."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import secrets
import time
import uuid
from collections.abc import Iterable, Iterator
from difflib import get_close_matches
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxdaw import specs
from jaxdaw.distributions import Categorical
from jaxdaw.errors import ConfigError, SpecError
from jaxdaw.policies import Policy, check_bandit_action
from jaxdaw.trajectories import StepType, TimeStep

_FIELDS = ("context", "eligible", "decision_id")
_RENAMED = {"arms": "eligible", "id": "decision_id", "event_id": "decision_id", "observation": "context"}


class Decider:
    """Answers contexts with decisions: actions, and the probabilities with which they were drawn.

    The answers are a log in JSON Lines: `read_decisions`, `jaxdaw log audit` and `jaxdaw ope` read them, and join them
    by `decision_id` with the outcomes that come later.

    Where only some arms are eligible, the policy's way to explore goes on among them: epsilon-greedy and SquareCB treat
    the others as masked; of Thompson sampling it is the distribution given that one of them is drawn.

    Args:
      policy: over one integer action; it explores as it was saved.
      seed: of the draws, so that the same lines get the same actions; None draws a seed.
      policy_version: that stands in every answer; None is the first 12 digits of the SHA-256 of the policy's weights.

    Raises:
      SpecError: another kind of action.

    >>> from jaxdaw import environments, policies
    >>> world = environments.BernoulliBandit((0.2, 0.8))
    >>> decider = Decider(policies.RandomPolicy(world.time_step_spec(), world.action_spec), 0, "v1")
    >>> answer = decider.answer('{"decision_id": "a", "context": [1.0], "eligible": [1]}')
    >>> answer["action"], answer["eligible"], answer["probabilities"], answer["policy_version"]
    (1, [1], [1.0], 'v1')
    >>> decider.answer('{"context": ')["error"][:17]
    'the line is no JS'
    """

    def __init__(self, policy: Policy, seed: int | None = None, policy_version: str | None = None):
        self._num_actions = int(specs.num_values(check_bandit_action(policy.action_spec, "Decider")))
        self._spec = policy.time_step_spec.observation
        self._weights = policy.get_weights()
        self._words = jax.random.key(secrets.randbits(32) if seed is None else seed)
        self.policy_version = _digest(policy) if policy_version is None else policy_version
        self.answered = 0
        self.refused = 0

        def decide(weights: Any, observation: Any, allowed: Any, key: Any) -> tuple[jax.Array, jax.Array]:
            time_step = TimeStep(
                step_type=jnp.full((1,), StepType.FIRST, jnp.int32),
                reward=jnp.zeros((1, *policy.time_step_spec.reward.shape), jnp.float32),
                discount=jnp.ones((1,), jnp.float32),
                observation=observation,
            )
            choice = policy.distribute(weights, time_step, policy.initial_state(1)).action
            if not hasattr(choice, "mask"):  # a distribution over bounds, as RandomPolicy has: list the probabilities
                actions = jnp.arange(self._num_actions, dtype=choice.sample(key).dtype)
                choice = Categorical(choice.log_prob(actions[:, None]).T)
            own = choice.mask
            choice = dataclasses.replace(choice, mask=allowed if own is None else own & allowed)
            action = choice.sample(key)
            return action[0], choice.probs[0]

        self._decide = jax.jit(decide)

    def lines(self, lines: Iterable[str]) -> Iterator[str]:
        """Yields a line of JSON for each line that is not empty; a bad one is answered with an `error`, and counted."""
        for line in lines:
            if line.strip():
                yield json.dumps(self.answer(line))

    def answer(self, line: str) -> dict[str, Any]:
        """Returns the answer to one line.

        Args:
          line: a JSON object of `context`, a nest of lists as the policy's observations are; `eligible`, the numbers of
            the arms that can be chosen, all by default; and `decision_id`, which is made where it is absent. Other
            fields are refused: one that was to restrict the choice must not be dropped.

        Returns:
          The decision: `decision_id`, `time`, `policy_version`, `context` (and `arm_features`, where the policy sees
          them), `eligible` if the request had it, `probabilities` of all arms or of the eligible ones in their
          order, `action` and its `probability`. Or `decision_id` and `error`.
        """
        name: Any = None
        try:
            asked = _parsed(line)
            name = asked.get("decision_id")
            _refuse_unknown(asked, name)
            observation, allowed = self._observation(asked), self._allowed(asked)
            key = jax.random.fold_in(self._words, self.answered + self.refused)
            action, probabilities = jax.device_get(self._decide(self._weights, observation, allowed, key))
            if not 0 <= int(action) < self._num_actions:
                raise SpecError("the policy has no action here", expected="an eligible arm", got="none")
        except (SpecError, ConfigError) as error:
            self.refused += 1
            return {"decision_id": name, "error": str(error).splitlines()[0]}
        self.answered += 1
        eligible = asked.get("eligible")
        told = range(self._num_actions) if eligible is None else eligible
        return {
            "decision_id": uuid.uuid4().hex if name is None else name,
            "time": time.time(),
            "policy_version": self.policy_version,
            **self._seen(asked["context"]),
            **({} if eligible is None else {"eligible": eligible}),
            "probabilities": [float(probabilities[arm]) for arm in told],
            "action": int(action),
            "probability": float(probabilities[int(action)]),
        }

    def _seen(self, context: Any) -> dict[str, Any]:
        """Returns the context as the columns of a log."""
        if isinstance(self._spec, dict) and set(self._spec) == {"global", "per_arm"}:
            return {"context": context["global"], "arm_features": context["per_arm"]}
        return {"context": context}

    def _observation(self, asked: dict[str, Any]) -> Any:
        if "context" not in asked:
            raise SpecError("the line has no context", expected='"context"', got=", ".join(asked)[:40])
        context = asked["context"]
        try:
            if isinstance(self._spec, specs.TensorSpec):
                found = _array(context, self._spec)
            else:
                if not isinstance(context, dict) or set(context) != set(self._spec):
                    raise ValueError(f"expected an object of {', '.join(self._spec)}")
                found = {key: _array(context[key], spec) for key, spec in self._spec.items()}
        except (TypeError, ValueError, KeyError) as error:
            raise SpecError(f"the context does not fit: {str(error).splitlines()[0]}") from error
        return found

    def _allowed(self, asked: dict[str, Any]) -> np.ndarray:
        arms = asked.get("eligible")
        allowed = np.full((1, self._num_actions), arms is None)
        if arms is not None:
            fits = isinstance(arms, list) and all(
                isinstance(arm, int) and not isinstance(arm, bool) and 0 <= arm < self._num_actions for arm in arms
            )
            if not fits or not arms or len(set(arms)) != len(arms):
                what = f"eligible is no list of different numbers in 0..{self._num_actions - 1}"
                raise SpecError(what, got=str(arms)[:40])
            allowed[0, arms] = True
        return allowed


def _parsed(line: str) -> dict[str, Any]:
    def refuse(word: str) -> Any:
        raise ValueError(f"{word} is no number")

    try:
        asked = json.loads(line, parse_constant=refuse)
    except (ValueError, RecursionError) as error:
        raise SpecError(f"the line is no JSON: {error}") from error
    if not isinstance(asked, dict):
        raise SpecError("the line is no JSON object", expected='{"context": [...]}', got=type(asked).__name__)
    return asked


def _refuse_unknown(asked: dict[str, Any], name: Any) -> None:
    unknown = sorted(set(asked) - set(_FIELDS))
    if unknown:
        close = [_RENAMED.get(field) or next(iter(get_close_matches(field, _FIELDS, 1)), None) for field in unknown]
        hint = "; ".join(f"is {field[:40]} meant to be {near}?" for field, near in zip(unknown, close) if near)
        told = ", ".join(field[:40] for field in unknown[:3])
        raise SpecError(f"unknown fields: {told}. Known are {', '.join(_FIELDS)}. {hint}".strip())
    if name is not None and not isinstance(name, str):
        raise SpecError("decision_id is no text", expected='"a1"', got=type(name).__name__)


def _digest(policy: Policy) -> str:
    digest = hashlib.sha256(policy.name.encode())
    for leaf in jax.tree.leaves(jax.device_get(policy.get_weights())):
        digest.update(np.ascontiguousarray(leaf).tobytes())
    return digest.hexdigest()[:12]


def _array(values: Any, spec: specs.TensorSpec) -> np.ndarray:
    found = np.asarray(values)
    if found.dtype.kind not in "iufb":
        raise ValueError(f"expected numbers, got {found.dtype}")
    if found.shape != spec.shape:
        raise ValueError(f"expected shape {spec.shape}, got {found.shape}")
    with np.errstate(over="ignore"):
        found = found.astype(spec.dtype)
    if not np.isfinite(found).all():
        raise ValueError("a number is too large")
    return found[None]
