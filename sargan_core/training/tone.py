"""Faces of every skin tone alike: what is rare in the photos is drawn more often."""

from __future__ import annotations

from dataclasses import replace

import torch

from sargan_core.training.pairs import CropPairs

TONES = 8
MOST = 6.0
LUMINANCE = (0.2126, 0.7152, 0.0722)


def even_tones(data: CropPairs) -> CropPairs:
    """Return the pairs with odds that draw the tones of skin as evenly as ``MOST`` allows.

    The tone of a pair is the median luminance of its source crop, which skin fills for the most part, in one of
    ``TONES`` equal steps from black to white.

    Args:
        data: pairs of crops of faces.

    Returns:
        The same pairs; the odds of a step are raised by at most ``MOST`` times those of the commonest one.
    """
    crops = data.crops[data.pairs[:, 0]]
    weights = torch.tensor(LUMINANCE)[:, None, None]
    tones = torch.stack([(crop.float() * weights).sum(0).median() for crop in crops])
    steps = (tones * TONES / 256).long()
    shares = torch.zeros(TONES, dtype=data.odds.dtype).index_add_(0, steps, data.odds)
    return replace(data, odds=data.odds * (shares.max() / shares[steps]).clamp(max=MOST))
