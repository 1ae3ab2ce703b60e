import pytest

from mamsf_keras.reports import evaluation_tables as tables
from tests.reports.test_evaluation import FINDINGS, evaluated
from tests.reports.test_published import official_summary

pytestmark = pytest.mark.no_keras


def test_none_is_a_dash_and_numbers_equal_the_summary():
    summary = evaluated()[0]
    frame, mass = tables.discrimination(summary), summary["findings"]["Mass"]
    assert tuple(frame.index) == FINDINGS
    assert frame.loc["Edema", "AUROC (95% interval)"] == frame.loc["Edema", "ratio of widths"] == "–"
    assert frame.loc["Mass", "AUROC (95% interval)"].startswith(
        f"{mass['auroc']:.3f} ({mass['auroc_interval'][0]:.3f}–"
    )
    (a, b), (c, d) = mass["auroc_interval"], mass["auroc_interval_images"]
    assert frame.loc["Mass", "ratio of widths"] == f"{(b - a) / (d - c):.2f}"
    assert tables.means(summary).loc["mean of all", "findings"] == "2"


def test_intervals_without_a_width_have_no_ratio():
    assert tables.width_ratio({"auroc_interval": [0.4, 0.6], "auroc_interval_images": [0.5, 0.5]}) is None
    assert tables.width_ratio({"auroc_interval": [0.4, 0.6], "auroc_interval_images": [0.4, 0.5]}) == pytest.approx(2)


def test_operating_points_mark_unstable_thresholds_and_dash_impossible_ones():
    summary = evaluated()[0]
    frame = tables.operating_point(summary, "youden")
    assert "unstable" in frame.loc["Hernia", "threshold"] and "unstable" not in frame.loc["Mass", "threshold"]
    assert set(frame.loc["Edema"]) == {"–"}
    counts = frame.loc["Mass", ["TP", "FP", "TN", "FN"]].astype(int)
    assert counts.sum() == 240 and counts["TP"] + counts["FN"] == summary["findings"]["Mass"]["positives"]
    assert set(tables.operating_point(evaluated(calibrated=False)[0], "f1").loc["Mass"]) == {"–"}


def test_ppv_at_another_prevalence_has_its_column():
    summary = evaluated()[0]
    for point in summary["findings"]["Mass"]["operating_points"].values():
        point["ppv_at_prevalence"] = 0.123
    assert tables.operating_point(summary, "youden").loc["Mass", "PPV at the given prevalence"] == "0.123"


def test_prevalence_is_compared_with_the_validation_split():
    rows = {
        "A": {"validation_prevalence": 0.02, "prevalence": 0.05},
        "B": {"validation_prevalence": 0.0, "prevalence": 0.1},
        "C": {"validation_prevalence": None, "prevalence": None},
    }
    frame = tables.prevalences({"findings": rows})
    assert frame.to_numpy().tolist() == [["2.00", "5.00", "2.50"], ["0.00", "10.00", "–"], ["–", "–", "–"]]


def test_calibration_is_before_and_after():
    frame = tables.calibration(evaluated()[0])
    assert "→" in frame.loc["Mass", "slope"] and "→" not in frame.loc["Edema", "slope"]


def test_subgroups_have_a_row_or_column_each():
    groups = evaluated()[0]["subgroups"]["sex"]
    assert list(tables.subgroup_means(groups).index) == list(tables.subgroup_findings(groups).columns) == ["F", "M"]
    assert tables.subgroup_findings(groups).loc["Edema", "F"] == "–, n=0"


def test_published_results_are_in_order_with_ours_among_them():
    frame = tables.published_means(official_summary())
    values = [float(text.split()[0]) for text in frame["mean AUROC (interval as stated)"]]
    assert values == sorted(values) and frame.index.tolist().count("this evaluation") == 1
    assert frame["source"].iloc[0].startswith("https://arxiv.org/abs/1705.02315v5")
    assert frame.loc["XProtoNet", "mean AUROC (interval as stated)"] == "0.822" and values[0] == 0.7451
    by_finding = tables.published_findings(official_summary())
    assert by_finding.loc["Hernia"].tolist() == ["0.800 (0.790–0.810)", "0.8717", "0.855"]
