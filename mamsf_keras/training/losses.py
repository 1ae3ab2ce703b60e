"""Losses from logits. Each returns one number a cell and never divides or masks: missing labels are sample weights."""

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="mamsf_keras")
class CellwiseBCE(keras.losses.Loss):
    """Computes binary cross-entropy from logits: -y log p - (1 - y) log(1 - p), p = sigmoid(logit), for each cell.

    `call` returns `(batch, findings)`, so that `sample_weight` may weigh or drop single labels; Keras then takes the
    mean over all cells.
    """

    def __init__(self, name="bce", **kwargs):
        super().__init__(name=name, **kwargs)

    def call(self, y_true, y_pred):
        """Returns the loss of each cell, float32 `(batch, findings)`, of labels 0 or 1 and logits."""
        y_true, y_pred = ops.cast(y_true, "float32"), ops.cast(y_pred, "float32")
        return ops.maximum(y_pred, 0.0) - y_pred * y_true + ops.log1p(ops.exp(-ops.abs(y_pred)))
