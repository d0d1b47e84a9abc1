import numpy as np
import pytest
import skimage.data
import torch

from sargan_core.editor import Editor, EditSettings
from sargan_core.errors import NoFaceError, UsageError
from sargan_core.expressions import parse_mix
from sargan_core.photo.photo import Photo


@pytest.fixture(scope="module")
def editor():
    return Editor(EditSettings(model="pixel", device="cpu"))


@pytest.fixture(scope="module")
def astronaut():
    return Photo(skimage.data.astronaut(), name="astronaut.png")


def test_strength_nothing_returns_the_photos_own_pixels(editor, astronaut):
    result = editor.edit(astronaut, parse_mix("happy:0"))
    assert np.array_equal(result.photo.pixels, astronaut.pixels)


@pytest.mark.parametrize("name", ["angry", "sad", "surprised", "neutral"])
def test_only_the_face_changes(editor, astronaut, name):
    result = editor.edit(astronaut, parse_mix(name))
    changed = (result.photo.pixels != astronaut.pixels).any(2)
    (edit,) = result.faces
    x, y, width, height = edit.face.box
    assert changed[int(y) : int(y + height), int(x) : int(x + width)].any()
    around = np.zeros_like(changed)
    around[max(0, int(y - height)) : int(y + 2 * height), max(0, int(x - width)) : int(x + 2 * width)] = True
    assert not (changed & ~around).any()
    assert edit.seam < 1.0
    assert edit.change > 0.005


def test_sixteen_bits_stay_sixteen_bits(editor, astronaut):
    photo = Photo(astronaut.pixels.astype(np.uint16) * 257, name="deep.png")
    deep = editor.edit(photo, parse_mix("sad")).photo.pixels
    shallow = editor.edit(astronaut, parse_mix("sad")).photo.pixels
    assert deep.dtype == np.uint16
    assert np.abs(deep / 257.0 - shallow).mean() < 0.5


def test_every_face_or_only_the_chosen_one(editor, astronaut):
    two = Photo(np.ascontiguousarray(np.concatenate([astronaut.pixels, astronaut.pixels[:, ::-1]], axis=1)))
    faces = editor.find(two)
    assert len(faces) == 2
    both = editor.edit(two, parse_mix("surprised"))
    changed = (both.photo.pixels != two.pixels).any(2)
    assert changed[:, :512].any()
    assert changed[:, 512:].any()
    right = editor.edit(two, parse_mix("surprised"), faces[1:])
    changed = (right.photo.pixels != two.pixels).any(2)
    assert not changed[:, :400].any()
    assert changed[:, 512:].any()


def test_overlapping_faces_both_keep_their_edit(editor, astronaut):
    close = Photo(
        np.ascontiguousarray(np.concatenate([astronaut.pixels[:, 130:290], astronaut.pixels[:, 160:320]], 1))
    )
    faces = editor.find(close)
    assert len(faces) == 2
    both = editor.edit(close, parse_mix("happy"), faces).photo.pixels.astype(int)
    for face in faces:
        alone = editor.edit(close, parse_mix("happy"), [face]).photo.pixels.astype(int)
        x, y = face.landmarks[48:68].mean(0).astype(int)
        window = np.s_[y - 8 : y + 8, x - 8 : x + 8]
        assert np.abs(both[window] - alone[window]).mean() < 2


def test_several_targets_are_the_same_as_one_after_the_other(editor, astronaut):
    targets = [parse_mix("happy"), parse_mix("sad:0.5,angry:0.3")]
    together = editor.edit_each(astronaut, targets)
    for target, result in zip(targets, together, strict=True):
        assert np.array_equal(result.photo.pixels, editor.edit(astronaut, target).photo.pixels)


def test_no_face_is_an_error_that_names_the_file(editor):
    with pytest.raises(NoFaceError, match=r"wall\.jpg"):
        editor.edit(Photo(np.full((200, 200, 3), 90, np.uint8), name="wall.jpg"), parse_mix("happy"))


def test_a_device_that_is_not_there_is_a_usage_error():
    import torch

    missing = "mps" if not torch.backends.mps.is_available() else "cuda"
    with pytest.raises(UsageError, match="not available"):
        Editor(EditSettings(model="pixel", device=missing))


def test_networks_see_one_thread_however_many_there_are(astronaut, monkeypatch):
    editor, seen = Editor(EditSettings(model="units", check=False)), {}

    def watched(name):
        original = getattr(editor.model, name)

        def call(*values, **options):
            seen[name] = torch.get_num_threads()
            return original(*values, **options)

        monkeypatch.setattr(editor.model, name, call)

    for name in ("align", "edit", "read_code"):
        watched(name)
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        editor.edit(astronaut, editor.reference(astronaut))
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)
    assert seen == {"align": 1, "edit": 1, "read_code": 1}
