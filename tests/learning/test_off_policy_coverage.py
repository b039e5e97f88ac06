"""Of many logs, the share whose 95 % interval holds the true value, which is known in closed form."""

from __future__ import annotations

import numpy as np

from jaxdaw.data import Decisions, audit
from jaxdaw.evaluation import evaluate_off_policy

NUM_LOGS, ROWS = 500, 2000
MEANS = np.array([[0.2, 0.5, 0.7], [0.6, 0.3, 0.1]])  # of each arm in each of two contexts, which are equally likely
LOGGED = np.array([[0.5, 0.3, 0.2], [0.2, 0.5, 0.3]])
CANDIDATE = np.array([[0.1, 0.2, 0.7], [0.8, 0.1, 0.1]])
VALUE = float((MEANS * CANDIDATE).sum(axis=1).mean())  # (.02 + .1 + .49 + .48 + .03 + .01) / 2 = .565
GAIN = VALUE - float((MEANS * LOGGED).sum(axis=1).mean())


def make_log(seed: int) -> tuple[Decisions, np.ndarray]:
    random = np.random.default_rng(seed)
    kind = random.integers(0, 2, ROWS)
    action = (LOGGED[kind].cumsum(axis=1) > random.random((ROWS, 1))).argmax(axis=1)
    reward = random.random(ROWS) < MEANS[kind, action]
    context = kind[:, None].astype(np.float32)
    return Decisions(action, reward, probabilities=LOGGED[kind], context=context), CANDIDATE[kind]


def test_intervals_hold_the_true_value_in_95_of_100_logs():
    hits = dict.fromkeys(("ips", "snips", "dr", "switch_dr", "gain"), 0)
    errors: dict[str, list[float]] = {name: [] for name in hits}
    bernstein = trusted = 0
    for seed in range(NUM_LOGS):
        decisions, candidate = make_log(seed)
        report = evaluate_off_policy(
            decisions,
            {"candidate": candidate},
            estimators=["ips", "snips", "dr", "switch_dr"],
            reward_range=(0, 1),
            resamples=200,
            seed=seed,
        )
        (one,) = report.candidates
        for name, estimate in [*one.estimates.items(), ("gain", one.gain)]:
            truth = GAIN if name == "gain" else VALUE
            hits[name] += estimate.interval.low <= truth <= estimate.interval.high
            errors[name].append(estimate.value - truth)
        low, high = one.estimates["ips"].bernstein or (np.nan, np.nan)
        bernstein += low <= VALUE <= high
        trusted += one.is_trusted
    coverage = {name: count / NUM_LOGS for name, count in hits.items()}
    print(coverage, "empirical Bernstein", bernstein / NUM_LOGS, "trusted", trusted / NUM_LOGS)
    assert all(0.93 <= share <= 0.97 for share in coverage.values()), coverage
    assert trusted >= 0.99 * NUM_LOGS  # the logs are honest
    assert bernstein >= 0.98 * NUM_LOGS  # it is wide: it holds for every sample size
    for name, differences in errors.items():  # unbiased: the mean error is 0 within 4 of its own standard errors
        assert abs(np.mean(differences)) < 4 * np.std(differences) / np.sqrt(NUM_LOGS), name


def test_p_values_of_an_honest_log_are_uniform():
    names = ("arm frequencies", "calibration", "mean weight")
    p_values: dict[str, list[float]] = {name: [] for name in names}
    for seed in range(NUM_LOGS):
        for check in audit(make_log(seed)[0]).checks:
            if check.name in names:
                p_values[check.name].append(check.p_value)
    for name, values in p_values.items():
        ordered = np.sort(values)
        # Kolmogorov and Smirnov: the largest distance to the diagonal is below 1.63 / sqrt(500) = .073 in 99 of 100
        assert np.max(np.abs(ordered - (np.arange(NUM_LOGS) + 0.5) / NUM_LOGS)) < 1.63 / np.sqrt(NUM_LOGS), name
