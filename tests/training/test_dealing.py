"""How many programs share the seeds of a population."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import pytest

from jaxdaw.training import _dealing


@pytest.mark.parametrize(
    ("seeds", "together", "expected"),
    [(1, 8, 1), (2, 8, 2), (16, 8, 2), (17, 8, 4), (64, 8, 8), (30, 16, 2)],
)
def test_programs_are_a_multiple_of_the_cores_and_no_more_than_seeds(monkeypatch, seeds, together, expected):
    monkeypatch.setattr(_dealing, "cores", lambda: 2)
    assert _dealing.num_programs(seeds, together) == expected


def test_elsewhere_than_on_a_cpu_one_program_holds_all(monkeypatch):
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert _dealing.num_programs(64, 8) == 1


@pytest.mark.parametrize(
    ("function", "waits"),
    [
        (lambda x: jnp.linalg.qr(x, mode="r"), True),
        (jnp.linalg.cholesky, True),
        (lambda x: jax.scipy.linalg.solve_triangular(x, x), True),
        (lambda x: x @ x, False),
    ],
)
def test_programs_whose_kernels_wait_for_cores_are_known(function, waits):
    assert _dealing.waits_for_cores(jax.jit(jax.vmap(function)).lower(jnp.ones((3, 4, 4)))) == waits
