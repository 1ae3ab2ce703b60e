"""The findings that a run is trained on and scored by, and those that it leaves out."""

import dataclasses

from mamsf_keras.config import TrainConfig
from mamsf_keras.data.dataset import Dataset
from mamsf_keras.data.label_counts import LabelCounts, count_labels


@dataclasses.dataclass(frozen=True)
class TrainedFindings:
    """The findings that a run is trained on and scored by, found by counting labels.

    A finding is trained if the train split has positive and negative labels of it. From only one class, a model can
    only learn to output a constant, which looks like a prediction, and the missing class distorts class weights and
    margins. A trained finding is scored if the validation split has both classes.

    Attributes:
        training: labels of all findings of the data in the train split.
        validation: the same in the validation split.
    """

    training: LabelCounts
    validation: LabelCounts

    @classmethod
    def of(cls, dataset: Dataset) -> "TrainedFindings":
        """Counts the labels of a data set that has been split."""
        training, validation = dataset.split("train"), dataset.split("validation")
        return cls(*(count_labels(part.labels, part.findings) for part in (training, validation)))

    @property
    def trained(self) -> tuple[str, ...]:
        """The findings that are trained, in the order of the data."""
        return tuple(name for name in self.training.findings if name not in self.training.single_class)

    @property
    def scored(self) -> tuple[str, ...]:
        """The trained findings whose validation AUROC is defined. The mean over them selects the best model."""
        return tuple(name for name in self.trained if name not in self.validation.single_class)

    def check(self, config: TrainConfig) -> None:
        """Raises `ValueError` if no finding can be trained, or none of them can be scored."""
        if not self.trained:
            raise ValueError(
                "No finding has both positive and negative labels in the train split, so there is nothing to learn: "
                f"{self.left_out_text}. {_advice(config)}"
            )
        if not self.scored:
            raise ValueError(
                "No trained finding has both positive and negative labels in the validation split, so there is no "
                f"AUROC to choose the best model by: {self.validation.describe(self.trained)}. {_advice(config)}"
            )

    def notes(self, config: TrainConfig) -> list[str]:
        """Describes what is left out and how the best model is chosen, one line each, with the counts."""
        lines = [f"best model: chosen by the validation AUROC, the {self.score_text}"]
        if unscored := [name for name in self.trained if name not in self.scored]:
            lines.append(f"not scored on the validation split: {self.validation.describe(unscored)}")
        if self.left_out_text:
            lines.append(
                "left out of the model, because the train split has labels of only one class: "
                f"{self.left_out_text}. {_advice(config)}"
            )
        return lines

    @property
    def left_out_text(self) -> str:
        """The findings that are not trained, with their labels in the train split; empty if there are none."""
        return self.training.describe(self.training.single_class)

    @property
    def score_text(self) -> str:
        """What the validation AUROC averages: the number of findings, and how many labels they have there."""
        ranges = [self._range(kind) for kind in (self.validation.positives, self.validation.negatives)]
        return (
            f"mean of {len(self.scored)} of {len(self.trained)} findings, each with {ranges[0]} positive and "
            f"{ranges[1]} negative validation labels"
        )

    def _range(self, counts) -> str:
        of = dict(zip(self.validation.findings, counts, strict=True))
        found = sorted({of[name] for name in self.scored})
        return f"{found[0]}" if len(found) == 1 else f"{found[0]} to {found[-1]}"


def _advice(config) -> str:
    """Returns advice on how to include the findings."""
    masked = config.labels_csv is not None and config.labels_csv.blank == "mask"
    blank = "count blank labels as negative (`blank` negative), " if masked else ""
    return f"To include them, {blank}use more images, or choose another `protocol`."
