"""The library's loop written by hand from public functions: act, step, record, sample, train."""

import jax
import numpy as np
import optax

from jaxdaw import agents, environments, networks, replay
from jaxdaw.trajectories import from_transition


def main(steps: int = 5_000) -> float:
    environment = environments.make("CartPole-v1", num_envs=4)
    network = networks.QNetwork(environment.observation_spec, environment.action_spec, fc_layer_params=(64, 64))
    agent = agents.DqnAgent(
        environment.time_step_spec(),
        environment.action_spec,
        network,
        optax.adam(1e-3),
        gamma=0.99,
        target_update_period=200,
    )
    agent.initialize(seed=0)
    buffer = replay.HostReplay(agent.collect_data_spec, capacity=20_000, num_envs=4)
    generator = np.random.default_rng(0)

    time_step, policy_state, losses = environment.reset(seed=0), (), []
    for step in range(steps // 4):
        action_step = agent.collect_policy.action(time_step, policy_state, seed=step)
        next_time_step = environment.step(action_step.action)
        buffer.add(from_transition(time_step, action_step, next_time_step))
        if step >= 100:
            experience, _ = buffer.sample(64, agent.train_sequence_length, generator)
            losses.append(agent.train(experience).loss)
        time_step, policy_state = next_time_step, action_step.state
    return float(jax.numpy.mean(jax.numpy.stack(losses[-50:])))


if __name__ == "__main__":
    print(f"mean loss of the last updates: {main():.4f}")
