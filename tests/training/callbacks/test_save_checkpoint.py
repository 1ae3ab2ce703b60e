import keras
import numpy as np

from mamsf_keras import MAMSFNet, RunDir
from mamsf_keras.training.callbacks.record_history import RecordHistory
from mamsf_keras.training.callbacks.save_checkpoint import SaveCheckpoint
from mamsf_keras.training.checkpoint import Checkpoint
from mamsf_keras.training.history import History
from tests.toys import toy_backbone


def test_each_epoch_leaves_its_state(tmp_path):
    model = MAMSFNet(toy_backbone(), ("A",), use_fusion=False)
    model.compile("adam", "binary_crossentropy")
    run, history, biases = RunDir(tmp_path), History(), []

    class Bias(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            biases.append(keras.ops.convert_to_numpy(self.model.classifier.bias).copy())

    images, labels = np.zeros((4, 32, 32, 1), np.uint8), np.ones((4, 1), "float32")
    callbacks = [RecordHistory(history), SaveCheckpoint(history, run), Bias()]
    model.fit(images, labels, epochs=3, verbose=0, callbacks=callbacks)
    assert run.checkpoint_files() == [run.checkpoint(3), run.checkpoint(2)]
    number = [variable.path for variable in model.variables].index(model.classifier.bias.path)
    for epochs in (3, 2):
        checkpoint = Checkpoint.read_newest(run)
        assert checkpoint.history.epochs == history.epochs[:epochs]
        np.testing.assert_array_equal(checkpoint.arrays[number], biases[epochs - 1])
        run.checkpoint(epochs).unlink()
