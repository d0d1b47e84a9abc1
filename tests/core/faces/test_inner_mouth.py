from dataclasses import replace

import numpy as np
import pytest
from made_mouths import DARK, ENAMEL, LIP, WHITE, picture, smile, teeth

from sargan_core.faces.inner_mouth import Placement, inner_mouth
from sargan_core.faces.mouth import Opening
from sargan_core.faces.teeth import MIDDLE, SIZE, WIDTH, cut_teeth, even_edge, upright_mouth

PLACE = Placement(column=127.5, row=155.0, width=69.0)
FINE = 6


def opened(height, width=69.0, top=155.0):
    x = np.linspace(127.5 - width / 2, 127.5 + width / 2, 65)
    across = (x - 127.5) / (width / 2)
    return Opening(x, np.full(65, top), top + height * (1 - across**2))


def at(mouth, column, row):
    return mouth.colour[
        round((row - mouth.corner[1]) * mouth.fine), round((column - mouth.corner[0]) * mouth.fine)
    ]


def test_teeth_are_cut_out_with_the_edge_where_they_end():
    found = teeth()
    middle = slice(SIZE[1] // 2 - 60, SIZE[1] // 2 + 60)
    assert np.median(found.edge[middle]) == pytest.approx(MIDDLE[1] + 43, abs=2)
    assert found.length == pytest.approx(43 / WIDTH, abs=0.01)
    assert even_edge(found) < 0.02


def test_lips_are_not_stored():
    found = teeth()
    redness = found.picture[..., 0] - found.picture[..., 1]
    lip = LIP[0] / WHITE[0] - LIP[1] / WHITE[1]
    assert redness[10:].max() < 0.6 * lip


def test_where_no_teeth_are_seen_none_are_cut_out():
    assert cut_teeth(picture(enamel=LIP), smile(), WHITE) is None
    assert cut_teeth(picture(enamel=(0.1, 0.04, 0.04)), smile(), WHITE) is None


def test_shut_lips_show_nothing():
    assert inner_mouth(opened(0.3), teeth(), PLACE, WHITE) is None
    assert inner_mouth(opened(12), teeth(), PLACE, WHITE, share=0.0) is None


def test_the_same_teeth_are_seen_at_the_same_place_in_every_opening():
    smiling, astonished = (
        inner_mouth(opening, teeth(), PLACE, WHITE) for opening in (opened(11), opened(26, 50))
    )
    rows, columns = np.meshgrid(np.arange(158.5, 161.5, 0.25), np.arange(118, 137, 0.25), indexing="ij")
    one, other = (
        np.array([at(mouth, x, y).mean() for x, y in zip(columns.ravel(), rows.ravel(), strict=True)])
        for mouth in (smiling, astonished)
    )
    assert one.std() > 0.05
    assert np.corrcoef(one, other)[0, 1] > 0.97


def test_below_the_teeth_of_a_wide_mouth_it_is_dark():
    mouth = inner_mouth(opened(26, 50), teeth(), PLACE, WHITE)
    assert at(mouth, 122, 160).mean() > 0.5
    assert at(mouth, 122, 169).mean() < 0.2


def test_somebody_elses_lips_are_not_seen_below_lent_teeth():
    lent = teeth()
    rows = np.arange(SIZE[0])[:, None]
    red = np.where((rows > lent.edge + 1)[..., None], np.float32([0.9, 0.35, 0.35]), lent.picture)
    lent, own = replace(lent, picture=red.astype(np.float32)), replace(PLACE, own=True)
    x = opened(9).x
    square = Opening(x, np.full(65, 155.0), np.full(65, 164.0))
    low, theirs = (inner_mouth(square, lent, place, WHITE) for place in (PLACE, own))

    def redness(mouth):
        shown = mouth.alpha > 0.9
        return float(np.quantile((mouth.colour[..., 0] - mouth.colour[..., 1])[shown], 0.99))

    assert redness(theirs) > 0.15
    assert redness(low) < 0.75 * redness(theirs)


def test_own_teeth_that_end_at_the_lip_go_on_below_it_without_the_dark_line():
    clean = replace(teeth(), lower=teeth().edge + 3)
    rows = np.arange(SIZE[0])[:, None]
    lined = np.where((rows > clean.edge - 1)[..., None], np.float32([0.05, 0.05, 0.05]), clean.picture)
    lined = replace(clean, picture=lined.astype(np.float32))
    square = Opening(opened(9).x, np.full(65, 155.0), np.full(65, 166.0))
    one, other = (
        inner_mouth(square, shown, replace(PLACE, own=True), WHITE).colour for shown in (clean, lined)
    )
    np.testing.assert_allclose(one, other, atol=0.02)


def test_where_the_gap_closes_the_lower_teeth_are_not_the_end_of_the_upper_ones():
    rows, columns = np.arange(SIZE[0])[:, None], np.arange(SIZE[1])
    between = (rows > MIDDLE[1]) & (rows < MIDDLE[1] + 58) & (np.abs(columns - MIDDLE[0]) < 0.4 * WIDTH)
    gap = (rows > MIDDLE[1] + 30) & (rows < MIDDLE[1] + 36) & (np.abs(columns - MIDDLE[0]) < 0.25 * WIDTH)
    both = np.where((between & ~gap)[..., None], np.float32(ENAMEL), np.float32(DARK)).astype(np.float32)
    x = smile().x
    found = cut_teeth(both, Opening(x, np.full(65, MIDDLE[1]), np.full(65, MIDDLE[1] + 60)), WHITE)
    beside = slice(int(MIDDLE[0] - 0.38 * WIDTH), int(MIDDLE[0] + 0.38 * WIDTH))
    assert found.edge[beside] == pytest.approx(MIDDLE[1] + 30, abs=2)


def test_own_lower_teeth_are_seen_all_along_or_not_at_all():
    two_rows = replace(teeth(), edge=np.full(SIZE[1], MIDDLE[1] + 30, np.float32))
    two_rows = replace(two_rows, lower=np.full(SIZE[1], MIDDLE[1] + 60, np.float32))
    rows = np.arange(SIZE[0])[:, None, None]
    gap = np.broadcast_to(np.abs(rows - MIDDLE[1] - 33) < 3, (*SIZE, 3))
    white = np.full((*SIZE, 3), 1.2, np.float32)
    two_rows = replace(two_rows, picture=np.where(gap, 0.1, white).astype(np.float32))
    own = replace(PLACE, own=True)

    def lower_teeth(down):
        """Return how light it is beside the middle, below the upper teeth, in an opening with lowered corners."""
        across = np.abs(opened(9).x - 127.5) / 34.5
        lower = 155.0 + 5.5 + down * across
        mouth = inner_mouth(Opening(opened(9).x, np.full(65, 155.0), lower), two_rows, own, WHITE)
        return at(mouth, 127.5 + 20, 163.5).mean()

    assert lower_teeth(7) < 0.3
    high = inner_mouth(Opening(opened(9).x, np.full(65, 155.0), np.full(65, 168.0)), two_rows, own, WHITE)
    assert at(high, 127.5 + 20, 163.5).mean() > 0.5


def test_teeth_follow_the_light():
    bright, dim = (inner_mouth(opened(11), teeth(), PLACE, light) for light in (WHITE, WHITE * 0.5))
    assert at(dim, 122, 160) == pytest.approx(at(bright, 122, 160) / 2, rel=0.02)
    warm = inner_mouth(opened(11), teeth(), PLACE, WHITE * np.array([1, 0.8, 0.5], np.float32))
    assert at(warm, 122, 160)[2] < 0.6 * at(warm, 122, 160)[0]


def test_own_teeth_come_back_as_they_are():
    own = Placement(127.5, 155.0, 69.0, own=True)
    mouth = inner_mouth(opened(60 * 69 / WIDTH), teeth(), own, WHITE)
    assert at(mouth, 122, 160) == pytest.approx(np.array(ENAMEL), abs=0.08)


def test_nothing_is_seen_beyond_the_opening():
    mouth = inner_mouth(opened(11), teeth(), PLACE, WHITE)
    assert mouth.alpha[0].max() < 1e-3
    assert mouth.alpha[-1].max() < 1e-3
    assert mouth.alpha[:, 0].max() < 1e-3
    assert mouth.alpha[:, -1].max() < 1e-3
    assert mouth.alpha.max() == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("turn", [0.0, 0.4])
def test_a_mouth_is_brought_upright(turn):
    photo = np.zeros((300, 300, 3), np.uint8)
    left = np.array([120.0, 150.0])
    right = left + 60 * np.array([np.cos(turn), np.sin(turn)])
    x, y = np.round(right).astype(int)
    photo[y - 2 : y + 3, x - 2 : x + 3] = 255
    upright, matrix = upright_mouth(photo, left, right)
    assert upright.shape == (*SIZE, 3)
    assert matrix[:, :2] @ left + matrix[:, 2] == pytest.approx([MIDDLE[0] - WIDTH / 2, MIDDLE[1]])
    row, column = np.unravel_index(upright.mean(2).argmax(), SIZE)
    assert abs(column - (MIDDLE[0] + WIDTH / 2)) < 16
    assert abs(row - MIDDLE[1]) < 16
