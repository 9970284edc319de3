"""Scalars for MLflow, into a file in the work dir unless MLFLOW_TRACKING_URI names another place."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import sqlite3
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sdpose.errors import SdposeError
from sdpose.monitor import Alert
from sdpose.monitor.readers.run_config import flat
from sdpose.training.scalar_loggers import Ending, remember_run, remembered_run

DATABASE = "mlflow.db"
_STATUS = {"finished": "FINISHED", "interrupted": "KILLED", "failed": "FAILED"}
_PARAMS_AT_ONCE = 100
# No word to MLflow's makers; and a server that is gone must not hold up the training for minutes, as seven tries would.
_ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
}


class MlflowScalars:
    """One run in an experiment; a resumed training goes on in the run of its work dir.

    `parameters` are the settings that the run is told by.
    """

    name = "MLflow"

    def __init__(
        self,
        work_dir: Path,
        *,
        exp_name: str | None,
        tags: Mapping[str, str],
        parameters: Mapping[str, object],
        resumed: bool,
    ) -> None:
        for name, value in _ENVIRONMENT.items():
            os.environ.setdefault(name, value)
        try:
            import sqlalchemy  # noqa: F401  without it MLflow has no local store
            from mlflow import MlflowClient
            from mlflow.entities import Metric, Param
        except ImportError as error:
            raise SdposeError(
                "the config asks for MlflowLoggerHook, but MLflow is not installed: pip install 'sdpose[mlflow]', or "
                "take the hook out of log_config"
            ) from error
        self._metric, self._param = Metric, Param
        # It tells of every table that it makes.
        logging.getLogger("mlflow").setLevel(logging.WARNING)
        logging.getLogger("alembic").setLevel(logging.WARNING)
        work_dir.mkdir(parents=True, exist_ok=True)
        where = os.environ.get("MLFLOW_TRACKING_URI")
        if where is None:
            _require_database(work_dir / DATABASE)
        self._client = MlflowClient(tracking_uri=where or f"sqlite:///{(work_dir / DATABASE).absolute()}")
        known = remembered_run(work_dir, self.name) if resumed else None
        if known is not None and self._goes_on(known):
            self._run = known
            return
        self._run = self._new_run(work_dir, exp_name or "sdpose", tags, parameters, local=where is None)
        remember_run(work_dir, self.name, self._run)

    def add(self, mode: str, values: Mapping[str, float], *, lr: float, iteration: int) -> None:
        now_ms = int(time.time() * 1000)
        named = {f"{mode}/{name}": value for name, value in values.items()} | {"learning_rate": lr}
        metrics = [
            self._metric(allowed_name(name), float(value), now_ms, iteration) for name, value in named.items()
        ]
        self._client.log_batch(self._run, metrics=metrics)

    def alert(self, alert: Alert) -> None:
        """A tag, which MLflow shows on the run's page; a later alert of the kind replaces it."""
        text = f"{alert.severity} at iteration {alert.iteration}: {alert.message}"
        self._client.set_tag(self._run, f"alert.{alert.kind}", text)

    def close(self, ending: Ending) -> None:
        self._client.set_terminated(self._run, _STATUS[ending])

    def _goes_on(self, run: str) -> bool:
        """Whether the run is there; a store that another MLFLOW_TRACKING_URI names does not have it."""
        from mlflow.exceptions import MlflowException

        try:
            self._client.update_run(run, "RUNNING")
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            return False
        return True

    def _new_run(
        self,
        work_dir: Path,
        experiment: str,
        tags: Mapping[str, str],
        parameters: Mapping[str, object],
        *,
        local: bool,
    ) -> str:
        found = self._client.get_experiment_by_name(experiment)
        artifacts = str((work_dir / "mlartifacts").absolute()) if local else None
        number = (
            found.experiment_id
            if found is not None
            else self._client.create_experiment(experiment, artifact_location=artifacts)
        )
        own = {"sdpose.work_dir": str(work_dir.absolute())}
        run: str = self._client.create_run(number, run_name=work_dir.name, tags={**own, **tags}).info.run_id
        rows: list[Any] = [
            self._param(allowed_name(key), text[:500]) for key, text in flat(parameters).items()
        ]
        for start in range(0, len(rows), _PARAMS_AT_ONCE):
            self._client.log_batch(run, params=rows[start : start + _PARAMS_AT_ONCE])
        return run


def _require_database(path: Path) -> None:
    """Ask at once what MLflow would find out in ten tries over minutes: whether the file can be written."""
    with contextlib.closing(sqlite3.connect(path)) as database:
        database.execute("BEGIN IMMEDIATE")
        database.rollback()


def allowed_name(name: str) -> str:
    """A name that MLflow takes: `val/AP (M)` becomes `val/AP M`."""
    return re.sub(r"[^\w\-. :/]", "", name)
