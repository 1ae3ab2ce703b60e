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
