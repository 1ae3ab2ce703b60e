"""Multi-scale fusion: parallel convolutions with several kernel sizes, joined."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import layers, ops


@keras.saving.register_keras_serializable(package="mamsf_keras")
class MultiScaleFusion(layers.Layer):
    """Applies 1x1, 3x3 and 5x5 kernels to a feature map in parallel and joins the outputs with a 1x1 convolution.

    Each branch first reduces the channels with a 1x1 convolution, as Inception does (arXiv 1409.4842): a 5x5 kernel on
    1,280 channels would need 8 million weights. Every convolution is followed by batch normalization and swish. The
    first convolutions of all branches are computed as one convolution, whose output is split. The function is the same,
    but the gradient on the feature map is not a sum of three terms, which TensorFlow's `AddN` adds in random order.

    Args:
        filters: channels of each branch.
        output_filters: channels of the joined output.
        kernel_sizes: kernel size of each branch in pixels.

    Raises:
        ValueError: if `kernel_sizes` is not a tuple or list of sizes of at least 1.

    Input `(batch, height, width, channels)`, output `(batch, height, width, output_filters)`.
    """

    def __init__(
        self, filters: int = 128, output_filters: int = 512, kernel_sizes: Sequence[int] = (1, 3, 5), **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        if not isinstance(kernel_sizes, (tuple, list)) or not kernel_sizes or min(kernel_sizes) < 1:
            raise ValueError(
                "`kernel_sizes` must be a tuple of one or more sizes of at least 1 pixel, such as (1, 3, 5). "
                f"Received: kernel_sizes={kernel_sizes}."
            )
        self.filters = filters
        self.output_filters = output_filters
        self.kernel_sizes = tuple(kernel_sizes)
        self.reduce = self._convolution(filters * len(self.kernel_sizes), 1, "reduce")
        self.branches = [self._branch(size) for size in self.kernel_sizes]
        self.concatenate = layers.Concatenate(dtype=self.dtype_policy)
        self.join = self._convolution(output_filters, 1, "join")

    def _branch(self, size):
        name = f"branch_{size}x{size}"
        return layers.Identity(name=name) if size == 1 else self._convolution(self.filters, size, name)

    def _convolution(self, filters, size, name):
        policy = self.dtype_policy
        return keras.Sequential(
            [
                layers.Conv2D(filters, size, padding="same", data_format="channels_last", use_bias=False, dtype=policy),
                layers.BatchNormalization(momentum=0.9, epsilon=1e-3, dtype=policy),
                layers.Activation("swish", dtype=policy),
            ],
            name=name,
        )

    def build(self, input_shape: tuple) -> None:
        """Builds the branches for feature maps of `input_shape`."""
        self.reduce.build(input_shape)
        for branch in self.branches:
            branch.build((*input_shape[:-1], self.filters))
        self.join.build((*input_shape[:-1], self.filters * len(self.kernel_sizes)))

    def call(self, inputs: Any, training: bool = False) -> Any:
        reduced = ops.split(self.reduce(inputs, training=training), len(self.branches), axis=-1)
        outputs = [branch(x, training=training) for branch, x in zip(self.branches, reduced, strict=True)]
        return self.join(self.concatenate(outputs), training=training)

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        return (*input_shape[:-1], self.output_filters)

    def get_config(self) -> dict:
        return {
            **super().get_config(),
            "filters": self.filters,
            "output_filters": self.output_filters,
            "kernel_sizes": self.kernel_sizes,
        }
