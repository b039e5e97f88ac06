"""Names, scopes and submodules."""

import jax
import numpy as np
import pytest

from jaxdaw import specs
from jaxdaw.networks import EncodingNetwork, Module, QNetwork


class Part(Module):
    def __init__(self, name=None, *parts, **named):
        super().__init__(name)
        self.parts = list(parts)
        self.named = named

    @Module.with_name_scope
    def double(self, x):
        """Doubles."""
        return 2 * x


def test_name_defaults_to_the_class():
    assert Part().name == "Part"
    assert Part("wing").name == "wing"
    assert Part("wing").name_scope == "wing"


def test_with_name_scope_marks_what_is_computed():
    part = Part("wing")
    assert float(part.double(2.0)) == 4.0
    assert part.double.__doc__ == "Doubles."
    text = jax.jit(part.double).lower(1.0).as_text(debug_info=True)
    assert "wing" in text


def test_networks_name_what_they_compute():
    network = EncodingNetwork(specs.TensorSpec((2,), np.float32), fc_layer_params=(2,), name="retina")
    lowered = jax.jit(network.apply).lower(network.get_weights(), np.ones((1, 2), np.float32))
    assert "retina" in lowered.as_text(debug_info=True)


def test_submodules_are_found_at_every_depth_and_once():
    leaf = Part("leaf")
    branch = Part("branch", leaf, twig={"a": (leaf, Part("bud"))})
    tree = Part("tree", branch, leaf)
    branch.parts.append(tree)  # a cycle ends
    assert [module.name for module in tree.submodules] == ["branch", "leaf", "bud"]
    network = QNetwork(specs.TensorSpec((2,), np.float32), specs.BoundedTensorSpec((), np.int32, 0, 1))
    assert [module.name for module in network.submodules] == ["EncodingNetwork"]
    assert Part("holder", network).submodules == (network, network.encoder)


def test_use_before_the_base_constructor_is_refused():
    class Hasty(Module):
        def __init__(self):
            self._require_initialized()

    with pytest.raises(RuntimeError, match=r"Hasty was used before(.|\n)*super\(\).__init__"):
        Hasty()
