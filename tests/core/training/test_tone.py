"""Rare tones of skin are drawn more often, by a bounded factor."""

from dataclasses import replace

import torch
from tiny_sargan import tiny_pairs

from sargan_core.training.pairs import CropPairs
from sargan_core.training.tone import MOST, even_tones


def toned(levels: list[int]) -> CropPairs:
    """Return pairs whose sources are evenly coloured, one a level."""
    data = tiny_pairs()
    size = data.template.size
    crops = torch.stack([torch.full((3, size, size), level, dtype=torch.uint8) for level in levels])
    rows = torch.arange(len(levels))
    return replace(
        data,
        crops=crops,
        persons=tuple(f"p{row}" for row in range(len(levels))),
        labels=torch.zeros(len(levels), dtype=torch.int64),
        pairs=torch.stack([rows, rows], dim=1),
        odds=torch.ones(len(levels)),
        trust=torch.ones(len(levels)),
    )


def test_two_tones_are_drawn_alike():
    odds = even_tones(toned([200] * 12 + [40] * 4)).odds
    assert odds[:12].sum() == odds[12:].sum()


def test_no_pair_is_drawn_too_often():
    odds = even_tones(toned([200] * 100 + [40])).odds
    assert odds[-1] == MOST * odds[0]


def test_one_tone_changes_nothing():
    data = toned([120] * 5)
    assert torch.equal(even_tones(data).odds, data.odds)
