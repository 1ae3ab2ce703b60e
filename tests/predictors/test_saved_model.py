import numpy as np
import pytest

from tests.toys import toy_backbone

pytestmark = pytest.mark.tensorflow

IMAGES = np.random.default_rng(0).integers(0, 256, (5, 32, 32, 1), dtype=np.uint8)


@pytest.mark.parametrize("size", [32, None])
def test_loads_what_the_writer_wrote(tmp_path, size):
    from mamsf_keras import MAMSFNet
    from mamsf_keras.export.formats.saved_model import ServingModule, write_saved_model
    from mamsf_keras.predictors.saved_model import SavedModelPredictor

    model = MAMSFNet(toy_backbone(size), ("Mass", "Edema"), use_fusion=False)
    write_saved_model(ServingModule(model), tmp_path / "1")
    predictor = SavedModelPredictor(tmp_path / "1")
    assert (predictor.findings, predictor.image_size) == (("Mass", "Edema"), size)
    np.testing.assert_allclose(predictor.predict(IMAGES), model.predict(IMAGES, verbose=0), atol=1e-6)
    assert list(predictor.outputs(IMAGES)) == ["probabilities"]


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
