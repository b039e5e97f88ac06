"""The adapter over Gymnasium: every stored transition is an edge that happened, and what it refuses."""

from __future__ import annotations

import itertools

import gymnasium
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from gymnasium.wrappers import TimeLimit

from environments import worlds
from jaxdaw import specs
from jaxdaw.environments import GymnasiumEnvironment
from jaxdaw.errors import ConfigError, EnvironmentFault, SpecError, SpecTypeError
from jaxdaw.trajectories import StepType

FIRST, MID, LAST = StepType.FIRST, StepType.MID, StepType.LAST


def vector(kind, mode, makers):
    return kind(makers, autoreset_mode=mode)


WAYS = {
    "functions": lambda makers: makers,
    "sync next step": lambda makers: vector(SyncVectorEnv, AutoresetMode.NEXT_STEP, makers),
    "sync same step": lambda makers: vector(SyncVectorEnv, AutoresetMode.SAME_STEP, makers),
    "opaque next step": lambda makers: vector(worlds.Opaque, AutoresetMode.NEXT_STEP, makers),
    "opaque same step": lambda makers: vector(worlds.Opaque, AutoresetMode.SAME_STEP, makers),
}


@pytest.mark.parametrize("rows", [1, 3])
@pytest.mark.parametrize("way", WAYS)
def test_every_stored_transition_is_an_edge_that_happened_and_none_is_lost(way, rows):
    if way == "opaque same step" and rows > 1:
        with pytest.raises(EnvironmentFault, match="Opaque cannot be served: its autoreset mode is SAME_STEP"):
            GymnasiumEnvironment(WAYS[way](worlds.unique_makers(rows)[0]))
        return
    makers, starts, edges = worlds.unique_makers(rows)
    environment = GymnasiumEnvironment(WAYS[way](makers))
    random = np.random.default_rng(0)
    step = environment.reset(seed=0)
    assert set(step.observation[:, 0]) <= starts
    stored, boundaries, endings = [], 0, set()
    for _ in range(60):
        action = random.integers(0, 5, rows).astype(np.int32)
        following = environment.step(action)
        for row in range(rows):
            observation, (after, owner) = int(step.observation[row, 0]), following.observation[row]
            assert owner == row
            if step.step_type[row] == LAST:
                boundaries += 1
                assert following.step_type[row] == FIRST
                assert (following.reward[row], following.discount[row]) == (0.0, 1.0)
                assert int(after) in starts
                continue
            ending = {MID: None, LAST: worlds.TERMINATED if following.discount[row] == 0 else worlds.CUT}[
                following.step_type[row]
            ]
            endings.add(ending)
            stored.append((observation, int(action[row]), float(following.reward[row]), int(after), ending))
        step = following
    happened = {(*edge[:4], worlds.TERMINATED if edge.ending == worlds.BOTH else edge.ending): edge for edge in edges}
    assert set(stored) == set(happened)  # no invented edge, and no lost one
    assert len(stored) == len(edges)  # and none twice
    assert endings == {None, worlds.TERMINATED, worlds.CUT}
    assert boundaries > 10 * rows


def test_a_final_observation_of_both_endings_is_the_one_that_the_last_action_led_to():
    for ending in (worlds.TERMINATED, worlds.CUT, worlds.BOTH):
        edges: list[worlds.Edge] = []
        counter = itertools.count(1)
        environment = GymnasiumEnvironment(
            lambda counter=counter, edges=edges, ending=ending: worlds.Unique(counter, set(), edges, 0, (ending,))
        )
        environment.reset()
        environment.step(np.array([0]))
        last = environment.step(np.array([0]))
        assert last.step_type == LAST
        assert last.observation[0, 0] == edges[-1].following
        assert last.discount == (1.0 if ending == worlds.CUT else 0.0)


@pytest.mark.parametrize("rows", [1, 4])
def test_rows_behave_as_sync_vector_env_does(rows):
    """The oracle: Gymnasium's own NEXT_STEP loop over the same environments, seeds and actions."""
    oracle = gymnasium.make_vec("CartPole-v1", num_envs=rows, vectorization_mode="sync", max_episode_steps=30)
    ours = GymnasiumEnvironment.make("CartPole-v1", rows, max_episode_steps=30)
    step, (observation, _) = ours.reset(seed=7), oracle.reset(seed=7)
    np.testing.assert_array_equal(step.observation, observation)
    random, ended = np.random.default_rng(1), np.zeros(rows, bool)
    for _ in range(400):
        action = random.integers(0, 2, rows)
        step = ours.step(action)
        observation, reward, terminated, truncated, _ = oracle.step(action)
        np.testing.assert_array_equal(step.observation, observation)
        np.testing.assert_array_equal(step.reward, reward.astype(np.float32))
        np.testing.assert_array_equal(step.discount, 1.0 - terminated)
        np.testing.assert_array_equal(
            step.step_type, np.where(ended, FIRST, np.where(terminated | truncated, LAST, MID))
        )
        ended = terminated | truncated


def test_a_vector_entry_point_is_served_as_it_is():
    rows = 3
    environment = GymnasiumEnvironment(
        gymnasium.make_vec("CartPole-v1", num_envs=rows, vectorization_mode="vector_entry_point")
    )
    step, kinds = environment.reset(seed=0), []
    for _ in range(60):
        before, step = step, environment.step(np.ones(rows, np.int32))
        kinds.append(step.step_type)
        np.testing.assert_array_equal(step.step_type == FIRST, before.step_type == LAST)
    assert {int(kind) for kind in np.ravel(kinds)} == {0, 1, 2}


@pytest.mark.parametrize(
    ("metadata", "name"),
    [
        ({}, "unknown"),
        ({"autoreset_mode": "whatever"}, "unknown"),
        ({"autoreset_mode": AutoresetMode.DISABLED}, "DISABLED"),
    ],
)
def test_a_vector_environment_without_a_mode_that_can_be_served_is_refused_with_the_fix(metadata, name):
    env = worlds.Opaque([worlds.Base, worlds.Base])
    env.metadata = metadata
    with pytest.raises(EnvironmentFault, match=f"autoreset mode is {name}") as caught:
        GymnasiumEnvironment(env)
    assert "Fix: " in str(caught.value)
    assert "NEXT_STEP" in str(caught.value)


def test_sync_vector_env_disabled_is_refused():
    with pytest.raises(EnvironmentFault, match="autoreset mode is DISABLED"):
        GymnasiumEnvironment(SyncVectorEnv([worlds.Base], autoreset_mode=AutoresetMode.DISABLED))


def test_a_vector_environment_that_lies_about_its_mode_is_found_out():
    env = worlds.Opaque([worlds.AtOnce, worlds.AtOnce], autoreset_mode=AutoresetMode.SAME_STEP)
    env.metadata = {"autoreset_mode": AutoresetMode.NEXT_STEP}
    environment = GymnasiumEnvironment(env)
    environment.reset(seed=0)
    environment.step(np.zeros(2, int))
    with pytest.raises(EnvironmentFault, match="ends an episode in the step that begins it"):
        environment.step(np.zeros(2, int))


def test_what_was_returned_never_changes_when_the_environment_writes_into_its_array():
    for given in (worlds.Mutating, worlds.Opaque([worlds.Mutating], copy=False)):
        environment = GymnasiumEnvironment(given)
        steps = [environment.reset(), *(environment.step(np.zeros(1, int)) for _ in range(4))]
        np.testing.assert_array_equal([float(step.observation[0, 0]) for step in steps], np.arange(5) / 8)


def test_the_action_given_is_never_the_array_that_the_environment_gets():
    class Scribbler(worlds.Base):
        action_space = gymnasium.spaces.Box(-1, 1, (2,), np.float32)

        def step(self, action):
            action[:] = 9.0
            return super().step(action)

    environment = GymnasiumEnvironment(Scribbler())
    environment.reset()
    action = np.full((1, 2), 0.5, np.float32)
    environment.step(action)
    assert (action == 0.5).all()


def test_step_before_reset_starts_the_first_episode_and_the_seed_of_the_constructor_is_used_once():
    environment = GymnasiumEnvironment.make("CartPole-v1", 2, seed=3)
    first = environment.step(np.zeros(2, int))
    assert (first.step_type == FIRST).all()
    np.testing.assert_array_equal(
        first.observation, GymnasiumEnvironment.make("CartPole-v1", 2).reset(seed=3).observation
    )
    assert not np.array_equal(environment.reset().observation, first.observation)


def test_specs_of_cart_pole():
    environment = GymnasiumEnvironment.make("CartPole-v1")
    assert environment.action_spec.dtype == np.int64
    assert (environment.action_spec.minimum, environment.action_spec.maximum) == (0, 1)
    assert environment.observation_spec.shape == (4,)
    assert environment.reward_spec.dtype == np.float32
    specs.check(environment.reset(seed=0), environment.time_step_spec(), (1,))
    assert environment.max_episode_steps == 500
    assert environment.batch_size == 1


def test_discrete_with_a_start_is_passed_as_the_environment_expects_it():
    environment = GymnasiumEnvironment(worlds.Shifted, num_envs=3)
    assert (environment.action_spec.minimum, environment.action_spec.maximum) == (-1, 1)
    environment.reset()
    np.testing.assert_array_equal(environment.step(np.array([-1, 0, 1], np.int32)).observation[:, 0], [-1, 0, 1])


def test_float64_spaces_are_stored_as_float32_and_actions_reach_the_environment_in_float64():
    environment = GymnasiumEnvironment(worlds.Double)
    assert environment.observation_spec.dtype == np.float32
    assert environment.action_spec.dtype == np.float32
    assert environment.reset().observation.dtype == np.float32
    environment.step(np.full((1, 1), environment.action_spec.maximum))  # float32(0.7) is below 0.7
    environment.step(np.full((1, 1), environment.action_spec.minimum))


def test_nested_spaces_are_served_by_both_backends():
    action = {"gear": np.array([-1, 1]), "wheel": np.zeros((2, 2), np.float32)}
    for given in ([worlds.Nested, worlds.Nested], worlds.Opaque([worlds.Nested, worlds.Nested])):
        environment = GymnasiumEnvironment(given)
        environment.reset(seed=0)
        step = environment.step(action)
        specs.check(step, environment.time_step_spec(), (2,))
        assert (step.observation["camera"] == 1).all()
        np.testing.assert_array_equal(step.observation["speed"], np.float32([0.125, 0.125]))


@pytest.mark.parametrize("kind", [worlds.Double, worlds.Nested])
def test_floats_beyond_their_bounds_are_clipped_by_both_backends(kind):
    for given in ([kind, kind], worlds.Opaque([kind, kind])):
        environment = GymnasiumEnvironment(given)  # both assert that the action is in their space
        environment.reset(seed=0)
        wide = specs.map_structure(
            lambda leaf: np.full((2, *leaf.shape), 1e9 if leaf.dtype.kind == "f" else 1, leaf.dtype),
            environment.action_spec,
        )
        assert (environment.step(wide).reward == 1).all()
        with pytest.raises(SpecError, match="out of range in row 0"):
            environment.step(specs.map_structure(lambda x: x * np.float32(np.nan) if x.dtype.kind == "f" else x, wide))


def test_remake_gives_other_rows_of_the_same_making():
    assert GymnasiumEnvironment.make("CartPole-v1", 2, max_episode_steps=9).remake(5).batch_size == 5
    assert GymnasiumEnvironment.make("CartPole-v1", 2, max_episode_steps=9).remake(1).max_episode_steps == 9
    assert GymnasiumEnvironment(gymnasium.make("CartPole-v1")).remake(3).batch_size == 3
    assert GymnasiumEnvironment(worlds.Base).remake(3).batch_size == 3
    with pytest.raises(ConfigError, match="Base cannot be made a second time"):
        GymnasiumEnvironment(worlds.Base()).remake(2)


def test_the_time_limit_of_a_wrapper_is_known():
    assert GymnasiumEnvironment(lambda: TimeLimit(worlds.Base(), 7), 2).max_episode_steps == 7
    assert GymnasiumEnvironment(TimeLimit(gymnasium.make("CliffWalking-v1"), 7)).max_episode_steps == 7
    assert GymnasiumEnvironment(worlds.Base).max_episode_steps is None


def test_one_instance_cannot_be_several_rows():
    env = worlds.Base()
    for call in (lambda: GymnasiumEnvironment(env, 2), lambda: GymnasiumEnvironment(lambda: env, 2)):
        with pytest.raises(ConfigError, match="distinct environments"):
            call()


@pytest.mark.parametrize("given", ["CartPole-v1", 3, object(), [], lambda: "no environment"])
def test_what_is_no_environment_is_refused(given):
    with pytest.raises(ConfigError, match=r"GymnasiumEnvironment\.make|lambda: MyEnv"):
        GymnasiumEnvironment(given)


@pytest.mark.parametrize("seed", [-1, 2**32, 1.5, "0", True])
def test_a_seed_outside_its_range_is_refused(seed):
    with pytest.raises(ConfigError, match="seed is outside its range"):
        GymnasiumEnvironment(worlds.Base).reset(seed=seed)


def test_a_numpy_seed_is_taken():
    one, other = (GymnasiumEnvironment(worlds.Base).reset(seed=seed) for seed in (5, np.uint32(5)))
    np.testing.assert_array_equal(one.observation, other.observation)


def test_an_error_in_closing_is_a_warning_and_closing_twice_is_allowed():
    environment = GymnasiumEnvironment(worlds.CloseRaises, num_envs=1)
    environment.reset()
    with pytest.warns(UserWarning, match="window already gone"):
        environment.close()
    environment.close()
    with pytest.raises(EnvironmentFault, match="environment is closed"):
        environment.step(np.zeros(1, int))


def test_rendering():
    with GymnasiumEnvironment.make("CartPole-v1", 2, render_mode="rgb_array") as environment:
        environment.reset(seed=0)
        assert [frame.shape for frame in environment.render()] == [(400, 600, 3)] * 2
        assert environment.render_mode == "rgb_array"
    with pytest.raises(EnvironmentFault, match="render_mode='rgb_array'"):
        GymnasiumEnvironment(worlds.Base).render()


def test_actions_are_refused_before_any_row_steps():
    _, _, edges = made = worlds.unique_makers(2)
    environment = GymnasiumEnvironment(made[0])
    environment.reset()
    for action, error in (
        ([0, 5], SpecError),
        ([0, -1], SpecError),
        ([0.0, 1.0], SpecTypeError),
        ([0], SpecError),
        (0, SpecError),
    ):
        with pytest.raises(error, match="action"):
            environment.step(np.array(action))
    assert edges == []


def test_an_action_at_a_boundary_is_not_looked_at():
    environment = GymnasiumEnvironment(worlds.AtOnce)
    environment.reset()
    environment.step(np.array([0]))
    assert environment.step(np.array([np.iinfo(np.int32).min])).step_type == FIRST
