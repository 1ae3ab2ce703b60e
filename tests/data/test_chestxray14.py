import time

import pytest
from PIL import Image

from mamsf_keras.config import DataConfig
from mamsf_keras.data.chestxray14 import read_boxes, read_tables
from mamsf_keras.data.folder import read_split
from mamsf_keras.data.source import read_studies
from mamsf_keras.data.splits import overlap, split
from mamsf_keras.findings import FINDINGS, IMAGES, NO_FINDING, POSITIVES
from tests.conftest import HEADER, rewrite_table, simple_rows, write_nih

pytestmark = pytest.mark.no_keras


def counts(studies):
    positives = studies.table[list(FINDINGS)].sum().to_dict()
    return len(studies.table), studies.table["patient"].nunique(), positives


def test_full_tables_hold_the_published_counts(nih_dir):
    start = time.perf_counter()
    studies = read_tables(nih_dir / "full_tables")
    part = split(studies.table)
    seconds = time.perf_counter() - start
    table = studies.table
    test = table["official_part"] == "test"
    assert len(table) == IMAGES == 112_120
    assert ((~test).sum(), test.sum()) == (86_524, 25_596)
    assert (table["patient"][~test].nunique(), table["patient"][test].nunique()) == (28_008, 2_797)
    assert set(overlap(table["patient"], part).values()) == {0}
    assert table[list(FINDINGS)].sum().to_dict() == POSITIVES
    assert (table[list(FINDINGS)].sum(axis=1) == 0).sum() == 60_361
    assert seconds < 5


def test_real_folder(nih_dir):
    studies = read_studies(nih_dir)
    assert counts(studies)[:2] == (2_049, 1_536)
    assert studies.table["age"].max() == 412  # the table's own dirt is passed on
    boxes = read_boxes(nih_dir)
    assert len(boxes) == 126 and boxes["width"].gt(0).all()
    assert "Infiltration" in set(boxes["finding"])  # written "Infiltrate" there


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
def test_table_as_people_have_it_reads_as_the_clean_one(tmp_path, form):
    clean = read_studies(write_nih(tmp_path / "clean", simple_rows()))
    dirty = read_studies(write_nih(tmp_path / "dirty", simple_rows(), **form))
    assert counts(dirty) == counts(clean) == (80, 40, {**dict.fromkeys(FINDINGS, 0), "Effusion": 20, "Mass": 16})


def test_comma_too_many_on_one_row(small_nih):
    before = counts(read_studies(small_nih))
    rewrite_table(small_nih, lambda rows: [rows[0], rows[1] + [""], *rows[2:]])
    assert counts(read_studies(small_nih)) == before


@pytest.mark.parametrize(
    "row", [["x.png", "", "Mass", "0", "1", "5", "F", "PA", "1", "1", "1", "1"], ["x.png", "Mass"]]
)
def test_row_of_another_width_is_named(small_nih, row):
    rewrite_table(small_nih, lambda rows: [*rows[:4], row, *rows[5:]])
    with pytest.raises(ValueError, match=rf"line 5: {len(row)} fields where the header has 11"):
        read_studies(small_nih)


def test_newer_table_and_ages_with_unit(small_nih):
    rewrite_table(small_nih, lambda rows: [rows[0], *[[*row[:4], "058Y", *row[5:]] for row in rows[1:]]])
    (small_nih / "Data_Entry_2017.csv").rename(small_nih / "Data_Entry_2017_v2020.csv")
    assert read_studies(small_nih).table["age"].unique().tolist() == [58]


def test_blank_ages_and_sexes_are_read(small_nih):
    rewrite_table(small_nih, lambda rows: [rows[0], *[[*row[:4], "", "", "", *row[7:]] for row in rows[1:]]])
    assert read_studies(small_nih).table["age"].isna().all()


def change_field(column, value):
    def change(rows):
        rows[3][column] = value
        return rows

    return change


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        (1, "Mass|Broken Heart", r"unknown findings on 1 rows: 1 \(first: Broken Heart\). Known: Atelectasis"),
        (1, "Mass|No Finding", 'both a finding and "No Finding"'),
        (0, "../../x.png", "leave the data folder"),
        (0, "/etc/x.png", "leave the data folder"),
        (0, "C:\\x.png", "leave the data folder"),
        (0, "", "empty or leave"),
        (0, "00000001_000.png", r"more than one row for the same image: 1 \(first: 00000001_000.png\)"),
        (0, "stranger.png", "neither official list has"),
    ],
)
def test_bad_rows_are_refused(small_nih, column, value, message):
    rewrite_table(small_nih, change_field(column, value))
    with pytest.raises(ValueError, match=message):
        read_studies(small_nih)


def test_missing_folder_table_list_and_column(small_nih, tmp_path):
    with pytest.raises(FileNotFoundError, match="data folder .*nowhere does not exist"):
        read_studies(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match="has no table Data_Entry_2017.csv"):
        read_studies(tmp_path)
    rewrite_table(small_nih, lambda rows: [["Picture", *rows[0][1:]], *rows[1:]])
    with pytest.raises(ValueError, match=r"lacks the column\(s\) Image Index"):
        read_studies(small_nih)
    (small_nih / "test_list.txt").unlink()
    rewrite_table(small_nih, lambda rows: [["Image Index", *rows[0][1:]], *rows[1:]])
    with pytest.raises(FileNotFoundError, match="lacks the official list test_list.txt"):
        read_studies(small_nih)


def test_lists_that_disagree_are_refused(small_nih):
    (small_nih / "test_list.txt").open("a").write("00000001_000.png\n")
    with pytest.raises(ValueError, match="in both train_val_list.txt and test_list.txt: 1"):
        read_studies(small_nih)
    (small_nih / "test_list.txt").write_text("unheard.png\n")
    with pytest.raises(ValueError, match="neither official list has"):
        read_studies(small_nih)


def test_absent_images_are_counted_and_can_be_left_out(small_nih):
    files = sorted(small_nih.rglob("*.png"))
    for path in files[:7]:
        path.unlink()
    names = ", ".join(path.name for path in files[:5])
    with pytest.raises(ValueError, match=rf"7 of 80 images .* \(first: {names}\).*--allow-missing"):
        read_studies(small_nih)
    studies = read_studies(small_nih, allow_missing=True)
    assert len(studies.table) == 73 and "left out" in studies.notes[0]
    for path in files[7:]:
        path.unlink()
    with pytest.raises(ValueError, match="80 of 80 images .* none is there"):
        read_studies(small_nih, allow_missing=True)


def test_other_suffix_is_matched_by_stem_and_said(small_nih):
    for path in small_nih.rglob("*.png"):
        with Image.open(path) as image:
            image.save(path.with_suffix(".jpg"))
        path.unlink()
    studies = read_studies(small_nih)
    assert len(studies.table) == 80 and studies.table["path"].str.endswith(".jpg").all()
    assert studies.notes == ("80 images have another suffix than the table says and were matched by their stem.",)


def test_images_at_any_depth_and_through_links(small_nih, tmp_path):
    deep = small_nih / "images_002" / "a" / "b"
    deep.mkdir(parents=True)
    moved = sorted(small_nih.rglob("*.png"))
    for path in moved[:10]:
        path.rename(deep / path.name)
    elsewhere = tmp_path / "elsewhere"
    (small_nih / "images_001").rename(elsewhere)
    (small_nih / "images_001").symlink_to(elsewhere)
    (elsewhere / "loop").symlink_to(elsewhere)
    assert len(read_studies(small_nih).table) == 80
    (small_nih / "images_001").unlink()
    elsewhere.rename(small_nih / "pictures")
    (small_nih / "images_002").rename(small_nih / "more")
    assert len(read_studies(small_nih).table) == 80  # anywhere below where there is no images* folder


def test_two_files_of_one_name_are_named(small_nih):
    first = next(small_nih.rglob("00000002_000.png"))
    second = small_nih / "images_002" / first.name
    second.parent.mkdir()
    second.write_bytes(first.read_bytes())
    with pytest.raises(ValueError, match="Two files have the name of one image: .*images_001.* and .*images_002"):
        read_studies(small_nih)


def test_box_list_of_its_own_header(tmp_path):
    text = "Image Index,Finding Label,Bbox [x,y,w,h],,,\n00000001_000.png,Infiltrate,1.5,2,3,4\n"
    (tmp_path / "BBox_List_2017.csv").write_text(text)
    assert read_boxes(tmp_path).values.tolist() == [["00000001_000.png", "Infiltration", 1.5, 2, 3, 4]]
    (tmp_path / "BBox_List_2017.csv").write_text(text.replace("Infiltrate", NO_FINDING))
    with pytest.raises(ValueError, match="boxes of unknown findings: No Finding"):
        read_boxes(tmp_path)


def test_split_does_not_depend_on_which_images_are_there(small_nih):
    whole = read_split(DataConfig(small_nih)).table.set_index("image")["part"]
    for path in sorted(small_nih.rglob("*.png"))[::3]:
        path.unlink()
    partial = read_split(DataConfig(small_nih, allow_missing=True)).table.set_index("image")["part"]
    assert len(partial) == 53 and (partial == whole[partial.index]).all()


def test_broken_quote_empty_table_and_blank_patient_are_refused(small_nih):
    path = small_nih / "Data_Entry_2017.csv"
    text = path.read_text()
    path.write_text(text.splitlines()[0] + "\n")
    with pytest.raises(ValueError, match="Data_Entry_2017.csv has no rows"):
        read_studies(small_nih)
    path.write_text(text + '"' + "x" * 200_000)
    with pytest.raises(ValueError, match="Data_Entry_2017.csv is not a CSV table"):
        read_studies(small_nih)
    path.write_text(text)
    rewrite_table(small_nih, change_field(3, ""))
    with pytest.raises(ValueError, match=r"rows without a patient: 1 \(first: 00000002_000.png\)"):
        read_studies(small_nih)
