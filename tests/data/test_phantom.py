"""Phantoms: equal seeds, NIH's frequencies, boxes and measures that a radiologist would take."""

import hashlib
import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from mamsf_keras.cli import main
from PIL import Image

from mamsf_keras.data.phantom import Study, draw, phantom_table, write_phantoms
from mamsf_keras.data.phantom.dataset import MARKER
from mamsf_keras.data.phantom.labels import label_sets
from mamsf_keras.data.phantom.png import png
from mamsf_keras.data.phantom.shapes import bounds, stripes
from mamsf_keras.data.source import read_studies
from mamsf_keras.findings import BOX_FINDINGS, FINDINGS, IMAGES, NO_FINDING, POSITIVES

pytestmark = pytest.mark.no_keras

THUMBNAIL = Path(__file__).with_name("phantom_thumbnail.png")
CHANGE = 8
"""Grey levels above which a change counts: VISIBLE times the steepest exposure, rounded up."""


def study(number, *findings, frame=350.0):
    return Study(number, 0, findings, number % 2 == 0, number % 3 == 0, frame)


def files(folder):
    paths = sorted(p for p in Path(folder).rglob("*") if p.is_file())
    return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in paths}


def contact_sheet():
    """Three rows of five at 64 px: no finding, then each of the 14."""
    names = [(), *((finding,) for finding in FINDINGS)]
    images = [draw(study(number, *findings), seed=3, size=64).pixels for number, findings in enumerate(names)]
    return np.block([images[row : row + 5] for row in (0, 5, 10)])


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    out = tmp_path_factory.mktemp("phantoms") / "set"
    table = write_phantoms(out, images=100, size=64, seed=5, workers=1)
    return out, table


def test_same_seed_gives_same_bytes_on_one_and_two_processes(written, tmp_path):
    write_phantoms(tmp_path / "again", images=100, size=64, seed=5, workers=2)
    assert files(tmp_path / "again") == files(written[0])
    write_phantoms(tmp_path / "other", images=100, size=64, seed=6, workers=1)
    assert files(tmp_path / "other")["Data_Entry_2017.csv"] != files(written[0])["Data_Entry_2017.csv"]


def test_pixels_are_within_one_grey_level_of_the_stored_thumbnail():
    stored = np.asarray(Image.open(THUMBNAIL)).astype(int)
    assert np.abs(contact_sheet().astype(int) - stored).max() <= 1


def test_label_sets_add_up_to_the_nih_counts():
    sets, shares = label_sets()
    counts = np.rint(shares * IMAGES).astype(int)
    assert counts.sum() == IMAGES
    for finding, positives in POSITIVES.items():
        assert sum(n for labels, n in zip(sets, counts, strict=True) if finding in labels) == positives


def test_frequencies_and_co_occurrence_follow_the_nih_table():
    images = 100_000
    table = phantom_table(images, seed=1)
    assert len(table) == images
    pairs = {  # counted in NIH's Data_Entry_2017.csv
        ("Effusion", "Atelectasis"): 3275,
        ("Infiltration", "Effusion"): 4000,
        ("Infiltration", "Edema"): 981,
        ("Mass", "Nodule"): 906,
        ("Pneumothorax", "Emphysema"): 747,
        ("Effusion", "Cardiomegaly"): 1063,
    }
    expected = {(finding,): n for finding, n in POSITIVES.items()} | pairs
    found = {names: table[list(names)].all(axis=1).sum() for names in expected}
    found[NO_FINDING] = (table[list(FINDINGS)].sum(axis=1) == 0).sum()
    expected[NO_FINDING] = 60_361
    for names, count in expected.items():
        share = count / IMAGES
        # 4.5 standard errors; kept labels of follow-ups raise the variance by at most (1 + 0.15) / (1 - 0.15)
        error = 4.5 * (images * share * (1 - share) * 1.35) ** 0.5
        assert abs(found[names] - share * images) < error, names


def test_parts_and_patients_have_the_official_proportions():
    table = phantom_table(60_000, seed=2)
    assert (table["official_part"] == "test").sum() == round(60_000 * 25_596 / 112_120)
    assert table.groupby("patient")["official_part"].nunique().max() == 1
    rates = table.groupby("official_part").size() / table.groupby("official_part")["patient"].nunique()
    assert rates["train_val"] == pytest.approx(3.09, rel=0.1)
    assert 3.5 < rates["test"] < 9.15
    assert (table.groupby("patient")["follow_up"].max() + 1 == table.groupby("patient").size()).all()


@pytest.mark.parametrize("images, tail", [(600, 1), (2600, 4)])
def test_tail_lifts_every_finding_in_every_part(images, tail):
    table = phantom_table(images, seed=0, tail=tail)
    positive = table[list(FINDINGS)].groupby([table["part"], table["patient"]]).max().groupby(level=0).sum()
    assert set(positive.index) == {"train", "validation", "test"}
    assert positive.to_numpy().min() >= tail
    assert len(table) == images


def test_tail_that_cannot_fit_says_so():
    with pytest.raises(ValueError, match="do not fit into 200 images.*smaller `tail`"):
        phantom_table(200, tail=8)


@pytest.mark.parametrize("images", [20, 40, 100])
def test_small_sets_have_all_three_parts(images):
    for seed in range(8):
        assert set(phantom_table(images, seed)["part"]) == {"train", "validation", "test"}


@pytest.mark.parametrize("finding", BOX_FINDINGS)
def test_what_a_finding_changes_lies_in_its_boxes(finding):
    for number in range(12):
        without, drawn = draw(study(number), size=160), draw(study(number, finding), size=160)
        changed = np.abs(drawn.pixels.astype(int) - without.pixels) > CHANGE
        inside = np.zeros_like(changed)
        for name, x, y, width, height in drawn.boxes:
            assert name == finding
            assert 0 <= x and 0 <= y and x + width <= 160 and y + height <= 160 and width > 0 and height > 0
            assert changed[y : y + height, x : x + width].any()
            inside[y : y + height, x : x + width] = True
        assert drawn.boxes
        assert not (changed & ~inside).any()


@pytest.mark.parametrize("finding", FINDINGS)
def test_every_finding_is_visible(finding):
    for number in range(6):
        change = draw(study(number, finding), size=96).pixels.astype(int) - draw(study(number), size=96).pixels
        assert (np.abs(change) > CHANGE).sum() >= 4


def test_cardiothoracic_ratio_is_over_one_half_in_cardiomegaly_alone():
    for number in range(20):
        for findings in ((), ("Edema",), ("Emphysema",), ("Cardiomegaly",), ("Emphysema", "Cardiomegaly")):
            chest = draw(study(number, *findings), size=256).chest.thorax
            heart, lungs = (np.flatnonzero((mask > 0.5).any(0)) for mask in (chest.heart, chest.lungs))
            ratio = np.ptp(heart) / np.ptp(lungs)
            assert (ratio > 0.5) == ("Cardiomegaly" in findings), (findings, ratio)


def test_heart_is_bright_and_lungs_are_dark():
    drawn = draw(study(1), size=128)
    chest = drawn.chest.thorax
    pixels = drawn.pixels[chest.span].astype(float)
    assert pixels[chest.heart > 0.9].mean() > pixels[chest.air > 0.9].mean() + 60


def test_nodules_are_under_and_masses_over_three_centimetres():
    sides = {"Nodule": [], "Mass": []}
    for name, found in sides.items():
        for number in range(40):
            drawn = draw(study(number, name, frame=420.0), size=256)
            found += [max(box[3:]) * 420.0 / 256 for box in drawn.boxes]
    assert max(sides["Nodule"]) < 30 < min(sides["Mass"])
    assert len(sides["Nodule"]) > 40 == len(sides["Mass"])


def test_follow_ups_share_the_patients_anatomy():
    first, second = (draw(Study(7, number, (), False, False, 350.0), size=64).chest.body for number in (0, 1))
    other = draw(Study(8, 0, (), False, False, 350.0), size=64).chest.body
    assert (first.half_width, first.rib_slope) == (second.half_width, second.rib_slope)
    assert first.shift != second.shift
    assert first.half_width != other.half_width


def test_layout_is_read_back(written):
    out, table = written
    header = (out / "Data_Entry_2017.csv").read_text().splitlines()[0]
    assert header == (
        "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position,"
        "OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y]"
    )
    assert (out / "BBox_List_2017.csv").read_text().startswith("Image Index,Finding Label,Bbox [x,y,w,h],,,\n")
    assert not pd.read_csv(out / "Data_Entry_2017.csv").isna().any(axis=None)
    studies = read_studies(out).table.set_index("image")
    assert list(studies.index) == list(table["image"])
    for column in ("official_part", "sex", "view", *FINDINGS):
        assert list(studies[column]) == list(table[column])
    image = Image.open(studies["path"].iloc[0])
    assert (image.mode, image.size) == ("L", (64, 64))
    assert (out / "README.txt").read_text().startswith(MARKER)


def test_boxes_are_written_in_the_1024_frame_with_nih_names(written):
    out, table = written
    boxes = pd.read_csv(out / "BBox_List_2017.csv", skiprows=1, names=["image", "name", "x", "y", "w", "h"])
    boxes["name"] = boxes["name"].replace("Infiltrate", "Infiltration")
    labelled = {(r.image, f) for r in table.itertuples() for f in BOX_FINDINGS if getattr(r, f)}
    assert set(zip(boxes["image"], boxes["name"], strict=True)) == labelled
    assert ((boxes["x"] + boxes["w"]).max(), (boxes["y"] + boxes["h"]).max()) <= (1024, 1024)
    assert (boxes[["x", "y", "w", "h"]] % 16 == 0).all(axis=None)


def test_a_folder_that_is_not_empty_is_refused(written, tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    for overwrite in (False, True):
        with pytest.raises(FileExistsError, match="left alone"):
            write_phantoms(tmp_path, images=20, overwrite=overwrite)
    assert (tmp_path / "thesis.txt").read_text() == "mine"
    with pytest.raises(FileExistsError, match="holds phantoms already"):
        write_phantoms(written[0], images=20)


def test_overwrite_replaces_phantoms(tmp_path):
    for seed in (0, 1):
        write_phantoms(tmp_path / "set", images=20, size=32, seed=seed, overwrite=True)
    write_phantoms(tmp_path / "fresh", images=20, size=32, seed=1)
    assert files(tmp_path / "set") == files(tmp_path / "fresh")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["fresh", "set"]


@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
def test_a_failure_leaves_nothing_behind(tmp_path, error):
    def stop(count):
        raise error("disk full")

    with pytest.raises(error):
        write_phantoms(tmp_path / "set", images=40, size=32, workers=1, progress=stop)
    assert list(tmp_path.iterdir()) == []


def test_bad_arguments_are_named(tmp_path):
    for name, value in (("images", 5), ("size", 8), ("seed", -1), ("tail", -1), ("workers", 0)):
        with pytest.raises(ValueError, match=f"`{name}` must be at least .* Received: {name}={value}"):
            write_phantoms(tmp_path / "set", **{"images": 40, name: value})
    assert list(tmp_path.iterdir()) == []


def test_png_is_what_pillow_reads():
    pixels = np.random.default_rng(0).integers(0, 256, (17, 23), dtype=np.uint8)
    assert (np.asarray(Image.open(io.BytesIO(png(pixels)))) == pixels).all()


def test_bounds_and_stripes_by_hand():
    visible = np.zeros((6, 8), bool)
    assert bounds(visible) is None
    visible[2:4, 1] = visible[3, 5] = True
    assert bounds(visible) == (1, 2, 5, 2)
    assert stripes(np.array([0.0, 4.0, 9.0, 15.0]), 10.0) == pytest.approx([0, 4, 1, 5])


def test_importing_phantoms_loads_neither_keras_nor_tensorflow():
    code = "import sys, mamsf_keras.data.phantom; print({'keras', 'tensorflow'} & set(sys.modules))"
    root = Path(__file__).parents[2]
    assert subprocess.check_output([sys.executable, "-c", code], text=True, cwd=root).strip() == "set()"


def test_command_writes_and_says_what_comes_next(tmp_path):
    out = str(tmp_path / "set")
    arguments = ["phantom", "--out", out, "--images", "30", "--size", "32", "--workers", "1"]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result.output
    assert f"mamsf-keras train --data-dir {out} --preset demo" in result.output
    again = CliRunner().invoke(main, arguments)
    assert again.exit_code == 1
    assert again.output.count("Error: ") == 1 and "holds phantoms already" in again.output


def test_command_refuses_bad_options_and_says_it_is_no_medical_data():
    assert "NOT medical data" in CliRunner().invoke(main, ["phantom", "--help"]).output
    for option, value in (("--images", "0"), ("--size", "x"), ("--seed", "-1"), ("--tail", "-1"), ("--workers", "0")):
        assert CliRunner().invoke(main, ["phantom", "--out", "x", option, value]).exit_code == 2


def test_overwrite_spares_a_folder_with_files_of_ones_own(tmp_path):
    write_phantoms(tmp_path / "set", images=20, size=32, workers=1)
    (tmp_path / "set" / "notes.txt").write_text("mine")
    with pytest.raises(FileExistsError, match="holds other things than phantoms"):
        write_phantoms(tmp_path / "set", images=20, size=32, overwrite=True)
    assert (tmp_path / "set" / "notes.txt").read_text() == "mine"
