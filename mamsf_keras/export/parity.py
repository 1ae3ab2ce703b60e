"""Does an export say what Keras says? Pure functions on probabilities."""

import dataclasses

import numpy as np

LARGEST_DIFFERENCE = 1e-4
LARGEST_PART_OF_SPREAD = 0.01


@dataclasses.dataclass(frozen=True)
class Parity:
    """The comparison of one export with Keras.

    Attributes:
        difference: largest absolute difference of a probability.
        spread: smallest standard deviation over the images of a finding's probability, by Keras.
        part_of_spread: largest difference of a finding as a part of its spread.
    """

    difference: float
    spread: float
    part_of_spread: float

    @property
    def passes(self) -> bool:
        """Whether the export may stay. A model that gives every image the same answer passes no check."""
        return self.difference <= LARGEST_DIFFERENCE and self.part_of_spread <= LARGEST_PART_OF_SPREAD

    def __str__(self):
        return (
            f"largest difference from Keras {self.difference:.2g}, {self.part_of_spread:.2g} of the finding's spread; "
            f"smallest spread over images {self.spread:.2g}"
        )


def compare(keras_probabilities: np.ndarray, exported_probabilities: np.ndarray) -> Parity:
    """Compares probabilities `(images, findings)` of an export with those of Keras on the same images."""
    difference = np.abs(keras_probabilities - exported_probabilities).max(axis=0)
    spread = keras_probabilities.std(axis=0)
    part = np.divide(difference, spread, out=np.full_like(difference, np.inf), where=spread > 0)
    return Parity(float(difference.max()), float(spread.min()), float(part.max()))
