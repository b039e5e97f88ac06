"""Epochs over demonstrations, on the device and from the disk."""

import numpy as np
import optax
import pytest

from jaxdaw import networks
from jaxdaw.agents import BehavioralCloningAgent
from jaxdaw.data import Demonstrations, DemonstrationWriter, read
from jaxdaw.errors import SpecError
from jaxdaw.training import BcConfig
from jaxdaw.training import _cloning_trainer as module
from jaxdaw.training._cloning_trainer import CloningTrainer
from jaxdaw.trajectories import time_step_spec

from .demonstrations import OBSERVATION, SIGN, TWICE, continuous, discrete


def make(data, action_spec, validation=None, length=None, batch_size=32, epoch_updates=1, **options):
    options = {"fc_layer_params": (16,), "learning_rate": 1e-2, **options}
    config = BcConfig(network="rnn" if length else "mlp", lstm_size=8, **options)
    agent = config.make_agent(time_step_spec(OBSERVATION), action_spec)
    return CloningTrainer(agent, data, validation, batch_size, length, epoch_updates=epoch_updates)


def test_an_epoch_sees_every_step_once_and_in_another_order_each_time():
    trainer = make(discrete(), SIGN, batch_size=30)
    rows = []
    indexed = trainer._indexed
    trainer._indexed = lambda state, data, order: (rows.append(order), indexed(state, data, order))[1]
    report = trainer.run()
    assert report.train_step == 10  # 300 steps
    assert report.refused == 0
    assert np.isnan(report.validation_loss)
    second = trainer.run()
    assert (second.epoch, second.train_step) == (2, 20)
    assert [sorted(order.ravel()) for order in rows] == [list(range(300))] * 2
    assert not np.array_equal(*rows)


@pytest.mark.parametrize("on_device", [True, False])
def test_small_data_is_passed_over_until_an_epoch_has_its_updates(on_device, monkeypatch):
    if not on_device:
        monkeypatch.setattr(module, "_ON_DEVICE", 0)
    trainer = make(discrete(), SIGN, batch_size=32, epoch_updates=20)
    assert trainer.run().train_step == 27  # 300 steps are 9 batches, three times
    assert trainer.run().train_step == 54
    assert make(discrete(), SIGN, batch_size=32, epoch_updates=9).run().train_step == 9


@pytest.mark.parametrize("length", [None, 10])
def test_learns_and_measures_what_the_greedy_policy_would_do(length):
    trainer = make(discrete(), SIGN, discrete(4, seed=1), length=length, batch_size=32 if length is None else 4)
    first = trainer.run()
    for _ in range(25):
        last = trainer.run()
    assert trainer._indexed._cache_size() == trainer._measure._cache_size() == 1  # nothing recompiles
    assert last.validation_loss < 0.3 < first.validation_loss + 0.2
    assert last.match > 0.9
    trainer.sync()
    held_out = discrete(4, seed=1).flat()
    if length is None:
        agreed = trainer.agent.policy.action(held_out.observation).action == held_out.action
        np.testing.assert_allclose(last.match, agreed.mean(), atol=1e-6)
        loss = -np.log(trainer.agent.policy.wrapped_policy.distribution(held_out.observation).action.probs)
        taken = np.take_along_axis(np.asarray(loss), held_out.action[:, None] - 2, 1)
        np.testing.assert_allclose(last.validation_loss, taken.mean(), rtol=1e-4)


def test_float_actions_are_measured_by_their_distance():
    trainer = make(continuous(), TWICE, continuous(4, seed=1), loss="mode")
    for _ in range(30):
        report = trainer.run()
    assert np.isnan(report.match)
    assert report.error < 0.15
    np.testing.assert_allclose(report.error**2, report.validation_loss, rtol=1e-4)


def test_from_the_disk_it_learns_as_well_as_on_the_device(tmp_path, monkeypatch):
    with DemonstrationWriter(tmp_path / "data", OBSERVATION, SIGN) as writer:
        for episode in discrete():
            writer.add(episode)
    monkeypatch.setattr(module, "_ON_DEVICE", 0)
    streamed = make(read(tmp_path / "data"), SIGN, discrete(4, seed=1))
    assert streamed._data is None
    for _ in range(25):
        report = streamed.run()
    assert report.train_step == 25 * 9  # 300 steps, batches of 32
    assert report.match > 0.9


def test_an_error_while_reading_reaches_the_caller(monkeypatch):
    monkeypatch.setattr(module, "_ON_DEVICE", 0)
    trainer = make(discrete(), SIGN)

    def broken(seed):
        raise OSError("the disk is gone")
        yield

    monkeypatch.setattr(trainer, "_stacked", broken)
    with pytest.raises(OSError, match="the disk is gone"):
        trainer.run()


def test_the_padding_of_short_sequences_teaches_nothing():
    data, step = discrete(6, length=7), time_step_spec(OBSERVATION)

    def trainer(length):
        network = networks.ActorDistributionNetwork(OBSERVATION, SIGN, fc_layer_params=None)
        agent = BehavioralCloningAgent(step, SIGN, network, optax.sgd(0.1), num_outer_dims=2)
        return CloningTrainer(agent, data, None, 6, length)

    a, b = trainer(10).run(), trainer(7).run()
    np.testing.assert_allclose(a.loss, 0.7 * b.loss, rtol=1e-4)  # a mean over 10 frames, of which 3 have weight 0


def test_what_is_wrong_is_found_before_training():
    data = discrete()
    episodes = list(data)
    seen = episodes[3].observation.copy()
    seen[2, 1] = np.nan
    bad = Demonstrations([*episodes[:3], type(episodes[3])(seen, episodes[3].action, episodes[3].reward)])
    with pytest.raises(SpecError, match="episode 3"):
        make(bad, SIGN)
    with pytest.raises(SpecError, match="action"):
        make(discrete(), type(SIGN)((), np.int32, 0, 1))


def test_stop_ends_an_epoch_early(monkeypatch):
    monkeypatch.setattr(module, "_UPDATES_IN_A_CALL", 2)
    trainer = make(discrete(), SIGN, batch_size=10)
    trainer.stop()
    assert trainer.run() is None
    assert int(trainer.state.train_step) == trainer.updates == 2
    assert trainer.epoch == 0
    trainer.stopped = False
    assert trainer.run().train_step == 30  # 300 steps
