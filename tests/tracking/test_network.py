"""The network as an MLflow model."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pytest
import torch
from mlflow.exceptions import MlflowException
from torch import Tensor

from gcnpose import tracking
from gcnpose.nn import UGCN
from gcnpose.nn.any_length import following
from gcnpose.skeleton import Skeleton
from gcnpose.tracking import (
    Tracker,
)
from gcnpose.tracking.served_model import ServedModel
from tests.motions import past_the_beginning
from tests.stores import client, config, messages


def network(**settings: Any) -> UGCN:
    """Small, with every part showing in the output, and three scales: frames are padded to multiples of 4."""
    skeleton = Skeleton.load("h36m17")
    return past_the_beginning(UGCN(skeleton, channels=(4, 6, 8), **settings))  # type: ignore[return-value]


def artifact_folder(uri: str, tracker: Tracker) -> str:
    assert tracker.run_id is not None
    run: Any = client(uri).get_run(tracker.run_id)
    (model_id,) = [model.model_id for model in run.outputs.model_outputs]
    entry = client(uri).get_logged_model(model_id)
    assert (entry.name, entry.status, entry.experiment_id) == ("model", "READY", run.info.experiment_id)
    return str(entry.artifact_location)


REACH = 5
Logged = tuple[UGCN, Path, Any]


@pytest.fixture(scope="module")
def logged(migrated_database: Path, tmp_path_factory: pytest.TempPathFactory) -> Logged:
    """A network, the folder of the MLflow model that it was logged as, and what MLflow loads from there."""
    folder = tmp_path_factory.mktemp("logged")
    uri = f"sqlite:///{shutil.copy(migrated_database, folder / 'mlflow.db')}"
    warned: list[tuple[object, ...]] = []
    trained = network(aggregation="native").train()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        patch.setattr(tracking.network.logger, "warning", lambda *message: warned.append(message))
        with Tracker.start(config(uri), "model", {"a": 1}) as tracker:
            tracker.log_model(trained, torch.rand(2, 8, 17, 2), follow_reach=REACH)
        assert "MLFLOW_TRACKING_URI" not in os.environ
    assert trained.training
    assert warned == []
    where = mlflow.artifacts.download_artifacts(artifact_folder(uri, tracker))
    return trained, Path(where), mlflow.pyfunc.load_model(where)


def test_a_logged_network_describes_itself(logged: Logged) -> None:
    _, folder, _ = logged
    requirements = (folder / "requirements.txt").read_text()
    assert f"torch=={torch.__version__.partition('+')[0]}" in requirements.split()
    assert "gcnpose" not in requirements
    signature = mlflow.models.Model.load(str(folder)).signature
    assert [spec.shape for spec in signature.inputs.inputs] == [(-1, -1, 17, 2)]
    assert [spec.shape for spec in signature.outputs.inputs] == [(-1, -1, 17, 3)]
    assert [param.name for param in signature.params.params] == ["width", "height"]


@pytest.mark.parametrize(("people", "frames"), [(1, 1), (1, 4), (3, 21)])
def test_a_logged_network_lifts_pixels_like_the_eager_one(people: int, frames: int, logged: Logged) -> None:
    trained, _, served = logged
    pixels = np.random.default_rng(0).uniform(0, 1000, (people, frames, 17, 2)).astype(np.float32)
    x, y = pixels[..., 0] / 1920 * 2 - 1, pixels[..., 1] / 1920 * 2 - 1080 / 1920
    lift = following(trained, trained, REACH).eval()
    with torch.no_grad():
        expected = lift(torch.from_numpy(np.stack([x, y], axis=-1))).numpy()
    lifted = served.predict(pixels, params={"width": 1920, "height": 1080})
    assert lifted.dtype == np.float32
    np.testing.assert_allclose(lifted, expected, atol=1e-5)


@pytest.mark.parametrize(("follows", "side"), [(False, 1080), (True, 1920)])
def test_what_follows_takes_keypoints_by_the_longer_side(follows: bool, side: int) -> None:
    pixels = np.array([[[[0, 0], [1080, 1920]]]], dtype=np.float32)
    served = ServedModel(lambda keypoints_2d: keypoints_2d, follows)
    normalised = served.predict(pixels, params={"width": 1080, "height": 1920})
    corner = np.array([1080, 1920]) / side
    np.testing.assert_allclose(normalised[0, 0], [-corner, corner])


def answer(served: Any, payload: object) -> Any:
    """What MLflow's scoring server answers a request with."""
    from mlflow.pyfunc.scoring_server import invocations

    schema = served.metadata.get_input_schema()
    response = invocations(json.dumps(payload), "application/json", served, schema)
    assert response.status == 200
    return json.loads(response.response)["predictions"]


def test_the_scoring_server_takes_keypoints_and_answers_3d(
    logged: Logged,
) -> None:
    _, folder, served = logged
    example = json.loads((folder / "serving_input_example.json").read_text())
    assert np.shape(answer(served, example)) == (1, 8, 17, 3)
    whole_numbers = {"inputs": [[[[100, 200]] * 17] * 5], "params": {"width": 640, "height": 480}}
    assert np.shape(answer(served, whole_numbers)) == (1, 5, 17, 3)


@pytest.mark.parametrize(
    ("keypoints", "params", "message"),
    [
        ([[[[1, 2]] * 17]], {}, "expected the width and height of the image in pixels, .* not None and None"),
        ([[[[1, 2]] * 17]], {"width": 640}, "not 640.0 and None"),
        ([[[[1, 2]] * 17]], {"width": 0, "height": 480}, "not 0.0 and 480.0"),
        ([[[[1, 2]] * 16]], {"width": 640, "height": 480}, r"\(1, 1, 16, 2\)"),
        ([[[[1, 2, 3]] * 17]], {"width": 640, "height": 480}, r"\(1, 1, 17, 3\)"),
        ([[[[1, None]] * 17]], {"width": 640, "height": 480}, "person 0, frame 0, joint 0: .* not finite"),
        ([[[[1, "a"]] * 17]], {"width": 640, "height": 480}, "float"),
    ],
)
def test_a_bad_request_is_refused_with_the_reason(
    keypoints: object, params: object, message: str, logged: Logged
) -> None:
    with pytest.raises(MlflowException, match=message) as refusal:
        answer(logged[2], {"inputs": keypoints, "params": params})
    assert refusal.value.get_http_status_code() == 400


def test_no_frame_is_refused(logged: Logged) -> None:
    with pytest.raises(MlflowException, match="expected at least one person and one frame"):
        logged[2].predict(np.zeros((1, 0, 17, 2), np.float32), params={"width": 640, "height": 480})


class Untraceable(UGCN):
    def forward(self, keypoints_2d: Tensor) -> Tensor:
        return keypoints_2d * 2 if float(keypoints_2d.sum()) > 0 else keypoints_2d


def test_a_network_that_cannot_be_traced_costs_only_the_model(
    tracking_uri: str, caplog: pytest.LogCaptureFixture
) -> None:
    with Tracker.start(config(tracking_uri), "model", {}) as tracker:
        tracker.log_model(Untraceable(Skeleton.load("h36m17"), channels=(4, 6)), torch.rand(2, 8, 17, 2))
        tracker.log_metrics({"after": 1.0})
    (message,) = messages(caplog)
    assert message.startswith("the network was not logged as a model, it cannot be traced: ")
    assert tracker.run_id is not None
    run: Any = client(tracking_uri).get_run(tracker.run_id)
    assert (run.data.metrics, run.info.status) == ({"after": 1.0}, "FINISHED")
    assert not run.outputs.model_outputs
