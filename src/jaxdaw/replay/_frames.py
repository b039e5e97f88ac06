"""The layout of one frame: any nest of arrays, as a flat list of leaves and back."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import jax

from jaxdaw import specs
from jaxdaw.errors import ConfigError, SpecError


@dataclasses.dataclass(frozen=True)
class FrameLayout:
    """The leaves of a frame in the order of `jax.tree`, and the nest they came from. Hashable.

    Attributes:
      leaves: a `TensorSpec` each.
      structure: the nest around them.
    """

    leaves: tuple[specs.TensorSpec, ...]
    structure: Any

    @classmethod
    def of(cls, frame_spec: Any) -> FrameLayout:
        """Returns the layout of a nest of `TensorSpec`.

        Raises:
          SpecError: a leaf is no spec.
          ConfigError: there are no leaves, so there is nothing to store.
        """
        for path, leaf in specs.flatten_with_path(frame_spec):
            if not isinstance(leaf, specs.TensorSpec):
                got = type(leaf).__name__
                raise SpecError(f"frame_spec is no spec at {path or 'the top'}", expected="TensorSpec", got=got)
        # A Mapping of any class becomes a dict, which JAX knows as a container too.
        leaves, structure = jax.tree.flatten(specs.map_structure(lambda leaf: leaf, frame_spec))
        if not leaves:
            raise ConfigError("frame_spec has no leaves: there is nothing to store", got=repr(frame_spec))
        return cls(tuple(leaves), structure)

    @property
    def frame_spec(self) -> Any:
        """The nest of specs."""
        return self.nest(self.leaves)

    @property
    def frame_bytes(self) -> int:
        """Bytes of one frame on the host."""
        return sum(math.prod(leaf.shape) * leaf.dtype.itemsize for leaf in self.leaves)

    @property
    def paths(self) -> list[str]:
        """Where each leaf stands in the nest, as messages and checkpoints name it."""
        return jax.tree.leaves(specs.map_with_path(lambda path, _: path, self.frame_spec))

    def flatten(self, frames: Any, num_envs: int) -> list[Any]:
        """Returns the leaves `[num_envs, ...]` of a row of frames, in the order of `leaves`.

        Raises:
          SpecError: another structure, shape or dtype than the frame spec's. Read from static facts: no device waits.
        """
        specs.check(frames, self.frame_spec, outer_dims=(num_envs,), what="frames", check_bounds=False)
        return jax.tree.leaves(specs.pack_like(self.frame_spec, specs.flatten(frames)))

    def nest(self, leaves: Sequence[Any]) -> Any:
        """Returns the nest with these leaves."""
        return jax.tree.unflatten(self.structure, leaves)
