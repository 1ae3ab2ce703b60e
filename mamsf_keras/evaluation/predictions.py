"""The predictions file, from which all metrics are computed."""

from pathlib import Path

import numpy as np
import pandas as pd

from mamsf_keras.data.dataset import Dataset
from mamsf_keras.storage import write_csv


def predictions_frame(dataset: Dataset, probabilities: np.ndarray) -> pd.DataFrame:
    """Returns `image`, `patient`, the probability of each finding, and its label (NAME_label), one row per image."""
    names = list(dataset.findings)
    scores = pd.DataFrame(probabilities, columns=names, index=dataset.table.index)
    labels = dataset.table[names].add_suffix("_label")
    return pd.concat([dataset.table[["image", "patient"]], scores, labels], axis=1)


def write_predictions(path: str | Path, frame: pd.DataFrame) -> None:
    """Writes predictions as CSV with 9 significant digits, enough to distinguish all float32 values."""
    write_csv(path, frame, float_format="%.9g")
