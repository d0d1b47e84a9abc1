"""A bank of real teeth on disk, and the choice of those that fit a face."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import torch

from sargan_core.errors import WeightsError
from sargan_core.faces.teeth import SIZE, Teeth, mouth_traits
from sargan_core.weights import WeightsRecord, find_record, load_tensors, save_weights

KIND = "mouths"
NAME = "mouths"
# Largest luminance in the pictures, as a multiple of that of the whites of the eyes.
BRIGHTEST = 2.0
CURVES = ("upper", "lower", "edge")
# Largest number of mouths in a bank.
MOST = 256


@dataclass(frozen=True, eq=False)
class MouthBank:
    """Teeth of real people, and measurements of their mouths.

    Attributes:
        teeth: one picture per person.
        traits: (N, 3) float32, see ``mouth_traits``.
    """

    teeth: tuple[Teeth, ...]
    traits: npt.NDArray[np.float32]

    def choose(self, landmarks: npt.NDArray[np.float64] | None) -> Teeth:
        """Return the teeth of the person whose mouth is most like this one; the same for the same landmarks.

        Args:
            landmarks: (68, 2) of the neutral face; None = not known, the bank's first.
        """
        if landmarks is None or len(self.teeth) == 1:
            return self.teeth[0]
        spread = self.traits.std(0) + 1e-6
        distance = (((self.traits - mouth_traits(landmarks)) / spread) ** 2).sum(1)
        return self.teeth[int(np.argmin(distance))]


def save_bank(
    path: Path, teeth: Sequence[Teeth], traits: npt.NDArray[np.float32], data: str = ""
) -> WeightsRecord:
    """Write a bank; return its record for the index.

    Args:
        path: a ``.safetensors`` file.
        teeth: in the order of ``traits``.
        traits: (N, 3).
        data: whose mouths they are, with licence and attribution.
    """
    tensors = {"traits": torch.from_numpy(np.asarray(traits, dtype=np.float32))}
    for number, one in enumerate(teeth):
        levels = np.clip(np.round(one.picture / BRIGHTEST * 255), 0, 255).astype(np.uint8)
        done, png = cv2.imencode(
            ".png", np.ascontiguousarray(levels[..., ::-1]), [cv2.IMWRITE_PNG_COMPRESSION, 9]
        )
        assert done
        tensors[f"picture.{number:03d}"] = torch.from_numpy(png.reshape(-1).copy())
        curves = np.stack([getattr(one, name) for name in CURVES])
        tensors[f"curves.{number:03d}"] = torch.from_numpy(curves.astype(np.float16))
    return save_weights(
        path,
        tensors,
        kind=KIND,
        name=NAME,
        description="teeth of real smiles, shown between parted lips",
        settings={"count": len(teeth)},
        data=data,
    )


def load_bank() -> MouthBank:
    """Return the shipped bank.

    Raises:
        WeightsError: missing, damaged, or not a bank.
    """
    record = find_record(NAME)
    tensors = load_tensors(record)
    try:
        count = int(record.settings["count"])
        traits = tensors["traits"].float().numpy()
        if not 0 < count <= MOST or traits.shape != (count, 3) or len(tensors) != 1 + 2 * count:
            raise ValueError(f"{len(tensors)} tensors for {count} mouths")
        teeth = tuple(
            _teeth(tensors[f"picture.{number:03d}"].numpy(), tensors[f"curves.{number:03d}"].float().numpy())
            for number in range(count)
        )
    except (KeyError, TypeError, ValueError, cv2.error) as error:
        raise WeightsError(f"{record.file}: not a bank of mouths ({error}); reinstall sargan") from error
    return MouthBank(teeth, traits)


def _teeth(png: npt.NDArray[np.uint8], curves: npt.NDArray[np.float32]) -> Teeth:
    levels = cv2.imdecode(png, cv2.IMREAD_COLOR)
    if levels is None or levels.shape != (*SIZE, 3) or curves.shape != (len(CURVES), SIZE[1]):
        raise ValueError("a picture of another size")
    picture = np.ascontiguousarray(levels[..., ::-1]).astype(np.float32) * (BRIGHTEST / 255)
    return Teeth(picture, *curves)
