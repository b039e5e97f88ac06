"""check lists all at once: each fault is planted, and counted by hand."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from data.recordings import OBSERVATION_SPEC, episode, episodes
from jaxdaw.data import Demonstrations, DemonstrationWriter, Episode, Fault, check, read, verify
from jaxdaw.errors import SpecError, StorageError
from jaxdaw.specs import BoundedTensorSpec, TensorSpec


def sound() -> list[Episode]:
    return [episode(0, 3, terminated=True), episode(1, 4, truncated=True)]


def changed(**change: Any) -> list[Episode]:
    """Returns two episodes, the second with something else."""
    one, other = sound()
    return [one, dataclasses.replace(other, **change)]


def found(faults: tuple[Fault, ...], what: str) -> Fault:
    (fault,) = [fault for fault in faults if what in fault.what]
    return fault


def test_sound_demonstrations_have_no_faults():
    for given in (sound(), Demonstrations(sound())):
        report = check(given, OBSERVATION_SPEC, BoundedTensorSpec((), "int64", 0, 2))
        assert report == ((), ())
        report.raise_if_faulty()


@pytest.mark.parametrize(
    ("change", "what", "got"),
    [
        ({"reward": np.zeros(5)}, "reward and action do not fit together", "float64 (5,)"),  # T + 1
        ({"reward": np.zeros((4, 1))}, "reward and action do not fit together", "float64 (4, 1)"),
        ({"observation": np.zeros((3, 2), "float32")}, "observation and action do not fit", "3"),
        ({"observation": np.zeros((5, 3), "float32")}, "observation has another shape", "(5, 3)"),
        ({"observation": np.zeros((5, 2))}, "observation has another dtype", "float64"),
        ({"observation": {"x": np.zeros((5, 2))}}, "observation has other leaves", "['x']"),
        ({"observation": None}, "observation is no nest of arrays", "nothing"),
        ({"action": np.array([{}] * 4, object)}, "action is no nest of arrays", "object"),
        ({"reward": None}, "rewards are there for some episodes only", "None"),
    ],
)
def test_episodes_that_do_not_fit_together(change: dict[str, Any], what: str, got: str):
    fault = found(check(changed(**change)).errors, what)
    assert (fault.got, fault.places) == (got, ("episode 1",))
    with pytest.raises(SpecError, match="1 fault"):
        Demonstrations(changed(**change))


def test_an_empty_data_set_and_an_empty_episode():
    assert check([]).errors[0].what == "there are no episodes"
    empty = Episode(np.zeros((1, 2), "float32"), np.zeros(0, int), np.zeros(0))
    assert "an episode has no action" in check([sound()[0], empty]).errors[0].what


def test_all_faults_are_listed_at_once_with_counts_and_first_places():
    observation = np.arange(12, dtype=float).reshape(6, 2)
    observation[:, 1] = 3  # never changes
    observation[2, 0], observation[4, 0] = np.nan, np.inf
    broken = Episode(observation, np.array([0, 5, 1, -1, 7]), np.array([0, np.nan, 0, 0, 0]), terminated=True)
    fine = Episode(np.full((2, 2), 3.0), np.array([1]), np.zeros(1))
    large = Episode(np.array([[1e300, 3], [0, 3]]), np.array([0]), np.array([1e39]), truncated=True)
    report = check([fine, broken, large], action_spec=BoundedTensorSpec((), "int64", 0, 1))
    assert [(fault.what, fault.count, fault.places) for fault in report.errors] == [
        ("observation is not finite", 2, ("episode 1 step 2", "episode 1 step 4")),
        ("observation does not fit float32", 1, ("episode 2 step 0",)),
        ("action is out of range", 3, ("episode 1 step 1", "episode 1 step 3", "episode 1 step 4")),
        ("reward is not finite", 1, ("episode 1 step 1",)),
        ("reward does not fit float32", 1, ("episode 2 step 0",)),
    ]
    assert [(fault.what, fault.count, fault.places) for fault in report.warnings] == [
        ("observation never changes", 1, ("column [1]",)),
        ("it is not known how an episode ended", 1, ("episode 0",)),
    ]
    with pytest.raises(SpecError, match=r"expert.npz have 5 faults(.|\n)*got  5\n(.|\n)*warning: "):
        report.raise_if_faulty("expert.npz")


def test_faults_name_the_leaf():
    nested = Episode({"a": np.zeros((2, 1)), "b": [np.array([[1.0], [np.nan]])]}, np.array([1]), terminated=True)
    assert found(check([nested]).errors, "not finite").what == "observation['b'][0] is not finite"


def test_observations_out_of_range_are_a_warning():
    report = check(sound(), BoundedTensorSpec((2,), "float32", 0, 2))
    fault = found(report.warnings, "observation is out of range")
    assert (fault.count, fault.places[0], fault.got) == (3, "episode 0 step 3", "3.0")  # t is 3; 3 and 4
    assert not report.errors


@pytest.mark.parametrize(
    ("spec", "what"),
    [
        ({"observation_spec": TensorSpec((3,), "float32")}, "observation is of another kind"),
        ({"observation_spec": {"x": TensorSpec((2,), "float32")}}, "another structure"),
        ({"action_spec": BoundedTensorSpec((), "float32", 0, 1)}, "action is of another kind"),
        ({"action_spec": BoundedTensorSpec((1,), "int64", 0, 2)}, "action is of another kind"),
    ],
)
def test_specs_of_another_kind_are_one_fault(spec: dict[str, Any], what: str):
    assert [what in fault.what for fault in check(sound(), **spec).errors] == [True]


def test_a_spec_of_other_precision_is_no_fault():
    report = check(sound(), TensorSpec((2,), "float64"), BoundedTensorSpec((), "int32", 0, 2))
    assert not report.errors


def test_one_class_only_is_an_error():
    same = [dataclasses.replace(one, action=np.ones(len(one), int)) for one in sound()]
    fault = found(check(same).errors, "action is always the same")
    assert fault.got == "1 throughout"


def test_duplicates_unknown_ends_and_missing_observations_are_warnings():
    given = [*episodes((3, 1, 4)), episode(0, 3, terminated=True), episode(5, 2, last=False, truncated=True)]
    report = check(given)
    assert not report.errors
    assert found(report.warnings, "twice").places == ("episode 3 as 0",)
    assert found(report.warnings, "how an episode ended").places == ("episode 2",)
    assert found(report.warnings, "after the last action").places == ("episode 4",)


@pytest.mark.parametrize("select", [slice(None), slice(None, None, 2), slice(None, None, -1)], ids=str)
@pytest.mark.parametrize("fault", ["none", "nan", "infinity", "large", "outside", "constant", "class", "copies"])
def test_what_a_directory_knows_of_itself_changes_no_report(tmp_path: Path, fault: str, select: slice):
    random = np.random.default_rng(0)
    given = []
    for length in (3, 70, 1, 129, 5, 2, 64):
        observation = {"x": random.normal(size=(length + 1, 3)), "n": random.integers(0, 9, length + 1)}
        given.append(Episode(observation, random.integers(0, 4, length), random.normal(size=length), terminated=True))
    middle = given[3].observation["x"]
    match fault:
        case "nan" | "infinity" | "large" | "outside":
            value = {"nan": np.nan, "infinity": np.inf, "large": -1e300, "outside": 11.0}[fault]
            middle[5, 1] = middle[77, 2] = given[0].observation["x"][0, 0] = value
        case "constant":
            for one in given:
                one.observation["n"][:] = 4
        case "class":
            given = [dataclasses.replace(one, action=np.ones_like(one.action)) for one in given]
        case "copies":
            given[4] = given[2] = given[0]
    held = Demonstrations(given, action_spec=BoundedTensorSpec((), "int64", 0, 3))
    with DemonstrationWriter(tmp_path, held.observation_spec, held.action_spec, shard_bytes=5_000) as writer:
        writer.extend(held)
    kept = read(tmp_path)
    assert len(kept._shards) > 2
    spec = {"x": BoundedTensorSpec((3,), "float64", -10, 10), "n": BoundedTensorSpec((), "int64", 0, 8)}
    report = check(held[select], spec)
    assert check(kept[select], spec) == report
    assert bool(report.errors) == (fault in ("nan", "infinity", "large", "class"))
    planted = {"never changes": ["constant"], "there twice": ["copies"], "out of range": ["outside", "large"]}
    assert [what in str(report) for what in planted] == [fault in names for names in planted.values()]


def test_a_directory_is_checked_without_reading_its_observations(tmp_path: Path):
    with DemonstrationWriter(tmp_path, OBSERVATION_SPEC, BoundedTensorSpec((), "int64", 0, 2)) as writer:
        writer.extend(sound())
    shard = tmp_path / "shard-000000.npz"
    contents, inside = shard.read_bytes(), sound()[1].observation[2].tobytes()
    shard.write_bytes(contents.replace(inside, np.full(2, np.nan, "float32").tobytes(), 1))  # behind everybody's back
    assert not check(read(tmp_path, verify=False)).errors
    with pytest.raises(StorageError, match="sha256"):
        verify(tmp_path)
