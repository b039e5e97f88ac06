import json

import pytest

from jaxdaw.errors import StorageError
from jaxdaw.training import read_config, versions


def test_versions_name_what_a_run_depends_on():
    assert {"python", "platform", "device", "jaxdaw", "jax", "jaxlib", "flax", "optax", "gymnasium", "numpy"} <= set(
        versions()
    )


def test_a_directory_without_a_run_is_named(tmp_path):
    with pytest.raises(StorageError, match="holds no run"):
        read_config(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"format": 1}))
    assert read_config(tmp_path) == {"format": 1}
