import contextlib
import socket
from concurrent.futures import ThreadPoolExecutor

import keras
import numpy as np
import pandas as pd
import pytest

from mamsf_keras import MAMSFNet
from mamsf_keras.images.gray import read_gray
from mamsf_keras.inference.predict import predict
from mamsf_keras.predictors.server import open_server
from tests.runs import gray_images
from tests.serving_stub import serving
from tests.toys import toy_backbone

pytest.importorskip("tensorflow_serving", reason="the stubs are the extra `serving`")
pytestmark = pytest.mark.tensorflow

SIZE = 341
"""At this size an image is 465 kB as float32, and a batch of 16 is above gRPC's limit of 4 MB."""
FINDINGS = ("Mass", "Edema")
IMAGES = np.random.default_rng(0).integers(0, 256, (16, SIZE, SIZE, 1), dtype=np.uint8)


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """Yields a model and the address of the server that serves it."""
    from mamsf_keras.export.formats.saved_model import ServingModule, write_saved_model

    folder = tmp_path_factory.mktemp("models") / "1"
    model = MAMSFNet(toy_backbone(SIZE), FINDINGS)
    write_saved_model(ServingModule(model), folder)
    with serving(folder) as port:
        yield model, f"grpc://127.0.0.1:{port}"


def expected(model, images):
    return keras.ops.convert_to_numpy(model(images.astype("float32"), training=False))


@contextlib.contextmanager
def answering(shape, outputs=()):
    """Yields the URL of a server whose input has a shape, None for an unknown rank, and that returns some outputs."""
    import grpc
    import tensorflow as tf
    from tensorflow_serving.apis import get_model_metadata_pb2, predict_pb2, prediction_service_pb2_grpc

    class Service(prediction_service_pb2_grpc.PredictionServiceServicer):
        def GetModelMetadata(self, request, context):
            signatures = get_model_metadata_pb2.SignatureDefMap()
            signature = signatures.signature_def["serving_default"]
            signature.inputs["images"].tensor_shape.CopyFrom(tf.TensorShape(shape).as_proto())
            for name in ("probabilities", "findings"):
                signature.outputs[name].name = name
            response = get_model_metadata_pb2.GetModelMetadataResponse()
            response.metadata["signature_def"].Pack(signatures)
            return response

        def Predict(self, request, context):
            response = predict_pb2.PredictResponse()
            for name in outputs:
                response.outputs[name].CopyFrom(tf.make_tensor_proto([["Mass", "Edema"]]))
            return response

    server = grpc.server(ThreadPoolExecutor(1))
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(Service(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"grpc://127.0.0.1:{port}"
    finally:
        server.stop(None).wait()


def test_missing_output_is_named():
    with answering((None, 32, 32, 1)) as url, pytest.raises(ValueError, match=f"{url} does not return findings."):
        open_server(url)
    with answering((None, 32, 32, 1), ["findings"]) as url:
        predictor = open_server(url)
        with pytest.raises(ValueError, match=f"{url} does not return probabilities."):
            predictor.predict(IMAGES[:1, :32, :32])


@pytest.mark.parametrize(("shape", "received"), [(None, "unknown rank"), ((None, 1024), ".-1, 1024.")])
def test_input_of_another_rank_is_refused(shape, received):
    with (
        answering(shape) as url,
        pytest.raises(ValueError, match=rf"must have the shape .batch, height, width, 1.\. Received: {received}"),
    ):
        open_server(url)


def test_batch_above_the_message_limit_is_split(served):
    model, url = served
    predictor = open_server(url)
    assert (predictor.findings, predictor.image_size) == (FINDINGS, SIZE)
    outputs = predictor.predict(IMAGES)
    assert outputs.shape == (16, 2)
    np.testing.assert_allclose(outputs, expected(model, IMAGES), atol=1e-6)
    assert list(predictor.outputs(IMAGES[:3])) == ["probabilities"]


def test_sixteen_images_of_465_kb_give_sixteen_results(served, tmp_path):
    model, url = served
    paths = gray_images(tmp_path / "in", 16, size=682)
    assert all(465_000 < path.stat().st_size < 480_000 for path in paths)
    summary = predict([tmp_path / "in"], server=url, batch_size=16, csv_file=tmp_path / "p.csv")
    assert (summary.predicted, summary.failed) == (16, 0)
    table = pd.read_csv(tmp_path / "p.csv")
    pixels = np.stack([read_gray(path, SIZE) for path in table["image"]])[..., None]
    np.testing.assert_allclose(table[list(FINDINGS)], expected(model, pixels), atol=1e-6)


def test_eight_clients_at_once_get_their_own_results(served):
    model, url = served

    def client(number):
        return open_server(url).predict(IMAGES[2 * number : 2 * number + 2])

    with ThreadPoolExecutor(8) as pool:
        outputs = np.concatenate(list(pool.map(client, range(8))))
    np.testing.assert_allclose(outputs, expected(model, IMAGES), atol=1e-6)


def test_errors_of_the_server_are_passed_on_and_it_stays_up(served):
    _, url = served
    with pytest.raises(
        ValueError, match=r"rejected the request \(NOT_FOUND\): Servable not found for request: Latest\(chest\)"
    ):
        open_server(f"{url}/chest")
    with pytest.raises(ValueError, match="NOT_FOUND"):
        open_server(f"{url}/mamsf/versions/7")
    predictor = open_server(f"{url}/mamsf/versions/1")
    with pytest.raises(ValueError, match=r"rejected the request \(INVALID_ARGUMENT\): "):
        predictor.predict(IMAGES[:, :32, :32])
    assert predictor.predict(IMAGES[:1]).shape == (1, 2)


def test_single_image_above_the_limit_is_refused_by_the_server(served):
    _, url = served
    with pytest.raises(ValueError, match=r"RESOURCE_EXHAUSTED.*4194304"):
        open_server(url).predict(np.zeros((1, 1100, 1100, 1), np.uint8))


def test_unreachable_server_is_named():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # nobody listens
        url = f"grpc://127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(ConnectionError, match=f"{url} cannot be reached"):
            open_server(url)
