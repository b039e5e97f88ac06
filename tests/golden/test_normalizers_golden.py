"""Reference numbers of observation normalizers: statistics after three batches, and what they make of a probe."""

import numpy as np
import pytest

from jaxdaw import specs
from jaxdaw.networks import EMANormalizer, StreamingNormalizer

from . import cases

NAMES = cases.names("normalizers")


def normalizer_of(case):
    options = dict(case.doc["constructor"])
    kind = {"StreamingTensorNormalizer": StreamingNormalizer, "EMATensorNormalizer": EMANormalizer}
    return kind[options.pop("class")](cases.spec(case.doc["specs"]["tensor"]), **options)


def keys_of(case, key):
    return sorted(k for k in case.arrays if k == key or k.startswith(key + "/"))


def value_of(case, key):
    return cases.nest({k[len(key) + 1 :]: case.arrays[k] for k in keys_of(case, key)})


def close(case, key, nest, change=lambda x: x):
    for name, leaf in zip(keys_of(case, key), specs.flatten(nest), strict=True):
        assert leaf.dtype == np.float32
        case.close(name, change(np.asarray(leaf)))


def close_statistics(case, key, normalizer):
    rest = normalizer.get_weights().rest
    names = {"mean": "mean", "m2": "m2", "var": "variance"}
    for theirs, ours in names.items():
        for index, name in enumerate(keys_of(case, f"{key}/{theirs}")):
            case.close(name, rest[f"{ours}_{index}"]["total"])
    for name in keys_of(case, f"{key}/count"):  # theirs is the same number for each element
        case.close(name, np.broadcast_to(rest["count"]["total"], case.arrays[name].shape))


@pytest.mark.parametrize("name", NAMES)
def test_normalizer(name):
    case = cases.load("normalizers", name)
    normalizer = normalizer_of(case)
    probe, settings = value_of(case, "in/probe"), case.doc["normalize_settings"]
    is_integer = not specs.is_continuous(specs.flatten(normalizer.input_tensor_spec)[0])
    # theirs truncates normalized integers to integers; ours are the same before that
    rounding = np.trunc if is_integer else lambda x: x

    close_statistics(case, "out/initial_state", normalizer)
    if isinstance(normalizer, EMANormalizer):
        close(case, "out/normalized_before_updates/0", normalizer.normalize(probe))
    else:  # ours passes what it has never seen through; theirs divides by sqrt(1e-3)
        for x, leaf in zip(specs.flatten(probe), specs.flatten(normalizer.normalize(probe)), strict=True):
            np.testing.assert_allclose(leaf, np.clip(x / np.sqrt(1.001), -5, 5), rtol=1e-6)
    for update in range(3):
        batch = value_of(case, f"in/updates/{update}")
        outer = specs.outer_shape(batch, normalizer.input_tensor_spec)
        normalizer.update(batch, outer_dims=tuple(range(len(outer))))
        close_statistics(case, f"out/state_after/{update}", normalizer)
        for index, setting in enumerate(settings):
            key = f"out/normalized_after/{update}/setting_{index}"
            if keys_of(case, key):
                close(case, key, normalizer.normalize(probe, **setting), rounding)
    assert keys_of(case, f"out/normalized_after/2/setting_{len(settings) - 1}")  # nothing was compared with nothing


def test_streaming_golden():
    """After [[1, 2], [3, 6]] the mean is [2, 4] and the variance [1, 4]: 1 / sqrt(1.001) and 2 / sqrt(4.001)."""
    normalizer = StreamingNormalizer(specs.TensorSpec((2,), np.float32))
    normalizer.update(np.array([[1, 2], [3, 6]], np.float32))
    got = normalizer.normalize(np.array([[1, 2], [100, 6]], np.float32))
    np.testing.assert_allclose(got, [[-0.9995004, -0.99987507], [5, 0.99987507]], rtol=1e-6)


def test_ema_golden():
    """0 + .001 * 2, 0 + .001 * 4; 1 + .001 * ((1 + 9) / 2 - 1), 1 + .001 * ((4 + 36) / 2 - 1)."""
    normalizer = EMANormalizer(specs.TensorSpec((2,), np.float32))
    normalizer.update(np.array([[1, 2], [3, 6]], np.float32))
    rest = normalizer.get_weights().rest
    np.testing.assert_allclose(rest["mean_0"]["total"], [0.002, 0.004], rtol=1e-6)
    np.testing.assert_allclose(rest["variance_0"]["total"], [1.004, 1.019], rtol=1e-6)
