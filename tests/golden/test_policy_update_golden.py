"""Reference numbers of `policy.update`: hard and soft, trainable variables and others; and of periodic execution."""

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jaxdaw import networks, specs, trajectories
from jaxdaw.policies import EpsilonGreedyPolicy, Policy, QPolicy
from jaxdaw.training import Periodically

from . import cases
from .building import assign, ordered, q_network

UPDATES = [n for n in cases.names("policy_update") if "periodic" not in n]
PERIODIC = [n for n in cases.names("policy_update") if "periodic" in n]


class Statistic(nnx.Variable):
    """A variable that training does not move."""


class Variables(nnx.Module):
    """The reference policy's variables by name: `update` does not ask what they are for."""

    def __init__(self, shapes, trainable):
        for name, shape in shapes.items():
            kind = nnx.Param if trainable.get(name, False) else Statistic
            setattr(self, name.replace("/", "_"), kind(jnp.zeros(shape)))

    def __call__(self, observation):
        return observation


class Holder(Policy):
    """A policy over any network."""

    def __init__(self, time_step_spec, action_spec, network):
        super().__init__(time_step_spec, action_spec)
        self._network = network

    def _networks(self):
        return (self._network,)


def policy_of(case, weights):
    doc = case.doc
    step, action = cases.spec(doc["specs"]["time_step"]), cases.spec(doc["specs"]["action"])
    layers = doc["networks"]["network"]
    if doc["api"]["class"] == "ActorPolicy":
        shapes = {name: value.shape for name, value in weights.items()}
        network = networks.Network.from_factory(lambda rngs: Variables(shapes, doc["trainable"]), step.observation)
        assign(network, list(weights.values()))
        return Holder(step, action, network), list(weights)
    network = q_network(layers, step.observation, action)
    assign(network, ordered(layers, weights))
    policy = QPolicy(step, action, network)
    return (EpsilonGreedyPolicy(policy, 0.1) if doc["api"]["class"] == "EpsilonGreedyPolicy" else policy), None


@pytest.mark.parametrize("name", UPDATES)
def test_update(name):
    case = cases.load("policy_update", name)
    target, names = policy_of(case, case.sub("w"))
    source, _ = policy_of(case, case.sub("w_source"))
    arguments = case.doc["arguments"]
    target.update(source, arguments["tau"], arguments["tau_non_trainable"], arguments["sort_variables_by_name"])
    for label, policy in (("out/w", target), ("out/w_source", source)):
        stored = case.sub(label)
        wanted = [stored[n] for n in names] if names else ordered(case.doc["networks"]["network"], stored)
        for variable, want in zip(policy.variables(), wanted, strict=True):
            case.close(label, variable.get_value(), want)


@pytest.mark.parametrize("name", PERIODIC)
def test_periodic(name):
    case = cases.load("policy_update", name)
    calls = []
    periodic = Periodically(lambda: calls.append(1), case.doc["arguments"]["period"])
    counts = []
    for _ in case.arrays["out/executions"]:
        periodic()
        counts.append(len(calls))
    case.close("out/executions", counts)


def test_linear_golden():
    """W = [[2, 1], [1, 1]], b = [1, 1] into zeros at tau .25."""
    spec = specs.TensorSpec((2,), np.float32)
    step, action = trajectories.time_step_spec(spec), specs.BoundedTensorSpec((), np.int32, 0, 1)

    def linear(kernel, bias):
        network = networks.QNetwork(spec, action, fc_layer_params=None)
        assign(network, [np.asarray(kernel, np.float32), np.asarray(bias, np.float32)])
        return QPolicy(step, action, network)

    target = linear(np.zeros((2, 2)), np.zeros(2))
    target.update(linear([[2, 1], [1, 1]], [1, 1]), tau=0.25)
    kernel, bias = (v.get_value() for v in target.variables())
    np.testing.assert_allclose(kernel, [[0.5, 0.25], [0.25, 0.25]])
    np.testing.assert_allclose(bias, [0.25, 0.25])
