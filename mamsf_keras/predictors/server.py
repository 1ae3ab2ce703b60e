"""Predictions of a TensorFlow Serving server that serves an export, over gRPC or REST."""

from urllib.parse import urlsplit

from mamsf_keras.predictors.server_client import ServerPredictor


def open_server(url: str) -> ServerPredictor:
    """Connects to a server: `grpc://HOST:PORT`, `http://HOST:PORT` or `https://HOST:PORT`; see `ServerPredictor`."""
    scheme = urlsplit(url).scheme
    if scheme == "grpc":
        from mamsf_keras.predictors.server_grpc import GrpcPredictor

        return GrpcPredictor(url)
    if scheme in ("http", "https"):
        from mamsf_keras.predictors.server_rest import RestPredictor

        return RestPredictor(url)
    raise ValueError(f"`server` must start with grpc://, http:// or https://. Received: server={url}.")
