"""Makes `off_policy/`: what the Open Bandit Pipeline estimates on small random logs.

python -m venv obp && obp/bin/pip install sb-obp==0.5.10 && obp/bin/python tests/golden/make_off_policy.py
"""

import json
import platform
from importlib.metadata import version
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent / "off_policy"
CASES = {"mild": 0.5, "sharp": 3.0}
CLIP, SWITCH, SHRINKAGE = 2.0, 3.0, 5.0


def softmax(logits):
    weights = np.exp(logits - logits.max(axis=1, keepdims=True))
    return weights / weights.sum(axis=1, keepdims=True)


def make(name, sharpness, seed):
    """Writes the arrays and the estimates of one log."""
    from obp import ope  # not where the tests run
    from obp.ope.helper import estimate_bernstein_lower_bound

    random = np.random.default_rng(seed)
    count, arms = 300, 5
    logged = softmax(sharpness * random.normal(size=(count, arms)))
    candidate = softmax(sharpness * random.normal(size=(count, arms)))
    action = (logged.cumsum(axis=1) > random.random((count, 1))).argmax(axis=1)
    q = random.random((count, arms)).round(4)
    reward = random.binomial(1, q[np.arange(count), action]) * random.exponential(size=count).round(4)
    arrays = {
        "reward": reward,
        "action": action,
        "pscore": logged[np.arange(count), action],
        "action_dist": candidate[:, :, None],
        "position": np.zeros(count, int),
        "estimated_rewards_by_reg_model": q[:, :, None],
    }
    estimators = {
        "ips": ope.InverseProbabilityWeighting(),
        "clipped_ips": ope.InverseProbabilityWeighting(lambda_=CLIP),
        "snips": ope.SelfNormalizedInverseProbabilityWeighting(),
        "dm": ope.DirectMethod(),
        "dr": ope.DoublyRobust(),
        "switch_dr": ope.SwitchDoublyRobust(lambda_=SWITCH),
        "shrunk_dr": ope.DoublyRobustWithShrinkage(lambda_=SHRINKAGE),
    }
    values = {key: float(estimator.estimate_policy_value(**arrays)) for key, estimator in estimators.items()}
    weight = candidate[np.arange(count), action] / arrays["pscore"]
    scores = reward * weight
    lower = estimate_bernstein_lower_bound(scores, x_max=float(scores.max()), delta=0.05)
    np.savez_compressed(HERE / f"{name}.npz", reward=reward, action=action, logged=logged, candidate=candidate, q=q)
    document = {
        "provenance": {
            "package": f"sb-obp {version('sb-obp')}",
            "numpy": np.__version__,
            "python": platform.python_version(),
            "script": "tests/golden/make_off_policy.py",
            "seed": seed,
        },
        "clip": CLIP,
        "switch_threshold": SWITCH,
        "shrinkage": SHRINKAGE,
        "estimates": values,
        "bernstein_lower_bound": {"of": "ips", "delta": 0.05, "x_max": float(scores.max()), "value": float(lower)},
    }
    (HERE / f"{name}.json").write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    for index, (case, sharp) in enumerate(CASES.items()):
        make(case, sharp, seed=index)
