"""How far off lifting is by where people are: far, beside the axis; with and without the following camera.

python examples/distances.py motion.npz SUBJECT [SUBJECT ...]

motion.npz has Human3.6M's 17 joints. A level phone camera (a view of 65 degrees, 1920x1080, 1.2 m high) sees
each sequence, turned about the vertical, without errors. The network that comes with gcnpose lifts it in one
pass and is not told the camera. MPJPE, mm, mean over frames.
"""

import sys

import torch

from gcnpose import Skeleton
from gcnpose.build import DATA_SEED
from gcnpose.data.camera import Camera
from gcnpose.data.motion import MotionSet
from gcnpose.data.views import fixed_views
from gcnpose.inference import Lifter
from gcnpose.inference.lifter import focal_length
from gcnpose.metrics import mpjpe_mm

LEVEL = (0.5**0.5, -(0.5**0.5), 0.0, 0.0)  # looks along +y
PLACES_M = ((0, 4), (0, 6), (0, 10), (0, 20), (3, 6), (-5, 10))  # of the origin: to the right, ahead

if len(sys.argv) < 3:
    sys.exit(__doc__)
source, *subjects = sys.argv[1:]
motion = MotionSet.load(source, Skeleton.load("h36m17")).select(subjects)
lifter = Lifter.load(method="whole")
print("right, m  ahead, m  as it is  following")
for right, ahead in PLACES_M:
    place = (-right, -ahead, 1.2)
    camera = Camera("phone", LEVEL, place, (1500, 1500), (960, 540), (0, 0, 0), (0, 0), 1920, 1080)
    views = fixed_views(motion, [camera], DATA_SEED)
    errors = []
    for following in (False, True):
        lifter.following = following
        clips = [
            lifter.lift(views.keypoints_2d[clip.rows], focal_length(None, (camera.width, camera.height)))
            for clip in views.clips
        ]
        lifted = torch.cat([torch.from_numpy(clip) for clip in clips])
        errors.append(mpjpe_mm(lifted, views.pose_3d).mean().item())
    print(f"{right:8g}  {ahead:8g}  {errors[0]:8.1f}  {errors[1]:9.1f}", flush=True)
