"""The gRPC client of TensorFlow Serving, on the official stubs of tensorflow-serving-api."""

from collections.abc import Sequence

import numpy as np

from mamsf_keras.predictors.server_client import SIGNATURE, TIMEOUT, ServerPredictor

try:
    import grpc
    import tensorflow as tf
    from tensorflow_serving.apis import get_model_metadata_pb2, predict_pb2, prediction_service_pb2_grpc
except ImportError as error:
    raise ImportError('grpc:// needs `pip install "mamsf-keras[serving]"`. Without it, use http://.') from error

MESSAGE_BYTES = 4 * 2**20
"""The limit of gRPC on the size of a message, unless both sides raise it."""
RESERVED = 2**14
"""Bytes of a message that are not pixels."""
UNREACHABLE = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)


class GrpcPredictor(ServerPredictor):
    """Predicts over gRPC, without encryption. Batches above the message limit of gRPC are split."""

    request_pixels = (MESSAGE_BYTES - RESERVED) // 4  # float32

    def connect(self) -> None:
        """Makes a channel. gRPC connects on the first request."""
        self.channel = grpc.insecure_channel(self.address)
        self.stub = prediction_service_pb2_grpc.PredictionServiceStub(self.channel)

    def signature(self) -> tuple[list[int], list[str]]:
        """Reads the signature from the server; see `ServerPredictor.signature`."""
        request = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
        self._fill_in(request.model_spec)
        packed = self._call(self.stub.GetModelMetadata, request).metadata["signature_def"]
        signatures = get_model_metadata_pb2.SignatureDefMap()
        packed.Unpack(signatures)
        signature = signatures.signature_def[SIGNATURE]
        self.check_signature(signature.inputs, signature.outputs)
        return [dim.size for dim in signature.inputs["images"].tensor_shape.dim], list(signature.outputs)

    def request_part(self, images: np.ndarray, names: Sequence[str]) -> dict[str, np.ndarray]:
        """Requests outputs; see `ServerPredictor.request_part`."""
        request = predict_pb2.PredictRequest(output_filter=list(names))
        self._fill_in(request.model_spec)
        request.model_spec.signature_name = SIGNATURE
        request.inputs["images"].CopyFrom(tf.make_tensor_proto(images, tf.float32))
        response = self._call(self.stub.Predict, request)
        if missing := [name for name in names if name not in response.outputs]:
            raise ValueError(f"{self.url} does not return {', '.join(missing)}.")
        return {name: tf.make_ndarray(response.outputs[name]) for name in names}

    def _fill_in(self, model_spec):
        model_spec.name = self.model
        if self.version is not None:
            model_spec.version.value = self.version

    def _call(self, method, request):
        """Calls the server and converts its errors to one-line messages."""
        try:
            return method(request, timeout=TIMEOUT)
        except grpc.RpcError as error:
            if error.code() in UNREACHABLE:
                raise ConnectionError(f"{self.url} cannot be reached: {error.details()}") from None
            raise ValueError(f"{self.url} rejected the request ({error.code().name}): {error.details()}") from None
