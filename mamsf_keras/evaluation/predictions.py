"""Probabilities of every image of a part, and the CSV file that holds them."""

import numpy as np
import pandas as pd

from mamsf_keras.data.pipeline import evaluation_batches
from mamsf_keras.data.stream import Stream, named_errors
from mamsf_keras.files import whole_file


def predict(model, stream: Stream, verbose="auto") -> np.ndarray:
    """Predicts every image of a stream exactly once.

    Args:
        model: a MAMSFNet with a sigmoid or logit output.
        stream: the images.
        verbose: as in Keras' `predict`; 0 shows no progress bar.

    Returns:
        float64 `(images, findings)`, in the stream's row order.
    """
    with named_errors(stream):
        outputs = model.predict(evaluation_batches(stream), verbose=verbose)
    return np.asarray(outputs, dtype=np.float64)[: len(stream.paths)]


def predictions_frame(table: pd.DataFrame, findings, probabilities: np.ndarray) -> pd.DataFrame:
    """Puts `image`, `patient`, the probability of each finding, and its label (NAME_label) side by side."""
    names = list(findings)
    scores = pd.DataFrame(probabilities, columns=names, index=table.index)
    labels = table[names].add_suffix("_label")
    return pd.concat([table[["image", "patient"]], scores, labels], axis=1)


def write_predictions(path, frame: pd.DataFrame):
    """Writes predictions as CSV, 9 significant digits, under a temporary name that is renamed."""
    with whole_file(path) as temporary:
        frame.to_csv(temporary, index=False, float_format="%.9g", lineterminator="\n")
