"""Every edited photo is marked, in every format that has a place for it, and the person's own XMP stays."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
from pathlib import Path
from xml.etree import ElementTree

import pytest
from photo_samples import PLAIN, noise, pillow, smooth, tiff
from PIL import Image

from sargan_core.photo import xmp
from sargan_core.photo.kinds import KINDS, holds_provenance
from sargan_core.photo.metadata import DIGITAL_SOURCE_TYPE, SARGAN_NAMESPACE, Provenance, mark
from sargan_core.photo.photo import Photo, encode_photo, read_photo

MARK = Provenance(model="pixel", expression="happy:0.6,sad:0.4 <&>", strength=0.75, version="0.1.0")
RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
RICH = f"""\ufeff<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/" x:xmptk="Adobe XMP Core 5.6"><!-- kept -->
 <r:RDF xmlns:r="{RDF}" xmlns:ns0="http://example.org/private/">
  <r:Description r:about="uuid:1234" xmlns:photoshop="http://ns.adobe.com/photoshop/1.0/"
    photoshop:Instructions="first line&#xA;second &quot;line&quot;" ns0:odd="1 &lt; 2"
    xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
    Iptc4xmpExt:DigitalSourceType="http://cv.iptc.org/newscodes/digitalsourcetype/digitalCapture">
   <dc:title xmlns:dc="http://purl.org/dc/elements/1.1/">
    <r:Alt><r:li xml:lang="x-default">Zoë 猫</r:li></r:Alt>
   </dc:title>
   <xmp:Thumbnails xmlns:xmp="http://ns.adobe.com/xap/1.0/">
    <r:Alt><r:li>OLD PICTURE</r:li></r:Alt>
   </xmp:Thumbnails>
  </r:Description>
  <r:Description r:about="uuid:1234" xmlns:ns0="http://example.org/other/"><ns0:odd>two</ns0:odd></r:Description>
 </r:RDF>
</x:xmpmeta>
<?xpacket end="w"?>   """.encode()


def properties(packet: bytes) -> dict[str, list[str]]:
    """All simple properties in a packet by {namespace}name, attributes and elements alike."""
    found: dict[str, list[str]] = {}
    for description in ElementTree.fromstring(packet.decode()).iter(f"{{{RDF}}}Description"):
        for name, value in description.attrib.items():
            found.setdefault(name, []).append(value)
        for child in description:
            found.setdefault(child.tag, []).append("".join(child.itertext()).strip())
    return found


def check_mark(packet: bytes) -> None:
    found = properties(packet)
    assert found["{http://iptc.org/std/Iptc4xmpExt/2008-02-29/}DigitalSourceType"] == [DIGITAL_SOURCE_TYPE]
    for name, value in (
        ("Model", "pixel"),
        ("Expression", "happy:0.6,sad:0.4 <&>"),
        ("Strength", "0.75"),
        ("Version", "0.1.0"),
    ):
        assert found[f"{{{SARGAN_NAMESPACE}}}{name}"] == [value]


@pytest.mark.parametrize("format", [name for name in KINDS if holds_provenance(name)])
@pytest.mark.parametrize("metadata", ["keep", "strip"])
def test_mark_is_written_and_read_by_pillow(format: str, metadata: str):
    data = encode_photo(Photo(smooth()), format, provenance=MARK, metadata=metadata)
    check_mark(Image.open(io.BytesIO(data)).info["xmp"])
    check_mark(read_photo(data).metadata.xmp)


def test_mark_is_written_into_16_bit_files():
    for format in ("PNG", "TIFF"):
        data = encode_photo(Photo(noise(9, 9, 3, dtype="uint16")), format, provenance=MARK)
        check_mark(read_photo(data).metadata.xmp)


def test_formats_without_a_place_for_the_mark_are_known():
    assert {name for name in KINDS if not holds_provenance(name)} == {"BMP", "GIF"}
    for name in ("BMP", "GIF"):
        assert b"sargan" not in encode_photo(Photo(smooth()), name, provenance=MARK)


def test_no_mark_unasked():
    for format in KINDS:
        assert b"digitalsourcetype" not in encode_photo(Photo(smooth()), format)


@pytest.mark.skipif(shutil.which("exiftool") is None, reason="exiftool is not installed")
@pytest.mark.parametrize("format", PLAIN)
def test_mark_is_read_by_exiftool(format: str, tmp_path: Path):
    path = tmp_path / "photo"
    path.write_bytes(encode_photo(read_photo(PLAIN[format](smooth())), provenance=MARK))
    command = ["exiftool", "-json", "-XMP:all", "-warning", "-error", str(path)]
    (found,) = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    assert found["DigitalSourceType"] == DIGITAL_SOURCE_TYPE
    assert (found["Model"], found["Version"]) == ("pixel", "0.1.0")
    assert not {"Warning", "Error"} & found.keys()


def test_merging_loses_nothing_and_replaces_only_the_marks():
    merged = mark(mark(RICH, MARK), MARK)
    check_mark(merged)
    found = properties(merged)
    assert found["{http://ns.adobe.com/photoshop/1.0/}Instructions"] == ['first line\nsecond "line"']
    assert found["{http://example.org/private/}odd"] == ["1 < 2"]
    assert found["{http://example.org/other/}odd"] == ["two"]
    assert found["{http://purl.org/dc/elements/1.1/}title"] == ["Zoë 猫"]
    assert set(found[f"{{{RDF}}}about"]) == {"uuid:1234"}
    assert b"<!-- kept -->" in merged
    assert merged.startswith(b"<?xpacket begin=")
    assert merged.endswith(b'<?xpacket end="w"?>')


def test_thumbnails_of_the_old_picture_leave_the_xmp():
    assert b"OLD PICTURE" not in xmp.clean(RICH, turned=False)
    assert properties(xmp.clean(RICH, turned=False))["{http://example.org/other/}odd"] == ["two"]


def test_own_xmp_of_a_photo_survives_the_mark():
    photo = read_photo(PLAIN["WEBP"](smooth(), xmp=RICH))
    for format in PLAIN:
        packet = read_photo(encode_photo(photo, format, provenance=MARK)).metadata.xmp
        check_mark(packet)
        assert properties(packet)["{http://purl.org/dc/elements/1.1/}title"] == ["Zoë 猫"]


def test_large_xmp_is_split_in_a_jpeg_and_the_mark_stays_in_the_first_part():
    large = RICH.replace(b"Zo", b"Zo" * 60_000)
    photo = read_photo(tiff(smooth(), extratags=[(700, "B", len(large), large, True)]))
    data = encode_photo(photo, "JPEG", provenance=MARK)
    check_mark(Image.open(io.BytesIO(data)).info["xmp"])
    packet = read_photo(data).metadata.xmp
    check_mark(packet)
    found = properties(packet)
    assert found["{http://purl.org/dc/elements/1.1/}title"] == ["Zo" * 60_000 + "ë 猫"]
    assert found["{http://ns.adobe.com/photoshop/1.0/}Instructions"] == ['first line\nsecond "line"']


BOMB = b"""<?xml version="1.0"?><!DOCTYPE a [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>
<x:xmpmeta xmlns:x="adobe:ns:meta/">&b;</x:xmpmeta>"""


@pytest.mark.parametrize(
    "packet",
    [
        BOMB,
        BOMB.decode().encode("utf-16"),
        b"<x:xmpmeta xmlns:x='adobe:ns:meta/'>",
        b"\xff\x00 not text",
        b"<a/>",
        b"<a>" * 5000 + b"</a>" * 5000,
        b" ",
    ],
    ids=["entities", "entities in UTF-16", "open tag", "not text", "no RDF", "deep", "blank"],
)
def test_hostile_or_broken_xmp_is_left_out_with_a_note(packet: bytes):
    assert not xmp.is_readable(packet)
    check_mark(mark(packet, MARK))
    photo = read_photo(PLAIN["WEBP"](smooth(), xmp=packet))
    assert photo.metadata.xmp is None
    assert any("XMP" in note for note in photo.notes)
    check_mark(read_photo(encode_photo(photo, provenance=MARK)).metadata.xmp)


def test_xmp_in_utf_16_is_read():
    packet = RICH.decode("utf-8-sig").encode("utf-16")
    assert properties(mark(packet, MARK))["{http://purl.org/dc/elements/1.1/}title"] == ["Zoë 猫"]


def test_rdf_as_default_namespace():
    packet = f'<RDF xmlns="{RDF}"><Description xmlns:d="http://d/" about=""><d:x>1</d:x></Description></RDF>'
    merged = mark(packet.encode(), MARK)
    check_mark(merged)
    assert properties(merged)["{http://d/}x"] == ["1"]


def test_mark_in_a_jpeg_that_had_an_xmp_packet_is_there_once():
    data = pillow(smooth(), "JPEG", xmp=RICH.strip())
    written = encode_photo(read_photo(data), provenance=MARK)
    assert written.count(b"http://ns.adobe.com/xap/1.0/\0") == 1
    again = encode_photo(read_photo(written), provenance=MARK)
    assert again.count(b"compositeWithTrainedAlgorithmicMedia") == 1
