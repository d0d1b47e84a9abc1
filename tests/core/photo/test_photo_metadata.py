"""What a file says about its picture survives, except what an edit makes false."""

from __future__ import annotations

import io
import shutil
import struct
import subprocess
from xml.etree import ElementTree

import numpy as np
import pytest
from photo_samples import PLAIN, grey3, noise, pillow, png, png_chunk, smooth, srgb_profile, tiff
from PIL import ExifTags, Image, ImageOps

from sargan_core.photo.jpeg import insert_jpeg_segments, jpeg_segments
from sargan_core.photo.metadata import CREDENTIALS_NOTE, make_upright, without_pictures
from sargan_core.photo.photo import encode_photo, read_photo
from sargan_core.photo.png_chunks import insert_png_chunks, png_chunks

THUMBNAIL = b"\xff\xd8OLD PICTURE" * 40 + b"\xff\xd9"
XMP = (
    '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    '<rdf:Description rdf:about="" xmlns:dc="http://purl.org/dc/elements/1.1/"'
    ' xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="6"><dc:subject><rdf:Bag>'
    "<rdf:li>Zoë &amp; 猫</rdf:li></rdf:Bag></dc:subject></rdf:Description></rdf:RDF></x:xmpmeta>"
).encode()
MAKER_NOTE = bytes(range(256))


def exif_block(orientation: int = 1, *, thumbnail: bool = True) -> bytes:
    exif = Image.Exif()
    exif[ExifTags.Base.Make] = "Kamera"
    exif[ExifTags.Base.Artist] = "Zoë"
    exif[ExifTags.Base.Orientation] = orientation
    exif[ExifTags.Base.XResolution] = 300.0
    details = exif.get_ifd(ExifTags.IFD.Exif)
    details[ExifTags.Base.DateTimeOriginal] = "2024:05:06 07:08:09"
    details[ExifTags.Base.ExposureTime] = 0.01
    details[ExifTags.Base.MakerNote] = MAKER_NOTE
    details[ExifTags.Base.ExifImageWidth] = 53
    details[ExifTags.Base.ExifImageHeight] = 37
    place = exif.get_ifd(ExifTags.IFD.GPSInfo)
    place[ExifTags.GPS.GPSLatitudeRef] = "N"
    place[ExifTags.GPS.GPSLatitude] = (47.0, 22.0, 30.0)
    block = exif.tobytes().removeprefix(b"Exif\0\0")
    if not thumbnail:
        return block
    order = "<" if block[:2] == b"II" else ">"
    first = struct.unpack_from(order + "I", block, 4)[0]
    pointer = first + 2 + 12 * struct.unpack_from(order + "H", block, first)[0]
    second = len(block)
    start = second + 2 + 24 + 4
    entries = struct.pack(order + "HHIIHHII", 0x0201, 4, 1, start, 0x0202, 4, 1, len(THUMBNAIL))
    directory = struct.pack(order + "H", 2) + entries + bytes(4)
    return block[:pointer] + struct.pack(order + "I", second) + block[pointer + 4 :] + directory + THUMBNAIL


def opened(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data))


@pytest.mark.parametrize("format", PLAIN)
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_applied_exactly_once(format: str, orientation: int):
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    # AVIF stores the turn in the container, which Pillow does for a file written with EXIF orientation.
    data = PLAIN[format](smooth(), exif=exif)
    upright = np.asarray(opened(data).convert("RGB"))
    if format != "TIFF":  # Pillow reads TIFF upright by itself
        upright = np.asarray(ImageOps.exif_transpose(opened(data)).convert("RGB"))
    photo = read_photo(data)
    np.testing.assert_array_equal(photo.pixels, upright)
    written = encode_photo(photo)
    assert opened(written).getexif().get(ExifTags.Base.Orientation, 1) == 1
    assert opened(written).size == (photo.width, photo.height)
    assert np.abs(read_photo(written).pixels.astype(int) - upright).mean() < 2


@pytest.mark.parametrize("orientation", [6, 3])
def test_16_bit_tiff_is_turned_upright(orientation: int):
    stored = noise(9, 13, 3, dtype=np.uint16)
    data = tiff(stored, extratags=[(274, "H", 1, orientation, True)])
    photo = read_photo(data)
    np.testing.assert_array_equal(photo.pixels, np.rot90(stored, -1 if orientation == 6 else 2))
    np.testing.assert_array_equal(read_photo(encode_photo(photo)).pixels, photo.pixels)


@pytest.mark.parametrize("compression", ["tiff_lzw", "tiff_deflate", None])
def test_compressed_tiff_is_turned_once(compression: str | None):
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    stored = noise(9, 13, 3)
    data = pillow(stored, "TIFF", compression=compression, exif=exif)
    np.testing.assert_array_equal(read_photo(data).pixels, np.rot90(stored, -1))


@pytest.mark.parametrize("target", PLAIN)
@pytest.mark.parametrize("source", PLAIN)
def test_metadata_survive_from_every_format_to_every_format(source: str, target: str):
    profile = srgb_profile()
    options = {"exif": b"Exif\0\0" + exif_block(), "icc_profile": profile}
    if source in ("JPEG", "PNG", "TIFF"):
        options["dpi"] = (300, 300)
    data = PLAIN[source](smooth(), **options)
    written = opened(encode_photo(read_photo(data), target))
    assert written.info["icc_profile"] == profile
    exif = written.getexif()
    assert exif[ExifTags.Base.Make] == "Kamera"
    assert exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.DateTimeOriginal] == "2024:05:06 07:08:09"
    assert float(exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.ExposureTime]) == 0.01
    assert exif.get_ifd(ExifTags.IFD.GPSInfo)[ExifTags.GPS.GPSLatitudeRef] == "N"
    assert exif.get_ifd(ExifTags.IFD.GPSInfo)[ExifTags.GPS.GPSLatitude] == (47.0, 22.0, 30.0)
    if "dpi" in options and target in ("JPEG", "PNG", "TIFF"):
        assert written.info["dpi"] == pytest.approx((300, 300), abs=0.1)


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP"])
def test_exif_is_kept_byte_for_byte_but_for_thumbnail_and_orientation(format: str):
    data = PLAIN[format](smooth(), exif=b"Exif\0\0" + exif_block(6))
    written = encode_photo(read_photo(data))
    assert b"OLD PICTURE" in data
    assert b"OLD PICTURE" not in written
    assert MAKER_NOTE in written
    exif = opened(written).getexif()
    assert exif[ExifTags.Base.Orientation] == 1
    assert not exif.get_ifd(ExifTags.IFD.IFD1)
    details = exif.get_ifd(ExifTags.IFD.Exif)
    # The picture was turned on its side, so the stored size turns with it.
    assert (details[ExifTags.Base.ExifImageWidth], details[ExifTags.Base.ExifImageHeight]) == (37, 53)


def test_upright_exif_without_thumbnail_is_not_changed_at_all():
    block = exif_block(1, thumbnail=False)
    assert make_upright(block) == (block, 1)


@pytest.mark.parametrize("cut", range(0, 200, 3))
def test_damaged_exif_never_fails_a_photo(cut: int):
    broken = exif_block()[:cut]
    data = pillow(smooth(), "JPEG")
    photo = read_photo(insert_jpeg_segments(data, [(0xE1, b"Exif\0\0" + broken)]))
    assert photo.pixels.shape == smooth().shape
    if photo.metadata.exif is None and cut:
        assert any("EXIF" in note for note in photo.notes)
    encode_photo(photo)
    encode_photo(photo, "TIFF")


@pytest.mark.parametrize("format", PLAIN)
def test_strip_drops_everything_but_colour_and_resolution(format: str):
    options = {"exif": b"Exif\0\0" + exif_block(6), "icc_profile": srgb_profile()}
    data = PLAIN[format](smooth(), **options)
    photo = read_photo(data)
    written = encode_photo(photo, metadata="strip")
    picture = opened(written)
    assert picture.info["icc_profile"] == options["icc_profile"]
    assert ExifTags.Base.Make not in picture.getexif()
    assert not picture.getexif().get_ifd(ExifTags.IFD.GPSInfo)
    assert b"Kamera" not in written
    assert picture.size == (photo.width, photo.height)


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
def test_xmp_survives_and_loses_its_orientation(format: str):
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    if format == "PNG":
        chunk = (b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + XMP)
        data = insert_png_chunks(pillow(smooth(), "PNG", exif=exif), [chunk])
    elif format == "TIFF":
        exif[700] = XMP
        data = pillow(smooth(), "TIFF", exif=exif)
    else:
        data = PLAIN[format](smooth(), exif=exif, xmp=XMP)
    packet = opened(encode_photo(read_photo(data))).info["xmp"].decode()
    root = ElementTree.fromstring(packet)
    subjects = [element.text for element in root.iter("{http://www.w3.org/1999/02/22-rdf-syntax-ns#}li")]
    assert subjects == ["Zoë & 猫"]
    tag = "{http://ns.adobe.com/tiff/1.0/}Orientation"
    values = [element.get(tag) for element in root.iter()] + [element.text for element in root.iter(tag)]
    assert [value for value in values if value] == ["1"]


def test_xmp_of_an_upright_photo_is_kept_byte_for_byte():
    data = PLAIN["WEBP"](smooth(), xmp=XMP)
    assert opened(encode_photo(read_photo(data))).info["xmp"] == XMP


def test_png_text_and_colour_chunks_survive_as_they_are():
    chunks = [
        (b"gAMA", (45455).to_bytes(4, "big")),
        (b"cHRM", bytes(range(32))),
        (b"sRGB", b"\0"),
        (b"tEXt", b"Author\0Zo\xeb"),
        (b"iTXt", "Title\0\0\0de\0Titel\0猫".encode()),
        (b"tEXt", b"Author\0second"),
    ]
    for picture in (noise(9, 9, 3), noise(9, 9, 3, dtype=np.uint16)):
        data = png(picture, 2, picture.itemsize * 8, *(png_chunk(*chunk) for chunk in chunks))
        written = list(png_chunks(encode_photo(read_photo(data))))
        assert sorted(chunk for chunk in written if chunk in chunks) == sorted(chunks)
        stripped = {kind for kind, _ in png_chunks(encode_photo(read_photo(data), metadata="strip"))}
        assert stripped == {b"IHDR", b"gAMA", b"cHRM", b"sRGB", b"IDAT", b"IEND"}


def test_imagemagick_form_of_exif_is_read_and_written_in_the_standard_place():
    content = b"Exif\0\0" + exif_block(8)
    text = b"Raw profile type APP1\0\nexif\n%8d\n" % len(content) + content.hex().encode() + b"\n"
    photo = read_photo(insert_png_chunks(pillow(smooth(), "PNG"), [(b"tEXt", text)]))
    assert (photo.height, photo.width) == (53, 37)
    written = encode_photo(photo)
    assert b"Raw profile" not in written
    assert opened(written).getexif()[ExifTags.Base.Make] == "Kamera"


def test_jpeg_comment_and_photoshop_resources_survive_without_thumbnail():
    def resource(number: int, content: bytes) -> bytes:
        return b"8BIM" + struct.pack(">HHI", number, 0, len(content)) + content + bytes(len(content) % 2)

    iptc = resource(1028, b"\x1c\x02\x78\x00\x07caption")
    data = pillow(smooth(), "JPEG", comment=b"hello")
    both = b"Photoshop 3.0\0" + resource(1036, THUMBNAIL) + iptc
    written = encode_photo(read_photo(insert_jpeg_segments(data, [(0xED, both)])))
    picture = opened(written)
    assert picture.info["comment"] == b"hello"
    assert picture.info["photoshop"] == {1028: b"\x1c\x02\x78\x00\x07caption"}
    assert without_pictures(b"8BIM" + b"\xff" * 20) is None


def test_metadata_larger_than_a_jpeg_segment_survive():
    exif = Image.Exif()
    exif[ExifTags.Base.ImageDescription] = "d" * 100_000
    packet = XMP.replace(b"<rdf:li>", b"<rdf:li>" + b"word " * 40_000)
    chunk = (b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + packet)
    profile = srgb_profile() + bytes(150_000)
    data = insert_png_chunks(pillow(smooth(), "PNG", exif=exif, icc_profile=profile), [chunk])
    written = encode_photo(read_photo(data), "JPEG")
    again = read_photo(written)
    assert again.metadata.icc_profile == profile
    assert again.metadata.exif == read_photo(data).metadata.exif
    assert b"word " * 40_000 in again.metadata.xmp
    assert "Zoë &amp; 猫".encode() in again.metadata.xmp
    assert all(len(content) <= 65533 for _, content in jpeg_segments(written))


def test_first_picture_of_several_is_read_and_noted():
    frames = [Image.fromarray(noise(20, 20, 3, seed=number)) for number in range(3)]
    more = {"save_all": True, "append_images": frames[1:]}
    for format, options in (
        ("PNG", {}),
        ("WEBP", {"lossless": True}),
        ("TIFF", {}),
        ("GIF", {}),
        ("AVIF", {}),
    ):
        photo = read_photo(pillow(frames[0], format, **more, **options))
        assert any("first" in note for note in photo.notes), format
        if format in ("PNG", "WEBP", "TIFF"):
            np.testing.assert_array_equal(photo.pixels, np.asarray(frames[0]))
    assert any("first" in note for note in read_photo(pillow(frames[0], "MPO", **more)).notes)


def test_jpeg_resolution_survives():
    photo = read_photo(pillow(smooth(), "JPEG", dpi=(240, 120)))
    assert opened(encode_photo(photo)).info["dpi"] == (240, 120)
    assert opened(encode_photo(photo, "BMP")).info["dpi"] == pytest.approx((240, 120), abs=0.1)
    assert "dpi" not in opened(encode_photo(read_photo(pillow(smooth(), "JPEG")))).info


def _riff(data: bytes, kind: bytes, content: bytes) -> bytes:
    body = data[8:] + kind + len(content).to_bytes(4, "little") + content + bytes(len(content) % 2)
    return b"RIFF" + len(body).to_bytes(4, "little") + body


def test_content_credentials_are_noticed_and_not_copied():
    manifest = b"JP\0\x01\0\0\0\x01\0\0\0\x30jumb\0\0\0\x28jumdc2pa MANIFEST"
    uuid = bytes.fromhex("d8fec3d61b0e483c92975828877ec481") + b"MANIFEST"
    link = XMP.replace(
        b"<rdf:Description ",
        b'<rdf:Description xmlns:dcterms="http://purl.org/dc/terms/" dcterms:provenance="http://x/MANIFEST" ',
    )
    avif = pillow(smooth(), "AVIF")
    files = [
        insert_jpeg_segments(pillow(smooth(), "JPEG"), [(0xEB, manifest)]),
        insert_png_chunks(pillow(smooth(), "PNG"), [(b"caBX", b"MANIFEST")]),
        _riff(pillow(smooth(), "WEBP", exif=exif_block()), b"C2PA", b"MANIFEST"),
        tiff(smooth(), extratags=[(52545, "B", 8, b"MANIFEST", True)]),
        avif + struct.pack(">I", 8 + len(uuid)) + b"uuid" + uuid,
        PLAIN["WEBP"](smooth(), xmp=link),
    ]
    for data in files:
        photo = read_photo(data)
        assert photo.notes.count(CREDENTIALS_NOTE) == 1, photo.format
        assert b"MANIFEST" not in encode_photo(photo)
    assert CREDENTIALS_NOTE not in read_photo(pillow(smooth(), "JPEG")).notes


@pytest.mark.parametrize("format", PLAIN)
@pytest.mark.skipif(shutil.which("exiftool") is None, reason="exiftool is not installed")
def test_exiftool_finds_nothing_wrong(format: str, tmp_path):
    options = {"exif": b"Exif\0\0" + exif_block(6), "icc_profile": srgb_profile()}
    path = tmp_path / "photo"
    path.write_bytes(encode_photo(read_photo(PLAIN[format](smooth(), **options))))
    command = [
        "exiftool",
        "-validate",
        "-warning",
        "-error",
        "-a",
        "-G1",
        "-Make",
        "-Orientation#",
        str(path),
    ]
    report = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    assert "Kamera" in report
    assert "Error" not in report, report


def test_grey_photo_with_colour_profile_keeps_it():
    profile = srgb_profile()
    photo = read_photo(pillow(smooth()[..., 0], "JPEG", icc_profile=profile))
    np.testing.assert_array_equal(photo.pixels, grey3(photo.pixels[..., 0]))
    assert opened(encode_photo(photo)).info["icc_profile"] == profile
