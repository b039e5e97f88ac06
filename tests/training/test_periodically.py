import pytest

from jaxdaw.training import Periodically


@pytest.mark.parametrize(("period", "expected"), [(1, 6), (2, 3), (4, 1), (None, 0)])
def test_the_body_runs_at_multiples_of_the_period(period, expected):
    calls = []
    periodic = Periodically(lambda: calls.append(1), period)
    for _ in range(6):
        periodic()
    assert len(calls) == expected
