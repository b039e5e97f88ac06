"""Nests of frames: which containers match, and in which order their leaves stand."""

import collections
import types

import numpy as np
import pytest

from jaxdaw.errors import ConfigError, SpecError
from jaxdaw.replay._frames import FrameLayout
from jaxdaw.specs import TensorSpec

Pair = collections.namedtuple("Pair", ["second", "first"])
SPEC = Pair(
    second={"b": TensorSpec((2,), np.int8), "a": TensorSpec((), np.float64)}, first=(TensorSpec((), np.int32), ())
)


def test_frame_layout_gives_back_the_nest_it_took_apart():
    layout = FrameLayout.of(SPEC)
    frames = Pair(second={"a": np.zeros(3), "b": np.ones((3, 2), np.int8)}, first=(np.arange(3, dtype=np.int32), ()))
    leaves = layout.flatten(frames, num_envs=3)
    assert [(leaf.shape, leaf.dtype) for leaf in leaves] == [((3, *spec.shape), spec.dtype) for spec in layout.leaves]
    nest = layout.nest(leaves)
    assert nest.first[0] is frames.first[0]
    assert nest.second["b"] is frames.second["b"]
    assert layout.frame_bytes == 2 + 8 + 4


def test_frame_layout_takes_mapping_keys_in_any_order():
    ordered = collections.OrderedDict([("b", TensorSpec((), np.int32)), ("a", TensorSpec((), np.int32))])
    frames = {"a": np.array([1], np.int32), "b": np.array([2], np.int32)}
    for frame_spec in (ordered, dict(ordered), types.MappingProxyType(ordered)):
        layout = FrameLayout.of(frame_spec)
        by_path = dict(zip(layout.paths, layout.flatten(frames, num_envs=1), strict=True))
        assert by_path == {"['a']": [1], "['b']": [2]}
        assert layout.nest(layout.flatten(frames, num_envs=1))["a"] == [1]


def test_frame_layout_is_equal_and_hashes_alike_by_value():
    assert FrameLayout.of(SPEC) == FrameLayout.of(Pair(*SPEC))
    assert len({FrameLayout.of(SPEC), FrameLayout.of(Pair(*SPEC)), FrameLayout.of(SPEC.second)}) == 2


@pytest.mark.parametrize(
    ("frame_spec", "error", "message"),
    [
        ((), ConfigError, "no leaves"),
        ({"reward": np.zeros(3)}, SpecError, r"\['reward'\]\n  expected  TensorSpec +got  ndarray"),
        (3, SpecError, "the top"),
    ],
)
def test_frame_layout_refuses_what_is_no_spec(frame_spec, error, message):
    with pytest.raises(error, match=message):
        FrameLayout.of(frame_spec)
