import re

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from mamsf_keras.cli import main

from mamsf_keras.config import DataConfig
from mamsf_keras.data.describe import as_text, describe
from mamsf_keras.data.prepare import prepare
from mamsf_keras.findings import FINDINGS

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
    per_patient = table(description, "Images a patient")
    assert per_patient["test"]["mean"] == 9.15
    assert round(per_patient["test"].iloc[-1]) == 56
    assert table(description, "Image sizes")["images"].to_dict() == {"not known": 112120}
    assert "images found: 0 of 112120" in as_text(description)


def test_findings_together_by_hand(small_nih):
    description = describe(DataConfig(small_nih))
    labels = description.studies.table[list(FINDINGS)].to_numpy()
    expected = [[sum(a and b for a, b in zip(x, y, strict=True)) for y in labels.T] for x in labels.T]
    np.testing.assert_array_equal(table(description, "Images with both"), expected)


def test_sizes_damage_and_copies_in_an_original_folder(small_nih):
    images = sorted((small_nih / "images_001" / "images").glob("*.png"))
    images[1].write_bytes(images[0].read_bytes())
    images[2].write_bytes(b"no image")
    images[3].unlink()
    description = describe(DataConfig(small_nih))
    assert table(description, "Image sizes")["images"].to_dict() == {"16 x 16": len(images) - 2, "not known": 2}
    assert table(description, "Duplicates").loc["groups of equal images", "count"] == 1
    text = as_text(description)
    assert f"images found: {len(images) - 1} of {len(images)}; that cannot be read, by their header: 1" in text
    assert str(images[2]) in text and f"{images[0].name} = {images[1].name}" in text


def test_a_cache_says_the_same(small_nih, tmp_path):
    for path in sorted(small_nih.rglob("*.png"))[:5]:
        path.unlink()
    prepare(DataConfig(small_nih, allow_missing=True), tmp_path / "cache", 32, workers=1)
    original, cached = (describe(DataConfig(folder)) for folder in (small_nih, tmp_path / "cache"))
    for title, frame in original.tables.items():
        pd.testing.assert_frame_equal(frame, cached.tables[title], check_dtype=False)


def test_labels_of_ones_own_with_blanks(tmp_path):
    rows = [f"{i}.png,{i},{'' if i % 4 == 0 else i % 2},M" for i in range(200)]
    (tmp_path / "t.csv").write_text("\n".join(["path,patient,Edema,sex", *rows]) + "\n")
    data = DataConfig(tmp_path, labels_csv=tmp_path / "t.csv", protocol="random-patient")
    description = describe(data)
    assert table(description, "Images, patients")["all"]["Edema"] == "100 of 150"
    studies = description.studies.table
    for part in ("train", "validation", "test"):
        labels = studies["Edema"][studies["part"] == part].to_numpy()
        expected = 100 * (labels == 1).sum() / (labels >= 0).sum()
        assert table(description, "Prevalence")[part]["Edema"] == round(expected, 2)
    assert table(description, "Age, sex")["all"]["sex M"] == 100


def test_page_is_whole_and_not_overwritten(small_nih, tmp_path):
    out = tmp_path / "page.html"
    result = CliRunner().invoke(main, ["describe", "--data-dir", str(small_nih), "--out", str(tmp_path / "no" / "p")])
    assert result.exit_code == 1 and "The folder of" in result.stderr and result.stdout == ""
    arguments = ["describe", "--data-dir", str(small_nih), "--out", str(out)]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result.output
    page = out.read_text()
    assert page.count("<h2>") == 7 and page.count("data:image/png;base64,") == 5
    assert not re.search(r"(src|href)=.(?!data:)", page)  # nothing is loaded from elsewhere
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 1 and "use --overwrite" in result.stderr
    assert out.read_text() == page


def test_disease_only_says_what_it_leaves_out(small_nih):
    description = describe(DataConfig(small_nih, protocol="disease-only"))
    counts = table(description, "Images, patients")["all"]
    text = as_text(description)
    left_out = int(re.search(r"left out by the disease-only protocol: (\d+)", text)[1])
    assert left_out > 0 and counts["No Finding"] == 0
    whole = table(describe(DataConfig(small_nih)), "Images, patients")["all"]
    assert left_out == whole["No Finding"] and counts["images"] + left_out == whole["images"]


def test_empty_files_are_damaged_and_no_copies(small_nih):
    for path in sorted(small_nih.rglob("*.png"))[:30]:
        path.write_bytes(b"")
    description = describe(DataConfig(small_nih))
    assert table(description, "Duplicates")["count"][["images compared", "groups of equal images"]].tolist() == [50, 0]
    assert "that cannot be read, by their header: 30" in as_text(description)
