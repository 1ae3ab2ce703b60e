import zipfile

import numpy as np
import pytest

from tests.conftest import toy_backbone

pytestmark = pytest.mark.tensorflow

IMAGES = np.random.default_rng(0).integers(0, 256, (64, 32, 32, 1)).astype("float32")


@pytest.fixture
def model():
    from mamsf_keras import MAMSFNet

    model = MAMSFNet(toy_backbone(), ("Mass", "Pleural_Thickening"))
    for weight in model.anchor.shadow.weights:
        weight.assign(weight + 0.3)
    return model


def test_exports_reload_and_agree_with_keras(tmp_path, model):
    import tensorflow as tf

    from mamsf_keras.export.export import export_model
    from mamsf_keras.export.tflite import load_tflite

    out = tmp_path / "models" / "toy"
    result = export_model(model, IMAGES, out)
    assert {name: path for name, (path, _) in result.items()} == {
        "saved-model": out / "1",
        "tflite": out / "toy-1.tflite",
    }
    expected = model.predict(IMAGES, verbose=0)
    signature = tf.saved_model.load(str(out / "1")).signatures["serving_default"]
    for batch in (1, 5):
        outputs = signature(images=tf.constant(IMAGES[:batch]))
        np.testing.assert_allclose(outputs["probabilities"], expected[:batch], atol=1e-6)
        assert outputs["findings"].numpy().tolist() == [[b"Mass", b"Pleural_Thickening"]] * batch
        np.testing.assert_allclose(load_tflite(out / "toy-1.tflite")(IMAGES[:batch]), expected[:batch], atol=1e-6)
    assert zipfile.ZipFile(out / "toy-1.tflite").read("labels.txt") == b"Mass\nPleural_Thickening\n"
    assert sorted(path.name for path in out.iterdir()) == ["1", "toy-1.tflite"]


def test_another_image_size_is_an_error(tmp_path, model):
    from mamsf_keras.export.saved_model import ServingModule, load_saved_model, write_saved_model

    write_saved_model(ServingModule(model), tmp_path / "served")
    with pytest.raises(Exception, match="48"):
        load_saved_model(tmp_path / "served")(np.zeros((2, 48, 48, 1), np.float32))


def test_next_version_leaves_the_earlier_ones(tmp_path, model):
    from mamsf_keras.export.export import export_model

    (tmp_path / "toy" / "7").mkdir(parents=True)
    (tmp_path / "toy" / "7" / "mine").write_text("mine")
    paths = [export_model(model, IMAGES, tmp_path / "toy", ["saved-model"])["saved-model"][0].name for _ in range(2)]
    assert paths == ["8", "9"] and (tmp_path / "toy" / "7" / "mine").read_text() == "mine"


@pytest.mark.parametrize("formats", ["saved-model", ["savedmodel"]])
def test_unknown_formats_are_refused(tmp_path, model, formats):
    from mamsf_keras.export.export import export_model

    with pytest.raises(ValueError, match="`formats` must be a list of saved-model, tflite"):
        export_model(model, IMAGES, tmp_path / "toy", formats)
    assert list(tmp_path.iterdir()) == []


def test_each_value_is_stored_once(tmp_path, model):
    from mamsf_keras.export.export import export_model

    export_model(model, IMAGES, tmp_path / "toy", ["saved-model"])
    stored = (tmp_path / "toy" / "1" / "variables" / "variables.data-00000-of-00001").stat().st_size
    values = sum(variable.value.shape.num_elements() * 4 for variable in model.variables)
    assert values <= stored < values * 1.1 + 4096


def test_an_export_that_differs_is_not_left_there(tmp_path, model, monkeypatch):
    from mamsf_keras.export import saved_model
    from mamsf_keras.export.export import export_model

    true = saved_model.load_saved_model
    monkeypatch.setattr(saved_model, "load_saved_model", lambda folder: lambda images: true(folder)(images) + 2e-4)
    with pytest.raises(
        ValueError, match=r"The saved-model export is not left there.*largest difference from Keras 0.0002"
    ):
        export_model(model, IMAGES, tmp_path / "toy")
    assert list(tmp_path.iterdir()) == []


def test_a_model_that_answers_the_same_to_everything_is_refused(tmp_path, model):
    from mamsf_keras.export.export import export_model

    model.classifier.kernel.assign(np.zeros(model.classifier.kernel.shape))
    with pytest.raises(ValueError, match="smallest spread over images 0. .* train it further"):
        export_model(model, IMAGES, tmp_path / "toy", ["saved-model"])
