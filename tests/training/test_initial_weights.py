import zipfile

import numpy as np
import pytest

from mamsf_keras import MAMSFNet, RunDir, load_model, train
from mamsf_keras.training.initial_weights import copy_head, is_model_file, read_model
from tests.runs import toy_config
from tests.toys import toy_backbone

IMAGES = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 1), dtype=np.uint8)


def scrambled(**options):
    """A model with random weights, whose shadow differs from its online block."""
    model = MAMSFNet(toy_backbone(), ("A", "B"), **options)
    for number, weight in enumerate(model.weights):
        weight.assign(np.random.default_rng(number).uniform(0.1, 1, weight.shape))
    return model


def started(file, findings=("A", "B"), **options):
    """A new model that starts from a file, as `train` builds it."""
    backbone = toy_backbone()
    source = read_model(file, backbone)
    model = MAMSFNet(backbone, findings, **options)
    copy_head(source, model)
    return model


def equal(one, two):
    return all(np.array_equal(a, b) for a, b in zip(one.get_weights(), two.get_weights(), strict=True))


def test_model_starts_with_the_weights_of_the_file_and_new_counts(tmp_path):
    source = scrambled()
    source.save(tmp_path / "best.keras")
    model = started(tmp_path / "best.keras")
    np.testing.assert_array_equal(model.predict(IMAGES, verbose=0), source.predict(IMAGES, verbose=0))
    assert equal(model.anchor.shadow, source.anchor.shadow) and not equal(model.anchor.shadow, model.anchor.online)
    assert float(model.anchor.update_count) == 0


def test_weights_missing_from_the_file_are_initialized(tmp_path, caplog):
    caplog.set_level("INFO", "mamsf_keras")
    source = scrambled(use_anchor=False)
    source.save(tmp_path / "best.keras")
    model = started(tmp_path / "best.keras")
    assert equal(model.final_block, source.final_block) and equal(model.fusion, source.fusion)
    assert equal(model.anchor.shadow, source.final_block)
    assert caplog.messages == [
        "initial weights: features, final block, fusion",
        "note: the classifier weights are not copied, because the findings, anchor or fusion differ",
    ]


def test_classifier_of_other_findings_is_not_copied(tmp_path):
    source = scrambled()
    source.save(tmp_path / "best.keras")
    model = started(tmp_path / "best.keras", findings=("B", "A"))
    assert equal(model.fusion, source.fusion) and not equal(model.classifier, source.classifier)


def test_other_blocks_are_refused(tmp_path):
    scrambled().save(tmp_path / "best.keras")
    with pytest.raises(ValueError, match="`weights` must be a file with the backbone and the cut of this run"):
        read_model(tmp_path / "best.keras", toy_backbone(batch_norm=False))


@pytest.mark.tensorflow
def test_only_files_of_a_mamsf_net_are_model_files(tmp_path):
    scrambled().save(tmp_path / "best.keras")
    toy_backbone()[0].save(tmp_path / "backbone.keras")
    (tmp_path / "text.keras").write_text("no zip")
    with zipfile.ZipFile(tmp_path / "empty.keras", "w"):
        pass
    names = ("best.keras", "backbone.keras", "text.keras", "empty.keras", "imagenet")
    assert [is_model_file(str(tmp_path / name)) for name in names] == [True, False, False, False, False]


def test_run_starts_from_the_model_of_another_one(uninterrupted, shared_nih, tmp_path):
    """The backbone is frozen and the learning rate is close to zero."""
    file = uninterrupted.model("last")
    config = toy_config(shared_nih, weights=str(file), phases=[{"epochs": 1, "frozen": True}], learning_rate=1e-12)
    train(config, tmp_path / "run")
    source, model = load_model(file), load_model(RunDir(tmp_path / "run").model("last"))
    for name in ("features", "final_block"):
        assert equal(getattr(model, name), getattr(source, name))
    assert equal(model.anchor.shadow, source.anchor.shadow)
    assert not equal(model.anchor.shadow, model.anchor.online)
    for one, two in zip(model.classifier.get_weights(), source.classifier.get_weights(), strict=True):
        np.testing.assert_allclose(one, two, atol=1e-6)
