"""Compares DICOM files made by these tests with the formulas of the standard, by hand or in NumPy."""

import io
import sys

import numpy as np
import pytest
from PIL import Image

from mamsf_keras.config import DataConfig
from mamsf_keras.data.cache.layout import read_meta
from mamsf_keras.data.cache.prepare import prepare
from mamsf_keras.data.open import open_dataset
from mamsf_keras.images.dicom import BARE
from mamsf_keras.images.gray import read_gray

pydicom = pytest.importorskip("pydicom", reason="pydicom is the extra `dicom`")
from pydicom.dataset import Dataset, FileMetaDataset  # noqa: E402
from pydicom.encaps import encapsulate  # noqa: E402
from pydicom.uid import (  # noqa: E402
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    RLELossless,
)

pytestmark = pytest.mark.no_keras

RAMP = np.tile(np.arange(64, dtype=np.uint16) * 64, (8, 1))


def write(path, pixels, syntax=ExplicitVRLittleEndian, codestream=None, photometric="MONOCHROME2", **elements):
    """Writes pixels as DICOM, by default with 12 of 16 bits stored."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.SOPClassUID, dataset.SOPInstanceUID = pydicom.uid.SecondaryCaptureImageStorage, "1.2.3"
    dataset.PatientName, dataset.PatientID = "SECRET^NAME", "SECRET-ID"
    dataset.Rows, dataset.Columns = pixels.shape[:2]
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = pixels[0, 0].size, photometric
    dataset.BitsAllocated = 8 * pixels.dtype.itemsize
    dataset.BitsStored = elements.pop("BitsStored", 12 if pixels.dtype.itemsize == 2 else 8)
    dataset.HighBit, dataset.PixelRepresentation = dataset.BitsStored - 1, int(pixels.dtype.kind == "i")
    for name, value in elements.items():
        setattr(dataset, name, value)
    dataset.PixelData = encapsulate([codestream]) if codestream else pixels.tobytes()
    dataset["PixelData"].VR = "OB" if codestream or pixels.dtype.itemsize == 1 else "OW"
    dataset["PixelData"].is_undefined_length = bool(codestream)
    dataset.save_as(path, enforce_file_format=True)
    return path


def row(*values, dtype=np.uint16):
    return np.array([values], dtype)


def table(first, values, bits):
    item = Dataset()
    item.LUTDescriptor, item.LUTData = [len(values), first, bits], list(values)
    item["LUTDescriptor"].VR = item["LUTData"].VR = "US"
    return [item]


def test_window_of_an_inverted_image(tmp_path):
    pixels = row(0, 800, 1023, 1200, 3000)
    path = write(tmp_path / "x.dcm", pixels, photometric="MONOCHROME1", WindowCenter=1024, WindowWidth=512)
    np.testing.assert_allclose(read_gray(path)[0], [255, 239, 128, 39, 0], atol=1)


def test_first_of_two_windows_is_used(tmp_path):
    path = write(tmp_path / "x.dcm", row(1024), WindowCenter=[2048, 1024], WindowWidth=[4096, 512])
    assert read_gray(path)[0, 0] == 64


@pytest.mark.parametrize(
    ("function", "expected"), [("LINEAR_EXACT", [0, 96, 128, 255]), ("SIGMOID", [30, 96, 128, 250])]
)
def test_window_functions(tmp_path, function, expected):
    """By hand, at c = 1024, w = 512: (x - c) / w + 1/2, and 1 / (1 + exp(-4 (x - c) / w)), 1 / (1 + e^2) = 0.119."""
    pixels = row(768, 960, 1024, 1536)
    path = write(tmp_path / "x.dcm", pixels, WindowCenter=1024, WindowWidth=512, VOILUTFunction=function)
    np.testing.assert_array_equal(read_gray(path)[0], expected)


def test_window_is_in_units_of_the_rescaled_values(tmp_path):
    plain = write(tmp_path / "a.dcm", RAMP, WindowCenter=2048, WindowWidth=2000)
    scaled = {"RescaleSlope": 2, "RescaleIntercept": -1000, "WindowCenter": 3096, "WindowWidth": 4000}
    np.testing.assert_allclose(
        read_gray(write(tmp_path / "b.dcm", RAMP, **scaled)), read_gray(plain).astype(int), atol=1
    )


def test_window_of_signed_values(tmp_path):
    pixels = row(-2048, -1024, 0, 2047, dtype=np.int16)
    path = write(tmp_path / "x.dcm", pixels, WindowCenter=0, WindowWidth=4096)
    np.testing.assert_array_equal(read_gray(path)[0], [0, 64, 128, 255])


def test_voi_table_of_eight_bits_and_more_than_256_entries(tmp_path):
    """`apply_voi_lut` of pydicom 3.0.2 keeps the indices in the type of the entries, so 300 becomes 44."""
    falling = np.clip(255 - np.arange(1024) // 4, 0, 255)
    path = write(tmp_path / "x.dcm", row(0, 100, 400, 1123, 4000), VOILUTSequence=table(100, falling.tolist(), 8))
    expected = [255, 255, 255 - 300 // 4, 0, 0]
    np.testing.assert_array_equal(read_gray(path)[0], expected)
    dataset = pydicom.dcmread(path)
    theirs = pydicom.pixels.apply_voi_lut(dataset.pixel_array, dataset)[0]
    assert theirs[2] == falling[300 - 256] != expected[2]


def test_voi_table_takes_precedence_over_a_window(tmp_path):
    values = np.arange(4096).tolist()
    elements = {"VOILUTSequence": table(0, values, 12), "WindowCenter": 5, "WindowWidth": 10}
    path = write(tmp_path / "x.dcm", row(0, 1000, 4095), **elements)
    np.testing.assert_array_equal(read_gray(path)[0], [0, 62, 255])


@pytest.mark.parametrize(
    ("bits", "syntax"), [(8, ExplicitVRLittleEndian), (16, ExplicitVRLittleEndian), (16, ExplicitVRBigEndian)]
)
def test_voi_table_in_bytes(tmp_path, bits, syntax):
    """A falling table of 256 entries, packed in one or two bytes per entry."""
    falling = (np.arange(255, -1, -1) * (257 if bits == 16 else 1)).astype(np.uint8 if bits == 8 else np.uint16)
    item = table(0, falling.tolist(), bits)
    order = ">" if syntax == ExplicitVRBigEndian else "<"
    item[0].add_new("LUTData", "OW", falling.astype(falling.dtype.newbyteorder(order)).tobytes())
    path = write(tmp_path / "x.dcm", row(0, 100, 200, 255, dtype=f"{order}u2"), syntax, VOILUTSequence=item)
    np.testing.assert_array_equal(read_gray(path)[0], [255, 155, 55, 0])


def test_table_over_signed_values_written_without_its_sign(tmp_path):
    item = table(64512, np.linspace(0, 4095, 2048).round().astype(int).tolist(), 12)  # 64512 is -1024
    path = write(tmp_path / "x.dcm", row(-1024, 0, 1023, dtype=np.int16), VOILUTSequence=item)
    np.testing.assert_allclose(read_gray(path)[0], [0, 128, 255], atol=1)


def test_table_of_65536_entries_is_written_as_0(tmp_path):
    item = table(0, [], 16)
    item[0].LUTDescriptor = [0, 0, 16]
    item[0].add_new("LUTData", "OW", np.arange(65536, dtype="<u2").tobytes())
    path = write(tmp_path / "x.dcm", row(0, 2048, 4095), RescaleSlope=16, VOILUTSequence=item)
    np.testing.assert_array_equal(read_gray(path)[0], [0, 128, 255])


def test_modality_table_of_twelve_bits(tmp_path):
    """`apply_modality_lut` of pydicom 3.0.2 fails on 12 bits per entry. The window is in the units of the table."""
    elements = {"ModalityLUTSequence": table(0, (4095 - np.arange(4096)).tolist(), 12)}
    path = write(tmp_path / "x.dcm", row(0, 1024, 4095), WindowCenter=2048, WindowWidth=4096, **elements)
    np.testing.assert_array_equal(read_gray(path)[0], [255, 191, 0])
    dataset = pydicom.dcmread(path)
    with pytest.raises(TypeError, match="uint12"):
        pydicom.pixels.apply_modality_lut(dataset.pixel_array, dataset)


def test_window_after_a_negative_slope(tmp_path):
    """`apply_windowing` of pydicom 3.0.2 takes the output range from the slope, so a negative one swaps its ends.

    The modality values are 4095 - stored = [4095, 2303, 2047, 1791, 0]. At c = 2048, w = 1024 (PS3.3 C.11.2.1.2) the
    window gives ((x - 2047.5) / 1023 + 0.5) * 255, so the smallest stored value is the brightest.
    """
    elements = {"RescaleSlope": -1, "RescaleIntercept": 4095, "WindowCenter": 2048, "WindowWidth": 1024}
    path = write(tmp_path / "x.dcm", row(0, 1792, 2048, 2304, 4095), **elements)
    np.testing.assert_array_equal(read_gray(path)[0], [255, 191, 127, 64, 0])
    dataset = pydicom.dcmread(path)
    values = pydicom.pixels.apply_modality_lut(dataset.pixel_array, dataset)
    np.testing.assert_array_equal(values[0], [4095, 2303, 2047, 1791, 0])
    theirs = pydicom.pixels.apply_windowing(values, dataset)[0]
    np.testing.assert_array_equal(np.argsort(theirs), np.argsort(read_gray(path)[0])[::-1])


def test_image_without_a_window_is_stretched_unless_it_has_eight_bits(tmp_path):
    stretched = read_gray(write(tmp_path / "a.dcm", row(100, 600, 1100)))
    np.testing.assert_array_equal(stretched[0], [0, 128, 255])
    as_stored = read_gray(write(tmp_path / "b.dcm", row(10, 20, 200, 0, dtype=np.uint8)))
    np.testing.assert_array_equal(as_stored[0], [10, 20, 200, 0])


def test_image_without_a_window_is_stretched_after_a_modality_step(tmp_path):
    inverted = write(tmp_path / "a.dcm", row(0, 155, 255, dtype=np.uint8), RescaleSlope=-1, RescaleIntercept=255)
    np.testing.assert_array_equal(read_gray(inverted)[0], [255, 100, 0])
    small = write(tmp_path / "b.dcm", row(0, 2048, 4095), RescaleSlope=0.0001, RescaleIntercept=0)
    np.testing.assert_array_equal(read_gray(small)[0], [0, 128, 255])
    signed = write(tmp_path / "c.dcm", row(-128, 0, 127, dtype=np.int8))
    np.testing.assert_array_equal(read_gray(signed)[0], [0, 128, 255])
    flat = write(tmp_path / "d.dcm", row(700, 700))
    np.testing.assert_array_equal(read_gray(flat)[0], [0, 0])


def test_empty_window_is_ignored(tmp_path):
    path = write(tmp_path / "x.dcm", row(100, 600, 1100), WindowCenter=None, WindowWidth=None)
    np.testing.assert_array_equal(read_gray(path)[0], [0, 128, 255])


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_padding_is_black_and_does_not_count_in_the_range(tmp_path, photometric):
    limits = {"PixelPaddingValue": 4095}
    gray = read_gray(write(tmp_path / "a.dcm", row(100, 600, 1100, 4095), photometric=photometric, **limits))[0]
    assert gray.tolist() == ([255, 128, 0, 0] if photometric == "MONOCHROME1" else [0, 128, 255, 0])
    limits = {"PixelPaddingValue": 0, "PixelPaddingRangeLimit": 50}
    gray = read_gray(write(tmp_path / "b.dcm", row(0, 40, 100, 600, 1100), photometric=photometric, **limits))[0]
    assert gray.tolist() == ([0, 0, 255, 128, 0] if photometric == "MONOCHROME1" else [0, 0, 0, 128, 255])


def test_padding_value_that_no_pixel_can_have(tmp_path):
    path = write(tmp_path / "x.dcm", row(0, 2000, 4095), PixelPaddingValue=65535)
    np.testing.assert_array_equal(read_gray(path)[0], [0, 125, 255])


def test_padding_value_written_without_its_sign(tmp_path):
    pixels = row(-2000, 100, 600, 1100, dtype=np.int16)
    path = write(tmp_path / "x.dcm", pixels, BitsStored=16)
    dataset = pydicom.dcmread(path)
    dataset.add_new("PixelPaddingValue", "US", 63536)
    dataset.save_as(path)
    np.testing.assert_array_equal(read_gray(path)[0], [0, 0, 128, 255])


def jpeg2000(pixels) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="JPEG2000", no_jp2=True, irreversible=False)
    return buffer.getvalue()


def test_bits_above_bits_stored_are_ignored(tmp_path):
    """Old overlays in a JPEG 2000 codestream of precision 16 under BitsStored 12, and in plain pixels."""
    ramp = np.tile(RAMP, (8, 1))
    overlaid = ramp.copy()
    overlaid[3, 5] |= 1 << 15
    overlaid[7, 9] |= 1 << 12
    expected = np.round(ramp / 4032 * 255)
    for name, pixels in (("clean", ramp), ("overlaid", overlaid)):
        compressed = write(tmp_path / f"{name}.dcm", pixels, JPEG2000Lossless, jpeg2000(pixels))
        np.testing.assert_array_equal(read_gray(compressed), expected)
        np.testing.assert_array_equal(read_gray(write(tmp_path / f"{name}2.dcm", pixels)), expected)


def test_run_length_encoding_gives_the_same_pixels(tmp_path):
    plain = write(tmp_path / "plain.dcm", RAMP)
    packed = pydicom.dcmread(plain)
    packed.compress(RLELossless)
    packed.save_as(tmp_path / "rle.dcm")
    np.testing.assert_array_equal(read_gray(tmp_path / "rle.dcm"), read_gray(plain))


def test_color_becomes_luma(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    path = write(tmp_path / "x.dcm", pixels, photometric="RGB", PlanarConfiguration=0)
    assert np.abs(read_gray(path) - pixels @ [0.299, 0.587, 0.114]).max() <= 1


def compress(plain, packed, name):
    """Compresses a file with gdcm, which names the transfer syntaxes in its own way."""
    gdcm = pytest.importorskip("gdcm", reason="gdcm is of the extra `dicom`")
    reader, change, writer = gdcm.ImageReader(), gdcm.ImageChangeTransferSyntax(), gdcm.ImageWriter()
    reader.SetFileName(str(plain))
    assert reader.Read()
    change.SetTransferSyntax(gdcm.TransferSyntax(getattr(gdcm.TransferSyntax, name)))
    change.SetInput(reader.GetImage())
    assert change.Change()
    writer.SetFileName(str(packed))
    writer.SetFile(reader.GetFile())
    writer.SetImage(change.GetOutput())
    assert writer.Write()
    return packed


@pytest.mark.parametrize("syntax", ["JPEGLosslessSV1", "JPEGLSLossless", "JPEG2000Lossless"])
def test_compressed_syntaxes_that_gdcm_decodes(tmp_path, syntax):
    """JPEG Lossless is what many X-ray machines write."""
    plain = write(tmp_path / "plain.dcm", np.tile(RAMP, (8, 1)))
    names = {"JPEGLosslessSV1": "JPEGLosslessProcess14_1"}
    packed = compress(plain, tmp_path / "packed.dcm", names.get(syntax, syntax))
    assert pydicom.dcmread(packed).file_meta.TransferSyntaxUID == getattr(pydicom.uid, syntax)
    np.testing.assert_array_equal(read_gray(packed), read_gray(plain))


@pytest.mark.parametrize("lost", ["end", "middle"])
@pytest.mark.parametrize(
    ("name", "bits"),
    [
        ("JPEGBaselineProcess1", 8),
        ("JPEGLosslessProcess14", 16),
        ("JPEGLosslessProcess14_1", 8),
        ("JPEGLosslessProcess14_1", 16),
        ("JPEGLSLossless", 16),
        ("JPEG2000Lossless", 16),
    ],
)
def test_lost_fragment_is_an_error(tmp_path, name, bits, lost):
    """For all but the last two, gdcm prints "premature end of data segment" and returns half an image."""
    grain = np.random.default_rng(0).integers(0, 4096, (96, 80), dtype=np.uint16)
    grain[40:] = 0  # a uniform lower border is no damage
    plain = write(tmp_path / "plain.dcm", grain if bits == 16 else (grain // 16).astype(np.uint8))
    packed = compress(plain, tmp_path / "packed.dcm", name)
    assert (read_gray(packed)[48:] == 0).all()
    dataset = pydicom.dcmread(packed)
    data = next(pydicom.encaps.generate_frames(dataset.PixelData, number_of_frames=1))
    half = len(data) // 2
    data = data[:half] + b"\xff\xd9" if lost == "end" else data[:half] + data[half + 300 :]
    dataset.PixelData = encapsulate([data + b"\0" * (len(data) % 2)])
    dataset.save_as(packed)
    with pytest.raises(ValueError, match="packed.dcm cannot be read as DICOM: it.* damaged or incomplete"):
        read_gray(packed)


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian])
def test_file_without_preamble_and_file_meta(tmp_path, syntax):
    pixels = RAMP.astype(">u2") if syntax == ExplicitVRBigEndian else RAMP
    path = write(tmp_path / "x.dcm", pixels, syntax)
    np.testing.assert_array_equal(read_gray(path), read_gray(write(tmp_path / "plain.dcm", RAMP)))
    bare, little = tmp_path / "bare.dcm", syntax != ExplicitVRBigEndian
    dataset = _without_meta(pydicom.dcmread(path))
    pydicom.dcmwrite(bare, dataset, implicit_vr=syntax.is_implicit_VR, little_endian=little)
    assert bare.read_bytes()[128:132] != b"DICM"
    with pytest.warns(UserWarning, match=BARE):
        np.testing.assert_array_equal(read_gray(bare), read_gray(path))


def test_file_meta_without_preamble_warns_and_unknown_compression_is_refused(tmp_path):
    whole = write(tmp_path / "x.dcm", RAMP).read_bytes()
    (tmp_path / "tail.dcm").write_bytes(whole[132:])
    with pytest.warns(UserWarning, match=BARE):
        read_gray(tmp_path / "tail.dcm")
    ramp = np.tile(RAMP, (8, 1))
    dataset = pydicom.dcmread(write(tmp_path / "j.dcm", ramp, JPEG2000Lossless, jpeg2000(ramp)))
    pydicom.dcmwrite(tmp_path / "bare.dcm", _without_meta(dataset), implicit_vr=False, little_endian=True)
    with pytest.raises(ValueError, match="it is compressed but does not name a transfer syntax"):
        read_gray(tmp_path / "bare.dcm")


def _without_meta(dataset):
    bare = Dataset()
    bare.update(dataset)
    return bare


def folder(tmp_path, **files):
    """Writes DICOM files and a label table, and returns the data set."""
    data = tmp_path / "data"
    data.mkdir()
    rows = ["path,patient,Edema"]
    for number, (name, pixels) in enumerate(files.items()):
        write(data / f"{name}.dcm", pixels)
        rows.append(f"{name}.dcm,{number},{number % 2}")
    (data / "labels.csv").write_text("\n".join(rows) + "\n")
    return open_dataset(DataConfig(data, labels_csv=data / "labels.csv", protocol=None))


def test_prepare_reads_dicom_and_notes_files_without_preamble(tmp_path):
    dataset = folder(tmp_path, a=RAMP, b=RAMP, c=np.tile(RAMP, (2, 1)))
    bare = tmp_path / "data" / "b.dcm"
    pydicom.dcmwrite(bare, _without_meta(pydicom.dcmread(bare)), implicit_vr=True, little_endian=True)
    prepare(dataset, tmp_path / "cache", 32, workers=1)
    meta = read_meta(tmp_path / "cache")
    assert meta["images"] == 3 and meta["notes"] == [f"1 {BARE}"]
    assert "SECRET" not in "".join(p.read_text("latin1") for p in (tmp_path / "cache").rglob("*") if p.is_file())


def test_patient_data_reach_neither_files_nor_screen(tmp_path, capfd):
    """pydicom quotes raw bytes in errors and warnings. Here bytes are changed at random, or files are cut."""
    dataset = folder(tmp_path, **{f"f{number}": RAMP for number in range(60)})
    rng = np.random.default_rng(0)
    for number, path in enumerate(sorted((tmp_path / "data").glob("*.dcm"))):
        content = bytearray(path.read_bytes())
        if number == 0:
            content[138] = 255  # pydicom then quotes the bytes that follow, the patient among them
        elif number == 1:
            content = content[:-200]
        elif number < 50:
            for place in rng.integers(132, 700, 3):
                content[place] = rng.integers(256)
        path.write_bytes(content)
    prepare(dataset, tmp_path / "cache", 32, workers=1, allow_rejected=60)
    meta = read_meta(tmp_path / "cache")
    assert meta["images"] >= 10 and meta["rejected"] >= 10
    rejected = (tmp_path / "cache" / "rejected.csv").read_text()
    assert "f0.dcm cannot be read as DICOM: it is damaged or incomplete" in rejected
    written = "".join(path.read_text("latin1") for path in (tmp_path / "cache").rglob("*") if path.is_file())
    assert "SECRET" not in written + "".join(capfd.readouterr())


@pytest.mark.parametrize(
    ("pixels", "elements", "words"),
    [
        (RAMP, {"HighBit": 15}, "HighBit is 15"),
        (RAMP, {"NumberOfFrames": 2}, "2 frames"),
        (RAMP, {"photometric": "PALETTE COLOR"}, "PALETTE COLOR"),
        (np.zeros((8, 8, 3), np.uint8), {"PlanarConfiguration": 0}, "MONOCHROME2 of 3 x 8 bits"),
        (RAMP, {"RescaleSlope": "nan", "RescaleIntercept": 0}, "RescaleSlope is nan"),
        (RAMP, {"VOILUTSequence": table(0, [1, 2, 3], 12)}, "has 3 entries but declares 4096"),
        (RAMP, {"WindowCenter": 5, "WindowWidth": 0}, "WindowWidth is 0"),
        (RAMP, {"WindowCenter": 5, "WindowWidth": 9, "VOILUTFunction": "CUBIC"}, "VOILUTFunction is not LINEAR"),
    ],
)
def test_unsupported_file_is_refused_with_the_reason(tmp_path, pixels, elements, words):
    if "VOILUTSequence" in elements:
        elements["VOILUTSequence"][0].LUTDescriptor[0] = 4096
    path = write(tmp_path / "x.dcm", pixels, **elements)
    with pytest.raises(ValueError, match=rf"x\.dcm cannot be read as DICOM.*{words}"):
        read_gray(path)


@pytest.mark.parametrize("content", [b"", b"DICM", b"\0" * 128 + b"DICM", b"text, not an image\n" * 100])
def test_damaged_file_is_named(tmp_path, content):
    path = tmp_path / "x.dcm"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"x\.dcm cannot be read as DICOM"):
        read_gray(path)


def test_missing_file_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"none\.dcm cannot be read"):
        read_gray(tmp_path / "none.dcm")


def test_missing_pydicom_raises_an_error_that_names_the_packages(tmp_path, monkeypatch):
    path = write(tmp_path / "x.dcm", RAMP)
    monkeypatch.setitem(sys.modules, "pydicom", None)
    with pytest.raises(ImportError, match=r'pip install "mamsf-keras\[dicom\]"'):
        read_gray(path)


def test_file_with_a_preamble_needs_no_suffix(tmp_path):
    np.testing.assert_array_equal(
        read_gray(write(tmp_path / "no_suffix", RAMP)), read_gray(write(tmp_path / "x.dcm", RAMP))
    )
