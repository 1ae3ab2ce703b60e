import pandas as pd
import pytest

from mamsf_keras.data.tables import (
    check_names,
    count_and_first,
    existing_folder,
    patient_key,
    read_csv,
    read_list,
    spells_missing,
)

pytestmark = pytest.mark.no_keras


@pytest.mark.parametrize(
    ("written", "key"),
    [(13, "13"), (13.0, "13"), ("00000013", "13"), ("13.0", "13"), (" 13 ", "13"), ("P13", "P13"), ("1.5", "1.5")],
)
def test_patient_key_has_one_spelling_for_each_patient(written, key):
    assert patient_key(written) == key


@pytest.mark.parametrize(
    "content",
    [
        b"a,b\n1, x y \n,\n2,\n",
        b"a,b\r\n1,x y\r\n,\r\n2,\r\n",
        b"a,b\r1,x y\r,\r2,",
        b"\xef\xbb\xbfa,b\n1,x y\n,\n2,\n",
        b" a ,b,\n1,x y,\n\n2,,\n",
        b'a,b\n1,"x y"\n\n,\n2,,,\n',
    ],
)
def test_csv_is_read_as_text_with_any_line_ends_marks_and_trailing_commas(tmp_path, content):
    (tmp_path / "t.csv").write_bytes(content)
    table = read_csv(tmp_path / "t.csv", required=("a",))
    assert table.columns.tolist() == ["a", "b"]
    assert table.to_numpy().tolist() == [["1", "x y"], ["2", ""]]


def test_csv_keeps_commas_and_line_ends_inside_quotes(tmp_path):
    (tmp_path / "t.csv").write_text('a,b\n"1,5","x\ny"\n')
    assert read_csv(tmp_path / "t.csv", required=()).to_numpy().tolist() == [["1,5", "x\ny"]]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"a,b\n1,2\n3\n", r"t\.csv, line 3: 1 fields, but the header has 2"),
        (b'a,b\n1,"2\n2"\n3,4,5\n', r"line 4: 3 fields, but the header has 2"),  # a line of the file, not a row
        (b'a,b\n1,"2" 3\n', r"t\.csv is not a CSV table, line 2: .*quotes inside it must be doubled"),
        (b'a,b\n1,"2 \\"3\\""\n', r"t\.csv is not a CSV table, line 2"),
        (b"a;b;[c,d]\n1;2;3\n", "separates its columns with semicolons. Save it as CSV, with commas"),
        (b"\n\xef\xbb\xbfa\tb\n1\t2\n", "separates its columns with tabs"),
        (b"a|b\n1|2\n", "separates its columns with vertical bars"),
        (b"a,b\n1,2\n", r"lacks the column\(s\) c\. Found: a, b\."),
        (b"a,b\n", "has no rows"),
        (b"", "has no rows"),
        (b"\xff\xfe\x00", "is not a CSV table in UTF-8"),
    ],
)
def test_csv_that_cannot_be_read_is_refused(tmp_path, content, words):
    (tmp_path / "t.csv").write_bytes(content)
    with pytest.raises(ValueError, match=words):
        read_csv(tmp_path / "t.csv", required=("c",) if "lacks" in words else ())


ROWS = [f"{i}.png,{i},{i % 2},fine" for i in range(60)]


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({5: '5.png,5,1,"see film 5'}, 7),  # the rows after it were one field
        ({5: '5.png,5,1,"see film 5', 40: '40.png,40,0,"a good remark"'}, 7),  # 25 rows were left
        ({5: '5.png,5,1,"see film 5', 6: '6.png,6,0,12"'}, 7),  # the quote of the next row closes it
        ({5: '5.png,5,1,"see film 5', 40: '40.png,40,0,"'}, 7),
        ({5: '5.png,5,1,"see film 5', 40: '40.png,40,0,", fine'}, 7),
        ({5: '"5.png,5,1,see film 5', 40: '40.png",40,0,fine'}, 7),
        ({59: '59.png,59,1,"see film 59'}, 61),
    ],
)
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_unclosed_quote_is_refused_and_its_line_is_named(tmp_path, changes, line, end):
    rows = [changes.get(row, text) for row, text in enumerate(ROWS)]
    (tmp_path / "t.csv").write_text(end.join(["path,patient,X,remark", *rows]) + end, newline="")
    with pytest.raises(ValueError, match=rf"t\.csv.*, line {line}: "):
        read_csv(tmp_path / "t.csv", required=())


def test_quotes_inside_a_field_are_text(tmp_path):
    rows = [*ROWS[:5], '5.png,5,1,5" film', '6.png, "6", "1", "a ""good"", long\nremark"', *ROWS[7:]]
    (tmp_path / "t.csv").write_text("\n".join(["path,patient,X,remark", *rows]) + "\n")
    table = read_csv(tmp_path / "t.csv", required=("path",))
    assert len(table) == 60 and table.loc[5, "remark"] == '5" film'
    assert table.loc[6].tolist() == ["6.png", "6", "1", 'a "good", long\nremark']


def test_required_columns_are_there_once_and_the_nearest_name_is_given(tmp_path):
    (tmp_path / "t.csv").write_text("Image Index,Image Index,Finding Labels\n1,2,3\n")
    with pytest.raises(ValueError, match=r"lacks the column\(s\) finding label \(did you mean Finding Labels\?\)\."):
        read_csv(tmp_path / "t.csv", required=("finding label",))
    with pytest.raises(ValueError, match=r"t\.csv has the column\(s\) Image Index more than once"):
        read_csv(tmp_path / "t.csv", required=("Image Index",))


def test_list_has_one_name_per_line(tmp_path):
    (tmp_path / "list.txt").write_bytes(b"\xef\xbb\xbfa b.png\r\n\n  c.png \rNA\nd\xe2\x80\xa8e.png")
    assert read_list(tmp_path / "list.txt") == ["a b.png", "c.png", "NA", "d\u2028e.png"]
    (tmp_path / "list.txt").write_bytes(b"\xff")
    with pytest.raises(ValueError, match="list.txt is not UTF-8 text"):
        read_list(tmp_path / "list.txt")


MISSING_WORDS = ["NA", "N/A", "nan", "NaN", "null", "NULL", "None", "none", "<NA>", "#N/A", "NaT"]


@pytest.mark.parametrize("word", MISSING_WORDS)
def test_spellings_of_missing_are_accepted_as_images_and_refused_as_patients(tmp_path, word):
    (tmp_path / "t.csv").write_text(f"image,patient\n{word},1\nb.png,{word}\nc.png,{word}\n")
    table = read_csv(tmp_path / "t.csv", required=())
    assert table["image"][0] == table["patient"][1] == word and table.notna().all(axis=None)
    check_names(table["image"][:1], table["patient"][:1], "t.csv")
    with pytest.raises(ValueError, match=f"written as missing: 2 .first: b.png has {word}, c.png has {word}"):
        check_names(table["image"], table["patient"], "t.csv")
    assert spells_missing(pd.Series(["", f" {word} ", "NAN1", "Nadia"])).tolist() == [True, True, False, False]


def test_missing_files_and_folders_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="none.csv does not exist or is not a file"):
        read_csv(tmp_path / "none.csv", required=())
    with pytest.raises(FileNotFoundError, match="data folder .*none does not exist. Set `data_dir`"):
        existing_folder(tmp_path / "none")
    (tmp_path / "file").touch()
    with pytest.raises(FileNotFoundError, match="data folder .*file is not a folder"):
        existing_folder(tmp_path / "file")
    assert existing_folder(str(tmp_path)) == tmp_path


@pytest.mark.parametrize(
    "name", ["", "/a.png", "\\a.png", "C:\\a.png", "../a.png", "a/../../b.png", "a\\..\\b.png", ".."]
)
def test_image_names_that_leave_the_folder_are_refused(name):
    images = pd.Series(["a/b..c/...png", name])
    with pytest.raises(ValueError, match="empty or outside the data folder: 1 "):
        check_names(images, pd.Series(["1", "2"]), "table.csv")


def test_image_names_are_counted():
    images, patients = pd.Series([f"{i}.png" for i in range(7)]), pd.Series(["1"] * 7)
    check_names(images, patients, "table.csv")
    with pytest.raises(ValueError, match=r"table.csv has rows without a patient: 1 \(first: 3.png\)"):
        check_names(images, patients.where(patients.index != 3, ""), "table.csv")
    with pytest.raises(ValueError, match=r"more than one row for the same image: 2 \(first: 0.png, 1.png\)"):
        check_names(pd.concat([images, images[:2], images[:1]]), pd.concat([patients, patients[:3]]), "table.csv")
    assert count_and_first(["", "a"]) == "2 (first: blank, a)"
    assert count_and_first(images) == "7 (first: 0.png, 1.png, 2.png, 3.png, 4.png)"
