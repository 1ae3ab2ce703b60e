import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from mamsf_keras.images.gray import read_gray, read_with_note, resize

pytestmark = pytest.mark.no_keras

RAMP = np.tile(np.arange(64, dtype=np.uint8) * 4, (64, 1))


def save(tmp_path, image, name="x.png", **options):
    path = tmp_path / name
    image.save(path, **options)
    return path


def test_twelve_bit_ramp_in_sixteen_bit_file_keeps_its_levels(tmp_path):
    pixels = np.tile(np.arange(64, dtype=np.uint16) * 65, (64, 1))
    gray = read_gray(save(tmp_path, Image.fromarray(pixels)))
    assert (np.diff(gray[0].astype(int)) >= 0).all() and len(np.unique(gray[0])) >= 60
    np.testing.assert_array_equal(gray[0], np.round(np.arange(64) * 65 * 255 / 4095))


@pytest.mark.parametrize(("high", "bits"), [(200, 8), (1000, 10), (4095, 12), (4096, 14), (16384, 16), (65535, 16)])
def test_sixteen_bit_scale_is_the_smallest_depth_that_holds_the_maximum(tmp_path, high, bits):
    pixels = np.array([[0, high // 2], [high // 3, high]], dtype=np.uint16)
    gray = read_gray(save(tmp_path, Image.fromarray(pixels)))
    np.testing.assert_array_equal(gray, np.round(pixels.astype(float) * 255 / (2**bits - 1)))


def test_gray_in_any_mode_gives_the_same_pixels(tmp_path):
    gray = Image.fromarray(RAMP)
    rgba = Image.merge("RGBA", [gray, gray, gray, Image.fromarray(np.full_like(RAMP, 128))])
    for number, image in enumerate((gray, gray.convert("LA"), gray.convert("RGB"), rgba, gray.convert("P"))):
        np.testing.assert_array_equal(read_gray(save(tmp_path, image, f"{number}.png")), RAMP)


def test_color_becomes_luma(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    luma = pixels @ np.array([0.299, 0.587, 0.114])
    assert np.abs(read_gray(save(tmp_path, Image.fromarray(pixels))) - luma).max() <= 1
    palette = Image.fromarray(pixels).convert("P", palette=Image.Palette.ADAPTIVE)
    expected = np.asarray(palette.convert("RGB")) @ np.array([0.299, 0.587, 0.114])
    assert np.abs(read_gray(save(tmp_path, palette, "p.png")) - expected).max() <= 1


@pytest.mark.parametrize(("bits", "top"), [(1, 1), (2, 3), (4, 15)])
def test_one_to_four_bits_are_spread_over_the_whole_range(tmp_path, bits, top):
    values = np.tile(np.arange(top + 1, dtype=np.uint8), (4, 1))
    if bits == 1:
        path = save(tmp_path, Image.fromarray(values * 255).convert("1"))
    else:
        path = save(tmp_path, _indexed(values, bits), bits=bits)
    np.testing.assert_array_equal(read_gray(path)[0], np.round(np.arange(top + 1) * 255 / top))


def _indexed(values, bits):
    image = Image.fromarray(values).convert("P")
    image.putpalette([int(v) for i in range(2**bits) for v in [i * 255 / (2**bits - 1)] * 3])
    image.putdata(values.ravel().tolist())
    return image


def test_jpeg_is_read_to_within_its_loss(tmp_path):
    gray = read_gray(save(tmp_path, Image.fromarray(RAMP), "x.jpg", quality=95))
    assert np.abs(gray.astype(int) - RAMP).max() <= 4


def test_sixteen_bit_color_is_refused(tmp_path):
    path = tmp_path / "x.png"
    path.write_bytes(_sixteen_bit_rgb())
    with pytest.raises(ValueError, match=r"x.png cannot be read as an image: 16-bit color is not supported"):
        read_gray(path)


def _sixteen_bit_rgb():
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 2, 2, 16, 2, 0, 0, 0)
    rows = b"".join(b"\0" + struct.pack(">6H", *range(6)) for _ in range(2))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


@pytest.mark.parametrize("suffix", ["png", "jpg", "dcm"])
@pytest.mark.parametrize("kind", ["GIF", "WEBP", "TIFF", "BMP", "PPM", "ICO", "JPEG2000"])
def test_other_formats_are_refused_by_name_regardless_of_the_suffix(tmp_path, kind, suffix):
    path = tmp_path / f"x.{suffix}"
    Image.fromarray(RAMP).save(path, kind)
    if suffix == "dcm" and kind in ("PPM", "ICO"):  # a DICOM file without preamble starts with anything
        with pytest.raises((ValueError, ImportError), match="x.dcm"):
            read_gray(path)
        return
    with pytest.raises(ValueError, match=rf"x.{suffix} .* it is a {kind} file, but only PNG, JPEG and DICOM"):
        read_gray(path)


@pytest.mark.parametrize("suffix", ["png", "jpg", "dcm", "gif", ""])
@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_format_is_recognized_by_its_content(tmp_path, kind, suffix):
    path = tmp_path / f"x.{suffix}"
    Image.fromarray(RAMP).save(path, kind, quality=95)
    assert np.abs(read_gray(path).astype(int) - RAMP).max() <= 4


def test_file_with_several_frames_is_refused(tmp_path):
    frames = [Image.fromarray(RAMP), Image.fromarray(RAMP.T)]
    frames[0].save(tmp_path / "x.png", save_all=True, append_images=frames[1:])
    with pytest.raises(ValueError, match=r"x.png .* it has 2 frames, but a radiograph must have one"):
        read_gray(tmp_path / "x.png")
    frames[0].save(tmp_path / "x.jpg", "MPO", save_all=True, append_images=frames[1:])
    with pytest.raises(ValueError, match=r"x.jpg .* it is a MPO file"):
        read_gray(tmp_path / "x.jpg")


def test_error_of_an_unknown_format_is_the_same_each_time(tmp_path):
    (tmp_path / "x.png").write_bytes(b"not an image")
    with pytest.raises(ValueError, match="x.png cannot be read as an image: it is not a PNG, JPEG or DICOM file$"):
        read_gray(tmp_path / "x.png")


def lose_end_of_jpeg(data):
    return data[: len(data) // 2] + b"\xff\xd9"


def lose_end_of_png(data):
    return data[: len(data) // 2] + data[-12:]  # with the end marker


def lose_middle(data):
    return data[: len(data) // 2] + data[len(data) // 2 + 200 :]


def change_a_byte(data):
    return data[: len(data) // 2] + bytes([data[len(data) // 2] ^ 1]) + data[len(data) // 2 + 1 :]


def change_a_byte_and_lose_the_checksum(data):
    """Pillow alone reads it: it compares no checksum of chunks, and that of the pixels is lost."""
    return change_a_byte(data)[: -12 - 8] + data[-12:]


@pytest.mark.parametrize(
    ("suffix", "damage"),
    [
        ("jpg", lose_end_of_jpeg),
        ("jpg", lose_middle),
        ("png", lose_end_of_png),
        ("png", lambda data: data[: len(data) // 2]),
        ("png", lambda data: data[:-12]),
        ("png", lose_middle),
        ("png", change_a_byte),
        ("png", change_a_byte_and_lose_the_checksum),
    ],
)
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_lost_data_are_an_error_that_names_the_file(tmp_path, suffix, damage, mode):
    pixels = np.random.default_rng(0).integers(0, 256, (200, 160), dtype=np.uint8) // 2
    path = save(tmp_path, Image.fromarray(pixels).convert(mode), f"x.{suffix}")
    read_gray(path)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ValueError, match=rf"x.{suffix} cannot be read as an image: \w"):
        read_gray(path)


@pytest.mark.parametrize("suffix", ["jpg", "png"])
def test_uniform_lower_border_is_not_damage(tmp_path, suffix):
    pixels = np.random.default_rng(0).integers(0, 256, (128, 80), dtype=np.uint8)
    pixels[48:] = 0
    gray = read_gray(save(tmp_path, Image.fromarray(pixels), f"x.{suffix}"))
    assert (gray[48:] == 0).all() and gray[:48].std() > 50


@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_damaged_file_raises_only_an_error_that_names_it(tmp_path, suffix):
    whole = save(tmp_path, Image.fromarray(RAMP), f"whole.{suffix}").read_bytes()
    rng = np.random.default_rng(0)
    refused = 0
    for number in range(150):
        damaged = bytearray(whole[: rng.integers(0, len(whole))] if number % 2 else whole)
        for place in rng.integers(0, max(len(damaged), 1), 3):
            damaged[place : place + 1] = bytes([rng.integers(256)])
        path = tmp_path / f"damaged.{suffix}"
        path.write_bytes(damaged)
        try:
            assert read_gray(path).dtype == np.uint8
        except ValueError as error:
            assert str(path) in str(error) and "\n" not in str(error)
            refused += 1
    assert refused > 50


def test_error_names_a_folder_or_a_missing_file(tmp_path):
    for path in (tmp_path, tmp_path / "none.png"):
        with pytest.raises(ValueError, match=f"{path} cannot be read"):
            read_gray(path)


def triangle(line, size):
    """Reduces one line by hand with a triangle filter that is as wide as the reduction."""
    scale = len(line) / size
    centers = (np.arange(len(line)) + 0.5)[None] - (np.arange(size) + 0.5)[:, None] * scale
    weights = np.clip(1 - np.abs(centers) / scale, 0, None)
    return weights @ line / weights.sum(axis=1)


def test_resize_is_antialiased():
    pixels = np.random.default_rng(0).integers(0, 256, (60, 60), dtype=np.uint8)
    expected = np.apply_along_axis(triangle, 0, np.apply_along_axis(triangle, 1, pixels.astype(float), 13), 13)
    assert np.abs(resize(pixels, 13) - expected).max() <= 1.01
    assert resize(pixels, 60) is pixels and resize(pixels, None) is pixels


def test_real_originals_are_read(nih_dir):
    files = sorted((nih_dir / "originals_1024").glob("*.png"))
    modes = set()
    for path in files:
        with Image.open(path) as image:
            modes.add(image.mode)
        gray = read_gray(path, 224)
        assert gray.shape == (224, 224) and gray.dtype == np.uint8 and gray.std() > 10
    assert len(files) == 48 and modes == {"L", "RGBA"}


def test_images_that_are_not_dicom_need_no_note(tmp_path):
    gray, note = read_with_note(save(tmp_path, Image.fromarray(RAMP)))
    np.testing.assert_array_equal(gray, RAMP)
    assert note == ""
