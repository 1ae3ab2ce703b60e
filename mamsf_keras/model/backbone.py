"""EfficientNetV2 from `keras.applications`, cut in two by layer name."""

import re
import warnings
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import keras

from mamsf_keras.config import BACKBONES, CUTS
from mamsf_keras.devices import keras_defaults
from mamsf_keras.errors import reason
from mamsf_keras.settings import require_choice

VARIANTS = {
    "efficientnetv2-b0": keras.applications.EfficientNetV2B0,
    "efficientnetv2-b1": keras.applications.EfficientNetV2B1,
    "efficientnetv2-b2": keras.applications.EfficientNetV2B2,
    "efficientnetv2-b3": keras.applications.EfficientNetV2B3,
    "efficientnetv2-s": keras.applications.EfficientNetV2S,
    "efficientnetv2-m": keras.applications.EfficientNetV2M,
    "efficientnetv2-l": keras.applications.EfficientNetV2L,
}
Blocks = tuple[keras.Model, keras.Model]
"""The two parts of a backbone: `(features, final_block)`."""
Factory = Callable[[str, str, str | None, int | None], Blocks]
"""Function that builds a backbone from `(name, cut, weights, image_size)`."""
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


@keras_defaults()
def efficientnetv2(
    name: str = "efficientnetv2-s", cut: str = "final_block", weights: str | None = None, image_size: int | None = None
) -> Blocks:
    """Builds an EfficientNetV2 and cuts it into two parts: the features and the final block.

    The paper refers to the "final expansion block" without naming layers. The default cut, the last MBConv block with
    the head convolution that follows it, is our interpretation.

    Args:
        name: "efficientnetv2-b0" to "-b3", "-s", "-m" or "-l".
        cut: where the final block starts; it extends to the end of the network. "head" is the head convolution,
            "final_block" the last MBConv block, "last_stage" the first block of the last stage, and "whole" the stem
            (`features` then only preprocesses).
        weights: None or "none" for random weights, "imagenet" to download, or a file of weights without the top.
        image_size: height and width in pixels; None for any size.

    Returns:
        `(features, final_block)`, two Keras models. `features` takes `(batch, height, width, 3)` in [0, 255] and
        does the variant's own preprocessing; `final_block` takes the output of `features`.

    Raises:
        ValueError: if the name or the cut is unknown, or the weights do not fit.
        FileNotFoundError: if the file of weights does not exist.
        ConnectionError: if the ImageNet weights cannot be downloaded.
    """
    require_choice(name, "backbone", VARIANTS)
    require_choice(cut, "cut", CUTS)
    full = _load(name, weights, image_size)
    entry = full.get_layer(_first_layer(full, cut)).input
    features = keras.Model(full.input, entry, name=f"{name}_features")
    return features, keras.Model(entry, full.output, name=f"{name}_{cut}")


FACTORIES: dict[str, Factory] = dict.fromkeys(VARIANTS, efficientnetv2)
"""Name to factory. A factory takes `(name, cut, weights, image_size)` and returns `(features, final_block)`."""


def register_backbone(name: str, factory: Factory) -> None:
    """Makes a custom backbone known to `MAMSFNet` and `TrainConfig`, for training from Python.

    ```python
    register_backbone("my-net", lambda name, cut, weights, image_size: (features, final_block))
    ```

    Every process that opens a run with this backbone must register it first.

    Args:
        name: the new name.
        factory: see `FACTORIES`; it may ignore `cut`.
    """
    FACTORIES[name] = factory
    if name not in BACKBONES:
        BACKBONES.append(name)


@keras_defaults()
def build_backbone(
    name: str, cut: str = "final_block", weights: str | None = None, image_size: int | None = None
) -> Blocks:
    """Builds a registered backbone; see `efficientnetv2` for the arguments, the result and the errors."""
    require_choice(name, "backbone", FACTORIES)
    return FACTORIES[name](name, cut, None if weights == "none" else weights, image_size)


def _first_layer(full, cut):
    """Returns the name of the first layer of the final block."""
    last = [m for m in (re.match(r"(block\d+)[a-z]+_", layer.name) for layer in full.layers) if m][-1]
    return {
        "head": "top_conv",
        "final_block": f"{last[0]}expand_conv",
        "last_stage": f"{last[1]}a_expand_conv",
        "whole": "stem_conv",
    }[cut]


def preprocessing(name: str) -> keras.layers.Layer:
    """Returns the preprocessing of a variant for inputs in [0, 255], as one float32 layer.

    B0 to B3 take (x / 255 - mean) / std of ImageNet; S, M and L take x / 128 - 1 (keras
    `applications/efficientnet_v2.py`). Keras' own `Normalization` layer there breaks the ONNX export. The scale is
    `(1, 1, 3)`, since `Rescaling` reads one of shape `(3,)` by the `image_data_format` that is set when it is called.
    """
    if name[-2] == "b":
        scale: float | list = [[[1 / (255 * std) for std in IMAGENET_STD]]]
        offset: float | list = [-mean / std for mean, std in zip(IMAGENET_MEAN, IMAGENET_STD, strict=True)]
    else:
        scale, offset = 1 / 128, -1.0
    return keras.layers.Rescaling(scale, offset, dtype="float32", name="preprocessing")


def _load(name, weights, image_size):
    image = keras.Input((image_size, image_size, 3), dtype="float32", name="rgb")
    options = {"include_top": False, "include_preprocessing": False, "input_tensor": preprocessing(name)(image)}
    if weights != "imagenet":
        full = VARIANTS[name](weights=None, **options)
        return full if weights in (None, "none") else _read_weights(full, name, weights)
    try:
        return VARIANTS[name](weights="imagenet", **options)
    except Exception as error:  # keras.utils.get_file raises a bare Exception
        if "URL fetch failure" not in str(error):
            raise
        raise ConnectionError(
            f"The ImageNet weights of {name} could not be downloaded. Set `weights` to a local file "
            f"(such as {name}_notop.h5), or to none for random weights. ({reason(error)})"
        ) from error


def _read_weights(full, name, weights):
    if not Path(weights).is_file():
        raise FileNotFoundError(
            f"The weights file {weights} does not exist. Use imagenet to download weights, or none for random weights."
        )
    try:
        with warnings.catch_warnings():  # Keras mentions containers without weights; wrong weights raise
            warnings.filterwarnings("ignore", message="Skipping nested container")
            full.load_weights(weights)
    except (ValueError, OSError, KeyError, zipfile.BadZipFile, zlib.error) as error:
        raise ValueError(f"The weights file {weights} does not fit {name} without its top: {reason(error)}") from error
    return full
