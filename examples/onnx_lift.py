"""Lifts keypoints with an exported network; needs onnxruntime and numpy alone.

python examples/onnx_lift.py ugcn.onnx keypoints.npy 1920 1080 pose_3d.npy

keypoints.npy: (frames, joints, 2) in pixels of a 1920x1080 image, joints in the order printed. pose_3d.npy:
(frames, joints, 3) in metres, relative to the root joint, x right, y down, z forward.
"""

import json
import sys

import numpy as np
import onnxruntime

if len(sys.argv) != 6:
    sys.exit(__doc__)
network, source, width, height, target = sys.argv[1:]
session = onnxruntime.InferenceSession(network)
metadata = session.get_modelmeta().custom_metadata_map
print("joints:", ", ".join(json.loads(metadata["skeleton"])["joints"]))
keypoints_2d = np.load(source).astype(np.float32)
size = np.array([width, height], dtype=np.float32)
side = size.max() if metadata.get("following") == "true" else size[0]
keypoints_2d[..., :2] = (keypoints_2d[..., :2] * 2 - size) / side
(pose_3d,) = session.run(None, {"keypoints_2d": keypoints_2d[None]})
np.save(target, pose_3d[0])
