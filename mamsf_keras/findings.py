"""The 14 findings of NIH ChestX-ray14 in output order, with their frequencies. Pure Python.

Source of every number: `Data_Entry_2017.csv` of the NIH release (Wang et al., ChestX-ray8, CVPR 2017,
arXiv 1705.02315), 112,120 images.
"""

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
"""The eight findings that `BBox_List_2017.csv` has boxes of."""

HEAD = tuple(name for name, n in POSITIVES.items() if n / IMAGES >= 0.05)
"""Findings on at least 5 % of the images."""
MEDIUM = tuple(name for name, n in POSITIVES.items() if 0.02 <= n / IMAGES < 0.05)
"""Findings on 2 % to 5 % of the images."""
TAIL = tuple(name for name, n in POSITIVES.items() if n / IMAGES < 0.02)
"""Findings on fewer than 2 % of the images: Pneumonia, Fibrosis, Hernia."""
