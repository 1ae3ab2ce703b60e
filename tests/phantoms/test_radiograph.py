"""Equal seeds give equal pixels, and boxes hold what a finding changes."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mamsf_keras.findings import BOX_FINDINGS, FINDINGS
from mamsf_keras.phantoms import RadiographSpec, draw
from mamsf_keras.phantoms.radiograph import expose
from tests.toys import phantom_chests, phantom_spec

pytestmark = pytest.mark.no_keras

THUMBNAIL = Path(__file__).with_name("thumbnail.png")
CHANGE = 8
"""Gray levels above which a change counts: VISIBLE times the steepest exposure, rounded up."""


def contact_sheet():
    """Returns three rows of five radiographs of 64 px: one without finding, then one with each of the 14."""
    names = [(), *((finding,) for finding in FINDINGS)]
    images = [draw(phantom_spec(number, *findings), seed=3, size=64).pixels for number, findings in enumerate(names)]
    return np.block([images[row : row + 5] for row in (0, 5, 10)])


def test_pixels_are_within_one_gray_level_of_the_stored_thumbnail():
    stored = np.asarray(Image.open(THUMBNAIL)).astype(int)
    assert np.abs(contact_sheet().astype(int) - stored).max() <= 1


def test_equal_arguments_give_equal_pixels_and_another_seed_or_visit_does_not():
    spec = phantom_spec(4, "Mass", "Effusion")
    first = draw(spec, seed=2, size=64)
    again = draw(spec, seed=2, size=64)
    assert (first.pixels == again.pixels).all() and first.boxes == again.boxes
    assert first.pixels.shape == (64, 64) and first.pixels.dtype == np.uint8
    visit = RadiographSpec(4, 1, spec.findings, spec.female, spec.portable, spec.frame)
    for other in (draw(spec, seed=3, size=64), draw(visit, seed=2, size=64)):
        assert (first.pixels != other.pixels).mean() > 0.5


@pytest.mark.parametrize("finding", BOX_FINDINGS)
def test_what_a_finding_changes_lies_in_its_boxes(finding):
    for number in range(12):
        without = draw(phantom_spec(number), size=160)
        drawn = draw(phantom_spec(number, finding), size=160)
        changed = np.abs(drawn.pixels.astype(int) - without.pixels) > CHANGE
        inside = np.zeros_like(changed)
        for name, x, y, width, height in drawn.boxes:
            assert name == finding
            assert 0 <= x and 0 <= y and x + width <= 160 and y + height <= 160 and width > 0 and height > 0
            assert changed[y : y + height, x : x + width].any()
            inside[y : y + height, x : x + width] = True
        assert drawn.boxes
        assert not (changed & ~inside).any()


def test_further_findings_do_not_change_the_first():
    """Every finding has its own random stream, so the boxes of a mass do not move."""
    for number in range(6):
        alone = draw(phantom_spec(number, "Mass"), size=96).boxes
        together = draw(phantom_spec(number, "Hernia", "Mass", "Effusion"), size=96).boxes
        assert [box for box in together if box[0] == "Mass"] == alone


def test_exposure_rises_with_brightness_and_repeats_with_its_generator():
    chest = phantom_chests(1)[0]
    tissue = np.linspace(0, 1.2, 128 * 128, dtype=np.float32).reshape(128, 128)
    chest = type(chest)(chest.body, 128)
    pixels = expose(tissue.copy(), chest, np.random.default_rng(0))
    means = pixels.reshape(16, -1).mean(axis=1)  # of 16 bands of rows, over the grain
    assert pixels.dtype == np.uint8 and (np.diff(means) > 0).all() and means[-1] - means[0] > 150
    np.testing.assert_array_equal(expose(tissue.copy(), chest, np.random.default_rng(0)), pixels)


def test_importing_phantoms_loads_neither_keras_nor_tensorflow():
    code = "import sys, mamsf_keras.phantoms; print({'keras', 'tensorflow'} & set(sys.modules))"
    root = Path(__file__).parents[2]
    assert subprocess.check_output([sys.executable, "-c", code], text=True, cwd=root).strip() == "set()"
