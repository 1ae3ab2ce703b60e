import pandas as pd
import pytest

from mamsf_keras.data.tables import check_names, count_and_first, existing_folder, patient_key, read_csv

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
def test_csv_is_read_as_text_whatever_its_line_ends_marks_and_trailing_commas(tmp_path, content):
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
        (b"a,b\n1,2\n3\n", r"t\.csv, line 3: 1 fields where the header has 2"),
        (b'a,b\n"1\n1",2\n3,4,5\n', r"line 4: 3 fields where the header has 2"),  # a line of the file, not a row
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


def test_missing_files_and_folders_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="none.csv does not exist or is not a file"):
        read_csv(tmp_path / "none.csv", required=())
    with pytest.raises(FileNotFoundError, match="data folder .*none does not exist: name it with `data_dir`"):
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
    with pytest.raises(ValueError, match="empty or leave the data folder: 1 "):
        check_names(images, pd.Series(["1", "2"]), "table.csv")


def test_image_names_are_counted():
    images, patients = pd.Series([f"{i}.png" for i in range(7)]), pd.Series(["1"] * 7)
    check_names(images, patients, "table.csv")
    with pytest.raises(ValueError, match=r"table.csv has rows without a patient: 1 \(first: 3.png\)"):
        check_names(images, patients.where(patients.index != 3, ""), "table.csv")
    with pytest.raises(ValueError, match=r"more than one row for the same image: 2 \(first: 0.png, 1.png\)"):
        check_names(pd.concat([images, images[:2], images[:1]]), pd.concat([patients, patients[:3]]), "table.csv")
    assert count_and_first(images) == "7 (first: 0.png, 1.png, 2.png, 3.png, 4.png)"
