import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from mamsf_keras.evaluation.metrics import average_precision, mean_over_findings, metrics_table, per_finding
from mamsf_keras.evaluation.summary import summarize_predictions
from tests.evaluation.test_predictions import predictions


def pair_count(labels, scores):
    """AUROC as the fraction of (positive, negative) pairs in the right order, with ties counting one half."""
    positive, negative = scores[labels == 1], scores[labels == 0]
    pairs = positive[:, None] - negative[None]
    return ((pairs > 0) + 0.5 * (pairs == 0)).mean()


def precision_at_positives(labels, scores):
    """Precision at each positive's rank, averaged; without ties."""
    ranked = labels[np.argsort(-scores)]
    precision = np.cumsum(ranked) / np.arange(1, len(ranked) + 1)
    return precision[ranked == 1].mean()


def test_metrics_equal_counting_by_hand():
    rng = np.random.default_rng(0)
    labels = (rng.random((300, 2)) < [0.3, 0.02]).astype(float)
    scores = rng.random((300, 2)) + 0.3 * labels
    metrics = per_finding(labels, scores, ("A", "B"))
    for i, name in enumerate("AB"):
        assert metrics[name]["auroc"] == pytest.approx(pair_count(labels[:, i], scores[:, i]))
        assert metrics[name]["average_precision"] == pytest.approx(precision_at_positives(labels[:, i], scores[:, i]))
        assert (metrics[name]["positives"], metrics[name]["images"]) == (labels[:, i].sum(), 300)


def test_average_precision_of_a_perfect_ranking_is_exactly_one():
    """scikit-learn's is 0.9999999999999998 for 7 positives and 1.0000000000000002 for 9."""
    for positives in range(1, 200):
        labels = np.arange(300) < positives
        assert average_precision(labels, -np.arange(300)) == 1.0


def test_average_precision_equals_scikit_learn():
    rng = np.random.default_rng(0)
    for images in (2, 10, 1000, 20000):
        labels = np.arange(images) < max(1, images // 20)
        for scores in (rng.random(images), rng.integers(0, 9, images) / 9, np.zeros(images)):  # without ties, with, all
            expected = average_precision_score(labels, scores)
            assert average_precision(labels, scores) == pytest.approx(expected, abs=1e-12)


def test_missing_labels_are_left_out():
    labels = np.array([[1], [0], [np.nan], [np.nan], [1], [0]])
    scores = np.array([[0.9], [0.2], [0.1], [0.95], [0.7], [0.8]])
    assert per_finding(labels, scores, ["A"])["A"] == {
        "auroc": 0.75,
        "average_precision": pytest.approx((1 + 2 / 3) / 2),
        "positives": 2,
        "images": 4,
        "masked": 2,
    }
    assert "2 masked" in table(labels, scores, ["A"])[1]


def table(labels, scores, findings):
    return metrics_table(summarize_predictions(predictions(scores, labels, findings), resamples=20)).splitlines()


def test_undefined_findings_are_named_and_left_out_of_the_mean():
    labels = np.array([[1, 0, 1], [0, 0, 1], [1, 0, 1]], float)
    lines = table(labels, np.array([[0.9, 0.1, 0.2], [0.3, 0.3, 0.3], [0.8, 0.2, 0.1]]), ("A", "B", "C"))
    assert lines[2].split() == ["B", "–", "–", "0", "3"]
    assert lines[4].split() == ["mean", "of", "1", "1.0000", "1.0000"]
    assert lines[-1] == "undefined and left out of the mean (only one class): B, C"


def test_finding_without_labels_is_listed_separately():
    labels = np.array([[1, 0, np.nan], [0, 0, np.nan]])
    assert table(labels, np.full((2, 3), 0.5), ("A", "B", "C"))[-2:] == [
        "undefined and left out of the mean (only one class): B",
        "undefined and left out of the mean (no labels): C",
    ]


def test_intervals_and_groups_are_shown():
    rng = np.random.default_rng(0)
    labels = (np.arange(200) % 4 == 0).astype(float)[:, None]
    rows = predictions(rng.random((200, 1)) * 0.7 + 0.3 * labels, labels)
    summary = summarize_predictions(rows, groups={"A": "tail"}, resamples=50)
    lines = metrics_table(summary).splitlines()
    low, high = summary["findings"]["A"]["auroc_interval"]
    assert lines[1].split()[1:3] == [f"{summary['mean_auroc']:.4f}", f"({low:.3f}–{high:.3f})"]
    assert lines[3].startswith("mean of 1, tail") and lines[4].startswith("micro average")


def test_the_groups_are_explained_by_their_source_or_not_at_all():
    """A file is grouped by the NIH table, a run by its training images, and findings of neither have no group."""
    rows = predictions(np.random.default_rng(0).random((60, 1)), (np.arange(60) % 3 == 0).astype(float)[:, None])
    file = summarize_predictions(rows, groups={"A": "tail"}, resamples=20)
    for summary, source in ((file, "images of the whole NIH table"), (file | {"protocol": "x"}, "training images")):
        [line] = [line for line in metrics_table(summary).splitlines() if line.startswith("Head findings")]
        assert line.startswith(f"Head findings occur in at least 5% of the {source}, medium findings in at least 2%,")
    assert "Head" not in metrics_table(summarize_predictions(rows, resamples=20))


def test_means_without_an_interval_name_the_findings_responsible():
    lines = table(np.eye(40, 1), np.random.default_rng(0).random((40, 1)), ["A"])
    assert lines[-1].startswith("No interval for the mean of all") and lines[-1].endswith("negative patients: A.")


def test_mean_is_none_if_nothing_is_defined():
    metrics = per_finding(np.zeros((3, 1)), np.zeros((3, 1)), ["A"])
    assert mean_over_findings(metrics, "auroc") is None
