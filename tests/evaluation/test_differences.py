import dataclasses
import json

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from mamsf_keras.config import FEW_PATIENTS
from mamsf_keras.evaluation.align import align
from mamsf_keras.evaluation.differences import (
    METRICS,
    compare_predictions,
    decision,
    metric_difference,
    verdict,
)
from mamsf_keras.evaluation.significance import Difference, recipe_difference
from tests.recipes import simulated_predictions

pytestmark = pytest.mark.no_keras

GROUPS = {"Mass": "medium", "Effusion": "head", "Hernia": "tail"}


@pytest.fixture(scope="module")
def models():
    """Five models of a recipe and six of another, with 100 patients; aligned."""
    reads = {f"a{i}": simulated_predictions(0, i, gain=1, patients=100) for i in range(5)}
    reads |= {f"b{i}": simulated_predictions(1, i, patients=100) for i in range(6)}
    return align(reads)


@pytest.fixture(scope="module")
def result(models):
    return compare_predictions(models, 5, GROUPS, resamples=40)


def test_values_equal_scikit_learn(models, result):
    for i, name in enumerate(models[0].findings):
        for metric, score in zip(METRICS, (roc_auc_score, average_precision_score), strict=True):
            row = result["findings"][name][metric]
            expected = [score(model.labels[:, i], model.probabilities[:, i]) for model in models]
            np.testing.assert_allclose(row["A"]["values"] + row["B"]["values"], expected, atol=1e-12)
            assert row["A"]["mean"] == pytest.approx(np.mean(expected[:5]))
            assert row["B"]["seed_sd"] == pytest.approx(np.std(expected[5:], ddof=1))
            assert row["difference"] == pytest.approx(row["A"]["mean"] - row["B"]["mean"])


def test_joint_resamples_equal_those_of_patients_by_hand(models, result):
    """All models are rated on the same draws of patients, and the comparison is made on these."""
    rng, patients = np.random.default_rng(0), models[0].patients
    names, inside = np.unique(patients, return_inverse=True)
    rows = [[] for _ in models]
    for _ in range(40):
        counts = np.bincount(rng.integers(len(names), size=len(names)), minlength=len(names))[inside]
        for row, model in zip(rows, models, strict=True):
            row.append(roc_auc_score(model.labels[:, 0], model.probabilities[:, 0], sample_weight=counts))
    draws = np.array(rows)
    found = result["findings"]["Effusion"]["auroc"]
    values = np.array(found["A"]["values"]), np.array(found["B"]["values"])
    expected = recipe_difference(*values, draws[:5], draws[5:])
    assert found["standard_error"] == pytest.approx(expected.standard_error, rel=1e-6)
    assert found["p_value"] == pytest.approx(expected.p_value, rel=1e-4)
    assert found["interval"] == pytest.approx([expected.low, expected.high], rel=1e-6)
    assert found["A"]["patient_sd"] == pytest.approx(np.sqrt(draws[:5].var(axis=1, ddof=1).mean()), rel=1e-6)


def test_swapped_recipes_give_the_opposite_result(models, result):
    back = compare_predictions([*models[5:], *models[:5]], 6, GROUPS, resamples=40)["findings"]["Effusion"]["auroc"]
    there = result["findings"]["Effusion"]["auroc"]
    assert back["difference"] == pytest.approx(-there["difference"]) and back["result"] == "B is higher"
    assert back["p_value"] == pytest.approx(there["p_value"], rel=1e-6)


def test_means_are_over_the_findings_of_a_group(result):
    assert list(result["means"]) == ["macro", "head", "medium", "tail"]
    macro = result["means"]["macro"]
    assert macro["findings"] == 3
    for recipe in "AB":
        rows = [row["auroc"][recipe]["values"] for row in result["findings"].values()]
        np.testing.assert_allclose(macro["auroc"][recipe]["values"], np.mean(rows, axis=0))
    for group, name in (("head", "Effusion"), ("medium", "Mass"), ("tail", "Hernia")):
        own, of = result["means"][group]["auroc"], result["findings"][name]["auroc"]
        assert own["difference"] == of["difference"] and own["p_value"] == of["p_value"]
        assert "p_value_holm" not in own


def test_p_values_of_findings_are_adjusted_by_holm(result):
    """With two tests: twice the smaller p-value, and the maximum of that and the larger p-value."""
    for metric in METRICS:
        rows = [result["findings"][name][metric] for name in ("Effusion", "Mass")]
        small, large = sorted(rows, key=lambda row: row["p_value"])
        assert small["p_value_holm"] == pytest.approx(min(2 * small["p_value"], 1))
        assert large["p_value_holm"] == pytest.approx(max(small["p_value_holm"], large["p_value"]))
        for row in rows:
            assert row["result"] == decision(row["difference"], row["p_value_holm"])
    assert result["findings"]["Effusion"]["auroc"]["result"] == "A is higher"


def test_a_finding_with_few_positive_patients_has_no_test(result):
    row = result["findings"]["Hernia"]
    assert row["positive_patients"] < 10
    for metric in METRICS:
        assert row[metric]["result"] == FEW_PATIENTS
        assert row[metric]["interval"] is row[metric]["p_value"] is row[metric]["p_value_holm"] is None
        assert row[metric]["A"]["patient_sd"] is None and row[metric]["difference"] is not None


def test_a_mean_with_such_a_finding_has_no_test(result):
    for mean, names in (("macro", ["Hernia"]), ("tail", ["Hernia"]), ("head", []), ("medium", [])):
        row = result["means"][mean]
        assert row["too_few_patients"] == names
        for metric in METRICS:
            assert (row[metric]["result"] == FEW_PATIENTS) is bool(names)
            assert (row[metric]["interval"] is None) is (row[metric]["p_value"] is None) is bool(names)


def test_few_negative_patients_count_as_few_positive_ones(models, result):
    """Swapped labels and scores have the same AUROC, and its tests have the same results."""
    swapped = [
        dataclasses.replace(model, labels=1 - model.labels, probabilities=1 - model.probabilities) for model in models
    ]
    back = compare_predictions(swapped, 5, GROUPS, resamples=40)
    for name, row in result["findings"].items():
        other = back["findings"][name]
        counts = (other["negative_patients"], other["positive_patients"])
        assert counts == (row["positive_patients"], row["negative_patients"])
        assert other["auroc"]["result"].replace("B is", "A is") == row["auroc"]["result"]
        assert other["auroc"]["p_value"] == pytest.approx(row["auroc"]["p_value"])
    assert back["means"]["macro"]["too_few_patients"] == ["Hernia"]


def test_fewer_than_five_seeds_give_differences_only(models):
    result = compare_predictions([*models[:4], *models[5:]], 4, {}, resamples=20)
    assert list(result["means"]) == ["macro"]
    for name in ("Effusion", "Mass"):
        row = result["findings"][name]["auroc"]
        assert row["result"] == "not enough seeds" and row["difference"] is not None
        assert row["interval"] is row["p_value"] is row["p_value_holm"] is row["standard_error"] is None
    single = compare_predictions([models[0], models[5]], 1, {}, resamples=20)
    assert single["findings"]["Mass"]["auroc"]["A"]["seed_sd"] is None


def test_a_finding_without_positives_is_undefined_and_left_out_of_the_means(models):
    for model in models:
        model.labels[:, 2] = 0
    result = compare_predictions(models, 5, GROUPS, resamples=20)
    assert result["undefined"] == ["Hernia"] and result["means"]["macro"]["findings"] == 2
    assert list(result["means"]) == ["macro", "head", "medium"]
    row = result["findings"]["Hernia"]["auroc"]
    assert row["result"] == "undefined" and row["difference"] is None and row["A"]["values"] == [None] * 5
    json.dumps(result, allow_nan=False)


def test_a_mean_that_most_resamples_do_not_define_has_no_test():
    rng = np.random.default_rng(0)
    values, draws = rng.normal(0.8, 0.01, 10), rng.normal(0.8, 0.01, (10, 100))
    draws[:, :51] = np.nan
    row = metric_difference(values, draws, 5, patients=30)
    assert row["result"] == "undefined in too many resamples" and row["usable_resamples"] == pytest.approx(0.49)
    assert row["p_value"] is None and row["difference"] is not None


def test_the_normal_distribution_has_no_degrees_of_freedom_in_strict_json():
    """If all seeds have equal values, only the variation over patients remains: infinite degrees of freedom."""
    rng = np.random.default_rng(0)
    draws = rng.normal(0.8, 0.01, (2, 100)).repeat(5, axis=0)
    row = metric_difference(np.repeat([0.75, 0.5], 5), draws, 5, patients=30)
    assert row["degrees_of_freedom"] is None and row["p_value"] < 1e-6
    json.dumps(row, allow_nan=False)


@pytest.mark.parametrize(
    ("difference", "p_value", "words"),
    [
        (0.1, 0.049, "A is higher"),
        (-0.1, 0.049, "B is higher"),
        (0.1, 0.05, "not distinguishable"),
        (0.0, 1.0, "not distinguishable"),
    ],
)
def test_decision_in_words(difference, p_value, words):
    assert decision(difference, p_value) == words


def test_verdict_without_a_test():
    assert verdict(Difference(0.1)) == "not enough seeds"
    assert verdict(Difference(0.1, 0.0, 0.0, 0.0)) == "not distinguishable"


def test_constant_metrics_are_not_distinguishable():
    """All scores of recipe A are equal, and those of recipe B separate the labels: 0.5 and 1 in every resample."""
    row = metric_difference(np.repeat([0.5, 1.0], 5), np.repeat([0.5, 1.0], 5)[:, None].repeat(50, axis=1), 5, 30)
    assert row["result"] == "not distinguishable" and row["difference"] == -0.5 and row["standard_error"] == 0
    assert row["p_value"] is row["interval"] is row["degrees_of_freedom"] is None
