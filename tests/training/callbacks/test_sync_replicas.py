"""Run as a module, it trains on two devices and prints the batch-norm statistics of each."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[3]


@pytest.mark.tensorflow
def test_all_replicas_get_the_statistics_of_the_first():
    command = [sys.executable, "-m", "tests.training.callbacks.test_sync_replicas"]
    environment = {**os.environ, "KERAS_BACKEND": "tensorflow"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    before, after = json.loads(done.stdout.splitlines()[-1])
    # The images of the first device are 0, those of the second 10; batch norm has a momentum of 0.5.
    assert before == [[0.0, 5.0], [0.5, 0.5]]
    assert after == [[0.0, 0.0], [0.5, 0.5]]


def main():
    """Prints the moving mean and the moving variance on each device, before and after the callback."""
    import keras
    import tensorflow as tf

    from mamsf_keras.training.callbacks.sync_replicas import SyncReplicas

    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    states = []

    class Statistics(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            norm = self.model.layers[0]
            variables = norm.moving_mean, norm.moving_variance
            states.append([[float(copy.numpy()[0]) for copy in one.value.values] for one in variables])

    with tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]).scope():
        model = keras.Sequential([keras.Input((1,)), keras.layers.BatchNormalization(momentum=0.5)])
        model.compile("sgd", "mse")
    x = np.array([[0.0], [0.0], [10.0], [10.0]], "float32")
    callbacks = [Statistics(), SyncReplicas(), Statistics()]
    model.fit(x, x, batch_size=4, shuffle=False, verbose=0, callbacks=callbacks)
    print(json.dumps(states))


if __name__ == "__main__":
    main()
