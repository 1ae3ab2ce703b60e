import numpy as np
import pytest

from mamsf_keras.data.batches.stream import Stream
from mamsf_keras.predictors.predictor import Predictor
from tests.toys import array_dataset, image_dataset

pytestmark = pytest.mark.no_keras


class MeanGray(Predictor):
    """Predicts the mean gray value of an image, and remembers the sizes of its batches."""

    findings = ("A",)
    image_size = None

    def __init__(self):
        self.sizes = []

    def predict(self, images):
        self.sizes.append(len(images))
        return images.mean(axis=(1, 2), dtype=np.float64) / 255


def test_every_image_is_predicted_once_in_row_order():
    images = np.random.default_rng(0).integers(0, 256, (11, 8, 8), dtype=np.uint8)
    predictor = MeanGray()
    outputs = predictor.predict_stream(Stream(array_dataset(images, np.zeros((11, 1)), ("A",)), 8, 4), progress=False)
    np.testing.assert_allclose(outputs[:, 0], images.reshape(11, -1).mean(axis=1) / 255)
    assert predictor.sizes == [4, 4, 4]  # the last batch is filled up


def test_damaged_image_is_named(tmp_path):
    dataset = image_dataset(tmp_path, images=3, A=[0, 1, 0])
    (tmp_path / "1.png").write_bytes(b"no image")
    with pytest.raises(ValueError, match=r"1\.png cannot be read as an image"):
        MeanGray().predict_stream(Stream(dataset, 16, 2))


def test_outputs_are_the_probabilities_unless_a_model_gives_more():
    images = np.full((2, 8, 8, 1), 51, np.uint8)
    outputs = MeanGray().outputs(images)
    assert list(outputs) == ["probabilities"]
    np.testing.assert_allclose(outputs["probabilities"], [[0.2], [0.2]])
