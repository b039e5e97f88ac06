"""Kills training runs at random moments and resumes them until they end, for every algorithm; nothing may be lost.

Each kind of run is trained once without interruption. Then its command line is started again and again, killed with
SIGKILL (while Python starts, while the run is set up, while it trains, writes, evaluates and draws) and resumed. After
every kill:

* the run's JSON, its policies and its newest or previous checkpoint are whole;
* the rows before the newest checkpoint are there, byte for byte, then and after every later resumption.

At the end of a run every row stands once and in order, and nothing lies beside the documented files. Where the
environment can be saved, a SHA-256 of the policies' weights, of all arrays of the last checkpoint (optimizer, replay,
random keys) and of the rows without their clock equals that of the uninterrupted run.

    python scripts/soak.py --kills 200 --seed 0
"""

from __future__ import annotations

import argparse
import collections
import dataclasses
import hashlib
import importlib
import json
import multiprocessing
import os
import random
import re
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

_FORK = multiprocessing.get_context("fork")
_COMMAND = "import sys; from jaxdaw.cli import main; sys.exit(main())"
# Bandits save by the clock, every minute: these runs last a second.
_OFTEN = "from jaxdaw.training import _session; _session._CHECKPOINT_SECONDS = 0.05; "
_LOADED = ("jaxdaw.cli", "jaxdaw.evaluation", "matplotlib.pyplot", "tensorboardX", "jaxdaw.recording")
_STAGES = ("start-up", "set-up", "training", "drawing")
_SEED = 3  # of all runs: a killed one is compared with the one that was not
_CLOCK = ("seconds", "epoch_seconds", "steps_per_second")
_PLACE = {"config.json", "versions.json", "metrics.jsonl", "tensorboard", "policy", "best_policy"}
_RUN = _PLACE | {"checkpoints", "learning_curve.png", "regret.png"}
_SAVED = ({"manifest.json", "arrays.safetensors"}, {"policy.json", "weights.safetensors"})
_ENDED = "has come to its end"


class Kind(NamedTuple):
    """A kind of run.

    Attributes:
      name: for the table.
      algorithm: a name in `ALGORITHMS`.
      options: of `jaxdaw train ALGORITHM`; {data} is the folder of what is learned from.
      is_exact: whether a killed and resumed run equals an uninterrupted one: not if Gymnasium steps the environment.
    """

    name: str
    algorithm: str
    options: str
    is_exact: bool = True


_DQN = (
    "--steps 2400 --num-envs 4 --fc-layer-params 16 --learning-starts 200 --train-every 4 --updates 2 "
    "--replay-capacity 1000 --report-every 100 --eval-every 400 --eval-episodes 2 --checkpoint-every 60"
)
_REINFORCE = (
    "--steps 6000 --num-envs 4 --rollout-steps 64 --fc-layer-params 16 --report-every 512 --eval-every 1024 "
    "--eval-episodes 2 --checkpoint-every 256"
)
_PPO = (
    "--steps 6000 --num-envs 4 --rollout-steps 32 --epochs 2 --minibatches 2 --fc-layer-params 16 --report-every 512 "
    "--eval-every 1024 --eval-episodes 2 --checkpoint-every 256 --normalize observation reward"
)
_A2C = _PPO.replace("--epochs 2 --minibatches 2 ", "")
_BC = "--epochs 16 --epoch-updates 20 --fc-layer-params 16 --eval-every 4 --eval-episodes 2 --checkpoint-every 1"

KINDS = (
    Kind("dqn pure", "dqn", f"jax:CartPole-v1 {_DQN}"),
    Kind("dqn gymnasium", "dqn", f"CartPole-v1 {_DQN}", is_exact=False),
    Kind("dqn prioritized", "dqn", f"jax:CartPole-v1 --replay prioritized {_DQN}"),
    Kind("dqn host replay", "dqn", f"CartPole-v1 --replay host {_DQN}", is_exact=False),
    Kind("c51 pure", "c51", f"jax:CartPole-v1 --num-atoms 5 {_DQN}"),
    Kind("qrdqn pure", "qrdqn", f"jax:CartPole-v1 --num-quantiles 5 {_DQN}"),
    Kind("rainbow pure", "rainbow", f"jax:CartPole-v1 --num-atoms 5 {_DQN}"),
    Kind("reinforce pure", "reinforce", f"jax:CartPole-v1 {_REINFORCE}"),
    Kind("reinforce gymnasium", "reinforce", f"CartPole-v1 {_REINFORCE}", is_exact=False),
    Kind("sac pure", "sac", f"jax:Pendulum-v1 {_DQN}"),
    Kind("sac gymnasium", "sac", f"Pendulum-v1 {_DQN}", is_exact=False),
    Kind("td3 pure", "td3", f"jax:Pendulum-v1 {_DQN}"),
    Kind("td3 gymnasium", "td3", f"Pendulum-v1 {_DQN}", is_exact=False),
    Kind("ddpg pure", "ddpg", f"jax:Pendulum-v1 --ou-damping 0.15 {_DQN}"),
    Kind("ppo pure", "ppo", f"jax:CartPole-v1 {_PPO}"),
    Kind("a2c pure", "a2c", f"jax:CartPole-v1 {_A2C}"),
    Kind("ppo gymnasium", "ppo", f"CartPole-v1 {_PPO}", is_exact=False),
    Kind("population of 2", "dqn", f"jax:CartPole-v1 --seeds 2 {_DQN}"),
    Kind("population in turn", "dqn", f"CartPole-v1 --seeds 2 {_DQN.replace('2400', '1200')}", is_exact=False),
    Kind("bc", "bc", f"{{data}}/demonstrations --env jax:CartPole-v1 {_BC}"),
    Kind("bandit online", "bandit", "wheel --horizon 4000 --fc-layer-params 16 --reports 40"),
    Kind("bandit from a log", "bandit", "--log {data}/log.jsonl --fc-layer-params 16 --reports 80 --updates 64"),
)


@dataclasses.dataclass
class Tally:
    """What happened to the runs of a kind.

    Attributes:
      kills: by what the process was doing: start-up (no lock yet), set-up (no row yet), training, drawing.
      faults: what was lost or differs, in words.
    """

    runs: int = 0
    resumed: int = 0
    anew: int = 0
    kills: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)
    faults: list[str] = dataclasses.field(default_factory=list)


class Times(NamedTuple):
    """Seconds after the start of a process at which it holds the directory, writes the first row, and ends."""

    locked: float
    first: float
    ended: float


def become(arguments: Sequence[str], told: Path, kind: Kind, is_forked: bool) -> None:
    """Runs in the new process: becomes the command line, which writes what it prints into a file."""
    with told.open("wb") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    is_timed = kind.algorithm == "bandit"
    if not is_forked:
        os.execv(sys.executable, [sys.executable, "-c", _OFTEN * is_timed + _COMMAND, *arguments])
    from jaxdaw import cli
    from jaxdaw.training import _session

    if is_timed:
        _session._CHECKPOINT_SECONDS = 0.05
    sys.exit(cli.main(arguments))


class Launched:
    """A command line under way, in a process of its own.

    Args:
      arguments: of `jaxdaw`.
      run: the run directory; what is printed is written beside it.
      kind: of run. Where checkpoints are timed by the clock they are made twenty times a second.
      is_forked: go on with the modules that this process has imported, in place of a new interpreter.
    """

    def __init__(self, arguments: Sequence[str], run: Path, kind: Kind, is_forked: bool):
        self._run, self._told = run, run.parent / "told.txt"
        self._before = self._written()
        self._started = time.perf_counter()
        self._process = _FORK.Process(target=become, args=(arguments, self._told, kind, is_forked))
        self._process.start()

    def _written(self) -> int:
        paths = [
            self._run / "metrics.jsonl",
            *(self._run / f"seed_{seed}" / "metrics.jsonl" for seed in (_SEED, _SEED + 1)),
        ]
        return sum(path.stat().st_size for path in paths if path.is_file())

    def is_locked(self) -> bool:
        """Returns whether the process holds the run directory."""
        try:
            return json.loads((self._run / ".lock").read_text()).get("pid") == self._process.pid
        except (OSError, ValueError):
            return False

    def has_written(self) -> bool:
        """Returns whether the process has written a row."""
        return self._written() != self._before

    def wait_for(self, condition: Callable[[], bool]) -> float:
        """Waits until a condition holds or the process ends; returns the seconds since its start."""
        while self._process.exitcode is None and not condition():
            time.sleep(0.003)
        return time.perf_counter() - self._started

    def wait_until(self, seconds: float) -> None:
        """Waits until so many seconds after now, or until the process ends."""
        until = time.perf_counter() + seconds
        self.wait_for(lambda: time.perf_counter() >= until)

    def kill(self, times: Times, chance: random.Random) -> str:
        """Kills the process at a random moment; returns what it was doing, or "" if it ended before."""
        stage = chance.choices(_STAGES[:3], (15, 15, 70))[0]
        if stage == "start-up":
            self.wait_until(chance.uniform(0, times.locked))
        elif stage == "set-up":
            self.wait_for(self.is_locked)
            self.wait_until(chance.uniform(0, times.first - times.locked))
        else:
            self.wait_for(self.has_written)
            self.wait_until(chance.uniform(0, times.ended - times.first))
        written, locked = self.has_written(), self.is_locked()
        doing = ("training" if locked else "drawing") if written else "set-up" if locked else "start-up"
        self._process.kill()
        return doing if self.ended()[0] == -signal.SIGKILL else ""

    def ended(self) -> tuple[int, str]:
        """Waits until the process has ended; returns its exit status, and what it printed."""
        self._process.join()
        assert self._process.exitcode is not None
        return self._process.exitcode, self._told.read_text()


# What lies in a run directory.


def whole_rows(place: Path) -> tuple[list[dict[str, Any]], list[str]]:
    """Returns the rows of a run, and faults: lines that are cut, except for the last one."""
    path = place / "metrics.jsonl"
    rows: list[dict[str, Any]] = []
    lines = path.read_bytes().splitlines(keepends=True) if path.is_file() else []
    for number, line in enumerate(lines):
        try:
            rows.append(json.loads(line))
        except ValueError:
            if number < len(lines) - 1:
                return rows, [f"line {number + 1} of {len(lines)} in {path.name} is cut"]
    return rows, []


def fault_of(saved: Path) -> str | None:
    """Returns what is wrong with a checkpoint or policy, whose digests are compared; None if it is whole."""
    for document, arrays in (("manifest.json", "arrays.safetensors"), ("policy.json", "weights.safetensors")):
        if (saved / document).is_file():
            told = json.loads((saved / document).read_bytes())["sha256"][arrays]
            same = hashlib.sha256((saved / arrays).read_bytes()).hexdigest() == told
            return None if same else f"{saved.name} does not have its digest"
    return f"{saved.name} is not whole"


def checkpoints_of(run: Path) -> list[Path]:
    """Returns the whole checkpoints of a run, oldest first."""
    found: dict[int, Path] = {}
    for path in sorted((run / "checkpoints").glob("*"), reverse=True):
        match = re.fullmatch(r"step_(\d+)|\.step_(\d+)\.previous", path.name)
        if match:
            found.setdefault(int(match[1] or match[2]), path)
    return [path for _, path in sorted(found.items()) if fault_of(path) is None]


def places_of(run: Path) -> list[Path]:
    """Returns the run and the members of a population."""
    return [run, *sorted(run.glob("seed_*"))]


def faults_after_kill(run: Path, known: dict[Path, tuple[int, bytes]]) -> list[str]:
    """Returns what a kill has lost.

    Args:
      run: its directory.
      known: of each place the number of the newest checkpoint, and the rows before it; brought up to date.
    """
    faults: list[str] = []
    for place in places_of(run):
        faults += whole_rows(place)[1]
        config = place / "config.json"
        if config.is_file():
            json.loads(config.read_bytes())
        for name in ("policy", "best_policy"):
            aside = place / f".{name}.previous"
            saved = aside if aside.is_dir() and not (place / name).is_dir() else place / name
            if saved.is_dir():
                faults += [fault] if (fault := fault_of(saved)) else []
        written = (place / "metrics.jsonl").read_bytes() if (place / "metrics.jsonl").is_file() else b""
        number, rows = known.get(place, (-1, b""))
        if not written.startswith(rows):
            faults.append(f"{place.name}: rows that stood before a checkpoint are gone")
        if place.name.startswith("seed_") and not (place / "checkpoints").is_dir():
            continue  # a member that is saved with its population
        whole = checkpoints_of(place)
        if not whole and number >= 0 and (place / "checkpoints").is_dir():
            faults.append(f"{place.name}: no checkpoint is whole")
        if whole:
            now = int(re.sub(r"\D", "", whole[-1].name))
            if now < number:
                faults.append(f"{place.name}: back from checkpoint {number} to {now}")
            positions = json.loads((whole[-1] / "manifest.json").read_bytes())["metadata"]["metrics"]
            owners = [place, *sorted(place.glob("seed_*"))] if len(positions) > 1 else [place]
            for owner, position in zip(owners, positions, strict=True):
                text = (owner / "metrics.jsonl").read_bytes()
                if len(text) < position:
                    faults.append(f"{owner.name}: {position - len(text)} bytes of rows before a checkpoint are gone")
                known[owner] = (now if owner == place else -1, text[:position])
    return faults


def faults_at_end(run: Path, is_over_before: bool) -> list[str]:
    """Returns what lies in a finished run that should not: leftovers, rows twice or out of order.

    Args:
      run: its directory.
      is_over_before: whether the process that finished it was killed before it had tidied up and drawn its picture.
    """
    faults: list[str] = []
    for place in places_of(run):
        rows, cut = whole_rows(place)
        faults += cut
        kept = comparable(rows)
        marks = [(row["kind"], row["step"], row.get("policy"), row.get("text")) for row in kept]
        faults += [
            f"{place.name}: row {mark} stands twice" for mark in sorted({str(m) for m in marks if marks.count(m) > 1})
        ]
        steps = [row["step"] for row in kept]
        if steps != sorted(steps):
            faults.append(f"{place.name}: rows are out of order")
        allowed = set(_RUN)
        if place == run:
            allowed |= {path.name for path in places_of(run)[1:]}
        if is_over_before:
            allowed.add(".lock")
        strays = sorted({path.name for path in place.iterdir()} - allowed)
        for saved in [*place.glob("*policy"), *place.glob("checkpoints/*")]:
            if {path.name for path in saved.iterdir()} not in _SAVED:
                strays.append(str(saved.relative_to(place)))
        if len(list(place.glob("checkpoints/*"))) > 2:
            strays.append("more than 2 checkpoints")
        faults += [f"{place.name}: leftover {stray}" for stray in strays]
    return faults


def comparable(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Returns rows without those that tell of resumptions, and without their clock."""
    return [
        {name: value for name, value in row.items() if name not in _CLOCK}
        for row in rows
        if row["kind"] != "resume" and not str(row.get("text")).startswith("nothing is left to do")
    ]


def digests_of(run: Path) -> dict[str, str]:
    """Returns SHA-256 of all that an exact run must reproduce: rows, policies, every array of the last checkpoint."""
    found: dict[str, str] = {}
    for place in places_of(run):
        rows = json.dumps(comparable(whole_rows(place)[0])).encode()
        found[f"{place.name}: rows"] = hashlib.sha256(rows).hexdigest()
        saved = {name: place / name for name in ("policy", "best_policy")}
        if whole := checkpoints_of(place):
            saved[whole[-1].name] = whole[-1]
        for name, path in saved.items():
            for arrays in path.glob("*.safetensors"):
                found[f"{place.name}: {name}"] = hashlib.sha256(arrays.read_bytes()).hexdigest()
    return {name.replace(run.name + ":", "run:"): digest for name, digest in found.items()}


def lost_rows(run: Path, whole: Path) -> list[str]:
    """Returns where reports or evaluations are missing, by the distances between those of an uninterrupted run."""
    faults = []
    for place in places_of(run):
        for kind in ("train", "eval"):
            found, wanted = ([0, *(row["step"] for row in whole_rows(at)[0] if row["kind"] == kind)]
                             for at in (place, whole / place.relative_to(run)))  # fmt: skip
            if (len(wanted) > 1 and max(np.diff(found)) > 1.5 * max(np.diff(wanted))) or found[-1] < 0.95 * wanted[-1]:
                faults.append(f"{place.name}: rows of kind {kind} are missing: {found}")
    return faults


# One run after the other.


def make_data(folder: Path) -> None:
    """Writes demonstrations of CartPole, and a log of decisions."""
    from jaxdaw import data, environments

    chance = np.random.default_rng(0)
    world = environments.CartPole()
    with data.DemonstrationWriter(folder / "demonstrations", world.observation_spec, world.action_spec) as writer:
        for _ in range(12):
            seen = chance.normal(0, 0.05, (41, 4)).astype(np.float32)
            actions = (seen[:-1, 2] + seen[:-1, 3] > 0).astype(np.int32)
            writer.add(data.Episode(seen, actions, np.ones(40, np.float32), truncated=True))
    context, action = chance.normal(size=(3000, 3)).astype(np.float32), chance.integers(0, 3, 3000)
    reward = (context[np.arange(3000), action] > 0).astype(np.float32)
    decisions = data.Decisions(action, context=context, probabilities=np.full((3000, 3), 1 / 3), reward=reward)
    data.write_decisions(decisions, folder / "log.jsonl")


def whole_run(kind: Kind, folder: Path, is_forked: bool) -> tuple[Path, Times]:
    """Trains a kind of run without interruption, and once more with compiled programs; returns it and its times."""
    for name in ("first", "whole"):
        run = folder / name
        launched = Launched(start_of(kind, run), run, kind, is_forked)
        times = Times(
            launched.wait_for(launched.is_locked),
            launched.wait_for(launched.has_written),
            launched.wait_for(lambda: False),
        )
        status, told = launched.ended()
        if status:
            raise SystemExit(f"{kind.name} does not train:\n{told}")
    if kind.is_exact and digests_of(folder / "first") != digests_of(folder / "whole"):
        raise SystemExit(f"{kind.name}: two uninterrupted runs differ")
    return folder / "whole", times


def start_of(kind: Kind, run: Path) -> list[str]:
    """Returns the arguments that start a run."""
    options = kind.options.format(data=run.parents[1]).split()
    return ["train", kind.algorithm, *options, "--seed", str(_SEED), "--out", str(run)]


def killed_run(
    kind: Kind,
    run: Path,
    whole: Path,
    times: Times,
    kills: int,
    chance: random.Random,
    is_forked: bool,
    tally: Tally,
) -> None:
    """Trains a run that is killed at most so many times, and adds what happened to the tally."""
    known: dict[Path, tuple[int, bytes]] = {}
    tally.runs, was_killed = tally.runs + 1, False
    while True:
        starts = not (run / "config.json").is_file()
        arguments = start_of(kind, run) if starts else ["resume", str(run)]
        tally.anew += starts and was_killed
        tally.resumed += not starts
        launched = Launched(arguments, run, kind, is_forked)
        doing = launched.kill(times, chance) if kills > 0 else ""
        status, told = launched.ended()
        if doing:
            kills, was_killed = kills - 1, True
            tally.kills[doing] += 1
            tally.faults += faults_after_kill(run, known)
            continue
        is_over_before = status == 2 and _ENDED in told
        if status and not is_over_before:
            tally.faults.append(f"{' '.join(arguments[:2])} failed:\n{told}")
            return
        break
    tally.faults += faults_after_kill(run, known)
    tally.faults += faults_at_end(run, is_over_before)
    if kind.is_exact:
        found, wanted = digests_of(run), digests_of(whole)
        tally.faults += [f"{name} differs" for name in sorted(found | wanted) if found.get(name) != wanted.get(name)]
    else:
        tally.faults += lost_rows(run, whole)


def soak(kinds: Sequence[Kind], kills: int, seed: int, folder: Path, is_forked: bool) -> dict[str, Tally]:
    """Kills runs of each kind so many times in all; returns what happened, by kind."""
    os.environ["JAX_PLATFORMS"] = "cpu"
    os.environ["JAX_COMPILATION_CACHE_DIR"] = str(folder / "compiled")
    os.environ["XDG_CONFIG_HOME"] = str(folder / "config")  # runs are signed with a key of their own
    if is_forked:
        for module in _LOADED:
            importlib.import_module(module)
    process = _FORK.Process(target=make_data, args=(folder,))  # JAX must not run in the process that forks
    process.start()
    process.join()
    tallies: dict[str, Tally] = {}
    for number, kind in enumerate(kinds):
        quota = kills * (number + 1) // len(kinds) - kills * number // len(kinds)
        place, chance = folder / str(number), random.Random(f"{seed} {kind.name}")
        place.mkdir()
        started, tally = time.perf_counter(), Tally()
        tallies[kind.name] = tally
        whole, times = whole_run(kind, place, is_forked)
        while (left := quota - tally.kills.total()) > 0 and len(tally.faults) < 5:
            run = place / f"run_{tally.runs}"
            killed_run(kind, run, whole, times, left, chance, is_forked, tally)
            if not tally.faults:
                shutil.rmtree(run)
        stages = ", ".join(f"{tally.kills[stage]} {stage}" for stage in _STAGES)
        print(
            f"{kind.name:20s} {tally.kills.total():4d} kills ({stages}), {tally.runs} runs, "
            f"{tally.resumed} resumptions, {tally.anew} begun again, {len(tally.faults)} faults, "
            f"{time.perf_counter() - started:.0f} s",
            flush=True,
        )
        for fault in tally.faults:
            print(f"    {fault}", flush=True)
    return tallies


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit status: 1 if anything was lost, or differs."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--kills", type=int, default=200, help="in all, over the kinds")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument(
        "--kinds", nargs="+", choices=[kind.name for kind in KINDS], metavar="KIND", help="all by default"
    )
    parser.add_argument(
        "--fork", action="store_true", help="fork from imported modules: twice as many kills in a minute"
    )
    parser.add_argument("--keep", type=Path, help="a new folder for the runs, which are kept where something is lost")
    given = parser.parse_args(arguments)
    kinds = [kind for kind in KINDS if given.kinds is None or kind.name in given.kinds]
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) if given.keep is None else given.keep.absolute()
        folder.mkdir(parents=True, exist_ok=given.keep is None)
        tallies = soak(kinds, given.kills, given.seed, folder, given.fork)
    kills = sum(tally.kills.total() for tally in tallies.values())
    faults = sum(len(tally.faults) for tally in tallies.values())
    print(f"{kills} kills, {faults} faults")
    return int(faults > 0)


if __name__ == "__main__":
    sys.exit(main())
