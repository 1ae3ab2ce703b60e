"""The common base of the gRPC and the REST client of TensorFlow Serving."""

import abc
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from mamsf_keras.predictors.predictor import Predictor

DEFAULT_MODEL = "mamsf"
SIGNATURE = "serving_default"
OUTPUTS = ("probabilities", "calibrated", "positive")
"""The outputs that are requested, if the export has them."""
TIMEOUT = 60.0
"""Seconds until a request counts as failed."""


class ServerPredictor(Predictor):
    """Predicts with the signature `serving_default` of a served model.

    Findings and image size are read from the server. `server.open_server` chooses the client by the URL.

    Args:
        url: `SCHEME://HOST:PORT`, followed by `/NAME` or `/NAME/versions/N` unless the name of the model is "mamsf"
            and its newest version is wanted. REST paths such as `/v1/models/NAME` are accepted too.

    Raises:
        ValueError: if the URL is not of this form, or the server serves another kind of model.
        ConnectionError: if the server cannot be reached.

    Attributes:
        request_pixels: maximum number of pixels per request. Larger batches are split, down to single images.
    """

    request_pixels: int

    def __init__(self, url: str) -> None:
        self.url = url
        self.address, self.model, self.version = parse_url(url)
        self.connect()
        shape, outputs = self.signature()
        if len(shape) != 4:
            raise ValueError(
                f"{self.url} serves the model {self.model}, which is not an export of `mamsf-keras export`: its input "
                f"must have the shape (batch, height, width, 1). Received: {tuple(shape) or 'unknown rank'}."
            )
        self.image_size = None if shape[1] < 0 else shape[1]
        self.output_names = [name for name in OUTPUTS if name in outputs]
        size = self.image_size or 32
        [row] = self.request(np.zeros((1, size, size, 1), np.uint8), ["findings"])["findings"]
        self.findings = tuple(name.decode() if isinstance(name, bytes) else str(name) for name in row)

    @abc.abstractmethod
    def connect(self) -> None:
        """Prepares the connection."""

    @abc.abstractmethod
    def signature(self) -> tuple[list[int], list[str]]:
        """Returns the shape of the input `images` and the names of the outputs.

        A size of -1 stands for any size, and an empty shape for an unknown rank.
        """

    @abc.abstractmethod
    def request_part(self, images: np.ndarray, names: Sequence[str]) -> dict[str, np.ndarray]:
        """Requests outputs by name for uint8 images `(batch, height, width, 1)`, in a single request."""

    def request(self, images: np.ndarray, names: Sequence[str]) -> dict[str, np.ndarray]:
        """Requests outputs by name for uint8 images `(batch, height, width, 1)`, split by `request_pixels`."""
        fitting = max(self.request_pixels // int(np.prod(images.shape[1:])), 1)
        parts = [self.request_part(images[i : i + fitting], names) for i in range(0, len(images), fitting)]
        return {name: np.concatenate([part[name] for part in parts]) for name in names}

    def predict(self, images: np.ndarray) -> np.ndarray:
        """Predicts one batch; see `Predictor.predict`."""
        return self.request(images, ["probabilities"])["probabilities"]

    def outputs(self, images: np.ndarray) -> dict[str, np.ndarray]:
        """Predicts one batch; see `Predictor.outputs`."""
        return self.request(images, self.output_names)

    def check_signature(self, inputs: Any, outputs: Any) -> None:
        """Raises `ValueError` unless the served model has the input and the outputs of an export."""
        if "images" not in inputs or not {"probabilities", "findings"} <= set(outputs):
            raise ValueError(
                f"{self.url} serves the model {self.model} with the inputs {', '.join(sorted(inputs))} and the outputs "
                f"{', '.join(sorted(outputs))}, which is not an export of `mamsf-keras export`."
            )


def parse_url(url: str) -> tuple[str, str, int | None]:
    """Returns the address `HOST:PORT`, the name of the model, and its version or None, of the URL of a server."""
    parts = urlsplit(url)
    words = [word for word in parts.path.removesuffix(":predict").split("/") if word]
    words = words[2:] if words[:2] == ["v1", "models"] else words
    name, *rest = words or [DEFAULT_MODEL]
    versioned = len(rest) == 2 and rest[0] == "versions" and rest[1].isdecimal()
    if not parts.netloc or (rest and not versioned) or parts.query:
        raise ValueError(
            f"`server` must be SCHEME://HOST:PORT, optionally with /NAME/versions/N. Received: server={url}."
        )
    return parts.netloc, name, int(rest[1]) if rest else None
