"""Demonstrations: the oracle is the recordings themselves, whose numbers tell episode and step."""

from __future__ import annotations

import itertools
from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.recordings import ACTION_SPEC, LENGTHS, OBSERVATION_SPEC, episode, episodes
from jaxdaw import specs
from jaxdaw.data import Demonstrations, Episode, Sequences
from jaxdaw.errors import ConfigError, SpecError
from jaxdaw.specs import BoundedTensorSpec, TensorSpec
from jaxdaw.trajectories import validate_trajectory


def steps_of(sequences: Sequences) -> list[tuple[int, int]]:
    """Returns (episode, step) of each recorded step, in order, as the observations tell."""
    real = sequences.weights == 1
    return [(int(index), int(time)) for index, time in sequences.experience.observation[real]]


def all_steps(lengths: tuple[int, ...] = LENGTHS) -> list[tuple[int, int]]:
    return [(index, time) for index, length in enumerate(lengths) for time in range(length)]


def test_demonstrations_give_back_every_episode():
    given_episodes = episodes()
    demonstrations = Demonstrations(given_episodes, metadata={"source": "test"})
    assert len(demonstrations) == 4
    assert demonstrations.num_steps == 3 + 1 + 4 + 2
    assert demonstrations.lengths.tolist() == list(LENGTHS)
    assert demonstrations.metadata == {"source": "test"}
    assert demonstrations.terminated.tolist() == [True, False, False, True]
    assert demonstrations.truncated.tolist() == [False, True, False, False]
    for found, wanted in zip(demonstrations, given_episodes, strict=True):
        assert np.array_equal(found.observation, wanted.observation)
        assert np.array_equal(found.action, wanted.action)
        assert found.reward is not None
        assert np.array_equal(found.reward, wanted.reward)  # type: ignore[arg-type]  # it has rewards
        assert (found.terminated, found.truncated, found.info) == (wanted.terminated, wanted.truncated, wanted.info)


def test_demonstrations_index_from_the_end_and_by_slices():
    demonstrations = Demonstrations(episodes())
    assert demonstrations[-1].observation[0, 0] == 3
    assert [int(found.observation[0, 0]) for found in demonstrations[1:3]] == [1, 2]
    assert demonstrations[1:3].num_steps == 5
    with pytest.raises(IndexError):
        demonstrations[4]


def test_demonstrations_copy_what_they_are_given():
    source = episodes()
    demonstrations = Demonstrations(source)
    source[0].observation[:] = -1
    assert demonstrations[0].observation[0, 0] == 0


def test_returns_are_sums_of_rewards():
    assert Demonstrations(episodes()).returns is not None
    sums = [0 + 1 + 2, 10, 20 + 21 + 22 + 23, 30 + 31]
    assert Demonstrations(episodes()).returns.tolist() == sums  # type: ignore[union-attr]  # there are rewards
    assert Demonstrations(episodes())[2:].returns.tolist() == sums[2:]  # type: ignore[union-attr]  # likewise
    assert Demonstrations([episode(0, 3, reward=False)]).returns is None


def test_specs_are_inferred_without_bounds_for_floats():
    demonstrations = Demonstrations(episodes())
    assert demonstrations.observation_spec == TensorSpec((2,), np.float32)
    assert demonstrations.action_spec == BoundedTensorSpec((), np.int64, 0, 2)  # seen: 0 to 2
    continuous = Episode(np.zeros((3, 1)), np.array([[0.5], [-0.5]], np.float32))
    assert Demonstrations([continuous]).action_spec == TensorSpec((1,), np.float32)
    negative = Episode(np.zeros((3, 1)), np.array([-3, -1]))
    assert Demonstrations([negative]).action_spec == BoundedTensorSpec((), np.int64, -3, 0)


def test_given_specs_decide_the_dtypes():
    wanted = BoundedTensorSpec((), np.int32, 0, 2)
    demonstrations = Demonstrations(episodes(), TensorSpec((2,), np.float64), wanted)
    assert demonstrations[0].observation.dtype == np.float64
    assert demonstrations[0].action.dtype == np.int32
    assert demonstrations.action_spec == wanted


@pytest.mark.parametrize(
    ("observation_spec", "action_spec", "message"),
    [
        (TensorSpec((3,), np.float32), None, r"observation does not match its spec"),
        (TensorSpec((2,), np.int32), None, r"the dtype of observation cannot become.*\n.*int32.*float32"),
        ({"x": TensorSpec((2,), np.float32)}, None, "another structure"),
        (None, TensorSpec((), np.uint8), None),
    ],
)
def test_specs_that_do_not_fit_are_refused(observation_spec: Any, action_spec: Any, message: str | None):
    if message is None:
        assert Demonstrations(episodes(), observation_spec, action_spec)[0].action.dtype == np.uint8
    else:
        with pytest.raises(SpecError, match=message):
            Demonstrations(episodes(), observation_spec, action_spec)


def test_demonstrations_of_nests():
    def nested(index: int, length: int) -> Episode:
        plain = episode(index, length)
        return Episode(
            {"x": plain.observation, "t": (plain.observation[:, 1],)}, {"a": plain.action, "b": [plain.action * 2]}
        )

    demonstrations = Demonstrations([nested(0, 2), nested(1, 3)])
    batch = next(demonstrations.batches(5, seed=0))
    observation = batch.experience.observation
    assert np.array_equal(observation["x"][..., 1], observation["t"][0])
    assert np.array_equal(batch.experience.action["a"] * 2, batch.experience.action["b"][0])


def test_flat_gives_every_step_once_with_its_ending():
    flat = Demonstrations(episodes()).flat()
    assert [(int(i), int(t)) for i, t in flat.observation] == all_steps()
    assert flat.episode.tolist() == [0, 0, 0, 1, 2, 2, 2, 2, 3, 3]
    assert flat.step_type.tolist() == [0, 1, 1, 0, 0, 1, 1, 1, 0, 1]
    assert flat.next_step_type.tolist() == [1, 1, 2, 2, 1, 1, 1, 2, 1, 2]
    assert flat.discount.tolist() == [1, 1, 0, 1, 1, 1, 1, 1, 1, 0]  # terminated: episodes 0 and 3
    assert flat.reward.tolist() == [0, 1, 2, 10, 20, 21, 22, 23, 30, 31]


def test_flat_is_made_once():
    demonstrations = Demonstrations(episodes())
    assert demonstrations.flat() is demonstrations.flat()


@given(st.lists(st.integers(1, 7), min_size=1, max_size=6), st.integers(1, 9))
@settings(max_examples=40, deadline=None)
def test_windows_hold_each_step_once_and_never_two_episodes(lengths: list[int], num_steps: int):
    windows = Demonstrations(episodes(tuple(lengths))).windows(num_steps)
    assert windows.weights.shape == (sum(-(-length // num_steps) for length in lengths), num_steps)
    assert steps_of(windows) == all_steps(tuple(lengths))
    for observation in windows.experience.observation:
        assert len(np.unique(observation[:, 0])) == 1
    masked = windows.experience.is_boundary()
    assert np.array_equal(masked, windows.weights == 0)  # what losses mask by themselves


def test_windows_follow_the_rules_of_recorded_streams():
    validate_trajectory(Demonstrations(episodes((6, 3, 9))).windows(3).experience)


@pytest.mark.parametrize("num_steps", [1, 2])
def test_batches_of_an_epoch_hold_each_step_once(num_steps: int):
    demonstrations = Demonstrations(episodes())
    batches = list(demonstrations.batches(2, seed=3, num_steps=num_steps, num_epochs=1, drop_remainder=False))
    assert Counter(itertools.chain.from_iterable(map(steps_of, batches))) == Counter(all_steps())
    again = list(demonstrations.batches(2, seed=3, num_steps=num_steps, num_epochs=1, drop_remainder=False))
    assert list(map(steps_of, batches)) == list(map(steps_of, again))


def test_batches_differ_between_seeds_and_epochs():
    demonstrations = Demonstrations(episodes((20, 20)))
    first, second = (steps_of(batch) for batch in demonstrations.batches(40, seed=0, num_epochs=2))
    (other,) = (steps_of(batch) for batch in demonstrations.batches(40, seed=1, num_epochs=1))
    assert first != second
    assert first != other
    assert sorted(first) == sorted(second) == sorted(other)


def test_batches_are_full_and_go_on():
    batches = Demonstrations(episodes()).batches(4, seed=0)
    assert {len(batch.weights) for batch in itertools.islice(batches, 20)} == {4}


def test_batches_gather_from_many_shards_what_they_gather_from_one(tmp_path: Any):
    from jaxdaw.data import DemonstrationWriter, read

    source = episodes((5, 2, 7, 1, 6))
    with DemonstrationWriter(tmp_path / "d", OBSERVATION_SPEC, ACTION_SPEC, shard_bytes=300) as writer:
        for one in source:
            writer.add(one)
    stored, held = read(tmp_path / "d"), Demonstrations(source)
    assert len(list((tmp_path / "d").glob("*.npz"))) > 1
    for one, other in zip(
        stored.batches(4, 0, num_steps=2, num_epochs=2), held.batches(4, 0, num_steps=2, num_epochs=2), strict=True
    ):
        specs.map_structure(np.testing.assert_array_equal, one, other)
    assert np.array_equal(stored.returns, held.returns)  # type: ignore[arg-type]  # there are rewards


def test_split_keeps_episodes_whole_and_apart():
    demonstrations = Demonstrations(episodes((2,) * 10))
    train, validation = demonstrations.split(0.8, seed=1)
    assert (len(train), len(validation)) == (8, 2)
    chosen = [{int(found.observation[0, 0]) for found in part} for part in (train, validation)]
    assert chosen[0] | chosen[1] == set(range(10))
    assert not chosen[0] & chosen[1]
    assert {int(found.observation[0, 0]) for found in demonstrations.split(0.8, seed=2)[1]} != chosen[1]
    assert sorted({i for i, _ in steps_of(train.windows(1))}) == sorted(chosen[0])


@pytest.mark.parametrize("fraction", [0, 1, -0.5, 2, float("nan")])
def test_split_refuses_fractions_that_leave_nothing(fraction: float):
    with pytest.raises(ConfigError, match="cannot split"):
        Demonstrations(episodes()).split(fraction)
    with pytest.raises(ConfigError, match="2 episodes"):
        Demonstrations(episodes((3,))).split(0.5)


@pytest.mark.parametrize(("batch_size", "num_steps"), [(0, 1), (11, 1), (1, 0), (1.5, 1), (True, 1)])
def test_batches_refuse_sizes_out_of_range(batch_size: Any, num_steps: int):
    with pytest.raises(ConfigError, match=r"batch_size|num_steps|do not fill one batch"):
        Demonstrations(episodes()).batches(batch_size, 0, num_steps=num_steps)


def test_select_refuses_nothing():
    with pytest.raises(ConfigError, match="no episodes are left"):
        Demonstrations(episodes())[4:]
