"""The rarer things that a file says of its picture are kept, or a note says that they are lost."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
import tifffile
from photo_samples import cv2_file, noise, pillow, png, png_chunk, smooth, srgb_profile, tiff
from PIL import Image
from PIL.JpegImagePlugin import get_sampling

from sargan_core.photo.gif import gif_blocks
from sargan_core.photo.jpeg import insert_jpeg_segments, jpeg_segments
from sargan_core.photo.photo import Photo, encode_photo, read_photo
from sargan_core.photo.png_chunks import png_chunks


def again(data: bytes) -> bytes:
    return encode_photo(read_photo(data))


def noted(photo: Photo, word: str) -> bool:
    return any(word in note for note in photo.notes)


def tags_of(data: bytes) -> dict[int, object]:
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        return {tag.code: tag.value for tag in file.pages.first.tags}


WHITE = (318, "2I", 2, (3127, 10000, 329, 1000), True)
PRIMARIES = (319, "2I", 6, (16, 25, 33, 100, 3, 10, 3, 5, 3, 20, 3, 50), True)
TAGS = [
    (269, "s", 0, "doc", True),
    (271, "s", 0, "Make", True),
    (285, "s", 0, "page", True),
    (286, "2I", 1, (3, 2), True),
    (297, "H", 2, (3, 4), True),
    (315, "s", 0, "Artist", True),
    WHITE,
    PRIMARIES,
    (337, "s", 0, "printer", True),
    (65000, "B", 3, b"abc", True),
    (65001, "H", 3, (1, 2, 3), True),
]


@pytest.mark.parametrize(
    "options", [{}, {"bigtiff": True}, {"byteorder": ">"}, {"byteorder": ">", "bigtiff": True}]
)
def test_tags_of_a_tiff_survive(options: dict[str, object]):
    data = tiff(smooth(), extratags=TAGS, datetime="2020:01:02 03:04:05", **options)
    photo = read_photo(data)
    assert photo.notes == ()
    before, after = tags_of(data), tags_of(encode_photo(photo))
    for code in (306, *(tag[0] for tag in TAGS)):
        assert after[code] == before[code], code
    assert tags_of(encode_photo(photo, metadata="strip")).keys().isdisjoint(tag[0] for tag in TAGS)


def bigtiff_with_exif(order: str) -> bytes:
    """A BigTIFF with EXIF and GPS directories, whose tags tifffile would not write: it writes those before them."""
    places = [(34664, "Q", 1, 2**33 + 1, True), (34852, "Q", 1, 2**33 + 2, True)]
    data = tiff(smooth(), bigtiff=True, byteorder=order, extratags=[(271, "s", 0, "Make", True), *places])
    entries = [
        struct.pack(f"{order}HHQII", 0x829A, 5, 1, 1, 100),
        struct.pack(f"{order}HHQ", 1, 2, 2) + b"N".ljust(8, b"\0"),
    ]
    for (code, _, _, value, _), entry in zip(places, entries, strict=True):
        old, new = (
            struct.pack(f"{order}HHQQ", tag, 16, 1, at) for tag, at in ((code, value), (code + 1, len(data)))
        )
        assert old in data
        data = data.replace(old, new) + struct.pack(f"{order}Q", 1) + entry + bytes(8)
    return data


@pytest.mark.parametrize("order", ["<", ">"])
def test_exif_and_gps_of_a_bigtiff_survive(order: str):
    written = Image.open(io.BytesIO(again(bigtiff_with_exif(order)))).getexif()
    assert written[271] == "Make"
    assert float(written.get_ifd(0x8769)[0x829A]) == 0.01
    assert written.get_ifd(0x8825)[1] == "N"


def test_a_bigtiff_with_a_directory_outside_of_it_is_read_and_noted():
    data = bigtiff_with_exif("<")
    at = data.index(struct.pack("<HHQ", 34665, 16, 1)) + 12
    photo = read_photo(data[:at] + struct.pack("<Q", 2**40) + data[at + 8 :])
    assert noted(photo, "EXIF")
    np.testing.assert_array_equal(photo.pixels, smooth())


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("kind", ["B", "I"])
def test_iptc_in_a_tag_of_its_own_survives(kind: str, order: str):
    iptc = b"\x1c\x02\x78\x00\x07caption"
    value: object = iptc if kind == "B" else tuple(np.frombuffer(iptc, f"{order}u4").tolist())
    count = len(iptc) if kind == "B" else len(iptc) // 4
    data = tiff(smooth(), byteorder=order, extratags=[(33723, kind, count, value, True)])
    assert bytes(tags_of(again(data))[33723]) == iptc
    as_jpeg = Image.open(io.BytesIO(encode_photo(read_photo(data), "JPEG")))
    assert as_jpeg.info["photoshop"] == {1028: iptc}


def test_tiff_tags_that_cannot_be_kept_are_noted():
    data = tiff(smooth(), extratags=[(529, "2I", 3, (3, 10, 6, 10, 1, 10), True)])
    assert noted(read_photo(data), "YCbCrCoefficients")


@pytest.mark.parametrize("unit", [1, 2, 3])
def test_resolution_of_a_tiff_keeps_its_unit(unit: int):
    after = tags_of(again(tiff(smooth(), resolution=(30, 20), resolutionunit=unit)))
    assert (after[296], after[282], after[283]) == (unit, (30, 1), (20, 1))


@pytest.mark.parametrize("unit", [0, 1, 2])
def test_density_of_a_jpeg_keeps_its_unit(unit: int):
    data = bytearray(pillow(smooth(), "JPEG"))
    data[13:18] = struct.pack(">BHH", unit, 4, 3)
    assert again(bytes(data))[13:18] == data[13:18]


@pytest.mark.parametrize("unit", [0, 1])
def test_density_of_a_png_keeps_its_unit(unit: int):
    chunk = (b"pHYs", struct.pack(">IIB", 4000, 3000, unit))
    photo = read_photo(png(smooth(), 2, 8, png_chunk(*chunk)))
    for metadata in ("keep", "strip"):
        assert chunk in list(png_chunks(encode_photo(photo, metadata=metadata)))
    expected = (0, 4000, 3000) if unit == 0 else (1, 102, 76)
    assert struct.unpack_from(">BHH", encode_photo(photo, "JPEG"), 13) == expected


def test_resolution_of_a_bmp_with_alpha_survives():
    data = bytearray(cv2_file(".bmp", noise(9, 9, 4)))
    struct.pack_into("<II", data, 38, 11811, 7874)
    assert struct.unpack_from("<II", again(bytes(data)), 38) == (11811, 7874)


def test_profile_and_comments_of_a_gif_survive():
    profile = srgb_profile()
    data = encode_photo(read_photo(pillow(smooth() // 64 * 64, "PNG", icc_profile=profile)), "GIF")
    data = data[:-1] + b"\x21\xfe\x05first\0\x21\xfe\x06second\0;"
    photo = read_photo(data)
    assert photo.metadata.icc_profile == profile
    written = again(data)
    assert written[:6] == b"GIF89a"
    assert read_photo(written).metadata == photo.metadata
    assert photo.metadata.comments == (b"first", b"second")
    np.testing.assert_array_equal(read_photo(written).pixels, photo.pixels)
    assert Image.open(io.BytesIO(encode_photo(photo, "PNG"))).info["icc_profile"] == profile


def test_other_data_of_a_gif_are_noted_but_not_its_loop():
    data = pillow(smooth(), "GIF", loop=0)
    assert any(start[2:13] == b"NETSCAPE2.0" for _, start, _ in gif_blocks(data))
    assert not noted(read_photo(data), "not copied")
    assert noted(read_photo(data[:-1] + b"\x21\xff\x0bPROGRAM 1.0\x01x\0;"), "PROGRAM 1.0")


def test_chunks_of_a_png_survive_in_the_form_of_the_written_file():
    kept = [
        (b"bKGD", struct.pack(">3H", 1, 2, 3)),
        (b"sBIT", b"\5\6\5"),
        (b"tIME", struct.pack(">HBBBBB", 2020, 1, 2, 3, 4, 5)),
        (b"oFFs", struct.pack(">iiB", 1, 2, 0)),
        (b"sCAL", b"\x011.5\x002.5"),
        (b"prIv", b"safe to copy"),
    ]
    data = png(noise(9, 9, 3), 2, 8, *(png_chunk(*chunk) for chunk in kept), png_chunk(b"prIV", b"not"))
    photo = read_photo(data)
    assert noted(photo, "prIV")
    written = list(png_chunks(encode_photo(photo)))
    assert [chunk for chunk in written if chunk in kept] == kept
    assert all(kind != b"prIV" for kind, _ in written)


def test_colours_named_by_chunks_of_palettes_and_few_bits_are_written_as_they_are():
    palette = [png_chunk(b"PLTE", bytes(range(48))), png_chunk(b"tRNS", b"\0"), png_chunk(b"bKGD", b"\2")]
    written = dict(png_chunks(again(png(noise(9, 9) >> 4, 3, 4, *palette))))
    assert written[b"bKGD"] == struct.pack(">3H", 6, 7, 8)
    few = png(noise(9, 9) >> 6, 0, 2, png_chunk(b"bKGD", b"\0\2"), png_chunk(b"sBIT", b"\2"))
    written = dict(png_chunks(again(few)))
    assert written[b"bKGD"] == b"\0\xaa"
    assert written[b"sBIT"] == b"\2"


def test_damaged_profiles_and_texts_are_noted():
    assert noted(read_photo(png(smooth(), 2, 8, png_chunk(b"iCCP", b"name\0\0broken"))), "colour profile")
    text = png_chunk(b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(b"\nexif\n 4\nnonsense"))
    assert noted(read_photo(png(smooth(), 2, 8, text)), "Raw profile type exif")
    broken = insert_jpeg_segments(pillow(smooth(), "JPEG"), [(0xED, b"Photoshop 3.0\x008BIM" + b"\xff" * 20)])
    assert noted(read_photo(broken), "Photoshop")


def test_comments_and_segments_of_other_programs_survive_in_a_jpeg():
    kept = [(0xEC, b"Ducky\0\1\0\4\0\0\0\x50\0\0"), (0xE3, b"Meta\0abc"), (0xE1, b"http://other/\0x")]
    kept += [(0xFE, b"one"), (0xFE, b"two")]
    old = (0xE5, b"Maker\0\xff\xd8\xff the picture before the edit")
    photo = read_photo(insert_jpeg_segments(pillow(smooth(), "JPEG"), [*kept, old]))
    assert noted(photo, "APP5 Maker")
    written = jpeg_segments(encode_photo(photo))
    assert [segment for segment in written if segment in kept] == kept
    assert old not in written
    assert not [
        segment for segment in jpeg_segments(encode_photo(photo, metadata="strip")) if segment in kept
    ]


@pytest.mark.parametrize("blocks", [0, 3])
def test_restart_markers_of_a_jpeg_survive(blocks: int):
    data = pillow(smooth(), "JPEG", restart_marker_blocks=blocks)
    assert [part for part in jpeg_segments(again(data)) if part[0] == 0xDD] == [
        part for part in jpeg_segments(data) if part[0] == 0xDD
    ]


def test_a_sampling_that_cannot_be_written_is_noted():
    data = cv2_file(".jpg", smooth(), 7, 0x411111)  # IMWRITE_JPEG_SAMPLING_FACTOR, 4:1:1
    photo = read_photo(data)
    assert noted(photo, "sampling")
    assert get_sampling(Image.open(io.BytesIO(encode_photo(photo)))) == 2


def test_unknown_parts_of_a_webp_are_noted():
    data = pillow(smooth(), "WEBP", exif=b"Exif\0\0MM\0*\0\0\0\x08\0\0\0\0\0\0")
    body = data[8:] + b"ABCD\x02\0\0\0xy"
    assert noted(read_photo(b"RIFF" + len(body).to_bytes(4, "little") + body), "ABCD")
    assert not noted(read_photo(data), "not copied")


@pytest.mark.parametrize(("bits", "word"), [(1, "black and white"), (2, "2 bits"), (4, "4 bits"), (8, "")])
def test_fewer_bits_and_palettes_are_noted(bits: int, word: str):
    photo = read_photo(png(noise(9, 9) >> (8 - bits), 0, bits))
    assert noted(photo, word) if word else not photo.notes
    assert Image.open(io.BytesIO(encode_photo(photo))).mode == "L"
    palette = png(noise(9, 9) >> (8 - bits), 3, bits, png_chunk(b"PLTE", noise(2**bits, 3).tobytes()))
    assert noted(read_photo(palette), "palette")
