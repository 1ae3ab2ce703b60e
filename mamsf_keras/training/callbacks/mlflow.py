"""MLflow: the configuration and the logs of a run on an MLflow server."""

import dataclasses
import logging
import time
from typing import TYPE_CHECKING

import keras

from mamsf_keras.config import TrainConfig
from mamsf_keras.run_dir import RunDir
from mamsf_keras.storage import atomic_write
from mamsf_keras.training.callbacks.tensorboard import scalar_name

if TYPE_CHECKING:
    from mlflow import MlflowClient

EXPERIMENT = "mamsf-keras"

logger = logging.getLogger(__name__)


def connect(uri: str) -> "MlflowClient":
    """Returns a client of an MLflow server.

    Raises:
        ImportError: if MLflow is not installed.
        ConnectionError: if the server cannot be reached.
    """
    try:
        import mlflow
    except ImportError:
        raise ImportError("`mlflow` needs `pip install mlflow-skinny`.") from None
    try:
        client = mlflow.MlflowClient(uri)
        client.get_experiment_by_name(EXPERIMENT)
        return client
    except (mlflow.exceptions.MlflowException, OSError) as error:
        raise ConnectionError(f"MLflow at {uri}: {error}") from error


class MLflow(keras.callbacks.Callback):
    """Sends the configuration and the logs of each epoch to an MLflow server. A resumed run continues its MLflow run.

    If the connection is lost during the run, this is logged and training continues.

    Args:
        config: of the run; `config.mlflow` is the tracking URI.
        run: the run folder, whose name the run has there. The id of the run there is kept in it.

    Raises:
        ImportError: if MLflow is not installed.
        ConnectionError: if the server cannot be reached.
    """

    def __init__(self, config: TrainConfig, run: RunDir) -> None:
        super().__init__()
        assert config.mlflow is not None
        self.client = connect(config.mlflow)
        import mlflow

        self.errors = (mlflow.exceptions.MlflowException, OSError)
        self.lost = False
        try:
            self.run_id = self._find_run(run) or self._create_run(config, run)
        except self.errors as error:
            raise ConnectionError(f"MLflow at {config.mlflow}: {error}") from error

    def _experiment(self) -> str:
        experiment = self.client.get_experiment_by_name(EXPERIMENT)
        return experiment.experiment_id if experiment else self.client.create_experiment(EXPERIMENT)

    def _find_run(self, run) -> str | None:
        """Continues the run that was started on this server, if there is one."""
        known = run.mlflow_id.read_text(encoding="utf-8") if run.mlflow_id.exists() else None
        if known not in [there.info.run_id for there in self.client.search_runs([self._experiment()])] or known is None:
            return None
        self.client.update_run(known, status="RUNNING")
        return known

    def _create_run(self, config, run) -> str:
        from mlflow.entities import Param

        run_id = self.client.create_run(self._experiment(), run_name=run.path.name).info.run_id
        with atomic_write(run.mlflow_id) as temporary:
            temporary.write_text(run_id, encoding="utf-8")
        params = [Param(name, str(value)) for name, value in dataclasses.asdict(config).items()]
        self.client.log_batch(run_id, params=params)
        return run_id

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Sends the logs at step `epoch + 1`."""
        from mlflow.entities import Metric

        if self.lost:  # each attempt takes minutes
            return
        assert logs is not None
        now = int(1000 * time.time())
        metrics = [Metric(scalar_name(name), float(value), now, epoch + 1) for name, value in logs.items()]
        try:
            self.client.log_batch(self.run_id, metrics)
        except self.errors as error:
            self.lost = True
            logger.warning("MLflow did not take epoch %d and gets no more: %s", epoch + 1, error)

    def finish(self, status: str) -> None:
        """Reports the final status of the run, "FINISHED" or "FAILED"."""
        try:
            if not self.lost:
                self.client.set_terminated(self.run_id, status)
        except self.errors as error:
            logger.warning("MLflow did not take the end of the run: %s", error)
