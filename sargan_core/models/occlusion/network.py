"""The network that sees what is in front of a face."""

from __future__ import annotations

from pathlib import Path
from typing import cast

from torch import Tensor, nn
from torch.nn import functional

from sargan_core.errors import WeightsError
from sargan_core.faces.face import Template
from sargan_core.models.layers import convolution, for_inference, standardised
from sargan_core.models.state import halved, without
from sargan_core.weights import WeightsRecord, find_record, load_tensors, save_weights

KIND = "occlusion"
NAME = "occlusion"
# Eyes and mouth as fractions of the side: all that an edit touches lies in the crop.
TEMPLATE = Template(96, "similarity", (0.355, 0.32), (0.645, 0.32), (0.5, 0.635))
WIDTHS = (16, 24, 32, 64, 96)
# Logit of an object before anything is learned.
PRIOR = -2.5


class OcclusionNetwork(nn.Module):
    """Crops to logits of an object before the face at each pixel, (B, 3, S, S) to (B, 1, S, S); S in steps of 16."""

    def __init__(self) -> None:
        super().__init__()
        first, half, quarter, eighth, last = WIDTHS
        self.stem = nn.Sequential(convolution(3, first, 2, 5), convolution(first, half))
        self.down = nn.ModuleList(
            [
                nn.Sequential(convolution(half, quarter, 2), convolution(quarter, quarter)),
                nn.Sequential(convolution(quarter, eighth, 2), convolution(eighth, eighth)),
                nn.Sequential(convolution(eighth, last, 2), convolution(last, last)),
            ]
        )
        self.context = nn.Linear(last, last)
        self.narrow = nn.ModuleList(
            nn.Conv2d(above, below, 1)
            for above, below in ((last, eighth), (eighth, quarter), (quarter, half))
        )
        self.up = nn.ModuleList(convolution(width, width) for width in (eighth, quarter, half))
        self.head = nn.Conv2d(half, 4, 3, padding=1)
        # Most pixels show no object: what is to be learned are the signs of one.
        nn.init.constant_(cast(Tensor, self.head.bias), PRIOR)

    def forward(self, crops: Tensor) -> Tensor:
        """Return logits; ``crops`` are RGB in [0, 1]."""
        maps = [self.stem(standardised(crops))]
        for down in self.down:
            maps.append(down(maps[-1]))
        x = maps.pop()
        x = x + self.context(x.mean((2, 3)))[..., None, None]
        for narrow, up in zip(self.narrow, self.up, strict=True):
            x = up(functional.interpolate(narrow(x), scale_factor=2, mode="nearest") + maps.pop())
        return functional.pixel_shuffle(self.head(x), 2)


def save_occlusion(network: OcclusionNetwork, path: Path, *, data: str = "") -> WeightsRecord:
    """Write the network as float16; return the record for the index."""
    return save_weights(
        path,
        halved(without(network.state_dict(), ("num_batches",))),
        kind=KIND,
        name=NAME,
        description=f"what is in front of a face: hands, glasses, microphones, in a crop of {TEMPLATE.size} px",
        data=data,
    )


def load_occlusion(device: str = "cpu") -> OcclusionNetwork:
    """Return the shipped network in evaluation mode.

    Raises:
        WeightsError: its weights are missing, damaged or of something else.
    """
    record = find_record(NAME)
    network = OcclusionNetwork()
    try:
        tensors = {name: tensor.float() for name, tensor in load_tensors(record).items()}
        missing, unexpected = network.load_state_dict(tensors, strict=False)
    except RuntimeError as error:
        raise WeightsError(f"{record.file}: the weights do not fit ({error}); reinstall sargan") from error
    if unexpected or not all(name.endswith("num_batches_tracked") for name in missing):
        raise WeightsError(f"{record.file}: the weights do not fit the network; reinstall sargan")
    network.eval()
    for_inference(network, device)
    return network.to(device)
