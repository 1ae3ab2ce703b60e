"""The configuration of a run: a frozen dataclass that checks itself, to and from JSON. Pure Python."""

import dataclasses
import json
import math
from pathlib import Path

from mamsf_keras.storage import write_json

PROTOCOLS = ("official", "random-patient", "disease-only")
"""How images are split. `file:PATH` is a custom split."""
SPLITS = ("train", "validation", "test")
FORMATS = ("saved-model", "tflite")
CUTS = ("head", "final_block", "last_stage", "whole")
LOSSES = ("bce", "weighted-bce", "focal", "asl", "weighted-asl", "ldam", "bce-adjusted")
CHOICES = {
    "blank": ("mask", "negative"),
    "uncertain": ("mask", "negative", "positive"),
    "augment": ("none", "light", "strong"),
    "jit": ("auto", "on", "off"),
    "loss": LOSSES,
    "distribute": ("none", "mirrored", "data-parallel"),
    "precision": ("float32", "mixed_bfloat16", "mixed_float16"),
    "cut": CUTS,
    "decay_schedule": ("constant", "ratio", "power", "cosine"),
    "backbone": (*(f"efficientnetv2-b{i}" for i in range(4)), *(f"efficientnetv2-{size}" for size in "sml")),
}
LABEL_OPTIONS = {
    "label_columns": (),
    "image_column": None,
    "patient_column": None,
    "blank": "mask",
    "uncertain": "mask",
}
"""How a table of labels is read, and the defaults: the fields of `DataConfig` that say nothing without one."""


@dataclasses.dataclass(frozen=True)
class DataConfig:
    """Which images, labels and parts a command works on.

    Attributes:
        data_dir: the NIH folder, the folder of the images of `labels_csv`, or a cache that `prepare` made of either;
            kept as an absolute path, so that a run is evaluated from any folder.
        labels_csv: a table of image paths and labels in place of the NIH tables; see `read_labels_csv`.
        label_columns: its label columns, the findings of the run; empty takes every column that looks like one.
        image_column: its column of image paths; None takes a known name.
        patient_column: its column of patients; None takes a known name, or a folder of the path.
        blank: what its blank labels are: "mask" (missing) or "negative".
        uncertain: what its labels of -1 are: "mask", "negative" or "positive".
        protocol: how the images are split: "official", "random-patient", "disease-only" or "file:PATH"; see
            `splits.py`. None does not split them, which is enough to prepare a cache.
        allow_missing: go on without the images that are not there.
    """

    data_dir: str
    labels_csv: str | None = None
    label_columns: tuple[str, ...] = LABEL_OPTIONS["label_columns"]
    image_column: str | None = LABEL_OPTIONS["image_column"]
    patient_column: str | None = LABEL_OPTIONS["patient_column"]
    blank: str = LABEL_OPTIONS["blank"]
    uncertain: str = LABEL_OPTIONS["uncertain"]
    protocol: str | None = "official"
    allow_missing: bool = False

    def __post_init__(self):
        """Checks every value.

        Raises:
            ValueError: says the rule and what was received.
        """
        set_field = object.__setattr__  # the class is frozen
        set_field(self, "data_dir", str(Path(self.data_dir).resolve()))
        set_field(self, "label_columns", tuple(self.label_columns))
        if self.labels_csv is not None:
            set_field(self, "labels_csv", str(Path(self.labels_csv).resolve()))
        if self.protocol is not None and self.protocol.startswith("file:") and self.protocol != "file:":
            set_field(self, "protocol", f"file:{Path(self.protocol.removeprefix('file:')).resolve()}")
        else:
            rule = f"be one of {', '.join(PROTOCOLS)} or file:PATH"
            require(self.protocol in (None, *PROTOCOLS), "protocol", rule, self.protocol)
        for name, choices in CHOICES.items():
            if hasattr(self, name):
                require(getattr(self, name) in choices, name, f"be one of {', '.join(choices)}", getattr(self, name))
        for name, default in LABEL_OPTIONS.items():
            value = getattr(self, name)
            require(
                self.labels_csv is not None or value == default,
                name,
                "come with `labels_csv` (a cache has its labels)",
                value,
            )


@dataclasses.dataclass(frozen=True)
class TrainConfig(DataConfig):
    """Everything that decides a training run, beside the data of `DataConfig`.

    Attributes:
        cache: whether an original data folder is prepared into a cache first, or read anew at each pass.
        cache_dir: folder of that cache; None takes one below `~/.cache/mamsf-keras`.
        backbone: name of the EfficientNetV2 variant.
        weights: "imagenet", "none", or the path of a weights file of the backbone without its top.
        image_size: height and width in pixels, at least 32.
        batch_size: images a step.
        epochs: epochs, each with validation and a checkpoint at its end.
        steps_per_epoch: micro-steps of an epoch, a multiple of `steps_per_execution`; None is a pass over the training
            part, rounded down to one.
        augment: "none", "light" or "strong".
        cut: where the block that the momentum anchor doubles begins; see `efficientnetv2`.
        decay: of the momentum anchor, in [0, 1]; "auto" averages over about `decay_window_epochs`.
        decay_window_epochs: K above 0; "auto" is 1 - 1 / (K x updates an epoch).
        decay_schedule: "constant" from the first step; "ratio" for min(decay, (1 + t) / (10 + t)); "power" for timm's
            min(decay, 1 - (1 + t)^(-2/3)); "cosine" from the decay to 1 over the run (BYOL).
        freeze_epochs: first epochs in which the backbone is frozen and the fusion and classifier are trained, with an
            optimizer and a schedule of their own; the anchor's clock starts after them.
        loss: name of the loss; see `losses.py`. "ldam" re-weights in its final epochs.
        final_loss: the loss of the final epochs; None is the same loss.
        final_epochs: last epochs that are a phase of their own, with a tenth of the learning rate; for "ldam" None is
            the last fifth, else none.
        learning_rate: peak rate of AdamW, reached after a linear warm-up, then a cosine to 0, in each phase.
        warmup: part of a phase's steps that warm up, in [0, 1).
        weight_decay: AdamW's, on kernels alone.
        clip_norm: gradients are scaled down to this global norm.
        accumulate: steps whose gradients are averaged into one update.
        precision: "float32", or a mixed policy; the head is float32 in each.
        steps_per_execution: steps that TensorFlow and JAX run without coming back to Python.
        patience: epochs of a phase without a better validation AUROC after which the run stops, the frozen phase left
            out; 0 never stops it.
        anchor: whether the momentum branch is there.
        fusion: whether the multi-scale fusion is there.
        jit: XLA compilation, "auto", "on" or "off".
        seed: of weights, order and augmentation.
        deterministic: whether the backend is asked for deterministic operations, at some cost in speed.
        distribute: over which devices: "none" uses one, "mirrored" all of a host on TensorFlow, "data-parallel" all of
            one or many hosts on JAX; `batch_size` is that of all together.
        mlflow: tracking URI of an MLflow server that the run is logged to.
    """

    cache: bool = True
    cache_dir: str | None = None
    backbone: str = "efficientnetv2-s"
    weights: str = "imagenet"
    image_size: int = 224
    batch_size: int = 32
    epochs: int = 10
    steps_per_epoch: int | None = None
    augment: str = "light"
    cut: str = "final_block"
    decay: float | str = "auto"
    decay_window_epochs: float = 3.0
    decay_schedule: str = "ratio"
    freeze_epochs: int = 0
    loss: str = "bce"
    final_loss: str | None = None
    final_epochs: int | None = None
    learning_rate: float = 1e-3
    warmup: float = 0.05
    weight_decay: float = 1e-4
    clip_norm: float = 1.0
    accumulate: int = 1
    precision: str = "float32"
    steps_per_execution: int = 1
    patience: int = 0
    anchor: bool = True
    fusion: bool = True
    jit: str = "auto"
    seed: int = 0
    deterministic: bool = False
    distribute: str = "none"
    mlflow: str | None = None

    def __post_init__(self):
        """Checks every value.

        Raises:
            ValueError: says the rule and what was received.
        """
        super().__post_init__()
        if self.cache_dir is not None:
            object.__setattr__(self, "cache_dir", str(Path(self.cache_dir).resolve()))
        if self.weights not in ("imagenet", "none"):
            object.__setattr__(self, "weights", str(Path(self.weights).resolve()))
        least_values = {"image_size": 32, "batch_size": 1, "epochs": 1, "accumulate": 1, "steps_per_execution": 1}
        for name in ("seed", "freeze_epochs", "patience"):
            least_values[name] = 0
        if self.steps_per_epoch is not None:
            least_values["steps_per_epoch"] = 1
        for name, least in least_values.items():
            value = getattr(self, name)
            require(isinstance(value, int) and value >= least, name, f"be a whole number of at least {least}", value)
        fraction = isinstance(self.decay, (int, float)) and 0 <= self.decay <= 1
        require(self.decay == "auto" or fraction, "decay", "be auto or in [0, 1]", self.decay)
        for name in ("decay_window_epochs", "learning_rate", "clip_norm"):
            require(0 < getattr(self, name) < math.inf, name, "be finite and above 0", getattr(self, name))
        require(0 <= self.weight_decay < math.inf, "weight_decay", "be finite and at least 0", self.weight_decay)
        require(0 <= self.warmup < 1, "warmup", "be in [0, 1)", self.warmup)
        mirrored = self.distribute == "mirrored"
        multiple = f"be a multiple of `steps_per_execution` ({self.steps_per_execution})"
        repeated = "not be with `augment` strong, whose draws cannot be repeated"
        for wrong, name, rule in (
            ((self.steps_per_epoch or 0) % self.steps_per_execution, "steps_per_epoch", multiple),
            (self.deterministic and self.augment == "strong", "deterministic", repeated),
            (mirrored and self.accumulate > 1, "accumulate", "be 1 with `distribute` mirrored: Keras cannot do more"),
            (mirrored and self.jit == "on", "jit", "not be on with `distribute` mirrored, which does not run with XLA"),
            (self.freeze_epochs >= self.epochs, "freeze_epochs", f"be below `epochs` ({self.epochs})"),
        ):
            require(not wrong, name, rule, getattr(self, name))
        self._check_final()

    def _check_final(self):
        final = self.final_loss
        require(final is None or final in LOSSES, "final_loss", f"be one of {', '.join(LOSSES)}", final)
        require(final is None or self.final_epochs, "final_loss", "come with `final_epochs`", final)
        if self.final_epochs is None:
            return
        most = self.epochs - self.freeze_epochs - 1
        rule = f"be 0 to {most}, so that an epoch is left before them"
        require(0 <= self.final_epochs <= most, "final_epochs", rule, self.final_epochs)

    def save(self, path):
        """Writes the configuration as JSON."""
        write_json(path, dataclasses.asdict(self))

    @classmethod
    def load(cls, path) -> "TrainConfig":
        """Reads what `save` wrote.

        Raises:
            FileNotFoundError: if the file is missing.
            ValueError: if it is not a configuration.
        """
        if not Path(path).is_file():
            raise FileNotFoundError(f"The configuration {path} does not exist; that of a run is its config.json.")
        try:
            values = json.loads(Path(path).read_text(encoding="utf-8"))
            unknown = sorted(set(values) - {field.name for field in dataclasses.fields(cls)})
            if unknown:
                raise ValueError(f"unknown: {', '.join(unknown)}")
            return cls(**values)
        except (TypeError, ValueError) as error:
            raise ValueError(f"{path} is not the configuration of a run: {error}") from error


def require(condition, name, rule, value):
    """Raises `ValueError` with the rule and the value received, unless the condition holds."""
    if not condition:
        raise ValueError(f"`{name}` must {rule}. Received: {name}={value}.")
