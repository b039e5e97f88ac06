"""Settings that make the tests faster: a shared compilation cache, and fewer garbage collections."""

import gc

import jax
import pytest


def pytest_configure(config: pytest.Config) -> None:
    # Many tests build the same programs, and so do the workers and the next run: compiled programs are kept on disk.
    jax.config.update("jax_compilation_cache_dir", str(config.cache.mkdir("jax")))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
    # Tracing allocates many objects that live on: by default the collector walks the heap every 700 of them.
    gc.freeze()
    gc.set_threshold(50_000, 10, 10)
