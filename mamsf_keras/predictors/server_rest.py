"""The REST client of TensorFlow Serving, in its row format.

Documented at https://www.tensorflow.org/tfx/serving/api_rest: a request holds `instances`, one object per row with its
named inputs; the response holds `predictions`, one object per row with the named outputs, or `error`.
"""

import contextlib
import http.client
import json
import urllib.error
import urllib.request
from collections.abc import Sequence

import numpy as np

from mamsf_keras.predictors.server_client import SIGNATURE, TIMEOUT, ServerPredictor


class RestPredictor(ServerPredictor):
    """Predicts over REST. Large batches are split, because a pixel in JSON takes about 100 bytes of memory."""

    request_pixels = 2**20

    def connect(self) -> None:
        """Composes the address of the model. Each request opens a new connection."""
        scheme = self.url.partition("://")[0]
        version = "" if self.version is None else f"/versions/{self.version}"
        self.base = f"{scheme}://{self.address}/v1/models/{self.model}{version}"

    def signature(self) -> tuple[list[int], list[str]]:
        """Reads the signature from the server; see `ServerPredictor.signature`."""
        answer = self._call(f"{self.base}/metadata")
        try:
            signature = answer["metadata"]["signature_def"]["signature_def"][SIGNATURE]
            inputs, outputs = signature["inputs"], list(signature["outputs"])
        except (KeyError, TypeError):
            raise ValueError(f"{self.url} does not describe its model as TensorFlow Serving does.") from None
        self.check_signature(inputs, outputs)
        dims = inputs["images"].get("tensor_shape", {}).get("dim", [])  # none if the rank is unknown
        return [int(dim["size"]) for dim in dims], outputs

    def request_part(self, images: np.ndarray, names: Sequence[str]) -> dict[str, np.ndarray]:
        """Requests outputs; see `ServerPredictor.request_part`."""
        body = {"signature_name": SIGNATURE, "instances": [{"images": image} for image in images.tolist()]}
        answer = self._call(f"{self.base}:predict", body)
        rows = answer.get("predictions")
        if not isinstance(rows, list) or len(rows) != len(images):
            raise ValueError(f"{self.url} does not return one row of predictions per image.")
        try:
            return {
                name: np.array([row[name] for row in rows], None if name == "findings" else float) for name in names
            }
        except (KeyError, TypeError, ValueError):
            raise ValueError(f"{self.url} does not return rows of {', '.join(names)}.") from None

    def _call(self, address, body=None) -> dict:
        """Sends or requests JSON, and converts the errors of the server to one-line messages."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(address, data, {"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT) as response:
                answer = json.load(response)
        except urllib.error.HTTPError as error:
            raise ValueError(f"{self.url} rejected the request ({error.code}): {_reason(error)}") from None
        except (urllib.error.URLError, TimeoutError, ConnectionError) as error:
            raise ConnectionError(f"{self.url} cannot be reached: {getattr(error, 'reason', error)}") from None
        except http.client.InvalidURL as error:
            raise ValueError(f"{self.url} is not a valid URL: {error}") from None
        except http.client.HTTPException as error:
            raise ConnectionError(f"{self.url} {_cause(error)}") from None
        except ValueError as error:
            raise ValueError(f"{self.url} does not answer in JSON: {error}") from None
        if not isinstance(answer, dict):
            raise ValueError(f"{self.url} does not answer with a JSON object.")
        return answer


def _cause(error: http.client.HTTPException) -> str:
    """Describes why there is no complete HTTP response."""
    if isinstance(error, http.client.IncompleteRead):
        return "closed the connection before the end of its response. Check whether the server is still running."
    return "does not answer in HTTP. If this is the gRPC port of the server, use grpc:// instead of http://."


def _reason(error) -> str:
    """Returns the `error` of an answer, or its text."""
    try:
        text = error.read().decode(errors="replace")
    except (http.client.HTTPException, OSError):  # the connection was closed before the end
        text = error.reason
    with contextlib.suppress(ValueError, KeyError, TypeError):  # otherwise the text is the reason
        text = json.loads(text)["error"]
    return " ".join(text.split())[:500]
