"""Conformance suite for agents, whatever they learn."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxdaw import specs
from jaxdaw.agents import Agent
from jaxdaw.errors import NonFiniteError, SpecError
from jaxdaw.testing._policies import compilations
from jaxdaw.trajectories import StepType, TimeStep, Trajectory

Make = Callable[[], Agent]
_ROWS = 6


def random_experience(agent: Agent, batch_size: int = _ROWS, num_frames: int | None = None, seed: int = 0) -> Any:
    """Returns frames that fit the agent's spec, NumPy `[B, T, ...]` or `[B, ...]`; each row is the end of an episode.

    Args:
      agent: whose `training_data_spec` to draw from; unbounded numbers are normal.
      batch_size: B.
      num_frames: T; None is the agent's `train_sequence_length`, or 3.
      seed: of the draw.
    """
    outer = (batch_size, num_frames or agent.train_sequence_length or 3)[: agent.num_outer_dims]
    random = np.random.default_rng(seed)

    def draw(spec: specs.TensorSpec) -> np.ndarray:
        shape = (*outer, *spec.shape)
        if spec.dtype.kind == "f" and not specs.is_bounded(spec):
            return random.normal(size=shape).astype(spec.dtype)
        if isinstance(spec, specs.BoundedTensorSpec) and np.isinf([spec.minimum, spec.maximum]).any():
            return np.clip(random.normal(size=shape), spec.minimum, spec.maximum).astype(spec.dtype)
        return np.asarray(specs.sample(spec, jax.random.key(random.integers(2**31)), outer))

    drawn: Trajectory = specs.map_structure(draw, agent.training_data_spec)
    middle, ones = np.full(outer, StepType.MID, np.int32), np.ones(outer, np.float32)
    following = middle.copy()
    following[..., -1] = StepType.LAST
    drawn = drawn._replace(step_type=middle, next_step_type=following, discount=ones)
    return drawn._replace(policy_info=_reported(agent, drawn))


def _reported(agent: Agent, drawn: Trajectory) -> Any:
    """Returns the parameters of distributions as the collect policy reports them: drawn ones would be none."""
    info = drawn.policy_info
    if not isinstance(info, dict) or "dist_params" not in info:
        return info
    flat = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), (drawn.step_type, drawn.observation))
    step = TimeStep(flat[0], np.zeros(len(flat[0]), np.float32), np.ones(len(flat[0]), np.float32), flat[1])
    reported = agent.collect_policy.action(step, seed=0).info["dist_params"]
    shape = drawn.step_type.shape
    return {**info, "dist_params": jax.tree.map(lambda x: np.asarray(x).reshape(*shape, *x.shape[1:]), reported)}


def train_learns_and_counts(make: Make) -> None:
    """A step changes the weights, increments the counter, and returns one finite loss."""
    agent = make()
    before = _weights(agent)
    info = agent.train(random_experience(agent))
    assert np.shape(info.loss) == (), f"train must return one loss, not {np.shape(info.loss)}"
    assert np.isfinite(info.loss), f"the loss is {info.loss}"
    assert int(agent.train_step_counter) == 1, f"train_step_counter is {agent.train_step_counter}, not 1"
    assert not _equal(before, _weights(agent)), "the weights did not move"


def loss_is_what_train_minimises_and_changes_nothing(make: Make) -> None:
    """`loss(..., training=True)` is the loss that `train` reports next."""
    agent = make()
    experience, before = random_experience(agent), _everything(agent)
    loss = agent.loss(experience, training=True).loss
    assert _equal(before, _everything(agent)), "loss changed the agent's state"
    np.testing.assert_allclose(agent.train(experience).loss, loss, rtol=1e-5, err_msg="train has another loss")


def weights_scale_each_row(make: Make) -> None:
    """The loss is an affine function of the importance weights, in which each row has its own share."""
    agent = make()
    experience = random_experience(agent)

    def loss(weights: Any) -> float:
        return float(agent.loss(experience, np.asarray(weights, np.float32)).loss)

    none, one, two = (loss(np.full(_ROWS, w)) for w in (0, 1, 2))
    np.testing.assert_allclose(two - one, one - none, rtol=1e-4, atol=1e-6, err_msg="the loss is not linear in weights")
    np.testing.assert_allclose(one, float(agent.loss(experience).loss), rtol=1e-5, err_msg="weights of 1 change it")
    assert two != one, "weights make no difference"
    shares = [loss(row) - none for row in np.eye(_ROWS)]
    np.testing.assert_allclose(sum(shares), one - none, rtol=1e-3, atol=1e-6, err_msg="the rows' shares do not add up")
    assert len(set(shares)) == _ROWS, "weights are not each row's own"


def update_is_pure_and_is_what_train_does(make: Make) -> None:
    """`update` under `jit` gives the state that `train` leaves, and leaves its argument as it was."""
    agent = make()
    experience = random_experience(agent)
    state = jax.tree.map(np.asarray, agent.get_state())
    kept = jax.tree.map(np.copy, state)
    updated, _ = jax.jit(agent.update)(state, experience)
    assert _equal(state, kept), "update changed its argument"
    agent.train(experience)
    for ours, theirs in zip(jax.tree.leaves(updated.params), jax.tree.leaves(agent.get_state().params), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-6, err_msg="train does not do what update does")


def init_gives_each_seed_its_own_weights_under_vmap(make: Make) -> None:
    """`init` is vmappable: members of a population differ, and each equals `init` with its key alone."""
    agent = make()
    keys = jax.random.split(jax.random.key(0), 3)
    together = jax.vmap(agent.init)(keys)
    alone = agent.init(keys[1])
    for many, one in zip(jax.tree.leaves(together.params), jax.tree.leaves(alone.params), strict=True):
        np.testing.assert_allclose(many[1], one, rtol=1e-5, atol=1e-6, err_msg="vmap of init differs from init")
    largest = max(jax.tree.leaves(together.params), key=np.size)
    assert not np.allclose(largest[0], largest[1]), "two keys gave the same weights"


def batch_that_is_not_finite_is_refused(make: Make) -> None:
    """NaN in a batch raises NonFiniteError, in `train` and `loss`, changes nothing, and the next batch trains."""
    agent = make()
    experience, before = random_experience(agent), _everything(agent)
    reward = experience.reward.copy()
    reward[2] = np.nan
    _must_refuse(NonFiniteError, agent.train, experience._replace(reward=reward))
    _must_refuse(NonFiniteError, agent.loss, experience._replace(reward=reward))
    unseen = jax.tree.map(lambda x: x * np.nan if x.dtype.kind == "f" else x, experience.observation)
    on_device = jax.tree.map(jnp.asarray, experience._replace(observation=unseen))
    _must_refuse(NonFiniteError, agent.loss, on_device)
    assert _equal(before, _everything(agent)), "a refused batch changed the agent"
    assert int(agent.train_step_counter) == 0, "a refused batch was counted"
    agent.train(experience)
    assert not _equal(before.params, _weights(agent)), "after a refusal nothing trains"


def batch_of_another_shape_or_dtype_is_refused(make: Make) -> None:
    """What does not fit the spec raises SpecError and changes nothing."""
    agent = make()
    experience, before = random_experience(agent), _everything(agent)
    wide = experience._replace(reward=experience.reward[..., None])
    text = experience._replace(reward=np.full(experience.reward.shape, "1"))
    complex_ = experience._replace(reward=experience.reward.astype(np.complex64))
    for wrong in (wide, text, complex_):
        _must_refuse(SpecError, agent.train, wrong)
    assert _equal(before, _everything(agent)), "a refused batch changed the agent"


def nothing_recompiles(make: Make) -> None:
    """A second batch of the same shapes does not recompile: no weakly typed counter, no new constant."""
    agent = make()
    first, *others = [random_experience(agent, seed=seed) for seed in range(4)]
    agent.train(first)
    with compilations() as compiled:
        for experience in others:
            agent.train(experience)
    assert not compiled, f"train was compiled anew {len(compiled)} times"


def state_goes_from_one_agent_to_another(make: Make) -> None:
    """An agent that is given the state of another one continues exactly as that one."""
    one, other = make(), make()
    one.train(random_experience(one))
    other.initialize(seed=123)
    other.set_state(jax.tree.map(np.array, one.get_state()))
    for agent in (one, other):
        agent.train(random_experience(agent, seed=1))
    assert _equal(_everything(one), _everything(other)), "two agents of one state went apart"


def policies_follow_the_training(make: Make) -> None:
    """`policy` and `collect_policy` use the weights after a step."""
    agent = make()
    held = [np.copy(variable.get_value()) for variable in agent.policy.variables()]
    agent.train(random_experience(agent))
    now = [np.asarray(variable.get_value()) for variable in agent.policy.variables()]
    assert not all(np.array_equal(a, b) for a, b in zip(held, now, strict=True)), "policy keeps the old weights"
    pure = jax.tree.leaves(agent.policy_weights(agent.get_state()))
    shell = jax.tree.leaves(agent.policy.get_weights())
    assert _equal(pure, shell), "policy_weights(state) are not the weights that policy acts by"


AGENT_CHECKS: tuple[Callable[[Make], None], ...] = (
    train_learns_and_counts,
    loss_is_what_train_minimises_and_changes_nothing,
    weights_scale_each_row,
    update_is_pure_and_is_what_train_does,
    init_gives_each_seed_its_own_weights_under_vmap,
    batch_that_is_not_finite_is_refused,
    batch_of_another_shape_or_dtype_is_refused,
    nothing_recompiles,
    state_goes_from_one_agent_to_another,
    policies_follow_the_training,
)
"""Each takes a function that makes an agent of a fixed seed, anew at every call."""


def _weights(agent: Agent) -> Any:
    return jax.tree.map(np.array, agent.get_state().params)


def _everything(agent: Agent) -> Any:
    return jax.tree.map(np.array, agent.get_state()._replace(summaries={}))


def _equal(left: Any, right: Any) -> bool:
    return all(jax.tree.leaves(jax.tree.map(np.array_equal, left, right)))


def _must_refuse(kind: type[Exception], method: Callable[[Any], Any], experience: Any) -> None:
    try:
        method(experience)
    except kind:
        return
    raise AssertionError(f"{method.__name__} accepted a batch that must raise {kind.__name__}")
