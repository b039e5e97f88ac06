"""check_environment for a single gymnasium.Env: plays random episodes and collects every broken rule."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np

from jaxdaw import specs
from jaxdaw.environments import _faults
from jaxdaw.environments._faults import Fault, Place
from jaxdaw.environments._report import Report, changed_later, copied, never_ends, not_reproducible, same
from jaxdaw.errors import SpecError

_MAX_EXCEPTIONS = 3  # exceptions after which the check stops
_REPLAYED_STEPS = 100


def examine_single(env: gymnasium.Env, report: Report, steps: int, seed: int) -> None:
    """Plays `steps` random actions and counts what is wrong into `report`; does not close."""
    name = type(env.unwrapped).__name__
    if not _examine_spaces(env, report, name):
        return
    player = _Player(env, report, name, seed)
    player.play(steps)
    if player.episodes and not player.endings:
        report.note(never_ends(name, player.place.total), "under random actions")
    if player.endings and player.endings == player.at_once:
        fix = "nothing, if these are bandit decisions"
        fault = Fault(f"every episode of {name} ends with its first action", fix=fix)
        report.note(fault, f"{player.endings} episodes")
    if report.sound:
        _examine_replay(env, report, name, seed, player.first_actions)
        _examine_render(env, report, name)


def _examine_spaces(env: gymnasium.Env, report: Report, name: str) -> bool:
    sound = True
    for kind in ("observation_space", "action_space"):
        space = getattr(env, kind, None)
        if not isinstance(space, gymnasium.Space):
            fix = f"self.{kind} = gymnasium.spaces.Box(-1, 1, (4,), np.float32), in __init__"
            fault = Fault(f"{name} declares no {kind}", "a gymnasium.Space", _faults.brief(space), fix=fix)
            sound &= not report.fault(fault, "at construction")
            continue
        try:
            specs.from_gymnasium(space)
        except SpecError as error:
            sound &= not report.fault(Fault.of(error), f"the {kind} of {name}")
    metadata = getattr(env, "metadata", None)
    if not isinstance(metadata, dict) or "render_modes" not in metadata:
        fix = 'metadata = {"render_modes": []}, in the class'
        fault = Fault(f"{name} has no metadata['render_modes']", "a list", _faults.brief(metadata), fix=fix)
        report.note(fault, "at construction")
    return sound


class _Player:
    """Plays episodes of random actions and looks at every answer."""

    def __init__(self, env: gymnasium.Env, report: Report, name: str, seed: int):
        self._env, self._report, self._name = env, report, name
        self._spec = specs.from_gymnasium(env.observation_space)
        self._actions = copy.deepcopy(env.action_space)
        self._actions.seed(seed)
        self._seed: int | None = seed
        self._shown: tuple[Any, Any] | None = None  # the last observation, and what it was when it was returned
        self.place = Place(episode=0)
        self.episodes = self.endings = self.at_once = self.exceptions = 0
        self.first_actions: list[Any] = []

    def play(self, steps: int) -> None:
        running = False
        for _ in range(steps):
            running = (running or self._reset()) and self._step()
            if self.exceptions >= _MAX_EXCEPTIONS or self.episodes == 0:
                return

    def _reset(self) -> bool:
        seed, self._seed = self._seed, None
        self.place = self.place._replace(episode=self.place.episode + 1, step=0)
        source = f"{self._name}.reset()"
        outcome = self._called(lambda: self._env.reset(seed=seed), source)
        if outcome is None or self._report.fault(_faults.reset_outcome(outcome[0], source), self.place):
            return False
        self._shown = None
        self._look(outcome[0][0])
        self.episodes += 1
        return True

    def _step(self) -> bool:
        action = self._actions.sample()
        if self.episodes == 1:
            self.first_actions.append(copy.deepcopy(action))
        self.place = self.place._replace(step=self.place.step + 1, total=self.place.total + 1)
        source = f"{self._name}.step()"
        outcome = self._called(lambda: self._env.step(action), source)
        if outcome is None or self._report.fault(_faults.step_outcome(outcome[0], source), self.place):
            return False
        observation, reward, terminated, truncated, info = outcome[0]
        self._look(observation)
        self._report.fault(_faults.reward(reward, source), self.place)
        clear = not self._report.fault(_faults.flag("terminated", terminated, source), self.place)
        clear &= not self._report.fault(_faults.flag("truncated", truncated, source), self.place)
        if not isinstance(info, dict):
            fault = Fault(f"info of {source} is not a dict", "dict", _faults.brief(info), fix="{}")
            self._report.fault(fault, self.place)
        ended = clear and bool(terminated or truncated)
        self.endings += ended
        self.at_once += ended and self.place.step == 1
        return not ended

    def _called(self, call: Callable[[], Any], source: str) -> tuple[Any] | None:
        try:
            outcome = (call(),)
        except Exception as error:  # the environment's code may raise anything
            self.exceptions += 1
            self._report.fault(_faults.raised(error, source), self.place)
            return None
        if self._shown is not None and not same(*self._shown):
            self._report.fault(changed_later(self._name), self.place)
        return outcome

    def _look(self, observation: Any) -> None:
        self._shown, source = None, self._name
        faults = _faults.observation(observation, self._spec, source)
        for fault in faults:
            self._report.fault(fault, self.place)
        if faults:
            return
        self._shown = (observation, copied(observation))
        for (path, leaf), part in zip(specs.flatten_with_path(self._spec), specs.flatten(observation), strict=True):
            array = np.asarray(part)
            if array.dtype.kind == "f" and not np.isfinite(array).all():
                self._report.fault(_faults.not_finite(path, array, source), self.place)
                continue
            bounded = leaf.dtype.kind == "f" and isinstance(leaf, specs.BoundedTensorSpec)
            if bounded and not ((array >= leaf.minimum) & (array <= leaf.maximum)).all():
                self._report.note(_faults.out_of_range(path, leaf, array, source), self.place)
            if isinstance(part, np.ndarray) and array.dtype != leaf.dtype:
                fix = f"observation.astype(np.{leaf.dtype})"
                what = f"observation from {source} is converted{_faults.at(path)}"
                self._report.note(Fault(what, str(leaf.dtype), str(array.dtype), fix=fix), self.place)


def _examine_replay(env: gymnasium.Env, report: Report, name: str, seed: int, actions: list[Any]) -> None:
    if env.spec is not None and env.spec.nondeterministic:
        return
    one, other = (_recorded(env, seed, actions[:_REPLAYED_STEPS]) for _ in range(2))
    for index, (a, b) in enumerate(zip(one, other, strict=False)):
        if not same(a, b):
            report.note(not_reproducible(name, index), f"seed {seed}")
            return


def _recorded(env: gymnasium.Env, seed: int, actions: list[Any]) -> list[Any]:
    stream: list[Any] = [copied(env.reset(seed=seed)[0])]
    for action in actions:
        observation, reward, terminated, truncated, _ = env.step(action)
        stream.append(copied((observation, np.asarray(reward), np.asarray(terminated), np.asarray(truncated))))
        if terminated or truncated:
            break
    return stream


def _examine_render(env: gymnasium.Env, report: Report, name: str) -> None:
    if env.render_mode != "rgb_array":
        return
    try:
        frame: Any = env.render()
    except Exception as error:  # the environment's code may raise anything
        report.note(_faults.raised(error, f"{name}.render()"), "in render_mode rgb_array")
        return
    if not (isinstance(frame, np.ndarray) and frame.dtype == np.uint8 and frame.ndim == 3 and frame.shape[-1] == 3):
        fix = "np.zeros((height, width, 3), np.uint8)"
        fault = Fault(f"{name}.render() is no picture", "uint8 (height, width, 3)", _faults.brief(frame), fix=fix)
        report.fault(fault, "in render_mode rgb_array")
