import json
import zipfile

import numpy as np
import pytest

from tests.exports import CALIBRATION, IMAGES, NAMES, by_hand, check_outputs, toy_model

pytestmark = pytest.mark.tensorflow


def write(path, model, calibration=CALIBRATION, **options):
    from mamsf_keras.export.formats.tflite import write_tflite
    from mamsf_keras.export.serving_module import ServingModule

    write_tflite(ServingModule(model, calibration), path, images=IMAGES, **options)
    return path


def run(path, images):
    """Runs a file with LiteRT by its signature, as an application would."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=str(path))
    return interpreter.get_signature_runner("serving_default")(images=images.astype(np.float32))


def test_outputs_have_their_names_and_a_free_batch(tmp_path):
    model = toy_model()
    path = write(tmp_path / "model.tflite", model)
    for batch in (1, 3):
        outputs = run(path, IMAGES[:batch])
        check_outputs(outputs, by_hand(model, IMAGES[:batch]))
    assert np.nanmax(np.abs(outputs["calibrated"] - outputs["probabilities"])) > 0.01
    assert zipfile.ZipFile(path).read("labels.txt").split() == [name.encode() for name in NAMES]
    described = json.loads((tmp_path / "model.tflite.json").read_text())
    assert described["findings"] == list(NAMES) and described["quantize"] == "none"
    assert described["calibration"]["findings"]["Mass"]["slope"] == 2.0


@pytest.mark.parametrize(("quantize", "correlation"), [("float16", 0.999), ("dynamic", 0.97), ("int8", 0.9)])
def test_quantized_logits_follow_those_of_keras(tmp_path, quantize, correlation):
    model = toy_model()
    outputs = run(write(tmp_path / "model.tflite", model, quantize=quantize), IMAGES)
    expected = by_hand(model, IMAGES)
    for ours, theirs in zip(outputs["logits"].T, expected["logits"].T, strict=True):
        assert np.corrcoef(ours, theirs)[0, 1] > correlation
    assert set(outputs) == ({"logits"} if quantize == "int8" else set(expected))


def test_int8_computes_in_eight_bits(tmp_path):
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=str(write(tmp_path / "model.tflite", toy_model(), None, quantize="int8")))
    operations = {item["op_name"] for item in interpreter._get_ops_details()}
    assert {"QUANTIZE", "DEQUANTIZE", "CONV_2D"} <= operations
    types = {np.dtype(item["dtype"]).name for item in interpreter.get_tensor_details() if item["shape"].size == 4}
    assert "int8" in types


def test_int8_needs_images_and_other_ways_are_refused(tmp_path):
    from mamsf_keras.export.formats.tflite import write_tflite
    from mamsf_keras.export.serving_module import ServingModule

    module = ServingModule(toy_model())
    with pytest.raises(ValueError, match="`images` must be given for `quantize` int8"):
        write_tflite(module, tmp_path / "x", quantize="int8")
    with pytest.raises(ValueError, match="`quantize` must be one of none, float16, .* Received: quantize=4"):
        write_tflite(module, tmp_path / "x", quantize="4")
    assert list(tmp_path.iterdir()) == []
