"""Reads a DICOM file as gray pixels, by the display pipeline of the standard (PS3.4 N.2, PS3.3 C.7.6.3, C.11).

| step | rule |
|---|---|
| stored value | the lowest BitsStored bits, sign-extended; higher bits (old overlays) are ignored |
| modality | Modality LUT, or RescaleSlope and RescaleIntercept |
| values of interest | VOI LUT, or else the first WindowCenter and WindowWidth with the VOILUTFunction |
| neither | unsigned 8-bit without a modality step: as stored; otherwise scaled from the smallest to the largest value |
| MONOCHROME1 | inverted |
| PixelPaddingValue, PixelPaddingRangeLimit | black |
| 8-bit RGB and YBR | ITU-R 601 luma |

Files with more than one frame, palette color, color above 8 bits, or a HighBit other than BitsStored - 1 are rejected
with an error. pydicom reads and decodes the files. Only the elements in `ELEMENTS` are read, so no other header element
can reach an output file.

This module does not use the pipeline of `pydicom.pixels`, which (3.0.2) inverts the gray levels of a window after a
negative RescaleSlope, wraps indices above 255 in an 8-bit VOI LUT, and raises on a 12-bit Modality LUT; `test_dicom.py`
shows each case.
"""

import contextlib
import warnings
from pathlib import Path

import numpy as np
from PIL import Image

from mamsf_keras.images.jpeg import check_jpeg

ELEMENTS = """
    SamplesPerPixel PhotometricInterpretation PlanarConfiguration NumberOfFrames Rows Columns BitsAllocated BitsStored
    HighBit PixelRepresentation PixelPaddingValue PixelPaddingRangeLimit ModalityLUTSequence RescaleSlope
    RescaleIntercept VOILUTSequence VOILUTFunction WindowCenter WindowWidth PixelData
""".split()
BARE = "DICOM files without preamble or transfer syntax, read as uncompressed"


class Refused(ValueError):
    """An error raised by this module itself. Its text contains no header data except the elements that it names."""


def read_dicom(path: str | Path) -> tuple[np.ndarray, str]:
    """Reads the pixels of a DICOM file by the rules of this module.

    Returns:
        uint8 array `(height, width)`, and a note for the user, or "".

    Raises:
        ImportError: if pydicom (extra `dicom`) is not installed.
        ValueError: if the file cannot be read; states the reason.
    """
    with _named(path) as pydicom:
        dataset = pydicom.dcmread(path, force=True, specific_tags=ELEMENTS)
        if "PixelData" not in dataset:
            raise Refused("it has no pixel data")
        bare = dataset.preamble is None or "TransferSyntaxUID" not in dataset.file_meta
        if "TransferSyntaxUID" not in dataset.file_meta:
            dataset.file_meta.TransferSyntaxUID = _plain_syntax(dataset)
        _check_decoder(dataset.file_meta.TransferSyntaxUID)
        return _gray(dataset), BARE if bare else ""


@contextlib.contextmanager
def _named(path):
    """Yields pydicom and converts exceptions of the block to an error that names the file.

    pydicom quotes the header in its errors and warnings, so only the type of an exception is reported.
    """
    try:
        import pydicom
    except ImportError:
        raise ImportError(f'{path} is a DICOM file. Reading it needs `pip install "mamsf-keras[dicom]"`.') from None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield pydicom
        except Refused as error:
            raise ValueError(f"{path} cannot be read as DICOM: {error}.") from None
        except Exception as error:  # pydicom and its decoders raise anything on damaged files
            kind = type(error).__name__
            raise ValueError(f"{path} cannot be read as DICOM: it is damaged or incomplete ({kind}).") from None


def _plain_syntax(dataset):
    """Returns the transfer syntax of uncompressed pixels, inferred from the encoding of the elements."""
    from pydicom import uid

    if dataset["PixelData"].is_undefined_length:
        raise Refused("it is compressed but does not name a transfer syntax")
    implicit, little_endian = dataset.original_encoding
    if not little_endian:
        return uid.ExplicitVRBigEndian
    return uid.ImplicitVRLittleEndian if implicit else uid.ExplicitVRLittleEndian


def _check_decoder(syntax):
    from pydicom.pixels import get_decoder

    try:
        available = not syntax.is_compressed or get_decoder(syntax).is_available
    except NotImplementedError:  # pydicom has no decoder for it
        available = False
    if not available:
        raise Refused(f"no installed package decodes its transfer syntax {syntax.name}")


def _gray(dataset) -> np.ndarray:
    from pydicom.pixels import pixel_array

    if int(dataset.get("NumberOfFrames") or 1) > 1:
        raise Refused(f"it has {dataset.NumberOfFrames} frames, but a radiograph must have one")
    _check_compressed(dataset)
    kind, samples = dataset.PhotometricInterpretation, dataset.SamplesPerPixel
    if kind.startswith(("RGB", "YBR")) and samples == 3 and dataset.BitsAllocated == 8:
        return np.asarray(Image.fromarray(pixel_array(dataset)).convert("L"))
    if kind not in ("MONOCHROME1", "MONOCHROME2") or samples != 1:
        raise Refused(f"{kind} of {samples} x {dataset.BitsAllocated} bits is not supported")
    stored = _stored(pixel_array(dataset, raw=True), dataset)
    padding = _padding(stored, dataset)
    shown = _shown(stored, padding, dataset)
    shown = 1 - shown if kind == "MONOCHROME1" else shown
    return np.round(np.where(padding, 0, shown) * 255).astype(np.uint8)


def _check_compressed(dataset):
    """Raises an error if JPEG data are incomplete. gdcm would only print a warning and return gray pixels."""
    from pydicom import encaps, uid

    jpeg = (uid.JPEGBaseline8Bit, uid.JPEGExtended12Bit, uid.JPEGLossless, uid.JPEGLosslessSV1)
    if dataset.file_meta.TransferSyntaxUID not in jpeg:
        return
    try:
        check_jpeg(next(encaps.generate_frames(dataset.PixelData, number_of_frames=1)))
    except ValueError as error:
        raise Refused(f"its JPEG data are damaged or incomplete: {error}") from None


def _stored(raw, dataset) -> np.ndarray:
    """Returns the stored values, int64."""
    bits = dataset.BitsStored
    if dataset.HighBit != bits - 1:
        raise Refused(f"its HighBit is {dataset.HighBit} with {bits} BitsStored; only {bits - 1} is supported")
    sign = 2 ** (bits - 1) if dataset.PixelRepresentation else 0
    return ((raw.astype(np.int64) & (2**bits - 1)) ^ sign) - sign


def _padding(stored, dataset) -> np.ndarray:
    """Returns a mask of the padding pixels."""
    value, limit = (dataset.get(f"PixelPadding{name}") for name in ("Value", "RangeLimit"))
    if value is None:
        return np.zeros(stored.shape, bool)
    limits = np.array([value, value if limit is None else limit])
    if dataset.PixelRepresentation:  # many writers drop the sign of these two elements
        limits = limits.astype(np.uint16).astype(np.int16)
    return (limits.min() <= stored) & (stored <= limits.max())


def _shown(stored, padding, dataset) -> np.ndarray:
    """Returns the values of interest, scaled to [0, 1]."""
    values = _modality(stored, dataset)
    if tables := dataset.get("VOILUTSequence"):
        return _look_up(values, tables[0], dataset) / (2 ** tables[0].LUTDescriptor[2] - 1)
    center, width = _number(dataset, "WindowCenter"), _number(dataset, "WindowWidth")
    if center is not None and width is not None:
        return _window(values, center, width, dataset.get("VOILUTFunction") or "LINEAR")
    if dataset.BitsStored == 8 and not dataset.PixelRepresentation and np.array_equal(values, stored):
        return stored / 255
    inside = values[~padding]
    low, high = (inside.min(), inside.max()) if inside.size else (0, 1)
    return np.clip((values - low) / ((high - low) or 1), 0, 1)


def _modality(stored, dataset) -> np.ndarray:
    if tables := dataset.get("ModalityLUTSequence"):
        return _look_up(stored, tables[0], dataset)
    slope, intercept = _number(dataset, "RescaleSlope"), _number(dataset, "RescaleIntercept")
    return stored * (1.0 if slope is None else slope) + (intercept or 0.0)


def _look_up(values, item, dataset) -> np.ndarray:
    """Applies a LUT (PS3.3 C.11.1.1.1). The LUT of pydicom wraps indices above 255 in 8-bit tables."""
    entries, first, bits = item.LUTDescriptor
    entries = entries or 2**16
    if first >= 2**15 and values.max() < first:  # the sign was dropped
        first -= 2**16
    table = item.LUTData
    if isinstance(table, bytes):
        order = "<" if dataset.original_encoding[1] else ">"
        table = np.frombuffer(table, f"{order}u2" if len(table) >= 2 * entries else "u1")[:entries]
    table = np.atleast_1d(table)
    if len(table) != entries:
        raise Refused(f"a look-up table has {len(table)} entries but declares {entries}")
    return table[np.clip(np.round(values).astype(np.int64) - first, 0, entries - 1)] & (2**bits - 1)


def _window(values, center, width, function) -> np.ndarray:
    """Applies a window; the output is in [0, 1] (PS3.3 C.11.2.1.2 and C.11.2.1.3)."""
    if (width < 1 and function == "LINEAR") or width <= 0:
        raise Refused(f"its WindowWidth is {width}")
    if function == "SIGMOID":
        return 1 / (1 + np.exp(-4 * (values - center) / width))
    if function == "LINEAR":
        center, width = center - 0.5, width - 1
    elif function != "LINEAR_EXACT":
        raise Refused("its VOILUTFunction is not LINEAR, LINEAR_EXACT or SIGMOID")
    return np.clip((values - center) / max(width, 1e-9) + 0.5, 0, 1)


def _number(dataset, name) -> float | None:
    """Returns the value of an element, the first one if it has several, or None if it is missing."""
    values = np.atleast_1d(dataset.get(name))
    if not values.size or values[0] in (None, ""):
        return None
    if not np.isfinite(float(values[0])):
        raise Refused(f"its {name} is {values[0]}")
    return float(values[0])
