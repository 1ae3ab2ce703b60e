import dataclasses

import numpy as np
import pandas as pd
import pytest

from mamsf_keras import DataConfig, LabelsCsv, open_dataset
from mamsf_keras.data.label_counts import LabelCounts, count_labels
from mamsf_keras.training.trained_findings import TrainedFindings
from tests.runs import toy_config
from tests.toys import write_nih

pytestmark = pytest.mark.no_keras

NAMES = ("Mass", "Hernia", "Edema", "No Finding")
TRAIN = np.array([[1, 0, 1, 1], [0, 0, np.nan, 1], [1, np.nan, 0, np.nan]])
VALIDATION = np.array([[1, 0, 0, 1], [0, 1, np.nan, 0]])
FOUND = TrainedFindings(count_labels(TRAIN, NAMES), count_labels(VALIDATION, NAMES))
NIH = toy_config("data")


def test_both_classes_are_needed_to_train_and_to_score():
    assert FOUND.trained == ("Mass", "Edema") and FOUND.scored == ("Mass",)
    FOUND.check(NIH)


def test_everything_left_out_is_named_with_its_counts():
    assert FOUND.notes(NIH) == [
        "best model: chosen by the validation AUROC, the mean of 1 of 2 findings, each with 1 positive and 1 negative "
        "validation labels",
        "not scored on the validation split: Edema (0 positive, 1 negative)",
        "left out of the model, because the train split has labels of only one class: Hernia (0 positive, 2 negative), "
        "No Finding (2 positive, 0 negative). To include them, use more images, or choose another `protocol`.",
    ]
    complete = count_labels([[1, 0], [0, 1], [0, 1]], ("A", "B"))
    assert TrainedFindings(complete, complete).notes(NIH) == [
        "best model: chosen by the validation AUROC, the mean of 2 of 2 findings, each with 1 to 2 positive and "
        "1 to 2 negative validation labels"
    ]


def test_data_without_a_finding_to_learn_or_score_are_refused():
    nothing = LabelCounts(("A", "B"), (3, 0), (0, 3))
    with pytest.raises(ValueError, match=r"No finding has .* nothing to learn: A \(3 positive, 0 negative\), B"):
        TrainedFindings(nothing, nothing).check(NIH)
    learned = LabelCounts(("A", "B"), (3, 0), (1, 3))
    with pytest.raises(ValueError, match=r"No trained finding .* no AUROC to .* by: A \(3 positive, 0 negative\)"):
        TrainedFindings(learned, nothing).check(NIH)


@pytest.mark.parametrize(("blank", "trained"), [("mask", ("Edema",)), ("negative", ("Edema", "No Finding"))])
def test_no_finding_of_chexpert_is_trained_only_if_its_blanks_count(tmp_path, blank, trained):
    """In CheXpert "No Finding" is 1 or blank, so masked blanks leave it nothing but positives."""
    rows = [(f"{patient:03d}.png", "", patient) for patient in range(60)]
    images = write_nih(tmp_path / "images", rows)
    edema = ["1" if patient % 3 == 0 else "0" if patient % 3 == 1 else "" for patient in range(60)]
    normal = ["1" if patient % 3 == 2 else "" for patient in range(60)]
    paths = [f"images_001/images/{name}" for name, *_ in rows]
    table = pd.DataFrame({"Path": paths, "Patient ID": range(60), "Edema": edema, "No Finding": normal})
    table.to_csv(tmp_path / "train.csv", index=False)
    options = {"labels_csv": LabelsCsv(str(tmp_path / "train.csv"), blank=blank), "protocol": "random-patient"}
    found = TrainedFindings.of(open_dataset(DataConfig(str(images), **options)))
    assert found.trained == trained
    config = dataclasses.replace(NIH, **options)
    advice = "(`blank` negative)" in found.notes(config)[-1]
    assert advice == ("No Finding" not in trained)
