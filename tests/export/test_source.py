import numpy as np
import pytest

from mamsf_keras import RunDir
from mamsf_keras.data.batches.stream import Stream
from mamsf_keras.export.source import Source, require_operating_point, run_calibration, write_images
from mamsf_keras.storage import checksum
from tests.exports import CALIBRATION, IMAGES, NAMES
from tests.toys import array_dataset

pytestmark = pytest.mark.no_keras


def test_every_image_is_written_once_in_row_order(tmp_path):
    stream = Stream(array_dataset(IMAGES[:11, ..., 0], np.zeros((11, 1)), ("A",)), 32, 4)
    write_images(tmp_path / "images.npy", stream)
    np.testing.assert_array_equal(np.load(tmp_path / "images.npy"), IMAGES[:11])


def test_calibration_of_another_model_is_not_used(tmp_path, caplog):
    run = RunDir(tmp_path)
    run.model("best").write_text("model")
    assert run_calibration(run) is None and "lack the outputs calibrated and positive" in caplog.text
    CALIBRATION.save(run.calibration)
    assert run_calibration(run) is None
    type(CALIBRATION)(CALIBRATION.findings, checksum(run.model("best")), 70, 70).save(run.calibration)
    assert run_calibration(run).findings == CALIBRATION.findings


def test_coefficients_are_in_the_order_of_the_findings(tmp_path):
    source = Source(tmp_path, NAMES, np.zeros((1, 3)), CALIBRATION)
    assert source.platt["slope"][:2] == [2.0, 0.5] and np.isnan(source.platt["slope"][2])
    assert source.platt["threshold"] == [0.45, 0.5, np.inf]
    assert Source(tmp_path, NAMES, np.zeros((1, 3))).platt is None


def test_operating_points_are_checked():
    with pytest.raises(ValueError, match="`operating_point` must be one of youden, sensitivity_90, f1. Received: "):
        require_operating_point("best")
