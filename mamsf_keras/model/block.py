"""Requirements for a block of a network that a shadow copies and tracks."""

from typing import Any

import keras


def check_block(name: str, block: Any) -> None:
    """Checks that a block is a built functional or sequential model, the only kind that Keras can copy.

    Args:
        name: name of the argument, for the error.
        block: what was given.

    Raises:
        ValueError: if it is not.
    """
    if isinstance(block, keras.Model) and hasattr(block, "inputs"):
        return
    given = f"{getattr(block, 'name', block)}, a {type(block).__name__}"
    if isinstance(block, keras.Sequential):
        given, fix = f"{given} that is not built", "Start it with a `keras.Input`."
    else:
        fix = "Wrap a layer or a subclassed model: `keras.Model(inputs, block(inputs))` with a `keras.Input`."
    raise ValueError(f"`{name}` must be a built functional or sequential Keras model. Received: {given}. {fix}")


def check_weights(online: list[keras.Variable], shadow: list[keras.Variable]) -> None:
    """Checks that a shadow can track each weight.

    Raises:
        ValueError: if the weights do not correspond, or if one has a precision in which an average would not change.
    """
    shapes = [[tuple(weight.shape) for weight in weights] for weights in (online, shadow)]
    if shapes[0] != shapes[1]:
        raise ValueError(
            "`online` must have layers whose copies, made by `from_config`, have the same weights. Received: weights "
            f"{[weight.path for weight in online]}, copied as {[weight.path for weight in shadow]}."
        )
    for weight in online:
        if keras.backend.is_float_dtype(weight.dtype) and weight.dtype not in ("float32", "float64"):
            raise ValueError(
                "`online` must keep its weights in float32 or float64, because an average in lower precision would not "
                f"change. Received: {weight.path} in {weight.dtype}. Build the block with a mixed precision policy."
            )


def finalize(model: keras.Model) -> None:
    """Recomputes what `Normalization` layers derive from their weights. Keras does this only in `load_weights`."""
    for layer in model._flatten_layers():
        if isinstance(layer, keras.layers.Normalization):
            layer.finalize_state()
