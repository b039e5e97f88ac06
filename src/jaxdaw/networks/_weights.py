"""Weights, and conversion between a module's variables and nested dictionaries of arrays."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jax.core import Tracer

from jaxdaw.errors import ConfigError, SpecError

_Path = tuple[str | int, ...]


class Weights(NamedTuple):
    """All arrays of a network as one pytree.

    Attributes:
      params: what training moves; nested dictionaries with string keys, e.g. `params["encoder"]["layer_0"]["kernel"]`.
      rest: everything else: batch statistics, the keys and counters of dropout; `{}` if there is nothing.
    """

    params: Any
    rest: Any


_SWAP = threading.Lock()
"""Held while the variables of networks are read or replaced together, so that no thread sees half of a train step."""


def read_arrays(variables: Sequence[nnx.Variable[Any]]) -> list[Any]:
    """Returns the arrays of variables, uncopied."""
    with _SWAP:
        return [variable._raw_value for variable in variables]


def write_arrays(variables: Sequence[nnx.Variable[Any]], arrays: Sequence[Any]) -> None:
    """Makes arrays those of the variables; shapes and dtypes are not looked at."""
    with _SWAP:
        _write(variables, arrays)


def _write(variables: Sequence[nnx.Variable[Any]], arrays: Sequence[Any]) -> None:
    """Does what `write_arrays` does, for a caller that holds the lock.

    `Variable.set_raw_value` asks each time whether the trace is the one that made the variable, which costs 2 us; it is
    only under a trace that the answer can be no.
    """
    if variables and isinstance(arrays[0], Tracer):
        variables[0].set_raw_value(arrays[0])
    for variable, array in zip(variables, arrays, strict=True):
        object.__setattr__(variable, "_raw_value", array)


class Facts:
    """What is known of one network besides its variables. To nnx it is one opaque static object."""

    def __init__(self, owner: nnx.Module, input_tensor_spec: Any, state_spec: Any):
        self.owner = owner
        self.input_tensor_spec = input_tensor_spec
        self.state_spec = state_spec
        self.layout: Layout | None = None
        self.output_spec: tuple[Any] | None = None


def duplicate(node: Any, memo: dict[int, Any]) -> Any:
    """Returns a copy of an nnx object with variables in arrays of their own, in the same order of construction.

    Objects that it holds twice, or that `memo` knows, stay shared. What is no nnx object (functions, specs, numbers) is
    not copied. `copy.deepcopy` itself fails here: nnx passes `Variable.__deepcopy__` on to the array.

    Args:
      node: a module, a variable, or a container of these.
      memo: copies by the id of the original, as in `copy.deepcopy`.
    """
    if id(node) in memo:
        return memo[id(node)]
    if isinstance(node, nnx.Variable):
        twin: Any = node.copy(jax.tree.map(jnp.copy, node.get_raw_value()))
    elif isinstance(node, nnx.Pytree):
        twin = memo[id(node)] = object.__new__(type(node))
        vars(twin).update({name: duplicate(value, memo) for name, value in vars(node).items()})
    elif isinstance(node, Facts):
        twin = Facts(memo[id(node.owner)], node.input_tensor_spec, node.state_spec)
    elif type(node) is dict:
        twin = {key: duplicate(value, memo) for key, value in node.items()}
    elif type(node) in (list, tuple):
        twin = type(node)(duplicate(value, memo) for value in node)
    else:
        return node
    memo[id(node)] = twin
    return twin


class Layout:
    """Where a module keeps its variables; found once, so that gathering and writing back are a few microseconds.

    A variable's name is its path joined by `/`, where an index is joined to its list by `_`: the kernel of
    `self.encoder.layer[0]` is `encoder/layer_0/kernel`.

    Args:
      module: its structure must not change afterwards.

    Raises:
      ConfigError: two variables have the same name, or one holds more than one array.
    """

    def __init__(self, module: nnx.Module):
        self._graphdef, params, rest = nnx.split(module, nnx.Param, ...)
        self.params = _Group(module, nnx.to_pure_dict(params))
        self.rest = _Group(module, nnx.to_pure_dict(rest))
        merged = sorted([*self.params.ranked, *self.rest.ranked], key=lambda entry: entry[0])
        self.named_variables = [(_name_of(path), variable) for _, path, variable in merged]

    def gather(self) -> Weights:
        """Returns the variables' raw arrays, uncopied."""
        with _SWAP:
            return Weights(self.params.gather(), self.rest.gather())

    def scatter(self, weights: Weights) -> None:
        """Makes `weights` the variables' arrays; nothing is written unless structure, shapes and dtypes agree."""
        params, rest = self.params.admit(weights[0]), self.rest.admit(weights[1])
        with _SWAP:
            self.params.write(params)
            self.rest.write(rest)

    @property
    def variables(self) -> list[nnx.Variable[Any]]:
        """The variables in the order of the leaves of `gather()`."""
        return [*self.params.variables, *self.rest.variables]

    def merge(self, weights: Weights) -> Any:
        """Returns a module of the same structure that holds `weights`."""
        return nnx.merge(self._graphdef, self.params.to_graph(weights[0]), self.rest.to_graph(weights[1]))


class _Group:
    """One kind of variables: those that training moves, or the others."""

    def __init__(self, module: nnx.Module, state: Mapping[Any, Any]):
        found = {path: _locate(module, path) for path in _leaf_paths(state)}
        self.ranked = sorted(
            ((_rank(module, path), path, variable) for path, variable in found.items()), key=lambda entry: entry[0]
        )
        nested = _nest((_keys_of(path), (path, variable)) for path, variable in found.items())
        located, self._treedef = jax.tree.flatten(nested, is_leaf=lambda x: isinstance(x, tuple))
        self._paths: list[_Path] = [path for path, _ in located]
        self._variables: list[nnx.Variable[Any]] = [variable for _, variable in located]

    @property
    def names(self) -> list[str]:
        """The names in the order of the pytree's leaves, which is that of sorted keys."""
        return [_name_of(path) for path in self._paths]

    @property
    def variables(self) -> Sequence[nnx.Variable[Any]]:
        """The variables in the order of the pytree's leaves."""
        return self._variables

    def gather(self) -> Any:
        return self._treedef.unflatten(self.arrays())

    def arrays(self) -> list[Any]:
        return [variable._raw_value for variable in self._variables]

    def leaves(self, tree: Any) -> list[Any]:
        return self._treedef.flatten_up_to(tree)

    def admit(self, tree: Any) -> list[Any]:
        try:
            leaves = self.leaves(tree)
        except (ValueError, TypeError) as error:
            raise SpecError(
                "the weights have another structure than the network",
                expected=", ".join(self.names[:3]) + (", ..." if len(self.names) > 3 else ""),
                got=str(jax.tree.structure(tree))[:100],
                cause="weights of another network.",
            ) from error
        for index, (leaf, variable) in enumerate(zip(leaves, self._variables, strict=True)):
            old = variable.get_raw_value()
            if leaf.shape != old.shape or leaf.dtype != old.dtype:
                raise SpecError(
                    f"the weights do not fit the network at {self.names[index]}",
                    expected=f"{old.dtype} {old.shape}",
                    got=f"{leaf.dtype} {leaf.shape}",
                    cause="weights of a population (vmapped init) or of another network.",
                )
        return leaves

    def write(self, leaves: Sequence[Any]) -> None:
        _write(self._variables, leaves)

    def to_graph(self, tree: Any) -> dict[Any, Any]:
        """Returns the leaves under the keys by which nnx knows them, with integers for lists."""
        return _nest(zip(self._paths, self.leaves(tree), strict=True))

    def read_from(self, module: nnx.Module) -> Any:
        """Returns what `gather` would for another module of the same structure."""
        return self._treedef.unflatten([_locate(module, path).get_raw_value() for path in self._paths])


def _leaf_paths(tree: Any, path: _Path = ()) -> list[_Path]:
    if not isinstance(tree, Mapping):
        return [path]
    return [leaf for key, child in tree.items() for leaf in _leaf_paths(child, (*path, key))]


def _locate(node: Any, path: _Path) -> nnx.Variable[Any]:
    for depth, key in enumerate(path):
        if isinstance(node, nnx.Variable):
            raise ConfigError(
                f"the variable {_name_of(path[:depth])} holds a nest of arrays",
                expected="one array",
                fix="make one variable for each array",
            )
        node = _child(node, key)
    return node


def _child(node: Any, key: str | int) -> Any:
    return node[key] if isinstance(key, int) or isinstance(node, Mapping) else getattr(node, key)


def _rank(node: Any, path: _Path) -> tuple[int, ...]:
    """Returns where each step of the path stands among its siblings in the order of construction."""
    rank = []
    for key in path:
        siblings: list[Any] = list(node if isinstance(node, Mapping) else vars(node))
        rank.append(key if isinstance(key, int) else siblings.index(key))
        node = _child(node, key)
    return tuple(rank)


def _keys_of(path: _Path) -> tuple[str, ...]:
    keys: list[str] = []
    for key in path:
        if isinstance(key, int) and keys:
            keys[-1] += f"_{key}"
        else:
            keys.append(str(key))
    return tuple(keys)


def _name_of(path: _Path) -> str:
    return "/".join(_keys_of(path))


def _nest(flat: Iterable[tuple[Any, Any]]) -> dict[Any, Any]:
    nested: dict[Any, Any] = {}
    for path, value in flat:
        node = nested
        for key in path[:-1]:
            node = node.setdefault(key, {})
        if not isinstance(node, dict) or path[-1] in node:
            raise ConfigError(f"two variables are called {_name_of(path)}", fix="rename one of the attributes")
        node[path[-1]] = value
    return nested
