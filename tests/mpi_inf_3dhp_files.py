"""A miniature MPI-INF-3DHP in its true file layout: MATLAB 5, MATLAB 7.3, calibration text, P-STMO's .npz."""

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt
from scipy.io import savemat

Array = npt.NDArray[np.float64]

NUM_CAMERAS = 14
UNIVERSAL = 1.1
"""Scale of univ_annot3 about the camera."""
INTRINSIC = np.array([[1497.7, 0, 1024.7], [0, 1497.1, 1051.4], [0, 0, 1]])
# P-STMO, data_to_npz_3dhp.py: which of the 28 joints are the 17.
OF_28 = [7, 5, 14, 15, 16, 9, 10, 11, 23, 24, 25, 18, 19, 20, 4, 3, 6]
CHOSEN_CAMERAS = (0, 1, 2, 4, 5, 6, 7, 8)


def world_motion(seed: int, frames: int) -> Array:
    """28 joints that swing about a cloud one metre up, millimetres with y up, as the calibration has it."""
    random = np.random.default_rng(seed)
    cloud = random.normal(0, 300, (1, 28, 3)) + np.array([0, 1000, 0])
    phase = random.uniform(0, 6, (1, 28, 3))
    return np.asarray(cloud + 100 * np.sin(np.arange(frames)[:, None, None] / 10 + phase))


def extrinsic(camera: int) -> Array:
    """From the world to a camera that stands 4 m off and looks at the point one metre above the origin."""
    azimuth = 2 * np.pi * camera / NUM_CAMERAS
    place = np.array([4000 * np.sin(azimuth), 1500, 4000 * np.cos(azimuth)])
    forward = np.array([0, 1000, 0]) - place
    forward = forward / np.linalg.norm(forward)
    right = np.cross(forward, [0, 1, 0])
    right = right / np.linalg.norm(right)
    turn = np.stack([right, np.cross(forward, right), forward])
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = turn, -turn @ place
    return matrix


def seen_by(camera: int, world: Array) -> Array:
    matrix = extrinsic(camera)
    return np.asarray(world @ matrix[:3, :3].T + matrix[:3, 3])


def projected(positions: Array) -> Array:
    image = positions @ INTRINSIC.T
    return np.asarray(image[..., :2] / image[..., 2:])


def calibration_text() -> str:
    lines = ["Skeletool Camera Calibration File V1.0"]
    intrinsic = np.eye(4)
    intrinsic[:3, :3] = INTRINSIC
    for camera in range(NUM_CAMERAS):
        lines += [
            f"name          {camera}",
            "  sensor      10 10",
            "  size        2048 2048",
            "  animated    0",
            "  intrinsic   " + " ".join(f"{value:.7g}" for value in intrinsic.ravel()) + " ",
            "  extrinsic   " + " ".join(f"{value:.9g}" for value in extrinsic(camera).ravel()) + " ",
            "  radial      0",
        ]
    return "\n".join(lines) + "\n"


def training_annotations(world: Array) -> dict[str, Any]:
    """What annot.mat holds."""
    cells: dict[str, Any] = {
        key: np.empty((NUM_CAMERAS, 1), object) for key in ("annot2", "annot3", "univ_annot3")
    }
    for camera in range(NUM_CAMERAS):
        positions = seen_by(camera, world)
        flat = {"annot2": projected(positions), "annot3": positions, "univ_annot3": UNIVERSAL * positions}
        for key, array in flat.items():
            cells[key][camera, 0] = array.reshape(len(world), -1)
    frames = np.arange(len(world))[:, None]
    return {**cells, "cameras": np.arange(NUM_CAMERAS, dtype=np.uint8)[None], "frames": frames}


def write_training(folder: Path, subject: str, sequence: str, world: Array, **changes: Any) -> Path:
    place = folder / subject / sequence
    place.mkdir(parents=True)
    savemat(place / "annot.mat", {**training_annotations(world), **changes}, do_compression=True)
    (place / "camera.calibration").write_text(calibration_text())
    return place / "annot.mat"


def valid_frames(frames: int) -> npt.NDArray[np.bool_]:
    return np.arange(frames) % 3 == 1


def write_test(folder: Path, subject: str, world: Array, **changes: Any) -> Path:
    place = folder / subject
    place.mkdir(parents=True)
    positions = seen_by(0, world)[:, OF_28]
    arrays = {
        "annot2": projected(positions)[:, None],
        "annot3": positions[:, None],
        "univ_annot3": UNIVERSAL * positions[:, None],
        "valid_frame": valid_frames(len(world))[:, None].astype(np.float64),
        "activity_annotation": np.ones((len(world), 1)),
    }
    with h5py.File(place / "annot_data.mat", "w") as file:
        for name, array in {**arrays, **changes}.items():
            if array is not None:
                file[name] = array
    return place / "annot_data.mat"


def write_npz(folder: Path, train: dict[str, Array], test: dict[str, Array]) -> None:
    """P-STMO's two files, pickled as it does."""
    folder.mkdir(exist_ok=True)
    content: dict[str, Any] = {}
    for label, world in train.items():
        cameras = {}
        for camera in CHOSEN_CAMERAS:
            positions = seen_by(camera, world)[:, OF_28]
            cameras[str(camera)] = {"data_2d": projected(positions), "data_3d": UNIVERSAL * positions}
        content[label] = [cameras, 50]
    np.savez_compressed(folder / "data_train_3dhp", data=content)
    content = {}
    for label, world in test.items():
        positions = seen_by(0, world)[:, OF_28]
        valid = valid_frames(len(world)).astype(np.float64)
        content[label] = {"data_2d": projected(positions), "data_3d": UNIVERSAL * positions, "valid": valid}
    np.savez_compressed(folder / "data_test_3dhp", data=content)


def write_mpi_inf_3dhp(folder: Path, frames: int = 40) -> Path:
    """S1/Seq1, S1/Seq2 and S2/Seq1 to train on; TS1 and TS5 to test on, one folder down as it is unpacked."""
    for seed, (subject, sequence) in enumerate((("S1", "Seq1"), ("S1", "Seq2"), ("S2", "Seq1"))):
        write_training(folder, subject, sequence, world_motion(seed, frames))
    for seed, subject in ((10, "TS1"), (11, "TS5")):
        write_test(folder / "mpi_inf_3dhp_test_set", subject, world_motion(seed, frames))
    return folder
