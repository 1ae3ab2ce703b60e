import numpy as np
import pytest
from scipy.special import expit

from tests.exports import CALIBRATION, IMAGES, NAMES, by_hand, check_outputs, toy_model

pytestmark = pytest.mark.tensorflow


def written(path, model, **options):
    from mamsf_keras.export.formats.tflite import write_tflite
    from mamsf_keras.export.serving_module import ServingModule
    from mamsf_keras.predictors.tflite import TFLitePredictor

    write_tflite(ServingModule(model, CALIBRATION), path, images=IMAGES, **options)
    return TFLitePredictor(path)


def test_loads_what_the_writer_wrote_in_batches_of_any_size(tmp_path):
    model = toy_model()
    predictor, expected = written(tmp_path / "model.tflite", model), by_hand(model, IMAGES[:5])
    assert (predictor.findings, predictor.image_size) == (NAMES, 32)
    for batch in (5, 1, 3):
        check_outputs(predictor.outputs(IMAGES[:batch]), {name: value[:batch] for name, value in expected.items()})
    np.testing.assert_allclose(predictor.predict(IMAGES[:5]), expected["probabilities"], atol=1e-5)


def test_missing_description_of_an_int8_file_is_named(tmp_path, caplog):
    from mamsf_keras.predictors.tflite import TFLitePredictor

    path = tmp_path / "model.tflite"
    written(path, toy_model(), quantize="int8")
    assert not caplog.records
    (tmp_path / "model.tflite.json").unlink()
    assert set(TFLitePredictor(path).outputs(IMAGES[:2])) == {"logits", "probabilities"}
    assert f"no calibrated probabilities and no decisions: {path}.json is missing" in caplog.text
    assert [record.levelname for record in caplog.records] == ["WARNING"]


def test_description_is_needed_only_by_int8_files(tmp_path, caplog):
    from mamsf_keras.predictors.tflite import TFLitePredictor

    path = tmp_path / "model.tflite"
    written(path, toy_model())
    (tmp_path / "model.tflite.json").unlink()
    assert "calibrated" in TFLitePredictor(path).outputs(IMAGES[:2]) and not caplog.records


def test_int8_file_is_completed_from_the_coefficients_beside_it(tmp_path):
    predictor = written(tmp_path / "model.tflite", toy_model(), quantize="int8")
    outputs = predictor.outputs(IMAGES)
    np.testing.assert_allclose(outputs["probabilities"], expit(outputs["logits"].astype(float)))
    np.testing.assert_allclose(outputs["calibrated"][:, 0], expit(2.0 * outputs["logits"][:, 0].astype(float) + 0.3))
    np.testing.assert_array_equal(outputs["positive"], outputs["probabilities"] >= [0.45, 0.5, np.inf])
    assert np.isnan(outputs["calibrated"][:, 2]).all() and outputs["positive"].any()
