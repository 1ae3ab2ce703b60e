import dataclasses
import json

import numpy as np
import pytest

from mamsf_keras.evaluation.calibration import Calibration
from mamsf_keras.inference.source import Source, open_source
from mamsf_keras.predictors.predictor import Predictor
from tests.runs import untrained_run

PIXELS = np.random.default_rng(0).integers(0, 256, (3, 32, 32), dtype=np.uint8)


class Fixed(Predictor):
    """Returns given outputs, and remembers the sizes of its batches."""

    findings = ("Mass", "Edema")
    image_size = 32

    def __init__(self, compiles=False, **outputs):
        self.compiles = compiles
        self.given = outputs
        self.sizes = []

    def predict(self, images):
        return self.outputs(images)["probabilities"]

    def outputs(self, images):
        self.sizes.append(len(images))
        return {name: np.resize(values, (len(images), 2)) for name, values in self.given.items()}


def test_run_has_its_calibration_and_its_decisions(tmp_path):
    run = untrained_run(tmp_path / "run")
    source = open_source(run.path)
    scores = source.score(PIXELS, 3)
    calibration = Calibration.load(run.calibration)
    threshold = calibration.findings["Mass"].thresholds["youden"]
    assert (source.image_size, source.operating_point, source.thresholds["Mass"]) == (32, "youden", threshold)
    logits = np.log(scores.probabilities / (1 - scores.probabilities))
    fitted = calibration.findings["Mass"]
    expected = 1 / (1 + np.exp(-(fitted.slope * logits[:, 0] + fitted.intercept)))
    np.testing.assert_allclose(scores.calibrated[:, 0], expected, rtol=1e-9)
    np.testing.assert_array_equal(scores.positive[:, 0] == 1, scores.probabilities[:, 0] >= threshold)
    other = open_source(run.path, operating_point="f1")
    assert other.thresholds["Mass"] == calibration.findings["Mass"].thresholds["f1"]


def test_finding_without_calibration_or_threshold_has_neither(tmp_path):
    run = untrained_run(tmp_path / "run")
    content = json.loads(run.calibration.read_text())
    content["findings"]["Edema"] |= {"slope": None, "intercept": None}
    content["findings"]["Edema"]["thresholds"] = dict.fromkeys(("youden", "sensitivity_90", "f1"))
    run.calibration.write_text(json.dumps(content))
    scores = open_source(run.path).score(PIXELS, 3)
    assert np.isnan(scores.calibrated[:, 1]).all() and np.isnan(scores.positive[:, 1]).all()
    assert np.isfinite(scores.calibrated[:, 0]).all() and np.isfinite(scores.positive[:, 0]).all()


def test_calibration_of_another_model_is_not_used(tmp_path, caplog):
    run = untrained_run(tmp_path / "run", calibrated=False)
    for what in ("no calibration", "the calibration of an earlier model"):
        source = open_source(run.path)
        scores = source.score(PIXELS, 3)
        assert scores.calibrated is None and scores.positive is None and source.operating_point is None
        assert f"no calibrated probabilities and no decisions: the run has {what} (" in caplog.text
        older = Calibration.load(untrained_run(tmp_path / f"other {what}").calibration)
        dataclasses.replace(older, model_sha256="0").save(run.calibration)


def test_unstable_thresholds_are_named(tmp_path, caplog):
    caplog.set_level("INFO")
    run = untrained_run(tmp_path / "run")
    content = json.loads(run.calibration.read_text())
    content["findings"]["Edema"]["unstable"] = True
    run.calibration.write_text(json.dumps(content))
    assert open_source(run.path).unstable == ["Edema"]
    assert "unstable thresholds, fitted on few patients: Edema" in caplog.text


@pytest.mark.no_keras
def test_export_brings_its_own_calibration_and_decisions():
    fixed = Fixed(probabilities=[0.25, 0.5], calibrated=[0.125, np.nan], positive=[True, False])
    scores = Source("m", fixed, 32).score(PIXELS, 8)
    np.testing.assert_array_equal(scores.probabilities, [[0.25, 0.5]] * 3)
    np.testing.assert_array_equal(scores.calibrated, [[0.125, np.nan]] * 3)
    np.testing.assert_array_equal(scores.positive, [[1, 0]] * 3)
    plain = Source("m", Fixed(probabilities=[0.25, 0.5]), 32).score(PIXELS, 8)
    assert plain.calibrated is None and plain.positive is None


@pytest.mark.no_keras
@pytest.mark.parametrize(("compiles", "size"), [(True, 8), (False, 3)])
def test_only_a_model_that_compiles_gets_a_full_batch(compiles, size):
    predictor = Fixed(compiles, probabilities=[0.25, 0.5])
    assert Source("m", predictor, 32).score(PIXELS, 8).probabilities.shape == (3, 2)
    assert predictor.sizes == [size]


@pytest.mark.no_keras
def test_nan_is_an_error():
    with pytest.raises(ValueError, match="m predicts infinite values or NaN"):
        Source("m", Fixed(probabilities=[np.nan, 0.5]), 32).score(PIXELS, 8)


def test_incompatible_options_are_refused(tmp_path):
    run = untrained_run(tmp_path / "run")
    for sources in ({}, {"run_dir": run.path, "model": run.model("best")}):
        with pytest.raises(ValueError, match="Use exactly one of `run_dir`, `model` and `server`"):
            open_source(**sources)
    with pytest.raises(ValueError, match="`operating_point` must be one of youden, sensitivity_90, f1. Received: .*x"):
        open_source(run.path, operating_point="x")
    with pytest.raises(ValueError, match="`operating_point` needs `run_dir`"):
        open_source(model=run.model("best"), operating_point="f1")
    with pytest.raises(ValueError, match="`image_size` must be that of the model, 32. Received: image_size=64"):
        open_source(run.path, image_size=64)
    run.model("best").unlink()
    with pytest.raises(FileNotFoundError, match=r"has no best.keras yet"):
        open_source(run.path)


def test_model_of_any_size_needs_one(tmp_path):
    from mamsf_keras import MAMSFNet
    from tests.toys import toy_backbone

    MAMSFNet(toy_backbone(None), ("Mass",), use_fusion=False).save(tmp_path / "m.keras")
    with pytest.raises(ValueError, match="accepts images of any size. Choose one with `image_size`"):
        open_source(model=tmp_path / "m.keras")
    assert open_source(model=tmp_path / "m.keras", image_size=48).image_size == 48
