"""SelectiveEMACallback: updates only the shadow weights of the momentum anchor."""

import keras
from keras import ops

from mamsf_keras.model.decay import DecaySchedule
from mamsf_keras.model.momentum_anchor import MomentumAnchor


class SelectiveEMACallback(keras.callbacks.Callback):
    """Updates the shadow of each `MomentumAnchor` from its online block during `fit`.

    Scope: the weights of the shadow, including batch-norm scales, offsets and moving statistics, are updated by
    `shadow <- d(t) shadow + (1 - d(t)) online`. No other weights of the model are averaged. Non-finite values of the
    online block are skipped, and integer weights are copied. Under `MirroredStrategy` every replica uses the statistics
    of the first.

    Timing: the update runs inside the compiled step, before the forward pass, so the update at step t uses the online
    weights after step t - 1 (the order of MoCo, arXiv 1911.05722). The callback only writes the schedule and starts
    tracking at the start of each epoch, and stops it at the end of `fit`, so it adds no cost per step. `evaluate` and
    `predict` never update the shadow. `steps_per_execution` above 1 makes no difference (Keras does not support it on
    PyTorch). TensorFlow's `MirroredStrategy` does not run with `jit_compile=True`.

    With gradient accumulation over k steps, the shadow is updated once every k steps, at the first. A window that is
    incomplete at the end of an epoch or of `fit` is carried over. A step that float16 loss scaling skips counts for the
    shadow but not for the optimizer, so the two windows are offset by one step until the next epoch.

    Rate: `DecaySchedule` defines d(t), where t is the number of updates so far. To average over about K epochs, use
    `1 - 1 / (K x updates per epoch)`. A decay that is too large for the number of steps leaves the shadow near its
    initial weights: after 500 steps at 0.999, these still contribute 61% (timm issue 245).

    A second `fit` continues the count of updates and uses the schedule of its own callback. In a loaded model, tracking
    is off and the count is restored, so a resumed run continues with the same decay. Other callbacks, such as
    `BackupAndRestore` or `EarlyStopping`, may load weights during `fit`, in any order: loading restores the shadow and
    the count, and tracking continues. After `MAMSFNet.fit`, the shadow is no longer updated, even if `fit` ends with an
    error or Ctrl-C. A custom model needs `mamsf_keras.stop_tracking(model)` after an error.

    ```python
    model.fit(batches, epochs=10, callbacks=[SelectiveEMACallback(decay=0.999)])
    ```

    Args:
        decay: d, in [0, 1]; 1 keeps the shadow unchanged, 0 makes it the online block of the previous step.
        warmup: None for the constant decay from the first step; "ratio" for min(decay, (1 + t) / (10 + t)); "power"
            for timm's min(decay, 1 - (1 + t)^(-2/3)).
        cosine_updates: if given, the number of updates over which the decay rises to 1 along a cosine (BYOL, arXiv
            2006.07733).

    Raises:
        ValueError: if a value is out of range, at the start of `fit` if the model has no `MomentumAnchor`, or at the
            end of an epoch if the model did not call its anchor once per step with `training=True`.
    """

    async_safe = True

    def __init__(self, decay: float = 0.999, warmup: str | None = None, cosine_updates: int | None = None) -> None:
        super().__init__()
        self.decay = decay
        self.warmup = warmup
        self.cosine_updates = cosine_updates
        self.schedule = DecaySchedule(decay, warmup, cosine_updates)

    def on_train_begin(self, logs: dict | None = None) -> None:
        """Checks that the model has an anchor."""
        if not anchors_of(self.model):
            raise ValueError("SelectiveEMACallback needs a model with a MomentumAnchor, but this model has none.")

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        """Writes the schedule into each anchor and starts tracking."""
        window = inner_optimizer(self.model).gradient_accumulation_steps or 1
        self.first = steps_taken(self.model) % window
        self.batches: list[int] = []
        for anchor in anchors_of(self.model):
            anchor.start_tracking(self.schedule, window, self.first)

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        """Keeps the number of the step. On JAX and PyTorch Keras calls it from other threads, in any order."""
        self.batches.append(batch)

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Raises `ValueError` if an anchor was not called once per step."""
        steps = max(self.batches, default=-1) + 1  # with several steps per execution, Keras reports only the last
        for anchor in anchors_of(self.model):
            calls = int(ops.convert_to_numpy(anchor.step_count)) - self.first
            if steps and not 0 < calls <= steps:
                stop_tracking(self.model)
                raise ValueError(
                    f"The model must call its MomentumAnchor once per step with `training=True`. Received: {calls} "
                    f"calls of {anchor.name} in {steps} steps. "
                    + ("Concatenate the inputs of a step." if calls else "Pass `training` to it in `call`.")
                )

    def on_train_end(self, logs: dict | None = None) -> None:
        """Stops tracking. After an exception Keras does not call this: `MAMSFNet.fit` stops tracking by itself."""
        stop_tracking(self.model)


def inner_optimizer(model: keras.Model) -> keras.optimizers.Optimizer:
    """Returns the optimizer of a model, without the loss scaling that float16 wraps it in."""
    return getattr(model.optimizer, "inner_optimizer", model.optimizer)


def steps_taken(model: keras.Model) -> int:
    """Counts the steps of the optimizer of a model. The public `iterations` counts complete accumulation windows."""
    return int(ops.convert_to_numpy(inner_optimizer(model)._iterations))  # private: Keras has no public count of steps


def anchors_of(model: keras.Model) -> list[MomentumAnchor]:
    """Returns the momentum anchors of a model, at any depth."""
    return [layer for layer in model._flatten_layers() if isinstance(layer, MomentumAnchor)]


def stop_tracking(model: keras.Model) -> None:
    """Stops updating the shadows of a model."""
    for anchor in anchors_of(model):
        anchor.stop_tracking()
