import json

import pytest

from jaxdaw.errors import StorageError
from jaxdaw.storage import write_json
from jaxdaw.training import read_config, resume, run_policy, run_recipe, versions
from jaxdaw.training._run_directory import command, is_own, write_config


def test_versions_name_what_a_run_depends_on():
    assert {"python", "platform", "device", "jaxdaw", "jax", "jaxlib", "flax", "optax", "gymnasium", "numpy"} <= set(
        versions()
    )


def test_a_directory_without_a_run_is_named(tmp_path):
    with pytest.raises(StorageError, match="holds no run"):
        read_config(tmp_path)


RUN = {"format": 2, "algorithm": "dqn", "environment": "E-v0", "recipe": None, "seed": 0, "options": {}, "changed": {}}


@pytest.mark.parametrize(
    "text",
    [
        b"", b"{", b"{}", b"[1]", b"null", b"\xff\xfe", b"[" * 10_000, b'{"a": ' * 10_000, b'{"format": 1e400}',
        b'{"format": 1, "format": 1}', b'{"format": "2"}', b'{"format": true}', b'{"format": 1}', b'{"format": 3}',
        b"PK\x03\x04", *(json.dumps({**RUN, name: value}).encode() for name, value in (
            ("algorithm", 3), ("environment", []), ("seed", "0"), ("seed", True), ("options", None), ("changed", []))),
    ],
)  # fmt: skip
@pytest.mark.parametrize("reader", [read_config, resume, run_policy, run_recipe])
def test_a_config_that_is_none_is_named(text, reader, tmp_path):
    (tmp_path / "config.json").write_bytes(text)
    with pytest.raises(StorageError, match=r"config\.json"):
        reader(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["config.json"]


@pytest.mark.parametrize(
    "change",
    [
        {"options": {"stpes": 3}}, {"options": {"steps": "3"}}, {"options": {"steps": -3}},
        {"options": {"steps": True}}, {"options": {"fc_layer_params": [1.5]}}, {"options": {"network": "mlp"}},
        {"changed": {"steps": []}}, {"algorithm": "sarsa"}, {"seeds": 0}, {"seeds": "2"}, {"rows": "x"},
        {"recipe": []}, {"recipe": {"id": 3}}, {"recipe": {"idd": "E"}}, {"recipe": {"id": "E-v0", "wrappers": [3]}},
        {"recipe": {"id": "E-v0", "max_episode_steps": "x"}},
    ],
)  # fmt: skip
def test_a_config_with_other_contents_than_a_run_has_is_named(change, tmp_path):
    write_json(tmp_path / "config.json", {**RUN, "recipe": {"id": "jax:CartPole-v1"}, **change})
    before = (tmp_path / "config.json").read_bytes()
    with pytest.raises(StorageError, match=r"config\.json"):
        resume(tmp_path)
    assert (tmp_path / "config.json").read_bytes() == before


def test_a_config_that_was_changed_by_hand_is_refused(tmp_path):
    write_config(tmp_path, RUN)
    path = tmp_path / "config.json"
    path.write_text(path.read_text().replace("E-v0", "F-v0"))
    with pytest.raises(StorageError, match="changed by hand"):
        read_config(tmp_path)


def test_only_its_own_user_signs_a_run(tmp_path, monkeypatch):
    write_config(tmp_path, RUN)
    assert is_own(read_config(tmp_path))
    write_json(tmp_path / "config.json", {**read_config(tmp_path), "environment": "F-v0"})
    assert not is_own(read_config(tmp_path))
    write_config(tmp_path, RUN)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    assert not is_own(read_config(tmp_path))
    write_config(tmp_path, RUN)
    key = tmp_path / "config" / "jaxdaw" / "key"
    assert key.stat().st_mode & 0o777 == 0o600
    key.chmod(0o644)  # whoever can read it can sign
    assert not is_own(read_config(tmp_path))


def test_commands_are_quoted_for_the_shell():
    assert command("jaxdaw", "resume", "runs/it's $HOME") == "jaxdaw resume 'runs/it'\"'\"'s $HOME'"
