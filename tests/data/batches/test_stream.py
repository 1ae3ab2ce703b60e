import dataclasses

import numpy as np
import pytest
from PIL import Image

from mamsf_keras.data.batches.stream import Stream, labels_and_weights, named_errors
from mamsf_keras.images.augment import light
from tests.toys import image_dataset

pytestmark = pytest.mark.no_keras


@pytest.fixture
def dataset(tmp_path):
    """Eleven images of 16 pixels with two findings."""
    return image_dataset(tmp_path, A=np.arange(11) % 2, B=np.arange(11) // 6)


def make_stream(dataset, **options):
    return Stream(dataset, image_size=16, batch_size=3, seed=5, **options)


def pixels(dataset, row):
    with Image.open(dataset.table["path"][row]) as image:
        return np.asarray(image)


def test_batch_is_the_documented_function_of_the_step(dataset):
    for step in (0, 2, 3, 10):
        pass_index, i = divmod(step, 3)
        rows = np.random.default_rng([5, pass_index]).permutation(11)[i * 3 : i * 3 + 3]
        images, labels, weights = make_stream(dataset, augment="light").batch(step)
        for k, row in enumerate(rows):
            expected = light(pixels(dataset, row), np.random.default_rng([5, pass_index, row]))
            np.testing.assert_array_equal(images[k, :, :, 0], expected)
        np.testing.assert_array_equal(labels, dataset.table[["A", "B"]].to_numpy()[rows])
        assert weights.tolist() == [[1, 1]] * 3
        assert (images.dtype, labels.dtype, weights.dtype) == (np.uint8, np.float32, np.float32)


def test_a_pass_visits_each_image_at_most_once_and_leaves_out_the_remainder(dataset):
    stream = make_stream(dataset)
    assert (len(stream), stream.steps_per_pass) == (11, 3)
    rows = np.concatenate([stream.rows(step) for step in range(3)])
    assert len(set(rows.tolist())) == len(rows) == 9


def test_shares_of_a_batch_add_up_to_the_batch(dataset):
    """The weights of each share are those of the whole batch, so that losses add up too."""
    labels = dataset.table["A"].astype("float32").where(dataset.table["A"] == 0)  # half of them missing
    dataset = dataclasses.replace(dataset, table=dataset.table.assign(A=labels))
    whole = Stream(dataset, 16, 4, augment="light", seed=5)
    shares = [Stream(dataset, 16, 4, augment="light", seed=5, share=(process, 2)) for process in range(2)]
    for step in range(4):
        for array, *parts in zip(whole.batch(step), *(share.batch(step) for share in shares), strict=True):
            assert len(parts[0]) == 2
            np.testing.assert_array_equal(np.concatenate(parts), array)
    for index in range(3):
        parts = [share.images_in_order(index) for share in shares]
        np.testing.assert_array_equal(np.concatenate(parts), whole.images_in_order(index))


def test_images_in_order_are_not_augmented_and_fill_the_last_batch(dataset):
    stream = make_stream(dataset, augment="light")
    images = np.concatenate([stream.images_in_order(index) for index in range(4)])
    assert images.shape == (12, 16, 16, 1)
    for row in range(12):
        np.testing.assert_array_equal(images[row, :, :, 0], pixels(dataset, min(row, 10)))


def test_missing_labels_become_weights():
    labels, weights = labels_and_weights(np.array([[1, np.nan], [0, 1]], np.float32))
    np.testing.assert_array_equal(labels, [[1, 0], [0, 1]])
    np.testing.assert_allclose(weights, [[4 / 3, 0], [4 / 3, 4 / 3]])
    _, weights = labels_and_weights(np.full((2, 2), np.nan, np.float32))
    assert weights.tolist() == [[0, 0], [0, 0]]


def test_too_few_images_for_a_batch(dataset):
    two = dataclasses.replace(dataset, table=dataset.table.head(2))
    words = "`batch_size` must be at most the number of training images, 2. Received: batch_size=3."
    with pytest.raises(ValueError, match=words):
        make_stream(two).check_fills_a_batch()
    assert make_stream(two).images_in_order(0).shape == (3, 16, 16, 1)  # evaluation fills the batch up
    make_stream(dataset).check_fills_a_batch()


def test_unknown_augmentation_is_refused(dataset):
    with pytest.raises(ValueError, match="`augment` must be one of none, light, strong. Received: augment=wild."):
        make_stream(dataset, augment="wild")


def test_error_of_the_stream_replaces_that_of_a_backend(dataset):
    with open(dataset.table["path"][4], "r+b") as file:
        file.truncate(40)
    stream = make_stream(dataset)
    with pytest.raises(ValueError, match=r"4\.png cannot be read as an image"), named_errors(stream):
        try:
            stream.read(4)
        except ValueError as error:
            raise RuntimeError("a long text") from error
    with pytest.raises(RuntimeError, match="not of the stream"), named_errors(make_stream(dataset)):
        raise RuntimeError("not of the stream")
