"""Networks over arms: each arm's value is its own, whatever the others and however many there are."""

import numpy as np
import pytest

from jaxdaw import specs
from jaxdaw.errors import ConfigError, SpecError
from jaxdaw.networks import GlobalAndArmCommonTowerNetwork, GlobalAndArmDotProductNetwork, PerArmNetwork

SPEC = {"global": specs.TensorSpec((4,), np.float32), "per_arm": specs.TensorSpec((5, 3), np.float32)}
NESTED = {
    "global": {"age": specs.TensorSpec((), np.int32), "history": specs.TensorSpec((3,), np.float32)},
    "per_arm": {"price": specs.TensorSpec((5,), np.float32), "text": specs.TensorSpec((5, 2), np.float32)},
}
RANDOM = np.random.default_rng(0)
OBSERVATION = {
    "global": RANDOM.normal(size=(2, 4)).astype(np.float32),
    "per_arm": RANDOM.normal(size=(2, 5, 3)).astype(np.float32),
}
MAKERS = {
    "common": lambda spec: GlobalAndArmCommonTowerNetwork(spec, (6,), (7,), (5,)),
    "dot": lambda spec: GlobalAndArmDotProductNetwork(spec, (6, 4), (4,)),
}


@pytest.mark.parametrize("kind", MAKERS)
def test_arms_are_valued_one_by_one(kind):
    network = MAKERS[kind](SPEC)
    together, _ = network(OBSERVATION)
    assert together.shape == (2, 5)
    for arm in (0, 3):
        alone = {**OBSERVATION, "per_arm": OBSERVATION["per_arm"][:, arm : arm + 1]}
        np.testing.assert_allclose(network(alone)[0][:, 0], together[:, arm], rtol=1e-4, atol=1e-6)
    series = {key: np.stack([value] * 3, axis=1) for key, value in OBSERVATION.items()}
    np.testing.assert_allclose(network(series)[0][:, 2], together, rtol=1e-4, atol=1e-6)


def test_the_dot_product_is_that_of_the_towers():
    network = MAKERS["dot"](SPEC)
    context, _ = network.context_tower(OBSERVATION["global"])
    arms, _ = network.arm_tower(OBSERVATION["per_arm"])
    np.testing.assert_allclose(network(OBSERVATION)[0], np.einsum("be,bae->ba", context, arms), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("kind", MAKERS)
def test_nests_are_flattened_and_superfluous_keys_are_dropped(kind):
    network = MAKERS[kind](NESTED)
    observation = {
        "global": {"age": np.int32([30, 40]), "history": np.ones((2, 3), np.float32)},
        "per_arm": {"price": np.ones((2, 5), np.float32), "text": np.ones((2, 5, 2), np.float32)},
        "num_actions": np.int32([5, 2]),
    }
    assert network(observation)[0].shape == (2, 5)


def test_what_does_not_fit_is_refused():
    with pytest.raises(ConfigError, match="two sizes"):
        GlobalAndArmDotProductNetwork(SPEC, (6,), (4,))
    with pytest.raises(SpecError, match="features of arms"):
        PerArmNetwork(SPEC["global"])
    ragged = {**NESTED, "per_arm": {"a": specs.TensorSpec((5,), np.float32), "b": specs.TensorSpec((4,), np.float32)}}
    with pytest.raises(SpecError, match="as many rows"):
        GlobalAndArmCommonTowerNetwork(ragged)
    with pytest.raises(SpecError):
        MAKERS["dot"](SPEC)({**OBSERVATION, "per_arm": OBSERVATION["per_arm"][..., :2]})
