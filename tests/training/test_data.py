import contextlib

import numpy as np
import pandas as pd
import pytest

from mamsf_keras import open_dataset
from mamsf_keras.data.batches.stream import Stream
from mamsf_keras.data.cache.layout import is_finished
from mamsf_keras.devices import Devices
from mamsf_keras.training.data import TrainingData, load_training_data, steps_per_epoch
from tests.runs import toy_config
from tests.toys import array_dataset, rewrite_table

pytestmark = pytest.mark.tensorflow  # no model: once

ALONE = Devices(contextlib.nullcontext())


class Recorded(Devices):
    """Devices that call `on_wait` instead of waiting for other processes."""

    def wait(self, name):
        type(self).on_wait(name)


def recorded(process, on_wait):
    class Mine(Recorded):
        pass

    Mine.on_wait = staticmethod(on_wait)
    return Mine(contextlib.nullcontext(), 2, process=process, processes=2)


def stream_of(labels, batch_size=2):
    labels = np.array(labels, "float32")
    images = np.zeros((len(labels), 32, 32), np.uint8)
    return Stream(array_dataset(images, labels, "ABC"[: labels.shape[1]]), 32, batch_size)


def load(config, devices=ALONE):
    return load_training_data(open_dataset(config), config, devices)


def test_streams_equal_those_of_the_tables(small_nih, tmp_path):
    """The images, labels and options of both streams against the tables of the folder."""
    config = toy_config(small_nih, cache=tmp_path / "cache", seed=5)
    data = load(config)
    table = pd.read_csv(small_nih / "Data_Entry_2017.csv").set_index("Image Index")
    test = (small_nih / "test_list.txt").read_text().split()
    training, validation = data.training.images.tolist(), data.validation.images.tolist()
    assert sorted([*training, *validation, *test]) == sorted(table.index)
    patients = [set(table.loc[names, "Patient ID"]) for names in (training, validation, test)]
    assert sum(map(len, patients)) == len(set.union(*patients)) == 40
    positives, negatives = data.class_counts
    assert data.findings == ("Effusion", "Mass")
    for number, name in enumerate(data.findings):
        has = table.loc[training, "Finding Labels"].str.contains(name)
        assert (positives[number], negatives[number]) == (has.sum(), (~has).sum())
    assert (data.training.augment, data.training.seed, data.validation.augment) == ("light", 5, "none")
    assert data.steps_per_epoch == len(training) // 8
    assert data.dataset.image_size == 32  # by way of the cache


def test_missing_labels_are_neither_positive_nor_negative():
    stream = stream_of([[1, 0], [1, 0], [0, np.nan], [np.nan, 0]])
    positives, negatives = TrainingData(stream.dataset, stream, stream, 2).class_counts
    assert (positives.tolist(), negatives.tolist()) == ([2, 0], [1, 3])


def test_splits_and_notes_are_logged(small_nih, tmp_path, caplog):
    caplog.set_level("INFO", "mamsf_keras")
    next(small_nih.rglob("00000005_000.png")).unlink()
    data = load(toy_config(small_nih, cache="none", allow_missing=True))
    assert "1 of 80 images" in caplog.text and "00000005_000.png" in caplog.text
    (row,) = [line.split() for line in caplog.text.splitlines() if line.startswith("images ")]
    assert row == ["images", *map(str, (len(data.training), len(data.validation), 24, 79))]


def test_findings_with_one_class_are_left_out_of_both_streams_and_logged(small_nih, caplog):
    """`small_nih` has Effusion and Mass alone. Here one training image has Hernia too."""
    caplog.set_level("INFO", "mamsf_keras")
    train = open_dataset(small_nih).split("train").table["image"].tolist()
    rewrite_table(small_nih, lambda rows: [[r[0], "Hernia", *r[2:]] if r[0] == train[0] else r for r in rows])
    data = load(toy_config(small_nih, cache="none"))
    assert data.findings == data.validation.dataset.findings == ("Effusion", "Mass", "Hernia")
    assert data.training.labels.shape == (50, 3) and data.validation.labels.shape[1] == 3
    assert len(data.dataset.findings) == 14 and data.class_counts[0][2] == 1
    [chosen, unscored, left_out] = caplog.messages[-3:]
    assert chosen.endswith("the mean of 1 of 3 findings, each with 2 positive and 4 negative validation labels")
    assert unscored.endswith(": Mass (0 positive, 6 negative), Hernia (0 positive, 6 negative)")
    assert "Atelectasis (0 positive, 50 negative), Cardiomegaly (0 " in left_out and "Hernia" not in left_out


def test_each_process_reads_its_share_of_a_batch(shared_nih, training_data):
    config = toy_config(shared_nih)
    shares = [load(config, recorded(process, lambda name: None)).training.batch(3) for process in (0, 1)]
    for whole, one, two in zip(training_data.training.batch(3), *shares, strict=True):
        assert len(one) == 4
        np.testing.assert_array_equal(whole, np.concatenate([one, two]))


@pytest.mark.parametrize("process", [0, 1])
def test_one_process_makes_the_cache_while_the_others_wait(small_nih, tmp_path, process):
    found = []
    config = toy_config(small_nih, cache=tmp_path / "cache")
    load(config, recorded(process, lambda name: found.append(is_finished(tmp_path / "cache"))))
    assert found == [process == 0]


def test_other_processes_are_released_if_the_cache_cannot_be_made(small_nih, tmp_path):
    path = next(small_nih.rglob("*.png"))
    path.write_bytes(b"no image")
    waits = []
    with pytest.raises(ValueError, match=path.name):
        load(toy_config(small_nih, cache=tmp_path / "cache"), recorded(0, waits.append))
    assert waits == ["data"]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, 6),
        ({"steps_per_epoch": 2}, 2),
        ({"steps_per_epoch": 60}, 60),
        ({"steps_per_execution": 4}, 4),
        ({"steps_per_execution": 6}, 6),
        ({"steps_per_epoch": 8, "steps_per_execution": 4}, 8),
    ],
)
def test_an_epoch_is_a_pass_of_whole_executions(options, expected):
    """50 images in batches of 8 are 6 steps."""
    assert steps_per_epoch(toy_config("data", **options), stream_of(np.zeros((50, 1)), 8)) == expected


def test_execution_longer_than_an_epoch_is_refused():
    message = "`steps_per_execution` must be at most the number of steps per epoch, 6. Received: .*=7."
    with pytest.raises(ValueError, match=message):
        steps_per_epoch(toy_config("data", steps_per_execution=7), stream_of(np.zeros((50, 1)), 8))


def test_data_that_cannot_be_trained_on_are_refused(small_nih):
    with pytest.raises(ValueError, match="`batch_size` must be at most the number of training images, 50"):
        load(toy_config(small_nih, batch_size=51))
    rewrite_table(small_nih, lambda rows: [rows[0], *[[row[0], "No Finding", *row[2:]] for row in rows[1:]]])
    with pytest.raises(ValueError, match="No finding has .* nothing to learn: Atelectasis .0 positive, 50 neg"):
        load(toy_config(small_nih, cache="none"))
