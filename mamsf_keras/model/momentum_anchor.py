"""The momentum anchor: a block of a network and its shadow, an EMA of its weights."""

import contextlib
from typing import Any

import keras
from keras import ops

from mamsf_keras.model.decay import FROZEN, DecaySchedule, decay_at, ema


@contextlib.contextmanager
def _one_value_on_all_replicas():
    """Creates variables in the block that take the value of the first replica.

    Under `MirroredStrategy` each replica has its own batch-norm statistics, and would have its own shadow. Keras
    creates layer weights without an aggregation rule and provides no way to set one.
    """
    if keras.backend.backend() != "tensorflow":
        yield
        return
    import tensorflow as tf

    def create(next_creator, **options):
        return next_creator(**{**options, "aggregation": tf.VariableAggregation.ONLY_FIRST_REPLICA})

    with tf.variable_creator_scope(create):
        yield


@keras.saving.register_keras_serializable(package="mamsf_keras")
class MomentumAnchor(keras.layers.Layer):
    """Runs a block (online, trained) and its shadow (an EMA of the online weights, without gradient) in parallel.

    The shadow is updated inside the compiled training step, in `call(training=True)`, like the statistics of batch
    normalization, and only while tracking is switched on by a `SelectiveEMACallback`. The order is that of MoCo (arXiv
    1911.05722): the update at step t uses the online weights after step t - 1, and then the output of the shadow is
    computed. The online batch-norm statistics are averaged like every other weight, and the batch norm of the shadow
    runs in inference mode (EMAN, arXiv 2101.07525). Gradients, the optimizer and weight decay never affect the shadow.
    Non-finite values are skipped: an overflow in float16 corrupts the online batch-norm statistics, but not those of
    the shadow.

    ```python
    anchor = MomentumAnchor(block)
    online, shadow = anchor(features, training=True)
    ```

    Args:
        online: the block, a built functional or sequential Keras model.

    Raises:
        ValueError: if the block is not built and has no weights to copy.

    Attributes:
        shadow: the copy of the block; `online.weights` and `shadow.weights` have the same order and shapes.
        tracking: `()`, 1 while the shadow moves, else 0. It is 0 in a loaded model.
        update_count: `()`, the number of updates so far.
        step_count: `()`, the number of steps in the open accumulation window.
        accumulation_steps: `()`, the number of steps in an accumulation window.
        schedule: `(5,)`, the numbers of the `DecaySchedule`.

    Returns:
        `(online(x), stop_gradient(shadow(x)))`.
    """

    def __init__(self, online: keras.Model, **kwargs: Any) -> None:
        # With this, every variable reads as float32 in `call` on all backends. The two blocks keep their own policy.
        super().__init__(**{**kwargs, "dtype": "float32", "autocast": False})
        if not online.built:
            raise ValueError(
                f"`online` must be built, so that its shadow is a copy. Received: {online.name}, not built."
            )
        self.online = online
        with _one_value_on_all_replicas():
            self.shadow = keras.models.clone_model(online)
        self.shadow.trainable = False
        self.tracking = self._variable("tracking", ())
        self.update_count = self._variable("update_count", ())
        self.step_count = self._variable("step_count", ())
        self.accumulation_steps = self._variable("accumulation_steps", (), "ones")
        self.schedule = self._variable("schedule", (len(FROZEN.numbers),))
        self.schedule.assign(FROZEN.numbers)
        self.built = True
        self.reset()

    def _variable(self, name, shape, initializer="zeros"):
        return self.add_weight(shape, initializer, trainable=False, aggregation="only_first_replica", name=name)

    @keras.layers.Layer.trainable.setter
    def trainable(self, value: bool) -> None:
        """Freezes or unfreezes the online block. The shadow never receives a gradient."""
        keras.layers.Layer.trainable.fset(self, value)
        self.shadow.trainable = False

    def reset(self) -> None:
        """Copies the online weights to the shadow and resets the counts. Called by the constructor."""
        for shadow, online in self._pairs():
            shadow.assign(ops.copy(ops.convert_to_tensor(online)))  # JAX would share the buffer, and donate it twice
        self.update_count.assign(0.0)
        self.step_count.assign(0.0)

    def start_tracking(self, schedule: DecaySchedule, accumulation_steps: int = 1, step_count: int = 0) -> None:
        """Starts updating the shadow, from the next training step on.

        Args:
            schedule: schedule of the decay.
            accumulation_steps: number of steps whose gradients form one update of the optimizer.
            step_count: number of steps that the optimizer has taken in its current accumulation window.
        """
        self.schedule.assign(schedule.numbers)
        self.accumulation_steps.assign(accumulation_steps)
        self.step_count.assign(step_count)
        self.tracking.assign(1.0)

    def stop_tracking(self) -> None:
        """Stops updating the shadow."""
        self.tracking.assign(0.0)

    def _pairs(self):
        # Not `.variables`, which include the generator states of dropout.
        return zip(self.shadow.weights, self.online.weights, strict=True)

    def call(self, inputs: Any, training: bool = False) -> tuple[Any, Any]:
        if training:
            self.update_shadow()
        # With a gradient on the inputs, PyTorch would keep the activations of the shadow for a backward pass.
        shadow = self.shadow(ops.stop_gradient(inputs), training=False)
        return self.online(inputs, training=training), ops.stop_gradient(shadow)

    def update_shadow(self) -> None:
        """Updates the shadow and the counts, at the first step of an accumulation window and while tracking is on."""
        tracking = ops.convert_to_tensor(self.tracking) > 0.0
        steps, updates = ops.convert_to_tensor(self.step_count), ops.convert_to_tensor(self.update_count)
        decay = decay_at(ops.convert_to_tensor(self.schedule), updates)
        moves = ops.logical_and(tracking, steps == 0.0)
        for shadow, online in self._pairs():
            old = ops.convert_to_tensor(shadow)
            new = ema(old, ops.stop_gradient(ops.convert_to_tensor(online)), decay)
            shadow.assign(ops.where(ops.logical_and(moves, ops.isfinite(new)), new, old))
        window_ends = steps + 1.0 >= ops.convert_to_tensor(self.accumulation_steps)
        next_step = ops.where(window_ends, 0.0, steps + 1.0)
        self.step_count.assign(ops.where(tracking, next_step, steps))
        self.update_count.assign(updates + ops.cast(moves, "float32"))

    def compute_output_shape(self, input_shape: tuple) -> tuple[tuple, tuple]:
        shape = self.online.compute_output_shape(input_shape)
        return shape, shape

    def load_own_variables(self, store: Any) -> None:
        """Loads the variables and stops tracking, which is on in a model that was saved inside `fit`."""
        super().load_own_variables(store)
        self.stop_tracking()

    def get_config(self) -> dict:
        return {**super().get_config(), "online": keras.saving.serialize_keras_object(self.online)}

    @classmethod
    def from_config(cls, config: dict) -> "MomentumAnchor":
        return cls(**{**config, "online": keras.saving.deserialize_keras_object(config["online"])})
