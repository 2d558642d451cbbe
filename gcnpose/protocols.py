"""Evaluation protocols by name: which frames count, about which joint, in which columns, averaged how.

Two numbers compare where their protocols, their 2D and their training data are the same.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from gcnpose.data.views import Clip, Views
from gcnpose.errors import InputError
from gcnpose.skeleton import Skeleton

Mean = Literal["mean_over_actions", "mean_over_frames"]


@dataclass(frozen=True)
class Protocol:
    """How lifted clips are scored; :func:`gcnpose.evaluation.score` follows it."""

    name: str
    rules: str
    """What is scored and in which frame, for the reader of a report."""
    averaging: str
    """How the frames become one number, likewise."""
    mean: Mean
    """Which of the means is the one to quote."""
    skeleton: str | None = None
    """Graph whose joints it scores; None: any."""
    column: Callable[[Clip], str | None] = lambda clip: clip.action
    """Where a clip's frames are pooled; None: it is not scored."""
    columns: Mapping[str, str] = field(default_factory=dict)
    """All columns in the order in which they are published, with their headings; empty: any."""
    metrics: tuple[str, ...] = ()
    """What is published."""
    clip_frames: int | None = None
    """Cut into clips of so many frames, the rest left out, but for clips that are shorter; None: whole."""
    subtract_root: bool = False
    """Whether predictions are moved so that their root lies where the true one does."""
    joint_groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Joints that PCK and AUC count, by the groups in which they are published; empty: all joints."""
    frame_groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Columns that are pooled too, by name."""
    subjects: tuple[str, ...] = ()
    """Who the test set is of; empty: it does not say."""
    frames: int | None = None
    """How many frames the whole test set has that are scored."""
    dataset: str | None = None
    """Data set of the published results that compare with it."""

    def parts(self, views: Views) -> list[tuple[int, str, slice]]:
        """What is scored: number of the clip, column, and rows within the clip.

        Raises:
            InputError: if the joints are others, a clip belongs into no column, or nothing is left.
        """
        if self.skeleton and views.skeleton.joints != Skeleton.load(self.skeleton).joints:
            raise InputError(
                f"protocol {self.name}: scores the joints of {self.skeleton}, not those of "
                f"{views.skeleton.name}"
            )
        columns = [self.column(clip) for clip in views.clips]
        if not any(columns):
            raise InputError(f"protocol {self.name}: scores none of the {len(columns)} clips")
        parts = []
        for number, (clip, column) in enumerate(zip(views.clips, columns, strict=True)):
            if column is None:
                continue
            if self.columns and column not in self.columns:
                raise InputError(f"protocol {self.name}: {clip} is none of {', '.join(self.columns)}")
            frames = min(self.clip_frames or clip.frames, clip.frames)
            for first in range(0, clip.frames - frames + 1, frames):
                parts.append((number, column, slice(first, first + frames)))
        return parts


H36M_COLUMNS = {
    "Directions": "Dir.",
    "Discussion": "Disc.",
    "Eating": "Eat.",
    "Greeting": "Greet",
    "Phoning": "Phone",
    "Photo": "Photo",
    "Posing": "Pose",
    "Purchases": "Purch.",
    "Sitting": "Sit",
    "SittingDown": "SitD.",
    "Smoking": "Smoke",
    "Waiting": "Wait",
    "WalkDog": "WalkD.",
    "Walking": "Walk",
    "WalkTogether": "WalkT.",
}
# Their 3D is shifted against the images. MotionBERT calls them s_09_act_05_subact_02, s_09_act_10_subact_02
# and s_09_act_13_subact_01, others Greeting-2, SittingDown-2 and Waiting-1. Which files these are is said in
# Vegetebird/MHFormer#92, and seen in the lengths: of S9's videos only these three have another number of
# frames than MotionBERT's file has of them. MMPose's skip_list has SittingDown in place of SittingDown 1.
MOTIONBERT_BLOCK_LIST = (("S9", "Greeting"), ("S9", "SittingDown 1"), ("S9", "Waiting 1"))


def _h36m_column(clip: Clip) -> str | None:
    """The action as VideoPose3D names it; nothing for the video that it drops."""
    return None if (clip.subject, clip.name) == ("S11", "Directions") else clip.name.split(" ")[0]


def _motionbert_column(clip: Clip) -> str | None:
    return None if (clip.subject, clip.name) in MOTIONBERT_BLOCK_LIST else clip.name.split(" ")[0]


def _humaneva_column(clip: Clip) -> str | None:
    """Action and subject, such as "Walk S1"; nothing for gestures and throwing."""
    action = {"Walking": "Walk", "Jog": "Jog", "Box": "Box"}.get(clip.name.split(" ")[0])
    subject = re.search(r"S\d+$", clip.subject)
    return f"{action} {subject[0]}" if action and subject else None


GENERIC = Protocol(
    name="generic",
    rules="predicted root as predicted, every valid frame of every view",
    averaging="within an action every frame alike; the mean over actions gives every action one weight",
    mean="mean_over_frames",
)
PROTOCOLS: Mapping[str, Protocol] = {
    protocol.name: protocol
    for protocol in (
        GENERIC,
        # VideoPose3D, run.py and data/prepare_data_h36m.py.
        Protocol(
            name="h36m",
            rules="VideoPose3D's: predicted root as predicted, every frame of S9 and S11 but S11/Directions",
            averaging="within each of 15 actions every frame alike, then the mean of the action means",
            mean="mean_over_actions",
            skeleton="h36m17",
            column=_h36m_column,
            columns=H36M_COLUMNS,
            subjects=("S9", "S11"),
            metrics=("mpjpe_mm", "p_mpjpe_mm", "mpjve_mm"),
            dataset="Human3.6M",
        ),
        # MotionBERT, train.py and lib/utils/utils_data.py.
        Protocol(
            name="h36m-motionbert",
            rules=(
                "MotionBERT's frames: predicted root subtracted, clips of 243 frames, what is left at the "
                "end of a video dropped, shorter videos whole, without S9/Greeting, S9/SittingDown 1 and "
                "S9/Waiting 1; lifted whole and scored in the camera's frame, while MotionBERT lifts each "
                "clip alone and scores against image coordinates scaled to millimetres"
            ),
            averaging="within each of 15 actions every frame alike, then the mean of the action means",
            mean="mean_over_actions",
            skeleton="h36m17",
            column=_motionbert_column,
            columns=H36M_COLUMNS,
            subjects=("S9", "S11"),
            metrics=("mpjpe_mm", "p_mpjpe_mm"),
            clip_frames=243,
            subtract_root=True,
        ),
        # The data set's test_util (mpii_evaluate_errors.m and others), as P-STMO ships it.
        Protocol(
            name="mpi-inf-3dhp",
            rules=(
                "the official ones, meant for univ_annot3: predicted pelvis subtracted, valid frames; "
                "MPJPE over 17 joints, PCK (below 150 mm) and AUC (31 thresholds of 0 to 150 mm, so at most "
                "96.77) over 14"
            ),
            averaging="each test sequence, weighted by its valid frames",
            mean="mean_over_frames",
            skeleton="mpi_inf_3dhp17",
            column=lambda clip: clip.subject,
            columns={subject: subject for subject in ("TS1", "TS2", "TS3", "TS4", "TS5", "TS6")},
            metrics=("pck_150mm", "auc", "mpjpe_mm"),
            subtract_root=True,
            joint_groups={
                "Head": ("head_top",),
                "Neck": ("neck",),
                "Shou": ("right_shoulder", "left_shoulder"),
                "Elbow": ("right_elbow", "left_elbow"),
                "Wrist": ("right_wrist", "left_wrist"),
                "Hip": ("right_hip", "left_hip"),
                "Knee": ("right_knee", "left_knee"),
                "Ankle": ("right_ankle", "left_ankle"),
            },
            frame_groups={"GS": ("TS1", "TS2"), "noGS": ("TS3", "TS4"), "Outdoor": ("TS5", "TS6")},
            frames=2929,
            dataset="MPI-INF-3DHP",
        ),
        # VideoPose3D, run.py with -d humaneva15 -a Walk,Jog,Box --by-subject.
        Protocol(
            name="humaneva",
            rules="VideoPose3D's: predicted root as predicted, every frame of Walk, Jog and Box",
            averaging="each action of each subject, every frame alike; then the mean of these means",
            mean="mean_over_actions",
            skeleton="humaneva15",
            column=_humaneva_column,
            columns={
                f"{action} {subject}": f"{action} {subject}"
                for action in ("Walk", "Jog", "Box")
                for subject in ("S1", "S2", "S3")
            },
            metrics=("mpjpe_mm", "p_mpjpe_mm"),
        ),
    )
}
