"""Lengths, requests and memory."""

import os

import pytest

from jaxdaw.errors import ConfigError
from jaxdaw.replay import _limits


@pytest.mark.parametrize(
    ("capacity", "num_envs", "length"), [(10, 3, 3), (2, 1, 2), (7, 2, 3), (1_000_000, 8, 125_000)]
)
def test_ring_length_rounds_down(capacity, num_envs, length):
    assert _limits.ring_length(capacity, num_envs) == length


@pytest.mark.parametrize(("capacity", "num_envs"), [(1, 1), (0, 1), (-5, 1), (5, 3), (10, 0), (10, -2)])
def test_ring_length_refuses_fewer_than_two_steps_each(capacity, num_envs):
    with pytest.raises(ConfigError, match=r"capacity leaves no room|num_envs is out of range"):
        _limits.ring_length(capacity, num_envs)


def test_require_memory_names_both_sides_and_a_capacity_that_fits():
    with pytest.raises(ConfigError) as caught:
        _limits.require_memory(needed=4_000, free=1_000, capacity=8)
    assert "at most 1000 bytes" in str(caught.value)
    assert "got  4000 bytes" in str(caught.value)
    assert "capacity=2 " in str(caught.value)  # 8 frames x 1000 / 4000
    _limits.require_memory(needed=1_000, free=1_000, capacity=8)
    _limits.require_memory(needed=4_000, free=None, capacity=8)


def test_free_host_bytes_reads_what_linux_reports(tmp_path, monkeypatch):
    meminfo = tmp_path / "meminfo"
    meminfo.write_text("MemTotal:       16 kB\nMemAvailable:    3 kB\n")
    monkeypatch.setattr(_limits, "_MEMINFO", meminfo)
    assert _limits.free_host_bytes() == 3 * 1024


def test_free_host_bytes_asks_the_system_elsewhere(tmp_path, monkeypatch):
    monkeypatch.setattr(_limits, "_MEMINFO", tmp_path / "absent")
    monkeypatch.setattr(os, "sysconf", {"SC_AVPHYS_PAGES": 5, "SC_PAGE_SIZE": 4096}.__getitem__)
    assert _limits.free_host_bytes() == 5 * 4096

    def unknown(name):
        raise ValueError(name)

    monkeypatch.setattr(os, "sysconf", unknown)
    assert _limits.free_host_bytes() is None
