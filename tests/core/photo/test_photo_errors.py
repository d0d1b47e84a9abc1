"""A file that cannot be used gives one line: its name, what is wrong and what to do."""

from __future__ import annotations

import errno
import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from photo_samples import (
    PLAIN,
    SAMPLES,
    Sample,
    cmyk_profile,
    grey_profile,
    noise,
    pillow,
    png,
    png_chunk,
    rgb_profile,
    smooth,
    tiff,
)
from PIL import Image, ImageCms

from sargan_core.errors import PhotoError
from sargan_core.photo.photo import encode_photo, read_photo
from sargan_core.photo.planes import is_linear, space_of

ONE_OF_EACH = [
    next(sample for sample in SAMPLES if sample.name == name)
    for name in (
        "jpeg-420",
        "jpeg-progressive",
        "png-rgb8",
        "png-rgba16",
        "png-palette8",
        "webp-lossless",
        "webp-alpha",
        "tiff-rgb8",
        "tiff-rgb16",
        "tiff-rgb-deflate16",
        "tiff-rgb-lzw16",
        "tiff-rgb-lzw8",
        "bmp-rgb",
        "avif",
        "gif",
    )
]


def refusal(data: bytes, **options: object) -> str:
    with pytest.raises(PhotoError) as caught:
        read_photo(data, name="face.img", **options)
    message = str(caught.value)
    assert message.startswith("face.img: ")
    assert "; " in message
    assert "\n" not in message
    return message


@pytest.mark.parametrize("sample", ONE_OF_EACH, ids=str)
def test_truncated_files_are_refused_wherever_they_end(sample: Sample):
    data = sample.data
    # A BMP may lack the padding of its last row.
    tail = 4 if sample.format == "BMP" else 1
    ends = {*np.linspace(1, len(data) - tail, 40, dtype=int).tolist(), len(data) - tail, len(data) - 3 - tail}
    for end in sorted(ends):
        refusal(data[:end])


@pytest.mark.parametrize("sample", ONE_OF_EACH, ids=str)
def test_broken_bytes_give_a_photo_or_a_clear_refusal(sample: Sample):
    random = np.random.default_rng(3)
    for _ in range(40):
        broken = bytearray(sample.data)
        for place in random.integers(0, len(broken), 4):
            broken[place] = random.integers(0, 256)
        try:
            photo = read_photo(bytes(broken), max_pixels=100_000)
        except PhotoError:
            continue
        assert photo.pixels.dtype in (np.uint8, np.uint16)
        assert photo.pixels.ndim == 3


def test_png_with_a_wrong_checksum_is_refused():
    data = bytearray(pillow(smooth(), "PNG"))
    data[len(data) // 2] ^= 1
    assert "damaged" in refusal(bytes(data))


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "empty"),
        (b"hello, this is a text", "not an image"),
        (b"\0" * 1000, "not an image"),
        (b"\xff\xd8\xff", "cut off"),
        (b"BM", "not an image"),
        (b"%PDF-1.7", "PDF"),
        (b"8BPS\0\1", "Photoshop"),
        (b"\xff\x0a\0\0", "JPEG XL"),
        (b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG 2000"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "HEIC"),
        (b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic", "HEIC"),
        (b"v/1\x01\0\0", "linear"),
        (b"II*\0\x10\0\0\0CR\x02\0", "raw"),
        (b"<svg xmlns=", "SVG"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_not_a_photo_is_named(data: bytes, words: str):
    assert words in refusal(data)


@pytest.mark.parametrize("format", [*PLAIN, "BMP", "GIF"])
def test_size_is_checked_before_decoding(format: str, monkeypatch: pytest.MonkeyPatch):
    data = pillow(smooth(), format)
    size = smooth().shape[0] * smooth().shape[1]
    assert read_photo(data, max_pixels=size)

    def decode(*_: object) -> None:
        raise AssertionError("decoded")

    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", decode)
    monkeypatch.setattr("tifffile.TiffPage.asarray", decode)
    assert "53 x 37 pixels, more than the limit of 1,960" in refusal(data, max_pixels=size - 1)


def test_decompression_bomb_is_refused_by_its_header():
    header = struct.pack(">IIBBBBB", 100_000, 100_000, 8, 2, 0, 0, 0)
    bomb = (
        b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header) + png_chunk(b"IDAT", b"x") + png_chunk(b"IEND", b"")
    )
    assert "100000 x 100000" in refusal(bomb)


def test_large_photos_pass_pillows_own_limit(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    monkeypatch.setattr("sargan_core.photo.planes._BAND", 60)
    for format in ("JPEG", "PNG", "BMP", "GIF", "AVIF"):
        assert read_photo(pillow(smooth(), format), max_pixels=2000).width == 53


def test_text_bomb_in_a_png_does_not_matter():
    bomb = png_chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(80_000_000)))
    data = png(smooth(), 2, 8, bomb)
    assert read_photo(data).width == 53


def test_paths_that_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(PhotoError, match=r"missing\.jpg: there is no such file"):
        read_photo(tmp_path / "missing.jpg")
    with pytest.raises(PhotoError, match="is a folder"):
        read_photo(tmp_path)
    with pytest.raises(PhotoError, match="name"):
        read_photo(tmp_path / ("n" * 300 + ".jpg"))
    with pytest.raises(PhotoError, match="check the name"):
        read_photo("a\0b.jpg")
    path = tmp_path / "new\nline.jpg"
    path.write_bytes(b"")
    with pytest.raises(PhotoError, match=r"new\\nline\.jpg: the file is empty"):
        read_photo(path)

    def forbidden(*_: object) -> int:
        raise PermissionError(errno.EACCES, "no")

    monkeypatch.setattr("os.open", forbidden)
    with pytest.raises(PhotoError, match="no permission to read"):
        read_photo(path)


def test_streams_and_bytes_have_names():
    with pytest.raises(PhotoError, match=r"^standard input: "):
        read_photo(b"")
    with pytest.raises(PhotoError, match=r"^standard input: "):
        read_photo(io.BytesIO(b"text"))
    with pytest.raises(PhotoError, match=r"^the upload: "):
        read_photo(io.BytesIO(b"text"), name="the upload")
    assert read_photo(io.BytesIO(pillow(smooth(), "PNG"))).name == "standard input"


@pytest.mark.parametrize("dtype", [np.float32, np.float16, np.int16, np.uint32, np.float64])
def test_tiff_of_other_numbers_is_refused(dtype: type):
    assert "samples" in refusal(tiff(smooth().astype(dtype)))


def test_tiffs_of_other_kinds_are_refused():
    assert "channels" in refusal(tiff(noise(9, 9, 5), photometric="rgb", extrasamples=[0, 0]))
    assert "raw" in refusal(tiff(noise(9, 9), photometric="cfa"))
    assert "raw" in refusal(tiff(smooth(), extratags=[(50706, "B", 4, b"\1\4\0\0", True)]))
    assert "CIELAB" in refusal(tiff(smooth(), photometric="cielab"))
    assert "CMYK" in refusal(tiff(noise(9, 9, 4, dtype=np.uint16), photometric="separated"))


def test_linear_light_is_refused():
    linear = rgb_profile(1.0)
    for format in PLAIN:
        assert "linear" in refusal(PLAIN[format](smooth(), icc_profile=linear))
        assert read_photo(PLAIN[format](smooth(), icc_profile=rgb_profile(1.8)))
    assert "linear" in refusal(png(smooth(), 2, 8, png_chunk(b"gAMA", (100000).to_bytes(4, "big"))))
    assert is_linear(grey_profile(1.0))
    assert not is_linear(grey_profile(2.2))
    assert not is_linear(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    assert not is_linear(b"nonsense")


@pytest.mark.parametrize("format", ["JPEG", "TIFF"])
def test_cmyk_is_converted_by_its_profile_or_refused(format: str):
    inks = np.zeros((16, 64, 4), np.uint8)
    for ink in range(3):
        inks[:, 16 * ink : 16 * ink + 16, ink] = 255
    image = Image.fromarray(inks, "CMYK")
    assert "CMYK without" in refusal(pillow(image, format))
    assert space_of(cmyk_profile()) == "CMYK"
    photo = read_photo(pillow(image, format, icc_profile=cmyk_profile()))
    cyan, magenta, yellow, white = (photo.pixels[8, 8 + 16 * patch].astype(int) for patch in range(4))
    assert cyan[2] - cyan[0] > 100
    assert magenta[0] - magenta[1] > 100
    assert yellow[0] - yellow[2] > 100
    assert white.min() > 240
    assert any("CMYK" in note for note in photo.notes)
    written = Image.open(io.BytesIO(encode_photo(photo)))
    assert written.mode == "RGB"
    assert space_of(written.info["icc_profile"]) == "RGB"


def test_jpegs_of_other_kinds_are_refused():
    data = bytearray(pillow(smooth(), "JPEG"))
    at = data.index(b"\xff\xc0")
    twelve = bytes(data[: at + 4]) + b"\x0c" + bytes(data[at + 5 :])
    assert "12 bits" in refusal(twelve)
    data[at + 1] = 0xC3
    assert "lossless" in refusal(bytes(data))


def test_avif_that_would_change_its_colours_is_refused():
    data = pillow(smooth(), "AVIF")
    at = data.index(b"colrnclx") + 8
    for primaries, transfer, words in ((9, 16, "HDR"), (12, 13, "wide colours"), (1, 8, "linear")):
        changed = data[:at] + struct.pack(">HH", primaries, transfer) + data[at + 4 :]
        assert words in refusal(changed)


def test_a_picture_too_large_for_memory_is_an_error_of_the_photo(monkeypatch: pytest.MonkeyPatch):
    def full(*_: object, **__: object) -> None:
        raise MemoryError

    data = pillow(smooth(), "PNG")
    photo = read_photo(data)
    monkeypatch.setattr("sargan_core.photo.planes._allocate", full)
    assert "memory" in refusal(data)
    monkeypatch.setattr("sargan_core.photo.photo.picture_for", full)
    with pytest.raises(PhotoError, match="memory"):
        encode_photo(photo)


@pytest.mark.parametrize("name", ["half \ud800.jpg", "nul \0.jpg"])
def test_a_name_that_no_file_can_have_is_said_in_plain_words(name):
    with pytest.raises(PhotoError, match="no file can have such a name") as raised:
        read_photo(name)
    assert str(raised.value).isprintable()
