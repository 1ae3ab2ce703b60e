"""The worst errors of each finding, for inspection of their images."""

import numpy as np

from mamsf_keras.evaluation.predictions import Predictions

KINDS = ("false_positives", "false_negatives")


def worst_errors(predictions: Predictions, summary: dict, each: int = 4) -> dict[str, dict[str, list[dict]]]:
    """Returns the negatives with the highest and the positives with the lowest probability of each finding.

    Where there is a threshold for the highest sensitivity + specificity, only images on the wrong side of it count.
    Each patient is shown once per finding and kind, because a patient's images often share their error.

    Args:
        predictions: the predictions of one split.
        summary: the content of `metrics-SPLIT.json`.
        each: largest number of images per finding and kind.

    Returns:
        `false_positives` and `false_negatives` by finding, the worst first: `row` of the predictions, `image`,
        `probability`, and `labels`, the findings that the image has.
    """
    return {
        name: {kind: _worst(predictions, i, kind, summary["findings"][name], each) for kind in KINDS}
        for i, name in enumerate(predictions.findings)
    }


def _worst(predictions, column, kind, metrics, each) -> list[dict]:
    alarm = kind == "false_positives"
    scores = predictions.probabilities[:, column]
    wrong = predictions.labels[:, column] == (0 if alarm else 1)
    point = (metrics["operating_points"] or {}).get("youden")
    if point:
        wrong &= (scores >= point["threshold"]) == alarm
    rows = np.flatnonzero(wrong)
    rows = rows[np.argsort(-scores[rows] if alarm else scores[rows], kind="stable")]
    _, first = np.unique(predictions.patients[rows].astype(str), return_index=True)
    return [_example(predictions, int(row), column) for row in rows[np.sort(first)[:each]]]


def _example(predictions, row, column) -> dict:
    named = zip(predictions.findings, predictions.labels[row], strict=True)
    return {
        "row": row,
        "image": str(predictions.table["image"].iloc[row]),
        "probability": float(predictions.probabilities[row, column]),
        "labels": [name for name, label in named if label == 1],
    }
