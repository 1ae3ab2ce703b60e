"""The momentum anchor: a block of a network and its slowly moving twin."""

import contextlib

import keras
from keras import ops

POLICY_SIZE = 6
FROZEN = (1.0, 0.0, 1.0, 1.0, 0.0, 0.0)
"""The policy of a shadow that never moves."""


def decay_at(policy, updates):
    """Computes the decay d(t) that is in force at an update.

        d(t): 0 before start; then, with t counted from start,
              m = min(decay, 1 - a (1 + t / gamma)^-power),   d = 1 - (1 - m) (1 + cos(pi min(rate t, 1))) / 2

    `a = rate = 0` is a constant decay, `a = 1` timm's warm-up (`ModelEmaV3`), `a = 0.9, gamma = 10, power = 1` the
    warm-up (1 + t) / (10 + t), and `rate = 1 / all updates` BYOL's cosine to 1 (arXiv 2006.07733, section 3.2).

    Args:
        policy: float tensor `(6,)`: decay, a, gamma, power, start, rate.
        updates: float tensor `()`, the updates done so far.

    Returns:
        Float tensor `()` in [0, 1].
    """
    decay, a, gamma, power, start, rate = (policy[i] for i in range(POLICY_SIZE))
    t = ops.maximum(updates - start, 0.0)
    momentum = ops.minimum(decay, 1.0 - a * (1.0 + t / gamma) ** -power)
    cosine = 1.0 - (1.0 - momentum) * (1.0 + ops.cos(3.141592653589793 * ops.minimum(rate * t, 1.0))) / 2.0
    return ops.where(updates < start, 0.0, ops.where(rate > 0.0, cosine, momentum))


def ema(shadow, online, decay):
    """Computes the exponential moving average: decay * shadow + (1 - decay) * online."""
    return decay * shadow + (1.0 - decay) * online


@contextlib.contextmanager
def _one_value_on_all_replicas():
    """Makes variables that take the first replica's value.

    Under MirroredStrategy each replica has batch-norm statistics of its own, and would have a shadow of its own. Keras
    creates the weights of its layers without such a rule, and lets nobody choose.
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
    """Runs a block (online, trained) and its shadow (an EMA of the online weights, without gradient) side by side.

    The shadow moves inside the compiled training step, in `call(training=True)`, as batch normalisation moves its
    statistics, and only while a `SelectiveEMACallback` has armed it. It follows MoCo's order (arXiv 1911.05722): the
    update at step t takes in the online weights as step t - 1 left them, then the shadow's output is computed. The
    online batch-norm statistics are averaged like every other weight, and the shadow's batch norm runs in inference
    mode (EMAN, arXiv 2101.07525). Gradients, the optimizer and weight decay never see the shadow. Numbers that are not
    finite are not taken in: an overflow in float16 spoils the online batch-norm statistics, but not the shadow's.

    ```python
    anchor = MomentumAnchor(block)
    online, shadow = anchor(features, training=True)
    ```

    Args:
        block: a functional or sequential Keras model that is built.

    Raises:
        ValueError: if the block is not built: it has no weights to copy yet.

    Attributes:
        online: the block.
        shadow: its copy; `online.weights` and `shadow.weights` have the same order and shapes.
        armed: `()`, 1 while the shadow moves, else 0. A loaded model is never armed.
        clock: `(2,)`, the micro-steps in the open accumulation window and the updates done.
        policy: `(6,)`, the numbers of `decay_at`.
        every: `()`, micro-steps in an accumulation window.

    Returns:
        `(online(x), stop_gradient(shadow(x)))`.
    """

    def __init__(self, block, **kwargs):
        # Inside `call` every variable then reads as float32 on all backends; the two blocks keep their own policy.
        super().__init__(**{**kwargs, "dtype": "float32", "autocast": False})
        if not block.built:
            raise ValueError(f"`block` must be built, so that its shadow is a copy. Received: {block.name}, not built.")
        self.block = block
        self.online = block
        with _one_value_on_all_replicas():
            self.shadow = keras.models.clone_model(block)
        self.shadow.trainable = False
        self.armed = self._variable("armed", ())
        self.clock = self._variable("clock", (2,))
        self.policy = self._variable("policy", (POLICY_SIZE,))
        self.every = self._variable("every", (), "ones")
        self.policy.assign(FROZEN)
        self.built = True
        self.reset()

    def _variable(self, name, shape, initializer="zeros"):
        return self.add_weight(shape, initializer, trainable=False, aggregation="only_first_replica", name=name)

    @keras.layers.Layer.trainable.setter
    def trainable(self, value):
        """Freezes or unfreezes the online block; the shadow stays without gradient."""
        keras.layers.Layer.trainable.fset(self, value)
        self.shadow.trainable = False

    def reset(self):
        """Copies the online weights to the shadow and sets the clock to 0. Runs at construction."""
        for shadow, online in self._pairs():
            shadow.assign(ops.copy(ops.convert_to_tensor(online)))  # JAX would share the buffer, and donate it twice
        self.clock.assign([0.0, 0.0])

    def arm(self, policy, every=1, micro=0):
        """Lets the shadow move from the next training step on.

        Args:
            policy: the six numbers of `decay_at`.
            every: micro-steps in an accumulation window.
            micro: micro-steps that the optimizer has done in its open window.
        """
        self.policy.assign(policy)
        self.every.assign(every)
        self.clock.assign([micro, ops.convert_to_numpy(self.clock)[1]])
        self.armed.assign(1.0)

    def disarm(self):
        """Stops the shadow from moving."""
        self.armed.assign(0.0)

    def _pairs(self):
        # Not `.variables`: they hold dropout's generator states too.
        return zip(self.shadow.weights, self.online.weights, strict=True)

    def call(self, inputs, training=False):
        if training:
            self.advance()
        # Without gradient on the inputs, or PyTorch would keep the shadow's whole forward pass for a backward one.
        shadow = self.shadow(ops.stop_gradient(inputs), training=False)
        return self.online(inputs, training=training), ops.stop_gradient(shadow)

    def advance(self):
        """Moves the clock, and the shadow with it if it is armed; `call(training=True)` does so."""
        armed, every = ops.convert_to_tensor(self.armed), ops.convert_to_tensor(self.every)
        clock = ops.convert_to_tensor(self.clock)
        micro, updates = clock[0], clock[1]
        decay = decay_at(ops.convert_to_tensor(self.policy), updates)
        moves = ops.logical_and(armed > 0.0, micro == 0.0)
        for shadow, online in self._pairs():
            old = ops.convert_to_tensor(shadow)
            new = ema(old, ops.stop_gradient(ops.convert_to_tensor(online)), decay)
            shadow.assign(ops.where(ops.logical_and(moves, ops.isfinite(new)), new, old))
        micro = ops.where(micro + 1.0 >= every, 0.0, micro + 1.0)
        ticked = ops.stack([micro, updates + ops.cast(moves, "float32")])
        self.clock.assign(ops.where(armed > 0.0, ticked, clock))

    def compute_output_shape(self, input_shape):
        shape = self.online.compute_output_shape(input_shape)
        return shape, shape

    def load_own_variables(self, store):
        """Loads the four variables and disarms: a model saved inside `fit` would move its shadow without a callback."""
        super().load_own_variables(store)
        self.disarm()

    def get_config(self):
        return {**super().get_config(), "block": keras.saving.serialize_keras_object(self.block)}

    @classmethod
    def from_config(cls, config):
        return cls(**{**config, "block": keras.saving.deserialize_keras_object(config["block"])})
