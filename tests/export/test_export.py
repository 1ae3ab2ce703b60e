import keras
import numpy as np
import pytest

from mamsf_keras.predictors.predictor import Predictor
from tests.runs import toy_config
from tests.toys import toy_backbone

pytestmark = pytest.mark.tensorflow

IMAGES = np.random.default_rng(0).integers(0, 256, (64, 32, 32, 1), dtype=np.uint8)


@pytest.fixture
def model():
    from mamsf_keras import MAMSFNet

    model = MAMSFNet(toy_backbone(), ("Mass", "Pleural_Thickening"))
    for weight in model.anchor.shadow.weights:
        weight.assign(weight + 0.3)
    return model


def test_exports_reload_and_agree_with_keras(tmp_path, model):
    from mamsf_keras.export.export import export_model
    from mamsf_keras.predictors.saved_model import SavedModelPredictor
    from mamsf_keras.predictors.tflite import TFLitePredictor

    out = tmp_path / "models" / "toy"
    result = export_model(model, IMAGES, out)
    assert {name: path for name, (path, _) in result.items()} == {
        "saved-model": out / "1",
        "tflite": out / "toy-1.tflite",
    }
    expected = model.predict(IMAGES, verbose=0)
    for predictor in (SavedModelPredictor(out / "1"), TFLitePredictor(out / "toy-1.tflite")):
        np.testing.assert_allclose(predictor.predict(IMAGES), expected, atol=1e-6)
    assert sorted(path.name for path in out.iterdir()) == ["1", "toy-1.tflite"]


def test_run_is_exported_from_its_folder(small_nih, tmp_path, model):
    from mamsf_keras import RunDir, export_run

    with RunDir.create(tmp_path / "run", toy_config(small_nih)) as run:
        model.save(run.model("best"))
    (path, parity) = export_run(run.path, tmp_path / "toy", ["saved-model"])["saved-model"]
    assert path == tmp_path / "toy" / "1" and parity.passes


def test_next_version_keeps_the_earlier_ones(tmp_path, model):
    from mamsf_keras.export.export import export_model

    (tmp_path / "toy" / "7").mkdir(parents=True)
    (tmp_path / "toy" / "7" / "mine").write_text("mine")
    (tmp_path / "toy" / ".export-0123abcd" / "saved-model").mkdir(parents=True)  # what a killed export leaves
    (tmp_path / "toy" / ".export-0123abcd.lock").touch()
    paths = [export_model(model, IMAGES, tmp_path / "toy", ["saved-model"])["saved-model"][0].name for _ in range(2)]
    assert paths == ["8", "9"] and (tmp_path / "toy" / "7" / "mine").read_text() == "mine"
    assert sorted(path.name for path in (tmp_path / "toy").iterdir()) == ["7", "8", "9"]


@pytest.mark.parametrize("formats", ["saved-model", ["savedmodel"]])
def test_unknown_formats_are_refused(tmp_path, model, formats):
    from mamsf_keras.export.export import export_model

    with pytest.raises(ValueError, match="`formats` must be a list of saved-model, tflite"):
        export_model(model, IMAGES, tmp_path / "toy", formats)
    assert list(tmp_path.iterdir()) == []


class Shifted(Predictor):
    """The probabilities of a Keras model, off by 0.0002, in batches that it remembers."""

    findings, image_size = ("Mass", "Pleural_Thickening"), 32

    def __init__(self, model):
        self.model = model
        self.sizes = []

    def predict(self, images):
        self.sizes.append(len(images))
        return keras.ops.convert_to_numpy(self.model(images.astype("float32"), training=False)) + 2e-4


def test_export_that_differs_is_refused_after_batches_of_several_sizes(model):
    from mamsf_keras.export.export import check_parity

    predictor = Shifted(model)
    with pytest.raises(
        ValueError, match=r"The tflite export differs too much and is not published: largest difference .* 0.0002"
    ):
        check_parity("tflite", model.predict(IMAGES, verbose=0), predictor, IMAGES)
    assert predictor.sizes == [1, 7, 32, 1, 7, 16]


def test_model_that_answers_the_same_to_everything_is_refused_and_nothing_is_left(tmp_path, model):
    from mamsf_keras.export.export import export_model

    model.classifier.kernel.assign(np.zeros(model.classifier.kernel.shape))
    with pytest.raises(ValueError, match="smallest spread over images 0. .* train it further"):
        export_model(model, IMAGES, tmp_path / "toy", ["saved-model"])
    assert list(tmp_path.iterdir()) == []
