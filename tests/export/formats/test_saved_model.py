import json
import subprocess
import sys

import numpy as np
import pytest

from mamsf_keras.evaluation.calibration import Calibration
from tests.exports import CALIBRATION, IMAGES, NAMES, by_hand, check_outputs, toy_model

pytestmark = pytest.mark.tensorflow


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """The model, the folder of its SavedModel, and its signatures."""
    import tensorflow as tf

    from mamsf_keras.export.formats.saved_model import write_saved_model
    from mamsf_keras.export.serving_module import ServingModule

    model, folder = toy_model(), tmp_path_factory.mktemp("served") / "1"
    write_saved_model(ServingModule(model, CALIBRATION), folder)
    loaded = tf.saved_model.load(str(folder))
    yield model, folder, loaded.signatures


def requests(folder):
    """The warm-up requests: signature, and the inputs as tensors."""
    import tensorflow as tf
    from tensorflow_serving.apis.prediction_log_pb2 import PredictionLog

    for record in tf.data.TFRecordDataset(str(folder / "assets.extra" / "tf_serving_warmup_requests")):
        request = PredictionLog.FromString(record.numpy()).predict_log.request
        inputs = {name: tf.constant(tf.make_ndarray(proto)) for name, proto in request.inputs.items()}
        yield request.model_spec.signature_name, inputs


def test_each_signature_gives_every_output_with_the_batch_first(served):
    import tensorflow as tf

    from tests.export.test_decode import Image, encoded  # noqa: I001

    model, _, signatures = served
    files = [encoded(Image.fromarray(image[..., 0])) for image in IMAGES]
    for batch in (1, 3):
        inputs = {
            "serving_default": {"images": tf.constant(IMAGES[:batch], tf.float32)},
            "serve_bytes": {"image_bytes": tf.constant(files[:batch])},
        }
        for name, values in inputs.items():
            outputs = {key: value.numpy() for key, value in signatures[name](**values).items()}
            assert outputs.pop("findings").tolist() == [[name.encode() for name in NAMES]] * batch
            check_outputs(outputs, by_hand(model, IMAGES[:batch]))


@pytest.mark.parametrize("images", [np.zeros((2, 48, 48, 1)), np.zeros((2, 32, 32, 3)), np.zeros((32, 32, 1))])
def test_wrong_shapes_are_errors_and_the_next_request_is_served(served, images):
    import tensorflow as tf

    signature = served[2]["serving_default"]
    with pytest.raises(Exception, match="48|3|compatible"):
        signature(images=tf.constant(images, tf.float32))
    assert signature(images=tf.zeros((2, 32, 32, 1)))["logits"].shape == (2, 3)


def test_each_value_is_stored_once(served):
    model, folder, _ = served
    stored = (folder / "variables" / "variables.data-00000-of-00001").stat().st_size
    values = sum(variable.value.shape.num_elements() * 4 for variable in model.variables)
    assert values <= stored < values * 1.1 + 4096


def test_extra_files_describe_the_model(served):
    extra = served[1] / "assets.extra"
    assert extra.joinpath("labels.txt").read_text().split() == list(NAMES)
    assert json.loads(extra.joinpath("preprocessing.json").read_text())["preprocessing"]["range"] == [0, 255]
    assert Calibration.load(extra / "calibration.json").findings == CALIBRATION.findings


def test_warmup_requests_replay_on_the_signatures(served):
    pytest.importorskip("tensorflow_serving")
    _, folder, signatures = served
    names = []
    for name, inputs in requests(folder):
        assert signatures[name](**inputs)["probabilities"].shape == (1, 3)
        names.append(name)
    assert names == ["serving_default", "serve_bytes", "serve_bytes"]


@pytest.mark.slow
def test_loads_without_keras_and_this_package(served):
    code = (
        "import sys\nfor name in ('keras', 'mamsf_keras'): sys.modules[name] = None\n"
        "import tensorflow as tf\nm = tf.saved_model.load(sys.argv[1])\n"
        "print(m.signatures['serving_default'](images=tf.zeros((2, 32, 32, 1)))['logits'].shape)"
    )
    command = [sys.executable, "-c", code, str(served[1])]
    assert subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip() == "(2, 3)"


def test_missing_serving_package_is_reported(tmp_path, monkeypatch, caplog):
    import importlib.util

    from mamsf_keras.export.formats.saved_model import write_saved_model
    from mamsf_keras.export.serving_module import ServingModule

    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "tensorflow_serving" else find(name))
    write_saved_model(ServingModule(toy_model()), tmp_path / "1")
    assert 'no warm-up requests: they need `pip install "mamsf-keras[serving]"`' in caplog.text
    assert sorted(path.name for path in (tmp_path / "1" / "assets.extra").iterdir()) == [
        "labels.txt",
        "preprocessing.json",
    ]
