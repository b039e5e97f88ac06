"""Clones an expert on CartPole: records its episodes, checks them, trains on them, and compares the returns."""

import tempfile

import gymnasium
import numpy as np

from jaxdaw import data, training


def episode(seed: int) -> data.Episode:
    """The expert pushes the cart under the pole."""
    world = gymnasium.make("CartPole-v1")
    seen, actions, rewards = [world.reset(seed=seed)[0]], [], []
    terminated = truncated = False
    while not (terminated or truncated):
        angle, speed = seen[-1][2:]
        actions.append(int(angle + 0.4 * speed > 0))
        observation, reward, terminated, truncated, _ = world.step(actions[-1])
        seen.append(observation)
        rewards.append(reward)
    return data.Episode(np.array(seen), np.array(actions), np.array(rewards), terminated, truncated)


def main(seeds: int = 10) -> list[float]:
    demonstrations = data.Demonstrations([episode(seed) for seed in range(seeds)])
    data.check(demonstrations).raise_if_faulty()
    run = training.train(
        "bc",
        demonstrations,
        environment="CartPole-v1",
        out=tempfile.mkdtemp(),
        epochs=15,
        learning_rate=3e-3,
        fc_layer_params=(64,),
    )
    return [float(demonstrations.returns.mean()), run.evaluations[-1]["mean_return"]]


if __name__ == "__main__":
    expert, clone = main()
    print(f"expert {expert:.0f}, clone {clone:.0f}")
