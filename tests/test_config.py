import json
from pathlib import Path

import pytest

from mamsf_keras.config import (
    BACKBONES,
    FORMATS,
    QUANTIZATIONS,
    SCHEDULES,
    LabelsCsv,
    PhaseConfig,
    TrainConfig,
    parse_decay,
)


def test_paths_are_kept_absolute(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = TrainConfig(Path("nih"), labels_csv="t.csv", protocol="file:s.csv", cache="c", weights="w.h5")
    assert config.data_dir == TrainConfig("nih").data_dir == str(tmp_path / "nih")
    assert config.labels_csv == LabelsCsv(tmp_path / "t.csv") and config.protocol == f"file:{tmp_path}/s.csv"
    assert (config.cache, config.weights) == (str(tmp_path / "c"), str(tmp_path / "w.h5"))


def test_round_trip(tmp_path):
    config = TrainConfig("data", decay=0.99, seed=3, anchor=False, labels_csv=LabelsCsv("t.csv", ("A",)))
    config.save(tmp_path / "config.json")
    assert TrainConfig.load(tmp_path / "config.json") == config
    assert [path.name for path in tmp_path.iterdir()] == ["config.json"]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"decay": 1.5}, r"`decay` must be in \[0, 1\], or \"K epochs\" with K above 0. Received: decay=1.5."),
        ({"decay": "fast"}, r"`decay` must be in \[0, 1\]"),
        ({"decay": "0 epochs"}, r"`decay` must be in \[0, 1\]"),
        ({"batch_size": 0}, "`batch_size` must be a whole number of at least 1. Received: batch_size=0."),
        ({"batch_size": 2.5}, "`batch_size` must be a whole number"),
        ({"image_size": -3}, "`image_size` must be a whole number of at least 32"),
        ({"distribute": "mirrored", "accumulate": 2}, "`accumulate` must be 1 with `distribute` mirrored"),
        ({"distribute": "mirrored", "jit": "on"}, "`jit` must not be on with `distribute` mirrored"),
        ({"backbone": "resnet50"}, "`backbone` must be one of efficientnetv2-b0"),
        ({"learning_rate": float("nan")}, "`learning_rate` must be finite and above 0"),
        ({"weight_decay": float("inf")}, "`weight_decay` must be finite"),
        ({"warmup": 1}, "`warmup` must be finite and at least 0 and below 1"),
        ({"loss": "hinge"}, "`loss` must be one of bce"),
        ({"precision": "float16"}, "`precision` must be one of float32, mixed_bfloat16"),
        ({"protocol": "mine"}, "`protocol` must be one of official, random-patient, disease-only or file:PATH"),
        ({"allow_missing": "all"}, "`allow_missing` must be a number of images, or a percentage such as 5%"),
        ({"accumulate": 0}, "`accumulate` must be a whole number of at least 1"),
        ({"seed": None}, "`seed` must not be empty"),
        (
            {"deterministic": True, "augment": "strong"},
            "`deterministic` must be off with `augment` strong, which is not reproducible",
        ),
        ({"freeze_epochs": 10}, r"`freeze_epochs` must be below `epochs` \(10\)"),
        ({"steps_per_epoch": 6, "steps_per_execution": 4}, r"multiple of `steps_per_execution` \(4\)"),
        ({"phases": []}, "`phases` must contain at least one phase"),
        ({"phases": [{"epochs": 2}], "epochs": 3}, "`epochs` must be left out with `phases`, which have 2 epochs"),
        ({"phases": [{"epochs": 2}], "freeze_epochs": 1}, "`freeze_epochs` must be left out with `phases`"),
        ({"phases": [{"epochs": 2, "loss": "hinge"}]}, "`loss` must be one of bce"),
        ({"phases": [{"epoch": 2}]}, r"Unknown fields: epoch \(did you mean epochs\?\)\."),
        ({"phases": [{"epochs": 2, "reweighted": True}]}, "`reweighted` must be off unless the loss is ldam"),
        (
            {"labels_csv": {"path": "t.csv", "label_column": ["A"]}},
            r"Unknown fields: label_column \(did you mean label_columns\?\)\.",
        ),
        ({"anchor": "false"}, "`anchor` must be true or false"),
        ({"learning_rate": True}, "`learning_rate` must be finite"),
        ({"cache": False}, "`cache` must be auto, none or a path"),
        ({"protocol": None}, "`protocol` must be given"),
    ],
)
def test_bad_values(values, message):
    with pytest.raises(ValueError, match=message):
        TrainConfig("data", **values)


def test_bad_label_options():
    with pytest.raises(ValueError, match="`blank` must be one of mask, negative. Received: blank=zero."):
        LabelsCsv("t.csv", blank="zero")


def test_phases_give_the_number_of_epochs():
    config = TrainConfig("data", phases=[{"epochs": 2, "frozen": True}, {"epochs": 3}])
    assert config.epochs == 5 and config.phases == (PhaseConfig(2, frozen=True), PhaseConfig(3))
    assert TrainConfig("data").epochs == 10


@pytest.mark.parametrize(
    ("decay", "expected"),
    [
        (0.999, (0.999, None)),
        ("0.5", (0.5, None)),
        (1, (1.0, None)),
        ("3 epochs", (None, 3.0)),
        ("0.5 epoch", (None, 0.5)),
    ],
)
def test_decay_is_a_number_or_a_window(decay, expected):
    assert parse_decay(decay) == expected


def test_file_that_is_not_a_configuration(tmp_path):
    for text in (
        "{",
        '{"data_dir": "x", "color": 1}',
        "[]",
        '{"data_dir": "x", "labels_csv": {"path": "t", "blank": 3}}',
    ):
        (tmp_path / "config.json").write_text(text)
        with pytest.raises(ValueError, match="config.json is not the configuration of a run"):
            TrainConfig.load(tmp_path / "config.json")


def test_decay_of_the_command_line_equals_that_of_a_file():
    assert TrainConfig("x", decay="0.999") == TrainConfig("x", decay=0.999)


def test_saved_configuration_is_strict_json_of_all_fields(tmp_path):
    TrainConfig("data").save(tmp_path / "config.json")
    values = json.loads((tmp_path / "config.json").read_text())
    assert values["decay"] == "3 epochs" and values["phases"] is None and values["epochs"] == 10


def test_formats_equal_those_of_the_export():
    from mamsf_keras.export.formats import FORMATS as REGISTRY
    from mamsf_keras.export.formats import selected

    assert list(REGISTRY) == selected(FORMATS, QUANTIZATIONS)


def test_backbones_equal_those_of_the_model():
    from mamsf_keras.model.backbone import FACTORIES

    assert set(BACKBONES) == set(FACTORIES)


def test_every_decay_schedule_has_a_meaning():
    from mamsf_keras.model.decay import WARMUPS

    assert set(SCHEDULES) == {"constant", "cosine", *filter(None, WARMUPS)}
