import os

import numpy as np
import pytest
from PIL import Image

from mamsf_keras.explain.heatmap import find_peak
from mamsf_keras.explain.overlay import FindingMap, Score, draw_map, evidence_text, prediction_text, write_panel

pytestmark = pytest.mark.no_keras

GRAY = np.full((80, 40), 128, np.uint8)
CORNER = np.array([[-1, 2.0], [-1, -1]])


def shown(cells, boxes=()):
    return FindingMap("Mass", cells, find_peak(cells, *GRAY.shape), boxes)


def drawn(one):
    """Draws a map and returns the pixels of the plot, without text, at one pixel per pixel of the image."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(0.4, 0.8), dpi=100)
    canvas = FigureCanvasAgg(figure)
    axes = figure.add_axes((0, 0, 1, 1))
    draw_map(axes, GRAY, one, Score(0.5))
    for text in axes.texts:
        text.set_visible(False)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].astype(int)


def test_color_lies_where_the_evidence_is():
    pixels = drawn(shown(CORNER))
    red = pixels[..., 0] - pixels[..., 2]
    assert np.median(red[5:35, 23:39]) > 80 and np.abs(red[60:, :10]).max() < 3  # the peak is drawn in cyan


def test_weak_evidence_among_negative_cells_is_drawn():
    pixels = drawn(shown(np.array([[-50, 2.0], [-50, -50]])))
    red = pixels[..., 0] - pixels[..., 2]
    assert np.median(red[5:35, 23:39]) > 80


def test_without_positive_evidence_the_xray_is_unchanged_and_the_text_states_it():
    one = shown(-np.ones((2, 2)))
    assert np.abs(drawn(one) - 128).max() <= 1
    assert evidence_text(one, 80, 40) == "no positive evidence" and one.region(80, 40) is None


def test_region_that_covers_the_whole_image_is_not_a_box():
    one = shown(np.ones((2, 2)))
    assert one.region(80, 40) is None
    assert evidence_text(one, 80, 40) == "peak +1.0 logits, spread over the whole image"
    assert evidence_text(shown(CORNER), 80, 40) == "peak +2.0 logits" and shown(CORNER).region(80, 40) is not None


def test_scores_in_words():
    assert prediction_text(Score(0.621)) == "0.62"
    assert prediction_text(Score(0.621, 0.55, True)) == "0.62 (calibrated 0.55), positive"
    assert prediction_text(Score(0.621, None, False)) == "0.62, negative"


@pytest.mark.parametrize("shape", [(80, 40), (3, 500), (1500, 1200)])
def test_panel_is_a_png_for_images_of_any_size(tmp_path, shape):
    gray = np.zeros(shape, np.uint8)
    maps = [FindingMap("Mass", cells, find_peak(cells, *shape), [(0, 0, 2, 2)]) for cells in (CORNER, -CORNER * 0)]
    scores = {"Mass": Score(0.5, 0.4, True), "Edema": Score(0.1, None, None)}
    write_panel(tmp_path / "p.png", gray, maps, scores, title="a $1$.png", boxes=[("Mass", (0, 0, 2, 2))])
    assert Image.open(tmp_path / "p.png").format == "PNG"
    assert [path.name for path in tmp_path.iterdir()] == ["p.png"]


def test_title_that_is_not_utf8_is_drawn(tmp_path):
    scores = {"Mass": Score(0.5)}
    write_panel(tmp_path / "p.png", GRAY, [shown(CORNER)], scores, title=os.fsdecode(b"Th\xf6rax.png"))
    assert Image.open(tmp_path / "p.png").format == "PNG"
