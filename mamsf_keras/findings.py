"""The 14 findings of NIH ChestX-ray14 in output order, with their frequencies, and spellings of names. Pure Python.

Source of every number: `Data_Entry_2017.csv` of the NIH release (Wang et al., ChestX-ray8, CVPR 2017,
arXiv 1705.02315), 112,120 images.
"""

import difflib
import re
from collections.abc import Iterable

IMAGES = 112_120
"""Images in the whole NIH table."""

POSITIVES = {
    "Atelectasis": 11_559,
    "Cardiomegaly": 2_776,
    "Effusion": 13_317,
    "Infiltration": 19_894,
    "Mass": 5_782,
    "Nodule": 6_331,
    "Pneumonia": 1_431,
    "Pneumothorax": 5_302,
    "Consolidation": 4_667,
    "Edema": 2_303,
    "Emphysema": 2_516,
    "Fibrosis": 1_686,
    "Pleural_Thickening": 3_385,
    "Hernia": 227,
}
"""Positive images of each finding in the whole NIH table."""

FINDINGS = tuple(POSITIVES)
"""The findings in output order: the default of the model, the reader, the metrics and the exports."""

NO_FINDING = "No Finding"
"""The NIH label of an image without any of the 14 findings."""

BOX_FINDINGS = (
    "Atelectasis",
    "Cardiomegaly",
    "Effusion",
    "Infiltration",
    "Mass",
    "Nodule",
    "Pneumonia",
    "Pneumothorax",
)
"""The eight findings that `BBox_List_2017.csv` has boxes for."""

HEAD_SHARE, MEDIUM_SHARE = 0.05, 0.02
"""Smallest share of positive images for a finding to be in the head group, and in the medium group."""

HEAD = tuple(name for name, n in POSITIVES.items() if n / IMAGES >= HEAD_SHARE)
"""Findings in at least 5% of the images."""
MEDIUM = tuple(name for name, n in POSITIVES.items() if MEDIUM_SHARE <= n / IMAGES < HEAD_SHARE)
"""Findings in 2% to 5% of the images."""
TAIL = tuple(name for name, n in POSITIVES.items() if n / IMAGES < MEDIUM_SHARE)
"""Findings in fewer than 2% of the images: Pneumonia, Fibrosis, Hernia."""


def name_key(name: str) -> str:
    """Returns one key for all spellings of a name: case, spaces, underscores and hyphens do not matter.

    "No Finding", "No finding" (VinDr-CXR) and "Normal" also share one key.
    """
    key = re.sub(r"[\s_-]+", "", name).casefold()
    return "nofinding" if key in ("nofindings", "normal") else key


def is_no_finding(name: str) -> bool:
    """Returns True for the spellings of "No Finding"."""
    return name_key(name) == name_key(NO_FINDING)


def find_name(name: str, known: Iterable[str]) -> str | None:
    """Returns the known name that is equal to a name or spells it differently; None if there is not exactly one."""
    known = list(known)
    if name in known:
        return name
    same = {other for other in known if name_key(other) == name_key(name)}
    return same.pop() if len(same) == 1 else None


def with_nearest(name: str, known: Iterable[str]) -> str:
    """Returns a name that is not known, with the nearest known one: "Effusoin (did you mean Effusion?)"."""
    keys = {name_key(other): other for other in known}
    nearest = difflib.get_close_matches(name_key(name), keys, n=1)
    return f"{name} (did you mean {keys[nearest[0]]}?)" if nearest else name
