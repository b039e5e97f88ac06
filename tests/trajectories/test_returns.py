import numpy as np

from jaxdaw import trajectories

from .test_transitions import stream


def test_returns_and_advantages_stop_at_both_endings():
    frames = stream(0, 50, 30)
    random = np.random.default_rng(1)
    values, final = random.normal(size=(50, 30)).astype(np.float32), random.normal(size=50).astype(np.float32)
    ends = frames.next_step_type == 2
    after = np.concatenate([values[:, 1:], final[:, None]], axis=1)
    discounts = 0.9 * frames.discount
    returns = trajectories.discounted_return(frames.reward, discounts, final, ends=ends, values=after)
    advantages = trajectories.generalized_advantage_estimation(values, final, discounts, frames.reward, 0.7, ends=ends)
    for b in range(50):
        following, advantage = final[b], 0.0
        for t in reversed(range(30)):
            following = frames.reward[b, t] + discounts[b, t] * (after[b, t] if ends[b, t] else following)
            delta = frames.reward[b, t] + discounts[b, t] * after[b, t] - values[b, t]
            advantage = delta + (0.0 if ends[b, t] else discounts[b, t] * 0.7 * advantage)
            np.testing.assert_allclose(returns[b, t], following, atol=2e-5)
            np.testing.assert_allclose(advantages[b, t], advantage, atol=2e-5)
