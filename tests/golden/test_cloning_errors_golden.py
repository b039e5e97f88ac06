"""Which arguments of cloning agents and actor policies raise which exception, or by docs/differences.md ours."""

import numpy as np
import optax
import pytest

from jaxdaw import networks, specs
from jaxdaw.agents import BehavioralCloningAgent
from jaxdaw.policies import ActorPolicy, Policy
from jaxdaw.trajectories import Trajectory, restart

from . import cases
from .test_errors_golden import ACTION, OBSERVATION, STEP, compare, integer, network

FLOAT = specs.BoundedTensorSpec((2,), np.float32, -1.0, 1.0)
TWO = {"a": integer(), "b": integer()}
MASKED = {"obs": OBSERVATION, "mask": specs.BoundedTensorSpec((3,), np.bool_, False, True)}


def split(observation):
    return observation["obs"], observation["mask"]


def agent(action=ACTION, net=None, **options):
    net = network() if net is None else net
    return BehavioralCloningAgent(STEP, action, net, optax.sgd(0.1), **options)


def loss(output, action):
    del action
    return output


class Logits(networks.Network):
    """The same logits for every action of a nest."""

    def __init__(self, input_tensor_spec, action_spec, *, rngs=0):
        super().__init__(input_tensor_spec)
        self.q = networks.QNetwork(OBSERVATION, ACTION, fc_layer_params=(4,), rngs=rngs)
        self.action_spec = action_spec

    def call(self, observation):
        values = self.q(observation)[0]
        return specs.map_structure(lambda spec: values, self.action_spec), ()


def frames(rows=4, **changes):
    one = np.ones(rows, np.int32)
    observation, action = np.zeros((rows, 3), np.float32), np.zeros(rows, np.int32)
    made = Trajectory(one, observation, action, (), one, np.ones(rows, np.float32), np.ones(rows, np.float32))
    return made._replace(**changes)


def sequences(**changes):
    return Trajectory(*[x if isinstance(x, tuple) else np.stack([x, x], axis=1) for x in frames()])._replace(**changes)


def nan_observation():
    observation = np.zeros((4, 3), np.float32)
    observation[2, 1] = np.nan
    agent().train(frames(observation=observation))


CLONING = {
    "several_actions_without_loss": lambda: agent(TWO),
    "several_float_actions_without_loss": lambda: agent({"a": FLOAT, "b": FLOAT}),
    "vector_int_action_without_loss": lambda: agent(integer(shape=(2,))),
    "empty_action_spec": lambda: agent(()),
    "several_int_actions_logits_network": lambda: agent(TWO, Logits(OBSERVATION, TWO), loss_fn=loss),
    "mixed_actions_logits_network": lambda: agent(
        {"a": integer(), "b": FLOAT}, Logits(OBSERVATION, {"a": integer(), "b": FLOAT}), loss_fn=loss
    ),
    "continuous_network_shape": lambda: agent(FLOAT, network(integer(0, 2))),
    "discrete_network_size": lambda: agent(net=network(integer(0, 3))),
    "num_outer_dims_3": lambda: agent(num_outer_dims=3),
    "time_step_spec_type": lambda: BehavioralCloningAgent((1, 2), ACTION, network(), optax.sgd(0.1)),
    "train_experience_type": lambda: agent().train({"observation": np.zeros((4, 3), np.float32)}),
    "train_observation_dtype": lambda: agent().train(frames(observation=np.zeros((4, 3)))),
    "train_action_dtype": lambda: agent().train(frames(action=np.zeros(4, np.int64))),
    "train_observation_structure": lambda: agent().train(frames(observation={"x": np.zeros((4, 3), np.float32)})),
    "train_observation_shape": lambda: agent().train(frames(observation=np.zeros((4, 4), np.float32))),
    "train_no_batch": lambda: agent().train(Trajectory(*[x if isinstance(x, tuple) else x[0] for x in frames()])),
    "train_time_axis_with_outer_1": lambda: agent().train(sequences()),
    "train_no_time_axis_with_outer_2": lambda: agent(num_outer_dims=2).train(frames()),
    "train_extra_info": lambda: agent().train(frames(policy_info=np.zeros(4, np.float32))),
    "train_nan_loss": nan_observation,
}


class Unready(Policy):
    def __init__(self):
        pass


def actor(action=FLOAT, net=None, step=STEP, **options):
    net = networks.ActorNetwork(OBSERVATION, FLOAT, fc_layer_params=(4,)) if net is None else net
    return ActorPolicy(step, action, net, **options)


def distributions(action=ACTION):
    return networks.ActorDistributionNetwork(OBSERVATION, action, fc_layer_params=(4,))


def masked(net):
    made = actor(ACTION, net, STEP._replace(observation=MASKED), observation_and_action_constraint_splitter=split)
    made.action(restart({"obs": np.zeros((2, 3), np.float32), "mask": np.ones((2, 3), bool)}, batch_size=2))


def step(observation=None):
    return restart(np.zeros((2, 3), np.float32) if observation is None else observation, batch_size=2)


def wide():
    return specs.TensorSpec((4,), np.float32)


def informed():
    actor(info_spec=specs.TensorSpec((), np.float32)).action(step())


ACTOR = {
    "network_type": lambda: actor(net=lambda x: x),
    "network_type_layer": lambda: actor(
        net=__import__("flax.nnx").nnx.Linear(3, 2, rngs=__import__("flax").nnx.Rngs(0))
    ),
    "splitter_with_float_action": lambda: actor(observation_and_action_constraint_splitter=split),
    "splitter_with_nested_action": lambda: actor(
        TWO, distributions(TWO), observation_and_action_constraint_splitter=split
    ),
    "output_shape": lambda: actor(specs.BoundedTensorSpec((3,), np.float32, -1.0, 1.0)),
    "output_dtype": lambda: actor(specs.BoundedTensorSpec((2,), np.float64, -1.0, 1.0)),
    "output_structure": lambda: actor({"a": FLOAT}),
    "time_step_spec_type": lambda: actor(step=(1, 2)),
    "observation_mismatch": lambda: actor(step=STEP._replace(observation=wide())),
    "info_spec_not_emitted": informed,
    "action_without_super": lambda: Unready().action(step()),
    "action_structure": lambda: actor().action(step({"x": np.zeros((2, 3), np.float32)})),
    "action_observation_dtype": lambda: actor().action(step(np.zeros((2, 3)))),
    "action_extra_key": lambda: actor(
        net=networks.ActorNetwork({"x": OBSERVATION}, FLOAT), step=STEP._replace(observation={"x": OBSERVATION})
    ).action(step({"x": np.zeros((2, 3), np.float32), "more": np.zeros(2)})),
    "normal_with_mask": lambda: masked(network()),
    "update_tau_negative": lambda: actor().update(actor(), tau=-0.1),
    "update_tau_large": lambda: actor().update(actor(), tau=1.1),
    "update_tau_non_trainable": lambda: actor().update(actor(), tau_non_trainable=2.0),
    "update_different_length": lambda: actor().update(
        actor(net=networks.ActorNetwork(OBSERVATION, FLOAT, fc_layer_params=(4, 4)))
    ),
    "update_different_shape": lambda: actor().update(
        actor(net=networks.ActorNetwork(OBSERVATION, FLOAT, fc_layer_params=(5,)))
    ),
}

OURS = {
    # docs/differences.md: the reference accepts these silently, or fails with an accident of its implementation.
    "discrete_network_size": ValueError,
    "num_outer_dims_3": ValueError,
    "time_step_spec_type": TypeError,
    "normal_with_mask": ValueError,
    "output_dtype": None,  # a float action is cast to its spec
}
ROWS = [(table, row) for table in ("behavioralcloningagent", "actorpolicy") for row in cases.rows("errors", table)]


@pytest.mark.parametrize(("table", "row"), ROWS, ids=[f"{t}-{r['id']}" for t, r in ROWS])
def test_row(table, row):
    compare(row, (CLONING if table == "behavioralcloningagent" else ACTOR)[row["id"]], OURS)
