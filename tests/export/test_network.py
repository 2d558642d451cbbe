"""Networks as files: what they compute elsewhere, what they say of themselves, what is not written."""

from __future__ import annotations

import importlib.util
import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from gcnpose import cli
from gcnpose.checkpoint import FORMAT, load_checkpoint, restore_model, save_checkpoint
from gcnpose.config import config_from_dict, config_to_dict
from gcnpose.errors import InputError, RunError
from gcnpose.export import network as exporting
from gcnpose.export.network import FORMATS, describe, export_network
from gcnpose.inference import Lifter
from gcnpose.nn import UGCN, LiftingNetwork
from gcnpose.nn.any_length import AnyLength, portable
from gcnpose.nn.following import GUESSED_FOCAL
from gcnpose.skeleton import Skeleton
from tests.checkpoints import small_checkpoint
from tests.experiments import NETWORKS
from tests.inference.test_lifter import track_of
from tests.motions import past_the_beginning

CHECKOUT = Path(__file__).resolve().parents[2]
SKELETON = Skeleton.load("h36m17")
needs_onnx = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in FORMATS["onnx"][1]), reason="no ONNX libraries"
)


def save(folder: Path, views: str = "fixed", **model: Any) -> tuple[Path, UGCN]:
    """A checkpoint of a network that halves the frames twice, and the network."""
    settings = {"channels": [4, 6, 8], "aggregation": "native", **model}
    content = {
        "name": "small",
        "skeleton": "h36m17",
        "data": {"window": 30, "views": views},
        "model": settings,
    }
    config = config_from_dict({**content, "loss": {"intervals": [8]}}, "test")
    trained = past_the_beginning(UGCN(SKELETON, **settings)).eval()
    trained.fix_input_statistics(0.3 * torch.randn(500, 1, 17, trained.input_channels))
    path = folder / "best.pt"
    described = {"format": FORMAT, "config": config_to_dict(config), "skeleton": SKELETON.to_dict()}
    yardsticks = {"mean_pose": torch.zeros(17, 3), "linear": torch.zeros(35, 51)}
    save_checkpoint(
        path, {**described, "model": trained.state_dict(), "epoch": 1, "yardsticks": yardsticks, "fps": 50.0}
    )
    return path, trained  # type: ignore[return-value]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, UGCN]:
    return save(tmp_path_factory.mktemp("checkpoint"))


@pytest.fixture(scope="module")
def onnx_file(checkpoint: tuple[Path, UGCN], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("onnx") / "network.onnx"
    assert export_network(checkpoint[0], "onnx", path) < 1e-4
    return path


def check_shapes(lift: Any, trained: LiftingNetwork) -> None:
    """Shapes that the export does not check itself: single ones, multiples of the strides and others."""
    for batch, frames in ((1, 2), (1, 4), (5, 7), (2, 64)):
        keypoints_2d = torch.rand(batch, frames, 17, trained.input_channels) - 0.5
        with torch.no_grad():
            expected = trained(keypoints_2d)
        assert expected.abs().max() > 0.01
        torch.testing.assert_close(lift(keypoints_2d), expected, atol=1e-5, rtol=1e-4)


def check_metadata(metadata: dict[str, Any]) -> None:
    assert metadata["skeleton"] == SKELETON.to_dict()
    assert (metadata["window"], metadata["input_channels"]) == (30, ["x", "y"])
    assert float(metadata["fps"]) == 50  # a text in ONNX
    assert metadata["following"] in (False, "false")
    assert metadata["normalisation"] == "x, y = (2 * x_px - width) / width, (2 * y_px - height) / width"


@pytest.mark.parametrize("frames", [1, 3, 4, 5, 8])
def test_any_length_is_the_network(frames: int, checkpoint: tuple[Path, UGCN]) -> None:
    keypoints_2d = torch.rand(2, frames, 17, 2)
    lift = portable(checkpoint[1])
    torch.testing.assert_close(lift(keypoints_2d), checkpoint[1](keypoints_2d), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("file_format", ["pt2", "torchscript", pytest.param("onnx", marks=needs_onnx)])
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_people_are_followed_as_by_predict(file_format: str, tmp_path: Path) -> None:
    """Somebody small and high in a portrait image, by a network whose training drew its cameras."""
    checkpoint, trained = save(tmp_path, views="drawn")
    path = tmp_path / "network"
    assert export_network(checkpoint, file_format, path) < 1e-4
    pixels = np.random.default_rng(0).uniform(100, 200, (70, 17, 2))
    normalised = torch.from_numpy((2 * pixels - [1080, 1920]) / 1920).float()
    lifter = Lifter.load(checkpoint, method="whole", flip=False)
    expected = lifter.lift(normalised, GUESSED_FOCAL)
    with torch.no_grad():
        plain = trained(normalised[None])[0].numpy()
        lifted = FORMATS[file_format][-1](path)(normalised[None])[0].numpy()
    np.testing.assert_allclose(lifted, expected, atol=1e-5)
    if file_format == "onnx":
        np.testing.assert_allclose(by_the_example(path, pixels, 1080, 1920), expected, atol=1e-5)
    predicted = lifter(track_of(pixels, image_size=(1080, 1920))).positions  # from another scale on
    assert np.abs(lifted - predicted).mean() < 1e-3 < 0.1 < np.abs(plain - predicted).mean()


def test_what_is_said_of_one_that_follows(tmp_path: Path) -> None:
    content = load_checkpoint(save(tmp_path, views="drawn")[0])
    config, skeleton, network = restore_model(content, "best.pt")
    metadata = describe(config, skeleton, network, 50.0)
    assert metadata["following"] is True
    assert metadata["normalisation"].endswith(
        "/ max(width, height), (2 * y_px - height) / max(width, height)"
    )


@pytest.mark.parametrize(
    ("name", "file_format"),
    [
        ("simple_baseline", "pt2"),
        ("videopose3d", "torchscript"),
        pytest.param("agformer", "onnx", marks=needs_onnx),
    ],
)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_other_networks(name: str, file_format: str, tmp_path: Path) -> None:
    path = tmp_path / "network"
    assert export_network(small_checkpoint(tmp_path, NETWORKS[name]), file_format, path) < 1e-4
    read = FORMATS[file_format][-1](path)
    check_shapes(read, restore_model(load_checkpoint(tmp_path / "best.pt"), "best.pt")[2])


def test_pt2(checkpoint: tuple[Path, UGCN], tmp_path: Path) -> None:
    path = tmp_path / "network.pt2"
    assert export_network(checkpoint[0], "pt2", path) < 1e-4
    extra = {"metadata.json": ""}
    check_shapes(torch.export.load(path, extra_files=extra).module(), checkpoint[1])
    check_metadata(json.loads(extra["metadata.json"]))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_torchscript(tmp_path: Path) -> None:
    checkpoint, trained = save(tmp_path, input_channels=3, upsampling="linear", merge=False)
    path = tmp_path / "network.torchscript"
    assert export_network(checkpoint, "torchscript", path) < 1e-4
    extra = {"metadata.json": ""}
    check_shapes(torch.jit.load(io.BytesIO(path.read_bytes()), _extra_files=extra), trained)
    assert json.loads(extra["metadata.json"])["input_channels"] == ["x", "y", "score"]


@needs_onnx
def test_onnx(checkpoint: tuple[Path, UGCN], onnx_file: Path) -> None:
    import onnxruntime

    session = onnxruntime.InferenceSession(onnx_file)
    (given,), (answered,) = session.get_inputs(), session.get_outputs()
    assert (given.name, given.shape) == ("keypoints_2d", ["batch", "frames", 17, 2])
    assert (answered.name, answered.shape) == ("pose_3d", ["batch", "frames", 17, 3])
    check_shapes(
        lambda keypoints_2d: torch.from_numpy(session.run(None, {given.name: keypoints_2d.numpy()})[0]),
        checkpoint[1],
    )
    texts = session.get_modelmeta().custom_metadata_map
    metadata = {
        key: json.loads(text) if text[0] in "[{" or text.isdigit() else text for key, text in texts.items()
    }
    check_metadata(metadata)
    assert not list(onnx_file.parent.glob("*.data"))


def by_the_example(network: Path, pixels: np.ndarray, width: int, height: int) -> np.ndarray:
    """What the example lifts, beside the network, where neither torch nor gcnpose can be imported."""
    np.save(network.with_name("keypoints.npy"), pixels)
    blocked = "import sys; sys.modules['torch'] = sys.modules['gcnpose'] = None; sys.argv = sys.argv[1:]; "
    size = (str(width), str(height))
    done = subprocess.run(
        [
            *(sys.executable, "-c", f"{blocked}exec(open(sys.argv[0]).read())"),
            *(CHECKOUT / "examples" / "onnx_lift.py", network, "keypoints.npy", *size, "out.npy"),
        ],
        cwd=network.parent,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("joints: pelvis, right_hip, ")
    lifted: np.ndarray = np.load(network.with_name("out.npy"))
    return lifted


@needs_onnx
def test_the_example_lifts_with_onnxruntime_alone(checkpoint: tuple[Path, UGCN], onnx_file: Path) -> None:
    source = (CHECKOUT / "examples" / "onnx_lift.py").read_text(encoding="utf-8")
    assert len(source.partition('"""\n\n')[2].splitlines()) <= 20
    pixels = np.random.default_rng(0).uniform(0, 1000, (11, 17, 2))
    normalised = np.stack([pixels[..., 0] / 960 - 1, pixels[..., 1] / 960 - 9 / 16], axis=-1)
    with torch.no_grad():
        expected = checkpoint[1](torch.from_numpy(normalised).float()[None])[0]
    np.testing.assert_allclose(by_the_example(onnx_file, pixels, 1920, 1080), expected, atol=1e-5)


def test_a_missing_library_is_named(
    checkpoint: tuple[Path, UGCN], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name.startswith("onnx") else find(name)
    )
    with pytest.raises(InputError, match=r"onnx needs onnx, onnxscript, onnxruntime, .*gcnpose\[onnx\]"):
        export_network(checkpoint[0], "onnx", tmp_path / "network.onnx")


def test_a_file_that_computes_something_else_is_not_written(
    checkpoint: tuple[Path, UGCN], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for wrong, message in ((2e-4, "by 0.0002 m"), (float("nan"), "by nan m")):
        lifts = {
            "off": (
                ".off",
                (),
                lambda *_: Path(_[-1]).touch(),
                lambda _, by=wrong: lambda x: checkpoint[1](x) + by,
            )
        }
        monkeypatch.setattr(exporting, "FORMATS", lifts)
        with pytest.raises(RunError, match=f"not written, since .* {message}"):
            export_network(checkpoint[0], "off", tmp_path / "network.off")
    assert not list(tmp_path.iterdir())


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("views", ["fixed", "drawn"])
def test_a_copy_that_computes_something_else_is_not_written(
    views: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is written is compared with the checkpoint's network, not with the copy that was traced."""
    checkpoint, _ = save(tmp_path, views=views)
    forward = AnyLength.forward
    monkeypatch.setattr(AnyLength, "forward", lambda self, keypoints_2d: 1.1 * forward(self, keypoints_2d))
    with pytest.raises(RunError, match="not written, since the torchscript file differs"):
        export_network(checkpoint, "torchscript", tmp_path / "network.torchscript")


def test_a_network_that_cannot_be_exported_is_one_message(
    checkpoint: tuple[Path, UGCN], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("no such operator\nand a hundred lines")

    monkeypatch.setattr(torch.jit, "trace", fail)
    with pytest.raises(RunError, match=r"^the network cannot be exported as torchscript: no such operator$"):
        export_network(checkpoint[0], "torchscript", tmp_path / "network.torchscript")
    assert not list(tmp_path.iterdir())


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_command(
    checkpoint: tuple[Path, UGCN], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "network.torchscript"
    run_folder = str(checkpoint[0].parent)
    arguments = ["export", run_folder, "--format", "torchscript", "--output", str(output)]
    assert cli.main(arguments) == 0
    assert output.is_file()
    assert capsys.readouterr().out.startswith(f"{output}: differs from the checkpoint's network by ")


def test_the_command_for_the_format_that_models_are_shared_in(
    checkpoint: tuple[Path, UGCN], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "network.safetensors"
    assert cli.main(["export", str(checkpoint[0]), "--format", "safetensors", "--output", str(output)]) == 0
    assert capsys.readouterr().out == f"{output}: 0.0 MB\n"
    keypoints_2d = torch.rand(1, 30, 17, 2) - 0.5
    _, _, ours = restore_model(load_checkpoint(output), output)
    torch.testing.assert_close(ours(keypoints_2d), checkpoint[1](keypoints_2d), rtol=1e-2, atol=2e-3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["CHECKPOINT", "--format", "safetensors", "--output", "network.pt"], "ends in .safetensors"),
        (["CHECKPOINT", "--output", "network.pt"], "ends in .onnx"),
        (["CHECKPOINT", "--format", "pt2", "--output", "no/folder/network.pt2"], "nothing can be written in"),
        (["absent.pt", "--format", "pt2", "--output", "network.pt2"], "absent.pt: no such checkpoint"),
        (
            ["foreign.pt", "--format", "pt2", "--output", "network.pt2"],
            "foreign.pt: not a checkpoint of this",
        ),
        (["rubbish.pt", "--format", "pt2", "--output", "network.pt2"], "rubbish.pt: cannot be read as a"),
    ],
)
def test_unusable_arguments(
    arguments: list[str],
    message: str,
    checkpoint: tuple[Path, UGCN],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"model": {}}, "foreign.pt")
    Path("rubbish.pt").write_bytes(os.urandom(100))
    given = [str(checkpoint[0]) if argument == "CHECKPOINT" else argument for argument in arguments]
    assert cli.main(["export", *given]) == 2
    printed = capsys.readouterr()
    assert message in printed.err
    assert printed.err.count("\n") == 1
    assert not list(tmp_path.glob("network*"))
