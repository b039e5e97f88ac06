"""What all tests share: shapes are checked where they are annotated, and compiled programs are kept.

Many tests build the same programs, and so do the workers and the next run.
"""

import os

import jax
import jaxtyping
import pytest

jaxtyping.install_import_hook(["jaxdaw.math", "jaxdaw.distributions"], "shape_checks.checked")


def pytest_configure(config: pytest.Config) -> None:
    os.environ["XDG_CONFIG_HOME"] = str(config.cache.mkdir("config"))  # runs are signed with a key of the tests' own
    jax.config.update("jax_compilation_cache_dir", str(config.cache.mkdir("jax")))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
