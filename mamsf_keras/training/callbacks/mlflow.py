"""MLflow: the configuration and the logs of a run on an MLflow server."""

import dataclasses
import logging
import os
import re
import time
from typing import TYPE_CHECKING

import keras

from mamsf_keras.config import TrainConfig
from mamsf_keras.run_dir import RunDir
from mamsf_keras.storage import atomic_write
from mamsf_keras.training.callbacks.tensorboard import scalar_name
from mamsf_keras.training.history import History

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Metric

EXPERIMENT = "mamsf-keras"

logger = logging.getLogger(__name__)


def connect(uri: str) -> "MlflowClient":
    """Returns a client of an MLflow server, a database or a folder. It turns MLflow's telemetry off by default.

    Raises:
        ImportError: if MLflow is not installed.
        ConnectionError: if the server cannot be reached.
    """
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # otherwise the import writes a file to ~/.config
    try:
        import mlflow
    except ImportError:
        raise ImportError('`mlflow` needs `pip install "mamsf-keras[mlflow]"`.') from None
    try:
        client = mlflow.MlflowClient(uri)
        client.get_experiment_by_name(EXPERIMENT)
        return client
    except (mlflow.exceptions.MlflowException, OSError) as error:
        database = uri.startswith(("sqlite:", "postgresql:", "mysql:", "mssql:"))
        fix = " A database also needs `pip install sqlalchemy alembic`; or use a server on it." if database else ""
        raise ConnectionError(f"MLflow at {uri} cannot be used: {error}{fix}") from error


class MLflow(keras.callbacks.Callback):
    """Sends the configuration and the logs of each epoch to an MLflow server. A resumed run continues its MLflow run.

    The server receives each log of the history once, even if a run is killed after a checkpoint and before the epoch
    is sent. If the connection is lost, this is logged and training continues; the missing epochs are sent when the run
    is resumed. A log that the server rejects is skipped and named in a warning.

    Args:
        config: configuration of the run; `config.mlflow` is the tracking URI.
        run: the run folder. The MLflow run has its name, and the ID of the MLflow run is stored in it.
        history: the finished epochs.

    Raises:
        ImportError: if MLflow is not installed.
        ConnectionError: if the server cannot be reached.
    """

    def __init__(self, config: TrainConfig, run: RunDir, history: History) -> None:
        super().__init__()
        assert config.mlflow is not None
        self.history = history
        self.client = connect(config.mlflow)
        import mlflow

        self.errors = (mlflow.exceptions.MlflowException, OSError)
        self.lost = False
        self.refused: set[str] = set()
        try:
            self.run_id = self._find_run(run) or self._create_run(run)
            self.sent = self._known_logs()
            self._send_params(config)
        except self.errors as error:
            raise ConnectionError(f"MLflow at {config.mlflow} cannot be used: {error}") from error

    def _experiment(self) -> str:
        experiment = self.client.get_experiment_by_name(EXPERIMENT)
        return experiment.experiment_id if experiment else self.client.create_experiment(EXPERIMENT)

    def _find_run(self, run) -> str | None:
        """Continues the run that was started on this server, if there is one."""
        known = run.mlflow_id.read_text(encoding="utf-8") if run.mlflow_id.exists() else None
        if known is None or not self.client.search_runs([self._experiment()], f"attributes.run_id = '{known}'"):
            return None
        self.client.update_run(known, status="RUNNING")
        return known

    def _create_run(self, run) -> str:
        run_id = self.client.create_run(self._experiment(), run_name=run.path.name).info.run_id
        with atomic_write(run.mlflow_id) as temporary:
            temporary.write_text(run_id, encoding="utf-8")
        return run_id

    def _known_logs(self) -> set[tuple[str, int]]:
        """Returns the name and the step of each metric that the server has."""
        names = self.client.get_run(self.run_id).data.metrics
        return {(name, metric.step) for name in names for metric in self.client.get_metric_history(self.run_id, name)}

    def _send_params(self, config):
        """Sends the fields of the configuration that the server does not have. MLflow does not allow changing one."""
        from mlflow.entities import Param

        known = self.client.get_run(self.run_id).data.params
        params = [Param(name, str(value)) for name, value in dataclasses.asdict(config).items() if name not in known]
        self.client.log_batch(self.run_id, params=params)

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Sends the part of the history that the server does not have, with the number of the epoch as the step."""
        for finished in self.history.epochs:
            try:
                if not self.lost:  # each attempt takes minutes
                    self._send(self._metrics(finished))
            except self.errors as error:
                self.lost = True
                number = finished["epoch"]
                logger.warning(
                    "MLflow did not accept epoch %d, so no more epochs are sent until the run is resumed: %s",
                    number,
                    error,
                )

    def _metrics(self, logs: dict) -> list["Metric"]:
        """Returns the metrics of an epoch that the server does not have."""
        from mlflow.entities import Metric

        now, step = int(1000 * time.time()), logs["epoch"]
        metrics = [Metric(metric_name(name), value, now, step) for name, value in logs.items() if name != "epoch"]
        return [metric for metric in metrics if (metric.key, step) not in self.sent and metric.key not in self.refused]

    def _send(self, metrics: list["Metric"]) -> None:
        """Sends the metrics of one epoch: all at once or, if the server rejects them, one by one."""
        import mlflow

        try:
            if metrics:
                self.client.log_batch(self.run_id, metrics)
        except mlflow.exceptions.MlflowException as error:
            if error.error_code != "INVALID_PARAMETER_VALUE":
                raise
            if len(metrics) == 1:
                self.refused.add(metrics[0].key)
                logger.warning("MLflow rejected %s: %s", metrics[0].key, error)
            else:
                for metric in metrics:
                    self._send([metric])
        else:
            self.sent |= {(metric.key, metric.step) for metric in metrics}

    def finish(self, status: str) -> None:
        """Reports the final status of the run, "FINISHED" or "FAILED"."""
        try:
            if not self.lost:
                self.client.set_terminated(self.run_id, status)
        except self.errors as error:
            logger.warning("MLflow did not accept the final status of the run: %s", error)


def metric_name(log: str) -> str:
    """Returns the name of a log on a server. Characters that MLflow rejects become hex codes: "a(b" is "a_28_b"."""
    return re.sub(r"[^\w./ -]", lambda match: f"_{ord(match[0]):x}_", scalar_name(log))
