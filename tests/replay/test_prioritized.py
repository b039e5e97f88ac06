"""PrioritizedReplay against priorities in a dictionary."""

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from jaxdaw.errors import ConfigError, SpecError, StorageError
from jaxdaw.replay import FrameStack, PrioritizedReplay, WindowIndices
from jaxdaw.specs import TensorSpec

FRAME_SPEC = {"step_type": TensorSpec((1,), np.int32), "stamp": TensorSpec((), np.int64)}


def frames_of(stamps):
    stamps = np.asarray(stamps, np.int64)
    return {"stamp": stamps, "step_type": np.ones((stamps.size, 1), np.int32)}


def filled(num_adds, capacity=20, num_envs=1, **options):
    replay = PrioritizedReplay(FRAME_SPEC, capacity, num_envs, **options)
    for row in range(num_adds):
        replay.add(frames_of(row * 100 + np.arange(num_envs)))
    return replay


def indices_of(times, envs=None):
    times = np.asarray(times)
    return WindowIndices(env=np.zeros_like(times) if envs is None else np.asarray(envs), time=times)


def test_prioritized_replay_draws_in_proportion_to_priority_to_the_alpha():
    replay = filled(4, alpha=0.5)
    replay.update_priorities(indices_of([0, 1, 2, 3]), np.array([1.0, 4.0, 9.0, 16.0]))
    generator = np.random.default_rng(0)
    draws = [replay.sample(4, 1, 0.4, generator) for _ in range(5_000)]
    stamps = np.concatenate([experience["stamp"][:, 0] for experience, _ in draws]) // 100
    counts = np.bincount(stamps)
    expected = 20_000 * np.array([1, 2, 3, 4]) / 10
    assert np.sum((counts - expected) ** 2 / expected) < 3 + 5 * np.sqrt(6)  # chi-square with 3 degrees
    _, info = draws[0]
    np.testing.assert_allclose(info.probabilities, (info.indices.time + 1) / 10, rtol=1e-6)


def test_prioritized_replay_weighs_by_inverse_probability_over_the_largest_of_the_batch():
    replay = filled(4, alpha=1.0)
    replay.update_priorities(indices_of([0, 1, 2, 3]), np.array([1.0, 2.0, 3.0, 4.0]))
    _, info = replay.sample(4, 1, 0.7, np.random.default_rng(0))
    unnormalised = (4 * (info.indices.time + 1) / 10.0) ** -0.7  # (N p)^-beta
    np.testing.assert_allclose(info.weights, unnormalised / unnormalised.max(), rtol=1e-6)
    assert info.weights.dtype == info.probabilities.dtype == np.float32
    _, info = replay.sample(4, 1, 0.0, np.random.default_rng(0))
    np.testing.assert_array_equal(info.weights, 1)


def test_prioritized_replay_weights_stay_finite_over_the_whole_range_of_priorities():
    replay = filled(4, alpha=1.0)
    replay.update_priorities(indices_of([0, 1, 2, 3]), np.array([3e38, 1e-300, 1e38, 1e-300]))
    _, info = replay.sample(4, 1, 1.0, np.random.default_rng(0))
    assert np.all(np.isfinite(info.weights))
    assert info.weights.max() == 1


def test_prioritized_replay_draws_one_row_from_each_stratum():
    replay = filled(10, alpha=1.0)  # all new: equal priorities, so ten strata are ten frames
    experience, info = replay.sample(10, 1, 1.0, np.random.default_rng(0))
    np.testing.assert_array_equal(experience["stamp"][:, 0], np.arange(10) * 100)
    np.testing.assert_allclose(info.probabilities, 0.1, rtol=1e-6)


def test_prioritized_replay_gives_new_frames_the_largest_priority_so_far():
    replay = filled(3, alpha=1.0)
    replay.update_priorities(indices_of([1]), np.array([6.0]))
    replay.add(frames_of([300]))
    replay.update_priorities(indices_of([1]), np.array([1.0]))  # the largest so far remains 6
    replay.add(frames_of([400]))
    _, info = replay.sample(5, 1, 1.0, np.random.default_rng(0))
    expected = np.array([1, 1, 1, 6, 6]) / 15
    np.testing.assert_allclose(info.probabilities, expected[info.indices.time], rtol=1e-6)


class PrioritizedReplayMachine(RuleBasedStateMachine):
    """The distribution over windows, read off the tree, against a dictionary from (time, env) to priority."""

    @initialize(length=st.integers(4, 9), num_envs=st.integers(1, 3), stacked=st.booleans())
    def start(self, length, num_envs, stacked):
        first_is = FrameStack(3, lambda frame: frame["step_type"], lambda frame: frame["step_type"][:, 0] == 0)
        self.make = lambda: PrioritizedReplay(
            FRAME_SPEC, length * num_envs, num_envs, alpha=0.5, frame_stack=first_is if stacked else None
        )
        self.replay = self.make()
        self.length, self.num_envs, self.max_history = length, num_envs, 2 if stacked else 0
        self.added = self.cleared_at = 0
        self.max_priority = 1.0
        self.priorities = {}

    @rule(count=st.integers(1, 4))
    def add(self, count):
        for _ in range(count):
            self.replay.add(frames_of(self.added * 100 + np.arange(self.num_envs)))
            self.priorities |= {(self.added, env): self.max_priority for env in range(self.num_envs)}
            self.added += 1

    @rule(seed=st.integers(0, 1000))
    def update(self, seed):
        if not self.added:
            return
        generator = np.random.default_rng(seed)
        times = generator.integers(self.added, size=5)  # overwritten ones among them, and repetitions
        envs = generator.integers(self.num_envs, size=5)
        priorities = generator.choice([0.0, 0.25, 1.0, 4.0, 100.0], 5)
        self.replay.update_priorities(indices_of(times, envs), priorities)
        oldest = max(self.cleared_at, self.added - self.length)
        for time, env, priority in zip(times, envs, priorities):
            if time >= oldest:
                self.priorities[time, env] = priority
                # A priority that is given and then replaced in the same call never stood in the replay.
        held = {(time, env): self.priorities[time, env] for time, env in zip(times, envs) if time >= oldest}
        self.max_priority = max([self.max_priority, *priorities[times >= oldest]])
        assert all(priority <= self.max_priority for priority in held.values())

    @rule()
    def clear(self):
        self.replay.clear()
        self.cleared_at = self.added

    @rule(into_another=st.booleans())
    def save_and_load(self, into_another):
        saved = self.replay.state_dict()
        for _ in range(5):
            self.replay.add(frames_of(np.zeros(self.num_envs)))
        if self.replay.num_windows(1):
            self.replay.sample(1, 1, 1.0, np.random.default_rng(0))
        self.replay = self.make() if into_another else self.replay
        self.replay.load_state_dict(saved)

    @rule(num_steps=st.integers(1, 2), seed=st.integers(0, 1000))
    def sample(self, num_steps, seed):
        oldest = max(self.cleared_at, self.added - self.length)
        if oldest > self.cleared_at:
            oldest += self.max_history
        starts = range(oldest, self.added - num_steps + 1)
        expected = {(time, env): self.priorities[time, env] ** 0.5 for time in starts for env in range(self.num_envs)}
        total = sum(expected.values())
        batch_size = max(1, len(expected))
        if not expected or total == 0:
            with pytest.raises(StorageError, match=r"0 items|all priorities are 0"):
                self.replay.sample(batch_size, num_steps, 1.0, np.random.default_rng(seed))
            return
        experience, info = self.replay.sample(batch_size, num_steps, 1.0, np.random.default_rng(seed))
        time, env = info.indices.time, info.indices.env
        chances = [expected[key] / total for key in zip(time, env)]  # KeyError: a window that is not held
        np.testing.assert_allclose(info.probabilities, chances, rtol=1e-6)
        assert np.all(info.probabilities > 0)
        stamps = (time[:, None] + np.arange(num_steps)) * 100 + env[:, None]
        np.testing.assert_array_equal(experience["stamp"], stamps)


TestPrioritizedReplayMachine = PrioritizedReplayMachine.TestCase
TestPrioritizedReplayMachine.settings = settings(max_examples=100, stateful_step_count=50, deadline=None)


def test_prioritized_replay_ignores_updates_of_frames_that_were_overwritten():
    replay = filled(3, capacity=3, alpha=1.0)
    _, info = replay.sample(3, 1, 1.0, np.random.default_rng(0))
    replay.add(frames_of([300]))  # takes the row of step 0
    replay.update_priorities(info.indices, np.array([50.0, 1.0, 1.0]))
    _, info = replay.sample(3, 1, 1.0, np.random.default_rng(0))
    np.testing.assert_array_equal(info.indices.time, [3, 1, 2])  # in the order of ring rows
    np.testing.assert_allclose(info.probabilities, 1 / 3, rtol=1e-6)


@pytest.mark.parametrize(
    ("bad", "message"),
    [(np.nan, "got  nan"), (-1e-9, "got  -1e-09"), (np.inf, "got  inf"), (1e39, "got  1e[+]39")],
)
def test_prioritized_replay_refuses_bad_priorities_and_stays_as_it_was(bad, message):
    replay = filled(4, alpha=1.0)
    before, _ = replay.state_dict(), replay.sample(4, 1, 1.0, np.random.default_rng(0))
    with pytest.raises(ConfigError, match=f"1 of 3 priorities are out of range, first at row 1\n.*{message}"):
        replay.update_priorities(indices_of([0, 1, 2]), np.array([9.0, bad, 9.0]))
    for name, value in replay.state_dict().items():
        np.testing.assert_array_equal(value, before[name])
    _, info = replay.sample(4, 1, 1.0, np.random.default_rng(0))
    np.testing.assert_allclose(info.probabilities, 0.25, rtol=1e-6)


@pytest.mark.parametrize(
    ("indices", "priorities"),
    [
        (indices_of([0, 1]), np.ones(3)),
        (indices_of([0, 1]), np.ones((2, 1))),
        (indices_of([[0, 1]]), np.ones((1, 2))),
        (indices_of([0, 4]), np.ones(2)),
        (indices_of([0, 1], [0, 1]), np.ones(2)),
        (indices_of([0, 1], [0, -1]), np.ones(2)),
    ],
)
def test_prioritized_replay_refuses_indices_it_never_gave(indices, priorities):
    replay = filled(4)
    with pytest.raises(SpecError, match=r"differ in shape|not drawn from this replay"):
        replay.update_priorities(indices, priorities)


def test_prioritized_replay_says_so_when_all_priorities_are_zero():
    replay = filled(4, alpha=1.0)
    replay.update_priorities(indices_of([0, 1, 2, 3]), np.zeros(4))
    with pytest.raises(StorageError, match=r"all priorities are 0.*\n.*\n.*\+ 1e-6"):
        replay.sample(2, 1, 1.0, np.random.default_rng(0))
    replay.update_priorities(indices_of([2]), np.array([0.5]))
    _, info = replay.sample(4, 1, 1.0, np.random.default_rng(0))
    np.testing.assert_array_equal(info.indices.time, 2)


def test_prioritized_replay_with_alpha_zero_is_uniform():
    replay = filled(4, alpha=0.0)
    replay.update_priorities(indices_of([0, 1, 2, 3]), np.array([0.0, 1.0, 5.0, 1e30]))
    _, info = replay.sample(4, 1, 1.0, np.random.default_rng(0))
    np.testing.assert_allclose(info.probabilities, 0.25, rtol=1e-6)


@pytest.mark.parametrize("value", [-0.1, 1.1, np.nan])
def test_prioritized_replay_refuses_alpha_and_beta_out_of_range(value):
    with pytest.raises(ConfigError, match="alpha is out of range"):
        PrioritizedReplay(FRAME_SPEC, 10, alpha=value)
    with pytest.raises(ConfigError, match="beta is out of range"):
        filled(4).sample(2, 1, value, np.random.default_rng(0))


def test_prioritized_replay_says_what_it_lacks_when_sampled_too_early():
    with pytest.raises(StorageError, match="3 items, need >= 64"):
        filled(4).sample(64, 2, 1.0, np.random.default_rng(0))
    with pytest.raises(StorageError, match="0 items, need >= 1"):
        filled(0).sample(1, 1, 1.0, np.random.default_rng(0))


def test_prioritized_replay_counts_its_priorities_as_memory():
    # 12 bytes of frame, 40 of priority and tree, 100 frames.
    with pytest.raises(ConfigError, match=r"at most 5199 bytes .* got  5200 bytes"):
        PrioritizedReplay(FRAME_SPEC, 100, memory_limit_bytes=5_199)
    PrioritizedReplay(FRAME_SPEC, 100, memory_limit_bytes=5_200)


@pytest.mark.parametrize(
    "change",
    [
        {"priorities": np.full((4, 1), np.nan)},
        {"priorities": np.ones((3, 1))},
        {"priorities": np.ones((4, 1), np.float32)},
        {"max_priority": np.array(-1.0)},
        {"history": np.zeros((4, 1))},
    ],
)
def test_prioritized_replay_refuses_a_saved_state_that_contradicts_itself(change):
    replay = filled(4)
    saved = replay.state_dict()
    with pytest.raises(StorageError, match=f"does not match at {next(iter(change))}"):
        replay.load_state_dict({**saved, **change})
    with pytest.raises(StorageError, match="does not match at priorities"):
        replay.load_state_dict({name: value for name, value in saved.items() if name != "priorities"})
    for name, value in replay.state_dict().items():
        np.testing.assert_array_equal(value, saved[name])


def test_frames_of_the_other_byte_order_are_the_same_numbers():
    replay = PrioritizedReplay(FRAME_SPEC, 8)
    replay.add({"stamp": np.array([258], ">i8"), "step_type": np.array([[1]], ">i4")})
    experience, _ = replay.sample(1, 1, 0.4, np.random.default_rng(0))
    assert experience["stamp"].tolist() == [[258]]  # its bytes the other way round are 2**56 + 2**49
    assert experience["stamp"].dtype.isnative
