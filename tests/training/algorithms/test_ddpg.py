"""Options of DDPG, the agents that they make, and a run with networks that have memory."""

import numpy as np
import pytest

from jaxdaw import specs, training, trajectories
from jaxdaw.agents import DdpgAgent
from jaxdaw.errors import ConfigError
from jaxdaw.policies import OUNoisePolicy
from jaxdaw.training import DdpgConfig

from .test_td3 import SMALL


def test_options_reach_the_agent():
    config = DdpgConfig(exploration_noise=0.2, ou_damping=0.15, dqda_clipping=0.5, gradient_clipping=1.0)
    step = trajectories.time_step_spec(specs.TensorSpec((3,), np.float32))
    agent = config.make_agent(step, specs.BoundedTensorSpec((1,), np.float32, -2, 2))
    assert type(agent) is DdpgAgent
    policy = agent.collect_policy
    assert isinstance(policy, OUNoisePolicy)
    np.testing.assert_allclose([policy._stddev * float(policy._units), policy._damping], [0.4, 0.15])
    arguments = agent.constructor_arguments()
    assert (arguments["dqda_clipping"], arguments["gradient_clipping"]) == (0.5, 1.0)
    assert arguments["target_update_period"] == 1


def test_a_recurrent_agent_trains_on_sequences():
    options = {**SMALL, "steps": 500, "eval_every": 0, "network": "rnn", "lstm_size": 4, "sequence_length": 4}
    run = training.train("ddpg", "jax:Pendulum-v1", **options)
    rows = [row for row in run.rows if row["kind"] == "train"]
    assert rows[-1]["train_step"] >= 200
    assert np.isfinite(rows[-1]["loss"])


@pytest.mark.parametrize("wrong", [{"ou_damping": 2.0}, {"dqda_clipping": -1.0}], ids=lambda wrong: next(iter(wrong)))
def test_numbers_out_of_range_are_refused_by_name(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        DdpgConfig(**wrong)
