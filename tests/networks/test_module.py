"""Names, scopes and submodules."""

import copy
import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jaxdaw import networks, specs
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


SPEC = specs.TensorSpec((3,), np.float32)
ACTION = specs.BoundedTensorSpec((), np.int32, 0, 2)
ROWS = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
NETWORKS = {
    "q": lambda: QNetwork(SPEC, ACTION, fc_layer_params=(4, 4), dropout_layer_params=(0.5, None)),
    "recurrent": lambda: networks.QRnnNetwork(SPEC, ACTION, lstm_size=(4,)),
    "sequential": lambda: networks.Sequential([EncodingNetwork(SPEC, fc_layer_params=(4,)), jax.nn.tanh]),
    "ensemble": lambda: networks.EnsembleNetwork(QNetwork(SPEC, ACTION, fc_layer_params=(4,)), 3, prior_scale=0.5),
    "foreign": lambda: networks.Network.from_factory(lambda rngs: nnx.BatchNorm(3, rngs=rngs), SPEC),
    "normalizer": lambda: networks.StreamingNormalizer(SPEC),
}


@pytest.mark.parametrize("make", NETWORKS.values(), ids=NETWORKS)
def test_deep_copy_of_a_network_has_the_same_weights_in_arrays_of_its_own(make):
    network = make()
    twin = copy.deepcopy(network)
    assert type(twin) is type(network)
    assert twin.variable_names == network.variable_names
    before = network(ROWS)[0]
    np.testing.assert_array_equal(twin(ROWS)[0], before)
    for variable in network.variables:
        if jnp.issubdtype(variable.get_value().dtype, jnp.floating):
            variable.set_value(variable.get_value() + 1.0)
    np.testing.assert_array_equal(twin(ROWS)[0], before)
    assert not np.array_equal(network(ROWS)[0], before)
    again = twin.clone()
    np.testing.assert_array_equal(again(ROWS)[0], before)
    twin.set_weights(network.get_weights())
    np.testing.assert_array_equal(twin(ROWS)[0], network(ROWS)[0])


def test_layers_that_two_networks_share_are_shared_by_their_copies():
    encoder = EncodingNetwork(SPEC, fc_layer_params=(4,))
    pair = [networks.Sequential([encoder, jax.nn.relu]), networks.Sequential([encoder, jax.nn.tanh])]
    for one, other in (copy.deepcopy(pair), copy.deepcopy([encoder, pair[0]])):
        assert [id(v) for v in one.variables] == [id(v) for v in other.variables]
        assert id(one.variables[0]) != id(encoder.variables[0])


def test_deep_copy_in_the_middle_of_training_mode_keeps_what_moves():
    network = QNetwork(SPEC, ACTION, fc_layer_params=(4,), dropout_layer_params=(0.5,))
    network(ROWS, training=True)
    twin = copy.deepcopy(network)
    np.testing.assert_array_equal(twin(ROWS, training=True)[0], network(ROWS, training=True)[0])


def test_module_of_ones_own_is_copied_from_its_arguments_once_it_says_what_changes():
    with pytest.raises(TypeError, match="a Part cannot be copied: its class does not list changing_attributes"):
        copy.deepcopy(Part("wing"))

    class Counter(Part):
        changing_attributes = ("count",)

        def __init__(self, *parts):
            super().__init__("counter", *parts)
            self.count = 0

    counter = Counter(QNetwork(SPEC, ACTION))
    counter.count = 3
    twin = copy.deepcopy(counter)
    assert (twin.count, twin.name) == (3, "counter")
    assert twin.parts[0] is not counter.parts[0]
    shallow = copy.copy(counter)
    assert shallow.parts is counter.parts


def test_no_module_is_pickled():
    for module in (Part(), QNetwork(SPEC, ACTION)):
        with pytest.raises(TypeError, match="cannot be pickled"):
            pickle.dumps(module)
