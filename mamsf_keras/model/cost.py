"""Cost of each block of a MAMSFNet: parameters and floating-point operations."""

import math
from typing import TYPE_CHECKING

import pandas as pd

if TYPE_CHECKING:
    import keras

    from mamsf_keras.model.mamsf import MAMSFNet

KERNELS = ("kernel", "depthwise_kernel", "pointwise_kernel")


def flops(block: "keras.layers.Layer") -> int | None:
    """Counts the floating-point operations of the convolutions and dense layers in the forward pass of one image.

    A multiply-add counts as two operations, so a kernel costs 2 x its size x the number of positions it is applied at.
    Both follow from the shapes of the kernel and the output, so the count is the same on every backend. Papers often
    count multiply-adds, which is half of this.

    Args:
        block: a functional or sequential Keras model, or a layer that consists of them.

    Returns:
        The count, or None if the model was built for images of any size.
    """
    total = 0
    for layer in block._flatten_layers():
        kernels = [kernel for name in KERNELS if (kernel := getattr(layer, name, None)) is not None]
        if not kernels:
            continue
        places = layer.output.shape[1:-1]
        if None in places:
            return None
        total += 2 * math.prod(places) * sum(math.prod(kernel.shape) for kernel in kernels)
    return total


def cost_table(model: "MAMSFNet") -> pd.DataFrame:
    """Returns the cost of each block of a `MAMSFNet` as a table.

    Returns:
        One row per block of the model, and a row `total`, with the columns `layers` (name of the block), `parameters`,
        `trained` (trainable parameters) and `flops` of the forward pass of one image (see `flops`; missing if the model
        takes images of any size).
    """
    blocks = {"features": model.features, "online block": model.final_block}
    if model.anchor:
        blocks["shadow block"] = model.anchor.shadow
    if model.fusion:
        blocks["fusion"] = model.fusion
    rows = {}
    for name, block in blocks.items():
        rows[name] = (block.name, block.count_params(), _size(block.trainable_weights), flops(block))
    kernel = model.classifier.kernel
    trained = _size(model.classifier.trainable_weights)
    rows["classifier"] = (model.classifier.name, model.classifier.count_params(), trained, 2 * math.prod(kernel.shape))
    table = pd.DataFrame.from_dict(rows, orient="index", columns=["layers", "parameters", "trained", "flops"])
    table["flops"] = table["flops"].astype("Int64")
    table.loc["total"] = ["", *table[["parameters", "trained"]].sum(), table["flops"].sum(skipna=False)]
    return table


def cost_text(model: "MAMSFNet") -> str:
    """Formats `cost_table` as text, like `model.summary()`."""
    table = cost_table(model)
    numbers = ["parameters", "trained", "flops"]
    table[numbers] = table[numbers].map(lambda number: "?" if pd.isna(number) else f"{number:,}")
    return table.to_string()


def _size(weights) -> int:
    return sum(math.prod(weight.shape) for weight in weights)
