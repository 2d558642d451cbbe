"""Timings beside the usual way of writing the same network, as ratios within one run."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from functools import partial
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch_geometric.data import Data

from gcnpose.config import Method, load_config
from gcnpose.data.camera import Rig, h36m_rig
from gcnpose.data.draws import Draws
from gcnpose.data.synthetic import make_motion
from gcnpose.data.windows import DrawnWindows
from gcnpose.errors import InputError
from gcnpose.inference import Lifter, lift_windows
from gcnpose.inference.lifter import Precision
from gcnpose.loss import LiftingLoss
from gcnpose.nn import UGCN, PartitionConv, STGCNBlock
from gcnpose.nn.partition_conv import has_torch_scatter
from gcnpose.skeleton import Skeleton


class UsualBlock(nn.Module):
    """:class:`gcnpose.nn.STGCNBlock` as graph networks on skeletons are usually written, with its weights.

    A 1x1 Conv2d to subsets times channels, an einsum with one adjacency matrix per subset, BatchNorm2d, ReLU,
    a Conv2d over (kernel, 1), BatchNorm2d, Dropout, residual, ReLU.

    Shapes:
        - input: (batch, in_channels, frames, joints)
        - output: (batch, out_channels, frames / stride, joints)
    """

    adjacency: Tensor

    def __init__(self, block: STGCNBlock, graph: Data) -> None:
        super().__init__()
        spatial, temporal = block.spatial, block.temporal
        wide, narrow, channels = spatial.lin.out_features, spatial.in_channels, spatial.out_channels
        subsets, kernel, stride = spatial.subsets, temporal.kernel_size[0], block.stride
        adjacency = torch.zeros(subsets, graph.num_nodes, graph.num_nodes)
        adjacency[graph.edge_type, graph.edge_index[0], graph.edge_index[1]] = graph.edge_weight
        self.register_buffer("adjacency", adjacency)
        self.residual = block.residual
        self.gcn = nn.Conv2d(narrow, wide, 1)
        self.gcn_norm = nn.BatchNorm2d(channels)
        self.tcn = nn.Conv2d(channels, channels, (kernel, 1), (stride, 1), (kernel // 2, 0))
        self.tcn_norm = nn.BatchNorm2d(channels)
        self.dropout = nn.Dropout(block.dropout.p, inplace=True)
        self.shortcut: nn.Module = nn.Identity()
        if isinstance(block.shortcut, nn.Sequential):
            self.shortcut = nn.Sequential(
                nn.Conv2d(narrow, channels, 1, (stride, 1)), nn.BatchNorm2d(channels)
            )
        copy_weights(block, self)

    def forward(self, x: Tensor) -> Tensor:
        y = self.gcn(x).unflatten(1, (len(self.adjacency), -1))
        y = torch.einsum("nkctv,kvw->nctw", y, self.adjacency).contiguous()
        y = F.relu(self.gcn_norm(y))
        y = self.dropout(self.tcn_norm(self.tcn(y)))
        return F.relu(y + self.shortcut(x) if self.residual else y)


class UsualUGCN(nn.Module):
    """:class:`gcnpose.nn.UGCN` in the usual formulation, with the same weights and the same input and output.

    Only for Figure 4's own shape: every step halves, frames are repeated, frame counts fit.
    """

    def __init__(self, network: UGCN, graph: Data) -> None:
        super().__init__()

        def usual(blocks: nn.Module) -> nn.ModuleList:
            return nn.ModuleList(UsualBlock(b, graph) for b in blocks.modules() if isinstance(b, STGCNBlock))

        assert network.merge is not None
        self.input_norm = nn.BatchNorm1d(network.input_norm.num_features)
        self.first, self.last = UsualBlock(network.first, graph), UsualBlock(network.last, graph)
        self.down, self.up, self.merge = usual(network.down), usual(network.up), usual(network.merge)
        self.head = nn.Conv2d(network.head.in_features, 3, 1)
        copy_weights(network.input_norm, self.input_norm)
        copy_weights(network.head, self.head)

    def forward(self, keypoints_2d: Tensor) -> Tensor:
        batch, frames, joints, channels = keypoints_2d.shape
        x = self.input_norm(keypoints_2d.permute(0, 2, 3, 1).reshape(batch, joints * channels, frames))
        x = x.view(batch, joints, channels, frames).permute(0, 2, 3, 1).contiguous()
        skips = [self.first(x)]
        for strided, plain in zip(self.down[::2], self.down[1::2], strict=True):
            skips.append(plain(strided(skips[-1])))
        x = skips.pop()
        merged = []
        for step in reversed(range(len(self.up))):
            x = self.up[step](x)
            if step > 0:
                merged.append(F.interpolate(self.merge[step - 1](x), scale_factor=(2 ** (step + 1), 1)))
            x = F.interpolate(x, scale_factor=(2, 1)) + skips.pop()
        x = self.head(self.last(sum(merged, start=x)))
        return x.permute(0, 2, 3, 1)


def copy_weights(source: nn.Module, target: nn.Module) -> None:
    """Copies parameters and statistics in order; the shapes may differ by axes of one."""
    ours, theirs = list(source.state_dict().values()), list(target.state_dict().items())
    theirs = [(name, tensor) for name, tensor in theirs if not name.endswith("adjacency")]
    for tensor, (_, usual) in zip(ours, theirs, strict=True):
        usual.copy_(tensor.view(usual.shape))


def time_step(batch_size: int, frames: int, repeats: int, precision: str) -> str:
    """A training step (forward, loss, backward, update) of UGCN and of the usual formulation, in turn.

    Returns:
        A table: the median of each, the ratio, and the time that taking a batch costs.

    Raises:
        InputError: if the network would pad that number of frames, which the usual formulation does not.
    """
    skeleton = Skeleton.load("h36m17")
    ours = UGCN(skeleton)
    if frames % ours.stride_product:
        raise InputError(f"benchmark: --frames must be a multiple of {ours.stride_product}, not {frames}")
    usual = UsualUGCN(ours, skeleton.to_data())
    motion = make_motion(takes=1)
    windows = DrawnWindows(
        motion,
        Rig.from_cameras(h36m_rig()),
        drawn_cameras=False,
        window=frames,
        step=5,
        flip=0.5,
        bone_scale=0.05,
        body_scale=0.1,
        tempo=0.3,
        input_channels=2,
        device=torch.device("cpu"),
    )
    generator = torch.Generator().manual_seed(0)
    indices = torch.randint(len(windows), (batch_size,), generator=generator)
    draws = Draws(generator, batch_size)
    batch = windows.batch(indices, draws)
    loss = LiftingLoss(intervals=[interval for interval in (8, 12, 16, 24) if interval < frames] or [1])

    def step_of(network: nn.Module) -> Callable[[], None]:
        optimizer = torch.optim.Adam(network.parameters(), lr=1e-3, fused=True)

        def step() -> None:
            with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
                predicted = network(batch.keypoints_2d)
            optimizer.zero_grad()
            loss(predicted.float(), batch.pose_3d, batch.valid).total.backward()
            optimizer.step()

        return step

    def load() -> None:
        windows.batch(indices, draws)

    steps = {"usual formulation": step_of(usual), "gcnpose": step_of(ours), "taking a batch": load}
    seconds = time_in_turn(steps, repeats)
    title = (
        f"training step, batch {batch_size} x {frames} frames, {precision}, {torch.get_num_threads()} threads"
    )
    share = 100 * seconds["taking a batch"] / seconds["gcnpose"]
    return f"{_table(title, seconds, 'usual formulation')}\ntaking a batch is {share:.1f} % of gcnpose's step"


def time_layer(batch_size: int, frames: int, repeats: int, precision: str) -> str:
    """One PartitionConv, forward and backward, by aggregation and number of joints (a chain of joints).

    torch-scatter is timed where it is installed.
    """
    aggregations = ("native", "scatter", "dense") if has_torch_scatter("cpu") else ("native", "dense")
    tables = []
    for joints in (17, 33, 65, 133, 257, 513):
        names = [f"j{number}" for number in range(joints)]
        chain = [list(bone) for bone in pairwise(names)]
        content = {"name": "chain", "root": "j0", "joints": names, "bones": chain, "mirror": []}
        graph = Skeleton.from_dict(content, "benchmark").to_data()
        x = torch.randn(max(batch_size * frames * 17 // joints, 1), joints, 64, requires_grad=True)

        def pass_of(layer: nn.Module, x: Tensor = x) -> Callable[[], None]:
            def both_ways() -> None:
                with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
                    y = layer(x)
                y.float().square().mean().backward()

            return both_ways

        layers = {name: pass_of(PartitionConv(64, 64, graph, name)) for name in aggregations}
        title = f"PartitionConv(64, 64), {joints} joints, {len(x)} frames, {precision}"
        tables.append(_table(title, time_in_turn(layers, repeats), "native"))
    return "\n\n".join(tables)


def time_inference(batch_size: int, frames: int, repeats: int, precision: str) -> str:
    """Ways to lift one sequence of UGCN's, beside the plain one: a window after the other, in fp32.

    Args:
        batch_size: Not used: the lifter knows how many windows fit a device.
        frames: Of the sequence.
        repeats: How often each is timed.
        precision: Of the averaged ways; the single pass is in fp32.

    Returns:
        A table of medians and ratios, and the frames per second.
    """
    config, skeleton = load_config("ugcn"), Skeleton.load("h36m17")
    network = UGCN(skeleton).eval()
    sequence = torch.randn(frames, skeleton.num_joints, 2) / 3

    def plain() -> None:
        lift_windows(network, skeleton, [sequence], config.data.window, 5, flip=True, batch_size=1)

    def way(method: Method, flip: bool, precision: Precision) -> Callable[[], object]:
        return partial(Lifter(network, skeleton, config, method, flip, precision).lift, sequence)

    averaged: Precision = "bf16" if precision == "bf16" else "fp32"
    calls: dict[str, Callable[[], object]] = {
        "window by window": plain,
        "windows": way("windows", True, averaged),
        "shifts": way("shifts", True, averaged),
        "whole": way("whole", True, "fp32"),
        "whole, no flip": way("whole", False, "fp32"),
    }
    seconds = time_in_turn(calls, repeats, warm_up=1)
    title = f"lifting {frames} frames, step 5, averages in {precision}, {torch.get_num_threads()} threads"
    speeds = ", ".join(f"{name} {frames / value:,.0f}" for name, value in seconds.items())
    return f"{_table(title, seconds, 'window by window')}\nframes per second: {speeds}"


def time_in_turn(
    calls: Mapping[str, Callable[[], object]], repeats: int, warm_up: int = 2
) -> dict[str, float]:
    """Median seconds of each call; they take turns, so that all see the same changes of the machine."""
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for repeat in range(warm_up + repeats):
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            if repeat >= warm_up:
                seconds[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in seconds.items()}


def _table(title: str, seconds: Mapping[str, float], reference: str) -> str:
    lines = [title]
    for name, value in seconds.items():
        lines.append(f"  {name:20} {1000 * value:9.2f} ms  {seconds[reference] / value:6.2f} times as fast")
    return "\n".join(lines)
