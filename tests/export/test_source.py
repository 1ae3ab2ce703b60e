import numpy as np
import pytest

from mamsf_keras import RunDir
from mamsf_keras.export.source import Source, existing_calibration, spread_over, write_images
from mamsf_keras.storage import checksum
from tests.exports import CALIBRATION, IMAGES, NAMES
from tests.toys import array_dataset

pytestmark = pytest.mark.no_keras


def test_every_image_is_written_once_in_row_order(tmp_path):
    dataset = array_dataset(np.repeat(IMAGES[:, ..., 0], 2, axis=0)[:101], np.zeros((101, 1)), ("A",))
    path = write_images(tmp_path / "images.npy", dataset, 32)
    np.testing.assert_array_equal(np.load(path), np.repeat(IMAGES, 2, axis=0)[:101])


def test_images_are_spread_evenly():
    dataset = array_dataset(IMAGES[..., 0], np.zeros((70, 1)), ("A",))
    assert spread_over(dataset, 4).table["image"].tolist() == ["0", "23", "46", "69"]
    assert len(spread_over(dataset, 1000).table) == 70


def test_calibration_of_another_model_is_not_used(tmp_path, caplog):
    run = RunDir(tmp_path)
    run.model("best").write_text("model")
    assert existing_calibration(run) is None and "lack the outputs calibrated and positive" in caplog.text
    CALIBRATION.save(run.calibration)
    assert existing_calibration(run) is None
    type(CALIBRATION)(CALIBRATION.findings, checksum(run.model("best")), 70, 70).save(run.calibration)
    assert existing_calibration(run).findings == CALIBRATION.findings


def test_coefficients_are_in_the_order_of_the_findings(tmp_path):
    source = Source(tmp_path, tmp_path, tmp_path, NAMES, np.zeros((1, 3)), CALIBRATION)
    assert source.platt["slope"][:2] == [2.0, 0.5] and np.isnan(source.platt["slope"][2])
    assert source.platt["threshold"] == [0.45, 0.5, np.inf]
    assert Source(tmp_path, tmp_path, tmp_path, NAMES, np.zeros((1, 3))).platt is None
