"""What used to be lost without a word: it is kept, or a note says so."""

import io
import struct
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
from photo_samples import noise, png, png_chunk, rgb_profile
from PIL import Image
from PIL.TiffImagePlugin import TiffImageFile

from sargan_core.photo.photo import encode_photo, read_photo


def again(data: bytes, name: str, folder: Path) -> tuple[bytes, tuple[str, ...]]:
    """Return the file read and written again, and what was noted."""
    (folder / name).write_bytes(data)
    photo = read_photo(folder / name)
    return encode_photo(photo), photo.notes


def tiff(*, big: bool, tags: list) -> bytes:
    file = io.BytesIO()
    tifffile.imwrite(
        file, noise(12, 16, 3), bigtiff=big, photometric="rgb", metadata=None, software=False, extratags=tags
    )
    return file.getvalue()


def tags_of(data: bytes) -> dict:
    return dict(TiffImageFile(io.BytesIO(data)).getexif())


@pytest.mark.parametrize("big", [False, True])
def test_tags_of_a_tiff_are_kept(big, tmp_path):
    white, primaries = (3127, 10000, 3290, 10000), (64, 100, 33, 100, 30, 100, 60, 100, 15, 100, 6, 100)
    tags = [
        (315, "s", 0, b"Ann Other", True),
        (306, "s", 0, b"2024:01:02 03:04:05", True),
        (285, "s", 0, b"page one", True),
        (318, 5, 2, white, True),
        (319, 5, 6, primaries, True),
    ]
    written, notes = again(tiff(big=big, tags=tags), "a.tif", tmp_path)
    kept = tags_of(written)
    assert (kept[315], kept[306], kept[285]) == ("Ann Other", "2024:01:02 03:04:05", "page one")
    assert [float(value) for value in kept[318]] == pytest.approx([0.3127, 0.3290])
    assert [float(value) for value in kept[319]] == pytest.approx([0.64, 0.33, 0.3, 0.6, 0.15, 0.06])
    assert not any("tag" in note for note in notes)


def gif(*extensions: bytes) -> bytes:
    file = io.BytesIO()
    Image.fromarray(noise(10, 12, 3)).quantize(16).save(file, "GIF")
    data = file.getvalue()
    at = 13 + (3 << ((data[10] & 7) + 1))
    return b"GIF89a" + data[6:at] + b"".join(extensions) + data[at:]


def extension(label: bytes, content: bytes, name: bytes = b"") -> bytes:
    parts = [content[at : at + 255] for at in range(0, len(content), 255)]
    head = b"\x21" + label + (bytes([len(name)]) + name if name else b"")
    return head + b"".join(bytes([len(part)]) + part for part in parts) + b"\0"


def test_profile_and_comments_of_a_gif_are_kept(tmp_path):
    profile = rgb_profile()
    data = gif(extension(b"\xff", profile, b"ICCRGBG1012"), extension(b"\xfe", b"taken at dawn"))
    written, notes = again(data, "a.gif", tmp_path)
    assert extension(b"\xff", profile, b"ICCRGBG1012") in written
    assert Image.open(io.BytesIO(written)).info["comment"] == b"taken at dawn"
    assert not any("copied" in note for note in notes)


def test_data_of_programs_in_a_gif_are_named(tmp_path):
    _, notes = again(gif(extension(b"\xff", b"secret", b"MYPROG__1.0")), "a.gif", tmp_path)
    assert any("MYPROG__1.0" in note for note in notes)


def test_pixel_proportions_without_a_unit_are_kept_in_a_png(tmp_path):
    shape = struct.pack(">IIB", 2, 3, 0)
    written, _ = again(png(noise(8, 8, 3), 2, 8, png_chunk(b"pHYs", shape)), "a.png", tmp_path)
    assert png_chunk(b"pHYs", shape) in written


def test_time_and_significant_bits_of_a_png_are_kept(tmp_path):
    time, bits = struct.pack(">HBBBBB", 2024, 1, 2, 3, 4, 5), bytes([5, 6, 5])
    chunks = png_chunk(b"sBIT", bits), png_chunk(b"tIME", time)
    written, _ = again(png(noise(8, 8, 3), 2, 8, *chunks), "a.png", tmp_path)
    assert png_chunk(b"tIME", time) in written
    assert png_chunk(b"sBIT", bits) in written


def test_the_resolution_of_a_bmp_with_alpha_is_kept(tmp_path):
    alpha = np.dstack([noise(6, 6, 3), np.full((6, 6), 99, np.uint8)])
    data = bytearray(cv2.imencode(".bmp", alpha)[1].tobytes())
    struct.pack_into("<II", data, 38, 11811, 5906)
    written, _ = again(bytes(data), "a.bmp", tmp_path)
    assert struct.unpack_from("<II", written, 38) == (11811, 5906)


def test_comments_segments_and_density_of_a_jpeg_are_kept(tmp_path):
    file = io.BytesIO()
    Image.fromarray(noise(16, 16, 3)).save(file, "JPEG", quality=90)
    data = bytearray(file.getvalue())
    data[13:18] = struct.pack(">BHH", 2, 118, 59)  # a centimetre
    segment = b"\xff\xe5" + struct.pack(">H", 2 + 10) + b"MYPROG\0abc"
    comments = b"".join(b"\xff\xfe" + struct.pack(">H", 2 + len(text)) + text for text in (b"one", b"two"))
    written, _ = again(bytes(data[:20]) + segment + comments + bytes(data[20:]), "a.jpg", tmp_path)
    assert written[13:18] == struct.pack(">BHH", 2, 118, 59)
    assert segment in written
    assert b"\xff\xfe\x00\x05one" in written
    assert b"\xff\xfe\x00\x05two" in written
