import keras
import numpy as np
import pytest

from tests.exports import IMAGES, toy_model

pytestmark = pytest.mark.tensorflow


def test_folder_loads_as_keras_loads_one_from_hugging_face(tmp_path):
    from mamsf_keras.export.formats.keras import write_keras
    from mamsf_keras.export.serving_module import ServingModule

    model = toy_model()
    write_keras(ServingModule(model), tmp_path / "model")
    assert {"config.json", "metadata.json", "model.weights.h5"} <= {
        path.name for path in (tmp_path / "model").iterdir()
    }
    loaded = keras.saving.load_model(tmp_path / "model")
    np.testing.assert_allclose(loaded.predict(IMAGES, verbose=0), model.predict(IMAGES, verbose=0), atol=1e-6)
    assert getattr(loaded, "optimizer", None) is None
