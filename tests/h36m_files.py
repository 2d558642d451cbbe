"""A miniature Human3.6M in its true file layouts: CDF files, their archives, VideoPose3D's .npz files."""

import tarfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from cdflib import cdfwrite

CAMERAS = ("54138969", "55011271", "58860488", "60457274")
# VideoPose3D, common/h36m_dataset.py: the joints that it removes from the 32.
REMOVED = (4, 5, 9, 10, 11, 16, 20, 21, 22, 23, 24, 28, 29, 30, 31)
KEPT = [joint for joint in range(32) if joint not in REMOVED]
# VideoPose3D, data/data_utils.py and data/prepare_data_h36m.py.
METADATA: Mapping[str, dict[str, Any]] = {
    "h36m": {
        "num_joints": 17,
        "keypoints_symmetry": [[4, 5, 6, 11, 12, 13], [1, 2, 3, 14, 15, 16]],
    },
    "mpii": {
        "layout_name": "mpii",
        "num_joints": 16,
        "keypoints_symmetry": [[3, 4, 5, 13, 14, 15], [0, 1, 2, 10, 11, 12]],
    },
    "coco": {
        "layout_name": "coco",
        "num_joints": 17,
        "keypoints_symmetry": [[1, 3, 5, 7, 9, 11, 13, 15], [2, 4, 6, 8, 10, 12, 14, 16]],
    },
    "humaneva15": {
        "layout_name": "humaneva15",
        "num_joints": 15,
        "keypoints_symmetry": [[2, 3, 4, 8, 9, 10], [5, 6, 7, 11, 12, 13]],
    },
}


def original_motion(seed: int, frames: int = 4, joints: int = 32) -> npt.NDArray[np.float64]:
    """Joints that swing about a standing cloud, millimetres with z up, as Human3.6M has them."""
    random = np.random.default_rng(seed)
    cloud = random.normal(0, 300, (1, joints, 3)) + np.array([0, 0, 1000])
    phase = random.uniform(0, 6, (1, joints, 3))
    return np.asarray(cloud + 100 * np.sin(np.arange(frames)[:, None, None] / 10 + phase))


def write_cdf(path: Path, poses: npt.NDArray[np.float64], variable: str = "Pose") -> Path:
    """A CDF file as Human3.6M's: one record (frames, 3 x joints) of doubles."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    flat = poses.reshape(1, len(poses), -1)
    file = cdfwrite.CDF(path, cdf_spec={"Compressed": 6})
    try:
        spec = {
            "Variable": variable,
            "Data_Type": 45,  # CDF_DOUBLE
            "Num_Elements": 1,
            "Rec_Vary": True,
            "Var_Type": "zVariable",
            "Dim_Sizes": list(flat.shape[1:]),
        }
        file.write_var(spec, var_data=flat)
    finally:
        file.close()
    return path


def write_originals(folder: Path, motion: Mapping[tuple[str, str], npt.NDArray[np.float64]]) -> Path:
    """The unpacked files, under the folder that they are downloaded to."""
    for (subject, action), poses in motion.items():
        write_cdf(folder / subject / "MyPoseFeatures" / "D3_Positions" / f"{action}.cdf", poses)
    return folder


def write_archive(folder: Path, subject: str, originals: Path) -> Path:
    """What one downloads of a subject, from its unpacked files."""
    path = folder / f"Poses_D3_Positions_{subject}.tgz"
    with tarfile.open(path, "w:gz") as archive:
        archive.add(originals / subject, arcname=subject)
    return path


def write_3d(path: Path, positions: Mapping[str, Mapping[str, npt.NDArray[Any]]]) -> Path:
    """VideoPose3D's ``data_3d_*.npz``."""
    np.savez_compressed(path, positions_3d=np.array(dict(positions), dtype=object))
    return path


def write_2d(
    path: Path,
    positions: Mapping[str, Mapping[str, Iterable[npt.NDArray[Any]]]],
    metadata: Mapping[str, Any] | None = METADATA["h36m"],
) -> Path:
    """VideoPose3D's ``data_2d_*.npz``."""
    arrays: dict[str, Any] = {"positions_2d": np.array(dict(positions), dtype=object)}
    if metadata is not None:
        arrays["metadata"] = np.array(dict(metadata), dtype=object)
    np.savez_compressed(path, **arrays)
    return path


def detections(
    seed: int, frames: int = 4, joints: int = 17, channels: int = 2, cameras: int = 4
) -> list[npt.NDArray[np.float32]]:
    """2D of one recording: pixels, and a score where there are three channels."""
    random = np.random.default_rng(seed)
    pixels = random.uniform(100, 900, (cameras, frames, joints, 2))
    score = random.uniform(0, 1, (cameras, frames, joints, 1))
    return list(np.concatenate([pixels, score], axis=-1)[..., :channels].astype(np.float32))
