from types import SimpleNamespace

from mamsf_keras import RunDir
from tests.cli.checks import check_fails
from tests.runs import succeeded, toy_config


def test_errors_before_anything_is_written(small_nih, tmp_path):
    check_fails(tmp_path, ["export", "--run-dir", tmp_path / "none"], 1, "does not exist", "--run-dir")
    run = RunDir(tmp_path / "run")
    run.path.mkdir()
    toy_config(small_nih).save(run.config_file)
    out = ["--out", tmp_path / "models"]
    export = ["export", "--run-dir", run.path]
    check_fails(tmp_path, [*export, *out], 1, "no best.keras yet")
    check_fails(tmp_path, [*export, "--format", "onyx"], 2, "saved-model", "tflite", "onnx", "keras")
    check_fails(
        tmp_path,
        [*export, "--format", "onnx", "--quantize", "int8"],
        1,
        "--quantize can only be used with the format tflite",
    )
    check_fails(tmp_path, [*export, "--operating-point", "best"], 2, "youden", "sensitivity_90", "f1")


def test_options_reach_the_library(small_nih, tmp_path, monkeypatch):
    run = RunDir(tmp_path / "run")
    run.path.mkdir()
    toy_config(small_nih).save(run.config_file)
    given = []
    result = SimpleNamespace(path="there", size_bytes=2_000_000, parity="it agrees")

    def export_run(*words, **options):
        given.append((words[2], options))
        return {"tflite": result}

    monkeypatch.setattr("mamsf_keras.export.export.export_run", export_run)
    text = succeeded("export", "--run-dir", run.path)
    assert "tflite: there, 2.0 MB\n  it agrees" in text
    words = ("--format", "tflite", "--quantize", "none", "--quantize", "int8", "--operating-point", "f1")
    succeeded("export", "--run-dir", run.path, *words)
    assert given == [
        (("saved-model", "tflite"), {"quantize": ("none",), "operating_point": "youden"}),
        (("tflite",), {"quantize": ("none", "int8"), "operating_point": "f1"}),
    ]
