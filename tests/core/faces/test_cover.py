import numpy as np
import pytest
import torch

from sargan_core.faces.align import Alignment
from sargan_core.faces.cover import Cover, cover_of, held_back, kept_clear, objects_in, with_heads
from sargan_core.faces.face import EditedCrops, Face, Template
from sargan_core.faces.inner_mouth import InnerMouth
from sargan_core.faces.warp import smallest_area

SIZE = 64
TEMPLATE = Template(SIZE, "similarity", (0.35, 0.3), (0.65, 0.3), (0.5, 0.65))
STRAIGHT = np.array([[1.0, 0, 0], [0, 1, 0]])


def face():
    """Return landmarks of a face that fills the crop, brows at row 10, chin at row 60."""
    points = np.full((68, 2), 32.0, np.float32)
    turns = np.linspace(0, np.pi, 17)
    points[:17] = np.stack([32 - 28 * np.cos(turns), 20 + 40 * np.sin(turns)], 1)
    points[17:27] = np.stack([np.linspace(12, 52, 10), np.full(10, 10)], 1)
    points[[31, 35]] = [[27, 34], [37, 34]]
    for eye, x in ((slice(36, 42), 22), (slice(42, 48), 42)):
        points[eye] = [[x - 4, 20], [x - 2, 18], [x + 2, 18], [x + 4, 20], [x + 2, 22], [x - 2, 22]]
    turns = np.linspace(0, 2 * np.pi, 13)[:-1]
    points[48:60] = np.stack([32 + 9 * np.cos(turns), 42 + 4 * np.sin(turns)], 1)
    return points


def seen(levels):
    alignment = Alignment(TEMPLATE, STRAIGHT, landmarks=face())
    return cover_of(levels, alignment, alignment)


def plane(rows, columns, level=255):
    levels = np.zeros((SIZE, SIZE), np.uint8)
    levels[rows, columns] = level
    return levels


def somebody(box):
    return Face(box, 1.0, np.zeros((5, 2), np.float32))


@pytest.mark.parametrize(
    ("box", "covered"),
    [
        ((17, 45, 30, 40), True),
        ((8, 45, 30, 40), True),
        ((60, 45, 30, 40), False),
        ((17, 80, 30, 40), False),
        ((17, -30, 30, 40), False),
        ((10, 5, 45, 50), False),
    ],
)
def test_the_head_of_somebody_in_front_covers_a_mouth(box, covered):
    points = face()
    mine = Face((4.0, 5.0, 56.0, 56.0), 1.0, points[:5], points)
    alignment = Alignment(TEMPLATE, STRAIGHT, landmarks=points)
    nothing = np.zeros((SIZE, SIZE), np.uint8)
    levels = with_heads(nothing, mine, [somebody(box)], alignment)
    cover = cover_of(levels, alignment, alignment)
    assert (cover is not None and cover.mouth_covered) == covered
    assert (levels is nothing) != covered
    assert with_heads(nothing, mine, [], alignment) is nothing


def test_what_is_only_likely_counts_beside_what_is_sure():
    levels = plane(slice(10, 14), slice(5, 60), 120)
    assert not objects_in(levels).any()
    levels[10:14, 5:9] = 250
    assert objects_in(levels).sum() == 4 * 55


def test_specks_are_no_objects():
    assert not objects_in(plane(slice(10, 12), slice(10, 12))).any()


def test_what_lies_beside_the_face_does_not_count():
    levels = plane(slice(20, 40), slice(0, 12))
    beside = np.zeros((SIZE, SIZE), bool)
    beside[10:50, 14:50] = True
    assert not objects_in(levels, beside).any()
    levels[20:40, 12:20] = 255
    assert objects_in(levels, beside).sum() == 20 * 20


def test_hair_beside_the_face_does_not_count_for_the_little_that_touches_it():
    levels = plane(slice(8, 56), slice(0, 26))
    face = np.zeros((SIZE, SIZE), bool)
    face[10:50, 24:50] = True
    assert (levels[face] > 0).sum() > 0.01 * SIZE**2
    assert not objects_in(levels, face).any()
    levels[8:56, 26:32] = 255
    assert objects_in(levels, face).any()


def test_a_face_with_nothing_before_it_keeps_its_edit_itself():
    edited = EditedCrops(torch.rand(1, 3, SIZE, SIZE), torch.rand(1, 2, SIZE, SIZE))
    assert seen(plane(slice(0, 0), slice(0, 0))) is None
    assert held_back(edited, torch.rand(1, 3, SIZE, SIZE), None) is edited


def test_an_object_stays_and_what_is_beside_it_neither_folds_nor_shows_it():
    cover = seen(plane(slice(10, 14), slice(0, SIZE)))
    assert cover is not None
    assert not cover.mouth_covered
    random = torch.Generator().manual_seed(1)
    crop = torch.rand(1, 3, SIZE, SIZE, generator=random)
    flow = torch.zeros(1, 2, SIZE, SIZE)
    flow[:, 1] = 6.0
    edited = EditedCrops(crop * 0.5, flow, torch.full((1, 1, SIZE, SIZE), 0.3), torch.full((1, 20, 2), 40.0))
    held = held_back(edited, crop, cover)
    assert held.flow is not None
    assert held.keep is not None
    assert held.lips is not None
    assert torch.equal(held.image[:, :, 10:14], crop[:, :, 10:14])
    assert not held.flow[:, :, 10:14].any()
    assert (held.keep[:, :, 10:14] == 1).all()
    rows = torch.arange(SIZE)[:, None] + held.flow[0, 1]
    assert not ((rows[:10] > 9.5) & (held.flow[0, 1, :10] != 0)).any()
    assert smallest_area(held.flow[0].numpy()) > 0.2
    # Far away the edit is what it was.
    assert torch.equal(held.flow[:, :, 40:], flow[:, :, 40:])
    assert torch.allclose(held.image[:, :, 40:55], edited.image[:, :, 40:55], atol=1e-6)
    assert held.lips.isfinite().all()


@pytest.mark.parametrize(("rows", "covered"), [(slice(38, 60), True), (slice(0, 20), False)])
def test_a_covered_mouth_is_held_with_the_chin_and_not_opened(rows, covered):
    cover = seen(plane(rows, slice(25, 40)))
    assert cover is not None
    assert cover.mouth_covered is covered
    edited = EditedCrops(
        torch.rand(1, 3, SIZE, SIZE), torch.ones(1, 2, SIZE, SIZE), lips=torch.full((1, 20, 2), 40.0)
    )
    held = held_back(edited, torch.rand(1, 3, SIZE, SIZE), cover)
    assert held.flow is not None
    assert held.lips is not None
    assert bool(held.lips.isfinite().any()) is not covered
    assert bool(held.flow[..., 50, 22].any()) is not covered


@pytest.mark.parametrize(("width", "covered"), [(6, False), (26, True)])
def test_what_hangs_over_a_corner_of_the_chin_leaves_the_mouth_free(width, covered):
    cover = seen(plane(slice(52, 64), slice(32 - width // 2, 32 + width // 2)))
    assert (cover is not None and cover.mouth_covered) is covered


def test_teeth_are_not_laid_over_what_is_in_front_of_them():
    aside = (torch.arange(SIZE) - 24.0).clamp_min(0).expand(1, 1, SIZE, SIZE).contiguous()
    cover = Cover(aside, aside.clamp(max=1))
    mouth = InnerMouth(np.ones((20, 60, 3), np.float32), np.ones((20, 60), np.float32), (20.0, 40.0), 2)
    clear = kept_clear(mouth, cover)
    assert clear is not None
    assert not clear.alpha[:, :8].any()
    assert (clear.alpha[:, 30:] == 1).all()
    assert kept_clear(mouth, None) is mouth


def test_dark_glasses_hide_the_eyes_and_a_bar_below_them_does_not():
    covers = [seen(plane(rows, slice(0, 64))) for rows in (slice(16, 25), slice(26, 30))]
    assert [cover is not None and cover.eyes_covered for cover in covers] == [True, False]


def test_edits_without_a_field_are_held_too():
    cover = Cover(*torch.zeros(2, 1, 1, SIZE, SIZE))
    crop = torch.rand(1, 3, SIZE, SIZE)
    assert torch.equal(held_back(EditedCrops(1 - crop), crop, cover).image, crop)
