"""Task: one conversion or reference, run in a separate process on TensorFlow and the CPU by `worker.py`.

TFLite conversion fails for a model of another backend or in mixed precision, fifteen conversions in one process take 11
GB, and a GPU rounds convolutions to ten bits, which would hide what a conversion changes.
"""

import dataclasses
import json
import logging
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

REFERENCE = "reference"
"""Name of the task that predicts with Keras and writes nothing."""
TASK, OUTPUTS, RESULT, LOG = "task.json", "outputs.npz", "result.json", "log"
"""The files of a process: what it does, its outputs, its measurements or its error, and what it prints."""
ERRORS: dict[str, type[Exception]] = {kind.__name__: kind for kind in (ImportError, OSError, ValueError)}
"""The errors that a worker passes on, with their subclasses."""


@dataclasses.dataclass(frozen=True)
class Task:
    """What a worker does: write one format, load it, and predict the images with it.

    Attributes:
        name: a key of `export.formats.FORMATS`, or `REFERENCE`.
        model: `.keras` file.
        path: file or folder to write.
        images: `.npy` file, uint8 `(images, height, width, 1)`, to compare on.
        representative: `.npy` file of images on which int8 measures the ranges of the activations.
        calibration: `calibration.json`, or None.
        operating_point: operating point of the output `positive`.
        work: folder for temporary files; None uses that of the system.
    """

    name: str
    model: str
    path: str
    images: str
    representative: str
    calibration: str | None = None
    operating_point: str = "youden"
    work: str | None = None

    def run(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Runs the task in a separate process. What it logs as a warning or above is logged again.

        Returns:
            The outputs by name, each `(images, findings)`, and the measurements: `size_bytes`, and `latency_ms` with
            `median`, `p99` and `runs` by batch size.

        Raises:
            ImportError, OSError, ValueError: what the process raised.
            RuntimeError: if it failed in any other way; contains the last words that it printed.
        """
        with tempfile.TemporaryDirectory(dir=self.work) as folder:
            code, content = self._run_in(Path(folder))
            for name, level, message in content.pop("log", []):
                logging.getLogger(name).log(level, message)
            if error := content.get("error"):
                raise ERRORS[error["type"]](f"{self.name}: {error['message']}")
            if code or not content:
                last = " ".join(Path(folder, LOG).read_text(errors="replace").split()[-60:])
                raise RuntimeError(f"The {self.name} conversion ended with exit code {code}: {last}")
            with np.load(Path(folder, OUTPUTS)) as arrays:
                return dict(arrays), content

    def _run_in(self, folder: Path) -> tuple[int, dict[str, Any]]:
        """Runs the process, which writes its files to a folder. Returns its exit code and its result."""
        environment = {**os.environ, "KERAS_BACKEND": "tensorflow", "CUDA_VISIBLE_DEVICES": "-1"}
        environment |= {"TF_CPP_MIN_LOG_LEVEL": "3", "TMPDIR": str(folder)}
        folder.joinpath(TASK).write_text(json.dumps(dataclasses.asdict(self)), encoding="utf-8")
        command = [sys.executable, "-P", "-m", "mamsf_keras.export.worker", str(folder)]
        with open(folder / LOG, "wb") as printed:
            code = _run(command, stdout=2, stderr=printed, env=environment)
        result = folder / RESULT
        return code, json.loads(result.read_text(encoding="utf-8")) if result.exists() else {}


def _run(command, **options) -> int:
    """Runs a process and returns its exit code. If this process dies, its standard input closes and it ends too."""
    with subprocess.Popen(command, stdin=subprocess.PIPE, **options) as process:
        try:
            return process.wait()
        except BaseException:  # Ctrl-C
            process.kill()
            raise
