"""The momentum anchor: a block of a network and its shadow, an EMA of its weights."""

import contextlib
from typing import Any

import keras
from keras import ops

from mamsf_keras.model.block import check_block, check_weights, finalize
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


def _after(inputs):
    """Returns a context in which operations wait for the inputs.

    Otherwise TensorFlow would update the shadow, which does not depend on the data, in a step without data.
    """
    if keras.backend.backend() != "tensorflow":
        return contextlib.nullcontext()
    import tensorflow as tf

    return tf.control_dependencies([inputs])


@keras.saving.register_keras_serializable(package="mamsf_keras")
class MomentumAnchor(keras.layers.Layer):
    """Runs a block (online, trained) and its shadow (an EMA of the online weights, without gradient) in parallel.

    The shadow is updated inside the compiled training step, in `call(training=True)`, like the statistics of batch
    normalization, and only while tracking is switched on by a `SelectiveEMACallback`. The order is that of MoCo (arXiv
    1911.05722): the update at step t uses the online weights after step t - 1, and then the output of the shadow is
    computed. The online batch-norm statistics are averaged like every other weight, and the batch norm of the shadow
    runs in inference mode (EMAN, arXiv 2101.07525). Gradients, the optimizer and weight decay never affect the shadow.
    Non-finite values are skipped: an overflow in float16 corrupts the online batch-norm statistics, but not those of
    the shadow. Integers, booleans and the weights of `Normalization` are copied, never averaged. The states of random
    generators are neither copied nor averaged.

    Calling the shadow has no side effects; its losses, regularizers and metrics are ignored. Call the anchor once per
    training step; for several views, call it on their concatenation.

    ```python
    anchor = MomentumAnchor(block)
    online, shadow = anchor(features, training=True)
    ```

    Args:
        online: the block, a built functional or sequential Keras model. Its floating-point weights must be float32 or
            float64, as they are under every mixed-precision policy.

    Raises:
        ValueError: if the block is of another kind or not built, or a weight cannot be tracked (names it).

    Attributes:
        shadow: the copy of the block; `online.weights` and `shadow.weights` have the same order and shapes.
        update_count: `()`, the number of updates so far.
        tracking: `()`, 1 while the shadow moves, else 0. It is 0 in a loaded model.
        step_count: `()`, the number of steps since the start of an accumulation window.
        accumulation_steps: `()`, the number of steps in an accumulation window.
        schedule: `(5,)`, the numbers of the `DecaySchedule`.
        weights: the weights of both blocks and `update_count`. The other four belong to the running `fit`, so neither
            `set_weights` nor `load_weights` changes them.

    Output:
        `(online(x), stop_gradient(shadow(x)))`.
    """

    def __init__(self, online: keras.Model, **kwargs: Any) -> None:
        # With this, every variable reads as float32 in `call` on all backends. The two blocks keep their own policy.
        super().__init__(**{**kwargs, "dtype": "float32", "autocast": False})
        check_block("online", online)
        self.online = online
        with _one_value_on_all_replicas():
            self.shadow = keras.models.clone_model(online)
        self.shadow.trainable = False
        for layer in self.shadow._flatten_layers():
            layer._metrics.clear()  # otherwise the model would report them instead of those of the online block
        check_weights(self.online.weights, self.shadow.weights)
        self.tracking = self._variable("tracking", ())
        self.update_count = self._variable("update_count", ())
        self.step_count = self._variable("step_count", ())
        self.accumulation_steps = self._variable("accumulation_steps", (), "ones")
        self.schedule = self._variable("schedule", (len(FROZEN.numbers),))
        self.schedule.assign(FROZEN.numbers)
        self.build(online.input_shape)
        self.reset()

    def _variable(self, name, shape, initializer="zeros"):
        return self.add_weight(shape, initializer, trainable=False, aggregation="only_first_replica", name=name)

    @keras.layers.Layer.trainable.setter
    def trainable(self, value: bool) -> None:
        """Freezes or unfreezes the online block. The shadow never receives a gradient."""
        keras.layers.Layer.trainable.fset(self, value)
        self.shadow.trainable = False

    @property
    def weights(self) -> list[keras.Variable]:
        of_fit = {id(v) for v in (self.tracking, self.step_count, self.accumulation_steps, self.schedule)}
        return [weight for weight in super().weights if id(weight) not in of_fit]

    def reset(self) -> None:
        """Copies the online weights to the shadow and resets the counts. Called by the constructor."""
        for shadow, online in self._pairs():
            shadow.assign(ops.copy(ops.convert_to_tensor(online)))  # JAX would share the buffer and donate it twice
        finalize(self.shadow)
        self.update_count.assign(0.0)
        self.step_count.assign(0.0)

    def start_tracking(self, schedule: DecaySchedule, accumulation_steps: int = 1, step_count: int = 0) -> None:
        """Starts updating the shadow, from the next training step on.

        Args:
            schedule: schedule of the decay.
            accumulation_steps: number of steps whose gradients form one update of the optimizer.
            step_count: number of steps that the optimizer has taken in its current accumulation window.
        """
        for shadow, online in zip(self.shadow._flatten_layers(), self.online._flatten_layers(), strict=True):
            if isinstance(online, keras.layers.Normalization):  # it may have been adapted since the shadow was made
                shadow.set_weights(online.get_weights())
        finalize(self.shadow)
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
            with _after(inputs):
                self.update_shadow()
        values = [(variable, ops.convert_to_tensor(variable)) for variable in self.shadow.variables]
        with keras.StatelessScope(values):  # drops losses and changes of state
            # With a gradient on the inputs, PyTorch would keep the activations of the shadow for a backward pass.
            shadow = self.shadow(ops.stop_gradient(inputs), training=False)
        return self.online(inputs, training=training), ops.stop_gradient(shadow)

    def update_shadow(self) -> None:
        """Updates the shadow and the counts, at the first step of an accumulation window and while tracking is on."""
        of_fit = (self.tracking, self.step_count, self.accumulation_steps, self.schedule, self.update_count)
        tracking, steps, window, schedule, updates = (ops.convert_to_tensor(variable) for variable in of_fit)
        moves = ops.logical_and(tracking > 0.0, steps % window == 0.0)
        decay = decay_at(schedule, updates)
        for shadow, online in self._pairs():
            old, new = ops.convert_to_tensor(shadow), ops.stop_gradient(ops.convert_to_tensor(online))
            if keras.backend.is_float_dtype(shadow.dtype):
                average = ema(old, new, ops.cast(decay, shadow.dtype))
                unchanged = ops.logical_or(old == new, ops.logical_not(ops.isfinite(average)))
                new = ops.where(unchanged, old, average)  # without rounding where the online block does not move
            shadow.assign(ops.where(moves, new, old))
        self.step_count.assign(steps + tracking)
        self.update_count.assign(updates + ops.cast(moves, "float32"))

    def compute_output_shape(self, input_shape: tuple) -> tuple[tuple, tuple]:
        shape = self.online.compute_output_shape(input_shape)
        return shape, shape

    def load_own_variables(self, store: Any) -> None:
        """Loads `update_count`, the second variable. The others belong to the `fit` in which the file was saved."""
        self.update_count.assign(store["1"])

    def get_config(self) -> dict:
        return {**super().get_config(), "online": keras.saving.serialize_keras_object(self.online)}

    @classmethod
    def from_config(cls, config: dict) -> "MomentumAnchor":
        return cls(**{**config, "online": keras.saving.deserialize_keras_object(config["online"])})
