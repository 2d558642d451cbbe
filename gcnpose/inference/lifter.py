"""A trained network applied to the keypoint tracks of any detector."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import get_args

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from gcnpose.build import build_device
from gcnpose.checkpoint import load_checkpoint, restore_model, restore_refinement, shipped_checkpoint
from gcnpose.config import Config, Method, Precision
from gcnpose.data.camera import normalize_screen
from gcnpose.errors import InputError
from gcnpose.inference.sequences import lift, lift_by, resample, was_played_at
from gcnpose.keypoints.conversion import Conversion
from gcnpose.keypoints.track3d import Intrinsics, Track3D
from gcnpose.keypoints.tracks import KeypointTrack
from gcnpose.keypoints.trajectory import fit_translation, guess_intrinsics
from gcnpose.nn import LiftingNetwork
from gcnpose.nn.following import follow, turn_back
from gcnpose.nn.refinement import Refinement, place_on_rays
from gcnpose.precision import autocast
from gcnpose.skeleton import Skeleton, available_graphs

# Between frames farther apart than this many of the network's, straight lines are no motion.
_LARGEST_GAP = 10

# Windows per forward pass: on a CPU as many as its caches hold the features of, which is fastest there.
_WINDOWS_AT_ONCE = {"cpu": 16}
_WINDOWS_AT_ONCE_ELSEWHERE = 256


class Lifter:
    """Lifts keypoint tracks to 3D::

        detections = read_keypoints("video.json")
        lifter = Lifter.load("runs/ugcn-.../best.pt")
        for track in select(detections, person="all"):
            track_3d = lifter.place(lifter(track), track)

    Args:
        model: In evaluation mode; its device is where the lifting is done.
        skeleton: Of the model.
        config: The experiment that the model is from: window, step, flip, and the method unless one is given.
        method: ``"windows"``: overlapping windows, averaged, as in the paper. ``"shifts"``: the whole track
            once per phase of the network's strides, averaged; smoother for the same work. ``"whole"``: the
            whole track in one pass. None: the first of the config's.
        flip: Average with the prediction of the mirrored input; None: as the config says.
        precision: ``"bf16"`` computes features in bfloat16, which is twice as fast on devices that have
            instructions for it; ``"auto"`` does so there, where several predictions are averaged.
        conversion: File of the map from the tracks' joints to the model's; None: the shipped one.
        refinement: Second stage, in evaluation mode on the model's device, for tracks whose camera is known.
        fps: Frames per second of the motion that the model was trained on; None: unknown, and tracks are
            lifted as they come.
        following: Whether tracks are lifted as a camera sees them that follows the person, see
            :func:`gcnpose.nn.following.follow`. None: as :attr:`gcnpose.config.Config.follow_reach` says.

    Raises:
        InputError: if method or precision is none of these.
    """

    def __init__(
        self,
        model: LiftingNetwork,
        skeleton: Skeleton,
        config: Config,
        method: Method | None = None,
        flip: bool | None = None,
        precision: Precision = "fp32",
        conversion: str | Path | None = None,
        refinement: Refinement | None = None,
        fps: float | None = None,
        following: bool | None = None,
    ) -> None:
        self.model = model
        self.skeleton = skeleton
        self.window = config.data.window
        self.step = config.evaluation.step
        self.method = config.evaluation.methods[0] if method is None else method
        self.flip = config.evaluation.flip if flip is None else flip
        self.conversion = conversion
        self.refinement = refinement
        self.fps = fps
        self.extent = model.input_extent
        self.following = config.follow_reach is not None if following is None else following
        self.tempo = config.data.augment.tempo
        self.device = next(model.parameters()).device
        for given, known in ((self.method, get_args(Method)), (precision, get_args(Precision))):
            if given not in known:
                raise InputError(f"expected one of {', '.join(known)}, not {given!r}")
        self.precision: Precision = "fp32" if precision == "auto" and self.method == "whole" else precision

    @classmethod
    def load(
        cls,
        checkpoint: str | Path | None = None,
        method: Method | None = None,
        flip: bool | None = None,
        precision: Precision = "fp32",
        conversion: str | Path | None = None,
        device: str = "auto",
    ) -> Lifter:
        """The lifter of a checkpoint.

        Args:
            checkpoint: The file, or a run folder; None: the network that comes with gcnpose.
            method, flip, precision, conversion: As of the class.
            device: ``"auto"``, ``"cpu"``, ``"cuda"``, ``"cuda:N"`` or ``"mps"``.

        Raises:
            InputError: if the checkpoint cannot be used, or the device is not there.
        """
        checkpoint = shipped_checkpoint() if checkpoint is None else checkpoint
        content = load_checkpoint(checkpoint)
        config, skeleton, model = restore_model(content, checkpoint)
        refinement = restore_refinement(content, checkpoint)
        place = build_device(dataclasses.replace(config, device=device))
        if refinement is not None:
            refinement = refinement.to(place)
        fps = content.get("fps")
        return cls(model.to(place), skeleton, config, method, flip, precision, conversion, refinement, fps)

    def __call__(self, track: KeypointTrack, intrinsics: Intrinsics | None = None) -> Track3D:
        """Root-relative 3D of every frame of a track, its joints converted where they are others.

        A track of another frame rate than :meth:`lifted_at` is resampled to that and its 3D back again. Of
        one that is :meth:`too slow <is_too_slow>` every frame is lifted by itself.

        Args:
            track: The 2D.
            intrinsics: Of the camera; None: a guess from the image size.

        Raises:
            InputError: if there is no conversion for the track's joints, or a keypoint is not finite.
        """
        wrong = np.argwhere(~np.isfinite(track.keypoints_2d).all(axis=-1))
        if len(wrong):
            frame, joint = wrong[0]
            raise InputError(
                f"person {track.person}, frame {track.frames[frame]}, joint {joint}: is not finite"
            )
        track = self.convert(track)
        sequence = self.network_input(track.keypoints_2d, track.score, track.image_size)
        focal = focal_length(intrinsics, track.image_size)
        fps = self.lifted_at(track.fps)
        if self.is_too_slow(track.fps):
            positions = np.concatenate([self.lift(frame[None], focal) for frame in sequence])
        elif fps is None or track.fps is None:
            positions = self.lift(sequence, focal)
        else:
            frames = round((len(sequence) - 1) * fps / track.fps) + 1
            lifted = torch.from_numpy(self.lift(resample(sequence, frames), focal))
            positions = resample(lifted, len(sequence)).numpy()
        return Track3D(
            person=track.person,
            skeleton=self.skeleton,
            fps=track.fps,
            frames=track.frames,
            positions=positions,
            translation=None,
            score=track.score,
            measured=track.measured,
            frame_step=track.frame_step,
        )

    def is_too_slow(self, fps: float | None) -> bool:
        """Whether frames of this rate are so far apart that nothing is to be interpolated between them."""
        return fps is not None and self.fps is not None and self.fps / fps > _LARGEST_GAP

    def lifted_at(self, fps: float | None) -> float | None:
        """The frame rate that tracks of another one are brought to; None: they are lifted as they come.

        As they come where either rate is unknown, and where the training has played its motion as fast or
        slow; also where they are :meth:`too slow <is_too_slow>` and nothing is to be known of the motion.
        """
        if fps is None or self.fps is None or self.is_too_slow(fps):
            return None
        return None if was_played_at(fps, self.fps, self.tempo) else self.fps

    def convert(self, track: KeypointTrack) -> KeypointTrack:
        """The track in the joints of the model; itself, if it is already.

        Raises:
            InputError: if there is no conversion, or it has faults.
        """
        name = track.layout
        # A graph of one's own may have kept the name of the one that it was copied from.
        if name == self.skeleton.name and (
            name not in available_graphs() or Skeleton.load(name).joints == self.skeleton.joints
        ):
            return track
        return Conversion.load(track.layout, self.skeleton, self.conversion).convert(track)

    def place(self, lifted: Track3D, track: KeypointTrack, intrinsics: Intrinsics | None = None) -> Track3D:
        """The lifted track with the root's path through space; see :func:`fit_translation`.

        Where the lifter has a second stage and the camera is not guessed, the poses are refined by it.

        Args:
            lifted: What this lifter made of the track.
            track: The 2D.
            intrinsics: Of the camera; None: a guess from the image size.

        Raises:
            InputError: if no frame decides where the root is.
        """
        intrinsics = intrinsics or guess_intrinsics(track.image_size)
        seen = self.convert(track)
        positions, translation = self.place_poses(lifted.positions, seen.keypoints_2d, seen.score, intrinsics)
        return dataclasses.replace(
            lifted, positions=positions, translation=translation, intrinsics=intrinsics
        )

    def place_poses(
        self,
        positions: npt.NDArray[np.float32],
        keypoints_2d: npt.NDArray[np.float32],
        score: npt.NDArray[np.float32],
        intrinsics: Intrinsics,
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """What :meth:`place` makes of poses and their 2D in the joints of the model: poses and translation.

        Shapes:
            positions (frames, joints, 3), keypoints_2d (frames, joints, 2) pixels, score (frames, joints) ->
            (frames, joints, 3), (frames, 3)
        """
        translation = fit_translation(positions, keypoints_2d, score, intrinsics)
        if self.refinement is None or intrinsics.guessed:
            return positions, translation
        rays = (keypoints_2d - intrinsics.center_px) / intrinsics.focal_px
        poses, depth = torch.from_numpy(positions), torch.from_numpy(translation[:, 2])
        on_rays = place_on_rays(poses, torch.from_numpy(rays).float(), depth, self.skeleton.root_index)
        with torch.inference_mode():
            refined = self.refinement(poses.to(self.device), on_rays.to(self.device))
        return refined.cpu().numpy(), translation

    def network_input(
        self,
        keypoints_2d: npt.NDArray[np.float32],
        score: npt.NDArray[np.float32],
        image_size: tuple[int, int],
    ) -> Tensor:
        """Keypoints in the joints of the model, normalised, with the score where the model takes one.

        Shapes:
            keypoints_2d (frames, joints, 2) pixels, score (frames, joints) -> (frames, joints, 2 or 3)
        """
        pixels = torch.from_numpy(np.concatenate([keypoints_2d, score[..., None]], axis=-1, dtype=np.float32))
        width, height = image_size
        return normalize_screen(pixels, width, height)[..., : self.model.input_channels].to(self.device)

    def lift(self, sequence: Tensor, focal: float) -> npt.NDArray[np.float32]:
        """3D of normalised keypoints by the lifter's method, in memory that does not grow with the frames.

        Args:
            sequence: Of :meth:`network_input`.
            focal: Focal length in half image widths.

        Shapes:
            (frames, joints, channels) -> (frames, joints, 3)
        """
        windows = _WINDOWS_AT_ONCE.get(self.device.type, _WINDOWS_AT_ONCE_ELSEWHERE)
        with autocast(self.precision, self.device):
            (lifted,) = lift_by(
                self.method,
                self.model,
                self.skeleton,
                [sequence],
                window=self.window,
                step=self.step,
                flip=self.flip,
                batch_size=windows,
                frames_at_once=4 * windows * self.window,
                reach=self.model.reach,
                focal=focal if self.following else None,
            )
        return lifted.float().cpu().numpy()

    @torch.inference_mode()
    def lift_window(self, window: Tensor, focal: float) -> Tensor:
        """3D of one window in one pass, with the lifter's flip and precision; as for :meth:`lift`.

        Shapes:
            (frames, joints, channels) -> (frames, joints, 3), on the CPU
        """
        if self.following:
            window, rotation = follow(window, self.skeleton.root_index, focal, self.extent, len(window))
        with autocast(self.precision, self.device):
            lifted = lift(self.model, self.skeleton, window[None], self.flip)[0].float()
        return (turn_back(lifted, rotation) if self.following else lifted).cpu()


def focal_length(intrinsics: Intrinsics | None, image_size: tuple[int, int]) -> float:
    """In half image widths, as the 2D is normalised; without a camera, of a guess from the image size."""
    return (intrinsics or guess_intrinsics(image_size)).focal_px[0] / image_size[0] * 2
