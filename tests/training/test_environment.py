import importlib.metadata
import json
import platform
import subprocess
import sys
from pathlib import Path

import keras
import pytest

import mamsf_keras
from mamsf_keras import open_dataset, prepare
from mamsf_keras.training.environment import describe_environment
from tests.conftest import BACKEND
from tests.toys import rewrite_table

ROOT = Path(__file__).parents[2]


def test_versions_backend_and_data(shared_nih):
    dataset = open_dataset(shared_nih)
    found = json.loads(json.dumps(describe_environment(dataset)))
    assert found["mamsf-keras"] == mamsf_keras.__version__
    assert found["python"] == ".".join(map(str, sys.version_info[:3]))
    assert found["platform"] == platform.platform()
    assert found["packages"]["keras"] == keras.__version__
    assert found["packages"]["numpy"] == importlib.metadata.version("numpy")
    assert (found["backend"], found["floatx"], found["image_data_format"]) == (BACKEND, "float32", "channels_last")
    assert len(found["devices"]) >= 1
    assert found["data"]["images"] == 80


@pytest.mark.tensorflow
def test_data_are_identified_by_their_content_and_not_by_how_they_are_stored(small_nih, tmp_path):
    """A cache has the fingerprint of the originals; with a different label, the fingerprint differs."""
    prepare(open_dataset(small_nih), tmp_path / "cache", image_size=32, workers=1)
    originals, cache = (describe_environment(open_dataset(folder)) for folder in (small_nih, tmp_path / "cache"))
    assert originals["data"] == cache["data"] and originals["data_kind"] == cache["data_kind"] == "nih"
    rewrite_table(small_nih, lambda rows: [*rows[:-1], [rows[-1][0], "Hernia", *rows[-1][2:]]])
    changed = describe_environment(open_dataset(small_nih))
    assert changed["data"]["sha256"] != cache["data"]["sha256"] and changed["data"]["images"] == 80


@pytest.mark.tensorflow
def test_commit_equals_that_of_the_checkout(shared_nih):
    if not (ROOT / ".git").exists():
        pytest.skip("not a checkout")
    git = ["git", "-C", str(ROOT)]
    commit = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
    changes = subprocess.run([*git, "diff", "HEAD", "--quiet"]).returncode
    assert describe_environment(open_dataset(shared_nih))["git"] == commit + ("-dirty" if changes else "")
