import numpy as np
import pytest
from PIL import Image

from mamsf_keras.explain.heatmap import evidence_maps
from mamsf_keras.explain.overlay import FindingMap
from mamsf_keras.inference.boxes import RadiologistBoxes
from mamsf_keras.inference.heatmaps import Heatmaps, describe
from mamsf_keras.inference.reading import read_image
from mamsf_keras.inference.records import make_records
from mamsf_keras.inference.source import Source, open_source
from tests.inference.test_source import Fixed
from tests.runs import gray_images, untrained_run


def test_panel_and_peak_of_each_finding_in_pixels_of_the_file(tmp_path):
    source = open_source(untrained_run(tmp_path / "run").path)
    (tmp_path / "BBox_List_2017.csv").write_text(
        "Image Index,Finding Label,Bbox [x,y,w,h],,,\n0.png,Mass,0,0,512,512\n"
    )
    paths = [*gray_images(tmp_path / "a", 1, size=160), *gray_images(tmp_path / "b", 2)]
    images = [read_image(path, 32, keep_original=True) for path in paths]
    pixels = np.stack([image.pixels for image in images])
    records = make_records(images, source, source.score(pixels, 3))
    Heatmaps(tmp_path / "panels", source, RadiologistBoxes(paths), ["Mass"]).add(images, pixels, records)
    panels = [tmp_path / "panels" / name for name in ("0.png", "0-2.png", "1.png")]
    assert [record["panel"] for record in records] == [str(path) for path in panels]
    assert all(Image.open(path).format == "PNG" for path in panels)
    assert "heatmap" not in records[0]["findings"]["Edema"]
    heatmap = records[0]["findings"]["Mass"]["heatmap"]
    assert heatmap["radiologist_boxes"] == [{"x": 0, "y": 0, "width": 80, "height": 80}]
    cells = evidence_maps(source.predictor.model, pixels[..., None]).maps[0, :, :, 0]
    row, column = np.unravel_index(cells.argmax(), cells.shape)
    assert heatmap["positive_evidence"] == bool(cells.max() > 0)
    if heatmap["positive_evidence"]:
        expected = {"x": (column + 0.5) * 160 / 8, "y": (row + 0.5) * 160 / 8}
        assert {name: heatmap["peak"][name] for name in "xy"} == expected


@pytest.mark.no_keras
def test_no_positive_evidence_is_stated():
    described = describe(FindingMap("Mass", -np.ones((2, 2)), None), 40, 40)
    assert described == {"positive_evidence": False, "peak": None, "box": None, "radiologist_boxes": []}


def test_most_probable_findings_are_the_default(tmp_path):
    source = open_source(untrained_run(tmp_path / "run", ("A", "B", "C", "D"), calibrated=False).path)
    [path] = gray_images(tmp_path / "in", 1)
    images = [read_image(path, 32, keep_original=True)]
    pixels = images[0].pixels[None]
    records = make_records(images, source, source.score(pixels, 1))
    Heatmaps(tmp_path / "panels", source, RadiologistBoxes([path])).add(images, pixels, records)
    findings = records[0]["findings"]
    drawn = {name for name in findings if "heatmap" in findings[name]}
    assert len(drawn) == 3 and min(findings, key=lambda name: findings[name]["probability"]) not in drawn


def test_exports_and_unknown_findings_are_refused(tmp_path):
    with pytest.raises(ValueError, match="`heatmaps` needs `run_dir`, or a .keras file or a folder in Keras format"):
        Heatmaps(tmp_path, Source("m", Fixed(), 32), RadiologistBoxes([]))
    source = open_source(untrained_run(tmp_path / "run").path)
    with pytest.raises(ValueError, match="`findings` must be among Mass, Edema. Received: findings=Hernia."):
        Heatmaps(tmp_path, source, RadiologistBoxes([]), ["Mass", "Hernia"])
