import json

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from mamsf_keras.evaluation.bootstrap import PatientBootstrap, logit_interval
from mamsf_keras.evaluation.calibration import fit_calibration
from mamsf_keras.evaluation.summary import summarize_predictions
from tests.evaluation.test_predictions import predictions

pytestmark = pytest.mark.no_keras

FINDINGS = ("A", "B", "C", "D")
PREVALENCE = [0.3, 0.1, 0.05, 0.0]


@pytest.fixture(scope="module")
def example():
    """600 images of 120 patients. C is partly unlabeled, and D has no positive."""
    rng = np.random.default_rng(0)
    labels = (rng.random((600, 4)) < PREVALENCE).astype(float)
    scores = 1 / (1 + np.exp(-(rng.normal(size=(600, 4)) + 1.2 * labels - 2)))
    labels[rng.random(600) < 0.2, 2] = np.nan
    age = np.where(np.arange(600) % 10 == 0, np.nan, rng.integers(1, 95, 600))
    sex = rng.choice(["F", "M"], 600)
    rows = predictions(scores, labels, FINDINGS, age=age, sex=sex, view="")
    return rows.__class__(rows.table.assign(patient=np.arange(600) // 5), *[rows.findings, scores, labels])


@pytest.fixture(scope="module")
def summary(example):
    calibration = fit_calibration(example.labels, example.probabilities, FINDINGS, example.patients)
    groups = {"A": "head", "B": "medium", "C": "tail", "D": "tail"}
    return summarize_predictions(example, calibration=calibration, prevalence={"A": 0.01}, groups=groups, resamples=200)


def test_metrics_equal_scikit_learn_and_means_those_of_the_defined(example, summary):
    rows = summary["findings"]
    for i, name in enumerate("ABC"):
        known = ~np.isnan(example.labels[:, i])
        arguments = (example.labels[known, i], example.probabilities[known, i])
        assert rows[name]["auroc"] == pytest.approx(roc_auc_score(*arguments), abs=1e-12)
        assert rows[name]["average_precision"] == pytest.approx(average_precision_score(*arguments), abs=1e-12)
        assert rows[name]["positive_patients"] == len(set(example.patients[example.labels[:, i] == 1]))
        assert rows[name]["negative_patients"] == len(set(example.patients[example.labels[:, i] == 0]))
    assert summary["undefined"] == ["D"] and rows["D"]["auroc"] is None and rows["D"]["auroc_interval"] is None
    means = summary["means"]
    assert means["macro"]["auroc"] == pytest.approx(np.mean([rows[name]["auroc"] for name in "ABC"]))
    assert means["tail"]["auroc"] == rows["C"]["auroc"] and means["tail"]["findings"] == 1
    cells = ~np.isnan(example.labels)
    assert means["micro"]["auroc"] == pytest.approx(roc_auc_score(example.labels[cells], example.probabilities[cells]))


def test_intervals_equal_those_of_the_patients(example, summary):
    """The degrees of freedom of a mean are those of its finding with the fewest patients."""
    bootstrap = PatientBootstrap(example.patients, resamples=200)
    resampled = [bootstrap.scores(example.labels[:, i], example.probabilities[:, i])[0] for i in range(3)]
    for columns, row in (([0], summary["findings"]["A"]), ([0, 1, 2], summary["means"]["macro"])):
        values = np.mean([resampled[i] for i in columns], axis=0)
        patients = min(len(set(example.patients[example.labels[:, i] == value])) for i in columns for value in (0, 1))
        interval = logit_interval(row["auroc"], values, patients)
        assert row["auroc_interval"] == [interval.low, interval.high]
        assert row["auroc_interval"][0] < row["auroc"] < row["auroc_interval"][1]


def test_operating_points_use_the_thresholds_of_the_calibration(example, summary):
    row = summary["findings"]["A"]["operating_points"]["sensitivity_90"]
    positive = example.probabilities[:, 0] >= row["threshold"]
    assert row["true_positives"] == (positive & (example.labels[:, 0] == 1)).sum()
    assert row["sensitivity"] >= 0.9 and not row["unstable"]
    hits, alarms = 0.01 * row["sensitivity"], 0.99 * (1 - row["specificity"])
    assert row["ppv_at_prevalence"] == pytest.approx(hits / (hits + alarms)) and row["ppv_at_prevalence"] < row["ppv"]
    assert "ppv_at_prevalence" not in summary["findings"]["B"]["operating_points"]["youden"]
    assert summary["findings"]["D"]["operating_points"]["youden"] is None
    assert summary["findings"]["A"]["calibrated"]["ece"] < summary["findings"]["A"]["ece"]


def test_subgroups_are_evaluated_separately(example, summary):
    assert list(summary["subgroups"]) == ["sex", "age"]  # the view is unknown
    women = (example.table["sex"] == "F").to_numpy()
    alone = summary["subgroups"]["sex"]["F"]
    assert alone["images"] == women.sum()
    expected = roc_auc_score(example.labels[women, 0], example.probabilities[women, 0])
    assert alone["findings"]["A"]["auroc"] == pytest.approx(expected, abs=1e-12)
    assert sum(group["images"] for group in summary["subgroups"]["age"].values()) == 600
    assert summary["subgroups"]["age"]["unknown"]["images"] == 60


def test_summary_is_strict_json_and_depends_on_no_order_of_rows(example, summary):
    json.dumps(summary, allow_nan=False)
    calibration = fit_calibration(example.labels, example.probabilities, FINDINGS, example.patients)
    reversed_rows = example.take(np.arange(600)[::-1])
    again = summarize_predictions(reversed_rows, calibration=calibration, resamples=200)
    assert again["findings"]["A"]["auroc_interval"] == summary["findings"]["A"]["auroc_interval"]


def test_few_positive_patients_have_no_interval():
    labels, scores = np.zeros((100, 1)), np.random.default_rng(0).random((100, 1))
    labels[:9] = 1
    summary = summarize_predictions(predictions(scores, labels), resamples=50)
    assert summary["findings"]["A"]["auroc_interval"] is None and summary["means"]["macro"]["auroc_interval"] is None
    assert summary["findings"]["A"]["auroc_interval_images"] is not None
    assert summary["findings"]["A"]["operating_points"] is None and summary["findings"]["A"]["calibrated"] is None


def test_few_negative_patients_count_as_few_positive_ones():
    """Swapped labels and scores have the same AUROC and the same interval of it."""
    labels, scores = np.zeros((200, 1)), np.random.default_rng(0).random((200, 1))
    for few, has_interval in ((9, False), (12, True)):
        labels[:few] = 1
        there = summarize_predictions(predictions(scores, labels), resamples=50)
        back = summarize_predictions(predictions(1 - scores, 1 - labels), resamples=50)
        assert (back["findings"]["A"]["negative_patients"], back["findings"]["A"]["positive_patients"]) == (
            few,
            200 - few,
        )
        for one, other in ((there["findings"]["A"], back["findings"]["A"]), *zip(*_means(there, back), strict=True)):
            assert (one["auroc_interval"] is not None) is has_interval
            assert other["auroc_interval"] == (pytest.approx(one["auroc_interval"]) if has_interval else None)
        assert (back["findings"]["A"]["average_precision_interval"] is not None) is has_interval


def _means(*summaries):
    return [[summary["means"][name] for name in ("macro", "micro")] for summary in summaries]


def test_a_mean_with_a_finding_of_few_patients_has_no_interval():
    rng = np.random.default_rng(0)
    labels = (rng.random((300, 3)) < [0.3, 0.2, 0]).astype(float)
    labels[:9, 2] = 1
    rows = predictions((rng.random((300, 3)) + 0.4 * labels) / 2, labels, ("A", "B", "C"))
    means = summarize_predictions(rows, groups={"A": "head", "B": "head", "C": "tail"}, resamples=50)["means"]
    for name in ("macro", "tail"):
        assert means[name]["auroc"] is not None and means[name]["too_few_patients"] == ["C"]
        assert means[name]["auroc_interval"] is means[name]["average_precision_interval"] is None
    assert means["head"]["auroc_interval"] is not None and means["head"]["too_few_patients"] == []
    assert means["micro"]["auroc_interval"] is not None  # pools the cells of more than 10 patients


def test_average_precision_of_equal_scores_is_the_prevalence():
    labels = np.zeros((10, 1))
    labels[3] = 1
    row = summarize_predictions(predictions(np.full((10, 1), 0.5), labels), resamples=10)["findings"]["A"]
    assert row["average_precision"] == pytest.approx(0.1) and row["auroc"] == 0.5
