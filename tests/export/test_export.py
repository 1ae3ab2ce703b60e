import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from mamsf_keras import RunDir, export_model, export_run, load_model, train
from mamsf_keras.evaluation.calibration import Calibration
from mamsf_keras.export import export
from mamsf_keras.export.formats import FORMATS
from mamsf_keras.storage import checksum
from tests.conftest import BACKEND
from tests.exports import CALIBRATION, IMAGES, NAMES, toy_model
from tests.runs import toy_config

LATENCY = {"1": {"median": 1.0, "p99": 1.0, "runs": 1}, "16": {"median": 1.0, "p99": 1.0, "runs": 1}}
LOGITS = np.random.default_rng(0).normal(size=(70, 3))


@pytest.fixture
def tasks(monkeypatch):
    """Replaces the processes: each writes a file and gives `LOGITS` plus the `shift` of its format."""
    shift, done = {}, []

    def run(task):
        done.append(task)
        if task.name != "reference":
            open(task.path, "w").close()
        return {"logits": LOGITS + shift.get(task.name, 0)}, {"size_bytes": 10, "latency_ms": LATENCY}

    monkeypatch.setattr(export.Task, "run", run)
    return shift, done


@pytest.fixture
def run(small_nih, tmp_path):
    """A run with a trained model and its calibration."""
    run = RunDir(tmp_path / "run")
    run.path.mkdir()
    toy_config(small_nih).save(run.config_file)
    toy_model().save(run.model("best"))
    Calibration(CALIBRATION.findings, checksum(run.model("best")), 70, 70).save(run.calibration)
    return run


def names(folder):
    return sorted(path.name for path in folder.iterdir() if path.name != ".lock")


@pytest.mark.slow
@pytest.mark.tensorflow
def test_run_is_exported_with_card_and_comparison(run, tmp_path, caplog):
    caplog.set_level("INFO")
    exported = export_run(run.path, tmp_path / "toy", ["saved-model"])["saved-model"]
    assert exported.path == tmp_path / "toy" / "1" and exported.parity.largest < 1e-4
    assert names(tmp_path / "toy") == ["1", "toy-1.MODEL_CARD.md", "toy-1.model_card.json", "toy-1.parity.json"]
    content = json.loads((tmp_path / "toy" / "toy-1.parity.json").read_text())
    assert content["formats"]["saved-model"]["file"] == "1" and content["keras"]["size_bytes"] > 0
    assert {"MODEL_CARD.md", "labels.txt", "calibration.json"} <= set(names(exported.path / "assets.extra"))
    assert "compared on only 6 images; at least 64" in caplog.text and "the model card has no metrics" in caplog.text


@pytest.mark.slow
def test_run_of_any_backend_and_precision_is_exported(small_nih, tmp_path):
    """The outputs of the files equal those of Keras on the backend of the run."""
    precision = "float32" if BACKEND == "torch" else "mixed_bfloat16"
    run = RunDir(tmp_path / "run")
    train(toy_config(small_nih, image_size=64, epochs=1, precision=precision), run.path)
    exported = export_run(run.path, tmp_path / "toy", ["saved-model", "tflite"])
    model = load_model(run.model("best"))
    images = np.random.default_rng(0).integers(0, 256, (5, 64, 64, 1), dtype=np.uint8)
    expected = model.predict(images, verbose=0)
    for name, result in exported.items():
        assert result.parity.largest < FORMATS[name].limits.logits and result.parity.images == 6
        predictor = FORMATS[name].load()[1](result.path)
        assert predictor.findings == tuple(model.findings)
        np.testing.assert_allclose(predictor.predict(images), expected, rtol=0, atol=1e-4)


def test_each_format_is_one_process_and_the_next_version_keeps_the_earlier_ones(tmp_path, tasks):
    _, done = tasks
    for version in (1, 2):
        exported = export_model(
            toy_model(), IMAGES, tmp_path / "toy", ["tflite", "onnx"], quantize=["none", "int8"], calibration=None
        )
        files = [f"toy-{version}.tflite", f"toy-{version}-int8.tflite", f"toy-{version}.onnx"]
        assert [result.path.name for result in exported.values()] == files
    assert [task.name for task in done] == ["reference", "tflite", "tflite-int8", "onnx"] * 2
    assert names(tmp_path / "toy") == sorted(
        f"toy-{version}{rest}" for version in (1, 2) for rest in (".tflite", "-int8.tflite", ".onnx", ".parity.json")
    )


@pytest.mark.parametrize("name", ["saved-model", "tflite", "onnx", "keras"])
def test_export_beyond_its_limit_leaves_nothing(tmp_path, tasks, name):
    tasks[0][name] = FORMATS[name].limits.logits * 2
    formats = ["saved-model", "tflite", "onnx", "keras"]
    with pytest.raises(ValueError, match=f"nothing was published. {name}: a logit differs by 0.0002, more than 0.0001"):
        export_model(toy_model(), IMAGES, tmp_path / "toy", formats)
    assert list(tmp_path.iterdir()) == []


def test_changed_auroc_is_refused_and_decisions_are_counted(tmp_path, tasks):
    tasks[0]["tflite-int8"] = np.random.default_rng(1).normal(size=LOGITS.shape) * 0.3
    labels = (LOGITS + np.random.default_rng(2).normal(size=LOGITS.shape) > 1).astype(float)
    with pytest.raises(ValueError, match="tflite-int8: the AUROC of .* changes by .*, more than 0.01"):
        export_model(toy_model(), IMAGES, tmp_path / "toy", ["tflite"], quantize=["int8"], labels=labels)
    exported = export_model(
        toy_model(), IMAGES, tmp_path / "toy", ["tflite"], quantize=["int8"], calibration=CALIBRATION
    )
    assert exported["tflite-int8"].parity.decisions_changed > 0


def test_model_with_constant_output_is_exported_with_a_warning(tmp_path, tasks, monkeypatch, caplog):
    monkeypatch.setattr("tests.export.test_export.LOGITS", LOGITS * 1e-6)
    export_model(toy_model(), IMAGES, tmp_path / "toy", ["tflite"])
    assert "the model barely distinguishes these images" in caplog.text and "Mass, Edema, Hernia" in caplog.text


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"formats": "saved-model"},
            "`formats` must be a list of saved-model, tflite, onnx, keras. Received: formats='saved-m",
        ),
        ({"formats": ["savedmodel"]}, "`formats` must be a list of"),
        ({"formats": []}, "`formats` must be a list of"),
        ({"formats": ["tflite"], "quantize": ["int4"]}, "`quantize` must be a list of none, float16, dynamic, int8"),
        (
            {"formats": ["onnx"], "quantize": ["int8"]},
            "`quantize` can only be used with the format tflite. Received: formats=onnx",
        ),
        ({"operating_point": "best"}, "`operating_point` must be one of youden"),
    ],
)
def test_unknown_options_are_refused_before_anything_is_written(tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        export_model(toy_model(), IMAGES, tmp_path / "toy", **options)
    assert list(tmp_path.iterdir()) == []


def test_model_in_mixed_precision_is_refused(tmp_path):
    import keras

    from mamsf_keras import MAMSFNet
    from mamsf_keras.devices import temporarily
    from tests.toys import toy_backbone

    with temporarily(keras.config.dtype_policy, keras.config.set_dtype_policy, "mixed_bfloat16"):
        model = MAMSFNet(toy_backbone(), NAMES)
    logits = MAMSFNet(toy_backbone(), NAMES, classifier_activation=None)
    with pytest.raises(ValueError, match="`model` must have the classifier_activation sigmoid"):
        export_model(logits, IMAGES, tmp_path / "out")
    with pytest.raises(ValueError, match="`model` must compute in float32"):
        export_model(model, IMAGES, tmp_path / "toy")


@pytest.mark.slow
@pytest.mark.tensorflow
def test_killed_exports_never_leave_an_incomplete_version(run, tmp_path):
    code = "import sys, tests.toys; from mamsf_keras import export_run; export_run(*sys.argv[1:3], ['saved-model'])"
    command = [sys.executable, "-c", code, str(run.path), str(tmp_path / "toy")]
    seen = set()
    for moment in ("work/images.npy", "files/*/variables", "files/*/assets.extra/labels.txt", "files/*.json", None):
        with open(tmp_path / "printed", "w") as printed:
            process = subprocess.Popen(command, start_new_session=True, stderr=printed)
        while process.poll() is None:
            if moment and list((tmp_path / "toy").glob(f".export-*/{moment}")):
                os.killpg(process.pid, signal.SIGKILL)
                assert process.wait() == -signal.SIGKILL
            for folder in (tmp_path / "toy").glob("[0-9]*"):
                assert (folder / "saved_model.pb").is_file() and (folder / "variables" / "variables.index").is_file()
                assert (folder / "assets.extra" / "MODEL_CARD.md").is_file()
                seen.add(folder.name)
            time.sleep(0.01)
        assert moment or process.returncode == 0, (tmp_path / "printed").read_text()
    assert seen and not list((tmp_path / "toy").glob(".export-*"))


@pytest.mark.tensorflow  # a process of its own: once
@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_other_backends_leave_tensorflow_to_the_workers(backend):
    code = "import sys, mamsf_keras.export.export, mamsf_keras.export.card_text; print('tensorflow' in sys.modules)"
    environment = {**os.environ, "KERAS_BACKEND": backend}
    result = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env=environment)
    assert (result.returncode, result.stdout) == (0, "False\n")
