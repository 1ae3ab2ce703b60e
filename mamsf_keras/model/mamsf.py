"""MAMSFNet: an EfficientNetV2 with a momentum-anchored final block, multi-scale fusion and a multi-label head."""

import functools
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
from keras import layers, ops

from mamsf_keras.devices import keras_defaults
from mamsf_keras.errors import reason
from mamsf_keras.findings import FINDINGS
from mamsf_keras.model.backbone import Blocks, build_backbone
from mamsf_keras.model.block import check_block
from mamsf_keras.model.fusion import MultiScaleFusion
from mamsf_keras.model.momentum_anchor import MomentumAnchor
from mamsf_keras.settings import require


@keras.saving.register_keras_serializable(package="mamsf_keras")
class MAMSFNet(keras.Model):
    """Multi-label classifier of gray chest radiographs (MAMSF, arXiv 2605.02292).

        u     = features(x)                     backbone up to the cut
        h     = final_block(u)                  online, trained
        z_ema = stop_gradient(shadow(u))        the same block, shadow weights, inference mode
        s     = MultiScaleFusion(h)
        logit = W [GAP(s); GAP(z_ema)] + b      one per finding

    The head is float32 under every precision policy. The shadow is updated only by a `SelectiveEMACallback`. A backbone
    given by name, as in this example, starts from random weights; pass
    `efficientnetv2("efficientnetv2-s", weights="imagenet")` to start from ImageNet weights.

    ```python
    model = MAMSFNet("efficientnetv2-s")  # random weights
    model.compile("adamw", "binary_crossentropy")
    model.fit(images, labels, callbacks=[SelectiveEMACallback(decay=0.999)])
    ```

    Args:
        backbone: a pair `(features, final_block)` of Keras models, or the name of a registered backbone, built with its
            default arguments and random weights; see `build_backbone`. `features` takes `(batch, height, width, 3)`
            floats in [0, 255].
        findings: names of the outputs, in order; they are stored in the saved file.
        use_anchor: whether the model has the shadow branch.
        use_fusion: whether the model has the multi-scale fusion.
        classifier_activation: "sigmoid" for probabilities or None for logits.

    Raises:
        ValueError: if an argument violates its rule. The message states the rule and the value received.

    Attributes:
        features: the backbone up to the cut.
        final_block: the rest of the backbone, trained.
        anchor: the `MomentumAnchor`, or None.
        fusion: the `MultiScaleFusion`, or None.

    Input: uint8 or float32 `(batch, height, width, 1)` in [0, 255]. Output: float32 `(batch, findings)`.
    """

    def __init__(
        self,
        backbone: str | Sequence[keras.Model] = "efficientnetv2-s",
        findings: Sequence[str] = FINDINGS,
        use_anchor: bool = True,
        use_fusion: bool = True,
        classifier_activation: str | None = "sigmoid",
        **kwargs: Any,
    ) -> None:
        with keras_defaults():
            super().__init__(**kwargs)
        distinct = not isinstance(findings, str) and 0 < len(findings) == len(set(findings))
        require(distinct, "findings", "be a sequence of distinct names", findings)
        known = classifier_activation in ("sigmoid", None)
        require(known, "classifier_activation", "be 'sigmoid' or None", classifier_activation)
        self.autocast = False  # pixels stay float32 until they are preprocessed
        self.backbone = build_backbone(backbone) if isinstance(backbone, str) else _checked_blocks(backbone)
        self.findings = tuple(findings)
        self.use_anchor = use_anchor
        self.use_fusion = use_fusion
        self.classifier_activation = classifier_activation
        self.features, self.final_block = self.backbone
        self.features.autocast = False
        self.anchor = MomentumAnchor(self.final_block, name="anchor") if use_anchor else None
        self.fusion = MultiScaleFusion(dtype=self.dtype_policy, name="fusion") if use_fusion else None
        self.pool = layers.GlobalAveragePooling2D("channels_last", dtype="float32", name="pool")
        self.classifier = layers.Dense(len(self.findings), classifier_activation, dtype="float32", name="classifier")
        self.build((*self.features.input_shape[:3], 1))

    @property
    def layers(self) -> list[keras.layers.Layer]:
        """The layers in order, for `summary`. The final block is in the anchor if there is one."""
        parts = (self.features, self.anchor or self.final_block, self.fusion, self.pool, self.classifier)
        return [part for part in parts if part is not None]

    @property
    def image_size(self) -> int | None:
        """Height and width that the backbone was built for, in pixels; None for any size."""
        return self.features.input_shape[1]

    def build(self, input_shape: tuple) -> None:
        """Builds the layers of the head. The two blocks are already built.

        Raises:
            ValueError: if the two blocks do not fit each other, or the first does not take three channels.
        """
        given, wanted = self.features.output_shape, self.final_block.input_shape
        if self.features.input_shape[-1] != 3 or given[-1] != wanted[-1]:
            raise ValueError(
                "`backbone` must be two models, the first from (batch, height, width, 3) to what the second takes. "
                f"Received: {self.features.input_shape} to {given}, then {wanted}."
            )
        maps = self.final_block.output_shape
        width = maps[-1] if self.anchor else 0
        if self.fusion:
            self.fusion.build(maps)
            maps = self.fusion.compute_output_shape(maps)
        self.pool.build(maps)
        self.classifier.build((None, maps[-1] + width))

    def call(self, images: Any, training: bool = False) -> Any:
        pooled = [self.pool(maps) for maps in self.feature_maps(images, training=training)]
        return self.classifier(pooled[0] if len(pooled) == 1 else ops.concatenate(pooled, axis=-1))

    def feature_maps(self, images: Any, training: bool = False) -> tuple[Any, ...]:
        """Returns what the classifier pools: s and, with the anchor, z_ema, each `(batch, h, w, channels)`."""
        if len(images.shape) != 4 or images.shape[-1] not in (1, None):
            raise ValueError(
                "`images` must be gray, of shape (batch, height, width, 1). Received: shape "
                f"{tuple(images.shape)}. Convert RGB images to gray, for example with the mean of the channels."
            )
        rgb = ops.repeat(ops.cast(images, "float32"), 3, axis=-1)
        below = self.features(rgb, training=training)
        if self.anchor:
            online, shadow = self.anchor(below, training=training)
        else:
            online, shadow = self.final_block(below, training=training), None
        fused = self.fusion(online, training=training) if self.fusion else online
        return (fused,) if shadow is None else (fused, shadow)

    @functools.wraps(keras.Model.fit)
    def fit(self, *args: Any, **kwargs: Any) -> keras.callbacks.History:
        # The shadow must not move after training, even if it ends with an error or Ctrl-C.
        try:
            return super().fit(*args, **kwargs)
        finally:
            if self.anchor:
                self.anchor.stop_tracking()

    def get_config(self) -> dict:
        return {
            "name": self.name,
            "dtype": keras.saving.serialize_keras_object(self.dtype_policy),
            "backbone": [keras.saving.serialize_keras_object(block) for block in self.backbone],
            "findings": self.findings,
            "use_anchor": self.use_anchor,
            "use_fusion": self.use_fusion,
            "classifier_activation": self.classifier_activation,
        }

    @classmethod
    def from_config(cls, config: dict) -> "MAMSFNet":
        blocks = [keras.saving.deserialize_keras_object(block) for block in config["backbone"]]
        return cls(**{**config, "backbone": tuple(blocks)})


def _checked_blocks(backbone) -> Blocks:
    if not isinstance(backbone, (tuple, list)) or len(backbone) != 2:
        given = getattr(backbone, "name", backbone)
        raise ValueError(
            "`backbone` must be the name of a registered backbone or a pair `(features, final_block)` of Keras models. "
            f"Received: {given}. Cut a model in two, as `efficientnetv2` does: `keras.Model(model.input, middle)` and "
            "`keras.Model(middle, model.output)`."
        )
    features, final_block = backbone
    check_block("features", features)
    check_block("final_block", final_block)
    return features, final_block


@keras_defaults()
def load_model(path: str | Path) -> MAMSFNet:
    """Loads a `.keras` file of a MAMSFNet, or a folder with its content, on the backend in use.

    Raises:
        FileNotFoundError: if there is no such file or folder.
        ValueError: if it is not a `.keras` file, or holds another model.
    """
    if not Path(path).exists():
        raise FileNotFoundError(f"The model file {path} does not exist.")
    if not zipfile.is_zipfile(path) and not (Path(path) / "model.weights.h5").is_file():
        raise ValueError(f"{path} cannot be loaded as a .keras model: it is damaged, or not a .keras file.")
    try:
        model = keras.saving.load_model(path, compile=False)
    except (ValueError, OSError, KeyError, TypeError, zipfile.BadZipFile, zlib.error) as error:
        raise ValueError(f"{path} cannot be loaded as a .keras model: {reason(error)}") from error
    if not isinstance(model, MAMSFNet):
        kind = type(model).__name__
        raise ValueError(f"{path} holds a {kind}, not a MAMSFNet. Use `keras.saving.load_model` for other models.")
    return model
