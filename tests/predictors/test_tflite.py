import numpy as np
import pytest

from tests.toys import toy_backbone

pytestmark = pytest.mark.tensorflow

IMAGES = np.random.default_rng(0).integers(0, 256, (5, 32, 32, 1), dtype=np.uint8)


def test_loads_what_the_writer_wrote_in_batches_of_any_size(tmp_path):
    from mamsf_keras import MAMSFNet
    from mamsf_keras.export.formats.saved_model import ServingModule
    from mamsf_keras.export.formats.tflite import write_tflite
    from mamsf_keras.predictors.tflite import TFLitePredictor

    model = MAMSFNet(toy_backbone(), ("Mass", "Edema"))
    write_tflite(ServingModule(model), tmp_path / "model.tflite")
    predictor = TFLitePredictor(tmp_path / "model.tflite")
    assert (predictor.findings, predictor.image_size) == (("Mass", "Edema"), 32)
    expected = model.predict(IMAGES, verbose=0)
    for batch in (5, 1, 3):
        np.testing.assert_allclose(predictor.predict(IMAGES[:batch]), expected[:batch], atol=1e-6)
