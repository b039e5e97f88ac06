"""Double DQN: who chooses the next action, and who values it."""

import numpy as np

from jaxdaw import networks
from jaxdaw.agents import DdqnAgent

from .batches import ACTION, OBSERVATION, batch, make


def test_double_dqn_chooses_online_and_values_with_the_target():
    net = networks.QNetwork(OBSERVATION, ACTION, fc_layer_params=None)
    target = net.copy()
    agent = make(DdqnAgent, network=net, target_q_network=target)
    frames = batch()
    online = np.asarray(net(frames.observation[:, 1])[0])
    bootstrap = np.asarray(target(frames.observation[:, 1])[0])[np.arange(4), online.argmax(1)]
    q = np.asarray(net(frames.observation[:, 0])[0])[np.arange(4), frames.action[:, 0]]
    np.testing.assert_allclose(
        agent.loss(frames).extra.td_error, frames.reward[:, 0] + 0.9 * bootstrap - q, rtol=1e-4, atol=1e-5
    )
