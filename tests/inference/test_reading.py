import threading
import tracemalloc

import numpy as np
import pytest
from PIL import Image

from mamsf_keras.images.dicom import BARE
from mamsf_keras.images.gray import read_gray
from mamsf_keras.inference.reading import NEARLY_BLACK, read_batches, read_image
from tests.images.test_dicom_signature import bare_dicom

pytestmark = pytest.mark.no_keras


def write(path, pixels):
    Image.fromarray(pixels).save(path)
    return path


@pytest.fixture
def paths(tmp_path):
    rng = np.random.default_rng(0)
    return [write(tmp_path / f"{i:02d}.png", rng.integers(0, 256, (20, 30), dtype=np.uint8)) for i in range(25)]


def test_pixels_equal_those_of_every_other_command(paths):
    image = read_image(paths[0], 16, keep_original=True)
    np.testing.assert_array_equal(image.pixels, read_gray(paths[0], 16))
    np.testing.assert_array_equal(image.original, read_gray(paths[0]))
    assert (image.height, image.width, image.note, image.warning, image.error) == (20, 30, "", "", "")
    assert read_image(paths[0], 16).original is None


def test_sixteen_bit_ramp_has_the_gray_values_of_prepare(tmp_path):
    path = write(tmp_path / "x.png", np.tile(65 * np.arange(64, dtype=np.uint16), (64, 1)))
    np.testing.assert_array_equal(read_image(path, 32).pixels, read_gray(path, 32))
    assert np.ptp(read_image(path, 32).pixels) > 200


def test_dicom_without_preamble_or_suffix_is_read(tmp_path):
    image = read_image(bare_dicom(tmp_path / "IM1"), 4)
    assert (image.pixels == 200).all() and image.note == BARE


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize(("most", "warns"), [(0, True), (1, True), (2, False)])
def test_values_that_never_exceed_1_are_noticed(tmp_path, dtype, most, warns):
    pixels = np.zeros((8, 8), dtype)
    pixels[3, 3] = most
    assert read_image(write(tmp_path / "x.png", pixels), 4).warning == (NEARLY_BLACK if warns else "")


def test_image_with_one_bright_pixel_is_not_reported_as_black(tmp_path):
    pixels = np.zeros((512, 512), np.uint8)
    pixels[3, 3] = 255
    assert not read_image(write(tmp_path / "x.png", pixels), 4).warning


@pytest.mark.parametrize("content", [b"", b"text", b"\x89PNG\r\n\x1a\n", None])
def test_bad_file_is_named_with_one_line(tmp_path, content):
    path = tmp_path / "x.png"
    if content is not None:
        path.write_bytes(content)
    image = read_image(path, 8)
    assert image.pixels is None and str(path) in image.error and "\n" not in image.error


def test_folder_in_place_of_a_file_is_an_error_of_this_file(tmp_path):
    assert str(tmp_path) in read_image(tmp_path, 8).error


@pytest.mark.parametrize("batch_size", [1, 4, 25, 100])
def test_batches_hold_every_image_once_in_order(paths, batch_size):
    bad = paths[0].with_name("bad.png")
    bad.write_bytes(b"no image")
    names = [*paths[:3], bad, bad, *paths[3:]]
    batches = list(read_batches(names, 8, batch_size, workers=3))
    assert [image.path for batch in batches for image in batch] == names
    readable = [sum(image.pixels is not None for image in batch) for batch in batches]
    assert readable == [batch_size] * (25 // batch_size) + [25 % batch_size] * (25 % batch_size > 0)


def test_memory_does_not_grow_with_the_number_of_images(paths):
    def peak(repeats):
        tracemalloc.start()
        for _ in read_batches(paths * repeats, 64, 8, keep_originals=True, workers=2):
            pass
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    peak(4)
    assert peak(40) < 1.5 * peak(4) + 100_000


@pytest.mark.parametrize(("keep_originals", "most"), [(False, 8 * 129), (True, 129)])
def test_originals_are_read_ahead_one_per_task(paths, keep_originals, most):
    class Taken(list):
        count = 0

        def __getitem__(self, part):
            self.count += len(range(*part.indices(len(self))))
            return super().__getitem__(part)

    taken = Taken(paths[:1] * 2000)
    batches = read_batches(taken, 8, 1, keep_originals=keep_originals, workers=64)
    next(batches)
    batches.close()
    assert taken.count == most  # two tasks per thread, and one for that which is done


def test_threads_end_when_the_reader_is_closed(paths):
    before = threading.active_count()
    batches = read_batches(paths * 10, 8, 4, workers=2)
    next(batches)
    batches.close()
    assert threading.active_count() == before


def test_file_that_cannot_be_opened_is_named_once_with_the_reason(tmp_path):
    (tmp_path / "loop.png").symlink_to("loop.png")
    for name, reason in (("none.png", "No such file or directory"), ("loop.png", "Too many levels of symbolic links")):
        assert read_image(tmp_path / name, 8).error == f"{tmp_path / name} cannot be read as an image: {reason}"
