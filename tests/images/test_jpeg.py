import io

import numpy as np
import pytest
from PIL import Image

from mamsf_keras.images.jpeg import check_jpeg, decode_jpeg

pytestmark = pytest.mark.no_keras

END = b"\xff\xd9"


def picture(*channels):
    """A smooth picture with grain of 130 x 150 pixels."""
    y, x = np.mgrid[:130, :150]
    smooth = 128 + 80 * np.sin(x / 17) * np.cos(y / 13)
    grain = np.random.default_rng(0).normal(0, 10, (130, 150, *channels))
    return Image.fromarray(np.clip(smooth.reshape(130, 150, *(1 for _ in channels)) + grain, 0, 255).astype(np.uint8))


def encoded(image, **options):
    content = io.BytesIO()
    image.save(content, "JPEG", **options)
    return content.getvalue()


def with_black_border():
    pixels = np.array(picture())
    pixels[60:] = 0
    return Image.fromarray(pixels)


HEALTHY = {
    "gray": encoded(picture()),
    "progressive": encoded(picture(), progressive=True),
    "restart markers": encoded(picture(), restart_marker_rows=1),
    "subsampled": encoded(picture(3), subsampling="4:2:0"),
    "YCbCr": encoded(picture(3), subsampling="4:4:4"),
    "RGB": encoded(picture(3), keep_rgb=True),
    "CMYK": encoded(picture(3).convert("CMYK")),
    "black lower border": encoded(with_black_border()),
    "black": encoded(Image.new("L", (150, 130))),
    "one pixel": encoded(Image.new("L", (1, 1), 9)),
    "bytes after the end": encoded(picture()) + b"\0\0junk",
}


def decode(data):
    with Image.open(io.BytesIO(data)) as image:
        return decode_jpeg(data, image)


@pytest.mark.parametrize("data", HEALTHY.values(), ids=HEALTHY)
def test_intact_file_has_the_same_pixels_as_pillow(data):
    check_jpeg(data)
    with Image.open(io.BytesIO(data)) as image:
        read = decode_jpeg(data, image)
        assert (read.mode, read.size) == (image.mode, image.size)
        np.testing.assert_array_equal(read, image)


def lose(data, how):
    half = len(data) // 2
    if how == "second half":
        return data[:half] + END
    if how == "middle":
        return data[:half] + data[half + 300 :]
    if how == "end":
        return data[: -len(END)]
    return data[:half] + bytes(300) + data[half + 300 :]  # zeros are not valid codes, except in a progressive file


@pytest.mark.parametrize("how", ["second half", "middle", "end", "zeroed block"])
@pytest.mark.parametrize("name", ["gray", "restart markers", "subsampled", "CMYK", "black lower border"])
def test_lost_data_are_an_error(name, how):
    """Pillow reads most of these without an error, and draws gray for what is lost."""
    damaged = lose(HEALTHY[name], how)
    for function in (decode, check_jpeg):
        with pytest.raises(ValueError, match="Corrupt JPEG data|Premature end of JPEG file|Unsupported marker"):
            function(damaged)


def test_lost_data_of_a_progressive_file_are_an_error():
    for how in ("second half", "end"):
        with pytest.raises(ValueError, match="Corrupt JPEG data|Premature end of JPEG file"):
            check_jpeg(lose(HEALTHY["progressive"], how))


def test_bytes_that_are_not_jpeg_are_an_error():
    for data in (b"", b"\xff\xd8", bytes(1000), HEALTHY["gray"][:30]):
        with pytest.raises(ValueError):
            check_jpeg(data)
