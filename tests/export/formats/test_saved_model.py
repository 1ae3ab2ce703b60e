import numpy as np
import pytest

from tests.toys import toy_backbone

pytestmark = pytest.mark.tensorflow

IMAGES = np.random.default_rng(0).integers(0, 256, (5, 32, 32, 1)).astype("float32")


@pytest.fixture
def served(tmp_path):
    """The model, the folder of its SavedModel, and its signature."""
    import tensorflow as tf

    from mamsf_keras import MAMSFNet
    from mamsf_keras.export.formats.saved_model import ServingModule, write_saved_model

    model = MAMSFNet(toy_backbone(), ("Mass", "Pleural_Thickening"))
    write_saved_model(ServingModule(model), tmp_path / "1")
    return model, tmp_path / "1", tf.saved_model.load(str(tmp_path / "1")).signatures["serving_default"]


def test_every_output_has_the_batch_as_first_dimension(served):
    import tensorflow as tf

    model, _, signature = served
    for batch in (1, 5):
        outputs = signature(images=tf.constant(IMAGES[:batch]))
        np.testing.assert_allclose(outputs["probabilities"], model.predict(IMAGES[:batch], verbose=0), atol=1e-6)
        assert outputs["findings"].numpy().tolist() == [[b"Mass", b"Pleural_Thickening"]] * batch


def test_another_image_size_is_an_error(served):
    import tensorflow as tf

    with pytest.raises(Exception, match="48"):
        served[2](images=tf.zeros((2, 48, 48, 1)))


def test_each_value_is_stored_once(served):
    model, folder, _ = served
    stored = (folder / "variables" / "variables.data-00000-of-00001").stat().st_size
    values = sum(variable.value.shape.num_elements() * 4 for variable in model.variables)
    assert values <= stored < values * 1.1 + 4096
