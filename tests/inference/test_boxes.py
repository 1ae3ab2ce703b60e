import pytest

from mamsf_keras.inference.boxes import RadiologistBoxes

pytestmark = pytest.mark.no_keras

HEADER = "Image Index,Finding Label,Bbox [x,y,w,h],,,\n"


def test_table_above_the_image_is_found_and_scaled_to_the_file(tmp_path, caplog):
    caplog.set_level("INFO")
    (tmp_path / "BBox_List_2017.csv").write_text(f"{HEADER}a.png,Infiltrate,512,256,102.4,51.2\na.png,Mass,0,0,1,1\n")
    path = tmp_path / "images_001" / "images" / "a.png"
    boxes = RadiologistBoxes([path, path.with_name("b.png")])
    (finding, box), (other, _) = boxes.of(path, height=200, width=100)
    assert (finding, other) == ("Infiltration", "Mass")
    assert box == pytest.approx((50, 50, 10, 10))
    assert boxes.of(path.with_name("b.png"), 200, 100) == []
    assert "in a 1024 x 1024 pixel frame, for 1 image\n" in caplog.text
    RadiologistBoxes([path, path.parent.with_name("a.png")])
    assert "in a 1024 x 1024 pixel frame, for 2 images\n" in caplog.text


def test_given_table_is_for_all_images(tmp_path):
    (tmp_path / "t.csv").write_text(f"{HEADER}a.png,Mass,0,0,1024,1024\n")
    path = tmp_path / "elsewhere" / "a.png"
    assert RadiologistBoxes([path], tmp_path / "t.csv").of(path, 10, 20) == [("Mass", (0, 0, 20, 10))]


def test_no_boxes_without_a_table(tmp_path):
    assert RadiologistBoxes([tmp_path / "a.png"]).of(tmp_path / "a.png", 10, 10) == []


def test_bad_tables_are_named_at_once(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"t\.csv does not exist"):
        RadiologistBoxes([tmp_path / "a.png"], tmp_path / "t.csv")
    (tmp_path / "t.csv").write_text(f"{HEADER}a.png,Mass,0,0,1024,wide\n")
    with pytest.raises(ValueError, match=r"t\.csv has boxes that are not four numbers: 1 .first: a.png"):
        RadiologistBoxes([tmp_path / "a.png"], tmp_path / "t.csv")
