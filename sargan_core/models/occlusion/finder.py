"""Looks at faces of a photo for what is in front of them."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from sargan_core.device import one_thread
from sargan_core.faces.align import Alignment, align, extract
from sargan_core.faces.cover import Cover, cover_of, with_heads
from sargan_core.faces.face import Face, Pixels
from sargan_core.models.occlusion.network import TEMPLATE, OcclusionNetwork, load_occlusion


class CoverFinder:
    """Finds hands, glasses and other things before faces; build it once.

    Args:
        network: another than the shipped one.

    Raises:
        WeightsError: its weights are missing or damaged.
    """

    def __init__(self, network: OcclusionNetwork | None = None) -> None:
        self._network = network or load_occlusion()

    def look(
        self,
        pixels: Pixels,
        faces: Sequence[Face],
        alignments: Sequence[Alignment],
        known: Sequence[Face] = (),
    ) -> tuple[Cover | None, ...]:
        """Return what is in front of each face, in the pixels of its crop; None where nothing is.

        Args:
            pixels: (H, W, 3) the photo.
            faces: of the photo.
            alignments: of the crops that are edited, one a face.
            known: every face of the photo that is known, whose heads may be in front; none = ``faces``.
        """
        covers = []
        with torch.inference_mode(), one_thread():
            for face, alignment in zip(faces, alignments, strict=True):
                # Always on the CPU and one by one: the network's answer is the same whatever else is in the photo.
                seen = align(face, TEMPLATE)
                crop = extract(pixels, seen)
                share = torch.sigmoid(self._network(crop))[0, 0]
                levels = (share * 255).round().to(torch.uint8).numpy()
                levels = with_heads(levels, face, [each for each in known or faces if each is not face], seen)
                covers.append(cover_of(levels, seen, alignment))
        return tuple(covers)
