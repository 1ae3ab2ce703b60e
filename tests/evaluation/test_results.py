import pytest

from mamsf_keras import open_dataset
from mamsf_keras.evaluation.results import markdown_table, nih_groups, training_groups
from mamsf_keras.findings import FINDINGS, HEAD, MEDIUM, TAIL
from tests.reports.test_evaluation import evaluated

pytestmark = pytest.mark.no_keras


def test_markdown_table_has_intervals_where_they_are_defined():
    row = {"positives": 1200, "positive_patients": 300, "auroc": 0.84126, "auroc_interval": [0.8, 0.8712]}
    row["usable_resamples"] = 1.0
    undefined = {"positives": 0, "positive_patients": 0, "auroc": None, "auroc_interval": None}
    both = [one | {"average_precision": one["auroc"], "average_precision_interval": None} for one in (row, undefined)]
    text = markdown_table(
        {"findings": dict(zip("AB", both, strict=True)), "means": {"macro": both[0] | {"findings": 1}}}
    )
    assert text.splitlines()[2:] == [
        "| A | 1,200 (300) | 0.841 (0.800–0.871) | 0.841 |",
        "| B | 0 (0) | – | – |",
        "| macro average over 1 findings | | 0.841 (0.800–0.871) | 0.841 |",
    ]


def test_markdown_table_states_the_share_of_usable_resamples_and_why_a_mean_has_no_interval():
    summary = evaluated()[0]
    summary["findings"]["Hernia"]["usable_resamples"] = 0.9835
    lines = markdown_table(summary).splitlines()
    assert any(line.startswith("No interval for the mean of all, because") for line in lines)
    assert lines[-1].startswith("Not all resamples have both positives and negatives")


def test_groups_equal_those_of_the_nih_table_or_of_the_training_images(small_nih):
    groups = nih_groups((*FINDINGS, "Fracture"))
    assert [tuple(name for name in groups if groups[name] == kind) for kind in ("head", "medium", "tail")] == [
        HEAD,
        MEDIUM,
        TAIL,
    ]
    own = training_groups(open_dataset(small_nih), FINDINGS)
    assert own["Mass"] == own["Effusion"] == "head" and own["Atelectasis"] == "tail"
