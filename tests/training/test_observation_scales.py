"""Recorded observations on one scale, and what cloning makes of observations that are not."""

import jax
import numpy as np
import pytest

from jaxdaw import networks, specs, training
from jaxdaw.data import Demonstrations, DemonstrationWriter, Episode, read
from jaxdaw.training import _cloning_trainer as trainer
from jaxdaw.training import _observation_scales as module

from .demonstrations import SIGN

NESTED = {
    "camera": specs.BoundedTensorSpec((4, 4, 1), np.uint8, 0, 255),
    "gear": specs.BoundedTensorSpec((), np.int32, 0, 5),
    "heat": specs.TensorSpec((2, 2, 3), np.float32),
    "joint": (specs.TensorSpec((2,), np.float32),),
}


def nested(episodes=6, length=9):
    random = np.random.default_rng(0)

    def episode():
        seen = {
            "camera": random.integers(0, 256, (length + 1, 4, 4, 1), np.uint8),
            "gear": random.integers(0, 6, length + 1).astype(np.int32),
            "heat": random.normal(300.0, 5.0, (length + 1, 2, 2, 3)).astype(np.float32),
            "joint": (random.normal([1e4, -2e-3], [3.0, 1e-3], (length + 1, 2)).astype(np.float32),),
        }
        seen["joint"][0][-1] = 1e30  # after the last action: not learned from
        return Episode(seen, random.integers(2, 4, length).astype(np.int32))

    return Demonstrations([episode() for _ in range(episodes)], NESTED, SIGN)


def uneven(episodes=16, length=25):
    """Acts by the sign of a number of 1e-3, beside one of 1e4."""
    random = np.random.default_rng(1)
    made = []
    for _ in range(episodes):
        seen = np.stack([random.normal(0, 1e-3, length + 1), random.normal(5e4, 1e4, length + 1)], 1).astype(np.float32)
        made.append(Episode(seen, (2 + (seen[:-1, 0] > 0)).astype(np.int32)))
    return Demonstrations(made, specs.TensorSpec((2,), np.float32), SIGN)


def test_only_float_leaves_are_normalized_by_their_own_moments():
    demonstrations = nested()
    layers = module.normalizing_layers(demonstrations, NESTED)
    assert layers["camera"] is layers["gear"] is jax.nn.identity
    flat = demonstrations.flat().observation
    joint = np.asarray(flat["joint"][0], np.float64)
    expected = np.clip((joint - joint.mean(axis=0)) / joint.std(axis=0), -10, 10)
    np.testing.assert_allclose(layers["joint"][0](flat["joint"][0])[0], expected, atol=1e-3)
    heat = np.asarray(flat["heat"], np.float64)  # one scale for the whole image
    np.testing.assert_allclose(layers["heat"](flat["heat"])[0], (heat - heat.mean()) / heat.std(), atol=1e-4)
    assert len(layers["heat"].constructor_arguments()) == 3


def test_what_does_not_change_is_only_centred_and_faults_are_left_to_the_check():
    spec = specs.TensorSpec((2,), np.float32)
    seen = np.array([[7.0, 1.0], [7.0, 3.0], [7.0, 0.0]], np.float32)
    episode = Episode(seen, np.array([2, 3], np.int32))
    layer = module.normalizing_layers(Demonstrations([episode], spec, SIGN), spec)
    np.testing.assert_allclose(layer(np.array([[8.0, 4.0]], np.float32))[0], [[1.0, 2.0]])
    other = specs.TensorSpec((3,), np.float32)
    assert module.normalizing_layers(Demonstrations([episode], spec, SIGN), other) is None
    seen[1, 0] = np.nan
    assert module.normalizing_layers(Demonstrations([Episode(seen, episode.action)], spec, SIGN), spec) is None
    gears = specs.TensorSpec((), np.int32)
    counted = Demonstrations([Episode(np.arange(3, dtype=np.int32), episode.action)], gears, SIGN)
    assert module.normalizing_layers(counted, gears) is None


@pytest.mark.parametrize("where", ["on the device", "from the disk"])
def test_uneven_scales_are_learned_only_when_normalized(tmp_path, monkeypatch, where):
    demonstrations = uneven()
    if where == "from the disk":
        monkeypatch.setattr(trainer, "_ON_DEVICE", 0)
        with DemonstrationWriter(tmp_path / "data", demonstrations.observation_spec, SIGN) as writer:
            for episode in demonstrations:
                writer.add(episode)
        demonstrations = read(tmp_path / "data")
    options = {"epochs": 20, "fc_layer_params": (16,), "learning_rate": 1e-2, "batch_size": 32, "validation": 0.25}
    run = training.train("bc", demonstrations, out=tmp_path / "run", **options)
    assert min(row["validation_loss"] for row in run.rows) < 0.3
    assert max(row["match"] for row in run.rows) > 0.9
    learned, _ = demonstrations.split(0.75, 0)  # the part that is trained on, by the same seed
    layer = run.policy.wrapped_policy._networks()[0].constructor_arguments()["preprocessing_layers"]
    seen = learned.flat().observation.astype(np.float64)
    np.testing.assert_allclose(layer.constructor_arguments()["mean"], seen.mean(axis=0), rtol=1e-6)
    np.testing.assert_allclose(layer.constructor_arguments()["scale"], seen.std(axis=0), rtol=1e-6)
    saved = training.run_policy(tmp_path / "run")
    probe = np.array([[1e-3, 5e4], [-1e-3, 6e4]], np.float32)
    np.testing.assert_array_equal(saved.action(probe).action, [3, 2])
    if where == "on the device":
        plain = training.train("bc", demonstrations, normalize=False, **options)
        assert max(row["match"] for row in plain.rows) < 0.75  # guessing gives a half


def test_nested_observations_are_cloned_with_memory_and_saved(tmp_path):
    options = {"epochs": 1, "fc_layer_params": (8,), "lstm_size": 4, "sequence_length": 4, "batch_size": 4}
    demonstrations = nested()
    run = training.train("bc", demonstrations, network="rnn", out=tmp_path / "run", **options)
    encoder = run.policy.wrapped_policy._networks()[0].constructor_arguments()["preprocessing_layers"]
    assert isinstance(encoder["joint"][0], networks.FixedNormalizer)
    observation = specs.map_structure(lambda leaf: leaf[:5], demonstrations.flat().observation)
    saved = training.run_policy(tmp_path / "run", "final")
    np.testing.assert_array_equal(saved.action(observation).action, run.final_policy.action(observation).action)
