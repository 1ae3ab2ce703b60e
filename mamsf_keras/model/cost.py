"""What each block of a MAMSFNet costs: parameters and floating-point operations."""

import math
from typing import TYPE_CHECKING

import pandas as pd

if TYPE_CHECKING:
    import keras

    from mamsf_keras.model.mamsf import MAMSFNet

KERNELS = ("kernel", "depthwise_kernel", "pointwise_kernel")


def flops(block: "keras.layers.Layer") -> int | None:
    """Counts the floating-point operations of one image's forward pass through the convolutions and dense layers.

    A multiply-add counts as two, so a kernel costs 2 x its size x the places it is applied at, which the shapes of the
    kernel and of the output tell: the same on every backend. Papers often count multiply-adds, half of this.

    Args:
        block: a functional or sequential Keras model, or a layer that consists of such.

    Returns:
        The count, or None where the model was built for images of any size.
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
    """Tabulates the blocks of a `MAMSFNet`.

    Returns:
        One row per block of the model, and `total`: `layers` (what it is), `parameters`, `trained` (those that
        gradients move) and `flops` of one image's forward pass (see `flops`; missing where the image size is open).
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
    """Lays `cost_table` out for the screen, as `model.summary()` does."""
    table = cost_table(model)
    numbers = ["parameters", "trained", "flops"]
    table[numbers] = table[numbers].map(lambda number: "?" if pd.isna(number) else f"{number:,}")
    return table.to_string()


def _size(weights) -> int:
    return sum(math.prod(weight.shape) for weight in weights)
