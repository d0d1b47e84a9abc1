"""A photo without colour comes back without, in its own mode; --grid and --animate show it without as well."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest
import skimage.data
from photo_samples import cv2_file, grey3, noise, pillow, tiff
from PIL import Image, ImageSequence

from sargan_core.animation import strength_ramp, write_animation
from sargan_core.editor import Editor, EditSettings
from sargan_core.expressions import parse_mix
from sargan_core.photo.photo import encode_photo, read_photo
from sargan_core.sheet import expression_sheet

GREY = np.asarray(Image.fromarray(skimage.data.astronaut()).convert("L"))[:256, 100:356].copy()
ALPHA = np.maximum(noise(256, 256), 1)
DEEP = GREY.astype(np.uint16) * 257


def palette_image() -> Image.Image:
    image = Image.fromarray(GREY)
    image.putpalette(np.repeat(np.arange(256, dtype=np.uint8), 3).tobytes())
    return image


@dataclass(frozen=True)
class Case:
    """A grey file, the mode in which Pillow opens what is made of it, and how far a lossy codec strays from grey."""

    data: bytes
    mode: str
    stray: int = 0


CASES = {
    "jpeg": Case(pillow(GREY, "JPEG"), "L"),
    "jpeg-rgb": Case(pillow(grey3(GREY), "JPEG"), "RGB"),
    "png": Case(pillow(GREY, "PNG"), "L"),
    "png-alpha": Case(pillow(np.dstack([GREY, ALPHA]), "PNG"), "LA"),
    "png-16": Case(pillow(DEEP, "PNG"), "I;16"),
    "png-rgb": Case(pillow(grey3(GREY), "PNG"), "RGB"),
    "png-rgba": Case(pillow(np.dstack([grey3(GREY), ALPHA]), "PNG"), "RGBA"),
    "png-rgb-16": Case(cv2_file(".png", grey3(DEEP)), "RGB"),
    "png-palette": Case(pillow(palette_image(), "PNG"), "RGB"),
    "png-bits": Case(pillow(Image.fromarray(GREY).convert("1"), "PNG"), "L"),
    "tiff": Case(tiff(GREY), "L"),
    "tiff-16": Case(tiff(DEEP), "I;16"),
    "tiff-16-deflate": Case(tiff(DEEP, compression="zlib"), "I;16"),
    "tiff-white-is-zero": Case(tiff(255 - GREY, photometric="miniswhite"), "L"),
    "tiff-alpha": Case(tiff(np.dstack([GREY, ALPHA]), extrasamples=["unassalpha"]), "LA"),
    "tiff-rgb": Case(tiff(grey3(GREY)), "RGB"),
    "bmp": Case(pillow(GREY, "BMP"), "L"),
    "bmp-rgb": Case(pillow(grey3(GREY), "BMP"), "RGB"),
    "gif": Case(pillow(GREY, "GIF"), "L"),
    "webp-lossless": Case(pillow(grey3(GREY), "WEBP", lossless=True), "RGB"),
    "webp": Case(pillow(grey3(GREY), "WEBP"), "RGB", 2),
    "avif": Case(pillow(GREY, "AVIF"), "L", 1),
}


@pytest.fixture(scope="module")
def editor() -> Editor:
    return Editor(EditSettings(model="pixel", device="cpu", check=False))


@pytest.fixture(scope="module")
def faces(editor: Editor):
    return editor.find(read_photo(CASES["png"].data))


@pytest.mark.parametrize("name", CASES)
def test_a_grey_photo_stays_grey_in_its_own_mode(editor: Editor, faces, name: str):
    case = CASES[name]
    photo = read_photo(case.data)
    edited = editor.edit(photo, parse_mix("surprised"), faces).photo
    assert (edited.pixels != photo.pixels).any()
    assert np.ptp(edited.pixels.astype(int), axis=2).max() <= case.stray
    data = encode_photo(edited)
    written = read_photo(data)
    assert np.ptp(written.pixels.astype(int), axis=2).max() <= case.stray
    assert Image.open(io.BytesIO(data)).mode == case.mode
    assert written.format == photo.format
    assert written.pixels.dtype == photo.pixels.dtype
    assert written.encoding.grey == photo.encoding.grey
    if photo.alpha is not None:
        np.testing.assert_array_equal(written.alpha, photo.alpha)


@pytest.mark.parametrize("name", CASES)
def test_strength_0_is_the_photo_itself(editor: Editor, faces, name: str):
    photo = read_photo(CASES[name].data)
    np.testing.assert_array_equal(editor.edit(photo, parse_mix("happy:0"), faces).photo.pixels, photo.pixels)


def test_sheet_of_a_grey_photo_is_grey(editor: Editor):
    sheet = expression_sheet(editor, read_photo(CASES["jpeg"].data)).photo
    assert np.ptp(sheet.pixels, axis=2).max() == 0
    assert Image.open(io.BytesIO(encode_photo(sheet))).mode == "L"


def test_animation_of_a_grey_photo_is_grey(editor: Editor, tmp_path: Path):
    animation = strength_ramp(editor, read_photo(CASES["jpeg-rgb"].data), parse_mix("happy"))
    assert max(int(np.ptp(frame, axis=2).max()) for frame in animation.frames) == 0
    for suffix, stray in ((".gif", 0), (".webp", 2), (".mp4", 2)):
        path = tmp_path / f"loop{suffix}"
        write_animation(animation, path)
        if suffix == ".mp4":
            frames = list(iio.imiter(path, plugin="FFMPEG"))
        else:
            frames = [np.asarray(frame.convert("RGB")) for frame in ImageSequence.Iterator(Image.open(path))]
        assert len(frames) > 10
        assert max(int(np.ptp(frame.astype(int), axis=2).max()) for frame in frames) <= stray, suffix
