"""UGCN as others would write it, with the same weights: what its speed is compared with.

Every reference has the parameters of :class:`gcnpose.nn.UGCN` in the same order, so weights are copied, and
updates compared, one after the other.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch_geometric.data import Data
from torch_geometric.nn import BatchNorm, SimpleConv

from gcnpose.nn import UGCN


class UsualGraphConv(nn.Module):
    """:class:`gcnpose.nn.PartitionConv` as graph networks on skeletons are usually written.

    A 1x1 Conv2d to subsets times channels, and an einsum with one adjacency matrix per subset, as in ST-GCN
    (Yan et al., AAAI 2018).

    Shapes:
        - input: (batch, in_channels, frames, joints)
        - output: (batch, out_channels, frames, joints)
    """

    adjacency: Tensor

    def __init__(self, in_channels: int, out_channels: int, graph: Data) -> None:
        super().__init__()
        subsets = int(graph.edge_type.max()) + 1
        adjacency = torch.zeros(subsets, graph.num_nodes, graph.num_nodes)
        adjacency[graph.edge_type, graph.edge_index[0], graph.edge_index[1]] = graph.edge_weight
        self.register_buffer("adjacency", adjacency, persistent=False)
        self.lin = nn.Conv2d(in_channels, subsets * out_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        sent = self.lin(x).unflatten(1, (len(self.adjacency), -1))
        return torch.einsum("nkctv,kvw->nctw", sent, self.adjacency.to(sent.dtype)).contiguous()


class UsualBlock(nn.Module):
    """:class:`gcnpose.nn.STGCNBlock` as it is usually written.

    Graph convolution, BatchNorm2d, ReLU, a Conv2d over (kernel, 1), BatchNorm2d, Dropout, residual, ReLU.

    Shapes:
        - input: (batch, in_channels, frames, joints)
        - output: (batch, out_channels, frames / stride, joints)
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        graph: Data,
        stride: int,
        residual: bool,
        temporal_kernel: int,
        dropout: float,
    ) -> None:
        super().__init__()
        self.residual = residual
        self.spatial = UsualGraphConv(in_channels, out_channels, graph)
        self.spatial_norm = nn.BatchNorm2d(out_channels)
        self.temporal = nn.Conv2d(
            out_channels, out_channels, (temporal_kernel, 1), (stride, 1), (temporal_kernel // 2, 0)
        )
        self.temporal_norm = nn.BatchNorm2d(out_channels)
        self.dropout = nn.Dropout(dropout, inplace=True)
        self.shortcut: nn.Module = nn.Identity()
        if residual and (in_channels != out_channels or stride != 1):
            self.shortcut = nn.Sequential(
                nn.Conv2d(in_channels, out_channels, 1, (stride, 1)), nn.BatchNorm2d(out_channels)
            )

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.spatial_norm(self.spatial(x)))
        y = self.dropout(self.temporal_norm(self.temporal(y)))
        return F.relu(y + self.shortcut(x) if self.residual else y)


class PyGGraphConv(nn.Module):
    """:class:`gcnpose.nn.PartitionConv` from stock PyG parts: a ``SimpleConv`` with mean for each subset.

    All frames of all windows are one graph, their disjoint union, as a PyG ``Batch`` makes it.

    Shapes:
        - input: (graphs * joints, in_channels)
        - output: (graphs * joints, out_channels)
    """

    def __init__(self, in_channels: int, out_channels: int, graph: Data) -> None:
        super().__init__()
        self.graph = graph
        self.subsets = int(graph.edge_type.max()) + 1
        self.lin = nn.Linear(in_channels, self.subsets * out_channels)
        self.conv = SimpleConv(aggr="mean")
        self.edges: dict[tuple[int, torch.device], list[Tensor]] = {}

    def forward(self, x: Tensor) -> Tensor:
        sent = self.lin(x).chunk(self.subsets, dim=-1)
        edges = self._edges(len(x) // self.graph.num_nodes, x.device)
        return torch.stack([self.conv(*given) for given in zip(sent, edges, strict=True)]).sum(dim=0)

    def _edges(self, graphs: int, device: torch.device) -> list[Tensor]:
        """Edges of each subset in the union, made at the first call and kept: PyG's loader makes them anew
        for every batch, which is not counted against it here."""
        if (graphs, device) not in self.edges:
            offsets = self.graph.num_nodes * torch.arange(graphs, device=device)
            one = [self.graph.edge_index[:, self.graph.edge_type == subset] for subset in range(self.subsets)]
            self.edges[graphs, device] = [
                (edges.to(device)[:, None] + offsets[:, None]).flatten(1) for edges in one
            ]
        return self.edges[graphs, device]


class PyGBlock(nn.Module):
    """:class:`gcnpose.nn.STGCNBlock` from stock parts of PyG and PyTorch: nodes in space, Conv1d in time.

    Shapes:
        - input: (batch, in_channels, frames, joints)
        - output: (batch, out_channels, frames / stride, joints)
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        graph: Data,
        stride: int,
        residual: bool,
        temporal_kernel: int,
        dropout: float,
    ) -> None:
        super().__init__()
        self.stride = stride
        self.residual = residual
        self.spatial = PyGGraphConv(in_channels, out_channels, graph)
        self.spatial_norm = BatchNorm(out_channels)
        self.temporal = nn.Conv1d(
            out_channels, out_channels, temporal_kernel, stride, padding=temporal_kernel // 2
        )
        self.temporal_norm = nn.BatchNorm1d(out_channels)
        self.dropout = nn.Dropout(dropout)
        self.shortcut: nn.Module = nn.Identity()
        if residual and (in_channels != out_channels or stride != 1):
            self.shortcut = nn.Sequential(nn.Linear(in_channels, out_channels), BatchNorm(out_channels))

    def forward(self, x: Tensor) -> Tensor:
        batch, _, frames, joints = x.shape
        y = F.relu(self.spatial_norm(self.spatial(_nodes(x))))
        in_time = y.view(batch, frames, joints, -1).permute(0, 2, 3, 1).flatten(0, 1)
        in_time = self.dropout(self.temporal_norm(self.temporal(in_time)))
        y = in_time.unflatten(0, (batch, joints)).permute(0, 2, 3, 1)
        if self.residual:
            shortcut = self.shortcut(_nodes(x[:, :, :: self.stride]))
            y = y + shortcut.view(batch, -1, joints, y.shape[1]).permute(0, 3, 1, 2)
        return F.relu(y)


def _nodes(x: Tensor) -> Tensor:
    """Shapes: (batch, channels, frames, joints) -> (batch * frames * joints, channels)"""
    return x.permute(0, 2, 3, 1).flatten(0, 2)


class UsualUGCN(nn.Module):
    """:class:`gcnpose.nn.UGCN` in the usual formulation, with the same weights and the same input and output.

    Only for Figure 4's own shape: every step halves, frames are repeated, frame counts fit.

    Args:
        network: Gives sizes and weights, and the device.
        graph: Of its skeleton.
        block: What it is built of.
    """

    def __init__(self, network: UGCN, graph: Data, block: Callable[..., nn.Module] = UsualBlock) -> None:
        super().__init__()
        weights = network.state_dict()
        dropout = network.first.dropout.p

        def like(name: str, stride: int = 1) -> nn.Module:
            narrow = weights[f"{name}.spatial.lin.weight"].shape[1]
            wide, _, kernel = weights[f"{name}.temporal.weight"].shape
            return block(narrow, wide, graph, stride, name != "first", kernel, dropout)

        steps = range(len(network.up))
        self.input_norm = nn.BatchNorm1d(len(weights["input_norm.weight"]))
        self.first = like("first")
        self.down = nn.ModuleList(
            nn.Sequential(like(f"down.{step}.0", 2), like(f"down.{step}.1")) for step in steps
        )
        self.up = nn.ModuleList(like(f"up.{step}") for step in steps)
        self.merge = nn.ModuleList(like(f"merge.{step}") for step in steps[:-1])
        self.last = like("last")
        self.head = nn.Conv2d(weights["head.weight"].shape[1], 3, 1)
        copy_weights(network, self)
        self.to(weights["head.weight"].device)

    def forward(self, keypoints_2d: Tensor) -> Tensor:
        batch, frames, joints, channels = keypoints_2d.shape
        x = self.input_norm(keypoints_2d.permute(0, 2, 3, 1).reshape(batch, joints * channels, frames))
        x = x.view(batch, joints, channels, frames).permute(0, 2, 3, 1).contiguous()
        skips = [self.first(x)]
        for down in self.down:
            skips.append(down(skips[-1]))
        x = skips.pop()
        merged = []
        for step in reversed(range(len(self.up))):
            x = self.up[step](x)
            if step > 0:
                merged.append(F.interpolate(self.merge[step - 1](x), scale_factor=(2 ** (step + 1), 1)))
            x = F.interpolate(x, scale_factor=(2, 1)) + skips.pop()
        x = self.head(self.last(sum(merged, start=x)))
        return x.permute(0, 2, 3, 1)


class PyGUGCN(UsualUGCN):
    """:class:`gcnpose.nn.UGCN` from stock parts of PyG and PyTorch, with the same weights."""

    def __init__(self, network: UGCN, graph: Data) -> None:
        super().__init__(network, graph, PyGBlock)


def copy_weights(source: nn.Module, target: nn.Module) -> None:
    """Copies parameters and statistics in order; the shapes may differ by axes of one."""
    ours, theirs = source.state_dict().values(), target.state_dict().values()
    for tensor, usual in zip(ours, theirs, strict=True):
        usual.copy_(tensor.view(usual.shape))
