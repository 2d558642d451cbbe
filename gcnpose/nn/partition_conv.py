"""Spatial graph convolution with one weight per neighbour subset (Eq. 9 of the paper)."""

from functools import cache
from typing import Optional

import torch
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.nn import MessagePassing

from gcnpose.nn.neighbour_sum import NeighbourSum
from gcnpose.nn.pointwise import Pointwise, pointwise

AGGREGATIONS = ("auto", "gather", "dense", "native", "scatter")
DENSE_JOINTS = 256
"""Off the CPU, graphs up to this size aggregate fastest as one matrix product."""


@cache
def has_torch_scatter(device_type: str) -> bool:
    """Whether torch-scatter is installed, loads, and has kernels for a type of device."""
    try:
        import torch_scatter  # noqa: F401
    except (ImportError, OSError, RuntimeError):
        return False
    return device_type == "cpu" or (device_type == "cuda" and torch.ops.torch_scatter.cuda_version() != -1)


class PartitionConv(MessagePassing):
    r"""Graph convolution in which each subset of the neighbours has its own weight matrix.

    Eq. 9 of "Motion Guided 3D Pose Estimation from Videos" (ECCV 2020):

    .. math:: f_{out}(i) = \sum_{j \in N(i)} \frac{1}{Z_{ij}} f_{in}(j) \, W(l_i(j))

    with :math:`l_i(j)` the subset (root, centripetal, centrifugal) that neighbour j of joint i falls in and
    :math:`Z_{ij}` the size of that subset, so each subset contributes its mean.

    All subsets take part in one ``propagate``, over a folded graph. Where the layer does not widen, the
    features are transformed by all weights first, and the node ``source * subsets + subset`` sends what the
    source has to say through that subset's weight. Where it widens, the node ``target * subsets + subset``
    first sums what that subset sends, and the sums are transformed: the same, with fewer numbers in between.

    Args:
        in_channels: Size of each input feature.
        out_channels: Size of each output feature.
        graph: ``edge_index``, ``edge_type`` and ``edge_weight`` as :meth:`gcnpose.Skeleton.to_data` makes
            them.
        aggregation: ``"scatter"`` reduces messages with torch-scatter where that is installed and can, else
            natively; ``"native"`` with PyTorch's own ops; ``"dense"`` sends and reduces in one matrix
            product over the whole graph; ``"gather"`` in one sparse one, see :class:`NeighbourSum`;
            ``"auto"`` is gather on a CPU, elsewhere dense for graphs of up to 256 nodes, else scatter. All
            agree to 1e-5.

    Shapes:
        - input: (..., joints, in_channels)
        - output: (..., joints, out_channels)
    """

    edge_index: Tensor
    edge_weight: Tensor
    adjacency: Tensor

    def __init__(self, in_channels: int, out_channels: int, graph: Data, aggregation: str = "auto") -> None:
        super().__init__(aggr="sum", node_dim=-2)
        if aggregation not in AGGREGATIONS:
            raise ValueError(f"aggregation must be one of {', '.join(AGGREGATIONS)}, not {aggregation!r}")
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.joints = int(graph.num_nodes)
        self.subsets = int(graph.edge_type.max()) + 1
        self.aggregation = aggregation
        self.lin = Pointwise(in_channels, self.subsets * out_channels)
        self.sums_first = in_channels < out_channels

        source, target = graph.edge_index
        folded = self.joints * self.subsets
        if self.sums_first:
            self.size = (self.joints, folded)
            target = target * self.subsets + graph.edge_type
        else:
            self.size = (folded, self.joints)
            source = source * self.subsets + graph.edge_type
        adjacency = torch.zeros(self.size).T.contiguous()
        adjacency.index_put_((target, source), graph.edge_weight, accumulate=True)
        self.register_buffer("edge_index", torch.stack([source, target]), persistent=False)
        self.register_buffer("edge_weight", graph.edge_weight[:, None], persistent=False)
        self.register_buffer("adjacency", adjacency, persistent=False)
        self.neighbour_sum = NeighbourSum(adjacency)

    def forward(self, x: Tensor) -> Tensor:
        if not self.sums_first:
            return self._sum(self.lin(x).unflatten(-1, (self.subsets, self.out_channels)).flatten(-3, -2))
        sums = self._sum(x).unflatten(-2, (self.joints, self.subsets)).flatten(-2)
        weight = self.lin.weight.unflatten(0, (self.subsets, -1)).transpose(0, 1).flatten(1)
        of_subsets = self.adjacency.sum(dim=1).view(self.joints, -1)
        y = pointwise(sums, weight)
        return y + (of_subsets @ self.lin.bias.unflatten(0, (self.subsets, -1))).to(y.dtype)

    def _sum(self, x: Tensor) -> Tensor:
        """What the targets (..., targets, channels) get of the sources' messages (..., sources, channels)."""
        way = self._aggregation_on(x.device.type)
        if way == "gather":
            return self.neighbour_sum(x)
        if way == "dense":
            return self.message_and_aggregate(self.adjacency, x)
        return self.propagate(self.edge_index, x=x, edge_weight=self.edge_weight, size=self.size)

    def message(self, x_j: Tensor, edge_weight: Tensor) -> Tensor:
        return x_j * edge_weight.to(x_j.dtype)

    def aggregate(
        self, inputs: Tensor, index: Tensor, ptr: Optional[Tensor] = None, dim_size: Optional[int] = None
    ) -> Tensor:
        way = self._aggregation_on(inputs.device.type)
        if way == "scatter" and has_torch_scatter(inputs.device.type):
            from torch_scatter import scatter

            return scatter(inputs, index, dim=self.node_dim, dim_size=dim_size, reduce="sum")
        return super().aggregate(inputs, index, ptr, dim_size)

    def message_and_aggregate(self, adjacency: Tensor, x: Tensor) -> Tensor:
        return torch.matmul(adjacency.to(x.dtype), x)

    def _aggregation_on(self, device_type: str) -> str:
        if self.aggregation != "auto":
            return self.aggregation
        if device_type == "cpu":
            return "gather"
        return "dense" if self.joints <= DENSE_JOINTS else "scatter"

    def __repr__(self) -> str:
        size = f"{self.in_channels}, {self.out_channels}"
        return f"PartitionConv({size}, subsets={self.subsets}, {self.aggregation})"
