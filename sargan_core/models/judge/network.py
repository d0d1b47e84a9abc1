"""The judge: a small network that recognises expression and identity of a face, to check edits."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from sargan_core.errors import WeightsError
from sargan_core.expressions import LABELS
from sargan_core.faces.face import Template
from sargan_core.models.layers import convolution, for_inference
from sargan_core.models.state import halved
from sargan_core.weights import WeightsRecord, find_record, load_tensors, save_weights

KIND = "judge"
NAME = "judge"
# Eyes and mouth as fractions of the side: a similarity transform on them leaves the mouth's change visible, and
# there is room below for a dropped jaw.
TEMPLATE = Template(64, "similarity", (0.315, 0.29), (0.685, 0.29), (0.5, 0.70))
REDUCTION = 16
EMBEDDING = 96


def _branch(inputs: int, width: int, cells: int) -> nn.Sequential:
    """Return layers from the trunk's map to (B, width); the last one is depthwise and covers the whole map."""
    return nn.Sequential(
        convolution(inputs, width, 2),
        nn.Conv2d(width, width, cells, groups=width, bias=False),
        nn.BatchNorm2d(width),
        nn.Flatten(),
    )


def face_oval(size: int) -> Tensor:
    """Return (S, S) float32 in [0, 1]: 1 on the face of an aligned crop, 0 on hair and background.

    An edit leaves everything around the face as it was, so what is around it must not speak for the face.
    """
    ticks = (torch.arange(size) + 0.5) / size
    distance = (((ticks[None] - 0.5) / 0.4) ** 2 + ((ticks[:, None] - 0.51) / 0.55) ** 2).sqrt()
    return ((1 - distance) / 0.12).clamp(0, 1)


class Judge(nn.Module):
    """Predicts the expression of a face, and an embedding that is similar for faces of one person.

    The crop is normalised to mean 0 and deviation 1 over the face's oval and is 0 outside.

    Args:
        template: the alignment of the crops; its side must be a multiple of 16.

    Attributes:
        template: as given.
    """

    def __init__(self, template: Template = TEMPLATE) -> None:
        super().__init__()
        self.template = template
        cells = template.size // REDUCTION
        self.trunk = nn.Sequential(
            *(convolution(3, 24, 2, 5), convolution(24, 32)),
            *(convolution(32, 64, 2), convolution(64, 64)),
            *(convolution(64, 128, 2), convolution(128, 128)),
        )
        self.expression = _branch(128, 192, cells)
        self.classes = nn.Sequential(nn.ReLU(), nn.Dropout(0.3), nn.Linear(192, len(LABELS)))
        self.identity = _branch(128, 192, cells)
        self.embedding = nn.Sequential(nn.ReLU(), nn.Dropout(0.2), nn.Linear(192, EMBEDDING))
        self.register_buffer("oval", face_oval(template.size), persistent=False)

    def forward(self, crops: Tensor) -> Tensor:
        """Return the logits of each crop's expression.

        Args:
            crops: (B, 3, S, S) float32 RGB in [0, 1], in ``template``.

        Returns:
            (B, 7) float32 in the order of ``expressions.LABELS``; their softmax is calibrated on people never
            trained on.
        """
        logits: Tensor = self.classes(self.expression(self._features(crops)))
        return logits

    def embed(self, crops: Tensor) -> Tensor:
        """Return (B, 96) float32 of length 1 each; the cosine of two tells how alike two people look.

        Args:
            crops: as ``forward``.
        """
        return functional.normalize(self.embedding(self.identity(self._features(crops))), dim=1)

    def judge(self, crops: Tensor) -> tuple[Tensor, Tensor]:
        """Return the results of ``forward`` and ``embed`` from one pass through the trunk."""
        features = self._features(crops)
        logits = self.classes(self.expression(features))
        return logits, functional.normalize(self.embedding(self.identity(features)), dim=1)

    def _features(self, crops: Tensor) -> Tensor:
        oval = self.oval
        assert isinstance(oval, Tensor)
        area = 3 * oval.sum()
        mean = (crops * oval).sum((1, 2, 3), keepdim=True) / area
        spread = (((crops - mean) ** 2 * oval).sum((1, 2, 3), keepdim=True) / area).sqrt().clamp_min(0.02)
        features: Tensor = self.trunk((crops - mean) / spread * oval)
        return features


def build_judge(record: WeightsRecord, tensors: dict[str, Tensor]) -> Judge:
    """Return the judge of a record with its weights in float32, in evaluation mode.

    Raises:
        WeightsError: the record is of something else, or the tensors do not fit.
    """
    if record.kind != KIND or record.template is None:
        raise WeightsError(f"{record.file}: holds a {record.kind}, not a judge; see sargan models list")
    try:
        judge = Judge(Template.from_json(record.template))
        judge.load_state_dict(
            {
                name: tensor.float() if tensor.is_floating_point() else tensor
                for name, tensor in tensors.items()
            }
        )
    except (RuntimeError, KeyError, TypeError, ValueError) as error:
        raise WeightsError(
            f"{record.file}: the weights do not fit the judge ({error}); train it again"
        ) from error
    return judge.eval()


def save_judge(judge: Judge, path: Path, *, data: str = "") -> WeightsRecord:
    """Write a judge as float16 with its template; return the record for the index.

    Args:
        judge: the network, on any device.
        path: a ``.safetensors`` file.
        data: what it was trained on, with licence and attribution.
    """
    return save_weights(
        path,
        halved(judge.state_dict()),
        kind=KIND,
        name=NAME,
        description=f"expression and identity of a face crop of {judge.template.size} px, to check edits; cannot edit",
        template=judge.template,
        data=data,
    )


def load_judge(device: str = "cpu") -> Judge:
    """Return the shipped judge in evaluation mode on ``device``.

    Raises:
        WeightsError: its weights are missing or damaged.
    """
    record = find_record(NAME)
    judge = build_judge(record, load_tensors(record))
    for_inference(judge, device)
    return judge.to(device)
