import numpy as np
import pytest

from tests.exports import CALIBRATION, IMAGES, NAMES, by_hand, check_outputs, toy_model

pytestmark = pytest.mark.tensorflow


@pytest.mark.parametrize("size", [32, None])
def test_loads_what_the_writer_wrote(tmp_path, size):
    from mamsf_keras.export.formats.saved_model import write_saved_model
    from mamsf_keras.export.serving_module import ServingModule
    from mamsf_keras.predictors.saved_model import SavedModelPredictor
    from tests.export.test_decode import Image, encoded

    model = toy_model(size, use_fusion=False)
    write_saved_model(ServingModule(model, CALIBRATION), tmp_path / "1")
    predictor, expected = SavedModelPredictor(tmp_path / "1"), by_hand(model, IMAGES[:5])
    assert (predictor.findings, predictor.image_size) == (NAMES, size)
    check_outputs(predictor.outputs(IMAGES[:5]), expected)
    check_outputs(predictor.outputs_of_files([encoded(Image.fromarray(x[..., 0])) for x in IMAGES[:5]]), expected)
    np.testing.assert_allclose(predictor.predict(IMAGES[:5]), expected["probabilities"], atol=1e-5)


def test_calibrated_outputs_are_passed_on(tmp_path):
    import tensorflow as tf

    from mamsf_keras.predictors.saved_model import SavedModelPredictor

    class Calibrated(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec((None, 32, 32, 1), tf.float32, name="images")])
        def serve(self, images):
            mean = tf.reduce_mean(images, [1, 2]) / 255
            findings = tf.repeat([["Mass"]], tf.shape(images)[0], axis=0)
            return {"probabilities": mean, "calibrated": mean / 2, "positive": mean > 0.5, "findings": findings}

    module = Calibrated()
    tf.saved_model.save(module, str(tmp_path), signatures={"serving_default": module.serve})
    outputs = SavedModelPredictor(tmp_path).outputs(np.stack([IMAGES[0] * 0, IMAGES[0] * 0 + 255]))
    assert {name: values.ravel().tolist() for name, values in outputs.items()} == {
        "probabilities": [0, 1],
        "calibrated": [0, 0.5],
        "positive": [False, True],
    }
