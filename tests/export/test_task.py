import os

import numpy as np
import pytest

from mamsf_keras.export.task import REFERENCE, Task
from mamsf_keras.export.worker import size_of
from tests.exports import CALIBRATION, IMAGES, toy_model

pytestmark = pytest.mark.tensorflow


@pytest.fixture
def task(tmp_path):
    """Returns a function that makes a task of the toy."""
    toy_model().save(tmp_path / "model.keras")
    np.save(tmp_path / "images.npy", IMAGES)
    CALIBRATION.save(tmp_path / "calibration.json")
    paths = [
        str(tmp_path / name) for name in ("model.keras", "written", "images.npy", "images.npy", "calibration.json")
    ]
    (tmp_path / "work").mkdir()
    return lambda name: Task(name, *paths, work=str(tmp_path / "work"))


@pytest.fixture
def hide(tmp_path, monkeypatch):
    """Returns a function that hides a module from the processes that are started later."""

    def hide(module):
        (tmp_path / "site").mkdir()
        (tmp_path / "site" / "sitecustomize.py").write_text(f"import sys; sys.modules[{module!r}] = None")
        monkeypatch.setenv("PYTHONPATH", str(tmp_path / "site"), prepend=os.pathsep)

    return hide


def test_conversion_runs_in_another_process_and_its_warnings_are_logged(tmp_path, task, hide, caplog):
    hide("tensorflow_serving")
    outputs, measured = task("saved-model").run()
    [record] = caplog.records
    assert record.levelname == "WARNING" and "the SavedModel has no warm-up requests" in record.message
    assert record.name == "mamsf_keras.export.formats.saved_model" and set(measured) == {"size_bytes", "latency_ms"}
    assert not list((tmp_path / "work").iterdir())
    assert set(outputs) == {"logits", "probabilities", "calibrated", "positive"}
    np.testing.assert_allclose(outputs["probabilities"], toy_model().predict(IMAGES, verbose=0), atol=1e-4)
    assert (tmp_path / "written" / "saved_model.pb").is_file()
    assert measured["size_bytes"] == size_of(tmp_path / "written") > 1000
    assert [sorted(row) for row in measured["latency_ms"].values()] == [["median", "p99", "runs"]] * 2


def test_errors_of_the_process_are_passed_on(tmp_path, task):
    (tmp_path / "model.keras").write_text("no model")
    with pytest.raises(ValueError, match=r"^reference: .*model.keras cannot be loaded as a .keras model"):
        task(REFERENCE).run()


def test_kinds_of_errors_are_kept(tmp_path, task, hide):
    (tmp_path / "model.keras").write_text("no model")
    hide("mamsf_keras.predictors.keras_model")
    with pytest.raises(ImportError, match=r"^reference: .*mamsf_keras.predictors.keras_model"):
        task(REFERENCE).run()
    (tmp_path / "images.npy").unlink()
    with pytest.raises(OSError, match=r"^reference: .*No such file or directory: .*images.npy"):
        task(REFERENCE).run()
