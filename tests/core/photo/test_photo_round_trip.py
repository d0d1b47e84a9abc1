"""Reading and writing a photo keeps its pixels, transparency, depth and kind of storage."""

from __future__ import annotations

import io

import numpy as np
import pytest
import tifffile
from photo_samples import HEIGHT, SAMPLES, WIDTH, Sample, grey3, grey_profile, noise, pillow, smooth, tiff
from PIL import Image
from PIL.JpegImagePlugin import get_sampling

from sargan_core.errors import PhotoError
from sargan_core.photo.kinds import KINDS, Encoding
from sargan_core.photo.photo import Photo, encode_photo, read_photo, write_photo
from sargan_core.photo.planes import eight_bits, from_array, from_pillow


@pytest.fixture(params=SAMPLES, ids=str)
def sample(request: pytest.FixtureRequest) -> Sample:
    return request.param


def test_pixels_are_read_as_stored(sample: Sample):
    photo = read_photo(sample.data)
    assert photo.format == sample.format
    assert (photo.height, photo.width) == (HEIGHT, WIDTH)
    assert photo.pixels.dtype == sample.pixels.dtype
    assert photo.pixels.flags.c_contiguous
    assert photo.pixels.flags.writeable
    if sample.exact:
        np.testing.assert_array_equal(photo.pixels, sample.pixels)
    else:
        assert np.abs(photo.pixels.astype(int) - sample.pixels).mean() < 3
    if sample.alpha is None:
        assert photo.alpha is None
    else:
        np.testing.assert_array_equal(photo.alpha, sample.alpha)
        assert photo.alpha.dtype == photo.pixels.dtype


def test_unchanged_photo_is_written_with_the_same_pixels(sample: Sample):
    photo = read_photo(sample.data)
    again = read_photo(encode_photo(photo))
    assert again.format == photo.format
    assert again.pixels.dtype == photo.pixels.dtype
    if sample.exact:
        np.testing.assert_array_equal(again.pixels, photo.pixels)
    else:
        assert np.abs(again.pixels.astype(int) - photo.pixels).mean() < 2
    if photo.alpha is None:
        assert again.alpha is None
    else:
        np.testing.assert_array_equal(again.alpha, photo.alpha)
    assert again.encoding.lossless == photo.encoding.lossless
    assert again.encoding.grey == photo.encoding.grey == sample.grey


@pytest.mark.parametrize("sample", [each for each in SAMPLES if each.exact and each.format != "GIF"], ids=str)
def test_edited_pixels_arrive_in_lossless_files(sample: Sample):
    photo = read_photo(sample.data)
    edited = photo.pixels.copy()
    edited[5:20, 5:20] = noise(15, 15, 3, dtype=edited.dtype.type, seed=77)
    again = read_photo(encode_photo(photo.with_pixels(edited)))
    np.testing.assert_array_equal(again.pixels, edited)
    if photo.alpha is not None:
        np.testing.assert_array_equal(again.alpha, photo.alpha)
    assert not again.encoding.grey


@pytest.mark.parametrize("format", KINDS)
def test_red_stays_red(format: str):
    red = np.zeros((16, 16, 3), np.uint8)
    red[..., 0] = 220
    photo = Photo(red)
    shown = np.asarray(Image.open(io.BytesIO(encode_photo(photo, format))).convert("RGB")).astype(int)
    assert shown[..., 0].min() > 200
    assert shown[..., 1:].max() < 30


@pytest.mark.parametrize("format", ["PNG", "TIFF"])
def test_red_stays_red_in_16_bits(format: str):
    red = np.zeros((16, 16, 3), np.uint16)
    red[..., 0] = 60000
    data = encode_photo(Photo(red), format)
    shown = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
    assert shown[0, 0].tolist()[0] > 230
    assert shown[..., 1:].max() == 0
    np.testing.assert_array_equal(read_photo(data).pixels, red)


@pytest.mark.parametrize("subsampling", [0, 1, 2])
@pytest.mark.parametrize("quality", [35, 75, 97])
@pytest.mark.parametrize("progressive", [False, True])
def test_jpeg_keeps_tables_and_sampling(subsampling: int, quality: int, progressive: bool):
    data = pillow(smooth(), "JPEG", quality=quality, subsampling=subsampling, progressive=progressive)
    before = Image.open(io.BytesIO(data))
    after = Image.open(io.BytesIO(encode_photo(read_photo(data))))
    assert after.quantization == before.quantization
    assert get_sampling(after) == subsampling
    assert bool(after.info.get("progressive")) == progressive


def test_grey_jpeg_stays_grey_and_becomes_colour_only_when_it_must():
    photo = read_photo(pillow(smooth()[..., 0], "JPEG"))
    assert Image.open(io.BytesIO(encode_photo(photo))).mode == "L"
    assert Image.open(io.BytesIO(encode_photo(photo.with_pixels(smooth())))).mode == "RGB"


def test_grey_profile_keeps_an_edited_photo_grey():
    photo = read_photo(pillow(smooth()[..., 0], "PNG", icc_profile=grey_profile()))
    written = Image.open(io.BytesIO(encode_photo(photo.with_pixels(smooth()))))
    assert written.mode == "L"
    np.testing.assert_array_equal(np.asarray(written), np.asarray(Image.fromarray(smooth()).convert("L")))


def test_rgb_jpeg_stays_rgb():
    data = pillow(smooth(), "JPEG", keep_rgb=True)
    photo = read_photo(data)
    assert photo.encoding.keep_rgb
    assert read_photo(encode_photo(photo)).encoding.keep_rgb


def test_lossless_source_gives_lossless_webp():
    picture = noise(20, 20, 3)
    data = encode_photo(read_photo(pillow(picture, "PNG")), "WEBP")
    np.testing.assert_array_equal(read_photo(data).pixels, picture)
    lossy = encode_photo(read_photo(pillow(smooth(), "JPEG")), "WEBP")
    assert not read_photo(lossy).encoding.lossless


def test_colours_under_full_transparency_survive_in_png_and_tiff():
    rgba = noise(20, 20, 4)
    rgba[:10, :, 3] = 0
    for data in (pillow(rgba, "PNG"), tiff(rgba, extrasamples=["unassalpha"])):
        np.testing.assert_array_equal(read_photo(encode_photo(read_photo(data))).pixels, rgba[..., :3])


def test_tiff_keeps_compression_and_kind_of_alpha():
    rgba = noise(20, 20, 4, dtype=np.uint16)
    for compression in (None, "zlib"):
        for alpha in ("unassalpha", "assocalpha"):
            data = tiff(rgba, compression=compression, extrasamples=[alpha])
            written = encode_photo(read_photo(data))
            with tifffile.TiffFile(io.BytesIO(data)) as old, tifffile.TiffFile(io.BytesIO(written)) as new:
                assert new.pages.first.compression == old.pages.first.compression
                assert new.pages.first.extrasamples == old.pages.first.extrasamples
                assert new.pages.first.photometric == old.pages.first.photometric


def test_16_bits_become_the_nearest_8_bits_where_the_format_has_no_more():
    values = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    expected = np.rint(values / 257).astype(np.uint8)
    np.testing.assert_array_equal(eight_bits(values), expected)
    written = read_photo(encode_photo(Photo(grey3(values)), "BMP"))
    np.testing.assert_array_equal(written.pixels, grey3(expected))


def test_transparent_photo_is_refused_by_jpeg_but_an_opaque_one_is_not():
    rgba = noise(20, 20, 4)
    with pytest.raises(PhotoError, match=r"transparent.*PNG"):
        encode_photo(read_photo(pillow(rgba, "PNG")), "JPEG")
    rgba[..., 3] = 255
    assert encode_photo(read_photo(pillow(rgba, "PNG")), "JPEG")[:2] == b"\xff\xd8"


def test_gif_with_many_colours_is_reduced_but_close():
    photo = Photo(smooth(100, 100))
    written = read_photo(encode_photo(photo, "GIF"))
    assert np.abs(written.pixels.astype(int) - photo.pixels).mean() < 12
    assert any("256 colours" in note for note in written.notes)
    half = Photo(smooth(), np.full((HEIGHT, WIDTH), 128, np.uint8))
    with pytest.raises(PhotoError, match="half transparent"):
        encode_photo(half, "GIF")


def test_gif_with_many_colours_keeps_its_transparency():
    alpha = np.where(noise(100, 100) > 127, 255, 0).astype(np.uint8)
    written = read_photo(encode_photo(Photo(smooth(100, 100), alpha), "GIF"))
    np.testing.assert_array_equal(written.alpha, alpha)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_planes_are_turned_like_pillow_turns_them(orientation: int):
    stored = noise(7, 11, 4, seed=orientation)
    image = Image.fromarray(stored)
    methods = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_270,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_90,
    }
    upright = np.asarray(image.transpose(methods[orientation]) if orientation > 1 else image)
    for pixels, alpha in (from_array(stored, orientation), from_pillow(image, orientation)[:2]):
        np.testing.assert_array_equal(pixels, upright[..., :3])
        np.testing.assert_array_equal(alpha, upright[..., 3])
        assert pixels.flags.c_contiguous


def test_with_pixels_keeps_everything_else_and_refuses_other_shapes():
    photo = read_photo(pillow(noise(20, 20, 4), "PNG", dpi=(300, 300)))
    edited = photo.with_pixels(photo.pixels.copy())
    assert edited.metadata is photo.metadata
    assert edited.alpha is photo.alpha
    with pytest.raises(ValueError, match="pixels must be"):
        photo.with_pixels(photo.pixels[:10])
    with pytest.raises(ValueError, match="pixels must be"):
        photo.with_pixels(photo.pixels.astype(np.uint16))


@pytest.mark.parametrize("name", ["Zoë und 猫.jpg", "with space.png", "🙂.webp", "line\nbreak.tiff", "-.bmp"])
def test_unusual_names(tmp_path, name: str):
    path = tmp_path / name
    write_photo(Photo(smooth()), path)
    photo = read_photo(path)
    assert "\n" not in photo.name
    assert photo.pixels.shape == (HEIGHT, WIDTH, 3)
    assert [entry.name for entry in tmp_path.iterdir()] == [name]


def test_the_file_name_decides_the_format(tmp_path):
    photo = read_photo(pillow(smooth(), "PNG"))
    for kind in KINDS.values():
        for suffix in (*kind.suffixes, kind.suffixes[0].upper()):
            path = tmp_path / f"out{suffix}"
            write_photo(photo, path, overwrite=True)
            assert read_photo(path).format == kind.name
    write_photo(photo, tmp_path / "bare")
    assert read_photo(tmp_path / "bare").format == "PNG"
    write_photo(photo, tmp_path / "out.backup", format="tiff")
    assert read_photo(tmp_path / "out.backup").format == "TIFF"
    with pytest.raises(PhotoError, match=r"'\.xyz' is no photo format"):
        write_photo(photo, tmp_path / "out.xyz")
    with pytest.raises(PhotoError, match="not known"):
        encode_photo(photo, "HEIC")


def test_photos_too_large_for_a_format_are_refused():
    wide = Photo(np.zeros((1, 16400, 3), np.uint8))
    with pytest.raises(PhotoError, match="16383"):
        encode_photo(wide, "WEBP")
    assert encode_photo(wide, "PNG")


def test_coarse_jpeg_tables_make_a_baseline_file_without_a_word(capfd):
    pixels = np.random.default_rng(0).integers(0, 255, (32, 32, 3), np.uint8)
    coarse = ((16,) * 32 + (300,) * 32, (400,) * 64)
    data = encode_photo(Photo(pixels, encoding=Encoding(quantization=coarse)), "JPEG")
    assert read_photo(data).encoding.quantization == ((16,) * 32 + (255,) * 32, (255,) * 64)
    assert capfd.readouterr() == ("", "")
