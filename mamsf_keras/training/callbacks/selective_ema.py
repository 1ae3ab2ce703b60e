"""SelectiveEMACallback: moves the shadow weights of the momentum anchor, and nothing else."""

import keras
from keras import ops

from mamsf_keras.model.decay import DecaySchedule
from mamsf_keras.model.momentum_anchor import MomentumAnchor


class SelectiveEMACallback(keras.callbacks.Callback):
    """Lets the shadow of each `MomentumAnchor` follow its online block while `fit` runs.

    What moves: the weights of the shadow, including batch-norm scales, offsets and moving statistics, by
    `shadow <- d(t) shadow + (1 - d(t)) online`. Nothing else of the model is averaged. Values of the online block that
    are not finite are not taken in. Under `MirroredStrategy` every replica takes in the statistics of the first.

    When: inside the compiled step, before the forward pass, so the update at step t takes in the online weights as
    step t - 1 left them (MoCo's order, arXiv 1911.05722). The callback only writes the schedule and starts tracking at
    the start of `fit`, and stops it at the end, so it costs nothing per step. `evaluate` and `predict` never move the
    shadow. `steps_per_execution` above 1 changes nothing (Keras refuses it on PyTorch). TensorFlow's
    `MirroredStrategy` does not run with `jit_compile=True`.

    Under gradient accumulation over k steps the shadow moves once in k, at the first; a window that the end of an epoch
    or of `fit` leaves open is carried over. A step that float16 loss scaling skips counts for the shadow and not for
    the optimizer, so their windows differ by it until the next `fit`.

    How fast: d(t), with t the number of updates so far, is that of `DecaySchedule`. An average over about K epochs is
    `1 - 1 / (K x updates per epoch)`. Too large a decay on few steps leaves the shadow near its initial weights: after
    500 steps at 0.999, 61 % of it still is (timm issue 245).

    A second `fit` continues to count updates, under the schedule of its callback. In a loaded model tracking is off and
    the count is where it was saved, so a resumed run continues with the decay that it had. However a `MAMSFNet`'s `fit`
    ends, with an error or Ctrl-C too, its shadow does not move afterwards. A custom model needs
    `mamsf_keras.stop_tracking(model)` after an error, or after an `EarlyStopping(restore_best_weights=True)` listed
    after this callback, which restores the tracking state too.

    ```python
    model.fit(batches, epochs=10, callbacks=[SelectiveEMACallback(decay=0.999)])
    ```

    Args:
        decay: d, in [0, 1]; 1 leaves the shadow as it is, 0 makes it the online block of one step before.
        warmup: None for the constant decay from the first step; "ratio" for min(decay, (1 + t) / (10 + t)); "power"
            for timm's min(decay, 1 - (1 + t)^(-2/3)).
        cosine_updates: if given, the decay rises to 1 along a cosine over so many updates (BYOL, arXiv 2006.07733).

    Raises:
        ValueError: on a value out of its range, or at the start of `fit` if the model has no `MomentumAnchor`.
    """

    def __init__(self, decay: float = 0.999, warmup: str | None = None, cosine_updates: int | None = None) -> None:
        super().__init__()
        self.decay = decay
        self.warmup = warmup
        self.cosine_updates = cosine_updates
        self.schedule = DecaySchedule(decay, warmup, cosine_updates)

    def on_train_begin(self, logs: dict | None = None) -> None:
        """Writes the schedule into each anchor and starts tracking."""
        anchors = anchors_of(self.model)
        if not anchors:
            raise ValueError("SelectiveEMACallback needs a model with a MomentumAnchor, and this one has none.")
        steps = inner_optimizer(self.model).gradient_accumulation_steps or 1
        for anchor in anchors:
            anchor.start_tracking(self.schedule, steps, steps_taken(self.model) % steps)

    def on_train_end(self, logs: dict | None = None) -> None:
        """Stops tracking. After an exception Keras does not call this: `MAMSFNet.fit` stops tracking by itself."""
        stop_tracking(self.model)


def inner_optimizer(model: keras.Model) -> keras.optimizers.Optimizer:
    """Returns the optimizer of a model, without the loss scaling that float16 wraps it in."""
    return getattr(model.optimizer, "inner_optimizer", model.optimizer)


def steps_taken(model: keras.Model) -> int:
    """Counts the steps of the optimizer of a model. Its public `iterations` counts whole accumulation windows."""
    return int(ops.convert_to_numpy(inner_optimizer(model)._iterations))  # private: Keras has no public count of steps


def anchors_of(model: keras.Model) -> list[MomentumAnchor]:
    """Returns the momentum anchors of a model, at any depth."""
    return [layer for layer in model._flatten_layers() if isinstance(layer, MomentumAnchor)]


def stop_tracking(model: keras.Model) -> None:
    """Stops the shadows of a model from moving."""
    for anchor in anchors_of(model):
        anchor.stop_tracking()
