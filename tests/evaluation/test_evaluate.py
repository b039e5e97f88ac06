import json

import numpy as np

from jaxdaw import environments
from jaxdaw.evaluation import evaluate
from jaxdaw.policies import RandomPolicy


def test_evaluation_describes_its_own_episodes():
    world = environments.make("CartPole-v1", num_envs=3)
    result = evaluate(RandomPolicy(world.time_step_spec(), world.action_spec), world, episodes=20, seed=4)
    returns = np.array(result.returns)
    assert (result.episodes, result.seed, len(returns)) == (20, 4, 20)
    np.testing.assert_allclose([result.mean_return, result.std_return], [returns.mean(), returns.std()])
    assert result.ci95.low <= result.mean_return <= result.ci95.high
    found = json.loads(json.dumps(result.to_json()))
    assert {"mean_return", "iqm", "ci95", "episodes", "seed"} <= set(found)
    assert found["ci95"] == [result.ci95.low, result.ci95.high]
