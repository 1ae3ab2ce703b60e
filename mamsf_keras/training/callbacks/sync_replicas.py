"""SyncReplicas: the same batch-norm statistics on all replicas of `MirroredStrategy`."""

import keras


class SyncReplicas(keras.callbacks.Callback):
    """Gives all replicas the batch-norm statistics of the first after each epoch, before it is validated and saved.

    The files contain the statistics of the first replica. The model that was validated is therefore the one that is
    saved, and a resumed run continues from it.
    """

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Copies the statistics."""
        for variable in self.model.non_trainable_variables:
            variable.assign(keras.ops.convert_to_numpy(variable))
