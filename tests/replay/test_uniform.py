"""UniformReplay: which windows it holds, that their bits come back, and what it compiles to."""

import functools

import flashbax
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdaw.errors import ConfigError, SpecError, SpecTypeError, StorageError
from jaxdaw.replay import ReplayState, UniformReplay
from jaxdaw.specs import TensorSpec

NUM_ADDS = 20
# Packed into words, but for the image: 129 words are more than a packed leaf may have.
FRAME_SPEC = {
    "image": TensorSpec((129,), np.int32),
    "is_even": TensorSpec((), np.bool_),
    "stamp": TensorSpec((), np.int32),
}
SEEDS = ReplayState(0, None, None)  # vmap axes: each seed its storage, one cursor for all


def frames_of(stamps):
    """Frames whose every leaf tells the stamp."""
    stamps = jnp.asarray(stamps, jnp.int32)
    return {
        "image": jnp.broadcast_to(stamps[..., None], (*stamps.shape, 129)),
        "is_even": stamps % 2 == 0,
        "stamp": stamps,
    }


def stamps_of(num_adds, num_envs):
    """Unique stamps `[num_adds, num_envs]`, none 0, which an unwritten row would show."""
    return np.arange(1, num_adds + 1)[:, None] * 100 + np.arange(num_envs)


def windows_of(stamps, length, num_steps):
    """The windows that a ring of `length` steps holds: a list of tuples."""
    held = stamps[-length:] if len(stamps) else stamps
    starts = range(max(0, len(held) - num_steps + 1))
    return [tuple(held[start : start + num_steps, env]) for start in starts for env in range(stamps.shape[1])]


def filled(replay, num_adds):
    return functools.reduce(jax.jit(replay.add), map(frames_of, stamps_of(num_adds, replay.num_envs)), replay.init())


@pytest.mark.parametrize("num_envs", [1, 2, 3])
@pytest.mark.parametrize("capacity", range(2, 8))
def test_uniform_replay_holds_exactly_the_windows_of_a_list(capacity, num_envs):
    if capacity // num_envs < 2:
        with pytest.raises(ConfigError, match="no room for two steps"):
            UniformReplay(FRAME_SPEC, capacity, num_envs)
        return
    replay = UniformReplay(FRAME_SPEC, capacity, num_envs)
    stamps = stamps_of(NUM_ADDS, num_envs)
    every_window = jnp.arange(replay.length * num_envs, dtype=jnp.uint32)
    sizes = range(1, min(4, replay.length) + 1)

    def add_and_enumerate(state, frames):
        state = replay.add(state, frames)
        samples = {size: replay.sample_from_bits(state, every_window, size) for size in sizes}
        return state, (samples, {size: replay.num_windows(state, size) for size in sizes})

    empty = replay.init()
    _, (samples, counts) = jax.lax.scan(add_and_enumerate, empty, frames_of(stamps))
    for num_steps in sizes:
        assert int(replay.num_windows(empty, num_steps)) == 0
        assert not replay.can_sample(empty, num_steps)
        experience, info = jax.tree.map(np.asarray, samples[num_steps])
        for added in range(1, NUM_ADDS + 1):
            expected = windows_of(stamps[:added], replay.length, num_steps)
            count = int(counts[num_steps][added - 1])
            got = [tuple(window) for window in experience["stamp"][added - 1][:count]]
            assert got == expected  # Oldest first, environments in turn: each window once.
            if count:
                np.testing.assert_allclose(info.probabilities[added - 1], 1 / count, rtol=1e-6)
                np.testing.assert_array_equal(info.indices.env[added - 1][:count], np.arange(count) % num_envs)
        np.testing.assert_array_equal(experience["image"], experience["stamp"][..., None] + np.zeros(129, np.int32))
        is_unwritten = experience["stamp"] == 0
        np.testing.assert_array_equal(experience["is_even"], (experience["stamp"] % 2 == 0) & ~is_unwritten)


def test_uniform_replay_indices_name_the_ring_row_of_the_first_frame():
    replay = UniformReplay(FRAME_SPEC, capacity=4)
    state = filled(replay, 6)  # rows hold stamps 500 600 300 400, the cursor is at 2
    experience, info = replay.sample_from_bits(state, jnp.arange(3, dtype=jnp.uint32), 2)
    np.testing.assert_array_equal(info.indices.time, [2, 3, 0])
    np.testing.assert_array_equal(experience["stamp"], [[300, 400], [400, 500], [500, 600]])


def test_uniform_replay_draws_each_window_equally_often():
    replay = UniformReplay(FRAME_SPEC, capacity=14, num_envs=2)
    state = filled(replay, 11)
    experience, _ = jax.jit(replay.sample, static_argnums=(2, 3))(state, jax.random.key(3), 100_000, 2)
    windows, counts = np.unique(np.asarray(experience["stamp"]), axis=0, return_counts=True)
    cells = 12  # (7 - 2 + 1) starts x 2 environments
    assert len(windows) == cells
    chi_square = np.sum((counts - 100_000 / cells) ** 2) / (100_000 / cells)
    assert chi_square < 11 + 5 * np.sqrt(22)  # mean and five standard deviations of chi-square with 11 degrees


def test_uniform_replay_draws_the_windows_that_flashbax_draws():
    ours = UniformReplay(FRAME_SPEC, capacity=12, num_envs=2)
    theirs = flashbax.make_trajectory_buffer(
        add_batch_size=2,
        sample_batch_size=2_000,
        sample_sequence_length=3,
        period=1,
        min_length_time_axis=3,
        max_length_time_axis=6,
    )
    their_state = theirs.init(jnp.zeros((), jnp.int32))
    our_state = ours.init()
    add, their_add = jax.jit(ours.add), jax.jit(theirs.add)
    sample, their_sample = jax.jit(ours.sample, static_argnums=(2, 3)), jax.jit(theirs.sample)
    for added, stamps in enumerate(jnp.asarray(stamps_of(10, 2), jnp.int32), start=1):
        our_state = add(our_state, frames_of(stamps))
        their_state = their_add(their_state, stamps[:, None])
        if added in (3, 6, 10):  # as soon as possible, just full, wrapped
            our_windows = sample(our_state, jax.random.key(added), 2_000, 3)[0]["stamp"]
            their_windows = their_sample(their_state, jax.random.key(added)).experience
            assert set(map(tuple, np.asarray(our_windows))) == set(map(tuple, np.asarray(their_windows)))


def test_uniform_replay_packs_small_leaves_into_one_array():
    state = UniformReplay(FRAME_SPEC, capacity=10, num_envs=2).init()
    assert [(ring.shape, ring.dtype) for ring in state.storage] == [((5, 2, 2), np.uint32), ((5, 2, 129), np.int32)]


@pytest.mark.parametrize("cursor_axis", [None, 0])
def test_uniform_replay_agrees_with_single_rings_under_vmap(cursor_axis):
    replay = UniformReplay(FRAME_SPEC, capacity=6, num_envs=2)
    axes = ReplayState(0, cursor_axis, cursor_axis)
    stamps = np.stack([stamps_of(5, 2), stamps_of(5, 2) + 5_000], axis=1)  # [add, seed, env]
    states = jax.vmap(replay.init, axis_size=2, out_axes=axes)()
    add = jax.jit(jax.vmap(replay.add, in_axes=(axes, 0), out_axes=axes))
    for row in stamps:
        states = add(states, frames_of(row))
    bits = jnp.arange(8, dtype=jnp.uint32).reshape(2, 4)
    sample = jax.jit(functools.partial(replay.sample_from_bits, num_steps=2))
    experience, _ = jax.jit(jax.vmap(sample, in_axes=(axes, 0)))(states, bits)
    for seed in range(2):
        state = functools.reduce(jax.jit(replay.add), map(frames_of, stamps[:, seed]), replay.init())
        expected, _ = sample(state, bits[seed])
        jax.tree.map(
            np.testing.assert_array_equal, jax.tree.map(lambda leaf, seed=seed: leaf[seed], experience), expected
        )


def test_uniform_replay_agrees_under_two_vmaps_and_when_frames_are_shared():
    replay = UniformReplay(TensorSpec((), np.int32), capacity=3)
    add = jax.vmap(replay.add, in_axes=(SEEDS, None), out_axes=SEEDS)  # one frame for all seeds
    add = jax.vmap(add, in_axes=(SEEDS, 0), out_axes=SEEDS)
    states = jax.vmap(lambda: jax.vmap(replay.init, axis_size=2, out_axes=SEEDS)(), axis_size=3, out_axes=SEEDS)()
    states = add(states, jnp.array([[7], [8], [9]], jnp.int32))
    np.testing.assert_array_equal(states.storage[0][:, :, 0, 0, 0], [[7, 7], [8, 8], [9, 9]])


@pytest.mark.parametrize(("seeds", "num_slice_updates"), [(SEEDS, 2), (ReplayState(0, 0, 0), 0)])
def test_uniform_replay_with_one_cursor_for_all_seeds_compiles_to_one_slice_update_and_one_gather_an_array(
    seeds, num_slice_updates
):
    replay = UniformReplay(FRAME_SPEC, capacity=64)

    def step(state, frames, bits):
        state = replay.add(state, frames)
        return state, replay.sample_from_bits(state, bits, 2)

    step = jax.vmap(step, in_axes=(seeds, 0, 0), out_axes=(seeds, 0))
    states = jax.vmap(replay.init, axis_size=4, out_axes=seeds)()
    lowered = jax.jit(step).lower(states, frames_of(np.ones((4, 1))), jnp.zeros((4, 8), jnp.uint32))
    text = lowered.as_text()
    assert text.count("stablehlo.dynamic_update_slice") == num_slice_updates
    assert text.count('"stablehlo.scatter"(') == len(states.storage) - num_slice_updates
    assert text.count('"stablehlo.gather"(') == len(states.storage)


def test_uniform_replay_keeps_one_cursor_in_a_scan_inside_vmap():
    replay = UniformReplay(TensorSpec((), np.int32), capacity=8)

    def train(stamps):
        return jax.lax.scan(lambda state, stamp: (replay.add(state, stamp[None]), None), replay.init(), stamps)[0]

    text = jax.jit(jax.vmap(train)).lower(jnp.zeros((4, 20), jnp.int32)).as_text()
    assert "scatter" not in text


def test_uniform_replay_add_writes_into_the_donated_ring():
    replay = UniformReplay(FRAME_SPEC, capacity=100)
    add = jax.jit(replay.add, donate_argnums=0)
    state = add(replay.init(), frames_of([1]))
    pointers = [ring.unsafe_buffer_pointer() for ring in state.storage]
    before = state
    state = add(state, frames_of([2]))
    assert [ring.unsafe_buffer_pointer() for ring in state.storage] == pointers
    assert all(leaf.is_deleted() for leaf in jax.tree.leaves(before))


def test_uniform_replay_traces_once():
    replay = UniformReplay(FRAME_SPEC, capacity=5)
    traces = []

    @jax.jit
    def step(state, frames, key):
        traces.append(1)
        state = replay.add(state, frames)
        return state, replay.sample(state, key, 4, 1)

    state = replay.init()
    for stamp in range(12):  # empty, filling, full, wrapped
        state, _ = step(state, frames_of([stamp]), jax.random.key(stamp))
    assert len(traces) == 1
    same = jax.tree.map(lambda new, old: new.aval == old.aval, state, replay.init())
    assert all(jax.tree.leaves(same))


def test_uniform_replay_is_a_static_argument_that_compares_by_value():
    replays = [UniformReplay(FRAME_SPEC, 10), UniformReplay(dict(FRAME_SPEC), 10), UniformReplay(FRAME_SPEC, 11)]
    assert replays[0] == replays[1] != replays[2]
    assert hash(replays[0]) == hash(replays[1])
    init = jax.jit(UniformReplay.init, static_argnums=0)
    init(replays[0])
    init(replays[1])
    assert init._cache_size() == 1


def test_uniform_replay_passes_no_gradient():
    replay = UniformReplay((TensorSpec((200,), np.float32), TensorSpec((), np.float32)), capacity=2)

    def loss(weight):
        state = replay.add(replay.init(), (jnp.full((1, 200), 3 * weight), weight[None]))
        (large, small), _ = replay.sample_from_bits(state, jnp.zeros(1, jnp.uint32), 1)
        return weight**2 + jnp.sum(large) * 0 + small.sum()

    assert jax.grad(loss)(jnp.float32(2)) == 4  # of weight**2 alone


@pytest.mark.parametrize(
    ("frames", "error", "message"),
    [
        (frames_of([1, 2, 3]), SpecError, "image"),
        ({**frames_of([1, 2]), "stamp": jnp.zeros(2)}, SpecTypeError, "stamp"),
        ({"stamp": jnp.zeros(2, jnp.int32)}, SpecError, "image"),
    ],
)
def test_uniform_replay_refuses_frames_that_do_not_match_the_spec(frames, error, message):
    replay = UniformReplay(FRAME_SPEC, capacity=8, num_envs=2)
    state = filled(replay, 3)
    before = jax.tree.map(np.asarray, state)
    for add in (replay.add, jax.jit(replay.add, donate_argnums=0)):
        with pytest.raises(error, match=message):
            add(state, frames)
    jax.tree.map(np.testing.assert_array_equal, state, before)


def test_uniform_replay_says_what_it_lacks_when_sampled_too_early():
    replay = UniformReplay(FRAME_SPEC, capacity=100)
    state = filled(replay, 4)
    replay.check_can_sample(state, batch_size=3, num_steps=2)
    with pytest.raises(StorageError, match="3 items, need >= 64; collect more or lower batch_size"):
        replay.check_can_sample(state, batch_size=64, num_steps=2)
    with pytest.raises(StorageError, match="0 items, need >= 1"):
        replay.check_can_sample(replay.init(), batch_size=1, num_steps=5)
    with pytest.raises(ConfigError, match="batch_size"):
        replay.check_can_sample(state, batch_size=0, num_steps=2)


@pytest.mark.parametrize("num_steps", [0, -1, 6])
def test_uniform_replay_refuses_windows_longer_than_the_ring(num_steps):
    replay = UniformReplay(FRAME_SPEC, capacity=11, num_envs=2)  # 11 // 2: five steps each
    state = filled(replay, 5)
    for call in (
        lambda: replay.sample(state, jax.random.key(0), 2, num_steps),
        lambda: replay.can_sample(state, num_steps),
        lambda: replay.check_can_sample(state, 2, num_steps),
    ):
        with pytest.raises(ConfigError, match="num_steps does not fit this replay\n  expected  1 to 5 "):
            call()


@pytest.mark.parametrize("bits", [jnp.zeros(2, jnp.int32), jnp.zeros((2, 2), jnp.uint32), jnp.zeros((), jnp.uint32)])
def test_uniform_replay_refuses_bits_that_are_no_row_of_unsigned_words(bits):
    replay = UniformReplay(FRAME_SPEC, capacity=8)
    with pytest.raises(SpecTypeError, match=r"expected  uint32 \(batch,\)"):
        replay.sample_from_bits(filled(replay, 3), bits, 1)


def test_uniform_replay_refuses_a_capacity_that_memory_cannot_hold():
    with pytest.raises(ConfigError, match=r"at most \d+ bytes.*got  524000000000000 bytes"):
        UniformReplay(FRAME_SPEC, capacity=10**12)  # (2 + 129) words of 4 bytes a frame
    with pytest.raises(ConfigError, match=r"at most 52399 bytes .* got  52400 bytes"):
        UniformReplay(FRAME_SPEC, capacity=100, memory_limit_bytes=52_399)
    UniformReplay(FRAME_SPEC, capacity=100, memory_limit_bytes=52_400)


def test_uniform_replay_refuses_more_frames_than_int32_counts():
    with pytest.raises(ConfigError, match="capacity is out of range\n  expected  at most 2147483647"):
        UniformReplay(TensorSpec((), np.int32), capacity=2**31, memory_limit_bytes=2**60)


def test_frames_of_the_other_byte_order_are_the_same_numbers():
    spec = {"x": TensorSpec((2,), np.float32), "n": TensorSpec((), np.int32)}
    replay = UniformReplay(spec, 8, 2)
    frames = {"x": np.array([[1, 2], [3, 4]], ">f4"), "n": np.array([5, 6], ">i4")}
    experience, _ = replay.sample(replay.add(replay.init(), frames), jax.random.key(0), 64, 1)
    assert set(np.asarray(experience["n"]).ravel().tolist()) == {5, 6}
    np.testing.assert_array_equal(experience["x"][:, 0, 0], experience["n"][:, 0] * 2 - 9)  # 1 of 5, 3 of 6
