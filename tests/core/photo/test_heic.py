"""HEIC photos are read with all they say, bounded before they are decoded, and never written.

The files in ``heic/`` were made once from a drawing of 128 x 96 pixels with ``pillow-heif`` 1.8.1, whose encoder the
program neither has nor needs: ``turned`` (EXIF orientation 6, XMP, sRGB profile), ``grid`` (tiles of 64), ``alpha``
(left half opaque), ``grey``, ``ten-bit`` (a ramp from black to white), ``wide`` (Display P3 without a profile),
``pq``; ``portrait`` is
``examples/portrait.jpg``.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from sargan_core.errors import PhotoError
from sargan_core.photo.kinds import written_ending
from sargan_core.photo.photo import Photo, encode_photo, read_photo, render_photo

FOLDER = Path(__file__).parent / "heic"


def drawing() -> np.ndarray:
    rows, columns = np.mgrid[0:96, 0:128]
    picture = np.stack([60 + 120 * columns / 128, 80 + 100 * rows / 96, 150 - 60 * columns / 128], -1)
    picture[10:40, 12:44], picture[60:86, 80:116] = (200, 40, 40), (40, 60, 200)
    return picture


def read(name: str, **options: int) -> Photo:
    return read_photo(FOLDER / f"{name}.heic", **options)


def data(name: str) -> bytes:
    return (FOLDER / f"{name}.heic").read_bytes()


def refusal(content: bytes, **options: int) -> str:
    with pytest.raises(PhotoError) as caught:
        read_photo(content, name="face.heic", **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def near(pixels: np.ndarray, wanted: np.ndarray) -> bool:
    """Whether two pictures are the same but for compression."""
    return pixels.shape == wanted.shape and float(np.abs(pixels.astype(float) - wanted).mean()) < 3


@pytest.mark.parametrize("name", ["grid", "alpha"])
def test_colours_are_those_of_the_picture(name: str):
    assert near(read(name).pixels, drawing())


def test_the_picture_is_turned_upright_once():
    assert near(read("turned").pixels, np.rot90(drawing(), -1))


def test_metadata_are_carried_into_the_jpeg():
    photo = read("turned")
    written = read_photo(encode_photo(photo))
    assert written.format == "JPEG"
    assert near(written.pixels, photo.pixels)
    assert photo.metadata.exif
    assert b"An Artist" in photo.metadata.exif
    assert b"A title" in (photo.metadata.xmp or b"")
    assert photo.metadata.icc_profile
    for name in ("exif", "xmp", "icc_profile"):
        assert getattr(written.metadata, name) == getattr(photo.metadata, name)


def test_alpha_and_grey():
    alpha = read("alpha").alpha
    assert alpha is not None
    assert alpha[:, :60].min() > 250
    assert alpha[:, 68:].max() < 5
    assert read("grey").encoding.grey


def test_ten_bits_are_kept_where_there_is_room():
    photo = read("ten-bit")
    assert photo.pixels.dtype == np.uint16
    assert photo.pixels.max() == 65535
    assert len(np.unique(photo.pixels[48, :, 1])) > 100
    assert any("10 bits" in note for note in photo.notes)
    kept = read_photo(encode_photo(photo, "PNG"))
    assert np.array_equal(kept.pixels, photo.pixels)
    assert read_photo(encode_photo(photo)).pixels.dtype == np.uint8


@pytest.mark.parametrize(("name", "words"), [("wide", "wide colours"), ("pq", "HDR")])
def test_colours_that_would_change_are_refused(name: str, words: str):
    assert words in refusal(data(name))


@pytest.mark.parametrize("name", ["turned", "grid", "alpha", "grey"])
def test_size_is_checked_before_decoding(name: str, monkeypatch: pytest.MonkeyPatch):
    import pi_heif

    assert read(name, max_pixels=96 * 128)

    def decode(*_: object, **__: object) -> None:
        raise AssertionError("opened although it is too large")

    monkeypatch.setattr(pi_heif, "open_heif", decode)
    assert "limit of 5,000" in refusal(data(name), max_pixels=5000)


def changed(content: bytes, box: bytes, at: int, value: bytes) -> bytes:
    """Return a file with other bytes ``at`` bytes behind the start of the last box of a kind."""
    start = content.rindex(box) + at
    return content[:start] + value + content[start + len(value) :]


def test_what_the_container_claims_does_not_hide_a_large_picture():
    # The container's sizes are made small; the coded picture's own size and the grid's still count.
    for name in ("turned", "grid"):
        content = data(name)
        while b"ispe\0\0\0\0" in content:
            content = content.replace(b"ispe\0\0\0\0", b"ispe\0\0\0\1", 1)
            at = content.index(b"ispe\0\0\0\1") + 8
            content = content[:at] + (16).to_bytes(4, "big") * 2 + content[at + 8 :]
        content = content.replace(b"ispe\0\0\0\1", b"ispe\0\0\0\0")
        assert "limit of 3,000" in refusal(content, max_pixels=3000)


def test_grids_of_too_many_tiles_are_refused():
    content = data("grid")
    at = content.index(bytes([0, 0, 1, 1, 0, 128, 0, 96]))
    many = content[: at + 2] + bytes([255, 255]) + content[at + 4 :]
    assert "damaged" in refusal(many)


def test_what_the_decoder_crashes_at_is_refused_before():
    for name, box, at, value in (
        ("grey", b"hvcC", 4 + 17, b"\xfa"),  # tells 10 bits where 8 are coded
        ("turned", b"infe", 12 + 20, b"\xff\xfe"),  # names that are no text
        ("alpha", b"auxC", 10, b"\xff\xfe"),
    ):
        assert "damaged" in refusal(changed(data(name), box, at, value))


@pytest.mark.parametrize("name", ["turned", "grid", "alpha"])
def test_files_that_are_cut_off_or_damaged_give_one_line(name: str):
    content = data(name)
    for length in (30, 60, 200, len(content) // 2, len(content) - 5):
        assert "; get " in refusal(content[:length]) or "; save " in refusal(content[:length])
    chance = np.random.default_rng(1)
    for _ in range(200):
        flipped = bytearray(content)
        for place in chance.integers(24, len(flipped), 3):
            flipped[place] ^= int(chance.integers(1, 256))
        with contextlib.suppress(PhotoError):  # anything else, or a crash, fails
            read_photo(bytes(flipped), max_pixels=100_000)


def test_packed_metadata_are_refused():
    content = data("turned")
    assert b"application/rdf+xml\0" in content
    packed = content.replace(b"application/rdf+xml\0", b"application/r\0defla\0", 1)
    assert "packs its metadata" in refusal(packed)


def test_a_missing_decoder_is_said_in_one_line(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "pi_heif", None)
    message = refusal(data("grey"))
    assert "pip install pi-heif" in message
    assert "JPEG" in message


def test_results_are_named_and_written_as_jpeg():
    assert written_ending(Path("a/Photo.HEIC")) == ".jpg"
    assert written_ending(Path("a/photo.png")) == ".png"
    photo = read("turned")
    content, note = render_photo(photo, Path("photo-happy.jpg"))
    assert read_photo(content).format == "JPEG"
    assert note is not None
    assert "only read" in note
    content, note = render_photo(photo, Path("photo-happy.png"))
    assert read_photo(content).format == "PNG"
    assert note is None
    with pytest.raises(PhotoError, match="not known"):
        encode_photo(photo, "HEIC")


def test_the_decoder_is_loaded_only_where_there_is_a_heic_photo():
    code = "import sys, sargan_core.photo.photo; sys.exit('pi_heif' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], env=os.environ, check=False).returncode == 0
