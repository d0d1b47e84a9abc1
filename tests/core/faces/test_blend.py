import cv2
import numpy as np
import pytest
import skimage.data
import torch

from sargan_core.faces.align import Alignment, extract
from sargan_core.faces.face import EditedCrops, Template
from sargan_core.faces.inner_mouth import InnerMouth
from sargan_core.faces.lattice import Lattice, Layers, enlarged
from sargan_core.faces.masks import crop_mask
from sargan_core.faces.paste import paste

TEMPLATE = Template(64, "affine", (0.35, 0.33), (0.65, 0.33), (0.5, 0.66))


def placed(scale: float, x: float = 150.3, y: float = 80.7) -> Alignment:
    turn = 0.1
    matrix = scale * np.array([[np.cos(turn), -np.sin(turn), 0], [np.sin(turn), np.cos(turn), 0]])
    matrix[:, 2] = [x, y]
    return Alignment(TEMPLATE, matrix)


@pytest.fixture(params=[np.uint8, np.uint16], ids=["8 bit", "16 bit"])
def photo(request):
    pixels = skimage.data.astronaut()
    return pixels if request.param is np.uint8 else pixels.astype(np.uint16) * 257


@pytest.mark.parametrize("scale", [0.5, 2.0, 3.7])
@pytest.mark.parametrize("with_flow", [False, True])
def test_an_unchanged_crop_leaves_the_photo_as_it_was(photo, scale, with_flow):
    alignment = placed(scale)
    crop = extract(photo, alignment)
    flow = torch.zeros(1, 2, 64, 64) if with_flow else None
    keep = torch.ones(1, 1, 64, 64) if with_flow else None
    pasted = paste(photo, alignment, crop, EditedCrops(crop, flow, keep))
    assert np.array_equal(pasted.pixels, photo)
    assert pasted.change < 1e-5


@pytest.mark.parametrize("scale", [0.5, 2.0, 3.7])
def test_outside_the_region_every_pixel_stays(photo, scale):
    alignment = placed(scale)
    crop = extract(photo, alignment)
    before = photo.copy()
    pasted = paste(photo, alignment, crop, EditedCrops(1 - crop, 3 * torch.randn(1, 2, 64, 64), None))
    assert np.array_equal(photo, before)
    x0, y0, x1, y1 = pasted.region
    changed = (pasted.pixels != photo).any(2)
    assert changed[y0:y1, x0:x1].any()
    changed[y0:y1, x0:x1] = False
    assert not changed.any()


def test_a_brighter_crop_brightens_by_as_much_and_keeps_the_detail():
    photo = skimage.data.astronaut() // 2
    alignment = placed(4.0)
    crop = extract(photo, alignment)
    pasted = paste(photo, alignment, crop, EditedCrops(crop + 0.04))
    change = pasted.pixels.astype(int) - photo
    assert abs(change[210, 260].mean() - 0.04 * 255) < 1.0
    inside = change[180:240, 230:290]
    assert np.abs(inside - 0.04 * 255).max() < 2


def test_moved_content_is_taken_from_the_photo_at_full_detail():
    rng = np.random.default_rng(0)
    photo = rng.integers(0, 256, (400, 400, 3), np.uint8)
    matrix = np.array([[4.0, 0, 70], [0, 4.0, 70]])
    alignment = Alignment(TEMPLATE, matrix)
    crop = extract(photo, alignment)
    flow = torch.zeros(1, 2, 64, 64)
    flow[:, 0] = 2.0
    shifted = torch.roll(crop, -2, dims=3)
    pasted = paste(photo, alignment, crop, EditedCrops(shifted, flow, torch.ones(1, 1, 64, 64)))
    # Two crop pixels are eight photo pixels: noise finer than the crop must have moved with them.
    assert np.abs(pasted.pixels[180:220, 180:220].astype(int) - photo[180:220, 188:228]).mean() < 3


def test_the_seam_figure_sees_a_step_and_only_a_step(photo):
    alignment = placed(2.0)
    crop = extract(photo, alignment)
    centre = torch.zeros_like(crop)
    centre[..., 24:40, 24:40] = 0.3
    assert paste(photo, alignment, crop, EditedCrops(crop + centre)).seam < 0.05
    assert paste(photo, alignment, crop, EditedCrops(crop * 0)).seam > 0.5


def test_bands_do_not_show(monkeypatch, photo):
    alignment = placed(3.0)
    crop = extract(photo, alignment)
    edited = EditedCrops(crop.flip(3), 2 * torch.ones(1, 2, 64, 64))
    whole = paste(photo, alignment, crop, edited).pixels
    monkeypatch.setattr("sargan_core.faces.paste.BAND_PIXELS", 3000)
    banded = paste(photo, alignment, crop, edited).pixels
    # Positions are computed from each band's corner: a matter of rounding.
    assert np.abs(banded.astype(int) - whole).max() <= (1 if photo.dtype == np.uint8 else 8)


@pytest.mark.parametrize("size", [31, 64, 150])
@pytest.mark.parametrize("factor", [1, 2, 3, 4])
def test_enlarging_is_the_librarys_bicubic(size, factor):
    noise = torch.rand(5, size, size)
    side = factor * size
    wanted = torch.nn.functional.interpolate(noise[None], (side, side), mode="bicubic", align_corners=False)
    large = enlarged(noise.numpy()[:4], factor)
    assert np.abs(large.transpose(2, 0, 1) - wanted[0, :4].numpy()).max() < 1e-4


@pytest.mark.parametrize("scale", [1.3, 2.7, 7.1, 15.2])
def test_bands_hold_what_the_crop_has_at_each_pixel(scale):
    alignment = placed(scale)
    size = TEMPLATE.size
    rows, columns = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    # Layers and a field that are straight lines, so that nothing is lost between nodes.
    made = torch.stack([columns, rows, columns]).float()[None]
    flow = torch.stack([0.1 * columns, 0.05 * rows])[None]
    keep, mask = 0.01 * rows.float()[None, None], torch.ones(1, 1, size, size)
    corner = alignment.matrix @ [20, 20, 1]
    x0, y0 = np.floor(corner).astype(int)
    region = (int(x0), int(y0), int(x0 + 12 * scale), int(y0 + 10 * scale))
    lattice = Lattice.of(Layers(made, keep, mask, flow), alignment, region)
    for top in range(y0, region[3], lattice.rows):
        band = lattice.band(top, min(top + lattice.rows, region[3]))
        left, first, right, last = band.box
        assert (left, first, right) == (region[0], top, region[2])
        here = np.stack(np.meshgrid(np.arange(left, right), np.arange(first, last)))
        inverse = np.linalg.inv(np.vstack([alignment.matrix, [0, 0, 1]]))[:2]
        place = np.einsum("ij,jhw->ihw", inverse[:, :2], here) + inverse[:, 2, None, None]
        painted = band.painted
        assert (painted.rows, painted.columns) == (slice(0, last - first), slice(0, right - left))
        assert np.abs(np.stack(painted.made[:2]) - place).max() < 0.06
        assert np.abs(painted.keep - 0.01 * place[1]).max() < 1e-3
        inside = band.places(1, 0, right - left, last - first).transpose(2, 0, 1)
        assert np.abs(inside - place[..., 1:]).max() < 1e-3
        moved = np.stack([0.1 * place[0], 0.05 * place[1]])
        moved = np.einsum("ij,jhw->ihw", alignment.matrix[:, :2], moved)
        assert np.abs(np.stack(band.displacement) - moved).max() < 0.01 * scale


def test_nothing_is_worked_out_where_the_mask_is_nothing():
    alignment = placed(3.0)
    mask = torch.zeros(1, 1, 64, 64)
    mask[..., 20:30, 40:50] = 1
    x0, y0, x1, y1 = 100, 60, 400, 300
    still = Layers(torch.zeros(1, 3, 64, 64), torch.ones_like(mask), mask)
    lattice = Lattice.of(still, alignment, (x0, y0, x1, y1))
    assert lattice.band(y0, y0 + lattice.rows) is None
    band = lattice.band(y0 + 20 * lattice.rows, y0 + 60 * lattice.rows)
    assert band.mask.max() > 0.99
    assert band.painted is None
    assert band.box[2] - band.box[0] < 0.25 * (x1 - x0)


@pytest.mark.parametrize("scale", [0.5, 1.3, 2.7, 7.1])
def test_everything_painted_is_worked_out_and_little_more(scale):
    alignment = placed(scale)
    made, mask = torch.zeros(1, 3, 64, 64), torch.ones(1, 1, 64, 64)
    made[..., 30:36, 40:50] = 100.0
    lattice = Lattice.of(Layers(made, torch.ones_like(mask), mask), alignment, (0, 0, 512, 512))
    seen = np.zeros((512, 512), bool)
    for top in range(0, 512, 16 * lattice.rows):
        band = lattice.band(top, min(top + 16 * lattice.rows, 512))
        if band.painted is not None:
            seen[top:, band.box[0] :][band.painted.rows, band.painted.columns] = True
    wanted = np.zeros(seen.shape, np.uint8)
    corners = np.array([[x, y, 1] for x, y in ((40, 30), (49, 30), (49, 35), (40, 35))]) @ alignment.matrix.T
    cv2.fillConvexPoly(wanted, np.round(corners).astype(np.int32), 1)
    assert seen[wanted > 0].all()
    assert seen.sum() < 0.2 * (64 * scale) ** 2 + 100


def test_mask_is_whole_in_the_middle_and_nothing_at_the_border():
    mask = crop_mask(128)[0, 0]
    assert mask[64, 64] == 1
    assert mask[0].max() < 0.01
    assert (mask.diff().abs().max() < 0.2).item()


@pytest.mark.parametrize("scale", [0.5, 2.0, 3.7])
def test_a_filled_mouth_is_seen_in_its_place_and_nowhere_else(photo, scale):
    alignment = placed(scale)
    crop = extract(photo, alignment)
    height, width = 30, 60
    cover = np.zeros((height, width), np.float32)
    cover[6:-6, 6:-6] = 1
    colour = np.zeros((height, width, 3), np.float32)
    colour[..., 1] = 1
    mouth = InnerMouth(colour, cover, (22.0, 40.0), 3)
    plain = paste(photo, alignment, crop, EditedCrops(crop)).pixels
    filled = paste(photo, alignment, crop, EditedCrops(crop), mouth).pixels
    x, y = np.round(alignment.matrix @ [22.0 + width / 6, 40.0 + height / 6, 1]).astype(int)
    peak = np.iinfo(photo.dtype).max
    assert filled[y, x] / float(peak) == pytest.approx([0, 1, 0], abs=0.15 if scale < 1 else 0.02)
    rows, columns = np.nonzero((filled != plain).any(2))
    corners = np.array([[21, 39, 1], [21, 51, 1], [43, 39, 1], [43, 51, 1]]) @ alignment.matrix.T
    assert columns.min() >= corners[:, 0].min() - 4
    assert columns.max() <= corners[:, 0].max() + 4
    assert rows.min() >= corners[:, 1].min() - 4
    assert rows.max() <= corners[:, 1].max() + 4
