"""Tests the client with a server that follows https://www.tensorflow.org/tfx/serving/api_rest."""

import contextlib
import http.server
import json
import socket
import threading

import numpy as np
import pytest

from mamsf_keras.predictors.server import open_server

pytestmark = pytest.mark.no_keras

IMAGES = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 1), dtype=np.uint8)
DIMS = [{"size": size, "name": ""} for size in ("-1", "8", "8", "1")]


def tensor(name, dtype, dims):
    return {"dtype": dtype, "tensor_shape": {"dim": dims, "unknown_rank": False}, "name": name}


def signature(outputs=("probabilities", "calibrated", "positive", "findings", "logits")):
    return {
        "inputs": {"images": tensor("serving_default_images:0", "DT_FLOAT", DIMS)},
        "outputs": {name: tensor(f"StatefulPartitionedCall:{i}", "DT_FLOAT", DIMS) for i, name in enumerate(outputs)},
        "method_name": "tensorflow/serving/predict",
    }


def row(image):
    """One row of `predictions`: the mean gray value as the probability of a mass."""
    mean = float(np.mean(image)) / 255
    return {
        "probabilities": [mean, 1 - mean],
        "calibrated": [mean / 2, float("nan")],
        "positive": [mean > 0.5, False],
        "findings": ["Mass", "Edema"],
        "logits": [0.0, 0.0],
    }


class Server(http.server.BaseHTTPRequestHandler):
    """Answers as documented for TensorFlow Serving, and rejects requests in other formats."""

    signature = signature()
    answer = None
    counts = None  # a list for the number of images in each request

    def do_GET(self):
        if self.path != "/v1/models/mamsf/metadata":
            return self.reply(404, {"error": f"Servable not found for request: {self.path}"})
        spec = {"name": "mamsf", "signature_name": "", "version": "1"}
        self.reply(
            200,
            {
                "model_spec": spec,
                "metadata": {"signature_def": {"signature_def": {"serving_default": self.signature}}},
            },
        )

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path != "/v1/models/mamsf:predict" or set(body) != {"signature_name", "instances"}:
            return self.reply(404, {"error": "Malformed request"})
        assert body["signature_name"] == "serving_default"
        images = [np.array(instance["images"], float) for instance in body["instances"]]
        if any(set(instance) != {"images"} for instance in body["instances"]) or images[0].shape != (8, 8, 1):
            return self.reply(400, {"error": "Expected shape [?,8,8,1]"})
        if self.counts is not None:
            self.counts.append(len(images))
        self.reply(200, self.answer or {"predictions": [row(image) for image in images]})

    def reply(self, code, content):
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(code)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *args):
        pass


@contextlib.contextmanager
def serving(**attributes):
    handler = type("Handler", (Server,), attributes)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", handler
        server.shutdown()


def test_rows_of_the_documented_format():
    with serving() as (url, _):
        predictor = open_server(url)
        assert (predictor.findings, predictor.image_size) == (("Mass", "Edema"), 8)
        outputs = predictor.outputs(IMAGES)
        mean = IMAGES.reshape(3, -1).mean(axis=1) / 255
        np.testing.assert_allclose(predictor.predict(IMAGES), np.stack([mean, 1 - mean], axis=1))
    assert list(outputs) == ["probabilities", "calibrated", "positive"]
    np.testing.assert_allclose(outputs["calibrated"], np.stack([mean / 2, np.full(3, np.nan)], axis=1))
    np.testing.assert_array_equal(outputs["positive"].astype(bool), np.stack([mean > 0.5, np.zeros(3)], axis=1))


@pytest.mark.parametrize(("pixels", "expected"), [(2 * 64, [2, 1]), (64, [1, 1, 1]), (1, [1, 1, 1]), (2**20, [3])])
def test_large_batches_are_split(pixels, expected):
    with serving(counts=[]) as (url, handler):
        predictor = open_server(url)
        whole = predictor.outputs(IMAGES)
        handler.counts.clear()
        predictor.request_pixels = pixels
        split = predictor.outputs(IMAGES)
    assert handler.counts == expected
    for name in whole:
        np.testing.assert_array_equal(split[name], whole[name])


def test_export_without_calibration():
    with serving(signature=signature(("probabilities", "findings"))) as (url, _):
        assert list(open_server(url).outputs(IMAGES)) == ["probabilities"]


def test_errors_of_the_server_are_passed_on():
    with serving() as (url, handler):
        with pytest.raises(ValueError, match=r"rejected the request \(404\): Servable not found"):
            open_server(f"{url}/chest")
        predictor = open_server(f"{url}/v1/models/mamsf")
        with pytest.raises(ValueError, match=r"rejected the request \(400\): Expected shape \[\?,8,8,1\]"):
            predictor.predict(IMAGES[:, :4])
        handler.signature = signature(("scores",))
        with pytest.raises(ValueError, match="the outputs scores, which is not an export"):
            open_server(url)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b"<html>", "does not answer in JSON"),
        (b"[1]", "does not answer with a JSON object"),
        ({"predictions": [[0.5, 0.5]]}, "one row of predictions per image"),
        ({"predictions": [[0.5, 0.5]] * 3}, "does not return rows of probabilities"),
        ({"outputs": [[0.5, 0.5]] * 3}, "one row of predictions per image"),
    ],
)
def test_other_answers_are_errors(answer, words):
    with serving() as (url, handler):
        predictor = open_server(url)
        handler.answer = answer
        with pytest.raises(ValueError, match=words):
            predictor.predict(IMAGES)


@contextlib.contextmanager
def answering(data):
    """Yields the URL of a server that sends bytes to its first client and closes the connection."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve():
            connection, _ = listener.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(data)

        threading.Thread(target=serve, daemon=True).start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


@pytest.mark.parametrize(
    ("data", "error", "words"),
    [
        (
            b"\x00\x00\x12\x04\x00\x00\x00\x00\x00\r\n",
            ConnectionError,
            "does not answer in HTTP. If this is the gRPC port",
        ),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{", ConnectionError, "closed the connection before the end"),
        (b"", ConnectionError, "cannot be reached: "),
        (b"HTTP/1.1 400 Bad Request\r\nContent-Length: 99\r\n\r\n{", ValueError, r"\(400\): Bad Request"),
    ],
)
def test_broken_responses_name_the_url_and_the_likely_cause(data, error, words):
    with answering(data) as url, pytest.raises(error, match=f"^{url} .*{words}") as raised:
        open_server(url)
    assert "\n" not in str(raised.value)


def test_invalid_port_is_named():
    with pytest.raises(ValueError, match="http://host:x is not a valid URL: nonnumeric port"):
        open_server("http://host:x")


@pytest.mark.parametrize("shape", [{"dim": [], "unknown_rank": True}, {"unknown_rank": True}, {"dim": DIMS[:2]}])
def test_input_of_another_rank_is_refused(shape):
    other = signature()
    other["inputs"]["images"]["tensor_shape"] = shape
    with serving(signature=other) as (url, _), pytest.raises(ValueError, match="Received: (unknown rank|.-1, 8.)"):
        open_server(url)


def test_unreachable_server_is_named():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # nobody listens
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(ConnectionError, match=f"{url} cannot be reached: .*refused"):
            open_server(url)
