"""The callback that moves the shadow weights of the momentum anchor, and of nothing else."""

import keras
from keras import ops

from mamsf_keras.model.momentum_anchor import MomentumAnchor

WARMUPS = {None: (0.0, 1.0, 1.0), "ratio": (0.9, 10.0, 1.0), "power": (1.0, 1.0, 2 / 3)}
"""Numbers (a, gamma, power) of `decay_at`, by the name of the warm-up."""


class SelectiveEMACallback(keras.callbacks.Callback):
    """Lets the shadow of each `MomentumAnchor` follow its online block while `fit` runs.

    What moves: the shadow's weights, batch-norm scales, offsets and moving statistics included, by `shadow <- d(t)
    shadow + (1 - d(t)) online`. Nothing else of the model is averaged. Numbers of the online block that are not
    finite are not taken in. Under `MirroredStrategy` every replica takes in the first replica's statistics.

    When: inside the compiled step, before the forward pass, so the update at step t takes in the online weights as
    step t - 1 left them (MoCo's order, arXiv 1911.05722). The callback itself only writes the policy and arms the
    anchor at the start of `fit`, and disarms it at the end, so it costs nothing a step. `evaluate` and `predict`
    never move the shadow. With `steps_per_execution` above 1 nothing changes (Keras refuses that on PyTorch).
    TensorFlow's `MirroredStrategy` does not run with `jit_compile=True`.

    Under gradient accumulation over k micro-steps the shadow moves once in k, at the first; a window that the end of
    an epoch or of `fit` leaves open is carried over. A step that float16 loss scaling skips counts for the shadow and
    not for the optimizer, so their windows part by it until the next `fit`.

    How fast: d(t) is `decay_at` of the updates done so far, which `benchmarks/decay_schedules.py` draws:

        decay alone        d                                    the same from the first update on
        warmup="ratio"     min(d, (1 + t) / (10 + t))           d = 0.999 is reached at t = 8,990
        warmup="power"     min(d, 1 - (1 + t)^(-2/3))           d = 0.999 is reached at t = 31,622
        cosine_updates=n   1 - (1 - d) (1 + cos(pi t / n)) / 2  from d to 1

    An average over about K epochs is `1 - 1 / (K x updates an epoch)`. Too large a d on few steps leaves the shadow at
    its initial weights: after 500 steps at 0.999, 61 % of it is still those (timm issue 245).

    On a second `fit` the clock t runs on, under the policy of that `fit`'s callback. A loaded model is disarmed, with
    the clock where it was saved, so a resumed run goes on with the decay that it had. However a `MAMSFNet`'s `fit`
    ends, by an error or Ctrl-C too, its shadow stands still afterwards. A model of your own needs
    `mamsf_keras.disarm(model)` after an error, or after an `EarlyStopping(restore_best_weights=True)` listed behind
    this callback, which brings back the armed state too.

    ```python
    model.fit(batches, epochs=10, callbacks=[SelectiveEMACallback(decay=0.999)])
    ```

    Args:
        decay: d, in [0, 1]; 1 leaves the shadow as it is, 0 makes it the online block of one step before.
        warmup: None for the constant decay from the first step; "ratio" for min(decay, (1 + t) / (10 + t)); "power"
            for timm's min(decay, 1 - (1 + t)^(-2/3)).
        start: updates during which the shadow equals the online block of one step before; t counts from there.
        cosine_updates: if given, the decay rises to 1 along a cosine over so many updates (BYOL, arXiv 2006.07733).

    Raises:
        ValueError: on a value out of its range, or at the start of `fit` if the model has no `MomentumAnchor`.
    """

    def __init__(self, decay=0.999, warmup=None, start=0, cosine_updates=None):
        super().__init__()
        if not 0 <= decay <= 1:
            raise ValueError(f"`decay` must be in [0, 1]. Received: decay={decay}.")
        if warmup not in WARMUPS:
            raise ValueError(f"`warmup` must be None, 'ratio' or 'power'. Received: warmup={warmup!r}.")
        if start < 0:
            raise ValueError(f"`start` must be at least 0. Received: start={start}.")
        if cosine_updates is not None and cosine_updates < 1:
            raise ValueError(f"`cosine_updates` must be at least 1. Received: cosine_updates={cosine_updates}.")
        self.decay = decay
        self.warmup = warmup
        self.start = start
        self.cosine_updates = cosine_updates

    @property
    def policy(self) -> tuple[float, ...]:
        """The six numbers of `decay_at`: decay, a, gamma, power, start, rate."""
        rate = 1 / self.cosine_updates if self.cosine_updates else 0.0
        return (self.decay, *WARMUPS[self.warmup], self.start, rate)

    def on_train_begin(self, logs=None):
        """Writes the policy into each anchor and arms it."""
        anchors = anchors_of(self.model)
        if not anchors:
            raise ValueError("SelectiveEMACallback needs a model with a MomentumAnchor, and this one has none.")
        every = inner_optimizer(self.model).gradient_accumulation_steps or 1
        for anchor in anchors:
            anchor.arm(self.policy, every, steps_taken(self.model) % every)

    def on_train_end(self, logs=None):
        """Disarms each anchor. After an exception Keras does not call this: `MAMSFNet.fit` disarms by itself."""
        disarm(self.model)


def inner_optimizer(model):
    """Returns the optimizer of a model, without what float16 wraps it in."""
    return getattr(model.optimizer, "inner_optimizer", model.optimizer)


def steps_taken(model) -> int:
    """Counts the micro-steps of the optimizer of a model; its public `iterations` counts whole windows."""
    return int(ops.convert_to_numpy(inner_optimizer(model)._iterations))


def anchors_of(model) -> list[MomentumAnchor]:
    """Returns the momentum anchors of a model, at any depth."""
    return [layer for layer in model._flatten_layers() if isinstance(layer, MomentumAnchor)]


def disarm(model):
    """Stops the shadows of a model from moving."""
    for anchor in anchors_of(model):
        anchor.disarm()
