"""Muon: weight matrices are updated along orthogonal matrices, everything else by Adam."""

from __future__ import annotations

import torch
from torch import Tensor, nn

SMALLEST_SIDE = 16
"""Matrices with a shorter side are left to Adam: in UGCN those of the first and the last layer."""
LAYERS = (nn.Linear, nn.Conv1d, nn.Conv2d)
_STEPS = 5
_COEFFICIENTS = (3.4445, -4.7750, 2.0315)


def orthogonalise(matrix: Tensor) -> Tensor:
    """Roughly the nearest semi-orthogonal matrix: U V' of the singular value decomposition U S V'.

    Five steps of a Newton-Schulz iteration that brings singular values to between 0.7 and 1.2 (Jordan, "Muon:
    An optimizer for hidden layers in neural networks", 2024). A step multiplies by a polynomial of the Gram
    matrix, so all are taken on that, which is the smaller, and their product is applied once.

    Shapes:
        (rows, columns) -> the same
    """
    wide = matrix.shape[0] <= matrix.shape[1]
    x = (matrix if wide else matrix.mT).float()
    x = x / (x.norm() + 1e-7)
    gram = x @ x.mT
    polynomial = product = _polynomial(gram)
    for _ in range(_STEPS - 1):
        gram = polynomial @ (polynomial @ gram)
        polynomial = _polynomial(gram)
        product = polynomial @ product
    x = product @ x
    return (x if wide else x.mT).to(matrix.dtype)


def _polynomial(gram: Tensor) -> Tensor:
    """What a step multiplies by: a + b G + c G^2."""
    a, b, c = _COEFFICIENTS
    polynomial = b * gram + c * (gram @ gram)
    polynomial.diagonal().add_(a)
    return polynomial


def layer_weights(network: nn.Module) -> set[Tensor]:
    """The weights of linear layers and convolutions; no biases, norms or embeddings."""
    return {layer.weight for layer in network.modules() if isinstance(layer, LAYERS)}


def matrices(network: nn.Module) -> set[Tensor]:
    """What Muon updates: weight matrices, or a convolution's as (out, in * kernel), of some size."""
    return {weight for weight in layer_weights(network) if min(weight.flatten(1).shape) >= SMALLEST_SIDE}


class Muon(torch.optim.Adam):
    """Muon on matrices, Adam on the rest, by the same learning rate.

    A matrix moves by the orthogonalised momentum of its gradients, times 0.2 sqrt(max(rows, columns)), which
    makes the size of an element's step that of Adam's (Liu et al., "Muon is scalable for LLM training",
    2025). There is no weight decay.

    Args:
        network: What to train.
        lr: Learning rate.
        momentum: Of the matrices' gradients, by Nesterov.
    """

    def __init__(self, network: nn.Module, lr: float, momentum: float = 0.95) -> None:
        self.momentum = momentum
        self.matrices = matrices(network)
        super().__init__(network.parameters(), lr, fused=True)

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """One update by the gradients that there are, and no gradients of matrices any more."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter in self.matrices and parameter.grad is not None:
                    self._move(parameter, parameter.grad, group["lr"])
                    parameter.grad = None  # so Adam leaves it alone
        super().step()

    def _move(self, parameter: Tensor, gradient: Tensor, rate: float) -> None:
        state = self.state[parameter]
        if not state:
            state |= {"mean": torch.zeros_like(parameter), "step": torch.zeros(())}  # Adam looks for "step"
        state["mean"].lerp_(gradient, 1 - self.momentum)
        ahead = gradient.lerp(state["mean"], self.momentum).flatten(1)
        update = orthogonalise(ahead).view_as(parameter)
        parameter.add_(update, alpha=-rate * 0.2 * max(ahead.shape) ** 0.5)
