"""``predict``: from a keypoint file to files of 3D."""

import io
import json
import os
import re
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from gcnpose.build import build_motion, build_views
from gcnpose.checkpoint import load_checkpoint, restore_model
from gcnpose.cli import main
from gcnpose.data.camera import Rig, denormalize_screen, h36m_rig, world_to_camera
from gcnpose.data.synthetic import make_motion
from gcnpose.data.views import fixed_views
from gcnpose.errors import InputError
from gcnpose.inference import Lifter
from gcnpose.metrics import mpjpe_mm
from gcnpose.scoring import evaluate_checkpoint
from tests import keypoint_files
from tests.checkpoints import small_checkpoint


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_checkpoint(tmp_path_factory.mktemp("predict"), frames=(40, 30, 70))


@pytest.fixture
def keypoints(tmp_path: Path) -> Path:
    return keypoint_files.coco_results(tmp_path, *keypoint_files.walker(30))


@pytest.fixture
def walking(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, np.ndarray]:
    """A walk's 2D by a camera with a focal length of 1145 pixels, and its 3D, which every network gives."""
    sequence = next(sequence for sequence in make_motion(0, 1).sequences if sequence.action == "walk")
    lens = Rig.from_cameras(h36m_rig()[:1])
    positions = torch.from_numpy(sequence.positions)
    placed = world_to_camera(positions, lens.orientation[0], lens.translation[0]).numpy()
    np.save(tmp_path / "walk.npy", placed[..., :2] / placed[..., 2:] * 1145 + 500)
    monkeypatch.setattr(Lifter, "lift", lambda self, sequence, focal: placed - placed[:, :1])
    return tmp_path / "walk.npy", placed


WALKING = ("--layout", "h36m17", "--size", "1000x1000", "--camera", "1145,1145,500,500")


def predict(checkpoint: Path, keypoints: Path, *options: str) -> int:
    return main(["predict", str(keypoints), "--checkpoint", str(checkpoint), *options])


def test_same_errors_as_evaluate(checkpoint: Path, tmp_path: Path) -> None:
    """The test subject's projected 2D, a file for each camera, in the network's own joints."""
    report = evaluate_checkpoint(checkpoint, [], say=lambda _: None)
    config, skeleton, _ = restore_model(load_checkpoint(checkpoint), checkpoint)
    views = build_views(config, build_motion(config, skeleton, ("test",))["test"])
    errors = []
    for number, clip in enumerate(views.clips):
        file, output = tmp_path / f"{number}.npy", tmp_path / str(number)
        np.save(file, denormalize_screen(views.keypoints_2d[clip.rows], 1000, 1002).numpy())
        options = ["--layout", "h36m17", "--size", "1000x1002", "--formats", "npz"]
        assert predict(checkpoint, file, *options, "--output", str(output)) == 0
        with np.load(output / "tracks.npz") as lifted:
            errors.append(mpjpe_mm(torch.from_numpy(lifted["positions/0"]), views.pose_3d[clip.rows]))
    assert torch.cat(errors).mean().item() == pytest.approx(report["mean_over_frames"]["mpjpe_mm"], abs=0.01)


def test_the_network_that_comes_with_gcnpose(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing but keypoints is given. The walks are the package's own motion, which it has not seen."""
    motion = make_motion(0, 1)
    walk = next(sequence for sequence in motion.sequences if sequence.action == "walk")
    views = fixed_views(replace(motion, sequences=[walk], splits={}), h36m_rig(), seed=0)
    errors = []
    for number, clip in enumerate(views.clips):
        file, output = tmp_path / f"{number}.npy", tmp_path / str(number)
        np.save(file, denormalize_screen(views.keypoints_2d[clip.rows], 1000, 1002).numpy())
        options = ["--layout", "h36m17", "--size", "1000x1002", "--formats", "npz", "--output", str(output)]
        assert main(["predict", str(file), *options]) == 0
        with np.load(output / "tracks.npz") as lifted:
            errors.append(mpjpe_mm(torch.from_numpy(lifted["positions/0"]), views.pose_3d[clip.rows]))
    assert torch.cat(errors).mean().item() < 100
    assert "network: the one that comes with gcnpose" in capsys.readouterr().out


@pytest.mark.parametrize(
    "name", [name for name in keypoint_files.WRITERS if name not in keypoint_files.JOINTS]
)
def test_same_3d_from_every_format(checkpoint: Path, tmp_path: Path, name: str) -> None:
    """Joints in the network's own order, written as other formats write theirs."""
    points, scores = keypoint_files.walker(20)
    np.save(tmp_path / "expected.npy", np.concatenate([points, scores[..., None]], axis=2))
    width, height = keypoint_files.SIZE
    options = ["--layout", "h36m17", "--size", f"{width}x{height}", "--formats", "npz"]
    positions = []
    for file in (keypoint_files.WRITERS[name](tmp_path, points, scores), tmp_path / "expected.npy"):
        output = tmp_path / f"out{len(positions)}"
        assert predict(checkpoint, file, *options, "--output", str(output)) == 0
        positions.append(np.load(output / "tracks.npz")["positions/0"])
    np.testing.assert_allclose(*positions, atol=1e-3)


def test_files_of_every_format(
    checkpoint: Path, keypoints: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "new" / "out"
    formats = "npz,json,csv,bvh,png,gif,html"
    assert predict(checkpoint, keypoints, "--output", str(output), "--formats", formats, "--fps", "30") == 0
    names = [
        "person_0.bvh",
        "player.html",
        "poses.gif",
        "poses.png",
        "tracks.csv",
        "tracks.json",
        "tracks.npz",
    ]
    assert sorted(path.name for path in output.iterdir()) == names
    assert [path.name for path in output.parent.iterdir()] == ["out"]
    content = json.loads((output / "tracks.json").read_text())
    assert content["meta"]["tracks"][0]["fps"] == 30
    assert "Frame Time: 0.0333333" in (output / "person_0.bvh").read_text()
    said = capsys.readouterr().out
    assert "coco_json, coco17, 30 frames" in said


def test_default_formats_and_files_that_are_there_already(
    checkpoint: Path, keypoints: Path, tmp_path: Path
) -> None:
    output = tmp_path / "out"
    output.mkdir()
    for name in ("mine.txt", "tracks.npz"):
        (output / name).write_text("before")
    assert predict(checkpoint, keypoints, "--output", str(output)) == 0
    names = ["mine.txt", "player.html", "poses.png", "tracks.npz"]
    assert sorted(path.name for path in output.iterdir()) == names
    assert (output / "mine.txt").read_text() == "before"
    assert np.load(output / "tracks.npz")["positions/0"].shape == (30, 17, 3)


def test_fast_is_one_pass(checkpoint: Path, keypoints: Path, tmp_path: Path) -> None:
    positions = {}
    for name, options in {"fast": ["--fast"], "whole": ["--method", "whole"], "own": []}.items():
        output = tmp_path / name
        assert predict(checkpoint, keypoints, "--output", str(output), "--formats", "npz", *options) == 0
        positions[name] = np.load(output / "tracks.npz")["positions/0"]
    assert len({array.tobytes() for array in positions.values()}) == 3


def test_camera_places_the_root(
    checkpoint: Path, walking: tuple[Path, np.ndarray], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, placed = walking
    options = [*WALKING, "--output", str(tmp_path / "out"), "--formats", "npz"]
    assert predict(checkpoint, file, *options) == 0
    assert "guess" not in capsys.readouterr().out
    with np.load(tmp_path / "out" / "tracks.npz") as lifted:
        translation, positions = lifted["translation/0"], lifted["positions/0"]
        (track,) = json.loads(str(lifted["meta"]))["tracks"]
    np.testing.assert_allclose(positions + translation[:, None], placed, atol=1e-3)
    assert track["intrinsics"] == {"focal_px": [1145, 1145], "center_px": [500, 500], "guessed": False}


def test_the_guessed_camera_is_said_to_be_one(
    checkpoint: Path, walking: tuple[Path, np.ndarray], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, placed = walking
    options = [*WALKING[:4], "--output", str(tmp_path / "out"), "--formats", "npz"]
    assert predict(checkpoint, file, *options) == 0
    assert "camera: guessed, a focal length of 1000 px; --camera fx,fy,cx,cy" in capsys.readouterr().out
    with np.load(tmp_path / "out" / "tracks.npz") as lifted:
        depth = lifted["translation/0"][:, 2]
        (track,) = json.loads(str(lifted["meta"]))["tracks"]
    np.testing.assert_allclose(depth, placed[:, 0, 2] * 1000 / 1145, rtol=0.02)
    assert track["intrinsics"]["guessed"]


def test_the_frame_rate_is_the_networks(
    walking: tuple[Path, np.ndarray],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """By the network that comes with gcnpose, which was trained at 50 frames per second."""
    file, placed = walking
    seen = []
    monkeypatch.setattr(
        Lifter,
        "lift",
        lambda self, sequence, focal: (
            seen.append(len(sequence)) or np.zeros((len(sequence), 17, 3), np.float32)
        ),
    )
    for number, options in enumerate(([], ["--fps", "25"], ["--fps", "60"])):
        given = [*WALKING, *options, "--output", str(tmp_path / str(number)), "--formats", "npz"]
        assert main(["predict", str(file), *given]) == 0
    assert seen == [len(placed), 2 * len(placed) - 1, len(placed)]
    said = capsys.readouterr().out
    assert "no frame rate: played at 25 frames per second, lifted as if it were 50; --fps" in said
    assert said.count("25 frames per second, lifted at 50, as the network was trained") == 1


def test_a_size_that_is_not_the_images(
    checkpoint: Path, walking: tuple[Path, np.ndarray], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, _ = walking
    sized = [*WALKING, "--size", "300x300", "--formats", "npz", "--output"]
    assert predict(checkpoint, file, *sized, str(tmp_path / "out")) == 0
    warning = r"  [0-9]+% of the joints lie outside the image of 300x300; is that its size\? --size WxH"
    assert re.search(warning, capsys.readouterr().out)
    assert predict(checkpoint, file, *WALKING, "--formats", "npz", "--output", str(tmp_path / "in")) == 0
    assert "outside" not in capsys.readouterr().out


def test_floor(
    checkpoint: Path, walking: tuple[Path, np.ndarray], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The camera looks down by 10.7 degrees."""
    file, _ = walking
    options = [*WALKING, "--output", str(tmp_path / "out"), "--formats", "npz,bvh", "--floor"]
    assert predict(checkpoint, file, *options) == 0
    assert re.search("floor: seen from a camera that looks down by 1[0-2] degrees", capsys.readouterr().out)
    with np.load(tmp_path / "out" / "tracks.npz") as lifted:
        ankles = (lifted["positions/0"] + lifted["translation/0"][:, None])[:, [3, 6], 1]
    assert np.ptp(ankles.max(axis=1)) < 0.03


def test_no_floor_under_who_does_not_stand(
    checkpoint: Path,
    walking: tuple[Path, np.ndarray],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    file, placed = walking
    turned = placed[..., [1, 0, 2]]
    np.save(file, turned[..., :2] / turned[..., 2:] * 1145 + 500)
    monkeypatch.setattr(Lifter, "lift", lambda self, sequence, focal: turned - turned[:, :1])
    options = [*WALKING, "--output", str(tmp_path / "out"), "--floor"]
    assert predict(checkpoint, file, *options) == 2
    assert re.search("--floor: the feet show none, or one tilted by [0-9]+ degrees", capsys.readouterr().err)
    assert not (tmp_path / "out").exists()


def test_without_a_place_in_space(
    checkpoint: Path, keypoints: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What a network with drawn weights gives fits the 2D from nowhere in front of the camera."""
    options = ["--output", str(tmp_path / "out"), "--formats", "npz,html"]
    assert predict(checkpoint, keypoints, *options) == 0
    assert "without a place in space: no frame has three joints in front" in capsys.readouterr().out
    with np.load(tmp_path / "out" / "tracks.npz") as lifted:
        assert "translation/0" not in lifted


def some_people(tmp_path: Path, **people: tuple[int, int]) -> Path:
    """People with track ids, present from one frame to another."""
    keypoints, scores = keypoint_files.walker(40)
    rows = keypoint_files.triplets(keypoints, scores)
    content = [
        {
            "image_id": f"{frame}.jpg",
            "category_id": 1,
            "keypoints": rows[frame].tolist(),
            "score": 2,
            "idx": name,
        }
        for frame in range(40)
        for name, (first, last) in people.items()
        if first <= frame < last
    ]
    path = tmp_path / "alphapose-results.json"
    path.write_text(json.dumps(content))
    return path


def test_people_with_hostile_names(checkpoint: Path, tmp_path: Path) -> None:
    hostile = "../../<script>alert(1)</script>\n\0"
    file = some_people(tmp_path, **{hostile: (0, 20)})
    output = tmp_path / "deep" / "out"
    assert predict(checkpoint, file, "--output", str(output), "--formats", "bvh,html,npz,csv") == 0
    (bvh,) = output.glob("*.bvh")
    assert bvh.name.startswith("person_") and "<" not in bvh.name
    assert "<script>alert(1)" not in (output / "player.html").read_text()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["alphapose-results.json", "deep"]


def test_parts_of_a_track_have_files_of_their_own(checkpoint: Path, tmp_path: Path) -> None:
    keypoints, scores = keypoint_files.walker(40)
    rows = keypoint_files.triplets(keypoints, scores)
    content = [
        {
            "image_id": f"{frame}.jpg",
            "category_id": 1,
            "keypoints": rows[frame].tolist(),
            "score": 2,
            "idx": 4,
        }
        for frame in (*range(10), *range(30, 40))
    ]
    file = tmp_path / "alphapose-results.json"
    file.write_text(json.dumps(content))
    output = tmp_path / "out"
    assert predict(checkpoint, file, "--output", str(output), "--formats", "bvh", "--max-gap", "5") == 0
    names = ["person_4_from_0.bvh", "person_4_from_30.bvh"]
    assert sorted(path.name for path in output.iterdir()) == names


@pytest.mark.parametrize("smooth", ["savgol", "one-euro"])
def test_what_is_lifted_is_smoothed(
    checkpoint: Path, keypoints: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, smooth: str
) -> None:
    jitter = []

    def measure(self: Lifter, sequence: torch.Tensor, focal: float) -> np.ndarray:
        jitter.append(sequence.diff(n=2, dim=0).abs().mean().item())
        return np.zeros((len(sequence), 17, 3), np.float32)

    monkeypatch.setattr(Lifter, "lift", measure)
    for options in ([], ["--smooth", smooth]):
        options = [*options, "--fps", "25", "--formats", "npz", "--output", str(tmp_path / "out")]
        assert predict(checkpoint, keypoints, *options) == 0
    assert jitter[1] < 0.8 * jitter[0]


def test_inspect_lifts_nothing(keypoints: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in ([str(keypoints), "--inspect"], ["--inspect", str(keypoints)]):
        assert main(["predict", *arguments]) == 0
        content = json.loads(capsys.readouterr().out)
        assert (content["format"], content["frames"], content["keypoints"]) == ("coco_json", 30, 17)
    assert main(["predict", str(keypoints), "--inspect", "3:0"]) == 0
    person = json.loads(capsys.readouterr().out)
    expected = keypoint_files.walker(30)[0][3, 5]
    assert [person["joints"]["left_shoulder"][key] for key in ("x_px", "y_px")] == pytest.approx(expected)


class Stdin:
    """Standard input with these lines."""

    def __init__(self, *lines: Any) -> None:
        self.buffer = io.BytesIO(b"".join(json.dumps(line).encode() + b"\n" for line in lines))


def test_stream(
    checkpoint: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    points, _ = keypoint_files.walker(5, 26)
    monkeypatch.setattr("sys.stdin", Stdin(*({"keypoints": frame.tolist()} for frame in points), [1]))
    options = ["--stream", "--size", "1280x720", "--layout", "halpe26", "--delay", "2"]
    assert main(["predict", "--checkpoint", str(checkpoint), *options]) == 0
    head, *rest = map(json.loads, capsys.readouterr().out.splitlines())
    assert head["delay"] == 2 and head["camera"]["guessed"]
    assert [answer.get("frame", "error") for answer in rest] == [0, 1, 2, "error", 3, 4]
    assert np.shape(rest[0]["positions"]) == (17, 3)


def test_stream_at_another_rate(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    points, _ = keypoint_files.walker(9)
    monkeypatch.setattr("sys.stdin", Stdin(*({"keypoints": frame.tolist()} for frame in points)))
    assert main(["predict", "--stream", "--size", "1280x720", "--fps", "30", "--delay", "3"]) == 0
    head, *rest = map(json.loads, capsys.readouterr().out.splitlines())
    assert (head["delay"], head["lifted_at"]) == (3, 50)
    assert [answer["frame"] for answer in rest] == list(range(9))


def test_a_folder_in_a_files_place(checkpoint: Path, keypoints: Path, tmp_path: Path) -> None:
    """Said before anything is moved."""
    output = tmp_path / "out"
    (output / "tracks.npz").mkdir(parents=True)
    assert predict(checkpoint, keypoints, "--output", str(output), "--formats", "npz,csv,json") == 2
    assert [path.name for path in output.iterdir()] == ["tracks.npz"]


def test_an_output_without_a_name(
    checkpoint: Path, keypoints: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As of a variable that is not set; it is not the current folder."""
    monkeypatch.chdir(tmp_path)
    before = sorted(path.name for path in tmp_path.iterdir())
    with pytest.raises(SystemExit, match="2"):
        predict(checkpoint, keypoints, "--output", "")
    assert sorted(path.name for path in tmp_path.iterdir()) == before


def test_nothing_is_left_where_the_command_is_ended(
    checkpoint: Path, keypoints: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gcnpose.viz.player.write_html", lambda *_: signal.raise_signal(signal.SIGTERM))
    before = sorted(path.name for path in tmp_path.iterdir()), signal.getsignal(signal.SIGTERM)
    assert predict(checkpoint, keypoints, "--output", str(tmp_path / "out")) == 1
    assert (sorted(path.name for path in tmp_path.iterdir()), signal.getsignal(signal.SIGTERM)) == before


def test_nothing_is_half_written(
    checkpoint: Path, keypoints: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> None:
        raise InputError("no page today")

    monkeypatch.setattr("gcnpose.viz.player.write_html", fails)
    output = tmp_path / "out"
    for there in (False, True):
        if there:
            output.mkdir()
            (output / "tracks.npz").write_text("before")
        before = sorted(path.name for path in tmp_path.iterdir())
        assert predict(checkpoint, keypoints, "--output", str(output)) == 2
        assert sorted(path.name for path in tmp_path.iterdir()) == before
    assert (output / "tracks.npz").read_text() == "before"


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        (["--formats", "npz,fbx"], "--formats: expected some of npz,json,.*, not 'fbx'"),
        (["--size", "1920"], "--size: expected WxH in pixels, such as 1920x1080, not '1920'"),
        (["--size", "0x10"], "--size: expected WxH"),
        (["--camera", "1,2,3"], "--camera: expected fx,fy,cx,cy in pixels, not '1,2,3'"),
        (
            ["--camera", "0,1,2,3"],
            r"--camera: expected pixels up to 1e\+06, fx and fy from 1 on, not '0,1,2,3'",
        ),
        (["--camera", "nan,1,2,3"], "--camera: expected pixels"),
        (["--camera", "100,100,1e30,0"], "--camera: expected pixels"),
        (["--camera", "100,100,0,nan"], "--camera: expected pixels"),
        (["--fps", "0"], "--fps: expected more than 0 and at most 1000, not 0"),
        (["--fps", "nan"], "--fps: expected more than 0"),
        (["--person", "nobody"], "there is no person 'nobody'"),
        (["--min-score", "2"], "min_score: expected 0 to 1, got 2"),
        (["--layout", "hand21"], "21"),
        (["--conversion", "none.yaml"], "none.yaml: no such conversion"),
        (["--inspect", "3"], "--inspect: expected FRAME:PERSON, such as 0:0, not '3'"),
        (["--inspect", "3:-1"], "--inspect: expected FRAME:PERSON"),
        (["--inspect", "0:7"], "frame '0' has no person 7"),
        (["--inspect", "99:0"], "there is no frame '99'"),
        (["--delay", "3"], "--delay belongs to --stream"),
        (["--smooth", "one-euro"], "--smooth one-euro needs the frames per second"),
        (["--stream"], "--stream reads standard input, and goes without KEYPOINTS"),
    ],
)
def test_options_that_cannot_be_used(
    checkpoint: Path,
    keypoints: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    options: list[str],
    fault: str,
) -> None:
    before = sorted(path.name for path in tmp_path.iterdir())
    output = [] if "--stream" in options else ["--output", str(tmp_path / "out")]
    assert predict(checkpoint, keypoints, *output, *options) == 2
    with pytest.raises(AssertionError, match=fault):
        raise AssertionError(capsys.readouterr().err)
    assert sorted(path.name for path in tmp_path.iterdir()) == before


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        ([], "predict needs a keypoint file or folder, or --stream"),
        (["{keypoints}"], "predict needs --output DIR"),
        (["{keypoints}", "--output", "{keypoints}"], "cannot be the folder to write into"),
        (["{keypoints}", "--output", "{keypoints}/out"], "nothing can be written in"),
        (["{keypoints}", "--output", "/"], "cannot be the folder to write into"),
        (["none.json", "--output", "out"], "none.json: no such file or folder"),
        (["{keypoints}", "--output", "out", "--checkpoint", "none.pt"], "none.pt: no such checkpoint"),
        (["--stream"], "--stream needs --size WxH"),
        (["--stream", "--size", "9x9", "--output", "out"], "goes without --output"),
        (["--stream", "--size", "9x9", "--floor"], "goes without --floor"),
        (["--stream", "--size", "9x9", "--max-gap", "0"], "goes without --max-gap"),
        (["--stream", "--size", "9x9", "--method", "whole"], "goes without --method"),
        (["--stream", "--size", "9x9", "--person", "7"], "goes without --person"),
        (["--stream", "--size", "9x9", "--formats", "bvh"], "goes without --formats"),
        (["--stream", "--size", "9x9", "--fps", "0"], "--fps: expected more than 0 and at most 1000, not 0"),
        (
            ["--stream", "--size", "9x9", "--fps", "30", "--delay", "0"],
            "delay: expected 1 to 58 frames, got 0",
        ),
    ],
)
def test_what_is_missing(
    keypoints: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    fault: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    before = sorted(path.name for path in tmp_path.iterdir())
    assert main(["predict", *(word.format(keypoints=keypoints) for word in arguments)]) == 2
    assert fault in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == before


def test_a_checkpoint_for_other_joints(
    keypoints: Path, tmp_path: Path, checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hands = np.random.default_rng(0).uniform(0, 500, (5, 21, 2))
    np.save(tmp_path / "hands.npy", hands)
    options = ["--layout", "hand21", "--output", str(tmp_path / "out")]
    assert predict(checkpoint, tmp_path / "hands.npy", *options) == 2
    assert "no conversion from the joints of hand21 to those of h36m17" in capsys.readouterr().err


def test_one_frame(checkpoint: Path, tmp_path: Path) -> None:
    keypoints = keypoint_files.coco_results(tmp_path, *keypoint_files.walker(1))
    output = tmp_path / "out"
    assert predict(checkpoint, keypoints, "--output", str(output), "--formats", "npz,bvh,png,html") == 0
    assert len(list(output.iterdir())) == 4


def test_whose_root_is_never_seen(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """At a desk: what the detector places is the upper body."""
    points, scores = keypoint_files.walker(20)
    scores = np.concatenate([scores[:, :-6], np.zeros((20, 6))], axis=1)
    for name, seen in (("all", np.ones_like(scores)), ("desk", scores)):
        np.save(tmp_path / "keypoints.npy", np.concatenate([points, seen[..., None]], axis=2))
        options = ["--layout", "coco17", "--size", "1280x720", "--formats", "npz"]
        assert (
            predict(checkpoint, tmp_path / "keypoints.npy", *options, "--output", str(tmp_path / name)) == 0
        )
        assert ("its pelvis is never seen" in capsys.readouterr().out) == (name == "desk")


def test_names_that_a_terminal_cannot_show(checkpoint: Path, keypoints: Path, tmp_path: Path) -> None:
    named = keypoints.rename(tmp_path / "Läufer.json")
    command = [sys.executable, "-m", "gcnpose.cli", "predict", str(named), "--checkpoint", str(checkpoint)]
    done = subprocess.run(
        [*command, "--formats", "npz", "--output", str(tmp_path / "out")],
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert r"L\xe4ufer.json" in done.stdout
