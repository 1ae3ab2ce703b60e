import numpy as np
import pytest
from matplotlib.figure import Figure

from mamsf_keras.reports import evaluation_plots as plots
from mamsf_keras.reports.score_text import score_text
from tests.reports.test_evaluation import evaluated

pytestmark = pytest.mark.no_keras

X = np.array([0.0, 0.5, 1.0])


def texts(axis):
    return [text.get_text() for text in (*axis.get_yticklabels(), *axis.texts)]


def test_forest_plot_has_a_row_for_each_finding_and_mean_and_both_intervals():
    summary = evaluated()[0]
    axis = Figure().subplots()
    plots.forest(axis, summary)
    assert texts(axis)[:5] == ["Mass", "Hernia", "Edema", "mean of all", "mean of head"]
    assert "undefined" in texts(axis) and score_text(summary["findings"]["Mass"], "auroc") in texts(axis)
    lines = [list(line.get_xdata()) for line in axis.lines]
    for key in ("auroc_interval", "auroc_interval_images"):
        assert summary["findings"]["Mass"][key] in lines
    lowest = min(row["auroc_interval_images"][0] for row in summary["findings"].values() if row["auroc"])
    assert lowest - 0.07 < axis.get_xlim()[0] < lowest and axis.get_xlim()[1] > 1
    [legend] = axis.figure.legends
    labels = {text.get_text() for text in legend.get_texts()}
    assert labels == {"patient-level", "image-level, assumes independent images"}


def test_forest_plot_of_undefined_findings_only():
    row = {"auroc": None, "auroc_interval": None, "auroc_interval_images": None}
    axis = Figure().subplots()
    plots.forest(axis, {"findings": {"A": row}, "means": {"macro": row}})
    assert texts(axis).count("undefined") == 2 and not axis.figure.legends


@pytest.mark.parametrize("draw", [plots.roc, plots.precision_recall])
def test_curves_have_a_band_where_there_is_one_and_their_operating_point(draw):
    point = {"sensitivity": 0.9, "specificity": 0.8, "ppv": 0.3}
    row = {"prevalence": 0.1, "operating_points": {"youden": point}}
    axis = Figure().subplots()
    draw(axis, (X, X, X - 0.1, X + 0.1), row)
    [dot] = [line for line in axis.lines if line.get_marker() == "o"]
    expected = (1 - 0.8, 0.9) if draw is plots.roc else (0.9, 0.3)
    assert (dot.get_xdata()[0], dot.get_ydata()[0]) == pytest.approx(expected) and len(axis.collections) == 1
    axis = Figure().subplots()
    draw(axis, (X, X, None, None), row | {"operating_points": None})
    assert not axis.collections and all(line.get_marker() != "o" for line in axis.lines)


def test_calibration_plot_ends_where_the_bins_do():
    axis = Figure().subplots()
    plots.calibration(axis, (X / 100, X / 50, X / 100, X / 40), (X / 100, X / 100, None, None))
    assert axis.get_xlim()[1] == axis.get_ylim()[1] == pytest.approx(1.08 * 0.02)
    assert sorted(line.get_marker() for line in axis.lines) == ["None", "o", "s"] and len(axis.collections) == 1
    axis = Figure().subplots()
    plots.calibration(axis, (X, X, None, None), None)
    assert axis.get_xlim()[1] == pytest.approx(1.02)
