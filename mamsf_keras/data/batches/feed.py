"""Feeds a stream to Keras: through `tf.data` on TensorFlow, through a `PyDataset` on JAX and PyTorch.

JAX and PyTorch never import TensorFlow, so they train without it and leave the memory of the GPU to the backend.
"""

from typing import Any

import keras

from mamsf_keras.data.batches.stream import Stream


def training_batches(stream: Stream, start: int, stop: int) -> Any:
    """Returns the batches from step `start` to `stop` for `fit` with `steps_per_epoch`.

    Returns:
        A `tf.data.Dataset` on TensorFlow; otherwise a `PyDataset`, which is endless and ignores `stop`.

    Raises:
        ValueError: if the images do not fill a batch, or `stream.augment` is "strong" on a backend other than
            TensorFlow.
    """
    stream.check_fills_a_batch()
    if keras.backend.backend() == "tensorflow":
        from mamsf_keras.data.batches import tf_data

        return tf_data.training_dataset(stream, start, stop)
    if stream.augment == "strong":
        raise ValueError("`augment` strong needs the TensorFlow backend. Use light.")
    from mamsf_keras.data.batches import py_dataset

    return py_dataset.training_dataset(stream, start)


def evaluation_batches(stream: Stream) -> Any:
    """Returns every image once in row order, not augmented. The last batch is padded with the last image."""
    if keras.backend.backend() == "tensorflow":
        from mamsf_keras.data.batches import tf_data

        return tf_data.evaluation_dataset(stream)
    from mamsf_keras.data.batches import py_dataset

    return py_dataset.evaluation_dataset(stream)
