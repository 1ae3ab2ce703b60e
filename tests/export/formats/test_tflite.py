import zipfile

import numpy as np
import pytest

from tests.toys import toy_backbone

pytestmark = pytest.mark.tensorflow


def test_file_runs_in_litert_and_carries_its_findings(tmp_path):
    from ai_edge_litert.interpreter import Interpreter

    from mamsf_keras import MAMSFNet
    from mamsf_keras.export.formats.saved_model import ServingModule
    from mamsf_keras.export.formats.tflite import write_tflite

    model, path = MAMSFNet(toy_backbone(), ("Mass", "Pleural_Thickening")), tmp_path / "model.tflite"
    write_tflite(ServingModule(model), path)
    assert zipfile.ZipFile(path).read("labels.txt") == b"Mass\nPleural_Thickening\n"
    image = np.random.default_rng(0).integers(0, 256, (1, 32, 32, 1)).astype("float32")
    interpreter = Interpreter(model_path=str(path))
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], image)
    interpreter.invoke()
    output = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
    np.testing.assert_allclose(output, model.predict(image, verbose=0), atol=1e-6)
