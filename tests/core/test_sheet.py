"""The contact sheet: every picture whole and in its place, the window around the faces inside the photo."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest

from sargan_core.expressions import Expression
from sargan_core.photo.kinds import Metadata
from sargan_core.photo.photo import Photo
from sargan_core.sheet import (
    GAP,
    LABEL,
    ORDER,
    contact_sheet,
    expression_sheet,
    face_window,
)


@dataclass(frozen=True)
class Spot:
    box: tuple[float, float, float, float]


@dataclass(frozen=True)
class Change:
    face: Spot


@dataclass(frozen=True)
class Result:
    photo: Photo
    faces: tuple[Change, ...]


class Painter:
    """Fills the photo with a value that tells the expression and strength; looks for faces only once."""

    searches = 0

    def edit(self, photo, target, faces=None):
        if faces is None:
            self.searches += 1
            faces = [Spot((10, 10, 30, 30))]
        ((expression, weight),) = target.parts
        pixels = np.full_like(photo.pixels, 20 * (expression.label + 1) * weight)
        return Result(replace(photo, pixels=pixels), tuple(map(Change, faces)))


def cell(sheet: np.ndarray, index: int, height: int, width: int) -> np.ndarray:
    y = GAP + index // 4 * (height + LABEL + GAP)
    x = GAP + index % 4 * (width + GAP)
    return sheet[y : y + height, x : x + width]


def test_pictures_lie_whole_in_reading_order():
    pictures = [(str(value), np.full((40, 30, 3), value, np.uint8)) for value in range(10, 90, 10)]
    sheet = contact_sheet(pictures)
    assert sheet.shape == (2 * (40 + LABEL + GAP) + GAP, 4 * (30 + GAP) + GAP, 3)
    for index, (_, picture) in enumerate(pictures):
        assert np.array_equal(cell(sheet, index, 40, 30), picture)


def test_labels_are_written_below():
    blank = np.full((60, 90, 3), 255, np.uint8)
    assert (contact_sheet([("happy", blank)]) < 128).any()
    assert not (contact_sheet([("", blank)]) < 128).any()


def test_the_sheet_shows_the_original_and_all_seven_at_the_strength():
    photo = Photo(np.full((60, 50, 3), 7, np.uint8), metadata=Metadata(icc_profile=b"wide", exif=b"where"))
    painter = Painter()
    sheet = expression_sheet(painter, photo, strength=0.5)
    pixels = sheet.photo.pixels
    assert painter.searches == 1
    assert sheet.photo.metadata == Metadata(icc_profile=b"wide")
    assert {expression for expression, _ in sheet.edits} == set(Expression)
    assert (cell(pixels, 0, 58, 50)[5, 5] == 7).all()
    for index, expression in enumerate(ORDER, start=1):
        assert (cell(pixels, index, 58, 50)[5, 5] == 10 * (expression.label + 1)).all()


@pytest.mark.parametrize(
    ("boxes", "window"),
    [
        ([], (0, 0, 400, 300)),
        ([(100, 100, 50, 50)], (70, 70, 180, 180)),
        ([(0, 0, 50, 50)], (0, 0, 80, 80)),
        ([(380, 290, 50, 50)], (350, 260, 400, 300)),
        ([(10, 10, 20, 20), (370, 260, 20, 20)], (0, 0, 400, 300)),
    ],
)
def test_the_window_holds_the_faces_and_stays_in_the_photo(boxes, window):
    assert face_window((300, 400, 3), boxes) == window
