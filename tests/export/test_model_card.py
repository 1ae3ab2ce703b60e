import json
import shutil

import pytest

from mamsf_keras import RunDir
from mamsf_keras.data.cache.prepare import prepare
from mamsf_keras.data.open import open_dataset
from mamsf_keras.data.readers.nih import PHANTOMS
from mamsf_keras.export.model_card import DATA, describe_run, kind_of_folder, protocol_name
from mamsf_keras.storage import checksum
from tests.exports import CALIBRATION
from tests.runs import toy_config

pytestmark = pytest.mark.no_keras


@pytest.fixture
def run(small_nih, tmp_path):
    run = RunDir(tmp_path / "run")
    run.path.mkdir()
    toy_config(small_nih).save(run.config_file)
    run.model("best").write_text("model")
    run.environment.write_text(json.dumps({"backend": "jax", "data": {"images": 80, "sha256": "abc"}}))
    return run


def write_metrics(run, sha256):
    metrics = {"model_sha256": sha256, "data_dir": "/home/me/nih", "notes": ["from /home/me"], "protocol": "official"}
    run.metrics("test").write_text(json.dumps({**metrics, "mean_auroc": 0.8}))


def test_card_describes_the_run_and_names_findings_without_a_fit(run):
    write_metrics(run, checksum(run.model("best")))
    card = describe_run(run, CALIBRATION, "youden")
    assert card["model_sha256"] == checksum(run.model("best")) and card["training"]["backbone"] == "toy"
    assert card["data"]["sha256"] == "abc" and "in the layout of NIH ChestX-ray14" in card["data"]["source"]
    assert card["environment"]["backend"] == "jax" and card["evaluation"]["mean_auroc"] == 0.8
    assert card["uncalibrated"] == {"calibrated": ["Hernia"], "positive": ["Hernia"]}
    assert "Not a medical device" in card["notice"] and "/home/me" not in json.dumps(card, allow_nan=False)


def test_metrics_of_another_model_are_left_out_with_a_warning(run, caplog):
    assert describe_run(run, None, "youden")["evaluation"] is None
    write_metrics(run, "another")
    card = describe_run(run, None, "youden")
    assert card["evaluation"] is None and card["uncalibrated"] is None
    assert "the model card has no metrics" in caplog.text


@pytest.mark.parametrize("kind", ["phantoms", "nih", "labels_csv"])
def test_recorded_kind_of_data_prevails_over_the_folder(run, small_nih, kind):
    run.environment.write_text(json.dumps({"data_kind": kind}))
    shutil.rmtree(small_nih)
    assert describe_run(run, None, "youden")["data"]["source"] == DATA[kind]


def test_source_of_data_that_do_not_exist_any_more_is_unknown(run, small_nih):
    shutil.rmtree(small_nih)
    assert describe_run(run, None, "youden")["data"]["source"].startswith("Unknown")


def test_phantoms_are_recognized_in_their_folder_and_in_a_cache(small_nih, tmp_path):
    assert kind_of_folder(toy_config(small_nih)) == "nih"
    (small_nih / "README.txt").write_text(PHANTOMS)
    assert kind_of_folder(toy_config(small_nih)) == "phantoms"
    prepare(open_dataset(small_nih), tmp_path / "cache", 8, workers=1)
    assert kind_of_folder(toy_config(tmp_path / "cache")) == "phantoms"


def test_cache_that_does_not_record_the_kind_of_its_data(small_nih):
    (small_nih / "plan.json").touch()
    assert kind_of_folder(toy_config(small_nih)) == "cache"


def test_table_of_labels(tmp_path):
    (tmp_path / "labels.csv").touch()
    config = toy_config(tmp_path, labels_csv=str(tmp_path / "labels.csv"), protocol="random-patient")
    assert kind_of_folder(config) == "labels_csv"


def test_protocol_of_a_file_has_no_folder():
    assert protocol_name("file:/home/me/splits.csv") == "file:splits.csv" and protocol_name("official") == "official"
