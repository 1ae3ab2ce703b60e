"""SavedModel for TensorFlow Serving: tensors or encoded images in, every output by name out."""

import importlib.util
import io
import logging
from pathlib import Path

import numpy as np
import tensorflow as tf
from PIL import Image

from mamsf_keras.export.description import EXTRA, describe
from mamsf_keras.export.serving_module import ServingModule
from mamsf_keras.storage import write_json

WARMUP = "tf_serving_warmup_requests"
"""The file in `EXTRA` that TensorFlow Serving replays before it serves a version."""

logger = logging.getLogger(__name__)


def write_saved_model(module: ServingModule, folder: str | Path, images: np.ndarray | None = None) -> None:
    """Writes a SavedModel with the signatures `serving_default` and `serve_bytes`; `ServingModule` describes them.

    `assets.extra` gets `labels.txt`, `preprocessing.json`, `calibration.json` and warm-up requests. Writing
    the requests needs the `serving` extra; without it, they are left out with a warning.

    Args:
        module: the model and its functions.
        folder: the folder to write.
        images: not used; part of the interface of all writers.
    """
    signatures = {"serving_default": module.serve, "serve_bytes": module.serve_bytes}
    tf.saved_model.save(module, str(folder), signatures=signatures)
    extra = Path(folder) / EXTRA
    extra.mkdir()
    extra.joinpath("labels.txt").write_text("\n".join(module.findings) + "\n", encoding="utf-8")
    write_json(extra / "preprocessing.json", describe(module))
    if calibration := module.get_calibration():
        calibration.save(extra / "calibration.json")
    if importlib.util.find_spec("tensorflow_serving") is None:
        logger.warning('the SavedModel has no warm-up requests: they need `pip install "mamsf-keras[serving]"`')
    else:
        _write_warmup(extra / WARMUP, module.image_size or 32)


def _write_warmup(path, size):
    """Writes one request per signature and kind of file, on black images, because real images would be patient data."""
    from tensorflow_serving.apis import predict_pb2, prediction_log_pb2

    requests = [("serving_default", "images", np.zeros((1, size, size, 1), np.float32))]
    for kind in ("PNG", "JPEG"):
        file = io.BytesIO()
        Image.new("L", (size, size)).save(file, kind)
        requests.append(("serve_bytes", "image_bytes", np.array([file.getvalue()], object)))
    with tf.io.TFRecordWriter(str(path)) as writer:
        for signature, name, value in requests:
            request = predict_pb2.PredictRequest()
            request.model_spec.signature_name = signature
            request.inputs[name].CopyFrom(tf.make_tensor_proto(value))
            log = prediction_log_pb2.PredictionLog(predict_log=prediction_log_pb2.PredictLog(request=request))
            writer.write(log.SerializeToString())
