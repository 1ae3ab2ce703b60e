from pathlib import Path

import pytest

from mamsf_keras.config import CHOICES, TrainConfig


def test_data_folder_is_kept_absolute(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert TrainConfig(Path("nih")).data_dir == TrainConfig("nih").data_dir == str(tmp_path / "nih")


def test_round_trip(tmp_path):
    config = TrainConfig("data", decay=0.99, seed=3, anchor=False)
    config.save(tmp_path / "config.json")
    assert TrainConfig.load(tmp_path / "config.json") == config
    assert [path.name for path in tmp_path.iterdir()] == ["config.json"]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"decay": 1.5}, r"`decay` must be auto or in \[0, 1\]. Received: decay=1.5."),
        ({"batch_size": 0}, "`batch_size` must be a whole number of at least 1. Received: batch_size=0."),
        ({"image_size": -3}, "`image_size` must be a whole number of at least 32"),
        ({"distribute": "mirrored", "accumulate": 2}, "`accumulate` must be 1 with `distribute` mirrored"),
        ({"distribute": "mirrored", "jit": "on"}, "`jit` must not be on with `distribute` mirrored"),
        ({"backbone": "resnet50"}, "`backbone` must be one of efficientnetv2-b0"),
        ({"decay": "fast"}, "`decay` must be auto or in"),
        ({"learning_rate": float("nan")}, "`learning_rate` must be finite and above 0"),
        ({"weight_decay": float("inf")}, "`weight_decay` must be finite"),
        ({"warmup": 1}, r"`warmup` must be in \[0, 1\)"),
        ({"loss": "hinge"}, "`loss` must be one of bce"),
        ({"precision": "float16"}, "`precision` must be one of float32, mixed_bfloat16"),
        ({"final_loss": "hinge", "final_epochs": 1}, "`final_loss` must be one of bce"),
        ({"final_loss": "focal"}, "`final_loss` must come with `final_epochs`"),
        ({"final_epochs": 10}, "`final_epochs` must be 0 to 9"),
        ({"accumulate": 0}, "`accumulate` must be a whole number of at least 1"),
        ({"deterministic": True, "augment": "strong"}, "whose draws cannot be repeated"),
    ],
)
def test_bad_values(values, message):
    with pytest.raises(ValueError, match=message):
        TrainConfig("data", **values)


def test_file_that_is_not_a_configuration(tmp_path):
    for text in ("{", '{"data_dir": "x", "color": 1}', "[]"):
        (tmp_path / "config.json").write_text(text)
        with pytest.raises(ValueError, match="config.json is not the configuration of a run"):
            TrainConfig.load(tmp_path / "config.json")


def test_backbones_are_those_of_the_model():
    from mamsf_keras.model.backbone import BACKBONES

    assert set(CHOICES["backbone"]) == set(BACKBONES)
