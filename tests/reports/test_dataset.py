import re

import numpy as np
import pandas as pd
import pytest

from mamsf_keras.config import DataConfig, LabelsCsv
from mamsf_keras.data.cache.prepare import prepare
from mamsf_keras.data.open import open_dataset
from mamsf_keras.findings import FINDINGS
from mamsf_keras.reports.dataset import as_text, demographics, describe, duplicates, images_per_patient, sizes

pytestmark = pytest.mark.no_keras


def table(description, start):
    return next(frame for title, frame in description.tables.items() if title.startswith(start))


def test_nih_tables_give_the_published_figures(nih_dir):
    """Wang et al. 2017 and the counts of NIH's lists; ratios of prevalence as others found them."""
    description = describe(DataConfig(nih_dir / "full_tables"))
    counts = table(description, "Images, patients")
    assert counts["all"][["images", "patients", "No Finding", "Hernia"]].tolist() == [112120, 30805, 60361, "227"]
    ratio = table(description, "Prevalence")["test / others"]
    expected = {"Pneumothorax": 3.42, "Emphysema": 2.60, "Edema": 2.27, "Pneumonia": 2.14, "Hernia": 2.06}
    assert ratio[list(expected)].tolist() == list(expected.values())
    per_patient = table(description, "Images per patient")
    assert per_patient["test"]["mean"] == 9.15
    assert round(per_patient["test"].iloc[-1]) == 56
    assert table(description, "Image sizes")["images"].to_dict() == {"not known": 112120}
    assert "images found: 0 of 112120" in as_text(description)


def test_co_occurrence_by_hand(small_nih):
    description = describe(DataConfig(small_nih))
    labels = description.table[list(FINDINGS)].to_numpy()
    expected = [[sum(a and b for a, b in zip(x, y, strict=True)) for y in labels.T] for x in labels.T]
    np.testing.assert_array_equal(table(description, "Images with both"), expected)


def test_sizes_damaged_images_and_duplicates_in_an_original_folder(small_nih):
    images = sorted((small_nih / "images_001" / "images").glob("*.png"))
    images[1].write_bytes(images[0].read_bytes())
    images[2].write_bytes(b"no image")
    images[3].unlink()
    description = describe(DataConfig(small_nih))
    assert table(description, "Image sizes")["images"].to_dict() == {"16 x 16": len(images) - 2, "not known": 2}
    assert table(description, "Duplicates").loc["groups of equal images", "count"] == 1
    text = as_text(description)
    assert f"images found: {len(images) - 1} of {len(images)}; not readable: 1" in text
    assert str(images[2]) in text and f"{images[0].name} = {images[1].name}" in text


def test_a_cache_gives_the_same_description(small_nih, tmp_path):
    for path in sorted(small_nih.rglob("*.png"))[:5]:
        path.unlink()
    prepare(open_dataset(DataConfig(small_nih, allow_missing=5)), tmp_path / "cache", 32, workers=1)
    original, cached = (describe(DataConfig(folder)) for folder in (small_nih, tmp_path / "cache"))
    for title, frame in original.tables.items():
        pd.testing.assert_frame_equal(frame, cached.tables[title], check_dtype=False)


def test_table_of_labels_with_blanks(tmp_path):
    rows = [f"{i}.png,{i},{'' if i % 4 == 0 else i % 2},M" for i in range(200)]
    (tmp_path / "t.csv").write_text("\n".join(["path,patient,Edema,sex", *rows]) + "\n")
    data = DataConfig(tmp_path, labels_csv=tmp_path / "t.csv", protocol="random-patient")
    description = describe(data)
    assert table(description, "Images, patients")["all"]["Edema"] == "100 of 150"
    images = description.table
    for split in ("train", "validation", "test"):
        labels = images["Edema"][images["split"] == split].to_numpy()
        expected = 100 * (labels == 1).sum() / (labels >= 0).sum()
        assert table(description, "Prevalence")[split]["Edema"] == round(expected, 2)
    assert table(description, "Age, sex")["all"]["sex M"] == 100


def test_findings_that_cannot_be_learned_or_scored_are_noted_with_their_counts(tmp_path):
    rows = [f"{i}.png,{i},{i % 2},{int(i == 0)},1," for i in range(30)]
    (tmp_path / "t.csv").write_text("\n".join(["path,patient,A,B,No Finding,C", *rows]) + "\n")
    splits = ["train"] * 20 + ["validation"] * 4 + ["test"] * 6
    (tmp_path / "s.csv").write_text("image,split\n" + "".join(f"{i}.png,{name}\n" for i, name in enumerate(splits)))
    labels = LabelsCsv(tmp_path / "t.csv", ("A", "B", "No Finding", "C"))
    notes = describe(DataConfig(tmp_path, labels, protocol=f"file:{tmp_path / 's.csv'}")).notes
    text = "findings that cannot be {}, because {} has no positive or no negative images of them: {}"
    assert [note for note in notes if "cannot be" in note] == [
        text.format("learned", "train", "2 of 4: No Finding (20 positive, 0 negative), C (0 positive, 0 negative)"),
        text.format(
            *("scored", "validation"),
            "3 of 4: B (0 positive, 4 negative), No Finding (4 positive, 0 negative), C (0 positive, 0 negative)",
        ),
        text.format(
            *("scored", "test"),
            "3 of 4: B (0 positive, 6 negative), No Finding (6 positive, 0 negative), C (0 positive, 0 negative)",
        ),
    ]


def test_disease_only_notes_what_it_leaves_out(small_nih):
    description = describe(DataConfig(small_nih, protocol="disease-only"))
    counts = table(description, "Images, patients")["all"]
    text = as_text(description)
    left_out = int(re.search(r"left out by the disease-only protocol: (\d+)", text)[1])
    assert left_out > 0 and counts["No Finding"] == 0
    whole = table(describe(DataConfig(small_nih)), "Images, patients")["all"]
    assert left_out == whole["No Finding"] and counts["images"] + left_out == whole["images"]


def test_empty_files_are_damaged_and_not_duplicates(small_nih):
    for path in sorted(small_nih.rglob("*.png"))[:30]:
        path.write_bytes(b"")
    description = describe(DataConfig(small_nih))
    assert table(description, "Duplicates")["count"][["images compared", "groups of equal images"]].tolist() == [50, 0]
    assert "not readable: 30" in as_text(description)


def test_missing_images_are_counted(small_nih):
    path = next(small_nih.rglob("00000003_001.png"))
    path.unlink()
    path.symlink_to("nowhere.png")  # as git-annex leaves them
    assert "images found: 79 of 80" in as_text(describe(DataConfig(small_nih)))


def test_images_per_patient_by_hand():
    patients = np.repeat(np.arange(22), [1] * 18 + [22, 10, 1, 1])
    splits = ["train"] * 50 + ["validation", "test"]
    train = images_per_patient(pd.DataFrame({"patient": patients, "split": splits}))["train"]
    assert train.iloc[:4].tolist() == [20, 2.5, 1, 22]  # patients, mean, median, maximum
    assert train.iloc[4] == 64  # two of 20 patients have 32 of 50 images


def test_image_sizes_beyond_the_ten_most_frequent_are_added_up():
    counts = {f"{side} x {side}": 20 - side for side in range(1, 13)}  # 1 x 1 on 19 images, 12 x 12 on 8
    heights = [float(name.split()[0]) for name, count in counts.items() for _ in range(count)] + [np.nan] * 3
    found = sizes(pd.DataFrame({"height": heights, "width": heights}))["images"].to_dict()
    assert found == {**dict(list(counts.items())[:10]), "others": 9 + 8, "not known": 3}


def test_ages_above_120_are_counted_as_errors(small_nih):
    path = small_nih / "Data_Entry_2017.csv"
    path.write_text(path.read_text().replace(",50,F", ",412,M", 1).replace(",50,F", ",,F", 1))
    whole = table(describe(DataConfig(small_nih)), "Age, sex")["all"]
    assert whole[["images with an age above 120", "images without age"]].tolist() == [1, 1]
    assert whole[["age, 50% quantile, years", "sex M", "sex F", "view PA"]].tolist() == [50, 1.2, 98.8, 100]


def test_age_quantiles_equal_those_of_plausible_ages():
    ages = [10.0, 20, 30, 412, 412, np.nan]
    rows = pd.DataFrame({"age": ages, "sex": ["M", "F", "", None, "M", "M"], "view": "PA"})
    table = pd.concat([rows.assign(split=split) for split in ("train", "validation", "test")])
    found = demographics(table)["train"]
    assert found[[f"age, {q}% quantile, years" for q in (25, 50, 75)]].tolist() == [15, 20, 25]
    assert found[["images with an age above 120", "images without age"]].tolist() == [2, 1]
    assert found[["sex F", "sex M", "sex blank"]].tolist() == [16.7, 50, 33.3]


def test_duplicates_are_counted_by_split_and_patient():
    same = pd.DataFrame(
        {
            "sha256": ["a", "a", "b", "b", "c", "c", "c"],
            "split": ["train", "train", "train", "test", "test", "test", "test"],
            "patient": ["1", "1", "1", "2", "2", "2", "3"],
        }
    )
    table = pd.DataFrame({"height": [5.0] * 9 + [np.nan]})
    assert duplicates(table, same)["count"].to_dict() == {
        "images compared": 9,
        "images that are equal to another": 7,
        "groups of equal images": 3,
        "of them in more than one split": 1,
        "of them from more than one patient": 2,
    }
