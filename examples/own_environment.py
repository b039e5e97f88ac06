"""An environment of your own: write it for Gymnasium, check it, train on it."""

import gymnasium
import numpy as np

from jaxdaw import environments, train


class Corridor(gymnasium.Env):
    """Walk right to the end of a corridor; every step costs a little."""

    observation_space = gymnasium.spaces.Box(0.0, 1.0, (1,), np.float32)
    action_space = gymnasium.spaces.Discrete(2)

    def __init__(self, length: int = 8):
        self.length, self.position = length, 0

    def _observation(self) -> np.ndarray:
        return np.array([self.position / self.length], np.float32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.position = 0
        return self._observation(), {}

    def step(self, action):
        self.position = max(self.position + (1 if action == 1 else -1), 0)
        terminated = self.position == self.length
        return self._observation(), 1.0 if terminated else -0.01, terminated, False, {}


def main(steps: int = 4_000) -> float:
    environments.check_environment(Corridor())
    gymnasium.register("Corridor-v0", Corridor, max_episode_steps=50)
    run = train("dqn", "Corridor-v0", steps=steps, reward_scale_factor=1.0, eval_every=1_000, eval_episodes=5)
    return max(evaluation["mean_return"] for evaluation in run.evaluations)


if __name__ == "__main__":
    print(f"best mean return: {main():.2f} (the best possible is 0.93)")
