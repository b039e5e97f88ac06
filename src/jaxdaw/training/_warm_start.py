"""What a run of a bandit starts with when it goes on where another one ended: its weights, and their scale."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxdaw import specs
from jaxdaw.agents import AgentState
from jaxdaw.errors import ConfigError, JaxdawWarning, SpecError, StorageError
from jaxdaw.networks import Network, Weights
from jaxdaw.policies import GreedyRewardPredictionPolicy
from jaxdaw.storage import read_document
from jaxdaw.training._description import describe_network
from jaxdaw.training._policy_file import POLICY, load_policy
from jaxdaw.training._reward_units import RewardUnits


class WarmStart(NamedTuple):
    """What was learned before.

    Attributes:
      weights: of the reward network; predictions are in units of reward.
      units: in which it learned.
      learned_keys: of the logged decisions that were learned from, see `Policy`.
    """

    weights: Weights
    units: RewardUnits
    learned_keys: np.ndarray | None

    def begun(self, network: Network, state: AgentState, units: RewardUnits) -> AgentState:
        """Returns a fresh state with these weights instead, of a network that learns in these units.

        Args:
          network: the reward network, like the one that learned before.
          state: of its agent.
          units: in which it is to learn.
        """
        begun = state._replace(
            params={**state.params, "reward_network": jax.tree.map(jnp.asarray, self.weights.params)},
            rest={**state.rest, "reward_network": jax.tree.map(jnp.asarray, self.weights.rest)},
        )
        return units.inverse().restored(network, begun)


def read_warm_start(path: str | Path, agent: Any) -> WarmStart:
    """Returns what a run or a saved policy has learned, for an agent to go on with.

    Args:
      path: a run directory, or what `save_policy` wrote.
      agent: of bandits.

    Raises:
      StorageError: neither lies there.
      SpecError: the policy was trained for other observations or actions.
      ConfigError: it is not a policy of bandits, or its reward model is another.
    """
    path = Path(path)
    directory = path if (path / POLICY.document).is_file() else path / "policy"
    if not (directory / POLICY.document).is_file():
        raise StorageError(
            f"{path} holds nothing to start with",
            expected="a run of `jaxdaw train bandit`, or a saved policy",
            got="a directory" if path.is_dir() else "nothing there" if not path.exists() else "a file",
        )
    policy: Any = load_policy(directory)
    inner = getattr(policy, "wrapped_policy", policy)
    if not isinstance(inner, GreedyRewardPredictionPolicy):
        raise ConfigError(
            f"{path} was not learned by a bandit", expected="a policy over predicted rewards", got=type(inner).__name__
        )
    expected, got = _decisions_of(agent), _decisions_of(inner)
    if expected != got:
        raise SpecError(
            f"{path} was learned from other decisions",
            expected=", ".join(text for text in expected if text not in got)[:200] or "nothing else",
            got=", ".join(text for text in got if text not in expected)[:200] or "nothing else",
            cause="another bandit, or another number of actions.",
        )
    _refuse_other_network(path, agent.reward_network, inner.reward_network)
    told = read_document(directory, POLICY)["metadata"]
    units = RewardUnits(float(told.get("offset", 0.0)), float(told.get("scale", 1.0)))
    return WarmStart(inner.reward_network.get_weights(), units, policy.learned_keys)


def learned_before(path: str | Path | None, agent: Any) -> np.ndarray | None:
    """Returns the keys of what was learned from before a run that is resumed; None for nothing.

    Warns:
      JaxdawWarning: what the run started with is not there any more.
    """
    if path is None:
        return None
    try:
        return read_warm_start(path, agent).learned_keys
    except StorageError:
        text = (
            f"{path}, which this run started with, is gone: what it learned from is not told from other decisions"
            f"\n  Fix: put it back before the policy is judged on a log"
        )
        warnings.warn(text, JaxdawWarning, stacklevel=2)
        return None


def all_keys(*parts: np.ndarray | None) -> np.ndarray | None:
    """Returns the keys of several parts, sorted, each once; None where there is no part."""
    given = [part for part in parts if part is not None]
    return np.unique(np.concatenate(given)) if given else None


def _decisions_of(which: Any) -> list[str]:
    """Returns what an agent or a policy sees and chooses from, in words."""
    seen = specs.flatten_with_path(which.time_step_spec.observation)
    return [
        *(f"observation{place} {leaf.dtype} {leaf.shape}" for place, leaf in seen),
        f"{int(specs.num_values(which.action_spec))} actions",
    ]


def _refuse_other_network(path: Path, ours: Network, theirs: Network) -> None:
    expected, got = (_without_specs(describe_network(network)) for network in (ours, theirs))
    if expected == got:
        return
    wanted, found = expected["arguments"], got["arguments"]
    different = [name for name in wanted | found if wanted.get(name) != found.get(name)]
    raise ConfigError(
        f"{path} holds another reward model than these options make",
        expected=", ".join([expected["class"], *(f"{name}={wanted.get(name)}" for name in different)])[:200],
        got=", ".join([got["class"], *(f"{name}={found.get(name)}" for name in different)])[:200],
        cause="options of the network, its loss or its exploration that the other run did not have.",
        fix="those of the other run's config.json",
    )


def _without_specs(described: Any) -> Any:
    """Returns a description without what is compared before, and without names."""
    if isinstance(described, dict):
        if "spec" in described:
            return "spec"
        return {key: _without_specs(value) for key, value in described.items() if key != "name"}
    return [_without_specs(value) for value in described] if isinstance(described, list) else described
