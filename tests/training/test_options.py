"""Options: what is given, what a file tells, what may change."""

import pytest

from jaxdaw.errors import ConfigError, StorageError
from jaxdaw.training import BanditConfig, BcConfig, DqnConfig, flag_of, refuse_idle, train
from jaxdaw.training._options import config_from_json, names_of, refuse_fixed, replaced

DEPENDS = {"lstm_size": ("network", ("rnn",))}


def test_an_option_is_replaced_or_answered_with_the_closest():
    assert replaced(DqnConfig(), {"steps": 7}).steps == 7
    with pytest.raises(ConfigError, match="unknown option 'stesp'\n  expected  steps"):
        replaced(DqnConfig(), {"stesp": 7})


def test_an_option_without_effect_is_refused_only_if_it_was_given():
    refuse_idle(DqnConfig(lstm_size=3), [], DEPENDS)
    refuse_idle(DqnConfig(network="rnn"), ["lstm_size"], DEPENDS)
    with pytest.raises(ConfigError, match="--lstm-size has no effect with --network q"):
        refuse_idle(DqnConfig(), ["lstm_size"], DEPENDS, flag_of)
    with pytest.raises(ConfigError, match="lstm_size has no effect with network q"):
        train("dqn", "jax:CartPole-v1", lstm_size=3)


def test_what_shaped_a_run_does_not_change():
    refuse_fixed("dqn", {"steps": 3}, ("steps",), names_of(DqnConfig))
    with pytest.raises(ConfigError, match="--gamma, --lstm-size cannot change"):
        refuse_fixed("dqn", {"gamma": 1, "lstm_size": 2}, ("steps",), names_of(DqnConfig))
    with pytest.raises(ConfigError, match="unknown option 'gama'"):
        refuse_fixed("dqn", {"gama": 1}, ("steps",), names_of(DqnConfig))


@pytest.mark.parametrize("kind", [DqnConfig, BcConfig, BanditConfig])
def test_options_go_through_json(kind):
    import dataclasses
    import json

    config = kind(fc_layer_params=(3, 4))
    assert config_from_json(kind, json.loads(json.dumps(dataclasses.asdict(config))), "here") == config
    assert config_from_json(kind, {}, "here") == kind()  # of an earlier version, which had fewer


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"stpes": 1}, "unknown option"),
        ({"steps": "1"}, "another type: steps"),
        ({"steps": True}, "another type: steps"),
        ({"gamma": None}, "another type: gamma"),
        ({"fc_layer_params": [1, "2"]}, "another type"),
        ({"conv_layer_params": [[1, 2]]}, "another type"),
        ({"network": "mlp"}, "another type"),
        ({"double": 1}, "another type"),
        ({"steps": 0}, "cannot be: steps"),
    ],
)
def test_options_of_a_file_are_checked(options, message):
    with pytest.raises(StorageError, match=f"here holds.*{message}"):
        config_from_json(DqnConfig, options, "here")
