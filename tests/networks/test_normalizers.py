"""StreamingNormalizer and EMANormalizer."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxdaw import specs, trajectories
from jaxdaw.agents import DqnAgent
from jaxdaw.errors import ConfigError, NonFiniteError, SpecError, SpecTypeError
from jaxdaw.networks import EMANormalizer, FixedNormalizer, QNetwork, Sequential, StreamingNormalizer
from jaxdaw.policies import QPolicy
from jaxdaw.training import load_policy, save_policy

VECTOR = specs.TensorSpec((2,), np.float32)
NESTED = {"speed": specs.TensorSpec((), np.float32), "gears": (specs.BoundedTensorSpec((2,), np.int32, 0, 9),)}
ROWS = np.random.default_rng(0).normal([3, -1], [2, 0.1], size=(60, 2)).astype(np.float32)
KINDS = [StreamingNormalizer, EMANormalizer]
both = pytest.mark.parametrize("kind", KINDS)


def moments(rest, leaf=0):
    """Count, mean and variance of a streaming normalizer, in float64."""
    total = {
        name: np.asarray(value["total"], float) + np.asarray(value["carry"], float) for name, value in rest.items()
    }
    return total["count"], total[f"mean_{leaf}"], total[f"m2_{leaf}"] / total["count"]


def pure(normalizer):
    """`(weights, rows) -> weights` with the statistics moved."""
    return lambda weights, rows: weights._replace(rest=normalizer.apply(weights, rows, training=True)[2])


def state_of(normalizer):
    return [np.copy(variable.get_value()) for variable in normalizer.variables]


def same(before, after):
    return all(np.array_equal(a, b) for a, b in zip(before, after, strict=True))


@given(cuts=st.lists(st.sampled_from(range(0, 61, 15)), max_size=6), seed=st.integers(0, 99))
@settings(max_examples=25, deadline=None)
def test_streaming_statistics_are_those_of_all_rows_in_any_order_and_any_batches(cuts, seed):
    normalizer = StreamingNormalizer(VECTOR)
    for batch in np.split(np.random.default_rng(seed).permutation(ROWS), sorted(cuts)):  # some are empty
        normalizer.update(batch)
    count, mean, variance = moments(normalizer.get_weights().rest)
    assert count == 60
    np.testing.assert_allclose(mean, ROWS.astype(float).mean(0), rtol=1e-6)
    np.testing.assert_allclose(variance, ROWS.astype(float).var(0), rtol=2e-6)


def test_scan_over_batches_and_vmap_over_populations_equal_one_batch():
    normalizer = StreamingNormalizer(VECTOR)
    step = pure(normalizer)
    weights = normalizer.init_weights(jax.random.key(0))
    scanned, _ = jax.jit(lambda w, x: jax.lax.scan(lambda w, row: (step(w, row), ()), w, x))(weights, ROWS[:, None])
    at_once = jax.jit(step)(weights, ROWS)
    np.testing.assert_allclose(moments(scanned.rest)[1:], moments(at_once.rest)[1:], rtol=2e-6)

    population = jax.vmap(normalizer.init_weights)(jax.random.split(jax.random.key(0), 3))
    population = jax.vmap(step)(population, ROWS.reshape(3, 20, 2))
    for member in range(3):
        _, mean, variance = moments(jax.tree.map(lambda x: x[member], population.rest))  # noqa: B023
        np.testing.assert_allclose(mean, ROWS[20 * member : 20 * member + 20].mean(0), rtol=2e-6)
        np.testing.assert_allclose(variance, ROWS[20 * member : 20 * member + 20].var(0), rtol=1e-5)


@pytest.mark.parametrize("batch_size", [1, 100])
def test_ten_million_rows_around_ten_thousand_keep_their_statistics(batch_size):
    """A plain float32 sum loses a millionth of its rows' spread here: the mean drifts, slower than its last bit."""
    rng = np.random.default_rng(1)
    drift = np.linspace(0, 3, 10_000_000, dtype=np.float32)
    rows = (10_000 + rng.normal(scale=0.1, size=10_000_000).astype(np.float32) + drift).reshape(-1, batch_size)
    normalizer = StreamingNormalizer(specs.TensorSpec((), np.float32))
    step = pure(normalizer)
    run = jax.jit(lambda w, x: jax.lax.scan(lambda w, row: (step(w, row), ()), w, x)[0])
    count, mean, variance = moments(run(normalizer.get_weights(), rows).rest)
    assert count == 10_000_000
    np.testing.assert_allclose(mean, rows.mean(dtype=float), atol=1e-6)
    np.testing.assert_allclose(variance, rows.var(dtype=float), rtol=1e-6)


def test_ema_near_a_large_mean_does_not_stop_at_the_last_bit():
    """From 10_000, a thousandth of 0.4 is below half of the last bit, 4.9e-4: a plain sum would never move."""
    normalizer = EMANormalizer(specs.TensorSpec((), np.float32))
    step = pure(normalizer)
    start = normalizer.get_weights()
    start.rest["mean_0"]["total"] = jnp.float32(10_000)
    rows = np.full((2000, 1), 10_000.4, np.float32)
    rest = jax.jit(lambda w, x: jax.lax.scan(lambda w, row: (step(w, row), ()), w, x)[0])(start, rows).rest
    want = 10_000 + (1 - 0.999**2000) * (float(rows[0, 0]) - 10_000)
    mean = sum(np.asarray(rest["mean_0"][part], float) for part in ("total", "carry"))
    np.testing.assert_allclose(mean, want, rtol=0, atol=1e-5)


def test_ema_follows_its_formula_over_many_batches():
    normalizer = EMANormalizer(VECTOR, norm_update_rate=0.2)
    mean, variance = np.zeros(2), np.ones(2)
    for batch in np.split(ROWS, 12):
        normalizer.update(batch)
        v = ((batch - mean) ** 2).mean(0)
        mean, variance = mean + 0.2 * (batch.mean(0) - mean), variance + 0.2 * (v - variance)
    rest = normalizer.get_weights().rest
    np.testing.assert_allclose(rest["mean_0"]["total"], mean, rtol=1e-5)
    np.testing.assert_allclose(rest["variance_0"]["total"], variance, rtol=1e-5)
    np.testing.assert_allclose(normalizer(ROWS)[0], np.clip((ROWS - mean) / np.sqrt(variance + 1e-3), -5, 5), rtol=1e-4)


@both
def test_nothing_seen_passes_through_and_is_clipped(kind):
    """Mean 0 and variance 1 before the first row: x / sqrt(1.001)."""
    output, state = kind(VECTOR)(np.array([[2, -3], [1000, -np.inf]], np.float32))
    np.testing.assert_allclose(output, [[2 / 1.001**0.5, -3 / 1.001**0.5], [5, -5]], rtol=1e-6)
    assert state == ()


def test_one_row_and_constant_columns_have_variance_zero():
    """(x - mean) / sqrt(1e-3): 0 for what never changes, and 0.1 away is 3.16 standard deviations."""
    normalizer = StreamingNormalizer(VECTOR)
    normalizer.update(np.array([7, 0.1], np.float32), outer_dims=())
    probe = np.array([[7, 0.2]], np.float32)
    np.testing.assert_allclose(normalizer(probe)[0], [[0, 0.1 / 1e-3**0.5]], rtol=1e-6)
    for _ in range(50):
        normalizer.update(np.full((9, 2), [7, 0.1], np.float32))
    count, mean, variance = moments(normalizer.get_weights().rest)
    assert (count, *variance) == (451, 0, 0)
    np.testing.assert_array_equal(mean, np.float32([7, 0.1]))


@both
def test_no_rows_change_nothing(kind):
    normalizer = kind(VECTOR)
    normalizer.update(ROWS)
    before = state_of(normalizer)
    normalizer.update(np.zeros((0, 2), np.float32))
    assert normalizer(np.zeros((0, 2), np.float32), training=True)[0].shape == (0, 2)
    assert same(before, state_of(normalizer))


@both
@pytest.mark.parametrize("fault", [np.nan, np.inf, -np.inf, 2.0**48, -1e38])
def test_update_refuses_rows_that_would_poison_the_statistics_and_moves_nothing(kind, fault):
    normalizer = kind({"speed": VECTOR})
    normalizer.update({"speed": ROWS})
    before = state_of(normalizer)
    faulty = ROWS.copy()
    faulty[4, 1] = fault
    with pytest.raises(NonFiniteError, match=r"1 of 60 rows that do not count at \['speed'\] \(first row 4\)"):
        normalizer.update({"speed": faulty})
    assert same(before, state_of(normalizer))


@both
@pytest.mark.parametrize("fault", [np.nan, np.inf, -np.inf, 2.0**48, -1e38])
def test_compiled_code_counts_only_rows_that_are_finite_in_every_leaf(kind, fault):
    normalizer = kind((VECTOR, VECTOR))
    step = jax.jit(pure(normalizer))
    faulty = ROWS.copy(), ROWS[::-1].copy()
    faulty[0][0, 1] = faulty[1][7, 0] = fault
    kept = [i for i in range(60) if i not in (0, 7)]
    got = step(normalizer.get_weights(), faulty)
    want = step(normalizer.get_weights(), (faulty[0][kept], faulty[1][kept]))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5), got, want)

    nothing = step(got, (np.full_like(ROWS, fault), ROWS))
    jax.tree.map(np.testing.assert_array_equal, nothing, got)


def test_values_just_below_the_limit_do_not_overflow():
    normalizer = StreamingNormalizer(specs.TensorSpec((), np.float32))
    huge = np.float32(2.0**47)
    for _ in range(3):
        normalizer.update(np.array([huge, -huge] * 500))
    count, mean, variance = moments(normalizer.get_weights().rest)
    assert (count, mean) == (3000, 0)
    np.testing.assert_allclose(variance, 2.0**94, rtol=1e-6)


def test_integers_and_booleans_come_out_as_floats():
    """Of 0 and 2 the mean is 1 and the variance 1; of False and True 1/2 and 1/4."""
    normalizer = StreamingNormalizer((specs.TensorSpec((), np.uint8), specs.TensorSpec((), np.bool_)))
    normalizer.update((np.array([0, 2], np.uint8), np.array([False, True])))
    integers, booleans = normalizer.normalize((np.uint8(2), np.bool_(False)))
    assert integers.dtype == booleans.dtype == np.float32
    np.testing.assert_allclose([integers, booleans], [1 / 1.001**0.5, -0.5 / 0.251**0.5], rtol=1e-6)
    assert normalizer.create_variables() == (specs.TensorSpec((), np.float32),) * 2


@both
def test_nests_keep_their_structure_and_lose_extra_keys(kind):
    normalizer = kind(NESTED)
    gears = np.random.default_rng(0).integers(0, 10, size=(4, 3, 2)).astype(np.int32)
    observation = {"speed": ROWS[:12, 0].reshape(4, 3), "gears": (gears,), "extra": np.zeros(4)}
    normalizer.update(observation, outer_dims=(0, 1))
    output = normalizer.normalize(observation)
    specs.check(output, normalizer.create_variables(), (4, 3))
    if kind is StreamingNormalizer:
        flat = gears.reshape(12, 2)
        want = (gears - flat.mean(0)) / np.sqrt(flat.var(0) + 1e-3)
        np.testing.assert_allclose(output["gears"][0], want, rtol=1e-5)


def test_training_moves_the_statistics_first_and_purely():
    normalizer = StreamingNormalizer(VECTOR)
    weights = normalizer.get_weights()
    output, _, rest = jax.jit(normalizer.apply, static_argnames="training")(weights, ROWS, training=True)
    want = (ROWS - ROWS.mean(0)) / np.sqrt(ROWS.var(0) + 1e-3)
    np.testing.assert_allclose(output, want, rtol=1e-4, atol=1e-5)
    assert same(state_of(normalizer), state_of(StreamingNormalizer(VECTOR)))  # its own have not moved
    np.testing.assert_allclose(normalizer.apply(weights._replace(rest=rest), ROWS)[0], output, rtol=1e-5)

    np.testing.assert_allclose(normalizer(ROWS.reshape(20, 3, 2), training=True)[0].reshape(60, 2), output, rtol=1e-5)
    assert moments(normalizer.get_weights().rest)[0] == 60  # eagerly they have


@both
def test_statistics_are_constants_to_gradients(kind):
    """d/dx of (x - mean) / sqrt(variance + 1e-3) is one factor for all rows, also where the variance is 0."""
    normalizer = kind(VECTOR)
    rows = np.concatenate([ROWS[:, :1] / 5, np.full((60, 1), 2, np.float32)], axis=1)
    weights = normalizer.get_weights()
    rest = normalizer.apply(weights, rows, training=True)[2]
    gradient = jax.grad(lambda x: jnp.sum(normalizer.apply(weights, x, training=True)[0]))(rows)
    moved = rest["m2_0"]["total"] / 60 if kind is StreamingNormalizer else rest["variance_0"]["total"]
    np.testing.assert_allclose(gradient, np.broadcast_to(1 / np.sqrt(moved + 1e-3), (60, 2)), rtol=1e-5)


@both
def test_statistics_are_variables_that_training_does_not_move(kind):
    normalizer = kind(NESTED)
    assert normalizer.trainable_variables == []
    assert normalizer.get_weights().params == {}
    assert all(isinstance(variable, nnx.BatchStat) for variable in normalizer.variables)
    assert normalizer.variable_names[:2] == ["mean_0/total", "mean_0/carry"]


@both
def test_copy_and_reset_begin_anew_and_clone_keeps(kind):
    normalizer = kind(VECTOR, name="velocity")
    fresh = state_of(normalizer)
    normalizer.update(ROWS)
    twin, copy = normalizer.clone(), normalizer.copy()
    assert same(state_of(twin), state_of(normalizer))
    assert same(state_of(copy), fresh)
    assert copy.name == "velocity"
    moved = state_of(normalizer)
    normalizer.reset()
    assert not same(moved, fresh)
    assert same(state_of(normalizer), fresh)
    assert same(state_of(twin), moved)


def test_a_copy_keeps_its_rate():
    normalizer = EMANormalizer(VECTOR, 1.0).copy()
    normalizer.update(ROWS)
    np.testing.assert_allclose(normalizer.get_weights().rest["mean_0"]["total"], ROWS.mean(0), rtol=1e-5)


def test_a_layer_of_a_policy_s_network_is_updated_with_it():
    action = specs.BoundedTensorSpec((), np.int32, 0, 1)

    def policy(seed):
        layers = [StreamingNormalizer(VECTOR), lambda rngs: nnx.Linear(2, 2, rngs=rngs)]
        return QPolicy(trajectories.time_step_spec(VECTOR), action, Sequential(layers, rngs=seed))

    source, target = policy(1), policy(2)
    network = source._q_network
    network(ROWS, training=True)
    kernel = target.trainable_variables[0].get_value()
    target.update(source, tau=0.5, tau_non_trainable=1.0)
    assert moments(target._q_network.layer[0].get_weights().rest)[0] == 60
    np.testing.assert_allclose(
        target.trainable_variables[0].get_value(), (kernel + source.trainable_variables[0].get_value()) / 2, rtol=1e-6
    )


def test_statistics_are_trained_saved_and_loaded_with_a_policy(tmp_path):
    action = specs.BoundedTensorSpec((), np.int32, 0, 1)
    network = Sequential([StreamingNormalizer(VECTOR), QNetwork(VECTOR, action, fc_layer_params=None)])
    agent = DqnAgent(
        trajectories.time_step_spec(VECTOR), action, network, optax.sgd(0.1), gamma=0.9, target_update_period=10
    )
    experience = specs.zeros_numpy(agent.collect_data_spec, (30, 2))._replace(observation=ROWS.reshape(30, 2, 2))
    agent.train(experience)
    count, mean, _ = moments(network.layer[0].get_weights().rest)
    assert count == 30  # the first frames of the windows: the next ones are for the target
    np.testing.assert_allclose(mean, ROWS[::2].mean(0), rtol=1e-5)

    save_policy(agent.policy, tmp_path / "policy")
    loaded = load_policy(tmp_path / "policy")
    saved = [variable.get_value() for variable in agent.policy.variables()]
    assert same(saved, [variable.get_value() for variable in loaded.variables()])


@both
def test_what_does_not_fit_is_refused(kind):
    normalizer = kind(VECTOR)
    with pytest.raises(SpecTypeError, match=f"tensor given to {kind.__name__}.update"):
        normalizer.update(ROWS.astype(np.float64))
    with pytest.raises(SpecError, match=f"tensor given to {kind.__name__}.normalize"):
        normalizer.normalize(ROWS[:, :1])
    with pytest.raises(SpecError, match=r"outer_dims .*\n.*\(0, 1\) .* \(0,\)"):
        normalizer.update(ROWS[None])
    with pytest.raises(SpecError, match="outer_dims"):
        normalizer.update(ROWS, outer_dims=(1,))
    with pytest.raises(ConfigError, match="variance_epsilon"):
        normalizer.normalize(ROWS, variance_epsilon=0.0)
    with pytest.raises(SpecError, match="nothing to normalize"):
        kind(())
    with pytest.raises(SpecError, match="tensor given to"):  # batched and unbatched leaves
        kind((VECTOR, VECTOR)).normalize((ROWS, ROWS[0]))


@pytest.mark.parametrize("rate", [0.0, -0.1, 1.1, float("nan")])
def test_rates_outside_their_range_are_refused(rate):
    with pytest.raises(ConfigError, match="norm_update_rate"):
        EMANormalizer(VECTOR, rate)


def test_fixed_normalizer_computes_what_it_says_and_keeps_its_numbers():
    normalizer = FixedNormalizer(VECTOR, [3.0, -1.0], [2.0, 1e-3], clip_value=4.0)
    expected = np.clip((ROWS.astype(np.float64) - [3.0, -1.0]) / [2.0, 1e-3], -4.0, 4.0)
    assert np.abs(expected).max() == 4.0
    for network in (normalizer, normalizer.copy(), normalizer.clone()):
        np.testing.assert_allclose(network(ROWS)[0], expected, rtol=1e-3, atol=1e-6)
        np.testing.assert_allclose(network(ROWS[None])[0][0], expected, rtol=1e-3, atol=1e-6)
    assert normalizer.variables == []
    one = FixedNormalizer(VECTOR, 1.0, 2.0, clip_value=0.0)
    np.testing.assert_allclose(one(ROWS)[0], (ROWS - 1) / 2, rtol=1e-6)


def test_fixed_normalizer_refuses_what_it_cannot_divide_by():
    with pytest.raises(SpecError, match="another shape"):
        FixedNormalizer(VECTOR, [1.0, 2.0, 3.0], 1.0)
    with pytest.raises(SpecError, match="floats"):
        FixedNormalizer(specs.TensorSpec((2,), np.int32), 0.0, 1.0)
    with pytest.raises(ConfigError, match="scale"):
        FixedNormalizer(VECTOR, 0.0, [1.0, 0.0])
    with pytest.raises(ConfigError, match="mean"):
        FixedNormalizer(VECTOR, np.nan, 1.0)
