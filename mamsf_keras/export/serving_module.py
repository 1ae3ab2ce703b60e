"""ServingModule: the functions of an exported model, from images or encoded images to outputs by name."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from keras import ops

from mamsf_keras.config import OPERATING_POINTS
from mamsf_keras.evaluation.calibration import Calibration
from mamsf_keras.evaluation.reliability import LARGEST_LOGIT
from mamsf_keras.export.decode import decode_batch
from mamsf_keras.model.mamsf import MAMSFNet
from mamsf_keras.settings import require_choice

NUMERIC = ("logits", "probabilities", "calibrated", "positive")
"""The outputs that TFLite and ONNX can hold."""


class ServingModule(tf.Module):
    """Holds each variable of a model once (`ExportArchive` stores every variable twice) and its serving functions.

    The outputs have the batch as first dimension:

    | output | type | content |
    |---|---|---|
    | `logits` | float32 | one per finding |
    | `probabilities` | float32 | sigmoid of the logits |
    | `calibrated` | float32 | after Platt scaling; NaN for a finding without a fit |
    | `positive` | bool | whether the probability reaches the threshold; false for a finding without one |
    | `findings` | string | names |

    Args:
        model: a built float32 MAMSFNet, on the TensorFlow backend.
        calibration: calibration of the model. Without one, `calibrated` and `positive` are left out.
        operating_point: name of the thresholds of `positive`, one of `OPERATING_POINTS`.
        image_size: height and width that `serve_bytes` resizes to, if the model takes images of any size.

    Attributes:
        get_model: returns the model.
        get_calibration: returns the calibration, or None.
        get_platt: returns its coefficients for `findings`, see `Calibration.coefficients`, or None.
        forward: function of `images` that returns the logits.
        serve: function of `images`, float32 `(batch, height, width, 1)` in [0, 255], with all outputs.
        serve_bytes: the same function of `image_bytes`, string `(batch,)`, PNG or JPEG files.
    """

    def __init__(
        self,
        model: MAMSFNet,
        calibration: Calibration | None = None,
        operating_point: str = "youden",
        image_size: int | None = None,
    ) -> None:
        super().__init__()
        require_choice(operating_point, "operating_point", OPERATING_POINTS)
        self.values = [variable.value for variable in model.variables]
        self.findings = tuple(model.findings)
        self.operating_point = operating_point
        self.image_size = model.image_size or image_size
        self.input_size = model.image_size
        # Wrapped in functions, which TensorFlow does not track; otherwise it would save them with the module.
        self.get_model = lambda: model
        self.get_calibration = lambda: calibration
        self.get_platt = lambda: (
            None if calibration is None else calibration.coefficients(self.findings, operating_point)
        )
        self._make_functions()

    def _make_functions(self):
        size = self.input_size
        images_spec = tf.TensorSpec((None, size, size, 1), tf.float32, name="images")
        bytes_spec = tf.TensorSpec((None,), tf.string, name="image_bytes")

        def serve(images):
            # REST and batching need one row of names per image.
            names = tf.repeat(tf.constant(self.findings)[tf.newaxis], tf.shape(images)[0], axis=0)
            return {**self._outputs(images), "findings": names}

        def serve_bytes(image_bytes):
            return serve(decode_batch(image_bytes, self.image_size))

        # The others call this one, so that the graph of the network is stored once.
        self.forward = tf.function(self._logits, input_signature=[images_spec])
        self.serve = tf.function(serve, input_signature=[images_spec])
        self.serve_bytes = tf.function(serve_bytes, input_signature=[bytes_spec])

    def function(self, names: Sequence[str] = NUMERIC) -> Any:
        """Returns a `tf.function` of `images` with some of the outputs, by default all except `findings`."""
        return tf.function(
            lambda images: {name: value for name, value in self._outputs(images).items() if name in names},
            input_signature=self.forward.input_signature,
        )

    def _logits(self, images):
        model = self.get_model()
        # A server does not check shapes against the signature, and the graph would return wrong results for other
        # shapes.
        images = tf.ensure_shape(images, (None, self.input_size, self.input_size, 1))
        pooled = ops.concatenate([model.pool(maps) for maps in model.feature_maps(images)], axis=-1)
        return tf.matmul(pooled, model.classifier.kernel.value) + model.classifier.bias.value

    def _outputs(self, images):
        logits = self.forward(images)
        probabilities = tf.sigmoid(logits)
        outputs = {"logits": logits, "probabilities": probabilities}
        if platt := self.get_platt():
            slope, intercept, threshold = (np.array(platt[name], np.float32) for name in platt)
            scores = tf.clip_by_value(logits, -LARGEST_LOGIT, LARGEST_LOGIT)
            outputs["calibrated"] = tf.sigmoid(scores * slope + intercept)
            outputs["positive"] = probabilities >= threshold
        return outputs
