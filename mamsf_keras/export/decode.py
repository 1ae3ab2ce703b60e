"""Decodes PNG and JPEG inside a TensorFlow graph, by the rules of `images/gray.py`.

The gray values equal those of `read_gray`; after resizing they differ by at most 1, because Pillow rounds between its
two passes. Files of other kinds, 16-bit color, animated PNG and damaged files raise an error.

TensorFlow has no strict JPEG decoder: libjpeg fills lost data with the gray value 128 and only issues a warning. An
image with a row of blocks of this value is therefore rejected. This detects lost data of baseline files, gray or color,
unless less than a row of blocks was lost. Lost data of progressive and CMYK files are not detected: only `read_gray`
rejects these files.
"""

import tensorflow as tf

from mamsf_keras.images.gray import BIT_DEPTHS

PNG = b"\x89PNG\r\n\x1a\n"
JPEG = b"\xff\xd8\xff"
HEADER_BYTES = 26
"""Bytes of a PNG file up to the color type: signature, length, "IHDR", width, height, bit depth, color type."""
ANIMATION = r"\C*acTL\C*"
"""Matches the first bytes of an animated PNG. The chunk `acTL` precedes the pixels."""
ANIMATION_BYTES = 256
"""Bytes that are searched for the chunk. In compressed pixels the four letters could occur by chance."""
BLOCK, LOST_VALUE = 8, 128
"""Height of a row of JPEG blocks, and the value that libjpeg fills lost blocks with."""


def decode_batch(contents: tf.Tensor, size: int | None) -> tf.Tensor:
    """Decodes encoded images.

    Args:
        contents: string `(batch,)`, each the bytes of a PNG or JPEG file.
        size: height and width to resize to, in pixels. None keeps those of the files, which must then be equal.

    Returns:
        float32 `(batch, height, width, 1)`, whole numbers from 0 (black) to 255 (white).
    """
    spec = tf.TensorSpec((size, size, 1), tf.float32)
    return tf.map_fn(lambda content: decode_gray(content, size), contents, fn_output_signature=spec)


def decode_gray(content: tf.Tensor, size: int | None) -> tf.Tensor:
    """Decodes one image, a string scalar, to float32 `(height, width, 1)`. See `decode_batch`."""
    is_png = tf.equal(tf.strings.substr(content, 0, len(PNG)), PNG)
    gray = tf.cond(is_png, lambda: _decode_png(content), lambda: _decode_jpeg(content))[..., tf.newaxis]
    if size is not None:
        gray = tf.round(tf.image.resize(gray, (size, size), antialias=True))
    return gray


def _decode_jpeg(content):
    is_jpeg = tf.equal(tf.strings.substr(content, 0, len(JPEG)), JPEG)
    content = _checked(content, is_jpeg, "image_bytes must be PNG or JPEG files")
    # Pillow also uses the accurate transform; TensorFlow's default is a different one.
    gray = _luma(tf.io.decode_jpeg(content, dct_method="INTEGER_ACCURATE"))
    height = tf.shape(gray)[0] // BLOCK * BLOCK
    rows = tf.reshape(gray[:height], (height // BLOCK, BLOCK * tf.shape(gray)[1]))
    lost = tf.reduce_any(tf.reduce_all(tf.equal(rows, LOST_VALUE), axis=1))
    message = f"image_bytes contains a JPEG file with lost data: {BLOCK} rows have only the value {LOST_VALUE}"
    return _checked(gray, ~lost, message)


def _decode_png(content):
    complete = tf.strings.length(content) >= HEADER_BYTES
    start = tf.strings.substr(content, 0, tf.minimum(tf.strings.length(content), ANIMATION_BYTES))
    animated = tf.strings.regex_full_match(start, ANIMATION)
    content = _checked(content, complete, "image_bytes contains a truncated PNG file")
    content = _checked(content, ~animated, "image_bytes contains an animated PNG file; use one frame")
    header = tf.io.decode_raw(tf.strings.substr(content, HEADER_BYTES - 2, 2), tf.uint8)
    # Decoded as uint8, a 16-bit image would silently lose the lower byte of each pixel.
    return tf.cond(
        tf.equal(header[0], 16),
        lambda: _decode_deep_png(content, header[1]),
        lambda: _luma(tf.io.decode_png(content)),
    )


def _decode_deep_png(content, color_type):
    message = "16-bit color is not supported. Save it as 8-bit color or as 16-bit gray"
    content = _checked(content, tf.equal(color_type, 0), message)
    pixels = tf.cast(tf.io.decode_png(content, dtype=tf.uint16)[..., 0], tf.float64)
    ranges = tf.constant([2.0**bits - 1 for bits in BIT_DEPTHS], tf.float64)
    top = tf.reduce_min(tf.boolean_mask(ranges, ranges >= tf.reduce_max(pixels)))
    return tf.cast(tf.round(pixels * (255 / top)), tf.float32)


def _checked(value, condition, message):
    """Returns a value after checking a condition in the graph."""
    with tf.control_dependencies([tf.debugging.assert_equal(condition, True, message)]):
        return tf.identity(value)


def _luma(pixels):
    """Returns float32 `(height, width)` of uint8 `(height, width, channels)`: Pillow's integer ITU-R 601 luma."""

    def of_color():
        red, green, blue = (tf.cast(pixels[..., channel], tf.int32) for channel in range(3))
        return tf.bitwise.right_shift(red * 19595 + green * 38470 + blue * 7471 + 0x8000, 16)

    gray = tf.cond(tf.shape(pixels)[-1] >= 3, of_color, lambda: tf.cast(pixels[..., 0], tf.int32))
    return tf.cast(gray, tf.float32)
