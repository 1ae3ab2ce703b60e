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
