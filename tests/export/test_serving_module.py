import numpy as np
import pytest

from tests.exports import CALIBRATION, IMAGES, NAMES, by_hand, check_outputs, toy_model

pytestmark = pytest.mark.tensorflow


def test_outputs_equal_keras_and_the_calibration_by_hand():
    from mamsf_keras.export.serving_module import ServingModule

    model = toy_model()
    module, expected = ServingModule(model, CALIBRATION), by_hand(model, IMAGES[:5])
    outputs = {name: value.numpy() for name, value in module.serve(IMAGES[:5].astype(np.float32)).items()}
    assert outputs.pop("findings").tolist() == [[name.encode() for name in NAMES]] * 5
    check_outputs(outputs, expected)
    assert 0 < expected["positive"].sum() < 10 and not expected["positive"][:, 2].any()
    assert np.isnan(outputs["calibrated"][:, 2]).all()


def test_operating_point_is_selected_by_name():
    from mamsf_keras.export.serving_module import ServingModule

    module = ServingModule(toy_model(), CALIBRATION, "sensitivity_90")
    outputs = module.serve(IMAGES[:5].astype(np.float32))
    np.testing.assert_array_equal(outputs["positive"], outputs["probabilities"].numpy() >= [0.1, 0.1, 0.1])
    with pytest.raises(ValueError, match="`operating_point` must be one of youden, sensitivity_90, f1. Received: op"):
        ServingModule(toy_model(), CALIBRATION, "op")


def test_without_calibration_its_outputs_are_left_out():
    from mamsf_keras.export.serving_module import ServingModule

    outputs = ServingModule(toy_model(use_anchor=False)).serve(IMAGES[:2].astype(np.float32))
    assert set(outputs) == {"logits", "probabilities", "findings"}


def test_model_of_any_size_accepts_image_files_of_one_size():
    from mamsf_keras.export.serving_module import ServingModule
    from tests.export.test_decode import IMAGES as FILES

    outputs = ServingModule(toy_model(size=None)).serve_bytes([FILES["gray"], FILES["RGB"]])
    assert outputs["logits"].shape == (2, 3)
