import numpy as np
import pytest
import torch

from sargan_core.faces.eyes import EYES, LEAST_AT_REST, WIDER, eye_openings, with_narrow_eyes, with_shut_eyes

SIZE = 128


def face(gap: float) -> np.ndarray:
    """Landmarks whose eyes are 24 pixels wide, their lids ``gap`` pixels apart."""
    landmarks = np.zeros((68, 2))
    for eye, x in zip(EYES, (28.0, 76.0), strict=True):
        across = np.array([0, 8, 16, 24, 16, 8]) + x
        along = 50 + gap / 2 * np.array([0, -1, -1, 0, 1, 1])
        landmarks[list(eye)] = np.stack([across, along], 1)
    return landmarks


def widening() -> torch.Tensor:
    """A field that pulls what lies above row 50 up and what lies below it down, and everything 3 pixels aside."""
    rows = torch.arange(SIZE, dtype=torch.float32).view(-1, 1).expand(SIZE, SIZE)
    return torch.stack([torch.full((SIZE, SIZE), 3.0), (50 - rows).clamp(-4, 4)])[None]


def test_a_shut_eye_moves_as_a_whole():
    flow = with_shut_eyes(face(1.0), widening())
    for x in (40, 88):
        lids = flow[0, :, 46:55, x - 8 : x + 9]
        assert torch.allclose(lids, torch.tensor([3.0, 0.0]).view(2, 1, 1).expand_as(lids), atol=0.05)
    assert torch.equal(flow[..., 90:, :], widening()[..., 90:, :])


def test_an_open_eye_is_left_to_the_field():
    assert torch.equal(with_shut_eyes(face(6.0), widening()), widening())


def test_between_shut_and_open_the_field_comes_gradually():
    """No step in the picture where the measured gap wavers about a limit."""
    before = with_shut_eyes(face(1.85), widening())
    after = with_shut_eyes(face(1.95), widening())
    assert not torch.equal(before, after)
    assert float((before - after).abs().max()) < 0.6


@pytest.mark.parametrize("gap", [0.0, 2.0, 6.0])
def test_eyes_at_rest_are_hardly_wider_than_they_are_found(gap):
    own, rest = face(gap), face(12.0) + np.array([2, 1])
    kept = with_narrow_eyes(rest, own)
    assert eye_openings(kept) == pytest.approx([max(WIDER * gap, LEAST_AT_REST * 24)] * 2)
    corners = [36, 39, 42, 45]
    assert np.array_equal(kept[corners], rest[corners])


def test_eyes_that_are_little_wider_at_rest_are_left_alone():
    own, rest = face(8.0), face(9.0)
    assert np.array_equal(with_narrow_eyes(rest, own), rest)
