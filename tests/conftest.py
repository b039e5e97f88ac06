"""What all tests share: shapes are checked where they are annotated, programs are kept, garbage is collected seldom."""

import gc
import os

import hypothesis
import jax
import jaxtyping
import pytest

# The first example of a test imports and compiles, which may take longer than Hypothesis allows for one.
hypothesis.settings.register_profile("no_deadline", deadline=None)
hypothesis.settings.load_profile("no_deadline")

jaxtyping.install_import_hook(["jaxdaw.math", "jaxdaw.distributions"], "shape_checks.checked")


def pytest_configure(config: pytest.Config) -> None:
    os.environ["XDG_CONFIG_HOME"] = str(config.cache.mkdir("config"))  # runs are signed with a key of the tests' own
    # Many tests build the same programs, and so do the workers and the next run: compiled programs are kept on disk.
    jax.config.update("jax_compilation_cache_dir", str(config.cache.mkdir("jax")))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
    # Tracing allocates many objects that live on: by default the collector walks the heap every 700 of them.
    gc.freeze()
    gc.set_threshold(50_000, 10, 10)
