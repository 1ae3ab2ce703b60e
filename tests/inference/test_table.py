import pytest

from mamsf_keras.inference.table import most_probable, predictions_table

pytestmark = pytest.mark.no_keras


def record(image="a.png", **findings):
    names = ("probability", "calibrated", "positive")
    rows = {name: dict(zip(names, values, strict=False)) for name, values in findings.items()}
    return {"image": image, "findings": rows}


ONE = record(Mass=(0.1, 0.25, True), Edema=(0.9, None, None), Hernia=(0.5, 0.5, False), Effusion=(0.2, 0.2, False))


def test_single_image_has_a_row_per_finding():
    lines = predictions_table([ONE], 1, "youden").splitlines()
    assert lines[0] == "a.png"
    assert lines[1].split() == ["finding", "probability", "calibrated", "positive", "(youden)"]
    assert [line.split() for line in lines[2:4]] == [["Mass", "0.100", "0.250", "yes"], ["Edema", "0.900", "-", "-"]]


def test_several_images_have_a_row_each_with_the_most_probable_findings():
    long = record(f"{'x' * 50}/b.png", Mass=(0.1, 0.25, False), Edema=(0.9, None, None))
    text = predictions_table([ONE, {"image": "bad", "error": "bad"}, long], 1002, None)
    header, first, second, more = text.splitlines()
    assert header.endswith("most probable (calibrated) | positive")
    assert first.endswith("Edema 0.900 (-), Hernia 0.500 (0.500), Effusion 0.200 (0.200) | Mass")
    assert second.startswith("...xxx") and "/b.png" in second and second.endswith("| none")
    assert more == "... and 1,000 more images"


def test_table_without_calibration_has_only_probabilities():
    text = predictions_table([record(Mass=(0.1,)), record("b.png", Mass=(0.3,))], 2, None)
    assert [line.split() for line in text.splitlines()][1:] == [["a.png", "Mass", "0.100"], ["b.png", "Mass", "0.300"]]
    assert "calibrated" not in text and "positive" not in text
    assert predictions_table([record(Mass=(0.1,))], 1, None).splitlines()[-1].split() == ["Mass", "0.100"]


def test_most_probable_come_first():
    assert most_probable(ONE, 2) == ["Edema", "Hernia"]
