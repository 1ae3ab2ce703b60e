"""AnchorMetrics: learning rate, decay and drift of the anchor, and skipped steps, after each epoch."""

import keras
import numpy as np
from keras import ops

from mamsf_keras.model.decay import decay_at
from mamsf_keras.model.momentum_anchor import MomentumAnchor
from mamsf_keras.training.callbacks.selective_ema import anchors_of, steps_taken


class AnchorMetrics(keras.callbacks.Callback):
    """Adds `learning_rate` to the logs of an epoch, and `decay` and `drift` of the anchor while it is tracked.

    The drift is ||online - shadow|| / ||online|| over all weights of the block. With float16 it also adds
    `skipped_steps`: the steps of the epoch whose gradients overflowed, which Keras skips and does not count in the
    learning-rate schedule.
    """

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        """Remembers the number of steps that the optimizer has taken."""
        self.taken = steps_taken(self.model)

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Adds the values at the end of the epoch."""
        assert logs is not None
        logs["learning_rate"] = float(ops.convert_to_numpy(self.model.optimizer.learning_rate))
        if isinstance(self.model.optimizer, keras.optimizers.LossScaleOptimizer):
            logs["skipped_steps"] = self.params["steps"] - (steps_taken(self.model) - self.taken)
        for anchor in anchors_of(self.model):
            if ops.convert_to_numpy(anchor.tracking):
                logs["decay"] = current_decay(anchor)
                logs["drift"] = drift(anchor)


def current_decay(anchor: MomentumAnchor) -> float:
    """Returns the decay of the next update."""
    decay = decay_at(ops.convert_to_tensor(anchor.schedule), ops.convert_to_tensor(anchor.update_count))
    return float(ops.convert_to_numpy(decay))


def drift(anchor: MomentumAnchor) -> float:
    """Computes ||online - shadow|| / ||online|| over all weights."""
    online, shadow = (
        np.concatenate([ops.convert_to_numpy(weight).astype(np.float64).ravel() for weight in block.weights])
        for block in (anchor.online, anchor.shadow)
    )
    return float(np.linalg.norm(online - shadow) / np.linalg.norm(online))
