"""Policies on disk: what comes back acts as what was saved, and nothing of a file is run."""

from __future__ import annotations

import contextlib
import copy
import functools
import json
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdaw import networks, policies, specs, storage, trajectories
from jaxdaw.errors import ConfigError, SpecError, StorageError
from jaxdaw.policies import (
    AbsoluteConstraint,
    ActorPolicy,
    BoltzmannPolicy,
    CategoricalQPolicy,
    EnsembleThompsonSamplingPolicy,
    EpsilonGreedyPolicy,
    FalconPolicy,
    FastCBPolicy,
    GaussianPolicy,
    GreedyPolicy,
    GreedyRewardPredictionPolicy,
    LinearThompsonSamplingPolicy,
    LinearUCBPolicy,
    NoisyNetworkPolicy,
    OUNoisePolicy,
    Policy,
    PPOPolicy,
    QPolicy,
    QuantileQPolicy,
    RandomPolicy,
    SquareCBPolicy,
)
from jaxdaw.training import load_policy, save_policy
from jaxdaw.training._description import describe_policy
from jaxdaw.trajectories import StepType, TimeStep

OBSERVATION = {"place": specs.TensorSpec((3,), np.float32), "kind": specs.BoundedTensorSpec((), np.int32, 0, 4)}
PLAIN = specs.BoundedTensorSpec((3,), np.float32, -1.0, np.inf, "observation")
NARROW = specs.BoundedTensorSpec((3,), np.float32, -1.0, 1.0, "observation")
ACTION = specs.BoundedTensorSpec((), np.int32, 0, 3, "action")


class Halved(networks.QNetwork):
    """A network of the user's own."""

    def _call(self, *args: Any, **kwargs: Any) -> Any:
        values, state = super()._call(*args, **kwargs)
        return values / 2, state


def q_policy(network: networks.Network | None = None, **options: Any) -> QPolicy:
    network = networks.QNetwork(PLAIN, ACTION, fc_layer_params=(8,)) if network is None else network
    return QPolicy(trajectories.time_step_spec(PLAIN), ACTION, network, **options)


def convolutional() -> Policy:
    image = specs.BoundedTensorSpec((12, 12, 2), np.uint8, 0, 255)
    network = networks.QNetwork(image, ACTION, conv_layer_params=[(4, 3, 2)], fc_layer_params=(8,))
    return QPolicy(trajectories.time_step_spec(image), ACTION, network)


POLICIES = {
    "q": lambda: q_policy(emit_log_probability=True),
    "greedy": lambda: GreedyPolicy(q_policy()),
    "epsilon": lambda: EpsilonGreedyPolicy(q_policy(), 0.25),
    "schedule": lambda: EpsilonGreedyPolicy(q_policy(), lambda step: 0.5),
    "boltzmann": lambda: BoltzmannPolicy(q_policy(), 0.25),
    "random": lambda: RandomPolicy(trajectories.time_step_spec(OBSERVATION), {"a": ACTION, "b": (ACTION,)}),
    "recurrent": lambda: q_policy(networks.QRnnNetwork(PLAIN, ACTION, lstm_size=(4,))),
    "duelling": lambda: q_policy(networks.DuelingQNetwork(PLAIN, ACTION, fc_layer_params=(8,))),
    "images": convolutional,
    "categorical": lambda: CategoricalQPolicy(
        trajectories.time_step_spec(PLAIN), ACTION, networks.CategoricalQNetwork(PLAIN, ACTION, 5), -2.0, 3.0
    ),
    "quantile": lambda: QuantileQPolicy(
        trajectories.time_step_spec(PLAIN), ACTION, networks.QuantileQNetwork(PLAIN, ACTION, 5, dueling=True)
    ),
    "noisy": lambda: NoisyNetworkPolicy(
        EpsilonGreedyPolicy(q_policy(networks.QNetwork(PLAIN, ACTION, fc_layer_params=(8,), noisy=True)), 0.25)
    ),
}


WHEEL = specs.BoundedTensorSpec((2,), np.float32, [-1.0, 0.0], [1.0, 5.0])
MIXED = {"gear": specs.BoundedTensorSpec((2,), np.int32, -1, 3), "wheel": WHEEL}
Projection = functools.partial(networks.NormalProjection, state_dependent_std=True, std_transform=jnp.exp)


def actor(action: Any = WHEEL, kind: Any = networks.ActorDistributionNetwork, **options: Any) -> ActorPolicy:
    chosen = {name: options.pop(name) for name in list(options) if name.endswith("projection_net")}
    if kind is networks.ActorDistributionNetwork:
        network = kind(PLAIN, action, fc_layer_params=(8,), **chosen)
    else:
        network = kind(PLAIN, action, input_fc_layer_params=(6,), lstm_size=(4,), output_fc_layer_params=None, **chosen)
    return ActorPolicy(trajectories.time_step_spec(PLAIN), action, network, **options)


def deterministic(**options: Any) -> ActorPolicy:
    network = networks.ActorNetwork(PLAIN, WHEEL, fc_layer_params=(8,))
    return ActorPolicy(trajectories.time_step_spec(PLAIN), WHEEL, network, **options)


def normalizing() -> ActorPolicy:
    normalizer = networks.StreamingNormalizer(PLAIN)
    normalizer.update(np.random.default_rng(0).normal([0.0, 3.0, -1.0], 2.0, (50, 3)).astype(np.float32))
    return actor(observation_normalizer=normalizer, clip=False, emit_log_probability=True)


POLICIES |= {
    "actor": actor,
    "actor deterministic": deterministic,
    "actor of a mixed nest": lambda: actor(MIXED, name="driver"),
    "actor with options": lambda: actor(
        MIXED,
        discrete_projection_net=functools.partial(networks.CategoricalProjection, logits_init_output_factor=2.0),
        continuous_projection_net=Projection,
    ),
    "actor squashed": lambda: actor(continuous_projection_net=networks.TanhNormalProjection),
    "actor softplus": lambda: actor(
        continuous_projection_net=functools.partial(networks.TanhNormalProjection, std_transform=jax.nn.softplus)
    ),
    "actor unsquashed": lambda: actor(
        specs.TensorSpec((2,), np.float32),
        continuous_projection_net=functools.partial(networks.NormalProjection, mean_transform=None),
    ),
    "actor squashed means": lambda: actor(
        continuous_projection_net=functools.partial(
            networks.NormalProjection, mean_transform=networks.tanh_squash_to_spec, activation_fn=jnp.tanh
        )
    ),
    "actor with a normalizer": normalizing,
    "actor recurrent": lambda: actor(MIXED, networks.ActorDistributionRnnNetwork),
    "actor recurrent deterministic": lambda: actor(WHEEL, networks.ActorRnnNetwork),
    "actor greedy": lambda: GreedyPolicy(actor(MIXED, emit_log_probability=True)),
    "gaussian": lambda: GaussianPolicy(deterministic(), 0.25, clip=False, emit_log_probability=True, name="noisy"),
    "drifting": lambda: OUNoisePolicy(deterministic(), 0.25, 0.125, clip=False),
}


def recording() -> PPOPolicy:
    value = networks.ValueRnnNetwork(PLAIN, lstm_size=(4,), last_kernel_initializer=jax.nn.initializers.orthogonal(1.0))
    network = networks.ActorDistributionNetwork(PLAIN, WHEEL, fc_layer_params=(8,))
    step = trajectories.time_step_spec(PLAIN)
    return PPOPolicy(step, WHEEL, network, value, networks.StreamingNormalizer(PLAIN), reward_discount=0.5)


POLICIES["recording"] = recording
ARMS = {"global": PLAIN, "per_arm": specs.TensorSpec((4, 2), np.float32)}


def bandit(**options: Any) -> GreedyRewardPredictionPolicy:
    network = networks.HeteroscedasticQNetwork(PLAIN, ACTION, fc_layer_params=(8,), max_variance=9.0)
    return GreedyRewardPredictionPolicy(trajectories.time_step_spec(PLAIN), ACTION, network, **options)


def bandit_over_arms() -> GreedyRewardPredictionPolicy:
    network = networks.GlobalAndArmCommonTowerNetwork(ARMS, (5,), (4,), (3,), activation_fn=jax.nn.tanh)
    return GreedyRewardPredictionPolicy(
        trajectories.time_step_spec(ARMS), ACTION, network, accepts_per_arm_features=True
    )


def believing(kind: Any, network: networks.Network, **options: Any) -> Policy:
    return kind(trajectories.time_step_spec(NARROW), ACTION, network, emit_policy_info=REPORT, **options)


def at_step(policy: FalconPolicy, step: int) -> FalconPolicy:
    policy.step = step
    return policy


REPORT = ("log_probability", "predicted_rewards_mean", "bandit_policy_type")
POLICIES |= {
    "bandit greedy": lambda: bandit(emit_policy_info=("predicted_rewards_mean",), name="model"),
    "bandit exploring": lambda: EpsilonGreedyPolicy(bandit(emit_policy_info=REPORT), 0.5),
    "bandit by its gaps": lambda: SquareCBPolicy(bandit(emit_policy_info=REPORT), 3.0),
    "bandit by its gaps and losses": lambda: FastCBPolicy(bandit(emit_policy_info=REPORT), 3.0),
    "bandit by falcon": lambda: at_step(FalconPolicy(bandit(emit_policy_info=REPORT), 2.0), 300),
    "linear upper bounds": lambda: believing(LinearUCBPolicy, networks.LinearRewardNetwork(NARROW, ACTION), alpha=0.3),
    "linear thompson": lambda: believing(
        LinearThompsonSamplingPolicy, networks.LinearRewardNetwork(NARROW, ACTION, add_bias=True), alpha=0.3
    ),
    "ensemble thompson": lambda: believing(
        EnsembleThompsonSamplingPolicy,
        networks.EnsembleNetwork(networks.QNetwork(NARROW, ACTION, fc_layer_params=(8,)), 4, prior_scale=0.5),
    ),
    "bandit over arms, exploring": lambda: EpsilonGreedyPolicy(bandit_over_arms(), 0.5),
}


def steps(policy: Policy, rows: int = 16) -> TimeStep:
    observation = specs.sample(policy.time_step_spec.observation, jax.random.key(0), (rows,))
    return TimeStep(
        step_type=np.full(rows, StepType.MID, np.int32),
        reward=np.zeros(rows, np.float32),
        discount=np.ones(rows, np.float32),
        observation=jax.tree.map(np.asarray, observation),
    )


@pytest.mark.parametrize("name", POLICIES)
def test_policy_comes_back_and_acts_the_same(name: str, tmp_path: Path):
    policy = POLICIES[name]()
    assert save_policy(policy, tmp_path / "p", {"note": "é"}) == tmp_path / "p"
    back = load_policy(tmp_path / "p")
    assert type(back) is type(policy)
    assert back.time_step_spec == policy.time_step_spec
    assert back.action_spec == policy.action_spec
    assert back.info_spec == policy.info_spec
    assert back.name == policy.name
    state = policy.get_initial_state(16)
    for seed in range(3):
        ours, theirs = (p.action(steps(policy), state, seed=seed) for p in (policy, back))
        jax.tree.map(np.testing.assert_array_equal, ours, theirs)
    assert json.loads((tmp_path / "p" / "policy.json").read_text())["metadata"] == {"note": "é"}


def test_every_option_of_an_actor_comes_back(tmp_path: Path):
    info = {"speed": specs.TensorSpec((), np.float32)}
    policy = deterministic(info_spec=info, clip=False, training=True)
    save_policy(policy, tmp_path / "p")
    back = load_policy(tmp_path / "p")
    assert isinstance(back, ActorPolicy)
    assert (back.info_spec, back.clip, back.training, back.observation_normalizer) == (info, False, True, None)
    save_policy(normalizing(), tmp_path / "n")
    again = load_policy(tmp_path / "n")
    assert isinstance(again, ActorPolicy)
    assert isinstance(again.observation_normalizer, networks.StreamingNormalizer)
    rows = np.ones((2, 3), np.float32)
    want = normalizing().observation_normalizer
    assert want is not None
    np.testing.assert_array_equal(again.observation_normalizer.normalize(rows), want(rows)[0])


def test_a_projection_of_ones_own_is_code(tmp_path: Path):
    class Mine(networks.NormalProjection):
        pass

    for projection in (Mine, functools.partial(networks.NormalProjection, std_transform=lambda x: x**2 + 1)):
        with pytest.raises(StorageError, match=r"continuous_projection_net=\.\.\.\).* cannot be saved without code"):
            save_policy(actor(continuous_projection_net=projection), tmp_path / "p")
    assert not (tmp_path / "p").exists()


@pytest.mark.parametrize("name", POLICIES)
def test_deep_copy_of_every_policy_is_described_the_same_and_shares_no_weights(name: str):
    policy = POLICIES[name]()
    twin = copy.deepcopy(policy)
    assert describe_policy(twin) == describe_policy(policy)
    ours, theirs = (jax.tree.leaves([network.get_weights() for network in p._networks()]) for p in (policy, twin))
    for one, other in zip(ours, theirs, strict=True):
        assert one is not other
        np.testing.assert_array_equal(as_numbers(one), as_numbers(other))


def as_numbers(leaf: Any) -> Any:
    return jax.random.key_data(leaf) if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key) else leaf


def test_every_policy_that_jaxdaw_exports_can_be_saved():
    exported = {getattr(policies, name) for name in policies.__all__}
    concrete = {cls for cls in exported if isinstance(cls, type) and issubclass(cls, Policy) and cls is not Policy}
    assert {type(make()) for make in POLICIES.values()} == concrete


def test_step_of_a_schedule_is_saved(tmp_path: Path):
    policy = EpsilonGreedyPolicy(q_policy(), lambda step: step / 100)
    policy.step = 30
    save_policy(policy, tmp_path / "p")
    back = load_policy(tmp_path / "p")
    assert isinstance(back, EpsilonGreedyPolicy)
    assert (back.step, back.exploration_at(30)) == (30, pytest.approx(0.3))


def test_constraints_for_a_policy_that_has_none_are_refused(tmp_path: Path):
    save_policy(q_policy(), tmp_path / "p")
    with pytest.raises(StorageError, match=r"another number of constraints\n.*0 .*1"):
        load_policy(tmp_path / "p", constraints=(lambda observation: True,))


def test_saving_again_replaces(tmp_path: Path):
    save_policy(q_policy(), tmp_path / "p")
    second = q_policy()
    save_policy(second, tmp_path / "p")
    np.testing.assert_array_equal(
        load_policy(tmp_path / "p").variables()[0].get_value(), second.variables()[0].get_value()
    )


def test_own_network_is_asked_for_and_matched_by_name(tmp_path: Path):
    policy = q_policy(Halved(PLAIN, ACTION, fc_layer_params=(8,)))
    save_policy(policy, tmp_path / "p")
    with pytest.raises(StorageError, match="Halved"):
        load_policy(tmp_path / "p")
    back = load_policy(tmp_path / "p", networks=[Halved])
    step = steps(policy)
    np.testing.assert_array_equal(back.distribution(step).action.logits, policy.distribution(step).action.logits)
    with pytest.raises(ConfigError, match="each of another name"):
        load_policy(tmp_path / "p", networks=[Halved, Halved])


def test_network_that_has_changed_since_is_refused(tmp_path: Path):
    policy = q_policy(Halved(PLAIN, ACTION, fc_layer_params=(8,)))
    save_policy(policy, tmp_path / "p")
    other = type("Halved", (networks.DuelingQNetwork,), {})
    with pytest.raises(StorageError, match=r"does not (fit the networks it describes|describe a policy)"):
        load_policy(tmp_path / "p", networks=[other])


def test_splitter_is_code_and_is_asked_for(tmp_path: Path):
    def split(observation: Any) -> Any:
        return observation["place"], observation["mask"]

    observation = {"place": PLAIN, "mask": specs.BoundedTensorSpec((4,), np.int32, 0, 1)}
    network = networks.QNetwork(PLAIN, ACTION, fc_layer_params=(8,))
    policy = QPolicy(
        trajectories.time_step_spec(observation), ACTION, network, observation_and_action_constraint_splitter=split
    )
    save_policy(policy, tmp_path / "p")
    with pytest.raises(StorageError, match="saved with a splitter"):
        load_policy(tmp_path / "p")
    back = load_policy(tmp_path / "p", observation_and_action_constraint_splitter=split)
    step = steps(policy)
    step.observation["mask"] = np.tile(np.array([0, 1, 0, 1], np.int32), (16, 1))
    assert set(back.action(step, seed=0).action.tolist()) <= {1, 3}
    save_policy(q_policy(), tmp_path / "plain")
    with pytest.raises(StorageError, match="saved without a splitter"):
        load_policy(tmp_path / "plain", observation_and_action_constraint_splitter=split)


def test_constraints_are_code_and_are_asked_for(tmp_path: Path):
    def is_odd(observation: Any) -> Any:
        return jnp.broadcast_to(jnp.arange(4) % 2 == 1, (len(observation), 4))

    save_policy(EpsilonGreedyPolicy(bandit(constraints=(is_odd,)), 1.0), tmp_path / "p")
    with pytest.raises(StorageError, match="another number of constraints"):
        load_policy(tmp_path / "p")
    back = load_policy(tmp_path / "p", constraints=(is_odd,))
    assert set(back.action(steps(back), seed=0).action.tolist()) == {1, 3}


def test_the_network_of_a_constraint_is_saved_and_the_constraint_is_asked_for(tmp_path: Path):
    def below_zero(seed: int) -> AbsoluteConstraint:
        return AbsoluteConstraint(networks.QNetwork(PLAIN, ACTION, fc_layer_params=(4,), rngs=seed), None, jnp.less)

    policy = EpsilonGreedyPolicy(bandit(constraints=(below_zero(1),)), 0.5)
    save_policy(policy, tmp_path / "p")
    back = load_policy(tmp_path / "p", constraints=(below_zero(2),))
    theirs, ours = (p.distribution(steps(policy)).action.probs for p in (back, policy))
    np.testing.assert_allclose(theirs, ours, rtol=1e-6)
    assert (np.asarray(ours) == 0).any()
    with pytest.raises(StorageError, match="does not fit the networks"):
        load_policy(tmp_path / "p", constraints=(lambda observation: True,))


def test_subclass_of_a_policy_is_not_saved_as_its_base(tmp_path: Path):
    class Mine(QPolicy):
        pass

    policy = Mine(trajectories.time_step_spec(PLAIN), ACTION, networks.QNetwork(PLAIN, ACTION, fc_layer_params=(8,)))
    with pytest.raises(StorageError, match="a Mine cannot be saved"):
        save_policy(policy, tmp_path / "p")
    assert not (tmp_path / "p").exists()


def test_directory_of_other_files_is_not_touched(tmp_path: Path):
    (tmp_path / "thesis.tex").write_text("x")
    with pytest.raises(StorageError):
        save_policy(q_policy(), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


@pytest.mark.parametrize("file", ["policy.json", "weights.safetensors"])
@pytest.mark.parametrize("damage", ["missing", "cut", "flipped", "empty"])
def test_damaged_policy_is_refused_and_the_file_named(file: str, damage: str, tmp_path: Path):
    save_policy(q_policy(), tmp_path / "p")
    path = tmp_path / "p" / file
    content = bytearray(path.read_bytes())
    if damage == "missing":
        path.unlink()
    elif damage == "flipped":
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
    else:
        path.write_bytes(content[: len(content) // 2 if damage == "cut" else 0])
    with pytest.raises(StorageError, match=str(tmp_path / "p")):
        load_policy(tmp_path / "p")


def test_what_is_not_there_is_named(tmp_path: Path):
    with pytest.raises(StorageError, match="nothing"):
        load_policy(tmp_path / "nothing")


def test_weights_of_another_policy_are_refused(tmp_path: Path):
    save_policy(q_policy(), tmp_path / "a")
    save_policy(q_policy(networks.QNetwork(PLAIN, ACTION, fc_layer_params=(9,))), tmp_path / "b")
    shutil.copy(tmp_path / "b" / "weights.safetensors", tmp_path / "a" / "weights.safetensors")
    with pytest.raises(StorageError, match=r"weights\.safetensors"):
        load_policy(tmp_path / "a")


def test_loaded_policy_refuses_what_the_saved_one_refuses(tmp_path: Path):
    save_policy(q_policy(), tmp_path / "p")
    with pytest.raises(SpecError):
        load_policy(tmp_path / "p").action(np.zeros((2, 7), np.float32))


# Hostile contents: right digests around anything.


def rewrite(place: Path, change: Callable[[Any], Any]) -> None:
    """Changes what a policy's JSON describes, and writes it with a digest that matches."""
    document = json.loads((place / "policy.json").read_text())
    del document["digest"]
    document["policy"] = change(document["policy"])
    (place / "policy.json").write_bytes(storage.seal(document))


def test_description_of_more_than_a_policy_can_be_is_refused_before_anything_is_made(tmp_path: Path):
    def thousand_layers(described: Any) -> Any:
        described["arguments"]["q_network"]["network"]["arguments"]["fc_layer_params"] = {"tuple": [8] * 1000}
        return described

    def nested(described: Any) -> Any:
        for _ in range(300):
            described = {"class": "GreedyPolicy", "arguments": {"policy": {"policy": described}}, "state": {}}
        return described

    def nested_in_format_1(described: Any) -> Any:
        described = {"class": "RandomPolicy"}
        for _ in range(800):
            described = {"class": "GreedyPolicy", "name": "x", "policy": described}
        return described

    def many_networks(described: Any) -> Any:
        described["arguments"]["q_network"] = {"list": [described["arguments"]["q_network"]] * 900}
        return described

    def many_specs(described: Any) -> Any:
        described["arguments"]["time_step_spec"]["time_step"][3] = {"list": [{"spec": {}}] * 10_001}
        return described

    for change, place in (
        (thousand_layers, r"policy\.arguments\.q_network\.network\.arguments\.fc_layer_params\.tuple\[\d+\]"),
        (many_networks, r"policy\.arguments\.q_network\.list\[\d+\].*"),
        (many_specs, r"policy\.arguments\.time_step_spec\.time_step\[3\].*"),
    ):
        save_policy(q_policy(), tmp_path / "p")
        rewrite(tmp_path / "p", change)
        started = time.perf_counter()
        with pytest.raises(StorageError, match=rf"p/policy\.json: {place} is more than a policy can be made of"):
            load_policy(tmp_path / "p")
        assert time.perf_counter() - started < 1.0
    for change in (nested, nested_in_format_1):  # deeper than any JSON that is read
        save_policy(q_policy(), tmp_path / "p")
        document = json.loads((tmp_path / "p" / "policy.json").read_text())
        document["policy"] = change(document["policy"])
        (tmp_path / "p" / "policy.json").write_text(json.dumps(document))
        with pytest.raises(StorageError, match=r"p/policy\.json is damaged(?s:.*)levels"):
            load_policy(tmp_path / "p")


def test_policy_that_could_not_be_loaded_again_is_not_saved(tmp_path: Path):
    deep: Policy = q_policy()
    for _ in range(40):
        deep = GreedyPolicy(deep)
    with pytest.raises(StorageError, match="more than a policy can be made of"):
        save_policy(deep, tmp_path / "p")
    assert not (tmp_path / "p").exists()


ANYTHING = (
    None, True, -1, 0, 7, 10**9, 10**30, 1e300, 0.5, "", "x", [], {}, [1] * 5, {"tuple": [10**9]}, {"float": "nan"},
    {"code": 10**9}, {"network": {}}, {"policy": {}}, {"callable": "flax.nnx.Linear"}, {"dict": [["a", 1]]},
    {"spec": {"shape": [10**9], "dtype": "float32", "name": None}},
)  # fmt: skip


def places_in(node: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, child in items:
        yield (*path, key)
        yield from places_in(child, (*path, key))


@pytest.mark.parametrize("name", ["epsilon", "actor with a normalizer", "ensemble thompson", "drifting"])
def test_whatever_a_policy_file_says_it_is_loaded_or_refused_as_a_storage_error(name: str, tmp_path: Path):
    save_policy(POLICIES[name](), tmp_path / "p")
    written = (tmp_path / "p" / "policy.json").read_bytes()
    random = np.random.default_rng(0)
    places = list(places_in(json.loads(written)["policy"]))
    for index in random.choice(len(places), 40):
        *path, last = places[index]
        value = ANYTHING[random.integers(len(ANYTHING))]

        def change(described: Any, path: Any = path, last: Any = last, value: Any = value) -> Any:
            functools.reduce(lambda node, key: node[key], path, described)[last] = value
            return described

        (tmp_path / "p" / "policy.json").write_bytes(written)
        rewrite(tmp_path / "p", change)
        with contextlib.suppress(StorageError):
            load_policy(tmp_path / "p")


def test_what_is_wrong_in_a_policy_file_is_named_by_file_and_place(tmp_path: Path):
    def wrong_activation(described: Any) -> Any:
        described["arguments"]["q_network"]["network"]["arguments"]["activation_fn"] = {"callable": "os.system"}
        return described

    save_policy(q_policy(), tmp_path / "p")
    rewrite(tmp_path / "p", wrong_activation)
    with pytest.raises(
        StorageError, match=r"p/policy\.json: policy\.q_network\.activation_fn is not described(?s:.*)os\.sys"
    ):
        load_policy(tmp_path / "p")


# Files of earlier versions.

WRITTEN = Path(__file__).parents[1] / "files" / "0.1" / "policies"


@pytest.mark.parametrize("name", sorted(path.stem for path in WRITTEN.glob("*.json")))
def test_policy_written_by_version_0_1_acts_as_it_did(name: str):
    policy = load_policy(WRITTEN / name)
    written = json.loads((WRITTEN / f"{name}.json").read_text())
    observation_spec = policy.time_step_spec.observation
    leaves = [
        np.asarray(leaf, spec.dtype)
        for leaf, spec in zip(written["observation"], specs.flatten(observation_spec), strict=True)
    ]
    rows = len(leaves[0])
    step = TimeStep(
        step_type=np.full(rows, StepType.MID, np.int32),
        reward=np.zeros(rows, np.float32),
        discount=np.ones(rows, np.float32),
        observation=specs.pack_like(observation_spec, leaves),
    )
    state = policy.get_initial_state(rows)
    first = policy.action(step, state, seed=1)
    second = policy.action(step, first.state, seed=2)
    for taken, expected in ((first, written["first"]), (second, written["second"])):
        for ours, theirs in zip(jax.tree.leaves(taken), expected, strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)
    distribution = policy.distribution(step, state).action
    parts = jax.tree.leaves(distribution, is_leaf=lambda node: hasattr(node, "probs"))
    found = [part.probs for part in parts if hasattr(part, "probs")]
    for ours, theirs in zip(found, written["probabilities"], strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-6)
