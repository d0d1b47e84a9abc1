"""Convolutions of small networks whose weights are laid out for the CPU once, not anew at each call.

For few pixels the laying out costs a good part of the time.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


def pack(network: nn.Module) -> None:
    """Replace the convolutions of a network in place, each with the ReLU after it; answers differ by rounding only."""
    for name, child in network.named_children():
        if isinstance(child, nn.Conv2d) and child.padding_mode == "zeros" and child.dilation == (1, 1):
            setattr(network, name, PackedConvolution(child))
            continue
        pack(child)
        if isinstance(child, nn.Sequential):
            setattr(network, name, nn.Sequential(*_joined(child)))


def _joined(layers: nn.Sequential) -> list[nn.Module]:
    """Return the layers of a sequence with each ReLU made part of the convolution before it."""
    result: list[nn.Module] = []
    for layer in layers:
        before = result[-1] if result else None
        if isinstance(layer, nn.ReLU) and isinstance(before, PackedConvolution) and not before.relu:
            before.relu = True
        else:
            result.append(layer)
    return result


class PackedConvolution(nn.Conv2d):
    """A convolution with or without a ReLU after it; where it is trained, or not on a CPU with oneDNN, an ordinary one.

    Args:
        layer: the convolution whose weights it takes over.
    """

    def __init__(self, layer: nn.Conv2d) -> None:
        sides, steps = layer.kernel_size, layer.stride
        super().__init__(
            layer.in_channels,
            layer.out_channels,
            (sides[0], sides[1]),
            (steps[0], steps[1]),
            layer.padding if isinstance(layer.padding, str) else (layer.padding[0], layer.padding[1]),
            groups=layer.groups,
            bias=layer.bias is not None,
            device="meta",
        )
        self.weight, self.bias = layer.weight, layer.bias
        self.relu = False
        # The best layout depends on the size of the input.
        self._packed: dict[tuple[torch.Size, int], Tensor] = {}
        self._possible = torch.backends.mkldnn.is_available() and hasattr(
            torch.ops.mkldnn, "_convolution_pointwise"
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return the layer's answer."""
        plain = x.device.type == "cpu" and x.dtype == torch.float32 and not torch.is_grad_enabled()
        if not self._possible or not plain:
            result = super().forward(x)
            return result.relu() if self.relu else result
        settings = (self.padding, self.stride, self.dilation, self.groups)
        # The weights' version changes whenever they are trained; those made for use only have none.
        key = (x.shape, 0 if self.weight.is_inference() else self.weight._version)
        weight = self._packed.get(key)
        if weight is None:
            loose = self.weight.detach().contiguous().to_mkldnn()
            reorder: Any = torch._C._nn.mkldnn_reorder_conv2d_weight
            weight = reorder(loose, *settings, x.shape)
            assert isinstance(weight, Tensor)
            self._packed[key] = weight
        after = "relu" if self.relu else "none"
        answer: Tensor = torch.ops.mkldnn._convolution_pointwise(
            x, weight, self.bias, *settings, after, [], ""
        )
        return answer
