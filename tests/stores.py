"""Stores of MLflow, as tests ask for them."""

from __future__ import annotations

from typing import Any

import mlflow
import pytest

from gcnpose.config import TrackingConfig


def config(uri: str | None, **settings: Any) -> TrackingConfig:
    return TrackingConfig(uri=uri, **{"system_metrics": False, **settings})


def client(uri: str) -> mlflow.MlflowClient:
    return mlflow.MlflowClient(uri)


def experiment_of(uri: str) -> Any:
    return client(uri).get_experiment_by_name("gcnpose")


def messages(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == "gcnpose.tracking"]
