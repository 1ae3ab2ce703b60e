import keras
import numpy as np
import pytest

from mamsf_keras import MAMSFNet, efficientnetv2
from mamsf_keras.explain.heatmap import evidence_maps, find_peak
from tests.toys import toy_backbone

FINDINGS = ("Mass", "Effusion", "Hernia")


def images(size=32, count=3):
    return np.random.default_rng(0).integers(0, 256, (count, size, size, 1), dtype=np.uint8)


def randomized(model):
    """All weights, the shadow's included, away from their initial values: the two paths must differ."""
    rng = np.random.default_rng(0)
    for weight in model.weights:
        value = keras.ops.convert_to_numpy(weight)
        if value.dtype.kind == "f":
            weight.assign(value + 0.1 * np.abs(rng.normal(size=value.shape)).astype(value.dtype))
    return model


@pytest.mark.parametrize("parts", [(True, True), (True, False), (False, True), (False, False)])
def test_mean_of_the_map_plus_bias_is_the_logit(parts):
    anchor, fusion = parts
    model = MAMSFNet(toy_backbone(32), FINDINGS, anchor, fusion, classifier_activation=None)
    evidence = evidence_maps(randomized(model), images())
    expected = keras.ops.convert_to_numpy(model(images(), training=False))
    assert evidence.maps.shape == (3, 8, 8, 3)
    np.testing.assert_allclose(evidence.logits, expected, atol=1e-5 * np.abs(expected).max())


def test_map_is_exact_for_an_efficientnet_with_sigmoid_output():
    model = MAMSFNet(efficientnetv2("efficientnetv2-b0", weights=None, image_size=64), FINDINGS)
    evidence = evidence_maps(model, images(64, 2))
    expected = keras.ops.convert_to_numpy(model(images(64, 2), training=False))
    np.testing.assert_allclose(1 / (1 + np.exp(-evidence.logits)), expected, atol=1e-6)


def test_maps_are_computed_without_gradients():
    model = MAMSFNet(toy_backbone(32), FINDINGS)
    seen = []

    class Recorded:
        classifier = model.classifier

        def feature_maps(self, images, training):
            seen.extend(model.feature_maps(images, training=training))
            return tuple(seen)

    evidence_maps(Recorded(), images())
    assert len(seen) == 2 and not any(getattr(part, "requires_grad", False) for part in seen)


def test_peak_is_in_the_brighter_corner():
    cells = np.full((4, 4), -1.0)
    cells[0, 3], cells[1, 3] = 2.0, 1.5
    peak = find_peak(cells, height=80, width=40)
    assert (peak.x, peak.y, peak.value) == (35.0, 10.0, 2.0)  # the center of the cell, not its corner
    left, top, width, height = peak.box
    assert left >= 28 and left + width == 40 and top == 0 and 30 <= height <= 45


def test_box_is_only_the_region_of_the_peak():
    cells = np.zeros((8, 8))
    cells[1, 1], cells[6, 6] = 3.0, 2.9
    left, top, width, height = find_peak(cells, 64, 64).box
    assert left + width < 32 and top + height < 32


@pytest.mark.parametrize(("value", "others"), [(0.01, -1.0), (0.05, -5.0), (1e-6, -1e6)])
def test_weak_peak_among_negative_cells_has_a_box(value, others):
    cells = np.full((7, 7), others)
    cells[2, 4] = value
    peak = find_peak(cells, 224, 224)
    left, top, width, height = peak.box
    assert (peak.x, peak.y) == (144, 80) and left < 144 < left + width and top < 80 < top + height
    assert 16 <= width <= 48 and 16 <= height <= 48  # about one cell


@pytest.mark.parametrize("shape", [(7, 7), (10, 12), (1, 3)])
@pytest.mark.parametrize(("height", "width"), [(224, 224), (97, 331), (2500, 2048), (7, 7), (3, 5), (1, 1)])
def test_box_contains_the_peak_of_any_map(shape, height, width):
    rng = np.random.default_rng(0)
    for _ in range(3 if height > 1000 else 30):
        cells = rng.normal(rng.uniform(-3, 1), 10 ** rng.uniform(-3, 1), shape).astype(np.float32)
        peak = find_peak(cells, height, width)
        if peak is None:
            assert cells.max() <= 0
            continue
        left, top, box_width, box_height = peak.box
        assert left <= peak.x < left + box_width <= width and top <= peak.y < top + box_height <= height


def test_no_positive_evidence_has_no_peak():
    assert find_peak(np.full((4, 4), -0.1), 32, 32) is None
    assert find_peak(np.zeros((4, 4)), 32, 32) is None
    assert find_peak(np.full((4, 4), np.nan), 32, 32) is None
