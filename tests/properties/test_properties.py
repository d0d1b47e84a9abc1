"""Properties that hold for every input, tried on inputs that hypothesis thinks of."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from odd_case import portrait
from odd_photos import stored_as
from PIL import Image

from sargan_core.batch.manifest import Entry, ManifestWriter, read_manifest
from sargan_core.editor import Editor, EditSettings
from sargan_core.errors import NoFaceError, UsageError
from sargan_core.expressions import NAMES, Expression, ExpressionMix, parse_expression, parse_mix
from sargan_core.faces.align import align
from sargan_core.faces.face import Face, Template
from sargan_core.photo import xmp
from sargan_core.photo.files import shown
from sargan_core.photo.metadata import Provenance, mark
from sargan_core.photo.photo import Photo, encode_photo, read_photo
from sargan_core.photo.planes import eight_bits

LOSSLESS = ("PNG", "TIFF", "BMP", "WEBP")
quick = settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
weight = st.floats(0, 2, allow_nan=False).map(lambda value: round(value, 3))
text = st.text(st.characters(), max_size=40)


@pytest.fixture(scope="module")
def editor() -> Editor:
    return Editor(EditSettings(check=False))


@pytest.fixture(scope="module")
def photo() -> Photo:
    return Photo(portrait(160))


# Few examples: each is a whole edit, and there are only three shapes of a mix of nothing.
@settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    parts=st.lists(
        st.tuples(st.sampled_from(list(Expression)), st.just(0.0)), max_size=3, unique_by=lambda p: p[0]
    )
)
def test_strength_zero_is_the_identity(editor: Editor, photo: Photo, parts: list[tuple[Expression, float]]):
    result = editor.edit(photo, ExpressionMix(tuple(parts)), editor_faces(editor, photo))
    assert np.array_equal(result.photo.pixels, photo.pixels)


def editor_faces(editor: Editor, photo: Photo) -> list[Face]:
    known: list[Face] = getattr(editor, "_known_faces", [])
    if not known:
        known = editor.find(photo)
        editor._known_faces = known  # type: ignore[attr-defined]
    return known


@settings(max_examples=6, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    expression=st.sampled_from([Expression.HAPPY, Expression.SAD, Expression.SURPRISED]),
    strength=st.floats(0.2, 2),
    kind=st.sampled_from(LOSSLESS),
    seed=st.integers(0, 99),
)
def test_outside_the_face_every_bit_stays(
    editor: Editor, expression: Expression, strength: float, kind: str, seed: int
):
    pixels = np.random.default_rng(seed).integers(0, 255, (260, 400, 3), np.uint8)
    pixels[50:210, 120:280] = portrait(160)
    before = read_photo(encode_photo(Photo(pixels), kind))
    faces = [face for face in editor.find(before) if 100 < face.box[0] + face.box[2] / 2 < 300]
    assume(faces)
    result = editor.edit(before, ExpressionMix(((expression, strength),)), faces[:1])
    after = read_photo(encode_photo(result.photo))
    assert np.array_equal(before.pixels, pixels)
    changed = np.argwhere((after.pixels != pixels).any(2))
    assert len(changed) > 100
    (top, left), (bottom, right) = changed.min(0), changed.max(0)
    x, y, width, height = faces[0].box
    assert left > x - width
    assert right < x + 2 * width
    assert top > y - height
    assert bottom < y + 2 * height


@settings(max_examples=8, deadline=None)
@given(orientation=st.integers(1, 8), kind=st.sampled_from(["PNG", "TIFF", "WEBP"]))
def test_orientation_commutes_with_editing(editor: Editor, photo: Photo, orientation: int, kind: str):
    block = Image.Exif()
    block[0x0112] = orientation
    stored = Photo(stored_as(photo.pixels, orientation))
    import io

    file = io.BytesIO()
    Image.fromarray(stored.pixels).save(
        file, kind, exif=block.tobytes(), **({"lossless": True} if kind == "WEBP" else {})
    )
    upright = read_photo(file.getvalue())
    assert np.array_equal(upright.pixels, photo.pixels)
    again = read_photo(encode_photo(upright))
    assert np.array_equal(again.pixels, photo.pixels)


@quick
@given(
    pixels=arrays(np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9), st.just(3))),
    kind=st.sampled_from(LOSSLESS),
)
def test_lossless_files_return_every_pixel_in_rgb_order(pixels: np.ndarray, kind: str):
    assert np.array_equal(read_photo(encode_photo(Photo(pixels), kind)).pixels, pixels)


@quick
@given(
    pixels=arrays(np.uint16, st.tuples(st.integers(1, 7), st.integers(1, 7), st.just(3))),
    alpha=st.none() | st.integers(0, 65535),
    kind=st.sampled_from(["PNG", "TIFF"]),
)
def test_sixteen_bits_return_every_pixel(pixels: np.ndarray, alpha: int | None, kind: str):
    plane = None if alpha is None else np.full(pixels.shape[:2], alpha, np.uint16)
    again = read_photo(encode_photo(Photo(pixels, plane), kind))
    assert np.array_equal(again.pixels, pixels)
    assert (again.alpha is None) == (plane is None)
    assert plane is None or np.array_equal(again.alpha, plane)


@quick
@given(values=arrays(np.uint16, (3, 5)))
def test_eight_bits_are_the_nearest(values: np.ndarray):
    assert np.array_equal(eight_bits(values), np.round(values / 257).astype(np.uint8))


entries = st.builds(
    lambda name, message, strength, outcome, seconds, warning: {
        "format": 1, "input": f"../in/{name}.jpg", "input_sha256": "0" * 64, "output": f"{name}.jpg",
        "options_sha256": "1" * 64, "model": "pixel", "expression": "happy", "strength": strength, "outcome": outcome,
        "message": message, "faces": [], "seam": None, "seconds": {"read": seconds}, "finished": "2026-01-01T00:00:00Z",
    },
    st.text("abcxyz \N{GRINNING FACE}äöü-_0123", min_size=1, max_size=20),
    text,
    st.floats(0, 2),
    st.sampled_from(["done", "no_face", "unreadable", "failed"]),
    st.floats(0, 1e6),
    text,
)  # fmt: skip


@quick
@given(
    values=st.lists(entries, min_size=1, max_size=5, unique_by=lambda value: value["output"]),
    cut=st.integers(0, 300),
)
def test_a_manifest_comes_back_and_a_torn_line_is_left_out(tmp_path_factory, values: list[dict], cut: int):
    path: Path = tmp_path_factory.mktemp("manifest") / "sargan-batch.jsonl"
    known = [Entry.from_json(json.loads(json.dumps(value))) for value in values]
    with ManifestWriter(path) as writer:
        for entry in known:
            writer.append(entry)
    assert list(read_manifest(path).values()) == known
    data = path.read_bytes()
    last = len(data.splitlines()[-1]) + 1
    path.write_bytes(data[: len(data) - min(cut, last)])
    assert len(read_manifest(path)) in (len(known), len(known) - 1)


point = st.tuples(st.floats(-50, 3000), st.floats(-50, 3000))


@quick
@given(
    eyes=st.tuples(point, point),
    mouth=point,
    kind=st.sampled_from(["similarity", "affine"]),
    size=st.sampled_from([64, 128, 256]),
)
def test_an_alignment_and_its_inverse(eyes, mouth, kind: str, size: int):
    left, right = np.array(eyes[0]), np.array(eyes[1])
    across, down = right - left, np.array(mouth) - (left + right) / 2
    area = abs(across[0] * down[1] - across[1] * down[0])
    assume(np.linalg.norm(across) > 8)
    assume(area > 0.05 * np.linalg.norm(across) * max(8, np.linalg.norm(down)))
    points = np.array([left, right, (left + right) / 2, mouth, mouth], np.float32)
    template = Template(size, kind, (0.33, 0.4), (0.67, 0.4), (0.5, 0.75))
    try:
        alignment = align(Face((0.0, 0.0, 9.0, 9.0), 0.9, points), template)
    except NoFaceError:
        return
    where = torch.rand(1, 2, 5, 5, dtype=torch.float64) * size
    there = alignment.to_photo(where)
    assert torch.allclose(alignment.to_crop(there), where, atol=1e-5 * size)


@quick
@given(parts=st.dictionaries(st.sampled_from(list(Expression)), weight, min_size=1, max_size=4))
def test_a_mix_is_read_as_it_is_written(parts: dict[Expression, float]):
    mix = ExpressionMix(tuple(parts.items()))
    again = parse_mix(",".join(f"{expression.value}:{value:g}" for expression, value in parts.items()))
    assert dict(again.parts) == pytest.approx(dict(mix.parts))
    assert str(parse_mix(str(again))) == str(again)


@given(name=st.sampled_from(sorted(NAMES)), upper=st.booleans())
def test_every_name_is_one_expression(name: str, upper: bool):
    assert parse_expression(name.upper() if upper else name) is NAMES[name]


@quick
@given(name=text)
def test_other_names_are_refused_by_name(name: str):
    assume(name.strip().lower() not in NAMES)
    with pytest.raises(UsageError):
        parse_expression(name)


@quick
@given(name=text)
def test_any_name_is_one_line_of_what_can_be_shown(name: str):
    line = shown(name)
    assert line.isprintable()
    line.encode("utf-8")
    assert shown(line) == line


@quick
@given(model=text, expression=text, strength=weight)
def test_the_mark_holds_any_text(model: str, expression: str, strength: float):
    packet = mark(None, Provenance(model, expression, strength, "1"))
    assert xmp.is_readable(packet)
    assert mark(packet, Provenance(model, expression, strength, "1")).count(b"DigitalSourceType>") == 2
