"""SavedModel for TensorFlow Serving: `images` in, `probabilities` and `findings` out."""

from pathlib import Path

import tensorflow as tf

from mamsf_keras.model.mamsf import MAMSFNet


class ServingModule(tf.Module):
    """Holds each variable of a model once (`ExportArchive` stores every variable twice) and the serving function.

    Args:
        model: a built MAMSFNet with sigmoid output, on the TensorFlow backend.
    """

    def __init__(self, model: MAMSFNet) -> None:
        super().__init__()
        self.values = [variable.value for variable in model.variables]
        self.findings = tuple(model.findings)
        size = model.image_size
        names = tf.constant(model.findings)

        @tf.function(input_signature=[tf.TensorSpec((None, size, size, 1), tf.float32, name="images")])
        def probabilities(images):
            # A server does not check shapes against the signature, and the graph would give nonsense for others.
            return {"probabilities": model(tf.ensure_shape(images, (None, size, size, 1)), training=False)}

        @tf.function(input_signature=probabilities.input_signature)
        def serve(images):
            # REST and batching need one row of names per image.
            findings = tf.repeat(names[tf.newaxis], tf.shape(images)[0], axis=0)
            return {**probabilities(images), "findings": findings}

        self.probabilities = probabilities
        self.serve = serve


def write_saved_model(module: ServingModule, folder: str | Path) -> None:
    """Writes a SavedModel with the signature `serving_default`.

    Input `images` float32 `(batch, height, width, 1)` in [0, 255]; outputs `probabilities` float32 and `findings`
    string, both `(batch, findings)`.
    """
    tf.saved_model.save(module, str(folder), signatures={"serving_default": module.serve})
