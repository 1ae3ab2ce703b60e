import sys
import zipfile

import numpy as np
import pytest

from mamsf_keras import MAMSFNet
from mamsf_keras.inference.exports import open_export
from tests.toys import toy_backbone

IMAGES = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 1), dtype=np.uint8)


@pytest.fixture
def model():
    return MAMSFNet(toy_backbone(), ("Mass", "Edema"))


def test_keras_file_and_its_unzipped_folder(tmp_path, model):
    model.save(tmp_path / "m.keras")
    with zipfile.ZipFile(tmp_path / "m.keras") as archive:
        archive.extractall(tmp_path / "unzipped")
    expected = model.predict(IMAGES, verbose=0)
    for path in (tmp_path / "m.keras", tmp_path / "unzipped"):
        predictor = open_export(path)
        assert predictor.findings == ("Mass", "Edema")
        np.testing.assert_allclose(predictor.predict(IMAGES), expected, atol=1e-6)


@pytest.mark.tensorflow
def test_saved_model_tflite_and_onnx(tmp_path, model):
    from mamsf_keras.export.formats.onnx import write_onnx
    from mamsf_keras.export.formats.saved_model import ServingModule, write_saved_model
    from mamsf_keras.export.formats.tflite import write_tflite

    write_saved_model(ServingModule(model), tmp_path / "mamsf" / "1")
    write_tflite(ServingModule(model), tmp_path / "m.tflite")
    write_onnx(ServingModule(model), tmp_path / "m.onnx")
    for path in (tmp_path / "mamsf" / "1", tmp_path / "m.tflite", tmp_path / "m.onnx"):
        np.testing.assert_allclose(open_export(path).predict(IMAGES), model.predict(IMAGES, verbose=0), atol=1e-6)
    (tmp_path / "mamsf" / "12").mkdir()
    with pytest.raises(
        ValueError, match=r"mamsf is not a SavedModel. It has versions. Choose one, such as .*mamsf/12\."
    ):
        open_export(tmp_path / "mamsf")


def test_model_of_logits_is_refused(tmp_path):
    MAMSFNet(toy_backbone(), ("Mass",), classifier_activation=None).save(tmp_path / "m.keras")
    with pytest.raises(ValueError, match="returns logits"):
        open_export(tmp_path / "m.keras")


def test_other_files_and_folders_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="The model .*none does not exist"):
        open_export(tmp_path / "none")
    with pytest.raises(ValueError, match="is not a SavedModel. It has no saved_model.pb"):
        open_export(tmp_path)
    for name, words in (("m.h5", "`model` must be a folder or end in .keras, .tflite"), ("m.keras", "damaged")):
        (tmp_path / name).write_bytes(b"text")
        with pytest.raises(ValueError, match=words):
            open_export(tmp_path / name)


@pytest.mark.tensorflow
@pytest.mark.parametrize("content", [b"", b"text", b"\x08\x07" * 400])
@pytest.mark.parametrize("name", ["m.onnx", "m.tflite", "mamsf/saved_model.pb"])
def test_damaged_export_is_named(tmp_path, name, content):
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    path = path.parent if path.suffix == ".pb" else path
    with pytest.raises((ValueError, OSError)) as raised:
        open_export(path)
    assert str(path) in str(raised.value) and "\n" not in str(raised.value)
    if path.is_file():
        assert str(raised.value).startswith(f"{path} is not an export of this package, or it is damaged: ")


@pytest.mark.tensorflow
def test_truncated_exports_are_named(tmp_path, model):
    from mamsf_keras.export.formats.onnx import write_onnx
    from mamsf_keras.export.formats.saved_model import ServingModule
    from mamsf_keras.export.formats.tflite import write_tflite

    for name, write in (("m.onnx", write_onnx), ("m.tflite", write_tflite)):
        path = tmp_path / name
        write(ServingModule(model), path)
        path.write_bytes(path.read_bytes()[:-300])
        with pytest.raises(ValueError, match=f"{name} is not an export of this package, or it is damaged: "):
            open_export(path)


@pytest.mark.no_keras
def test_missing_package_is_not_hidden(tmp_path, monkeypatch):
    (tmp_path / "m.onnx").write_bytes(b"text")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ImportError, match=r'pip install "mamsf-keras\[onnx\]"'):
        open_export(tmp_path / "m.onnx")
