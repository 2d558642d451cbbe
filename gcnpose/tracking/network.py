"""A network as an MLflow model that needs nothing of this package."""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gcnpose.nn import LiftingNetwork
from gcnpose.nn.any_length import portable
from gcnpose.tracking import served_model
from gcnpose.tracking.store import reason_of

logger = logging.getLogger(__package__)


def log_network(
    client: Any, uri: str, run_id: str, model: LiftingNetwork, example: Tensor, follow_reach: int | None
) -> None:
    """Stores a network with a run, see :meth:`gcnpose.tracking.Tracker.log_model`."""
    import mlflow
    import numpy as np
    from mlflow.models import Model

    pixels = example[:1].detach().cpu().numpy().astype(np.float32)
    pixels[..., :2] = np.round((pixels[..., :2] + 1) * 500, 1)
    requirements = [f"{name}=={version(name).partition('+')[0]}" for name in ("mlflow", "numpy", "torch")]
    with tempfile.TemporaryDirectory() as folder:
        network = Path(folder) / "network.pt2"
        try:
            _trace(model, follow_reach, network)
        except Exception as error:
            reason = reason_of(error)
            logger.warning("the network was not logged as a model, it cannot be traced: %s", reason)
            return
        experiment_id = client.get_run(run_id).info.experiment_id
        # Made here, because log would put it into the experiment that is current in this process.
        entry = client.create_logged_model(experiment_id, name="model", source_run_id=run_id)
        with _as_current(uri):
            Model.log(
                artifact_path=None,
                flavor=mlflow.pyfunc,
                model_id=entry.model_id,
                run_id=run_id,
                loader_module=Path(served_model.__file__).stem,
                code_paths=[served_model.__file__],
                data_path=str(network),
                signature=_signature(model),
                input_example=(pixels, {"width": 1000.0, "height": 1000.0}),
                pip_requirements=requirements,
            )


def _trace(model: LiftingNetwork, follow_reach: int | None, path: Path) -> None:
    """Writes the network as a graph of any batch and any number of frames."""
    lift = portable(model, follow_reach)
    example = torch.zeros(2, 2, model.joints, model.input_channels)  # a size of 1 would stay 1
    free = {0: torch.export.Dim("batch"), 1: torch.export.Dim("frames")}
    program = torch.export.export(lift, (example,), dynamic_shapes=(free,))
    follows = served_model.FOLLOWS if follow_reach is not None else ""
    torch.export.save(program, path, extra_files={served_model.FOLLOWS_FILE: follows})


def _signature(model: LiftingNetwork) -> Any:
    """What MLflow checks of a request: the shape of the keypoints, and that sizes are numbers."""
    import numpy as np
    from mlflow.models import ModelSignature
    from mlflow.types import ParamSchema, ParamSpec, Schema, TensorSpec

    keypoints_2d, pose_3d = (
        Schema([TensorSpec(np.dtype(np.float32), (-1, -1, model.joints, channels))])
        for channels in (model.input_channels, 3)
    )
    size = ParamSchema([ParamSpec(side, "double", None) for side in ("width", "height")])
    return ModelSignature(keypoints_2d, pose_3d, size)


@contextmanager
def _as_current(uri: str) -> Iterator[None]:
    """Makes the store the process's current one for a while."""
    import mlflow

    before = os.environ.get("MLFLOW_TRACKING_URI")  # set_tracking_uri writes it too
    mlflow.set_tracking_uri(uri)
    try:
        yield
    finally:
        mlflow.set_tracking_uri(before)  # type: ignore[arg-type]  # None is what unsets it
