"""From a DICOM file to grey pixels, as the display pipeline of the standard says (PS3.4 N.2, PS3.3 C.7.6.3, C.11).

| step | rule |
|---|---|
| stored value | the lowest BitsStored bits, sign extended: what lies above them (old overlays) is not image |
| modality | Modality LUT, or RescaleSlope and RescaleIntercept |
| values of interest | VOI LUT, or else the first WindowCenter and WindowWidth by the VOILUTFunction |
| neither | 8 bits stored: as stored; else from the smallest to the largest value of the image |
| MONOCHROME1 | inverted |
| PixelPaddingValue, PixelPaddingRangeLimit | black |
| RGB, YBR, 8 bit | ITU-R 601 luma |

Refused by name: more than one frame, palette colour, colour above 8 bit, a HighBit that is not BitsStored - 1. pydicom
reads and decodes. No element is read but those of `ELEMENTS`, so none other can reach a file of ours.
"""

import contextlib

import numpy as np
from PIL import Image

ELEMENTS = """
    SamplesPerPixel PhotometricInterpretation PlanarConfiguration NumberOfFrames Rows Columns BitsAllocated BitsStored
    HighBit PixelRepresentation PixelPaddingValue PixelPaddingRangeLimit ModalityLUTSequence RescaleSlope
    RescaleIntercept VOILUTSequence VOILUTFunction WindowCenter WindowWidth PixelData
""".split()
BARE = "DICOM files without preamble and file meta information, read as little endian"


def is_dicom(path) -> bool:
    """Tells whether a file says that it is DICOM: by the letters DICM after its preamble, or else by its name."""
    with open(path, "rb") as file:
        return file.read(132)[128:] == b"DICM" or str(path).lower().endswith((".dcm", ".dicom"))


def read_dicom(path) -> tuple[np.ndarray, str]:
    """Reads the pixels of a DICOM file by the rules of this module.

    Returns:
        uint8 array `(height, width)`, and what a person should know of the reading, or "".

    Raises:
        ImportError: if pydicom is not installed.
        ValueError: says why the file cannot be read.
    """
    with _named(path) as pydicom:
        dataset = pydicom.dcmread(path, force=True, specific_tags=ELEMENTS)
        if "PixelData" not in dataset:
            raise ValueError("it has no pixel data")
        bare = "TransferSyntaxUID" not in dataset.file_meta
        if bare:
            implicit, _ = dataset.original_encoding
            names = pydicom.uid.ExplicitVRLittleEndian, pydicom.uid.ImplicitVRLittleEndian
            dataset.file_meta.TransferSyntaxUID = names[implicit]
        return _grey(dataset), BARE if bare else ""


def read_dicom_size(path) -> tuple[int, int]:
    """Reads height and width of a DICOM file from its header. Raises as `read_dicom`."""
    with _named(path) as pydicom:
        dataset = pydicom.dcmread(path, force=True, specific_tags=["Rows", "Columns"], stop_before_pixels=True)
        return dataset.Rows, dataset.Columns


@contextlib.contextmanager
def _named(path):
    """Gives pydicom to the block and turns what it raises into an error that names the file."""
    try:
        import pydicom
    except ImportError:
        raise ImportError(f"{path} is DICOM: reading it needs `pip install 'mamsf-keras[dicom]'`.") from None
    try:
        yield pydicom
    except Exception as error:  # pydicom and its decoders raise anything on damaged files
        raise ValueError(f"{path} cannot be read as DICOM: {' '.join(str(error).split())}") from error


def _grey(dataset) -> np.ndarray:
    from pydicom.pixels import pixel_array

    if int(dataset.get("NumberOfFrames") or 1) > 1:
        raise ValueError(f"it has {dataset.NumberOfFrames} frames, and a radiograph has one")
    kind = dataset.PhotometricInterpretation
    if kind.startswith(("RGB", "YBR")) and dataset.BitsAllocated == 8:
        return np.asarray(Image.fromarray(pixel_array(dataset)).convert("L"))
    if kind not in ("MONOCHROME1", "MONOCHROME2"):
        raise ValueError(f"pixels of {kind} with {dataset.BitsAllocated} bits are not supported")
    stored = _stored(pixel_array(dataset, raw=True), dataset)
    padding = _padding(stored, dataset)
    shown = _shown(stored, padding, dataset)
    shown = 1 - shown if kind == "MONOCHROME1" else shown
    return np.round(np.where(padding, 0, shown) * 255).astype(np.uint8)


def _stored(raw, dataset) -> np.ndarray:
    """Returns what the stored bits say, int64."""
    bits = dataset.BitsStored
    if dataset.HighBit != bits - 1:
        raise ValueError(f"its HighBit is {dataset.HighBit} with {bits} BitsStored; {bits - 1} is supported")
    sign = 2 ** (bits - 1) if dataset.PixelRepresentation else 0
    return ((raw.astype(np.int64) & (2**bits - 1)) ^ sign) - sign


def _padding(stored, dataset) -> np.ndarray:
    """Tells which pixels are padding, not image."""
    value, limit = (dataset.get(f"PixelPadding{name}") for name in ("Value", "RangeLimit"))
    if value is None:
        return np.zeros(stored.shape, bool)
    # many writers leave out the sign of these two: they are read as the pixels are
    limits = _stored(np.array([value, value if limit is None else limit]), dataset)
    return (limits.min() <= stored) & (stored <= limits.max())


def _shown(stored, padding, dataset) -> np.ndarray:
    """Returns the values of interest, 0 to 1."""
    values = _modality(stored, dataset)
    if tables := dataset.get("VOILUTSequence"):
        return _look_up(values, tables[0]) / (2 ** tables[0].LUTDescriptor[2] - 1)
    center, width = _first(dataset, "WindowCenter"), _first(dataset, "WindowWidth")
    if center is not None and width is not None:
        return _window(values, center, width, dataset.get("VOILUTFunction") or "LINEAR")
    if dataset.BitsStored == 8:
        return stored / 255
    inside = values[~padding]
    low, high = (inside.min(), inside.max()) if inside.size else (0, 0)
    return (values - low) / max(high - low, 1)


def _modality(stored, dataset) -> np.ndarray:
    if tables := dataset.get("ModalityLUTSequence"):
        return _look_up(stored, tables[0])
    slope, intercept = dataset.get("RescaleSlope"), dataset.get("RescaleIntercept")
    return stored * float(1 if slope is None else slope) + float(intercept or 0)


def _look_up(values, item) -> np.ndarray:
    """Maps values by a LUT (PS3.3 C.11.1.1.1); pydicom's own wraps indices above 255 in tables of 8 bits."""
    _, first, bits = item.LUTDescriptor
    data = item.LUTData
    table = np.frombuffer(data, "<u2") if isinstance(data, bytes) else np.atleast_1d(data)
    return table[np.clip(np.round(values).astype(np.int64) - first, 0, len(table) - 1)] & (2**bits - 1)


def _window(values, center, width, function) -> np.ndarray:
    """Returns the window's output, 0 to 1 (PS3.3 C.11.2.1.2 and C.11.2.1.3)."""
    if width < 1 and function == "LINEAR" or width <= 0:
        raise ValueError(f"its WindowWidth is {width}")
    if function == "SIGMOID":
        return 1 / (1 + np.exp(-4 * (values - center) / width))
    if function == "LINEAR":
        center, width = center - 0.5, width - 1
    elif function != "LINEAR_EXACT":
        raise ValueError(f"its VOILUTFunction is {function}")
    return np.clip((values - center) / max(width, 1e-9) + 0.5, 0, 1)


def _first(dataset, name) -> float | None:
    """Returns the first of the alternatives, or None where there is none."""
    values = np.atleast_1d(dataset.get(name))
    return None if not values.size or values[0] in (None, "") else float(values[0])
