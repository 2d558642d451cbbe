"""docs/own_dataset.md works: its files are written and its commands run, in order, in an empty folder."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from gcnpose.cli import main
from gcnpose.data.camera import Rig, project, world_to_camera
from gcnpose.data.motion import MotionSet
from tests.bvh_files import SIX, Joint, bvh_text

DOCUMENT = (Path(__file__).resolve().parents[1] / "docs" / "own_dataset.md").read_text(encoding="utf-8")
FILES = dict(re.findall(r"`(\w+\.yaml)`:\n\n```yaml\n(.*?)```", DOCUMENT, re.DOTALL))
(PYTHON,) = re.findall(r"```python\n(.*?)```", DOCUMENT, re.DOTALL)
COMMANDS = [
    command
    for block in re.findall(r"```sh\n(.*?)```", DOCUMENT, re.DOTALL)
    for command in block.replace("\\\n", "").splitlines()
]


def limb(side: str, parts: tuple[str, str, str], offsets: tuple[tuple[float, float, float], ...]) -> Joint:
    """Three joints in a row; the first offset is mirrored for the right."""
    (x, y, z), second, third = offsets
    out = 1 if side == "Left" else -1
    end = Joint(side + parts[2], third)
    return Joint(side + parts[0], (out * x, y, z), [Joint(side + parts[1], second, [end])])


def record(path: Path, size: float, frames: int = 60) -> None:
    """A figure of centimetres that swings its arms and legs while it moves forwards."""
    arms = [
        limb(side, ("Arm", "ForeArm", "Hand"), ((18, 0, 0), (0, -28, 0), (0, -25, 0)))
        for side in ("Left", "Right")
    ]
    legs = [
        limb(side, ("UpLeg", "Leg", "Foot"), ((10, -5, 0), (0, -42, 0), (0, -42, 0)))
        for side in ("Left", "Right")
    ]
    neck = Joint("Neck", (0, 50, 0), [Joint("Head", (0, 10, 0), tip=(0, 15, 0)), *arms])
    root = Joint("Hips", (0, 95, 0), [neck, *legs], channels=SIX)
    time = np.arange(frames) / 50
    rotations = bvh_text(root, []).count("rotation")
    swing = 20 * np.sin(5 * time[:, None] + np.arange(rotations))
    place = np.stack([0 * time, 95 + 0 * time, 100 * time], axis=1)
    path.write_text(bvh_text(root, np.concatenate([place, size * swing], axis=1).tolist()))


@pytest.fixture
def recordings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that the document begins with, in the folder where its commands run."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "recordings"
    folder.mkdir()
    names = re.findall(r"recordings/(\w+\.bvh) ", DOCUMENT.replace("\n", " "))
    assert len(set(names)) >= 3
    for number, name in enumerate(sorted(set(names))):
        record(folder / name, 1 + number / 10)
    return folder


def test_every_command_of_the_document(recordings: Path) -> None:
    assert {"my_skeleton.yaml", "my_mapping.yaml", "my_experiment.yaml"} == set(FILES)
    assert len(COMMANDS) == 5
    for name, content in FILES.items():
        Path(name).write_text(content, encoding="utf-8")
    for command in COMMANDS:
        program, *arguments = shlex.split(command)
        if program == "gcnpose":
            assert main(arguments) == 0, command
        else:
            subprocess.run([program, *arguments], check=True)
    motion = MotionSet.load("motion.npz")
    assert motion.subjects == ("anna", "ben", "carl", "dora")
    assert motion.fps == 50
    heights = motion.sequences[0].positions[..., 2].mean(axis=0)
    assert heights[motion.skeleton.index("head")] > heights[motion.skeleton.index("left_ankle")] + 1.3
    (run,) = Path("runs").glob("trial-*")
    assert (run / "best.pt").is_file()
    assert Path("report.json").is_file()


def test_cameras_and_2d_of_the_document(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What OpenCV's K, R and t see, the camera of the file sees too."""
    monkeypatch.chdir(tmp_path)
    Path("my_skeleton.yaml").write_text(FILES["my_skeleton.yaml"], encoding="utf-8")
    positions = np.random.default_rng(0).uniform((-1, -1, 0), (1, 1, 2), (5, 11, 3))
    turn = Rotation.from_euler("xyz", (-95, 30, 4), degrees=True).as_matrix()
    lens, shift = np.array([[1100.0, 0, 630], [0, 1110, 350], [0, 0, 1]]), np.array([0.2, 1.1, 5.0])
    pinhole = (positions @ turn.T + shift) @ lens.T
    keypoints = pinhole[..., :2] / pinhole[..., 2:]
    np.savez("walk.npz", positions=positions, keypoints=keypoints, K=lens, R=turn, t=shift)
    exec(PYTHON, {})
    motion = MotionSet.load("filmed.npz")
    rig = Rig.from_cameras(motion.cameras["anna"])[torch.tensor(0)]
    points = torch.from_numpy(motion.sequences[0].positions)
    seen = project(
        world_to_camera(points, rig.orientation, rig.translation),
        rig.focal_px,
        rig.center_px,
        rig.radial,
        rig.tangential,
    )
    np.testing.assert_allclose(seen, keypoints, atol=0.01)
    np.testing.assert_allclose(motion.sequences[0].keypoints_2d["front"], keypoints, atol=0.001)
