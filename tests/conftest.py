"""What all tests share."""

import os
import shutil
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # for the commands that tests start
os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"  # read when mlflow is imported, so before any test module

import pytest
import torch


@pytest.fixture(scope="session", autouse=True)
def few_threads() -> None:
    """The tensors here are small, and threads that wait for one another crawl on a busy machine."""
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def one_seed() -> None:
    """What a test draws does not depend on those before it, nor on the process that it is run in."""
    torch.manual_seed(0)


@pytest.fixture
def no_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawing takes longer than all the rest of a small run."""
    from gcnpose.run import _Run

    monkeypatch.setattr(_Run, "_draw", lambda self, model, views, path: path.touch())


@pytest.fixture(scope="session")
def small_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("small")


@pytest.fixture(scope="session")
def finished(small_folder: Path) -> Path:
    """The folder of a small run that nothing interrupted."""
    from gcnpose.run import train
    from tests.experiments import small_config
    from tests.runs import quiet

    return train(small_config(small_folder), quiet)


@pytest.fixture(scope="session")
def migrated_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An MLflow store without runs. Its tables take seconds to create and a copy milliseconds."""
    from mlflow import MlflowClient

    path = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    MlflowClient(tracking_uri=f"sqlite:///{path}").search_experiments()
    return path


@pytest.fixture
def tracking_uri(migrated_database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """An MLflow store of the test's own. Works in ``tmp_path``, where MLflow then puts the artifacts too."""
    monkeypatch.chdir(tmp_path)
    return f"sqlite:///{shutil.copy(migrated_database, tmp_path / 'mlflow.db')}"


@pytest.fixture(scope="session")
def cmu17() -> Path:
    """Folder of the real motion, in ``$GCNPOSE_DATA`` or in ``shared/data`` beside the checkout."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = Path(os.environ.get("GCNPOSE_DATA", beside)) / "cmu17"
    if not (folder / "cmu17.npz").is_file():
        pytest.skip(f"no real motion: {folder} has no cmu17.npz")
    return folder
