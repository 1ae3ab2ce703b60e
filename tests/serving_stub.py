"""TensorFlow Serving's `PredictionService` over a SavedModel, in a separate process, on the official stubs.

It stands in for the server in tests: the same messages, the same errors for a wrong model or input, and gRPC's default
limit of 4 MB on a message.

    python -m tests.serving_stub saved_models/mamsf/1 mamsf     # prints the port
"""

import contextlib
import subprocess
import sys
from concurrent import futures
from pathlib import Path

SIGNATURE = "serving_default"


@contextlib.contextmanager
def serving(folder, name="mamsf"):
    """Serves a SavedModel in another process for the block and yields its port."""
    command = [sys.executable, "-m", "tests.serving_stub", str(folder), name]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[1]) as process:
        try:
            yield int(process.stdout.readline())
        finally:
            process.kill()


def serve(folder, name):
    import grpc
    import tensorflow as tf
    from tensorflow.core.protobuf import saved_model_pb2
    from tensorflow_serving.apis import get_model_metadata_pb2, predict_pb2, prediction_service_pb2_grpc

    loaded = tf.saved_model.load(folder)
    signature = loaded.signatures[SIGNATURE]
    file = saved_model_pb2.SavedModel.FromString(Path(folder, "saved_model.pb").read_bytes())
    signature_defs = file.meta_graphs[0].signature_def

    class Service(prediction_service_pb2_grpc.PredictionServiceServicer):
        def check(self, spec, context):
            if spec.name != name or spec.version.value not in (0, 1):
                context.abort(grpc.StatusCode.NOT_FOUND, f"Servable not found for request: Latest({spec.name})")

        def Predict(self, request, context):
            self.check(request.model_spec, context)
            if set(request.inputs) != {"images"}:
                context.abort(grpc.StatusCode.INVALID_ARGUMENT, "input size does not match signature")
            try:
                outputs = signature(images=tf.constant(tf.make_ndarray(request.inputs["images"])))
            except (tf.errors.InvalidArgumentError, ValueError, TypeError) as error:
                context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
            response = predict_pb2.PredictResponse(model_spec=request.model_spec)
            for output in request.output_filter or outputs:
                response.outputs[output].CopyFrom(tf.make_tensor_proto(outputs[output].numpy()))
            return response

        def GetModelMetadata(self, request, context):
            self.check(request.model_spec, context)
            response = get_model_metadata_pb2.GetModelMetadataResponse(model_spec=request.model_spec)
            signatures = get_model_metadata_pb2.SignatureDefMap(signature_def=signature_defs)
            response.metadata["signature_def"].Pack(signatures)
            return response

    server = grpc.server(futures.ThreadPoolExecutor(8))
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(Service(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print(port, flush=True)
    server.wait_for_termination()


if __name__ == "__main__":
    serve(*sys.argv[1:])
