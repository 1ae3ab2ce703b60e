import pandas as pd
import pytest
from PIL import Image

from mamsf_keras.config import DataConfig
from mamsf_keras.data.readers import nih
from mamsf_keras.data.readers.nih import find_images
from mamsf_keras.data.splits import overlap, split_table
from mamsf_keras.findings import FINDINGS, IMAGES, POSITIVES
from mamsf_keras.reports.dataset import describe
from tests.toys import HEADER, rewrite_table, simple_rows, write_nih

pytestmark = pytest.mark.no_keras


def read(folder):
    """Reads a folder and looks up its images."""
    return nih.read(DataConfig(folder)).resolved


def counts(dataset):
    positives = dataset.table[list(FINDINGS)].sum().to_dict()
    return len(dataset.table), dataset.table["patient"].nunique(), positives


def test_full_tables_hold_the_published_counts(nih_dir):
    table = nih.read(DataConfig(nih_dir / "full_tables")).table
    splits = split_table(table)
    test = table["official_list"] == "test"
    assert len(table) == IMAGES == 112_120
    assert ((~test).sum(), test.sum()) == (86_524, 25_596)
    assert (table["patient"][~test].nunique(), table["patient"][test].nunique()) == (28_008, 2_797)
    assert set(overlap(table["patient"], splits).values()) == {0}
    assert table[list(FINDINGS)].sum().to_dict() == POSITIVES
    assert (table[list(FINDINGS)].sum(axis=1) == 0).sum() == 60_361


def test_real_folder(nih_dir):
    dataset = read(nih_dir)
    assert counts(dataset)[:2] == (2_049, 1_536)
    assert dataset.table["age"].max() == 412  # an error of the NIH table, which is passed on


@pytest.mark.parametrize(
    "form",
    [
        {"suffix": ","},
        {"suffix": ",,", "end": "\r\n"},
        {"encoding": "utf-8-sig"},
        {"end": "\r\n"},
        {"suffix": ",", "header": HEADER + ","},
    ],
    ids=str,
)
def test_table_edited_by_other_programs_is_read_as_the_clean_one(tmp_path, form):
    clean = read(write_nih(tmp_path / "clean", simple_rows()))
    dirty = read(write_nih(tmp_path / "dirty", simple_rows(), **form))
    assert counts(dirty) == counts(clean) == (80, 40, {**dict.fromkeys(FINDINGS, 0), "Effusion": 20, "Mass": 16})


def test_trailing_comma_on_one_row_is_accepted(small_nih):
    before = counts(read(small_nih))
    rewrite_table(small_nih, lambda rows: [rows[0], rows[1] + [""], *rows[2:]])
    assert counts(read(small_nih)) == before


@pytest.mark.parametrize(
    "row", [["x.png", "", "Mass", "0", "1", "5", "F", "PA", "1", "1", "1", "1"], ["x.png", "Mass"]]
)
def test_row_of_another_width_is_refused_with_its_line(small_nih, row):
    rewrite_table(small_nih, lambda rows: [*rows[:4], row, *rows[5:]])
    with pytest.raises(ValueError, match=rf"line 5: {len(row)} fields, but the header has 11"):
        read(small_nih)


def test_newer_table_with_units_of_age_is_read(small_nih):
    rewrite_table(small_nih, lambda rows: [rows[0], *[[*row[:4], "058Y", *row[5:]] for row in rows[1:]]])
    (small_nih / "Data_Entry_2017.csv").rename(small_nih / "Data_Entry_2017_v2020.csv")
    assert read(small_nih).table["age"].unique().tolist() == [58]


@pytest.mark.parametrize(
    ("written", "years"), [("018M", 1.5), ("026W", 182 / 365.25), ("010D", 10 / 365.25), ("3 months", 0.25), ("7", 7)]
)
def test_age_keeps_its_unit(small_nih, written, years):
    rewrite_table(small_nih, lambda rows: [rows[0], *[[*row[:4], written, *row[5:]] for row in rows[1:]]])
    dataset = read(small_nih)
    assert dataset.table["age"].unique() == pytest.approx([years]) and dataset.notes == ()


def test_odd_ages_are_counted_and_named(small_nih):
    rewrite_table(small_nih, change_field(4, "90+"))
    dataset = read(small_nih)
    assert dataset.table["age"].isna().tolist() == [row == 2 for row in range(80)]
    assert dataset.notes == ("ages that cannot be parsed and count as missing: 1 (such as 90+)",)
    rewrite_table(small_nih, change_field(2, "3rd"))
    assert read(small_nih).notes[1] == "follow-up numbers that cannot be parsed and count as missing: 1 (such as 3rd)"


def test_blank_ages_and_sexes_are_read(small_nih):
    rewrite_table(small_nih, lambda rows: [rows[0], *[[*row[:4], "", "", "", *row[7:]] for row in rows[1:]]])
    assert read(small_nih).table["age"].isna().all()


def test_findings_may_be_spelled_in_another_way(small_nih):
    before = counts(read(small_nih))

    def respell(rows):
        return [[row[0], row[1].replace("No Finding", "no finding").replace("Mass", "MASS"), *row[2:]] for row in rows]

    rewrite_table(small_nih, respell)
    assert counts(read(small_nih)) == before


def change_field(column, value):
    def change(rows):
        rows[3][column] = value
        return rows

    return change


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        (1, "Mass|Broken Heart", r"unknown findings in 1 rows: 1 \(first: Broken Heart\). Known: Atelectasis"),
        (1, "Mass|Effusoin", r"unknown findings in 1 rows: 1 \(first: Effusoin \(did you mean Effusion\?\)\)"),
        (1, "", r"unknown findings in 1 rows: 1 \(first: blank\)"),
        (1, "Mass|normal", 'both a finding and "No Finding"'),
        (3, "NA", r"patient IDs written as missing: 1 \(first: 00000002_000.png has NA\)"),
        (2, '"0', "Data_Entry_2017.csv is not a CSV table, line 4: "),
        (1, "Mass|No Finding", 'both a finding and "No Finding"'),
        (0, "../../x.png", "outside the data folder"),
        (0, "/etc/x.png", "outside the data folder"),
        (0, "C:\\x.png", "outside the data folder"),
        (0, "", "empty or outside"),
        (0, "00000001_000.png", r"more than one row for the same image: 1 \(first: 00000001_000.png\)"),
        (0, "stranger.png", "that are in neither list"),
    ],
)
def test_bad_rows_are_refused(small_nih, column, value, message):
    rewrite_table(small_nih, change_field(column, value))
    with pytest.raises(ValueError, match=message):
        read(small_nih)


def test_missing_folder_table_list_and_column_are_named(small_nih, tmp_path):
    with pytest.raises(FileNotFoundError, match="data folder .*nowhere does not exist"):
        read(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match="has no table Data_Entry_2017.csv"):
        read(tmp_path)
    rewrite_table(small_nih, lambda rows: [["Picture", *rows[0][1:]], *rows[1:]])
    with pytest.raises(ValueError, match=r"lacks the column\(s\) Image Index"):
        read(small_nih)
    (small_nih / "test_list.txt").unlink()
    rewrite_table(small_nih, lambda rows: [["Image Index", *rows[0][1:]], *rows[1:]])
    with pytest.raises(FileNotFoundError, match="lacks the official list test_list.txt"):
        read(small_nih)


def test_lists_that_disagree_are_refused(small_nih):
    (small_nih / "test_list.txt").open("a").write("00000001_000.png\n")
    with pytest.raises(ValueError, match="in both train_val_list.txt and test_list.txt: 1"):
        read(small_nih)
    (small_nih / "test_list.txt").write_text("unheard.png\n")
    with pytest.raises(ValueError, match="has images that are in neither list: 24"):
        read(small_nih)


def test_listed_image_that_the_table_lacks_is_refused(small_nih):
    (small_nih / "test_list.txt").open("a").write("unheard.png\n")
    with pytest.raises(ValueError, match=r"lists contain images that are not in .*: 1 \(first: unheard.png\)"):
        read(small_nih)


def test_other_suffix_is_matched_and_noted(small_nih):
    for path in small_nih.rglob("*.png"):
        with Image.open(path) as image:
            image.save(path.with_suffix(".jpg"))
        path.unlink()
    dataset = read(small_nih)
    assert len(dataset.table) == 80 and dataset.table["path"].str.endswith(".jpg").all()
    assert dataset.notes == (
        "80 images have a different suffix than in the table and were matched by name without suffix.",
    )


def test_link_that_cannot_be_accessed_is_left_to_the_reader_of_images(small_nih):
    for name in ("00000003_001.png", "folder"):
        (small_nih / "images_001" / "images" / name).unlink(missing_ok=True)
        (small_nih / "images_001" / "images" / name).symlink_to(name)
    paths, _ = find_images(pd.Series(["00000003_000.png", "00000003_001.png", "none.png"]), small_nih)
    assert paths.notna().tolist() == [True, True, False] and paths[1].endswith("00000003_001.png")


def test_images_are_found_at_any_depth_and_through_links(small_nih, tmp_path):
    deep = small_nih / "images_002" / "a" / "b"
    deep.mkdir(parents=True)
    moved = sorted(small_nih.rglob("*.png"))
    for path in moved[:10]:
        path.rename(deep / path.name)
    elsewhere = tmp_path / "elsewhere"
    (small_nih / "images_001").rename(elsewhere)
    (small_nih / "images_001").symlink_to(elsewhere)
    (elsewhere / "loop").symlink_to(elsewhere)
    assert len(read(small_nih).table) == 80
    (small_nih / "images_001").unlink()
    elsewhere.rename(small_nih / "pictures")
    (small_nih / "images_002").rename(small_nih / "more")
    assert len(read(small_nih).table) == 80  # anywhere below where there is no images* folder


def test_archives_that_are_still_packed_are_named(small_nih):
    files = sorted(small_nih.rglob("*.png"))
    for number in (1, 2):
        (small_nih / f"images_{number:03d}.tar.gz").touch()
    files[0].unlink()
    words = (
        r"1 of 80 .* may still be packed. Unpack the archives in .*: 2 \(first: images_001.tar.gz, images_002.tar.gz\)"
    )
    with pytest.raises(ValueError, match=words):
        read(small_nih)
    for path in files[1:]:
        path.unlink()
    with pytest.raises(ValueError, match="None was found. The images may still be packed"):
        read(small_nih)
    assert any("may still be packed" in note for note in describe(DataConfig(small_nih)).notes)


def test_two_files_with_the_name_of_one_image_are_refused(small_nih):
    first = next(small_nih.rglob("00000002_000.png"))
    second = small_nih / "images_002" / first.name
    second.parent.mkdir()
    second.write_bytes(first.read_bytes())
    with pytest.raises(ValueError, match="Two files have the same image name: .*images_001.* and .*images_002"):
        read(small_nih)


def test_broken_quote_empty_table_and_blank_patient_are_refused(small_nih):
    path = small_nih / "Data_Entry_2017.csv"
    text = path.read_text()
    path.write_text(text.splitlines()[0] + "\n")
    with pytest.raises(ValueError, match="Data_Entry_2017.csv has no rows"):
        read(small_nih)
    path.write_text(text + '"' + "x" * 200_000)
    with pytest.raises(ValueError, match="Data_Entry_2017.csv is not a CSV table"):
        read(small_nih)
    path.write_text(text)
    rewrite_table(small_nih, change_field(3, ""))
    with pytest.raises(ValueError, match=r"rows without a patient: 1 \(first: 00000002_000.png\)"):
        read(small_nih)


def test_images_without_a_file_have_no_path(small_nih):
    names = pd.Series(["00000001_000.png", "none.png", "00000002_001.jpeg"])
    paths, notes = find_images(names, small_nih)
    folder = small_nih / "images_001" / "images"
    assert paths.fillna("").tolist() == [str(folder / "00000001_000.png"), "", str(folder / "00000002_001.png")]
    assert notes == ("1 images have a different suffix than in the table and were matched by name without suffix.",)
    (folder / "00000001_000.png").unlink()
    (folder / "00000001_000.png").symlink_to("nowhere.png")  # as git-annex leaves them
    assert find_images(names, small_nih)[0].isna().tolist() == [True, True, False]
