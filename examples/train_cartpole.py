"""Fifteen lines from parts: specs, network, agent, replay and driver, on the real Gymnasium environment."""

import optax

from jaxdaw import agents, environments, evaluation, networks, training

environment = environments.make("CartPole-v1", num_envs=8)
network = networks.QNetwork(environment.observation_spec, environment.action_spec, fc_layer_params=(128, 128))
agent = agents.DqnAgent(
    environment.time_step_spec(),
    environment.action_spec,
    network,
    optax.adam(1e-3),
    epsilon_greedy=optax.linear_schedule(1.0, 0.04, 8_000),
    gamma=0.99,
    reward_scale_factor=0.05,
    target_update_period=128,
)
options = training.LoopOptions(train_every=32, updates=128, replay_capacity=100_000)
training.fit(agent, environment, steps=20_000, options=options, callbacks=(lambda report, trainer: print(report),))
print(evaluation.evaluate(agent.policy, environment, episodes=20).mean_return)
