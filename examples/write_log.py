"""Writes two logs of decisions, as a service would: context, action, probabilities and reward."""

import numpy as np

from jaxdaw import specs
from jaxdaw.data import DecisionWriter


def main(decisions=4_000):
    random = np.random.default_rng(0)
    for log in ("decisions", "later_decisions"):
        with DecisionWriter(log, 3, specs.TensorSpec((2,), "float32")) as writer:
            for context in random.normal(size=(decisions, 2)).astype("float32"):
                probabilities = [0.6, 0.2, 0.2] if context[0] > 0 else [0.2, 0.2, 0.6]
                arm = int(random.choice(3, p=probabilities))
                decision_id = writer.add(arm, context=context, probabilities=probabilities)
                writer.add_outcome(decision_id, reward=float(context[1] * (arm - 1) + 1))
    return decisions


if __name__ == "__main__":
    main()
