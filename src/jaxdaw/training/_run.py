"""One call from a name to a trained, evaluated, saved policy in a run directory, and going on with one."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from jaxdaw.agents import Agent, check_range
from jaxdaw.environments import EnvironmentRecipe
from jaxdaw.errors import ConfigError, StorageError
from jaxdaw.metrics import RegretSummary
from jaxdaw.policies import Policy
from jaxdaw.storage import DirectoryLock, read_document, remove_leftovers
from jaxdaw.training._job import JobSource, Watcher
from jaxdaw.training._options import (
    config_from_json,
    flag_of,
    names_of,
    refuse_fixed,
    refuse_idle,
    refuse_unknown,
    replaced,
)
from jaxdaw.training._policy_file import POLICY, load_policy
from jaxdaw.training._run_directory import (
    CHECKPOINTS,
    check_new,
    check_trust,
    command,
    is_own,
    read_config,
    write_config,
    write_versions,
)
from jaxdaw.training._session import Session
from jaxdaw.training.algorithms import ALGORITHMS, Algorithm, mask_splitter

_log = logging.getLogger("jaxdaw")


@dataclasses.dataclass
class Run:
    """A run: what was trained, how it went, and where it lies.

    Attributes:
      policy: the best policy: by the mean return of its evaluation, or by validation loss for demonstrations; the final
        one where nothing tells, as of bandits. Of a population, that of its best member; of a bandit's seeds, the
        first's.
      final_policy: the policy after the last step.
      agent: the agent with its final weights; None for a population.
      config: the options.
      directory: the run directory, or None if nothing was written.
      rows: the reports, in their order: kind train, epoch, bandit or log.
      evaluations: the rows of every evaluation.
      interrupted: whether the run was stopped before its end.
      members: the runs of a population's members, in the order of their seeds; empty for a single run.
      summaries: regret of each seed's whole run, of a bandit learned online.
      rounds_per_second: of a bandit, all seeds together, without compilation; of a log, gradient steps.
      score: of the best policy, larger is better: its mean return, or its negative loss; minus infinity if it has none.
    """

    policy: Policy
    final_policy: Policy
    agent: Agent | None
    config: Any
    directory: Path | None
    rows: list[dict[str, Any]]
    evaluations: list[dict[str, Any]]
    interrupted: bool = False
    members: list[Run] = dataclasses.field(default_factory=list)
    summaries: list[RegretSummary] = dataclasses.field(default_factory=list)
    rounds_per_second: float = float("nan")
    score: float = float("-inf")


def train(
    algorithm: str,
    what: Any,
    *,
    config: Any = None,
    seed: int = 0,
    seeds: int = 1,
    out: str | Path | None = None,
    watch: Watcher | None = None,
    **options: Any,
) -> Run:
    """Trains an agent and returns its run.

    With `out`, everything is written into a run directory, and a run that is interrupted or killed goes on with
    `resume`. Nothing is written before the options, what is learned from, and the agent have been checked.

    Args:
      algorithm: a name in `ALGORITHMS`: "dqn", "bc", "bandit".
      what: what to learn from. Of "dqn" an environment: a Gymnasium id, `my_package:MyEnv-v0`, a pure one such as
        `jax:CartPole-v1`; an environment of jaxdaw or Gymnasium, or a function that makes one. Of "bc" demonstrations,
        or the path of some. Of "bandit" one of `environments.BANDITS`, a labelled CSV file, a bandit; or logged
        decisions, or the path of some.
      config: the options; None is the defaults.
      seed: of everything random, in `0..2**31 - 1`.
      seeds: train from this many seeds, `seed, seed + 1, ...`: as one `vmap` where the environment is pure or a bandit,
        else one after the other. Member i of a population lies in `out/seed_i`.
      out: the run directory, which must not hold a run; None writes nothing.
      watch: is called with every row of metrics.
      **options: fields of the config to replace: `steps=50_000`; and what belongs to the source: `env_options` and
        `wrappers` of an environment given by id; `environment`, `columns`, `source` of demonstrations; `bandit_options`
        and `warm_start` of a bandit; `importance`, `warm_start`, `source` of a log.

    Raises:
      ConfigError: an unknown algorithm or option, or a value outside its range.
      SpecError: demonstrations or decisions that do not fit, or hold what is wrong.
      StorageError: `out` already holds a run.

    >>> run = train("bandit", "bernoulli", horizon=200, updates=1)
    >>> run.summaries[0].rounds
    200
    """
    row = _row_of(algorithm)
    check_range("seed", seed, 0, 2**31 - 1, integer=True)
    check_range("seeds", seeds, 1, 100_000, integer=True)
    directory = None if out is None else Path(out)
    if directory is not None:
        check_new(directory)
    own = {name: value for name, value in options.items() if name in names_of(row.config)}
    config = replaced(row.config() if config is None else config, own)
    refuse_idle(config, own, row.depends)
    source = _make_source(row, what, config, {name: value for name, value in options.items() if name not in own})
    source.refuse_idle(own)
    config = source.settled(config)
    run = _Plan(algorithm, row, source, config, config, seed, seeds, watch)
    return run.start(directory)


def resume(
    directory: str | Path,
    what: Any = None,
    *,
    environment: Any = None,
    watch: Watcher | None = None,
    trust: Sequence[str] = (),
    reschedule: bool = False,
    **changes: Any,
) -> Run:
    """Goes on with a run from its latest checkpoint, exactly as if it had not been interrupted.

    What an environment of Gymnasium cannot give back is said in the row of kind "resume". A population goes on as a
    whole. A run that was killed before its first checkpoint begins anew.

    Args:
      directory: a run directory.
      what: what the run learns from, where that was given as an object or has moved; None is as the run says.
      environment: of a run on demonstrations, likewise.
      watch: is called with every row of metrics.
      trust: modules that a run of somebody else may import: environments and wrappers named in its `config.json`.
      reschedule: compute schedules (exploration, learning rate) from the new total. Else they stay those of the start.
      **changes: options that may change: the total (`steps`, `epochs`), intervals of reports, evaluations, checkpoints.

    Raises:
      StorageError: no run there, another process works in it, or no checkpoint can be read.
      ConfigError: an option that cannot change; a run that has come to its end; what it learns from is not told, or not
        trusted. No file has changed.
    """
    directory = Path(directory)
    described = read_config(directory)
    algorithm, where = described["algorithm"], str(directory / "config.json")
    if algorithm not in ALGORITHMS:
        raise StorageError(
            f"{where} is a run of an unknown algorithm", expected=", ".join(ALGORITHMS), got=algorithm[:40]
        )
    row = ALGORITHMS[algorithm]
    refuse_fixed(algorithm, changes, row.resumable, names_of(row.config))
    if described.get("is_member"):
        raise ConfigError(
            f"{directory} is a member of a population, which goes on as a whole",
            expected="the directory of the population",
            got=directory.name,
            fix=command("jaxdaw", "resume", directory.absolute().parent),
        )
    started = config_from_json(row.config, described["options"], where)
    config = replaced(config_from_json(row.config, {**described["options"], **described["changed"]}, where), changes)
    seeds = described.get("seeds", 1)
    if type(seeds) is not int or not 1 <= seeds <= 100_000:
        raise StorageError(f"{where} describes no run", expected="'seeds'", got=str(seeds)[:40])
    with DirectoryLock(directory):
        remove_leftovers(directory)
        _refuse_ended(directory, described, row)
        source = _reopened(row, directory, described, what, environment, config, trust)
        plan = _Plan(algorithm, row, source, config, config if reschedule else started, described["seed"], seeds, watch)
        plan.changed = {**described["changed"], **changes}
        plan.described, plan.reschedules = described, reschedule
        plan.signs = is_own(described) or set(_named_modules(directory, described)) <= set(trust)
        return plan.resume(directory)


def run_policy(directory: str | Path, which: str = "best") -> Policy:
    """Returns a run's policy: the best evaluated, or `which="final"`; of a population that of its best member.

    Raises:
      StorageError: the run has no policy yet.
    """
    directory = Path(directory)
    described = read_config(directory)
    members = members_of(directory, described)
    if members:
        scores = [_saved_score(member) for member in members]
        return run_policy(members[scores.index(max(scores))], which)
    for name in ("best_policy", "policy") if which == "best" else ("policy",):
        if (directory / name).is_dir():
            return _reader(described, directory)(directory / name)
    raise StorageError(
        f"{directory} holds no policy yet",
        expected="best_policy or policy",
        got="none",
        fix=command("jaxdaw", "resume", directory),
    )


def run_recipe(
    directory: str | Path,
    env_id: str = "",
    *,
    env_options: dict[str, Any] | None = None,
    trust: Sequence[str] = (),
) -> EnvironmentRecipe:
    """Returns how the environment of a run is made; nothing is imported before it is trusted.

    Args:
      directory: a run directory.
      env_id: another environment, or another version of it, in place of the run's; wrappers and time limit stay.
      env_options: keyword arguments to replace.
      trust: see `resume`.

    Raises:
      ConfigError: the run has no environment that can be made again, or names code and is somebody else's.
    """
    directory = Path(directory)
    described = read_config(directory)
    if described.get("recipe") is None:
        if env_id:
            return EnvironmentRecipe(env_id, env_options or {})
        raise ConfigError(
            f"{directory} does not say how its environment is made",
            expected="an environment given by its id",
            got=str(described["environment"]),
            fix="--env ENVIRONMENT",
        )
    recipe = _recipe(directory, described)
    typed = EnvironmentRecipe(env_id).modules() if env_id else ()
    recipe = dataclasses.replace(recipe, id=env_id or recipe.id, kwargs={**recipe.kwargs, **(env_options or {})})
    check_trust(directory, described, [module for module in recipe.modules() if module not in typed], trust)
    return recipe


def members_of(directory: Path, described: dict[str, Any]) -> list[Path]:
    """Returns the directories of a population's members, in the order of their seeds; none of a single run."""
    if described["algorithm"] == "bandit" and "log" not in described:
        return []
    seeds = described.get("seeds", 1)
    if type(seeds) is not int or seeds < 2:
        return []
    places = [directory / f"seed_{described['seed'] + i}" for i in range(min(seeds, 100_000))]
    return [place for place in places if (place / "config.json").is_file()]


@dataclasses.dataclass
class _Plan:
    """What a run is made of, before anything is written."""

    algorithm: str
    row: Algorithm
    source: JobSource
    config: Any
    started: Any
    seed: int
    seeds: int
    watch: Watcher | None
    changed: dict[str, Any] = dataclasses.field(default_factory=dict)
    described: dict[str, Any] | None = None
    reschedules: bool = False
    signs: bool = True

    @property
    def _is_together(self) -> bool:
        if self.seeds == 1:
            return True
        if self.described is None or self.row.learns_from == "bandit":
            return self.source.is_one_program
        return bool(self.described.get("together"))

    def _seeds(self) -> list[int]:
        return list(range(self.seed, self.seed + self.seeds))

    def _describe(self, seeds: int, **more: Any) -> dict[str, Any]:
        many = {"seeds": seeds} if seeds > 1 or self.row.learns_from == "bandit" else {}
        return {
            "algorithm": self.algorithm,
            **self.source.describe(),
            "seed": self.seed,
            **many,
            "options": dataclasses.asdict(self.started),
            "changed": self.changed,
            **more,
        }

    def _write_member(self, seed: int, place: Path) -> None:
        member = dataclasses.replace(self, seed=seed)
        write_versions(place)
        write_config(place, member._describe(1, is_member=True), self.signs)

    def _session(self, seeds: Sequence[int]) -> Session:
        job = self.source.job(self.config, self.started, seeds)
        described = {"options": dataclasses.asdict(self.config), "algorithm": self.algorithm}
        return Session(job, self.config, self.algorithm, self.watch, _reader(described, Path("run")))

    def _member_places(self, session: Session, directory: Path) -> list[Path]:
        return [directory / f"seed_{seed}" for seed in self._seeds()] if session.job.members > 1 else []

    def start(self, directory: Path | None) -> Run:
        """Begins a new run and returns it; nothing is left behind if it is refused or interrupted before it trains."""
        if not self._is_together:
            return self._start_in_turn(directory)
        session = self._session(self._seeds())
        with contextlib.closing(session):
            session.job.begin()
            if directory is None:
                return self._go(session)
            if self.source.why_not_resumable is not None:
                text = "%s cannot be resumed from its directory alone: %s. `resume(directory, what)` takes it again."
                _log.warning(text, directory, self.source.why_not_resumable)
            with DirectoryLock(directory):
                check_new(directory)
                made = []
                try:
                    places = self._member_places(session, directory)
                    write_versions(directory)
                    write_config(directory, self._describe(self.seeds, **({"together": True} if places else {})))
                    for seed, place in zip(self._seeds(), places, strict=False):
                        place.mkdir()
                        made.append(place)
                        self._write_member(seed, place)
                    session.write_to(directory, places)
                    session.open()
                    return self._go(session)
                except BaseException:
                    session.close()
                    if not session.has_begun:
                        _remove_begun(directory, made)
                    raise

    def resume(self, directory: Path) -> Run:
        """Goes on with the run in a directory, whose lock is held."""
        assert self.described is not None
        if not self._is_together:
            return self._resume_in_turn(directory)
        session = self._session(self._seeds())
        with contextlib.closing(session):
            places = self._member_places(session, directory)
            session.write_to(directory, places)
            bring_files = session.read_checkpoint()
            self._refuse_to_shorten(session, directory)
            if self.changed != self.described["changed"] or self.reschedules:
                write_config(directory, self.redescribed(), self.signs)
            for seed, place in zip(self._seeds(), places, strict=False):
                if not (place / "config.json").is_file():  # killed while it made them
                    place.mkdir(exist_ok=True)
                    self._write_member(seed, place)
            if bring_files is None:
                session.begin_again()
            else:
                bring_files()
            return self._go(session)

    def _refuse_to_shorten(self, session: Session, directory: Path) -> None:
        """Refuses a total that the run has passed already."""
        assert self.described is not None
        name = self.row.total
        before = self.described["changed"].get(name, getattr(self.started, name))
        if self.changed.get(name, before) < min(before, session.job.position):
            raise ConfigError(
                f"{directory} has been trained for longer than that",
                expected=f"{name} of {session.job.position} at least",
                got=f"{name} {self.changed[name]}",
                fix=command("jaxdaw", "resume", directory, flag_of(name), session.job.position),
            )

    def redescribed(self) -> dict[str, Any]:
        """Returns the contents of `config.json` with the changes of this resumption."""
        assert self.described is not None
        options = {"options": dataclasses.asdict(self.started), "changed": {}} if self.reschedules else {}
        return {**self.described, "changed": self.changed, **options}

    def _go(self, session: Session) -> Run:
        best, final = session.go()
        kinds = ("train", "epoch", "bandit", "log")
        members = []
        if session.job.members > 1:
            for place, log, one, last in zip(session.places, session.member_logs, best, final, strict=True):
                rows, evaluations = _sorted_rows(log.rows, kinds)
                score = _or_lowest(session.best[len(members)].score)
                members.append(
                    Run(one, last, None, self.config, place, rows, evaluations, session.interrupted, score=score)
                )
        rows, evaluations = _sorted_rows(session.log.rows, kinds)
        chosen = max(range(len(best)), key=lambda i: _or_lowest(session.best[i].score))
        return Run(
            policy=best[chosen],
            final_policy=final[chosen],
            agent=session.job.agent if not members else None,
            config=self.config,
            directory=session.directory,
            rows=rows,
            evaluations=evaluations,
            interrupted=session.interrupted,
            members=members,
            score=_or_lowest(session.best[chosen].score),
            **session.job.results(),
        )

    # A population of which one member is trained after the other.

    def _member(self, seed: int) -> _Plan:
        return dataclasses.replace(self, seed=seed, seeds=1, described=None)

    def _start_in_turn(self, directory: Path | None) -> Run:
        if directory is None:
            return self._in_turn([lambda seed=seed: self._member(seed).start(None) for seed in self._seeds()], None)
        trial = self._session(self._seeds()[:1])  # what is refused is refused before anything is written
        with contextlib.closing(trial):
            trial.job.begin()
        with DirectoryLock(directory):
            check_new(directory)
            try:
                write_versions(directory)
                write_config(directory, self._describe(self.seeds, together=False))
                return self._in_turn(self._starts(directory), directory)
            except BaseException:
                if not members_of(directory, {"algorithm": self.algorithm, "seeds": self.seeds, "seed": self.seed}):
                    _remove_begun(directory, [])
                raise

    def _starts(self, directory: Path) -> list[Callable[[], Run]]:
        return [lambda seed=seed: self._member(seed).start(directory / f"seed_{seed}") for seed in self._seeds()]

    def _resume_in_turn(self, directory: Path) -> Run:
        runs: list[Callable[[], Run]] = []
        remaining = 0
        assert self.described is not None
        for seed, start in zip(self._seeds(), self._starts(directory), strict=True):
            place = directory / f"seed_{seed}"
            if not (place / "config.json").is_file():
                runs.append(start)
                remaining += 1
            elif (place / CHECKPOINTS).is_dir() or not (place / "policy").is_dir():
                runs.append(lambda seed=seed, place=place: self._resumed_member(seed, place))
                remaining += 1
            else:
                runs.append(lambda place=place: self._finished_member(place))
        if not remaining:
            raise ConfigError(f"{directory} has come to its end", expected="members with checkpoints", got="none")
        if self.changed != self.described["changed"] or self.reschedules:
            write_config(directory, self.redescribed(), self.signs)
        return self._in_turn(runs, directory)

    def _finished_member(self, place: Path) -> Run:
        """Returns the run of a member that had come to its end, from its directory."""
        best, final = (run_policy(place, which) for which in ("best", "final"))
        return Run(best, final, None, self.config, place, [], [], score=_saved_score(place))

    def _resumed_member(self, seed: int, place: Path) -> Run:
        described = read_config(place)
        for name in ("algorithm", "environment", "recipe", "options"):  # what was trusted of the population
            assert self.described is not None
            if described.get(name) != self.described.get(name):
                raise StorageError(
                    f"{place} is not a member of this population: its {name} differs",
                    expected=str(self.described.get(name))[:80],
                    got=str(described.get(name))[:80],
                    cause="a config.json that was changed or copied there.",
                )
        member = dataclasses.replace(self, seed=seed, seeds=1, described=described)
        with DirectoryLock(place):
            return member.resume(place)

    def _in_turn(self, runs: Sequence[Callable[[], Run]], directory: Path | None) -> Run:
        members = []
        for run in runs:
            members.append(run())
            if members[-1].interrupted:
                break
        chosen = max(members, key=lambda run: run.score)
        first = members[0]
        return Run(
            policy=chosen.policy,
            final_policy=chosen.final_policy,
            agent=None,
            config=self.config,
            directory=directory,
            rows=first.rows,
            evaluations=chosen.evaluations,
            interrupted=members[-1].interrupted,
            members=members,
            score=chosen.score,
        )


def _row_of(algorithm: str) -> Algorithm:
    if algorithm not in ALGORITHMS:
        raise ConfigError("unknown algorithm", expected=", ".join(sorted(ALGORITHMS)), got=repr(algorithm))
    return ALGORITHMS[algorithm]


def _recipe(directory: Path, described: dict[str, Any]) -> EnvironmentRecipe:
    """Returns the recipe in a run's `config.json`; nothing is made or imported."""
    try:
        return EnvironmentRecipe.from_json(described["recipe"])
    except (ConfigError, TypeError) as error:
        path = directory / "config.json"
        raise StorageError(f"{path} does not say how its environment is made: {error}") from error


def _named_modules(directory: Path, described: dict[str, Any]) -> tuple[str, ...]:
    """Returns the modules that a run's `config.json` names."""
    if described.get("recipe") is None:
        return ()
    return _recipe(directory, described).modules()


def _refuse_ended(directory: Path, described: dict[str, Any], row: Algorithm) -> None:
    """Refuses to go on with a run that has a final policy and no checkpoint."""
    places = [directory, *([] if not described.get("together") else members_of(directory, described))]
    if (directory / CHECKPOINTS).is_dir() or not any((place / "policy").is_dir() for place in places):
        return
    bandit, rounds = described["environment"], described.get("rounds")
    raise ConfigError(
        f"{directory} has come to its end",
        expected="a run with a checkpoint",
        got=f"{rounds} of {rounds} rounds" if rounds else "a final policy, and no checkpoint",
        fix=command("jaxdaw", "train", "bandit", bandit, "--warm-start", directory)
        if row.learns_from == "bandit" and "log" not in described
        else None,
    )


def _make_source(row: Algorithm, what: Any, config: Any, options: dict[str, Any]) -> JobSource:
    kind: Any = row.source_of(what)
    refuse_unknown(options, [*names_of(row.config), *kind.OPTIONS])
    limit = getattr(config, "max_episode_steps", 0)
    return kind(what, **options, **({"max_episode_steps": limit} if limit else {}))


def _reopened(
    row: Algorithm,
    directory: Path,
    described: dict[str, Any],
    what: Any,
    environment: Any,
    config: Any,
    trust: Sequence[str],
) -> JobSource:
    """Returns what a run learns from, as it was or as it is given anew."""
    recipe, modules = None, ()
    if described.get("recipe") is not None:
        recipe = _recipe(directory, described)
        is_replaced = what is not None if row.learns_from == "environment" else environment is not None
        if not is_replaced:
            modules = recipe.modules()
            check_trust(directory, described, modules, trust)
    idle = [module for module in trust if module not in modules]
    if idle:
        named = ", ".join(modules) or "no modules: nothing of it is imported"
        raise ConfigError("this run imports nothing of the kind that is trusted", expected=named, got=", ".join(idle))
    kind = row.source_of(what, is_log="log" in described)
    limit = getattr(config, "max_episode_steps", 0) or None
    return kind.reopen(described, what, environment if environment is not None else recipe, limit, directory)


def _reader(described: dict[str, Any], directory: Path) -> Callable[[Path], Policy]:
    """Returns what loads a policy of a run, with the splitter that its options describe."""
    row, splitter = ALGORITHMS.get(described["algorithm"]), None
    if row is not None and described["options"].get("mask_key"):
        config = config_from_json(row.config, described["options"], str(directory / "config.json"))
        splitter = mask_splitter(config.mask_key)
    return lambda path: load_policy(path, observation_and_action_constraint_splitter=splitter)


def _saved_score(member: Path) -> float:
    """Returns the score of a member's best policy; the lowest of all if it has none."""
    if not (member / "best_policy").is_dir():
        return float("-inf")
    about = read_document(member / "best_policy", POLICY)["metadata"]
    found = about.get("mean_return", about.get("loss", about.get("validation_loss")))
    if not isinstance(found, int | float):
        return float("-inf")
    return float(found) if "mean_return" in about else -float(found)


def _remove_begun(directory: Path, members: Sequence[Path]) -> None:
    """Removes the files of a run that has not trained anything, but nothing else."""
    for place in [*members, directory]:
        for name in ("config.json", "versions.json", "metrics.jsonl"):
            with contextlib.suppress(OSError):
                (place / name).unlink()
        if (place / "tensorboard").is_dir():
            shutil.rmtree(place / "tensorboard", ignore_errors=True)
        if place != directory:
            with contextlib.suppress(OSError):
                place.rmdir()


def _sorted_rows(rows: Sequence[dict[str, Any]], kinds: Sequence[str]) -> tuple[list[dict[str, Any]], list[Any]]:
    return [row for row in rows if row["kind"] in kinds], [row for row in rows if row["kind"] == "eval"]


def _or_lowest(score: float | None) -> float:
    return float("-inf") if score is None else score
