"""How fresh weights are distributed, against the table of the reference."""

import json
from pathlib import Path

import numpy as np
import pytest

from jaxdaw import specs
from jaxdaw.networks import ActorNetwork, QNetwork, QRnnNetwork

ROWS = json.loads((Path(__file__).parent / "initial_weights.json").read_text())["rows"]

NOT_YET = {
    "ActorDistributionNetwork",
    "CategoricalProjection factor 0.1",
    "HeteroscedasticQNetwork",
    "NormalProjection factor 0.1",
    "NormalProjection factor 1",
    "TanhNormalProjection",
}
"""Networks of the table that do not exist here."""

OBSERVATION = specs.TensorSpec((300,), np.float32)
DISCRETE = specs.BoundedTensorSpec((), np.int32, 0, 59)
CONTINUOUS = specs.BoundedTensorSpec((150,), np.float32, -1.0, 1.0)

NETWORKS = {
    "QNetwork": lambda: QNetwork(OBSERVATION, DISCRETE, fc_layer_params=(200,)),
    "QRnnNetwork": lambda: QRnnNetwork(
        OBSERVATION, DISCRETE, input_fc_layer_params=(200,), lstm_size=(120,), output_fc_layer_params=(90,)
    ),
    "ActorNetwork": lambda: ActorNetwork(OBSERVATION, CONTINUOUS, fc_layer_params=(200,)),
}
NAMES = {
    ("QNetwork", "layer_0"): "encoder/layer_0",
    ("QNetwork", "layer_1"): "q",
    ("QRnnNetwork", "input_layer_0"): "encoder/encoder/layer_0",
    ("QRnnNetwork", "lstm_0"): "encoder/core/cell_0",
    ("QRnnNetwork", "output_layer_0"): "encoder/layer_0",
    ("QRnnNetwork", "q"): "q",
    ("ActorNetwork", "layer_0"): "encoder/layer_0",
    ("ActorNetwork", "layer_1"): "action",
}
GATES = "ifgo"


@pytest.fixture(scope="module")
def fresh():
    return {
        name: {path: np.asarray(variable.get_value()) for path, variable in make().named_variables()}
        for name, make in NETWORKS.items()
    }


def weight(fresh, network, name):
    layer, part = name.split("/")
    part, _, gate = part.rpartition("_") if part[-2:-1] == "_" else (part, "", "")
    array = fresh[network][f"{NAMES[network, layer]}/{part}"]
    return np.split(array, 4, axis=-1)[GATES.index(gate)] if gate else array


def test_every_network_of_the_table_is_built_here_or_named_as_missing():
    in_table = {row["network"] for row in ROWS}
    assert in_table == set(NETWORKS) | NOT_YET
    assert not set(NETWORKS) & NOT_YET


@pytest.mark.parametrize(
    "row", [row for row in ROWS if row["network"] in NETWORKS], ids=lambda row: f"{row['network']}-{row['weight']}"
)
def test_fresh_weights_follow_the_rule(row, fresh):
    array, expected = weight(fresh, row["network"], row["weight"]), row["expected"]
    assert list(array.shape) == row["measured"]["shape"]
    if "value" in expected:
        np.testing.assert_allclose(array, expected["value"], rtol=1e-6)
    elif "low" in expected:
        low, high = expected["low"], expected["high"]
        assert low <= array.min() < low * 0.99
        assert high * 0.99 < array.max() <= high
        np.testing.assert_allclose(array.std(), (high - low) / np.sqrt(12), rtol=0.03)
        assert abs(array.mean()) < 5 * array.std() / np.sqrt(array.size)
    elif "std" in expected:
        np.testing.assert_allclose(array.std(), expected["std"], rtol=0.03)
        assert abs(array.mean()) < 5 * expected["std"] / np.sqrt(array.size)
        # The standard deviation of a normal cut at two of its own is 0.8796 of it.
        assert np.abs(array).max() <= 2 * expected["std"] / 0.8796 * 1.001
    else:
        whole = fresh["QRnnNetwork"]["encoder/core/cell_0/recurrent_kernel"]
        np.testing.assert_allclose(whole @ whole.T, np.eye(len(whole)), atol=1e-5)
