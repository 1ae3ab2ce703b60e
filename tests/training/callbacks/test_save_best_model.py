import keras
import numpy as np
import pytest

from mamsf_keras import load_model
from mamsf_keras.training.build import build_backbone, build_model
from mamsf_keras.training.callbacks.save_best_model import SaveBestModel
from mamsf_keras.training.history import History
from mamsf_keras.training.inference_copy import InferenceCopy
from tests.runs import toy_config


def test_file_equals_that_of_the_first_epoch_with_the_best_score(tmp_path):
    config, history = toy_config("data", fusion=False), History()
    model = build_model(config, build_backbone(config, None), ("A", "B"), (np.ones(2), np.ones(2)))
    path = tmp_path / "best.keras"
    callback = SaveBestModel(history, InferenceCopy(config, ("A", "B")), path)
    callback.set_model(model)
    found = []
    for epoch, score in enumerate([0.5, 0.75, 0.25, 0.75, 0.875]):
        model.classifier.bias.assign([epoch, -epoch])
        history.append(epoch, {"val_auroc": score})
        callback.on_epoch_end(epoch)
        found.append(keras.ops.convert_to_numpy(load_model(path).classifier.bias).tolist())
    assert found == [[epoch, -epoch] for epoch in (0, 1, 1, 1, 4)]


@pytest.mark.tensorflow
def test_epoch_that_is_not_better_writes_nothing(tmp_path):
    class NeverWritten(InferenceCopy):
        def write(self, trained, path):
            raise AssertionError("written")

    history = History([{"epoch": 1, "val_auroc": 0.75}, {"epoch": 2, "val_auroc": 0.75}])
    callback = SaveBestModel(history, NeverWritten(toy_config("data"), ("A",)), tmp_path / "best.keras")
    callback.on_epoch_end(1)
    with pytest.raises(AssertionError, match="written"):
        callback.on_epoch_end(0)
