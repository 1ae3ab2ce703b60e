import numpy as np
import pytest

from mamsf_keras.evaluation.bootstrap import PatientBootstrap, logit_interval
from mamsf_keras.evaluation.intervals import rate_intervals
from mamsf_keras.evaluation.operating_points import decisions

pytestmark = pytest.mark.no_keras


def test_intervals_of_rates_are_ratios_over_patients_by_hand():
    rng = np.random.default_rng(0)
    truth, positive, patients = rng.random(300) < 0.4, rng.random(300) < 0.5, np.arange(300) // 3
    bootstrap = PatientBootstrap(patients, resamples=50)
    weights = bootstrap.counts[bootstrap.patient]
    row = decisions(truth, positive)
    found = rate_intervals(row, truth, positive, bootstrap)
    resampled = [np.average(positive[truth], weights=weights[truth, b]) for b in range(50)]
    interval = logit_interval(row["sensitivity"], np.array(resampled), len(set(patients[truth])))
    assert found["sensitivity_interval"] == pytest.approx([interval.low, interval.high], abs=1e-6)
