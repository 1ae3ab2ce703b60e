import sys

import numpy as np
import pytest

from tests.exports import CALIBRATION, IMAGES, NAMES, by_hand, check_outputs, toy_model

pytestmark = pytest.mark.tensorflow


def test_loads_what_the_writer_wrote_in_batches_of_any_size(tmp_path):
    pytest.importorskip("onnxruntime")
    from mamsf_keras.export.formats.onnx import write_onnx
    from mamsf_keras.export.serving_module import ServingModule
    from mamsf_keras.predictors.onnx import ONNXPredictor

    model = toy_model()
    write_onnx(ServingModule(model, CALIBRATION), tmp_path / "model.onnx")
    predictor, expected = ONNXPredictor(tmp_path / "model.onnx"), by_hand(model, IMAGES[:5])
    assert (predictor.findings, predictor.image_size) == (NAMES, 32)
    for batch in (5, 1):
        check_outputs(predictor.outputs(IMAGES[:batch]), {name: value[:batch] for name, value in expected.items()})
    np.testing.assert_allclose(predictor.predict(IMAGES[:5]), expected["probabilities"], atol=1e-5)


def test_missing_package_is_named(tmp_path, monkeypatch):
    from mamsf_keras.predictors.onnx import ONNXPredictor

    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ImportError, match=r'needs `pip install "mamsf-keras\[onnx\]"`'):
        ONNXPredictor(tmp_path / "model.onnx")
