"""EnsembleNetwork: several networks of the same architecture, stacked along a leading axis."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from jaxdaw.errors import ConfigError
from jaxdaw.networks._constructor_arguments import as_rngs
from jaxdaw.networks._network import Network
from jaxdaw.networks._weights import Weights


class _Template:
    """Holds the network that the members are copies of, hidden from nnx: its weights are not the ensemble's."""

    def __init__(self, network: Network):
        self.network = network


class EnsembleNetwork(Network):
    """M networks with weights of their own, computed together by `jax.vmap`; the output is their mean.

    Every variable of the network becomes one with a leading axis M. With `prior_scale` each member's output is its
    network's plus `prior_scale` times that of a random one that is never trained: members then disagree where there are
    no examples, however long they train (Osband, Aslanides & Cassirer 2018).

    Args:
      network: of which M are made; its own weights are not used. Without memory.
      num_members: M, at least 1.
      prior_scale: 0 or more, of the untrained networks, in units of the output; 0 makes none.
      name: defaults to the class name.
      rngs: streams of random numbers for the weights, or a seed.

    Raises:
      ConfigError: a network with memory, no members, or a scale below 0.
    """

    def __init__(
        self,
        network: Network,
        num_members: int = 10,
        prior_scale: float = 0.0,
        name: str | None = None,
        *,
        rngs: nnx.Rngs | int = 0,
    ):
        super().__init__(network.input_tensor_spec, (), name)
        for problem, expected, got in (
            (num_members < 1, "num_members of at least 1", num_members),
            (not 0.0 <= prior_scale < math.inf, "prior_scale in [0, inf)", prior_scale),
            (network.state_spec != (), "a network without memory", network.name),
        ):
            if problem:
                raise ConfigError(f"{self.name} cannot be made of this", expected=expected, got=str(got))
        self._template = _Template(network)
        self._num_members, self._prior_scale = int(num_members), float(prior_scale)
        rngs = as_rngs(rngs)
        members = jax.vmap(network.init_weights)(jax.random.split(rngs.params(), num_members))
        self._places = [jax.tree.structure(part) for part in members]
        _hold(self, "member", nnx.Param, members.params)
        _hold(self, "member_rest", nnx.Variable, members.rest)
        if prior_scale > 0.0:
            prior = jax.vmap(network.init_weights)(jax.random.split(rngs.params(), num_members))
            _hold(self, "prior", nnx.Variable, prior.params)
            _hold(self, "prior_rest", nnx.Variable, prior.rest)

    @property
    def num_members(self) -> int:
        """How many networks there are."""
        return self._num_members

    def call(self, observation: Any, step_type: Any = None, training: bool = False) -> tuple[Any, Any]:
        """Returns the mean of the members' outputs, and `()`."""
        outputs = self._outputs(observation, step_type, training)
        return jax.tree.map(lambda x: jnp.mean(x, axis=0), outputs), ()

    def apply_members(
        self, weights: Weights, observation: Any, step_type: Any = None, training: bool = False
    ) -> tuple[Any, Any]:
        """Returns the outputs of all members, `[M, B, ...]`, and `weights.rest` after the call; pure.

        Args:
          weights, observation, step_type, training: as for `apply`. All members see the same observations.
        """
        layout = self._layout()
        module = layout.merge(weights)
        return module._outputs(observation, step_type, training), layout.rest.read_from(module)

    def map_members(self, params: Any, change: Callable[[Any], Any]) -> Any:
        """Returns the params after a change of the members', which leaves their structure as it is; pure.

        Args:
          params: of `get_weights().params`.
          change: of what `get_weights().params` of the network is that members were made of, with a leading axis M.
        """
        names = _names("member", self._places[0].num_leaves)
        changed = change(jax.tree.unflatten(self._places[0], [params[name] for name in names]))
        return {**params, **dict(zip(names, jax.tree.leaves(changed), strict=True))}

    def _outputs(self, observation: Any, step_type: Any, training: bool) -> Any:
        network = self._template.network

        def run(weights: Weights) -> tuple[Any, Any]:
            output, _, rest = network.apply(weights, observation, step_type, training=training)
            return output, rest

        members = Weights(_read(self, "member", self._places[0]), _read(self, "member_rest", self._places[1]))
        outputs, rest = jax.vmap(run)(members)
        if training:
            _write(self, "member_rest", rest)
        if self._prior_scale > 0.0:
            prior = Weights(_read(self, "prior", self._places[0]), _read(self, "prior_rest", self._places[1]))
            untrained, _ = jax.vmap(run)(prior)
            outputs = jax.tree.map(lambda x, y: x + self._prior_scale * y, outputs, untrained)
        return outputs

    def _spec_for(self, observation: Any) -> Any:
        """Returns the spec that the members have for an observation."""
        return self._template.network._spec_for(observation)


def _names(prefix: str, count: int) -> list[str]:
    return [f"{prefix}_{index}" for index in range(count)]


def _hold(network: EnsembleNetwork, prefix: str, kind: type[nnx.Variable[Any]], tree: Any) -> None:
    leaves = jax.tree.leaves(tree)
    for name, leaf in zip(_names(prefix, len(leaves)), leaves, strict=True):
        setattr(network, name, kind(leaf))


def _read(network: EnsembleNetwork, prefix: str, structure: Any) -> Any:
    names = _names(prefix, structure.num_leaves)
    return jax.tree.unflatten(structure, [getattr(network, name).get_raw_value() for name in names])


def _write(network: EnsembleNetwork, prefix: str, tree: Any) -> None:
    leaves = jax.tree.leaves(tree)
    for name, leaf in zip(_names(prefix, len(leaves)), leaves, strict=True):
        getattr(network, name).set_raw_value(leaf)
