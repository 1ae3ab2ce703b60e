import keras
import numpy as np
import pytest
from scipy.special import expit

from mamsf_keras import MAMSFNet
from mamsf_keras.data.batches.stream import Stream
from mamsf_keras.explain.heatmap import evidence_maps
from mamsf_keras.predictors.keras_model import KerasPredictor
from mamsf_keras.predictors.predictor import Predictor
from tests.toys import array_dataset, image_dataset, toy_backbone

IMAGES = np.random.default_rng(0).integers(0, 256, (11, 32, 32), dtype=np.uint8)


def test_file_predicts_as_the_model_called_by_hand(tmp_path):
    model = MAMSFNet(toy_backbone(), ("A", "B"))
    model.save(tmp_path / "model.keras")
    predictor = KerasPredictor(tmp_path / "model.keras")
    assert (predictor.findings, predictor.image_size) == (("A", "B"), 32)
    expected = keras.ops.convert_to_numpy(model(IMAGES[..., None].astype("float32"), training=False))
    np.testing.assert_allclose(predictor.predict(IMAGES[..., None]), expected, atol=1e-6)


def test_stream_through_the_pipeline_of_the_backend_is_batch_by_batch():
    predictor = KerasPredictor(MAMSFNet(toy_backbone(), ("A", "B")))
    stream = Stream(array_dataset(IMAGES, np.zeros((11, 2)), ("A", "B")), 32, 4)
    one, two = predictor.predict_stream(stream, progress=False), Predictor.predict_stream(predictor, stream)
    assert one.shape == (11, 2) and one.dtype == np.float64
    np.testing.assert_allclose(one, two, atol=1e-7)


def test_damaged_image_is_named_in_place_of_the_backends_error(tmp_path):
    dataset = image_dataset(tmp_path, images=5, size=32, A=[0, 1, 0, 1, 0])
    (tmp_path / "3.png").write_bytes(b"no image")
    predictor = KerasPredictor(MAMSFNet(toy_backbone(), ("A",)))
    with pytest.raises(ValueError, match=r"3\.png cannot be read as an image"):
        predictor.predict_stream(Stream(dataset, 32, 2), progress=False)


def test_logits_keep_their_digits_where_the_probability_is_near_one(tmp_path):
    model = MAMSFNet(toy_backbone(), ("A", "B"))
    model.classifier.bias.assign([20.0, 0.0])
    model.save(tmp_path / "model", zipped=False)
    predictor = KerasPredictor(tmp_path / "model")
    logits = predictor.logits(IMAGES[..., None])
    np.testing.assert_allclose(logits[:, 0], evidence_maps(model, IMAGES[..., None]).logits[:, 0], atol=1e-4)
    np.testing.assert_allclose(expit(logits), predictor.predict(IMAGES[..., None]), atol=1e-6)
