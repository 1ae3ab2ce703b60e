"""Comparison of an export with Keras. Pure functions of probabilities."""

import dataclasses

import numpy as np

MAX_DIFFERENCE = 1e-4
MAX_SHARE_OF_SPREAD = 0.01


@dataclasses.dataclass(frozen=True)
class Parity:
    """The comparison of one export with Keras.

    Attributes:
        difference: largest absolute difference of a probability.
        spread: smallest standard deviation over the images of the probability of a finding, by Keras.
        share_of_spread: largest difference of a finding divided by its spread.
    """

    difference: float
    spread: float
    share_of_spread: float

    @property
    def passes(self) -> bool:
        """True if the export agrees with Keras. A model with the same output for every image never passes."""
        return self.difference <= MAX_DIFFERENCE and self.share_of_spread <= MAX_SHARE_OF_SPREAD

    def __str__(self) -> str:
        return (
            f"largest difference from Keras {self.difference:.2g}, {self.share_of_spread:.2g} of the finding's spread; "
            f"smallest spread over images {self.spread:.2g}"
        )


def compare(keras_probabilities: np.ndarray, exported_probabilities: np.ndarray) -> Parity:
    """Compares the probabilities `(images, findings)` of an export with those of Keras for the same images."""
    difference = np.abs(keras_probabilities - exported_probabilities).max(axis=0)
    spread = keras_probabilities.std(axis=0)
    share = np.divide(difference, spread, out=np.full_like(difference, np.inf), where=spread > 0)
    return Parity(float(difference.max()), float(spread.min()), float(share.max()))
