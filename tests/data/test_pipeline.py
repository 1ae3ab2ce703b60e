import numpy as np
import pandas as pd
import pytest
from PIL import Image

from mamsf_keras.config import DataConfig
from mamsf_keras.data.augment import light
from mamsf_keras.data.folder import read_split
from mamsf_keras.data.pipeline import dataset, images_dataset, training_batches
from mamsf_keras.data.prepare import prepare
from mamsf_keras.data.py_dataset import stream_batches
from mamsf_keras.data.stream import Stream, labels_and_weights, named_errors, subset


@pytest.fixture
def table(tmp_path):
    rng = np.random.default_rng(0)
    paths = []
    for row in range(11):
        paths.append(str(tmp_path / f"{row}.png"))
        Image.fromarray(rng.integers(0, 256, (16, 16), dtype=np.uint8)).save(paths[-1])
    return pd.DataFrame({"image": paths, "path": paths, "A": np.arange(11) % 2, "B": np.arange(11) // 6})


def stream(table, **options):
    return Stream(table, ("A", "B"), image_size=16, batch_size=3, seed=5, **options)


def pixels(table, row):
    return np.asarray(Image.open(table["path"][row]))


def test_a_batch_is_the_written_function_of_the_step(table):
    for step in (0, 2, 3, 10):
        number, i = divmod(step, 3)
        rows = np.random.default_rng([5, number]).permutation(11)[i * 3 : i * 3 + 3]
        images, labels, weights = stream(table, augment="light").batch(step)
        for k, row in enumerate(rows):
            expected = light(pixels(table, row), np.random.default_rng([5, number, row]))
            np.testing.assert_array_equal(images[k, :, :, 0], expected)
        np.testing.assert_array_equal(labels, table[["A", "B"]].to_numpy()[rows])
        assert weights.tolist() == [[1, 1]] * 3


def test_a_pass_visits_each_image_at_most_once_all_but_the_rest(table):
    rows = np.concatenate([stream(table).rows(step) for step in range(3)])
    assert len(set(rows.tolist())) == len(rows) == 9


@pytest.mark.parametrize("augment", ["none", "light"])
def test_tf_data_gives_the_stream_from_any_step(table, augment):
    source = stream(table, augment=augment)
    for start in (0, 4):
        batches = list(dataset(source, 8, start).as_numpy_iterator())
        assert len(batches) == 8 - start
        for step, batch in enumerate(batches, start):
            for got, expected in zip(batch, source.batch(step), strict=True):
                np.testing.assert_array_equal(got, expected)
                assert got.dtype == expected.dtype


@pytest.mark.parametrize("workers", [1, 4])
def test_rerun_and_resume_in_the_second_pass_are_the_same_bytes(small_nih, tmp_path, workers):
    """Through `tf.data` and through the `PyDataset`, from a cache, augmentation included."""
    prepare(DataConfig(small_nih), tmp_path / "cache", 16, workers=1)

    def source():
        studies = read_split(DataConfig(tmp_path / "cache"))
        return Stream(subset(studies.table, "train"), studies.findings, 16, 4, augment="light", seed=7)

    undisturbed, passes = source(), 3
    steps = passes * undisturbed.batches
    middle = undisturbed.batches + undisturbed.batches // 2
    expected = [undisturbed.batch(step) for step in range(steps)]
    for start in (0, middle):
        through_tf = list(dataset(source(), steps, start, workers).as_numpy_iterator())
        ahead = stream_batches(source(), start, workers)
        through_py = [ahead[index] for index in range(steps - start)]
        for got in (through_tf, through_py):
            assert len(got) == steps - start
            for batch, wanted in zip(got, expected[start:], strict=True):
                assert [array.tobytes() for array in batch] == [array.tobytes() for array in wanted]


def test_strong_keeps_labels_and_order(table):
    source = stream(table, augment="strong")
    for step, (images, labels, _) in enumerate(dataset(source, 3).as_numpy_iterator()):
        assert images.shape == (3, 16, 16, 1) and images.dtype == np.uint8
        np.testing.assert_array_equal(labels, source.batch(step)[1])


def test_evaluation_reads_every_image_once_in_order(table):
    images = np.concatenate(list(images_dataset(stream(table, augment="light")).as_numpy_iterator()))
    assert images.shape == (12, 16, 16, 1)
    for row in range(12):
        np.testing.assert_array_equal(images[row, :, :, 0], pixels(table, min(row, 10)))


def test_missing_labels_become_weights():
    labels, weights = labels_and_weights(np.array([[1, np.nan], [0, 1]], np.float32))
    np.testing.assert_array_equal(labels, [[1, 0], [0, 1]])
    np.testing.assert_allclose(weights, [[4 / 3, 0], [4 / 3, 4 / 3]])
    _, weights = labels_and_weights(np.full((2, 2), np.nan, np.float32))
    assert weights.tolist() == [[0, 0], [0, 0]]


def test_a_damaged_image_is_named(table):
    with open(table["path"][4], "r+b") as file:
        file.truncate(40)
    source = stream(table)
    with pytest.raises(ValueError, match=r"4\.png cannot be read as an image"), named_errors(source):
        list(images_dataset(source))


def test_too_few_images_for_a_batch(table):
    with pytest.raises(ValueError, match="2 training images do not fill one batch of 3"):
        training_batches(stream(table.head(2)), 1)
    assert next(iter(images_dataset(stream(table.head(2))))).shape == (3, 16, 16, 1)  # evaluation fills it up


@pytest.mark.tensorflow
def test_no_thread_sleeps_on_when_all_is_read(table):
    """The one that tunes a pipeline holds up the end of its iterator, by as long again as it lived, at times."""
    for batches in (dataset(stream(table), 3), images_dataset(stream(table))):
        assert batches.options().autotune.enabled is False
