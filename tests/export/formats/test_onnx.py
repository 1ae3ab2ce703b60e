import json

import numpy as np
import pytest

from tests.exports import CALIBRATION, IMAGES, NAMES, by_hand, check_outputs, toy_model

pytestmark = pytest.mark.tensorflow


def test_inputs_and_outputs_have_their_names_and_a_free_batch(tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    from mamsf_keras.export.formats.onnx import write_onnx
    from mamsf_keras.export.serving_module import ServingModule

    model = toy_model()
    write_onnx(ServingModule(model, CALIBRATION), tmp_path / "model.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    assert [value.name for value in session.get_inputs()] == ["images"]
    names = [value.name for value in session.get_outputs()]
    assert json.loads(session.get_modelmeta().custom_metadata_map["findings"]) == list(NAMES)
    for batch in (1, 3):
        outputs = session.run(names, {"images": IMAGES[:batch].astype(np.float32)})
        check_outputs(dict(zip(names, outputs, strict=True)), by_hand(model, IMAGES[:batch]))
    assert json.loads((tmp_path / "model.onnx.json").read_text())["findings"] == list(NAMES)
