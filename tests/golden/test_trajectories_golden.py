"""Reference numbers of time steps, trajectories, transitions, returns and advantages."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdaw import math, specs, trajectories
from jaxdaw.trajectories import StepType, Trajectory

from . import cases

FAMILY = "trajectories"
TO_N_STEP_TRANSITION = jax.jit(trajectories.to_n_step_transition, static_argnums=1)


def _records(case: cases.Case, prefix: str, got) -> None:
    """Compares every stored leaf under `prefix` with the record's."""
    stored = case.sub(prefix)
    flat = {_key(path): leaf for path, leaf in specs.flatten_with_path(got)}
    assert set(stored) <= set(flat), (sorted(stored), sorted(flat))
    for key in stored:
        case.close(f"{prefix}/{key}", flat[key])


def _key(path: str) -> str:
    return "/".join(
        part for part in path.replace("['", ".").replace("']", "").replace("[", ".").replace("]", "").split(".") if part
    )


@pytest.mark.parametrize("name", [n for n in cases.names(FAMILY) if "n_step" in n])
def test_n_step_transition_equals_reference_where_no_episode_is_cut(name):
    case = cases.load(FAMILY, name)
    frames = cases.trajectory(case.sub("in/trajectory"))
    gamma = case.doc["api"]["arguments"]["gamma"]
    got = TO_N_STEP_TRANSITION(frames, gamma)
    n = frames.discount.shape[1] - 1
    inside = frames.next_step_type[:, : n - 1] == StepType.LAST
    crosses = inside.any(axis=1)  # docs/differences.md, "n-step returns at a truncation": those rows are ours
    stored = case.sub("out/transition")
    for path, leaf in specs.flatten_with_path(got):
        key = _key(path)
        if key in stored:
            want = stored[key]
            ours = np.asarray(leaf)
            case.close(f"out/transition/{key}", ours[~crosses], want[~crosses])
    for row in np.flatnonzero(crosses):
        m = int(np.argmax(inside[row])) + 1
        reward, factor = 0.0, 1.0
        for k in range(m):
            reward += factor * float(frames.reward[row, k])
            factor *= gamma * float(frames.discount[row, k])
        np.testing.assert_allclose(got.next_time_step.reward[row], reward, rtol=1e-5, atol=1e-6)
        np.testing.assert_array_equal(got.next_time_step.step_type[row], frames.step_type[row, m])


@pytest.mark.parametrize(
    "name", [n for n in cases.names(FAMILY) if "_transition_" in n and "n_step" not in n and "ts_" not in n]
)
def test_transition(name):
    case = cases.load(FAMILY, name)
    frames = cases.trajectory(case.sub("in/trajectory"))
    function, arguments = case.doc["api"]["function"], case.doc["api"]["arguments"]
    if function == "from_transition":
        return
    if function == "experience_to_transitions":
        got = trajectories.experience_to_transitions(frames, arguments["squeeze_time_dim"])
    elif "next_trajectory" in arguments:
        got = trajectories.to_transition(frames, cases.trajectory(case.sub("in/next_trajectory")))
    else:
        got = trajectories.to_transition(frames)
        for predicate in ("is_first", "is_mid", "is_last", "is_boundary"):
            case.close(f"out/{predicate}", getattr(frames, predicate)())
    _records(case, "out/transition", got)


@pytest.mark.parametrize("name", [n for n in cases.names(FAMILY) if "experience_to_transitions" in n])
def test_experience_to_transitions(name):
    case = cases.load(FAMILY, name)
    frames = cases.trajectory(case.sub("in/trajectory"))
    squeeze = case.doc["api"]["arguments"]["squeeze_time_dim"]
    _records(case, "out/transition", trajectories.experience_to_transitions(frames, squeeze))


@pytest.mark.parametrize("name", [n for n in cases.names(FAMILY) if "from_episode" in n])
def test_from_episode(name):
    case = cases.load(FAMILY, name)
    given = case.sub("in")
    discount = given.get("discount")
    got = trajectories.from_episode(
        given["observation"],
        given["action"],
        given["policy_info"],
        given["reward"],
        discount,
        # docs/differences.md, "from_episode": without a discount the end must be named; the reference means a
        # truncation.
        terminated=False if discount is None else None,
    )
    _records(case, "out/trajectory", got)


def test_from_transition():
    case = cases.load(FAMILY, "026_from_transition")
    given = case.sub("in")
    before = trajectories.restart(given["observation"], batch_size=4)
    after = trajectories.transition(given["next_observation"], given["next_reward"], discount=0.5)
    frame = trajectories.from_transition(before, trajectories.PolicyStep(given["action"]), after)
    _records(case, "out/trajectory", frame)


@pytest.mark.parametrize(
    "name", [n for n in cases.names(FAMILY) if n[4:].startswith(("first", "mid", "last", "single", "boundary"))]
)
def test_frame_constructors(name):
    case = cases.load(FAMILY, name)
    given = case.sub("in")
    make = getattr(trajectories, case.doc["api"]["function"].split(".")[1])
    frame = make(given["observation"], given["action"], (), given["reward"], given["discount"])
    _records(case, "out/trajectory", frame)


@pytest.mark.parametrize("name", [n for n in cases.names(FAMILY) if n[4:].startswith("ts_")])
def test_time_steps(name):
    case = cases.load(FAMILY, name)
    given = case.sub("in")
    if case.doc["api"].get("input_kind") == "tensor":
        given = {k: jnp.asarray(v) for k, v in given.items()}
    kind = case.doc["api"]["function"].split(".")[1]
    arguments = case.doc["api"]["arguments"]
    batched = "batch" in name
    if kind == "restart":
        step = trajectories.restart(given["observation"], batch_size=4 if batched else None)
    elif kind == "termination":
        step = trajectories.termination(given["observation"], given["reward"])
    else:
        discount = arguments.get("discount")
        extra = {} if discount is None else {"discount": given["discount"] if isinstance(discount, str) else discount}
        step = getattr(trajectories, kind)(given["observation"], given["reward"], **extra)
    for key, want in case.sub("out").items():
        got = getattr(step, key)() if key.startswith("is_") else getattr(step, key)
        if case.doc["status"] == "quirk" and key == "discount":
            # docs/differences.md, "scalar discount": ours is broadcast to the batch.
            assert np.shape(got) == (4,)
            want = np.full(4, want)
        case.close(f"out/{key}", got, want)


@pytest.mark.parametrize("name", [n for n in cases.names(FAMILY) if "discounted_return" in n])
def test_discounted_return(name):
    case = cases.load(FAMILY, name)
    time_major = case.doc["api"]["arguments"]["time_major"]
    args = (case.arrays["in/rewards"], case.arrays["in/discounts"], case.arrays.get("in/final_value"), time_major)
    case.close("out/all_returns", trajectories.discounted_return(*args))
    case.close("out/first_return", trajectories.discounted_return(*args, provide_all_returns=False))


@pytest.mark.parametrize("name", [n for n in cases.names(FAMILY) if "gae" in n])
def test_generalized_advantage_estimation(name):
    case = cases.load(FAMILY, name)
    arguments = case.doc["api"]["arguments"]
    got = trajectories.generalized_advantage_estimation(
        case.arrays["in/values"],
        case.arrays["in/final_value"],
        case.arrays["in/discounts"],
        case.arrays["in/rewards"],
        arguments["td_lambda"],
        arguments["time_major"],
    )
    case.close("out/advantages", got)


def test_masks_losses_and_indexing():
    case = cases.load(FAMILY, "091_episode_masks")
    case.close("out/episode_mask", trajectories.get_episode_mask(case.arrays["in/step_type"]))
    case.close("out/contiguous_sub_episodes", trajectories.get_contiguous_sub_episodes(case.arrays["in/discount"]))
    case = cases.load(FAMILY, "092_element_wise_losses")
    target, prediction = jnp.asarray(case.arrays["in/target"]), jnp.asarray(case.arrays["in/prediction"])
    case.close("out/huber", math.element_wise_huber_loss(target, prediction))
    case.close("out/squared", math.element_wise_squared_loss(target, prediction))
    for name in ("093_index_with_actions_rank1", "094_index_with_actions_rank2"):
        case = cases.load(FAMILY, name)
        got = math.index_with_actions(
            jnp.asarray(case.arrays["in/q_values"]), jnp.asarray(case.arrays["in/actions"], jnp.int32)
        )
        case.close("out/picked", got)


def test_every_case_is_visited():
    """A case that no pattern above matches would pass unseen."""
    patterns = ("n_step", "transition", "from_episode", "first", "mid", "last", "single_step", "boundary", "ts_")
    patterns += ("discounted_return", "gae", "episode_masks", "element_wise", "index_with")
    assert not [n for n in cases.names(FAMILY) if not any(p in n for p in patterns)]
    assert len(cases.names(FAMILY)) == 95


def test_truncation_inside_a_window_golden():
    """F->L, L->F, F->M, M->M with r = 1, 0, 5, 7: the reference sums into the next episode (3.125); ours stops at 1."""
    frames = Trajectory(
        step_type=np.array([[0, 2, 0, 1, 1]], np.int32),
        observation=np.arange(5, dtype=np.float32)[None],
        action=np.zeros((1, 5), np.int32),
        policy_info=(),
        next_step_type=np.array([[2, 0, 1, 1, 1]], np.int32),
        reward=np.array([[1.0, 0.0, 5.0, 7.0, 0.0]], np.float32),
        discount=np.ones((1, 5), np.float32),
    )
    got = TO_N_STEP_TRANSITION(frames, 0.5).next_time_step
    assert (float(got.reward[0]), float(got.discount[0]), int(got.step_type[0]), float(got.observation[0])) == (
        1.0,
        1.0,
        2,
        1.0,
    )
