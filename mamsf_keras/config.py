"""The configuration of a run: frozen dataclasses with validation, read from JSON and YAML. Pure Python.

Each field holds its help, its bounds or choices and its group. The checks in this module and the options and help of
the command line are generated from them.
"""

import dataclasses
import math
import re
from pathlib import Path

from mamsf_keras.allowance import DEFAULT, parse_allowance
from mamsf_keras.settings import check_fields, known_fields, read_values, require, require_choice, setting
from mamsf_keras.storage import write_json

PROTOCOLS = ("official", "random-patient", "disease-only")
"""Named protocols for splitting the images. `file:PATH` is a custom split."""
SPLITS = ("train", "validation", "test")
FORMATS = ("saved-model", "tflite", "onnx", "keras")
DEFAULT_FORMATS = ("saved-model", "tflite")
QUANTIZATIONS = ("none", "float16", "dynamic", "int8")
"""How TFLite stores the weights. "int8" also quantizes the activations."""
OPERATING_POINTS = {
    "youden": "highest sensitivity + specificity",
    "sensitivity_90": "highest threshold with a sensitivity of at least 90%",
    "f1": "highest F1 score",
}
"""The operating points, and how their thresholds are chosen."""
FEWEST_PATIENTS = 10
"""Fewest positive patients, and fewest negative patients, for which an interval or a test is reported."""
FEW_PATIENTS = f"fewer than {FEWEST_PATIENTS} positive or {FEWEST_PATIENTS} negative patients"
"""Why an interval or a test is left out, in the words of reports."""
NOTICE = "Not a medical device. For research and engineering only; do not use it for diagnosis or treatment."
"""The disclaimer in everything that a user could mistake for a medical product."""
CUTS = ("head", "final_block", "last_stage", "whole")
LOSSES = ("bce", "weighted-bce", "focal", "asl", "weighted-asl", "ldam", "bce-adjusted")
AUGMENTATIONS = ("none", "light", "strong")
SCHEDULES = ("constant", "ratio", "power", "cosine")
BACKBONES = [*(f"efficientnetv2-b{i}" for i in range(4)), *(f"efficientnetv2-{size}" for size in "sml")]
"""Names of the backbones that can be trained. `register_backbone` appends to them."""
DEFAULT_EPOCHS = 10


@dataclasses.dataclass(frozen=True)
class LabelsCsv:
    """A table of image paths and labels, used instead of the NIH tables; see `data/readers/labels_csv.py`."""

    path: str = setting(
        help="Label table: a CSV file of image paths and labels, used instead of the NIH tables.",
        flag="labels-csv",
        metavar="FILE",
    )
    label_columns: tuple[str, ...] = setting(
        (), help="Label columns of the label table.", unset="all columns that contain only 1, 0, -1 and blanks"
    )
    image_column: str | None = setting(None, help="Column of image paths.", unset="detected by name", metavar="NAME")
    patient_column: str | None = setting(
        None,
        help="Column of patient IDs.",
        unset="detected by name, or from the image paths",
        metavar="NAME",
    )
    blank: str = setting(
        "mask",
        help="How to treat blank labels: ignore them (mask), or count them as negative.",
        choices=("mask", "negative"),
    )
    uncertain: str = setting(
        "mask",
        help="How to treat uncertain labels (-1): ignore them (mask), or count them as negative or positive.",
        choices=("mask", "negative", "positive"),
    )

    def __post_init__(self) -> None:
        object.__setattr__(self, "path", str(Path(self.path).resolve()))  # the class is frozen
        object.__setattr__(self, "label_columns", tuple(self.label_columns))
        check_fields(self)


@dataclasses.dataclass(frozen=True)
class DataConfig:
    """The images, labels and splits that a command works on.

    Paths are stored as absolute paths, so that a run can be evaluated from any folder. `labels_csv` may be a path.

    Raises:
        ValueError: if a field violates its rule. The message states the rule and the value received.
    """

    data_dir: str = setting(
        help="Data folder: NIH ChestX-ray14, the images of `labels_csv`, or a cache.", metavar="DIR"
    )
    labels_csv: LabelsCsv | None = setting(None)
    allow_missing: int | str = setting(
        0,
        help="Leave out missing images, up to this number or percentage. If no value follows the option, the limit is "
        f"{DEFAULT}.",
        metavar="[N|P%]",
        bare=DEFAULT,
    )
    protocol: str | None = setting(
        "official",
        help="How to split the images into train, validation and test. PATH is a CSV file with the columns image and "
        "split.",
        metavar="|".join((*PROTOCOLS, "file:PATH")),
    )

    def __post_init__(self) -> None:
        self._set("data_dir", str(Path(self.data_dir).resolve()))
        self._set("allow_missing", parse_allowance("allow_missing", self.allow_missing))
        if isinstance(self.labels_csv, (str, Path)):
            self._set("labels_csv", LabelsCsv(str(self.labels_csv)))
        elif isinstance(self.labels_csv, dict):
            self._set("labels_csv", LabelsCsv(**known_fields(LabelsCsv, self.labels_csv)))
        if self.protocol is not None and re.match("file:.", self.protocol):
            self._set("protocol", f"file:{Path(self.protocol.removeprefix('file:')).resolve()}")
        else:
            rule = f"be one of {', '.join(PROTOCOLS)} or file:PATH"
            require(self.protocol in (None, *PROTOCOLS), "protocol", rule, self.protocol)
        check_fields(self)

    def _set(self, name: str, value: object) -> None:
        object.__setattr__(self, name, value)  # the class is frozen


@dataclasses.dataclass(frozen=True)
class PhaseConfig:
    """Consecutive epochs of a run with their own loss, learning rate and optimizer."""

    epochs: int = setting(help="Number of epochs.", least=1)
    loss: str | None = setting(None, help="Loss; by default that of the run.")
    learning_rate: float | None = setting(None, help="Peak learning rate; by default that of the run.", above=0)
    frozen: bool = setting(False, help="Train only the fusion and the classifier.")
    reweighted: bool = setting(False, help="Use LDAM's deferred re-weighting.")

    def __post_init__(self) -> None:
        check_fields(self)
        if self.loss is not None:
            require_choice(self.loss, "loss", LOSSES)


@dataclasses.dataclass(frozen=True)
class TrainConfig(DataConfig):
    """All settings of a training run, including its data.

    A run that needs more than a frozen start uses `phases` instead of `epochs` and `freeze_epochs`: a tuple of
    `PhaseConfig`, or of dictionaries with their fields. It has no command-line option; set it in a configuration file
    or a preset.

    Raises:
        ValueError: if a field violates its rule. The message states the rule and the value received.
    """

    cache: str = setting(
        "auto",
        help="Folder for the cache of decoded images. auto uses a folder in ~/.cache/mamsf-keras. With none, the "
        "images are decoded in every epoch.",
        metavar="auto|none|DIR",
        group="Data",
    )
    augment: str = setting(
        "light",
        help="Augmentation. light applies a random shift, rotation, zoom, brightness and contrast; strong also applies "
        "random gray-level operations and a cutout. strong requires TensorFlow.",
        choices=AUGMENTATIONS,
        group="Data",
    )
    backbone: str = setting("efficientnetv2-s", help="Name of the backbone.", choices=BACKBONES, group="Model")
    weights: str = setting(
        "imagenet",
        help="Initial weights of the backbone. If FILE is the .keras file of a run, the whole model is initialized "
        "from it. With none, the weights are random.",
        metavar="imagenet|none|FILE",
        group="Model",
    )
    image_size: int = setting(224, help="Height and width of the images in pixels.", least=32, group="Model")
    fusion: bool = setting(True, help="Use multi-scale fusion.", group="Model")
    anchor: bool = setting(True, help="Use the momentum anchor.", group="Momentum anchor")
    cut: str = setting(
        "final_block",
        help="Where the final block, which has an EMA shadow, starts: at the head convolution (head), the last MBConv "
        "block (final_block), the last stage (last_stage) or the stem (whole). It extends to the end of the backbone.",
        choices=CUTS,
        group="Momentum anchor",
    )
    decay: float | str = setting(
        "3 epochs",
        help='EMA decay in [0, 1], or the number of epochs to average over: "K epochs" sets the decay to '
        "1 - 1 / (K x updates per epoch).",
        metavar='D|"K epochs"',
        group="Momentum anchor",
    )
    decay_schedule: str = setting(
        "ratio",
        help="How the decay changes with the number of updates t. constant uses the decay from the first update. ratio "
        "and power warm up to the decay, ratio as (1 + t) / (10 + t) and power as in timm. cosine rises from the decay "
        "to 1.",
        choices=SCHEDULES,
        group="Momentum anchor",
    )
    epochs: int | None = setting(
        None,
        help="Number of epochs. Each ends with validation and a checkpoint.",
        least=1,
        unset=DEFAULT_EPOCHS,
        group="Optimization",
    )
    freeze_epochs: int = setting(
        0, help="Number of initial epochs that train only the fusion and the classifier.", group="Optimization"
    )
    steps_per_epoch: int | None = setting(
        None,
        help="Number of steps per epoch.",
        least=1,
        unset="one pass over the training images",
        group="Optimization",
    )
    batch_size: int = setting(32, help="Number of images per step, over all devices.", least=1, group="Optimization")
    loss: str = setting(
        "bce",
        help="Loss function. ldam re-weights the classes in the last fifth of the unfrozen epochs, at a tenth of the "
        "learning rate, unless a configuration file or preset defines phases.",
        choices=LOSSES,
        group="Optimization",
    )
    learning_rate: float = setting(1e-3, help="Peak learning rate of AdamW.", above=0, group="Optimization")
    warmup: float = setting(
        0.05,
        help="Fraction of the steps used for linear warm-up of the learning rate.",
        least=0,
        below=1,
        group="Optimization",
    )
    weight_decay: float = setting(
        1e-4, help="Weight decay of AdamW, applied to kernels only.", least=0, group="Optimization"
    )
    clip_norm: float = setting(1.0, help="Maximum global norm of the gradients.", above=0, group="Optimization")
    accumulate: int = setting(
        1, help="Number of steps whose gradients are accumulated for each update.", least=1, group="Optimization"
    )
    patience: int = setting(
        0,
        help="Stop after N epochs without a better validation AUROC. 0 disables early stopping.",
        group="Optimization",
    )
    phases: tuple[PhaseConfig, ...] | None = setting(None)
    precision: str = setting(
        "float32",
        help="Keras dtype policy. mixed_float16 uses loss scaling.",
        choices=("float32", "mixed_bfloat16", "mixed_float16"),
        group="Hardware",
    )
    jit: str = setting(
        "auto",
        help="XLA compilation. auto enables it for JAX, and for TensorFlow on a GPU unless `distribute` is mirrored.",
        choices=("auto", "on", "off"),
        group="Hardware",
    )
    steps_per_execution: int = setting(1, help="Number of training steps per compiled call.", least=1, group="Hardware")
    distribute: str = setting(
        "none",
        help="Train on several devices: with TensorFlow, on all GPUs of one host (mirrored); with JAX, on all GPUs of "
        "one or several hosts (data-parallel).",
        choices=("none", "mirrored", "data-parallel"),
        group="Hardware",
    )
    deterministic: bool = setting(False, help="Make the backend use deterministic operations.", group="Hardware")
    seed: int = setting(
        0, help="Random seed for the initial weights, the image order and the augmentation.", group="Run"
    )
    mlflow: str | None = setting(
        None, help="MLflow tracking URI to log to: a server, a database or file:PATH.", metavar="URI", group="Run"
    )

    def __post_init__(self) -> None:
        for name, words in (("cache", ("auto", "none")), ("weights", ("imagenet", "none"))):
            value = getattr(self, name)
            require(isinstance(value, (str, Path)), name, f"be {', '.join(words)} or a path", value)
            if value not in words:
                self._set(name, str(Path(value).resolve()))
        super().__post_init__()
        require(self.protocol is not None, "protocol", "be given, because training needs splits", self.protocol)
        decay, _ = parse_decay(self.decay)
        if decay is not None:
            self._set("decay", decay)  # the command line passes 0.9 as "0.9"
        self._check_phases()
        self._check_combinations()

    def _check_combinations(self):
        at_once = self.steps_per_execution
        whole = (self.steps_per_epoch or 0) % at_once == 0
        require(whole, "steps_per_epoch", f"be a multiple of `steps_per_execution` ({at_once})", self.steps_per_epoch)
        reproducible = self.augment != "strong" or not self.deterministic
        rule = "be off with `augment` strong, which is not reproducible"
        require(reproducible, "deterministic", rule, self.deterministic)
        if self.distribute == "mirrored":
            rule = "be 1 with `distribute` mirrored (limitation of Keras)"
            require(self.accumulate == 1, "accumulate", rule, self.accumulate)
            rule = "not be on with `distribute` mirrored, which does not support XLA"
            require(self.jit != "on", "jit", rule, self.jit)

    def _check_phases(self):
        """Fills in `epochs` and checks it against `phases` or `freeze_epochs`."""
        if self.phases is None:
            epochs = self.epochs or DEFAULT_EPOCHS
            self._set("epochs", epochs)
            rule = f"be below `epochs` ({epochs})"
            require(self.freeze_epochs < epochs, "freeze_epochs", rule, self.freeze_epochs)
            return
        phases = [p if isinstance(p, PhaseConfig) else PhaseConfig(**known_fields(PhaseConfig, p)) for p in self.phases]
        self._set("phases", tuple(phases))
        total = sum(phase.epochs for phase in self.phases)
        require(self.phases, "phases", "contain at least one phase", self.phases)
        rule = f"be left out with `phases`, which have {total} epochs in total"
        require(self.epochs in (None, total), "epochs", rule, self.epochs)
        require(not self.freeze_epochs, "freeze_epochs", "be left out with `phases`", self.freeze_epochs)
        for phase in self.phases:
            ldam = (phase.loss or self.loss) == "ldam"
            require(ldam or not phase.reweighted, "reweighted", "be off unless the loss is ldam", phase.reweighted)
        self._set("epochs", total)

    def save(self, path: str | Path) -> None:
        """Writes the configuration as JSON."""
        write_json(path, dataclasses.asdict(self))

    @classmethod
    def load(cls, path: str | Path) -> "TrainConfig":
        """Reads a configuration from JSON or YAML.

        Raises:
            FileNotFoundError: if the file is missing.
            ValueError: if it is not a configuration.
        """
        values = read_values(path, cls)
        try:
            return cls(**values)
        except (TypeError, ValueError) as error:
            raise ValueError(f"{path} is not the configuration of a run: {error}") from error


def parse_decay(decay: float | str) -> tuple[float | None, float | None]:
    """Returns the decay and the number of epochs to average over, one of which is None.

    Raises:
        ValueError: if it is neither a number in [0, 1] nor "K epochs" with K above 0.
    """
    text = str(decay).strip()
    number, _, unit = text.partition(" ")
    try:
        value = float(number)
    except ValueError:
        value = math.nan
    if not unit and 0 <= value <= 1:
        return value, None
    if unit.strip() in ("epoch", "epochs") and 0 < value < math.inf:
        return None, value
    raise ValueError(f'`decay` must be in [0, 1], or "K epochs" with K above 0. Received: decay={decay}.')
