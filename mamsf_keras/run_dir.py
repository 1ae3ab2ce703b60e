"""RunDir: the folder of a training run. All file names of a run are defined here."""

import contextlib
import functools
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mamsf_keras.config import TrainConfig
from mamsf_keras.storage import exclusive_lock, read_json


class RunDir:
    """The folder of a training run: the paths of its files, its configuration and its lock.

    `RunDir.create` makes the folder of a new run, `RunDir.open` opens that of an existing one.

    ```python
    run = RunDir.open("runs/demo")
    run.config.epochs, run.model("best"), run.metrics("test")
    ```

    Attributes:
        path: the folder.
        config_file: `config.json`, what `RunDir.config` reads.
        environment: `environment.json`, the versions, devices and data that the run started with.
        history: `history.csv`, one row per epoch.
        history_plot: `history.png`, loss and validation AUROC over the epochs.
        checkpoints: folder of the checkpoints to resume from.
        bad_batch: `bad-batch.csv`, the images of the step at which the loss stopped being finite.
        calibration: `calibration.json`, calibrated probabilities and thresholds, fitted on the validation split.
        tensorboard: folder of the TensorBoard events.
        mlflow_id: `mlflow-run.txt`, the ID of the run in MLflow.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.config_file = self.path / "config.json"
        self.environment = self.path / "environment.json"
        self.history = self.path / "history.csv"
        self.history_plot = self.path / "history.png"
        self.checkpoints = self.path / "checkpoints"
        self.bad_batch = self.path / "bad-batch.csv"
        self.calibration = self.path / "calibration.json"
        self.tensorboard = self.path / "tensorboard"
        self.mlflow_id = self.path / "mlflow-run.txt"

    @classmethod
    def open(cls, path: str | Path) -> "RunDir":
        """Opens the folder of an existing run.

        Raises:
            FileNotFoundError: if the folder is missing, or is not the folder of a run.
        """
        run = cls(path)
        if not run.path.is_dir():
            raise FileNotFoundError(
                f"The run folder {path} does not exist. Set `run_dir` to a folder written by `train`."
            )
        if not run.config_file.is_file():
            raise FileNotFoundError(f"{path} is not a run folder: it has no {run.config_file.name}.")
        return run

    @classmethod
    @contextlib.contextmanager
    def create(cls, path: str | Path, config: TrainConfig) -> Iterator["RunDir"]:
        """Makes the folder of a new run, writes its configuration and holds its lock for the block.

        If the block raises an exception before there is anything to resume or to inspect (no checkpoint, no
        `bad-batch.csv`), the folder is removed, with the parent folders that were made for it. An interrupt
        (`KeyboardInterrupt`) removes nothing.

        Raises:
            FileExistsError: if the folder exists.
        """
        run = cls.free(path)
        made = [folder for folder in (run.path, *run.path.parents) if not folder.exists()]
        run.path.mkdir(parents=True)
        try:
            with run.lock():
                config.save(run.config_file)
                yield run
        except Exception:
            if not (run.checkpoint_files() or run.bad_batch.exists()):
                _remove(made)
            raise

    @classmethod
    def free(cls, path: str | Path) -> "RunDir":
        """Returns the `RunDir` of a folder that does not exist yet. Raises `FileExistsError` if it does."""
        run = cls(path)
        if run.path.exists():
            fix = ", or resume the run with `resume`" if run.config_file.exists() else ""
            raise FileExistsError(f"The run folder {path} already exists. Choose another `run_dir`{fix}.")
        return run

    def lock(self) -> contextlib.AbstractContextManager[None]:
        """Returns a context manager that holds the lock of the run.

        Raises:
            BlockingIOError: on entering, if another process trains this run.
        """
        return exclusive_lock(self.path)

    @functools.cached_property
    def config(self) -> TrainConfig:
        """The configuration that the run was started with."""
        return TrainConfig.load(self.config_file)

    def read_environment(self) -> dict[str, Any]:
        """Reads `environment.json`. Raises `FileNotFoundError` if it is missing, `ValueError` if it is damaged."""
        return read_json(self.environment, "Restore it, or start a new run.")

    def model(self, name: str) -> Path:
        """Returns the path of a model for inference: "best" (highest validation AUROC) or "last"."""
        return self.path / f"{name}.keras"

    def best_model(self) -> Path:
        """Returns the path of the best model. Raises `FileNotFoundError` if the run has not finished an epoch."""
        path = self.model("best")
        if not path.exists():
            raise FileNotFoundError(f"{self.path} has no {path.name} yet. Resume the run until an epoch is finished.")
        return path

    def predictions(self, split: str) -> Path:
        """Returns the path of the predictions on one split, a CSV file."""
        return self.path / f"predictions-{split}.csv"

    def metrics(self, split: str) -> Path:
        """Returns the path of the metrics on one split, a JSON file."""
        return self.path / f"metrics-{split}.json"

    def read_metrics(self, split: str) -> dict[str, Any]:
        """Reads the metrics on one split; {} if there are none. Raises `ValueError` if the file is damaged."""
        path = self.metrics(split)
        return read_json(path, "Remove it, and run `evaluate` again.") if path.exists() else {}

    def report(self, split: str) -> Path:
        """Returns the path of the report on one split, an HTML file."""
        return self.path / f"report-{split}.html"

    def metrics_table(self, split: str) -> Path:
        """Returns the path of the table of the metrics on one split, a Markdown file."""
        return self.path / f"metrics-{split}.md"

    def checkpoint(self, epochs: int) -> Path:
        """Returns the path of the checkpoint after this number of epochs."""
        return self.checkpoints / f"epoch-{epochs:04d}.npz"

    def checkpoint_files(self) -> list[Path]:
        """Lists the checkpoints that exist, the newest first."""
        return sorted(self.checkpoints.glob("epoch-*.npz"), key=lambda path: (len(path.name), path.name), reverse=True)


def _remove(folders):
    """Removes a folder and, if they contain nothing else, the parents that were created for it."""
    run_folder, *parents = folders
    shutil.rmtree(run_folder, ignore_errors=True)
    with contextlib.suppress(OSError):
        for folder in parents:
            folder.rmdir()
