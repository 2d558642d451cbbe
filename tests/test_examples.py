import subprocess
import sys
from pathlib import Path

import numpy as np

from gcnpose.data.camera import h36m_rig
from gcnpose.data.views import fixed_views
from gcnpose.keypoints.reading import read_keypoints
from tests.motions import small_motion

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"


def test_projected_motion_is_keypoints_that_predict_reads(tmp_path: Path) -> None:
    motion = small_motion()
    motion.save(tmp_path / "motion.npz")
    done = subprocess.run(
        [sys.executable, EXAMPLES / "project_motion.py", "motion.npz", "keypoints.npz", "A"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    true = fixed_views(motion.select(["A"]), h36m_rig(), seed=0)
    for number, clip in enumerate(true.clips):
        read = read_keypoints(tmp_path / "keypoints.npz", sequence=f"{clip.subject}/{clip.name}/{number}")
        assert read.layout.name == "h36m17"
        assert read.image_sizes.tolist() == [[1000, 1000]] * 40
        pixels = (true.keypoints_2d[clip.rows].numpy() + 1) * 500
        error_px = np.linalg.norm(read.keypoints - pixels, axis=-1).mean()
        assert 1 < error_px < 15  # CPN's is 6.4 on average


def test_errors_by_distance(tmp_path: Path) -> None:
    small_motion().save(tmp_path / "motion.npz")
    done = subprocess.run(
        [sys.executable, EXAMPLES / "distances.py", "motion.npz", "A"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    rows = [list(map(float, line.split())) for line in done.stdout.splitlines()[1:]]
    assert [row[:2] for row in rows[:3]] == [[0, 4], [0, 6], [0, 10]]
    assert np.isfinite(rows).all() and (np.diff([row[2:] for row in rows]) != 0).all()
