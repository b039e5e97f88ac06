"""HostReplay: windows, stacks, threads and saved states."""

import threading

import gymnasium
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from jaxdaw.errors import ConfigError, SpecError, StorageError
from jaxdaw.replay import FrameStack, HostReplay, WindowIndices
from jaxdaw.specs import TensorSpec

FRAME_SPEC = {
    "image": TensorSpec((2, 1), np.uint8),
    "stamp": TensorSpec((), np.int32),
    "step_type": TensorSpec((), np.int32),
}
STACK = FrameStack(3, images=lambda frame: frame["image"], is_first=lambda frame: frame["step_type"] == 0)


def frames_of(stamps, step_types=None):
    stamps = np.asarray(stamps, np.int32)
    return {
        "image": np.stack([stamps, stamps + 1], axis=-1)[..., None].astype(np.uint8),
        "stamp": stamps,
        "step_type": np.ones_like(stamps) if step_types is None else np.asarray(step_types, np.int32),
    }


def stamps_of(num_adds, num_envs):
    return np.arange(1, num_adds + 1)[:, None] * 100 + np.arange(num_envs)


def all_indices(replay, num_steps):
    starts = np.array(replay.window_starts(num_steps), np.int64)
    return WindowIndices(env=np.tile(np.arange(replay.num_envs), starts.size), time=np.repeat(starts, replay.num_envs))


@pytest.mark.parametrize("num_envs", [1, 2, 3])
@pytest.mark.parametrize("capacity", range(2, 8))
def test_host_replay_holds_exactly_the_windows_of_a_list(capacity, num_envs):
    if capacity // num_envs < 2:
        with pytest.raises(ConfigError, match="no room for two steps"):
            HostReplay(FRAME_SPEC, capacity, num_envs)
        return
    for num_steps in range(1, min(4, capacity // num_envs) + 1):
        replay = HostReplay(FRAME_SPEC, capacity, num_envs)
        stamps = stamps_of(20, num_envs)
        for added in range(21):
            held = stamps[:added][-replay.length :]
            starts = range(max(0, len(held) - num_steps + 1))
            expected = [tuple(held[start : start + num_steps, env]) for start in starts for env in range(num_envs)]
            got = replay.gather(all_indices(replay, num_steps), num_steps)["stamp"]
            assert [tuple(window) for window in got] == expected
            assert replay.num_windows(num_steps) == len(expected)
            assert replay.can_sample(num_steps) == bool(expected)
            if expected:
                experience, _ = replay.sample(len(expected), num_steps, np.random.default_rng(added))
                assert set(map(tuple, experience["stamp"])) <= set(expected)
            if added < 20:
                replay.add(frames_of(stamps[added]))


def test_host_replay_draws_each_window_equally_often():
    replay = HostReplay(FRAME_SPEC, capacity=14, num_envs=2)
    for row in stamps_of(11, 2):
        replay.add(frames_of(row))
    generator = np.random.default_rng(0)
    draws = np.concatenate([replay.sample(12, 2, generator)[0]["stamp"][:, 0] for _ in range(5_000)])
    _, counts = np.unique(draws, return_counts=True)
    assert len(counts) == 12  # (7 - 2 + 1) starts x 2 environments
    chi_square = np.sum((counts - 5_000) ** 2) / 5_000
    assert chi_square < 11 + 5 * np.sqrt(22)  # mean and five standard deviations of chi-square with 11 degrees


def stack_of(images, step_types, time):
    """The three newest images of the episode of frame `time`, its first repeated; frame 0 opens an episode."""
    start = max([frame for frame in range(time + 1) if step_types[frame] == 0], default=0)
    return np.concatenate([images[max(start, time - age)] for age in (2, 1, 0)], axis=-1)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("capacity", [8, 13, 80])
def test_host_replay_stacks_images_of_one_episode(seed, capacity):
    generator = np.random.default_rng(seed)
    replay = HostReplay(FRAME_SPEC, capacity, num_envs=2, frame_stack=STACK)
    stamps = generator.permutation(80).reshape(40, 2) + 1
    step_types = generator.choice([0, 1, 1, 2], (40, 2))
    images = [frames_of(row)["image"] for row in stamps]
    for added in range(40):
        replay.add(frames_of(stamps[added], step_types[added]))
        num_steps = 2
        indices = all_indices(replay, num_steps)
        # Once frames are lost, the two oldest are history only.
        lost = added + 1 > replay.length
        held = range(added + 1 - replay.length + 2, added) if lost else range(added)
        np.testing.assert_array_equal(np.unique(indices.time), held)
        experience = replay.gather(indices, num_steps)
        assert experience["image"].shape == (len(held) * 2, num_steps, 2, 3)
        for env, time, got in zip(indices.env, indices.time, experience["image"]):
            for step in range(num_steps):
                env_images = [image[env] for image in images]
                np.testing.assert_array_equal(got[step], stack_of(env_images, step_types[:, env], time + step))


class CountingEnv(gymnasium.Env):
    """Shows a number that never repeats; an episode ends with probability 1/4 at each step."""

    observation_space = gymnasium.spaces.Box(0, 255, (1,), np.uint8)
    action_space = gymnasium.spaces.Discrete(2)

    def __init__(self):
        self.count = 0

    def observation(self):
        self.count += 1
        return np.array([self.count], np.uint8)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return self.observation(), {}

    def step(self, action):
        return self.observation(), 0.0, bool(self.np_random.random() < 0.25), False, {}


def test_host_replay_stacks_as_gymnasium_does():
    spec = {"image": TensorSpec((1,), np.uint8), "step_type": TensorSpec((), np.int32)}
    replay = HostReplay(spec, capacity=100, frame_stack=STACK)
    env = gymnasium.wrappers.FrameStackObservation(CountingEnv(), STACK.size)
    (stack, _), step_type = env.reset(seed=3), 0
    shown = []
    for _ in range(60):
        shown.append(stack[:, 0])
        replay.add({"image": stack[-1:], "step_type": np.array([step_type], np.int32)})
        if step_type == 2:
            (stack, _), step_type = env.reset(), 0
        else:
            stack, _, terminated, _, _ = env.step(0)
            step_type = 2 if terminated else 1
    experience = replay.gather(all_indices(replay, 1), 1)
    np.testing.assert_array_equal(experience["image"][:, 0], shown)


def test_host_replay_stack_starts_anew_after_clear():
    replay = HostReplay(FRAME_SPEC, capacity=8, frame_stack=STACK)
    replay.add(frames_of([1], [0]))
    replay.clear()
    replay.add(frames_of([2], [1]))
    experience, _ = replay.sample(1, 1, np.random.default_rng(0))
    np.testing.assert_array_equal(experience["image"], [[[[2, 2, 2], [3, 3, 3]]]])


def test_host_replay_stacks_along_the_channels_newest_last():
    spec = {
        "image": TensorSpec((1, 2), np.uint8),
        "stamp": TensorSpec((), np.int32),
        "step_type": TensorSpec((), np.int32),
    }
    replay = HostReplay(spec, capacity=8, frame_stack=FrameStack(2, STACK.images, STACK.is_first))
    for stamp in (10, 20):
        frames = frames_of([stamp], [1])
        replay.add({**frames, "image": np.array([[[stamp, stamp + 1]]], np.uint8)})
    experience, _ = replay.sample(1, 2, np.random.default_rng(0))
    np.testing.assert_array_equal(experience["image"][0, :, 0], [[10, 11, 10, 11], [10, 11, 20, 21]])
    assert experience["image"].dtype == np.uint8


@pytest.mark.parametrize(
    "stack", [FrameStack(0, STACK.images, STACK.is_first), FrameStack(2, lambda frame: frame["stamp"], STACK.is_first)]
)
def test_host_replay_refuses_a_stack_that_cannot_be(stack):
    with pytest.raises(ConfigError, match="FrameStack cannot stack"):
        HostReplay(FRAME_SPEC, capacity=8, frame_stack=stack)


def test_host_replay_refuses_a_window_that_leaves_no_history():
    replay = HostReplay(FRAME_SPEC, capacity=4, frame_stack=STACK)
    assert replay.num_windows(2) == 0
    with pytest.raises(ConfigError, match="expected  1 to 2 "):  # four steps, two of them history
        replay.num_windows(3)


class HostReplayMachine(RuleBasedStateMachine):
    """HostReplay against a list that forgets nothing but what it must."""

    @initialize(capacity=st.integers(2, 9), num_envs=st.integers(1, 2), stacked=st.booleans())
    def start(self, capacity, num_envs, stacked):
        self.stack = STACK if stacked and capacity // max(num_envs, 1) > 3 else None
        self.num_envs = num_envs if capacity // num_envs >= (4 if self.stack else 2) else 1
        self.capacity = capacity
        self.replay = self.make()
        self.history: list[tuple[np.ndarray, np.ndarray]] = []  # every row ever added, with its step types
        self.cleared_at = 0

    def make(self):
        return HostReplay(FRAME_SPEC, self.capacity, self.num_envs, frame_stack=self.stack)

    @rule(step_types=st.lists(st.integers(0, 2), min_size=2, max_size=2))
    def add(self, step_types):
        row = (len(self.history) * 2 + np.arange(self.num_envs)) % 255
        self.history.append((row, np.array(step_types[: self.num_envs])))
        self.replay.add(frames_of(*self.history[-1]))

    @rule()
    def clear(self):
        self.replay.clear()
        self.cleared_at = len(self.history)

    @rule(into_another=st.booleans())
    def save_and_load(self, into_another):
        saved = self.replay.state_dict()
        self.replay.add(frames_of(np.zeros(self.num_envs)))  # must not reach what was saved
        self.replay = self.make() if into_another else self.replay
        self.replay.load_state_dict(saved)

    @rule()
    def refuse_frames(self):
        with pytest.raises(SpecError, match="stamp"):
            self.replay.add({**frames_of(np.ones(self.num_envs)), "stamp": np.zeros(self.num_envs)})

    @rule(num_steps=st.integers(1, 2), seed=st.integers(0, 99))
    @precondition(lambda self: self.replay.can_sample(2))
    def sample(self, num_steps, seed):
        experience, info = self.replay.sample(1, num_steps, np.random.default_rng(seed))
        time, env = info.indices.time[0], info.indices.env[0]
        rows = range(time, time + num_steps)
        np.testing.assert_array_equal(experience["stamp"][0], [self.history[row][0][env] for row in rows])
        if self.stack:
            since_clear = self.history[self.cleared_at :]
            images = [frames_of(stamps)["image"][env] for stamps, _ in since_clear]
            step_types = [step_type[env] for _, step_type in since_clear]
            expected = [stack_of(images, step_types, row - self.cleared_at) for row in rows]
            np.testing.assert_array_equal(experience["image"][0], expected)

    @invariant()
    def holds_the_newest_rows(self):
        if hasattr(self, "replay"):
            oldest = max(self.cleared_at, len(self.history) - self.capacity // self.num_envs)
            assert self.replay.times == range(oldest, len(self.history))


TestHostReplayMachine = HostReplayMachine.TestCase
TestHostReplayMachine.settings = settings(max_examples=100, stateful_step_count=50, deadline=None)


def test_host_replay_copies_what_it_is_given_and_what_it_gives():
    replay = HostReplay(FRAME_SPEC, capacity=4)
    frames = frames_of([5])
    replay.add(frames)
    frames["stamp"][:] = 9  # an environment that reuses its arrays
    experience, info = replay.sample(1, 1, np.random.default_rng(0))
    assert experience["stamp"] == 5
    experience["stamp"][:] = 7
    assert replay.gather(info.indices, 1)["stamp"] == 5


def test_host_replay_takes_device_arrays_and_keeps_the_dtypes_of_its_spec():
    spec = {"flag": TensorSpec((), np.bool_), "value": TensorSpec((2,), np.float32)}
    replay = HostReplay(spec, capacity=4)
    payload = np.array([[0x7FC00123, 0xFF800001]], np.uint32).view(np.float32)  # NaNs, a quiet and a signalling one
    replay.add({"flag": jnp.array([True]), "value": payload})
    experience, _ = replay.sample(1, 1, np.random.default_rng(0))
    assert experience["flag"].dtype == np.bool_
    assert experience["value"].tobytes() == payload.tobytes()


def test_host_replay_refuses_frames_that_do_not_match_and_stays_as_it_was():
    replay = HostReplay(FRAME_SPEC, capacity=4)
    replay.add(frames_of([5]))
    before = replay.state_dict()
    for frames in (
        frames_of([1, 2]),
        {**frames_of([1]), "image": np.zeros((1, 2, 1))},
        {"stamp": np.zeros(1, np.int32)},
    ):
        with pytest.raises(SpecError, match="frames"):
            replay.add(frames)
    for name, value in replay.state_dict().items():
        np.testing.assert_array_equal(value, before[name])


def test_host_replay_refuses_an_is_first_of_another_shape():
    stack = FrameStack(2, STACK.images, is_first=lambda frame: frame["step_type"][0] == 0)
    replay = HostReplay(FRAME_SPEC, capacity=8, num_envs=2, frame_stack=stack)
    with pytest.raises(SpecError, match=r"is_first gave another shape\n  expected  \(2,\)"):
        replay.add(frames_of([1, 2]))
    assert replay.size == 0


def test_host_replay_detects_a_second_writer():
    inside, leave = threading.Event(), threading.Event()

    def slow_is_first(frame):
        inside.set()
        assert leave.wait(timeout=10)
        return frame["step_type"] == 0

    replay = HostReplay(FRAME_SPEC, capacity=8, frame_stack=FrameStack(2, STACK.images, slow_is_first))
    first = threading.Thread(target=replay.add, args=(frames_of([1]),))
    first.start()
    assert inside.wait(timeout=10)
    for write in (lambda: replay.add(frames_of([2])), replay.clear, lambda: replay.load_state_dict({})):
        with pytest.raises(StorageError, match="two writers at once"):
            write()
    leave.set()
    first.join()
    replay.add(frames_of([3]))  # one after the other is allowed
    assert replay.size == 2


def test_host_replay_says_what_it_lacks_when_sampled_too_early():
    replay = HostReplay(FRAME_SPEC, capacity=100)
    generator = np.random.default_rng(0)
    for stamp in range(4):
        replay.add(frames_of([stamp]))
    with pytest.raises(StorageError, match="3 items, need >= 64; collect more or lower batch_size"):
        replay.sample(64, 2, generator)
    with pytest.raises(ConfigError, match="batch_size"):
        replay.sample(0, 2, generator)
    for num_steps in (0, 101):
        with pytest.raises(ConfigError, match="expected  1 to 100 "):
            replay.sample(1, num_steps, generator)


def test_host_replay_refuses_to_gather_what_is_gone():
    replay = HostReplay(FRAME_SPEC, capacity=3)
    for stamp in range(5):
        replay.add(frames_of([stamp]))
    for env, time in ((0, 1), (0, 4), (1, 2), (-1, 2)):  # overwritten, incomplete, no such environment
        with pytest.raises(StorageError, match="a window of 2 frames is not held"):
            replay.gather(WindowIndices(env=np.array([env]), time=np.array([time])), 2)


def test_host_replay_resumes_exactly():
    replay, other = (HostReplay(FRAME_SPEC, capacity=10, num_envs=2, frame_stack=STACK) for _ in range(2))
    for row in range(13):
        replay.add(frames_of([row, row + 50], [row % 4, 1]))
    other.load_state_dict(replay.state_dict())
    for replays in (replay, other):
        replays.add(frames_of([90, 91], [1, 0]))
    mine, yours = (each.sample(4, 2, np.random.default_rng(1)) for each in (replay, other))
    for name in FRAME_SPEC:
        np.testing.assert_array_equal(mine[0][name], yours[0][name])
    np.testing.assert_array_equal(mine[1].indices.time, yours[1].indices.time)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"length": np.array(5)}, "does not fit"),
        ({"end": np.array(-1)}, "does not fit"),
        ({"origin": np.array(9)}, "does not fit"),
        ({"end": np.array(10**15)}, "does not match at"),
        ({"end": np.array(3.0)}, "no integer"),
        ({"frames['stamp']": np.zeros((3, 1))}, r"does not match at frames\['stamp'\]\n  expected  int32 \(3, 1\)"),
        ({"frames['stamp']": np.zeros((4, 1), np.int32)}, "does not match at"),
        ({"history": np.full((3, 1), 2, np.int32)}, "before its first frame"),
        ({"surprise": np.zeros(3)}, "surprise"),
    ],
)
def test_host_replay_refuses_a_saved_state_that_contradicts_itself(change, message):
    replay = HostReplay(FRAME_SPEC, capacity=4, frame_stack=STACK)
    for stamp in range(3):
        replay.add(frames_of([stamp]))
    saved = replay.state_dict()
    with pytest.raises(StorageError, match=message):
        replay.load_state_dict({**saved, **change})
    for name, value in replay.state_dict().items():
        np.testing.assert_array_equal(value, saved[name])


def test_host_replay_refuses_a_capacity_that_memory_cannot_hold():
    with pytest.raises(ConfigError, match=r"at most \d+ bytes.*got  10000000000000 bytes"):
        HostReplay(FRAME_SPEC, capacity=10**12)  # 2 + 4 + 4 bytes a frame
    with pytest.raises(ConfigError, match=r"at most 999 bytes .* got  1000 bytes"):
        HostReplay(FRAME_SPEC, capacity=100, memory_limit_bytes=999)
