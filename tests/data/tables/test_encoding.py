"""Features and labels by hand."""

from __future__ import annotations

import numpy as np
import pytest

from jaxdaw.data.tables._encoding import encode_features, encode_labels
from jaxdaw.errors import ConfigError


def test_numbers_are_standardized():
    features, names = encode_features(["x"], [["1", "2", "6"]])
    np.testing.assert_allclose(features[:, 0], (np.array([1, 2, 6]) - 3) / np.sqrt(14 / 3), rtol=1e-6)
    assert (features.dtype, names) == (np.float32, ("x",))


def test_words_are_one_hot_and_flags_stay():
    features, names = encode_features(["c", "f"], [["b", "a", "b"], ["0", "1", "1"]])
    assert names == ("c=a", "c=b", "f")
    assert features.tolist() == [[0, 1, 0], [1, 0, 1], [0, 1, 1]]


def test_what_never_changes_is_left_out():
    features, names = encode_features(["n", "w", "x"], [["3", "3"], ["a", "a"], ["0", "2"]])
    assert (names, features.tolist()) == (("x",), [[-1], [1]])


def test_one_word_among_numbers_makes_words_of_all():
    _, names = encode_features(["x"], [["1", "?", "1"]])
    assert names == ("x=1", "x=?")


def test_labels_are_numbered_by_name_or_by_size():
    labels, names = encode_labels(["p", "e", "p"])
    assert (labels.tolist(), names) == ([1, 0, 1], ("e", "p"))
    labels, names = encode_labels(["10", "2", "1"])
    assert (labels.tolist(), names) == ([2, 1, 0], ("1", "2", "10"))


def test_many_columns_of_many_words_are_refused_before_their_flags_are_made():
    words = [f"w{i % 750}" for i in range(1000)]
    assert encode_features(["x", "y"], [words, words], limit_bytes=6_000_000)[0].shape == (1000, 1500)
    with pytest.raises(ConfigError, match="the words of the columns up to 'y' would become 1,500 features"):
        encode_features(["x", "y"], [words, words], limit_bytes=5_999_999)  # 4 * 1,000 * 1,500 bytes
