"""Ensembles against their members, one by one."""

from __future__ import annotations

import jax
import numpy as np
import pytest

from jaxdaw import specs
from jaxdaw.errors import ConfigError
from jaxdaw.networks import EnsembleNetwork, QNetwork, QRnnNetwork, Weights

OBSERVATION = specs.TensorSpec((3,), np.float32)
ACTION = specs.BoundedTensorSpec((), np.int32, 0, 2)
ROWS = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)


def one(dropout: float | None = None) -> QNetwork:
    options = {} if dropout is None else {"dropout_layer_params": (dropout,)}
    return QNetwork(OBSERVATION, ACTION, fc_layer_params=(5,), **options)


@pytest.mark.parametrize("prior_scale", [0.0, 2.0])
def test_members_are_networks_of_their_own_and_the_output_is_their_mean(prior_scale: float):
    network, keys = one(), jax.random.split(jax.random.key(1), 3)
    ensemble = EnsembleNetwork(network, 3, prior_scale)
    members = [network.init_weights(key) for key in keys]
    stacked = jax.tree.map(lambda *leaves: np.stack(leaves), *members)
    params = dict(ensemble.get_weights().params)
    for name, leaf in zip(sorted(params), jax.tree.leaves(stacked.params), strict=True):
        assert params[name].shape == leaf.shape
        params[name] = leaf
    weights = Weights(params, ensemble.get_weights().rest)
    outputs, _ = ensemble.apply_members(weights, ROWS)
    trained = np.stack([network.apply(member, ROWS)[0] for member in members])
    if prior_scale == 0.0:
        np.testing.assert_allclose(outputs, trained, rtol=1e-5, atol=1e-6)
    else:
        zeros = Weights(jax.tree.map(np.zeros_like, params), weights.rest)
        untrained, _ = ensemble.apply_members(zeros, ROWS)  # what is never trained; a network of zeros adds nothing
        np.testing.assert_allclose(outputs, trained + untrained, rtol=1e-4, atol=1e-5)
        assert np.ptp(untrained, axis=0).min() > 0
    np.testing.assert_allclose(ensemble.apply(weights, ROWS)[0], np.mean(outputs, axis=0), rtol=1e-5, atol=1e-6)


def test_members_differ_and_copies_are_fresh():
    ensemble = EnsembleNetwork(one(), 4)
    outputs, _ = ensemble.apply_members(ensemble.get_weights(), ROWS)
    assert outputs.shape == (4, 4, 3)
    assert np.ptp(outputs, axis=0).min() > 1e-4
    assert not np.allclose(ensemble.copy()(ROWS)[0], ensemble(ROWS)[0])
    np.testing.assert_array_equal(ensemble.clone()(ROWS)[0], ensemble(ROWS)[0])
    population = jax.vmap(ensemble.init_weights)(jax.random.split(jax.random.key(0), 2))
    assert not np.allclose(population.params["member_1"][0], population.params["member_1"][1])


def test_dropout_of_the_members_moves_on_when_training():
    ensemble = EnsembleNetwork(one(dropout=0.5), 2)
    weights = ensemble.get_weights()
    first, rest = ensemble.apply_members(weights, ROWS, training=True)
    second, _ = ensemble.apply_members(Weights(weights.params, rest), ROWS, training=True)
    assert not np.allclose(first, second)
    np.testing.assert_array_equal(first, ensemble.apply_members(weights, ROWS, training=True)[0])


@pytest.mark.parametrize(
    "make",
    [
        lambda: EnsembleNetwork(one(), 0),
        lambda: EnsembleNetwork(one(), 2, prior_scale=-1.0),
        lambda: EnsembleNetwork(QRnnNetwork(OBSERVATION, ACTION, lstm_size=(4,)), 2),
    ],
    ids=["members", "scale", "memory"],
)
def test_constructor_refuses(make):
    with pytest.raises(ConfigError, match="cannot be made of this"):
        make()
