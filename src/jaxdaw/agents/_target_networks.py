"""Target networks: how an agent comes by one, and how it follows the network that is trained."""

from __future__ import annotations

import math
import warnings
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxdaw.agents._checks import check_range
from jaxdaw.errors import ConfigError, JaxdawWarning
from jaxdaw.math import soft_update
from jaxdaw.networks import Network, Weights, require_network


def check_bootstrapping(gamma: Any, target_update_tau: Any, target_update_period: Any) -> None:
    """Checks the numbers of agents that bootstrap, and warns of TF-Agents' defaults, which are rarely meant.

    Raises:
      ConfigError: one outside its range.
    """
    check_range("target_update_tau", target_update_tau, 0.0, 1.0)
    check_range("target_update_period", target_update_period, 1, math.inf, integer=True)
    check_range("gamma", gamma, 0.0, 1.0)
    if gamma == 1.0:
        warnings.warn(
            "gamma=1.0, the default of TF-Agents, adds up rewards without end where episodes are cut by a time "
            "limit, and values can diverge: gamma=0.99",
            JaxdawWarning,
            stacklevel=4,
        )
    if target_update_period == 1 and target_update_tau == 1.0:
        warnings.warn(
            "target_update_period=1 and target_update_tau=1.0, the defaults of TF-Agents, copy the weights at "
            "every step: there is no target network. target_update_period=200, or target_update_tau=0.005",
            JaxdawWarning,
            stacklevel=4,
        )


def check_apart(networks: dict[str, Network]) -> None:
    """Checks that no two networks share weights: what one learns would be the other's.

    Raises:
      ConfigError: two that do, by their names.
    """
    holders: dict[int, str] = {}
    for name, network in networks.items():
        for variable in network.variables:
            other = holders.setdefault(id(variable), name)
            if other != name:
                raise ConfigError(
                    f"{name} shares weights with {other}",
                    expected="weights of its own",
                    got="the same variables",
                    fix=f"{name}={other}.copy(), or clone() for the same weights in arrays of its own",
                )


def own_target(name: str, network: Network, target: Network | None) -> Network:
    """Returns a target network with weights of its own: a copy of the trained one, or the one that was given.

    Args:
      name: the constructor argument of the trained network; its target's is `target_` and this.
      network: what is trained.
      target: None for a copy.

    Raises:
      ConfigError: no network, or one of another structure.

    Warns:
      UserWarning: the target shares weights with the trained network (it is copied).
    """
    if target is None:
        return network.clone()
    require_network(f"target_{name}", target)
    shapes = [jax.tree.map(np.shape, one.get_weights().params) for one in (network, target)]
    if shapes[0] != shapes[1]:
        raise ConfigError(
            f"target_{name} has another structure than {name}",
            expected=str(shapes[0])[:100],
            got=str(shapes[1])[:100],
            fix=f"target_{name}=None, which copies {name}",
        )
    if {id(v) for v in network.variables} & {id(v) for v in target.variables}:
        warnings.warn(
            f"target_{name} shares weights with {name}; a copy is used, so that the target can lag behind. "
            f"Pass target_{name}=None or {name}.clone().",
            UserWarning,
            stacklevel=4,
        )
        return target.clone()
    return target


def updated_target(target: Weights, online: Weights, tau: float, period: int, train_step: Any) -> Weights:
    """Returns a target network's weights after one train step; pure.

    Args:
      target, online: the weights before, and those of the trained network after the step.
      tau: in `[0, 1]`, the share of the online weights.
      period: train steps between two updates.
      train_step: how many steps were taken before this one, `[]`.
    """
    moved = Weights(soft_update(target.params, online.params, tau), online.rest)
    if period == 1:
        return moved
    is_due = (train_step + 1) % period == 0
    return jax.tree.map(lambda new, old: jnp.where(is_due, new, old), moved, target)
