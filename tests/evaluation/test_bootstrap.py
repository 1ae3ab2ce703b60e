import tracemalloc

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from mamsf_keras.evaluation.bootstrap import PatientBootstrap, logit_interval

pytestmark = pytest.mark.no_keras


def test_scores_equal_scikit_learn_with_patients_as_weights():
    """200 cases with ties, missing labels and classes of one image."""
    rng = np.random.default_rng(0)
    for case in range(200):
        images = int(rng.integers(5, 120))
        patients = rng.integers(0, images // 2 + 1, images).astype(str)
        labels = (rng.random(images) < rng.choice([0.02, 0.2, 0.5])).astype(float)
        scores = (rng.random(images) + 0.3 * labels).round(rng.choice([1, 2, 12]))
        labels[rng.random(images) < 0.1] = np.nan
        bootstrap = PatientBootstrap(patients, resamples=3, seed=case)
        auroc, average_precision = bootstrap.scores(labels, scores)
        known = ~np.isnan(labels)
        for resample in range(3):
            weights = bootstrap.counts[bootstrap.patient, resample][known]
            positive = labels[known] == 1
            if not weights[positive].any() or not weights[~positive].any():
                assert np.isnan(auroc[resample]) and np.isnan(average_precision[resample])
                continue
            arguments = (positive, scores[known])
            assert auroc[resample] == pytest.approx(roc_auc_score(*arguments, sample_weight=weights), abs=1e-12)
            expected = average_precision_score(*arguments, sample_weight=weights)
            assert average_precision[resample] == pytest.approx(expected, abs=1e-12)


def test_patients_are_drawn_with_all_their_images():
    bootstrap = PatientBootstrap(["a", "b", "a", "c"], resamples=500)
    assert bootstrap.counts.sum(axis=0).tolist() == [3.0] * 500
    assert bootstrap.counts.mean(axis=1) == pytest.approx([1, 1, 1], abs=0.1)
    sums = bootstrap.sums(np.array([[1, 1], [0, 1], [1, 1], [0, 1]]))
    np.testing.assert_array_equal(sums[0], 2 * bootstrap.counts[0])
    np.testing.assert_array_equal(sums[1], bootstrap.counts.T @ [2, 1, 1])
    assert bootstrap.patients_with([True, False, True, True]) == 2
    assert bootstrap.patients_by_class(np.array([1, 0, np.nan, np.nan])) == (1, 1)
    assert bootstrap.patients_by_class(np.array([True, False, False, True])) == (2, 2)


def test_draws_equal_those_of_the_generator_and_take_little_more_memory_than_the_counts():
    tracemalloc.start()
    counts = PatientBootstrap(np.arange(3000), resamples=400, seed=3).counts
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    rng = np.random.default_rng(3)
    expected = [np.bincount(rng.integers(3000, size=3000), minlength=3000) for _ in range(400)]
    np.testing.assert_array_equal(counts, np.transpose(expected))
    assert counts.dtype == np.float32 and counts.flags.c_contiguous
    assert counts.nbytes == 4_800_000 and peak < 1.3 * counts.nbytes


def test_a_subset_and_chunks_keep_the_draws(monkeypatch):
    rng = np.random.default_rng(0)
    patients, labels, scores = rng.integers(0, 30, 90), rng.integers(0, 2, 90), rng.random(90)
    bootstrap = PatientBootstrap(patients, resamples=40)
    rows = np.arange(90) % 3 > 0
    masked = np.where(rows, labels, np.nan)
    expected = bootstrap.scores(masked, scores)
    np.testing.assert_array_equal(bootstrap.take(rows).scores(labels[rows], scores[rows]), expected)
    monkeypatch.setattr("mamsf_keras.evaluation.bootstrap.CHUNK", 700)
    np.testing.assert_array_equal(bootstrap.scores(masked, scores), expected)


def test_interval_is_the_formula_by_hand():
    resampled = np.array([0.8, 0.84, np.nan, 0.86])
    interval = logit_interval(0.83, resampled, patients=12)
    error = np.std([0.8, 0.84, 0.86], ddof=1) / (0.83 * 0.17)
    half = 2.2009851600916384 * error  # the 0.975 quantile of t with 11 degrees of freedom, from a table
    odds = np.exp(np.log(0.83 / 0.17) + np.array([-half, half]))
    assert [interval.low, interval.high] == pytest.approx(odds / (1 + odds))
    assert interval.usable == 0.75


def test_no_interval_for_few_patients_or_extreme_values():
    resampled = np.array([0.8, 0.84, 0.86])
    assert logit_interval(0.83, resampled, patients=9) is None
    assert logit_interval(1.0, resampled, patients=50) is None
    assert logit_interval(None, np.full(3, np.nan), patients=50) is None


def test_no_interval_if_the_resamples_do_not_vary():
    """The AUROC of equal scores is 0.5 in every resample, which does not mean that it is known exactly."""
    labels, bootstrap = np.arange(300) % 7 == 0, PatientBootstrap(np.arange(300) // 3, 50)
    auroc, average_precision = bootstrap.scores(labels, np.full(300, 0.5))
    assert logit_interval(0.5, auroc, patients=50) is None
    assert logit_interval(labels.mean(), average_precision, patients=50) is not None  # it is the prevalence


def test_no_interval_if_most_resamples_do_not_define_the_value():
    resampled = np.array([0.8, 0.84, np.nan, np.nan])
    assert logit_interval(0.83, resampled, patients=50).usable == 0.5
    assert logit_interval(0.83, np.append(resampled, np.nan), patients=50) is None


def test_interval_is_wider_than_that_of_independent_images_if_patients_have_many():
    """Nine copies of each image carry no more information than one."""
    rng = np.random.default_rng(0)
    labels = np.repeat(rng.random(200) < 0.3, 9)
    scores = np.repeat(rng.normal(size=200), 9) + labels
    value, width = roc_auc_score(labels, scores), {}
    for name, patients in (("patients", np.repeat(np.arange(200), 9)), ("images", np.arange(1800))):
        auroc, _ = PatientBootstrap(patients, resamples=400).scores(labels, scores)
        interval = logit_interval(value, auroc, patients=int(labels.sum()))
        width[name] = interval.high - interval.low
    assert width["patients"] / width["images"] == pytest.approx(3, rel=0.15)  # the square root of 9
