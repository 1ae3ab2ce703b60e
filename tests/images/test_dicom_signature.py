import numpy as np
import pytest
from PIL import Image

from mamsf_keras.images.dicom import BARE
from mamsf_keras.images.dicom_signature import is_dicom, starts_with_elements
from mamsf_keras.images.gray import read_with_note

pytestmark = pytest.mark.no_keras


def bare_dicom(path, implicit=True, little=True, **elements):
    """Writes DICOM without preamble and file meta information."""
    pydicom = pytest.importorskip("pydicom", reason="pydicom is the extra `dicom`")
    dataset = pydicom.Dataset()
    dataset.Rows, dataset.Columns, dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 4, 4, 1, "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 8, 8, 7, 0
    dataset.PixelData = np.full((4, 4), 200, np.uint8).tobytes()
    dataset["PixelData"].VR = "OB"
    for name, value in elements.items():
        setattr(dataset, name, value)
    pydicom.dcmwrite(path, dataset, implicit_vr=implicit, little_endian=little)
    assert path.read_bytes()[128:132] != b"DICM"
    return path


@pytest.mark.parametrize(("implicit", "little"), [(True, True), (False, True), (False, False)])
@pytest.mark.parametrize("elements", [{}, {"SOPInstanceUID": "1.2.3"}, {"PatientID": "7"}])
def test_dicom_without_preamble_or_suffix_is_recognized_and_read(tmp_path, implicit, little, elements):
    path = bare_dicom(tmp_path / "IM0001", implicit, little, **elements)
    assert is_dicom(path)
    pixels, note = read_with_note(path)
    assert (pixels == 200).all() and note == BARE


def test_dicom_is_recognized_by_its_preamble_or_suffix(tmp_path):
    for name, content in (("preamble", bytes(128) + b"DICM"), ("x.dcm", b""), ("x.png", b""), (".dcm", b"")):
        (tmp_path / name).write_bytes(content)
    assert is_dicom(tmp_path / "preamble") and is_dicom(tmp_path / "x.dcm")
    assert not is_dicom(tmp_path / "x.png") and not is_dicom(tmp_path / ".dcm")


def test_other_bytes_are_not_elements(tmp_path):
    rng = np.random.default_rng(0)
    assert not any(starts_with_elements(rng.bytes(2048)) for _ in range(500))
    for start in (b"", b"\0" * 2048, b"\xff" * 2048, b"plain text " * 200, b"\x08\x00", b"PK\3\4" + b"\0" * 400):
        assert not starts_with_elements(start)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "JPEG2000", "BMP", "GIF", "TIFF", "WebP"])
def test_other_format_is_not_dicom_even_with_its_suffix(tmp_path, kind):
    Image.fromarray(np.zeros((4, 4), np.uint8)).save(tmp_path / "x.dcm", kind)
    assert not is_dicom(tmp_path / "x.dcm")
