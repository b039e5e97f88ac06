"""What keys do: each action is written down beside the keys that a person would press for it."""

import numpy as np
import pytest

from jaxdaw.errors import ConfigError
from jaxdaw.recording._keys import default_keys, parse_keys
from jaxdaw.specs import BoundedTensorSpec, TensorSpec

TURN = BoundedTensorSpec((), np.int64, 0, 3)
STEER = BoundedTensorSpec((2,), np.float32, [-1, 0], [1, 2])


@pytest.mark.parametrize(
    ("count", "expected"),
    [
        (2, {"left": 0, "right": 1, "a": 0, "d": 1, "0": 0, "1": 1, "up": None}),
        (3, {"left": 0, "down": 1, "right": 2, "s": 1, "2": 2}),
        (4, {"left": 0, "down": 1, "right": 2, "up": 3, "w": 3}),
        (6, {"left": None, "5": 5, "6": None}),
    ],
)
def test_default_keys_of_integers_are_digits_and_arrows(count, expected):
    keys = default_keys(BoundedTensorSpec((), np.int64, 0, count - 1))
    assert {name: None if (do := keys.action({name})) is None else int(do) for name in expected} == expected
    assert keys.action(()) is None  # the environment waits


def test_default_keys_count_from_the_smallest_action():
    assert int(default_keys(BoundedTensorSpec((), np.int64, -1, 1)).action({"left"})) == -1


def test_default_keys_of_floats_drive_each_number_to_its_bounds():
    keys = default_keys(STEER)
    pressed = {(): [0, 0], ("left",): [-1, 0], ("d",): [1, 0], ("up",): [0, 2], ("left", "up"): [-1, 2]}
    for held, action in pressed.items():
        np.testing.assert_array_equal(keys.action(held), np.array(action, np.float32))
        assert keys.action(held).dtype == np.float32
    np.testing.assert_array_equal(default_keys(BoundedTensorSpec((1,), "float32", 1, 3)).action(()), [1])


def test_the_environments_own_keys_come_first():
    keys = default_keys(TURN, {(None,): 0, ("a",): 1, (ord("a"), ord(" ")): 2, ("D",): 3})
    assert [int(keys.action(held)) for held in ((), {"a"}, {"a", "space"}, {"d"})] == [0, 1, 2, 3]


def test_parse_keys_adds_up_floats_and_takes_the_longest_set_for_integers():
    keys = parse_keys("none=0, left=1, LEFT+up=2", TURN)
    assert [int(keys.action(held)) for held in ((), {"left"}, {"left", "up"}, {"up"})] == [0, 1, 2, 0]
    keys = parse_keys("none=0:1,left=-1:0,up=0:0.5", STEER)
    np.testing.assert_array_equal(keys.action({"left", "up"}), np.array([-1, 1.5], np.float32))  # 0-1, 1+0.5
    np.testing.assert_array_equal(keys.action({"left", "x"}), np.array([-1, 1], np.float32))
    assert parse_keys("x=0.1:0", STEER).lines() == ["           x  [0.10000000149011612, 0.0]"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("left", "does not say what the keys do"),
        ("left=zero", "does not say what the keys do"),
        ("left=1:2", "does not say what the keys do"),
        ("+left=1", "does not say what the keys do"),
        ("left=1,left=2", "names a key twice"),
        ("left=4", "lets left do what is no action"),
        ("left=-1", "lets left do what is no action"),
        ("left=0.5", "lets left do what is no action"),
        ("left=nan", "lets left do what is no action"),
    ],
)
def test_parse_keys_refuses_what_it_cannot_read(text, message):
    with pytest.raises(ConfigError, match=message) as caught:
        parse_keys(text, TURN)
    assert "Fix: " in str(caught.value) or "twice" in str(caught.value)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (BoundedTensorSpec((), np.int64, 0, 10), "more actions than keys"),
        (BoundedTensorSpec((4,), np.float32, -1, 1), "no keys are known"),
        (BoundedTensorSpec((1,), np.float32, -np.inf, np.inf), "no keys are known"),
        (BoundedTensorSpec((2,), np.int64, 0, 1), "a keyboard cannot express"),
        (BoundedTensorSpec((2, 2), np.float32, 0, 1), "a keyboard cannot express"),
        (TensorSpec((), np.float32), "a keyboard cannot express"),
        ({"a": TURN}, "a keyboard cannot express"),
    ],
)
def test_actions_that_keys_cannot_express_are_refused(spec, message):
    with pytest.raises(ConfigError, match=message):
        default_keys(spec)
