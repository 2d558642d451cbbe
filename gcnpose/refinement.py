"""The second stage: a network that corrects the first one's poses, given the cameras (Cai et al., 2019).

Where the first stage says how deep each joint lies, the camera and the 2D say where it is to the side, but
for the distance of the whole person. Cai et al. take that from the ground truth, in training and in the test:
``get_uvd2xyz`` of their code adds the true depth of the root. ``"ground_truth"`` does so, to compare with
their figures and with those of others who use their module. ``"fitted"`` knows nothing but the prediction,
the 2D and the camera: the root is put where the predicted pose projects nearest to the 2D.

Other differences from their code: the first stage stays as it is, where they go on training it with a small
learning rate; the loss is the mean distance, without their small penalty on unequal sides; and the lens
distortion, which they leave in, is undone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from gcnpose.config import RefinementConfig, RootDepth
from gcnpose.data.camera import Rig, denormalize_screen, unproject
from gcnpose.data.views import Clip, Views
from gcnpose.errors import InputError, RunError
from gcnpose.evaluation import Lift
from gcnpose.inference import mirror
from gcnpose.keypoints.track3d import Intrinsics
from gcnpose.keypoints.trajectory import fit_translation
from gcnpose.loss import mpjpe_loss
from gcnpose.nn.refinement import Refinement, place_on_rays


def clip_rays(views: Views, clip: Clip) -> Tensor:
    """X / Z and Y / Z of every keypoint of a clip.

    Shapes:
        - returns: (frames, joints, 2)

    Raises:
        InputError: if the clip's camera is not known.
    """
    if clip.seen_by is None:
        raise InputError(f"{clip}: its camera is not known, and a refinement needs it")
    lens = Rig.from_cameras([clip.seen_by])
    pixels = denormalize_screen(views.keypoints_2d[clip.rows][..., :2], lens.width[0], lens.height[0])
    return unproject(pixels, lens.focal_px[0], lens.center_px[0], lens.radial[0], lens.tangential[0])


def poses_on_rays(views: Views, lifted: Sequence[Tensor], root_depth: RootDepth) -> list[Tensor]:
    """Of each clip's lifted poses those of the same depths that project onto the 2D.

    A clip without a frame that decides where the root is keeps its poses: refining them changes nothing.

    Args:
        views: Their keypoints' scores, where they have some, are weights of the fit.
        lifted: (frames, joints, 3) for each clip, on the CPU.
        root_depth: ``"fitted"`` to the poses and the 2D, or the views' own ``"ground_truth"``.

    Raises:
        InputError: if a clip's camera, or the true depth of its root, is not known.
    """
    placed = []
    for clip, poses in zip(views.clips, lifted, strict=True):
        rays = clip_rays(views, clip)
        if root_depth == "fitted":
            keypoints = views.keypoints_2d[clip.rows]
            score = keypoints[..., 2] if keypoints.shape[-1] == 3 else torch.ones(rays.shape[:-1])
            one = Intrinsics((1.0, 1.0), (0.0, 0.0))
            try:
                translation = fit_translation(poses.numpy(), rays.numpy(), score.numpy(), one)
            except InputError:
                placed.append(poses)
                continue
            depth = torch.from_numpy(translation[:, 2])
        elif views.root_depth is None:
            raise InputError("the views do not say how far away the root is")
        else:
            depth = views.root_depth[clip.rows]
        placed.append(place_on_rays(poses, rays, depth, views.skeleton.root_index))
    return placed


def refine(lift: Lift, refinement: Refinement, views: Views, root_depth: RootDepth) -> Lift:
    """A way to lift all clips of some views, and to refine what comes out."""

    @torch.inference_mode()
    def refined(inputs: list[Tensor]) -> list[Tensor]:
        device = next(refinement.parameters()).device
        lifted = [poses.cpu() for poses in lift(inputs)]
        pairs = zip(lifted, poses_on_rays(views, lifted, root_depth), strict=True)
        return [refinement(poses.to(device), on_rays.to(device)) for poses, on_rays in pairs]

    return refined


def some_clips(views: Views, frames: int, seed: int) -> Views:
    """As many clips, drawn at random, as it takes to hold some frames."""
    chosen: list[Clip] = []
    for number in torch.randperm(len(views.clips), generator=torch.Generator().manual_seed(seed)).tolist():
        if sum(clip.frames for clip in chosen) < frames:
            chosen.append(views.clips[number])
    return replace(views, clips=chosen)


def train_refinement(
    views: Views, lifted: Sequence[Tensor], config: RefinementConfig, seed: int, device: torch.device
) -> Refinement:
    """A refinement of what a network makes of some views, in evaluation mode.

    Args:
        views: What to learn from.
        lifted: The first stage's poses of each clip, on the CPU.
        config: Network and schedule.
        seed: Of everything random.
        device: Where to train.

    Raises:
        InputError: as :func:`poses_on_rays`.
        RunError: if a weight is not finite in the end.
    """
    rows = torch.cat([torch.arange(clip.first, clip.first + clip.frames) for clip in views.clips])
    valid = views.valid[rows]
    poses, on_rays, target = (
        part[valid].to(device)
        for part in (
            torch.cat(list(lifted)),
            torch.cat(poses_on_rays(views, lifted, config.root_depth)),
            views.pose_3d[rows],
        )
    )
    torch.manual_seed(seed)
    generator = torch.Generator(device=device).manual_seed(seed)
    refinement = Refinement(views.skeleton.num_joints, config.width, config.dropout).to(device)
    optimizer = torch.optim.Adam(refinement.parameters(), lr=config.learning_rate, fused=True)
    steps = config.epochs * -(-len(poses) // config.batch_size)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, steps)
    for _ in range(config.epochs):
        order = torch.randperm(len(poses), generator=generator, device=device)
        for number, chosen in enumerate(order.split(config.batch_size)):
            batch = [part[chosen] for part in (poses, on_rays, target)]
            if number % 2:
                batch = [mirror(part, views.skeleton) for part in batch]
            loss = mpjpe_loss(refinement(*batch[:2])[None], batch[2][None])
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            schedule.step()
    if not all(weight.isfinite().all() for weight in refinement.parameters()):
        raise RunError(f"the refinement's weights are not finite; try less than {config.learning_rate:g}")
    return refinement.eval()
