import pytest

from mamsf_keras.data.readers.boxes import read_boxes
from mamsf_keras.findings import NO_FINDING

pytestmark = pytest.mark.no_keras


def test_real_list(nih_dir):
    boxes = read_boxes(nih_dir)
    assert len(boxes) == 126 and boxes["width"].gt(0).all()
    assert "Infiltration" in set(boxes["finding"])  # written "Infiltrate" there


def test_open_quote_is_refused(tmp_path):
    rows = ["0.png,Mass,1,2,3,4", '1.png,Mass,1,2,3,"4', "2.png,Mass,1,2,3,4", '3.png,Mass,1,2,3,4"']
    text = "\n".join(["Image Index,Finding Label,Bbox [x,y,w,h],,,", *rows]) + "\n"
    (tmp_path / "BBox_List_2017.csv").write_text(text)
    with pytest.raises(ValueError, match="BBox_List_2017.csv, line 3: a quoted field does not end until line 5"):
        read_boxes(tmp_path)


def test_box_list_is_read_with_the_name_of_its_finding(tmp_path):
    text = "Image Index,Finding Label,Bbox [x,y,w,h],,,\n00000001_000.png,Infiltrate,1.5,2,3,4\n"
    (tmp_path / "BBox_List_2017.csv").write_text(text)
    assert read_boxes(tmp_path).values.tolist() == [["00000001_000.png", "Infiltration", 1.5, 2, 3, 4]]
    (tmp_path / "BBox_List_2017.csv").write_text(text.replace("Infiltrate", "infiltration"))
    assert read_boxes(tmp_path)["finding"].tolist() == ["Infiltration"]
    (tmp_path / "BBox_List_2017.csv").write_text(text.replace("Infiltrate", "Atelectsis"))
    with pytest.raises(ValueError, match=r"unknown findings: Atelectsis \(did you mean Atelectasis\?\)"):
        read_boxes(tmp_path)
    for box in ("1.5,2,,4", "1.5,2,3px,4", "1.5,2,3,inf"):
        (tmp_path / "BBox_List_2017.csv").write_text(text.replace("1.5,2,3,4", box))
        with pytest.raises(ValueError, match=r"boxes that are not four numbers: 1 \(first: 00000001_000.png\)"):
            read_boxes(tmp_path)
    (tmp_path / "BBox_List_2017.csv").write_text(text.replace("Infiltrate", NO_FINDING))
    with pytest.raises(ValueError, match="boxes of unknown findings: No Finding"):
        read_boxes(tmp_path)
    (tmp_path / "BBox_List_2017.csv").unlink()
    with pytest.raises(FileNotFoundError, match="BBox_List_2017.csv does not exist"):
        read_boxes(tmp_path)
