"""From an empty folder to a served model on the command line, with a toy instead of the EfficientNet."""

import json
import math
import os
import shlex
import shutil
import subprocess
import sys

import keras
import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from mamsf_keras import FINDINGS, load_model, open_dataset
from tests.runs import TOY, invoke, succeeded
from tests.toys import rewrite_table


def strict_json(path):
    def refuse(constant):
        raise ValueError(constant)

    return json.loads(path.read_text(), parse_constant=refuse)


def test_phantoms_to_evaluation_and_export(tmp_path):
    data, folder = tmp_path / "phantoms", tmp_path / "run"
    succeeded("phantom", "--out", data, "--images", 400, "--size", 32, "--tail", 1)
    text = succeeded(
        *("train", "--data-dir", data, "--run-dir", folder, *TOY, "--batch-size", 16, "--epochs", 2),
    )
    assert "patient overlap: train/validation 0, train/test 0, validation/test 0" in text
    assert sorted(path.name for path in folder.iterdir()) == [
        ".lock",
        "best.keras",
        "checkpoints",
        "config.json",
        "environment.json",
        "history.csv",
        "history.png",
        "last.keras",
        "tensorboard",
    ]
    history = pd.read_csv(folder / "history.csv")
    assert history["epoch"].tolist() == [1, 2] and history["val_auroc"].between(0, 1).all()
    assert strict_json(folder / "environment.json")["backend"] == keras.backend.backend()
    text = succeeded("evaluate", "--run-dir", folder)
    metrics = strict_json(folder / "metrics-test.json")
    frame = pd.read_csv(folder / "predictions-test.csv", dtype={"patient": str})
    assert list(frame) == ["image", "patient", "age", "sex", "view", *FINDINGS, *(f"{name}_label" for name in FINDINGS)]
    assert set(frame["image"]) == set((data / "test_list.txt").read_text().split())
    scores = {name: roc_auc_score(frame[f"{name}_label"], frame[name]) for name in FINDINGS}
    for name, row in metrics["findings"].items():
        assert row["auroc"] == pytest.approx(scores[name], abs=1e-9)
        assert (row["positives"], row["images"]) == (frame[f"{name}_label"].sum(), len(frame))
        assert f"{row['auroc']:.4f}" in text
    assert metrics["mean_auroc"] == pytest.approx(math.fsum(scores.values()) / 14)
    text = succeeded("export", "--run-dir", folder, "--out", tmp_path / "served" / "toy", "--format", "saved-model")
    files = sorted(path.name for path in (tmp_path / "served" / "toy").iterdir())
    assert files == [".lock", "1", "toy-1.MODEL_CARD.md", "toy-1.model_card.json", "toy-1.parity.json"]
    assert "logits differ by at most" in text and (tmp_path / "served" / "toy" / "1" / "saved_model.pb").is_file()
    card = strict_json(tmp_path / "served" / "toy" / "toy-1.model_card.json")
    assert card["evaluation"]["mean_auroc"] == metrics["mean_auroc"] and "phantoms" in card["data"]["source"]


def test_findings_without_positives_are_reported_and_not_an_error(small_nih, tmp_path):
    """Hernia has a positive in the train split only, and 11 findings have none at all."""
    folder = tmp_path / "run"
    image = open_dataset(small_nih).split("train").table["image"][0]
    rewrite_table(small_nih, lambda rows: [[r[0], "Hernia", *r[2:]] if r[0] == image else r for r in rows])
    trained = succeeded(
        *("train", "--data-dir", small_nih, "--run-dir", folder, *TOY, "--epochs", 1, "--decay", "0.9"),
    )
    text = succeeded("evaluate", "--run-dir", folder)
    assert "not in the model: Atelectasis (0 positive, 50 negative), Cardiomegaly" in trained
    assert "best.keras was chosen by the mean of 1 of 3 findings" in trained
    assert "findings left out because the model does not have them: Atelectasis, Cardiomegaly" in text
    metrics = strict_json(folder / "metrics-test.json")
    assert list(metrics["findings"]) == ["Effusion", "Mass", "Hernia"]
    row = metrics["findings"]["Hernia"]
    assert (row["auroc"], row["average_precision"], row["positives"], row["images"]) == (None, None, 0, 24)
    assert metrics["undefined"] == ["Hernia"] and "undefined and left out of the mean" in text
    assert metrics["mean_auroc"] is not None and "mean of 2 " in text


@pytest.mark.tensorflow
def test_evaluated_runs_are_compared(small_nih, tmp_path):
    runs = [tmp_path / f"run-{seed}" for seed in (0, 1)]
    for seed, folder in enumerate(runs):
        succeeded("train", "--data-dir", small_nih, "--run-dir", folder, *TOY, "--epochs", 1, "--seed", seed)
        succeeded("evaluate", "--run-dir", folder)
    text = succeeded("compare", runs[0], "--against", runs[1], "--out", tmp_path / "out")
    result, metrics = strict_json(tmp_path / "out" / "comparison.json"), strict_json(runs[0] / "metrics-test.json")
    assert [note.partition(":")[0] for note in result["notes"]] == [
        "Not enough seeds",
        "The two recipes have the same settings.",
    ]
    assert (result["protocol"], result["fingerprint"]) == ("official", metrics["fingerprint"])
    assert result["means"]["macro"]["auroc"]["A"]["mean"] == pytest.approx(metrics["mean_auroc"])
    assert result["findings"]["Mass"]["group"] == metrics["findings"]["Mass"]["group"]
    assert "official protocol, test split, 24 images of 12 patients" in text
    shutil.copy(runs[0] / "best.keras", runs[1] / "best.keras")
    result = invoke("compare", runs[0], "--against", runs[1], "--out", tmp_path / "out", "--overwrite")
    assert result.exit_code == 1 and "do not belong to its current best.keras. Evaluate the run again" in result.stderr


def test_missing_images_are_left_out_if_allowed(small_nih, tmp_path):
    folder = tmp_path / "run"
    for patient in (1, 40):  # one of the training part, one of test
        next(small_nih.rglob(f"{patient:08d}_000.png")).unlink()
    train = ("train", "--data-dir", small_nih, "--run-dir", folder, *TOY)
    text = succeeded(*train, "--epochs", 1, "--allow-missing")
    assert "2 of 80 images" in text
    assert "2 of 80 images" in succeeded("evaluate", "--run-dir", folder)  # allowed by the run
    assert len(pd.read_csv(folder / "predictions-test.csv")) == 23


@pytest.mark.tensorflow
def test_a_run_evaluated_on_each_backend_gives_the_same_probabilities(small_nih, tmp_path):
    succeeded("train", "--data-dir", small_nih, "--run-dir", tmp_path / "run", *TOY, "--epochs", 2)
    frames = {}
    for backend in ("tensorflow", "jax", "torch"):
        folder = shutil.copytree(tmp_path / "run", tmp_path / backend)
        code = "import sys, tests.toys; from mamsf_keras.cli import main; main(sys.argv[1:])"
        command = [sys.executable, "-c", code, "evaluate", "--run-dir", str(folder), "--backend", backend]
        environment = {**os.environ, "KERAS_BACKEND": backend}
        subprocess.run(command, check=True, capture_output=True, env=environment)
        frames[backend] = pd.read_csv(folder / "predictions-test.csv")[["Effusion", "Mass"]].to_numpy()
    for backend in ("jax", "torch"):
        np.testing.assert_allclose(frames[backend], frames["tensorflow"], rtol=0, atol=1e-4)


def test_a_cache_replaces_the_data_folder(small_nih, tmp_path):
    succeeded("prepare", "--data-dir", small_nih, "--cache-dir", tmp_path / "cache", "--image-size", 32)
    shutil.rmtree(small_nih)
    train = ("train", "--data-dir", tmp_path / "cache", "--run-dir", tmp_path / "run", *TOY)
    assert "80 images of 32 x 32 pixels, 80.0 KiB, from the cache" in succeeded(*train, "--epochs", 1)
    assert "24 images of 12 patients" in succeeded("evaluate", "--run-dir", tmp_path / "run")


def test_train_makes_its_cache_once_and_names_it(small_nih, tmp_path):
    train = ("train", "--data-dir", small_nih, *TOY, "--epochs", 1, "--cache", tmp_path / "cache")
    assert f"into the cache {tmp_path / 'cache'}" in succeeded(*train, "--run-dir", tmp_path / "one")
    before = (tmp_path / "cache" / "shards" / "00000.npy").stat().st_mtime_ns
    assert "decoding all images" not in succeeded(*train, "--run-dir", tmp_path / "two")
    assert (tmp_path / "cache" / "shards" / "00000.npy").stat().st_mtime_ns == before
    assert "the cache" not in succeeded(*train, "--cache", "none", "--run-dir", tmp_path / "three")


def test_a_table_of_other_findings_from_training_to_evaluation(small_nih, tmp_path):
    table = "".join(
        f"{path.relative_to(small_nih)},{int(path.name[:8])},{i % 3 == 0:d},{('', 1, 0, -1)[i % 4]}\n"
        for i, path in enumerate(sorted(small_nih.rglob("*.png")))
    )
    (tmp_path / "labels.csv").write_text("path,subject_id,Fracture,Support Devices\n" + table)
    train = ("train", "--data-dir", small_nih, "--labels-csv", tmp_path / "labels.csv", *TOY)
    train += ("--epochs", 1, "--run-dir", tmp_path / "run")
    text = succeeded(*train, "--protocol", "random-patient")
    labels = ("--labels-csv", tmp_path / "labels.csv", "--cache-dir", tmp_path / "the cache", "--image-size", 32)
    words = shlex.split(succeeded("prepare", "--data-dir", small_nih, *labels).partition("next: mamsf-keras ")[2])
    succeeded(*words, *TOY, "--epochs", 1, "--run-dir", tmp_path / "next")
    assert "20 of 40" in text and "patient overlap: train/validation 0, train/test 0, validation/test 0" in text
    succeeded("evaluate", "--run-dir", tmp_path / "run")
    metrics = strict_json(tmp_path / "run" / "metrics-test.json")
    assert list(metrics["findings"]) == ["Fracture", "Support Devices"]
    assert metrics["findings"]["Support Devices"]["images"] < metrics["images"] == 16
    assert load_model(tmp_path / "run" / "best.keras").findings == ("Fracture", "Support Devices")
