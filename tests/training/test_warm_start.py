"""What a run starts with when another one came before: the same predictions, in the same units, or a refusal."""

import json

import jax
import numpy as np
import pytest

from jaxdaw import networks, specs
from jaxdaw.data import Decisions
from jaxdaw.environments import ClassificationBandit
from jaxdaw.errors import ConfigError, SpecError, StorageError
from jaxdaw.policies import QPolicy
from jaxdaw.training import BanditConfig, save_policy, train
from jaxdaw.training._reward_units import RewardUnits
from jaxdaw.training._warm_start import read_warm_start
from jaxdaw.trajectories import time_step_spec

CONTEXT = specs.TensorSpec((3,), np.float32)
ACTION = specs.BoundedTensorSpec((), np.int32, 0, 2)
SMALL = {"fc_layer_params": (8,), "batch_size": 32, "exploration": "greedy"}
KIND = np.random.default_rng(7).integers(0, 3, 900)
CONTEXTS = np.eye(3, dtype=np.float32)[KIND]


def log(scale=1.0):
    """Uniform choices among 3 arms; the context shows which of them pays."""
    action = np.random.default_rng(0).integers(0, 3, 900)
    return Decisions(action, (action == KIND) * scale, np.full(900, 1 / 3), CONTEXTS, num_arms=3)


@pytest.fixture(scope="module")
def learned(tmp_path_factory):
    out = tmp_path_factory.mktemp("warm") / "log"
    return train("bandit", log(1000.0), updates=4, out=out, **SMALL)


def agent_of(context=CONTEXT, action=ACTION, **options):
    return BanditConfig(**{**SMALL, **options}).make_agent(time_step_spec(context), action, seed=3)


def test_predictions_go_on_in_units_of_reward(learned):
    agent = agent_of()
    found = read_warm_start(learned.directory, agent)
    np.testing.assert_allclose(found.units.scale, 1000 * np.sqrt(2) / 3, rtol=0.1)  # a third of the rewards are 1000
    expected = learned.policy.distribution(np.eye(3, dtype=np.float32)).action.logits
    assert np.ptp(expected) > 500
    for units in (RewardUnits(), RewardUnits(300.0, 40.0)):
        state = units.restored(agent.reward_network, found.begun(agent.reward_network, agent.get_state(), units))
        agent.set_state(jax.tree.map(np.array, state))
        shown = agent.policy.distribution(np.eye(3, dtype=np.float32)).action.logits
        np.testing.assert_allclose(shown, expected, rtol=1e-5, atol=1e-6 * np.ptp(expected))  # some cancel to nearly 0


def test_an_online_run_begins_with_what_a_log_taught_for_every_seed(learned):
    """Greed that knows nothing earns a third or less; a first stretch of 48 rounds is right where the log was."""

    class Paying(ClassificationBandit):
        def draw_round(self, problem, time, key):
            found = super().draw_round(problem, time, key)
            return found._replace(rewards=1e3 * found.rewards, expected_rewards=1e3 * found.expected_rewards)

    world = Paying(CONTEXTS, KIND)
    options = {**SMALL, "horizon": 48, "eager_rounds": 48, "updates": 1, "loss": "squared"}
    warm = train("bandit", world, warm_start=learned.directory, seeds=2, **options)
    assert [summary.regret for summary in warm.summaries] == [0.0, 0.0]


def test_a_log_goes_on_where_another_ended(learned, tmp_path):
    more = train(
        "bandit",
        log(1000.0),
        warm_start=learned.directory / "policy",
        learning_rate=1e-9,
        updates=1,
        out=tmp_path / "m",
        **SMALL,
    )
    theirs, ours = (run.policy.distribution(CONTEXTS[:9]).action.logits for run in (learned, more))
    np.testing.assert_allclose(ours, theirs, rtol=1e-3)
    assert json.loads((tmp_path / "m" / "config.json").read_text())["warm_start"] == str(learned.directory / "policy")


def test_exact_models_go_on_with_their_posterior(tmp_path):
    """450 rows twice are 900 rows."""
    half, whole = (log().select(np.arange(count) % 450) for count in (450, 900))
    linear = {"exploration": "linucb"}
    train("bandit", half, out=tmp_path / "first", **linear)
    both = train("bandit", half, warm_start=tmp_path / "first", **linear)
    once = train("bandit", whole, **linear)
    theirs, ours = (run.policy.greedy().distribution(CONTEXTS[:9]).action.logits for run in (once, both))
    np.testing.assert_allclose(ours, theirs, atol=1e-5)


@pytest.mark.parametrize(
    ("error", "match", "options"),
    [
        (
            SpecError,
            r"other decisions\n.*expected  observation float32 \(4,\) ",
            {"context": specs.TensorSpec((4,), "float32")},
        ),
        (SpecError, r"expected  4 actions +got  3 actions", {"action": specs.BoundedTensorSpec((), np.int32, 0, 3)}),
        (ConfigError, r"fc_layer_params=.*16.*got .*8", {"fc_layer_params": (16,)}),
        (ConfigError, "expected .*preprocessing_layers=None", {"squash": False}),
        (ConfigError, "q_layer_activation_fn=.*sigmoid", {"loss": "log"}),
        (ConfigError, "expected  EnsembleNetwork", {"exploration": "ensemble"}),
    ],
)
def test_another_problem_or_network_is_refused(learned, error, match, options):
    with pytest.raises(error, match=match):
        read_warm_start(learned.directory, agent_of(**options))


def test_other_exploration_of_the_same_network_is_taken(learned):
    read_warm_start(learned.directory, agent_of(exploration="falcon"))


def test_what_holds_no_bandit_is_refused(tmp_path):
    with pytest.raises(StorageError, match="holds nothing to start with"):
        read_warm_start(tmp_path, agent_of())
    policy = QPolicy(time_step_spec(CONTEXT), ACTION, networks.QNetwork(CONTEXT, ACTION, fc_layer_params=(4,)))
    save_policy(policy, tmp_path / "policy")
    with pytest.raises(ConfigError, match="was not learned by a bandit"):
        read_warm_start(tmp_path, agent_of())
