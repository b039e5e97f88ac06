"""The Distribution protocol, and annotated shapes, which are checked while tests run."""

import jax
import jax.numpy as jnp
import jaxtyping
import pytest

from jaxdaw import distributions
from jaxdaw.distributions import Distribution, is_distribution

EVERY = {
    "boltzmann": lambda: distributions.Boltzmann(jnp.zeros((5, 3)), temperature=0.5),
    "categorical": lambda: distributions.Categorical(jnp.zeros((5, 3))),
    "deterministic": lambda: distributions.Deterministic(jnp.zeros((5, 2)), event_ndims=1),
    "epsilon_greedy": lambda: distributions.EpsilonGreedy(jnp.zeros((5, 3)), epsilon=0.5),
    "greedy": lambda: distributions.Greedy(jnp.zeros((5, 3))),
    "independent": lambda: distributions.Independent(distributions.Categorical(jnp.zeros((5, 2, 3)))),
    "joint": lambda: distributions.Joint({"a": distributions.Categorical(jnp.zeros((5, 3)))}),
    "normal": lambda: distributions.Normal(jnp.zeros((5, 2)), 1.0, event_ndims=1),
    "square_cb": lambda: distributions.SquareCB(jnp.zeros((5, 3)), gamma=0.5),
    "tanh_normal": lambda: distributions.TanhNormal(jnp.zeros((5, 2)), 1.0, event_ndims=1),
    "uniform": lambda: distributions.Uniform(jnp.zeros((5, 2)), jnp.ones((5, 2)), event_ndims=1),
}


def test_every_exported_distribution_is_in_the_table():
    classes = {value for value in vars(distributions).values() if isinstance(value, type) and value is not Distribution}
    assert {type(make()) for make in EVERY.values()} == classes


@pytest.mark.parametrize("make", EVERY.values(), ids=EVERY)
def test_every_distribution_keeps_the_protocol(make):
    distribution = make()
    assert isinstance(distribution, Distribution)
    assert is_distribution(distribution)
    assert distribution.batch_shape == (5,)
    sample, mode = distribution.sample(jax.random.key(0), (4,)), distribution.mode()
    assert jax.tree.map(lambda x: x.shape, sample) == jax.tree.map(lambda x: (4, *x.shape), mode)
    assert distribution.log_prob(mode).shape == (5,)
    assert distribution.entropy().shape == (5,)


def test_arrays_and_specs_are_no_distributions():
    assert not any(map(is_distribution, (jnp.zeros(3), 1.0, (), {"log_prob": 1})))


def test_annotated_shapes_are_checked_while_tests_run():
    categorical = distributions.Categorical(jnp.zeros((5, 3)))
    with pytest.raises(jaxtyping.TypeCheckError, match=r"Real\[.*'\*rows'\]"):
        categorical.sample_from_uniform("half")  # type: ignore[arg-type]  # on purpose
