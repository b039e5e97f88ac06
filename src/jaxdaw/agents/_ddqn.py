"""Double DQN."""

from __future__ import annotations

from jaxdaw.agents._dqn import DqnAgent


class DdqnAgent(DqnAgent):
    """This is DQN with: the next action chosen by the online network, and valued by the target network.

    Source: van Hasselt, Guez & Silver 2016.
    """

    _double = True
