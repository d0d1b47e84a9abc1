import numpy as np
import pytest
import skimage.data

from sargan_core.editor import Editor, EditSettings
from sargan_core.expressions import Expression, parse_mix
from sargan_core.models.pixel.shown import still_wanted
from sargan_core.photo.photo import Photo

RANDOM = np.random.default_rng(3)
MOTIONS = {expression: RANDOM.normal(size=(68, 2)) for expression in Expression}


def left(own, text):
    return dict(still_wanted(own, MOTIONS, parse_mix(text)).parts)


@pytest.mark.parametrize(
    ("share", "text", "weight"),
    [(1.0, "happy", 0.0), (1.3, "happy", 0.0), (0.3, "happy", 1.0), (-1.0, "happy", 1.0), (1.0, "sad", 1.0)],
)
def test_only_what_is_not_shown_yet_is_wanted(share, text, weight):
    own = share * MOTIONS[Expression.HAPPY]
    assert left(own, text)[Expression(text)] == pytest.approx(weight)


def test_a_face_that_shows_half_of_it_is_led_on_without_a_step():
    weights = [
        left(share * MOTIONS[Expression.HAPPY], "happy")[Expression.HAPPY]
        for share in np.arange(0.4, 1, 0.02)
    ]
    assert weights[0] == 1
    assert weights[-1] == 0
    assert np.all(np.diff(weights) <= 0)
    assert np.abs(np.diff(weights)).max() < 0.1


@pytest.mark.parametrize(("text", "kept"), [("happy", 0.0), ("surprised", 1.0)])
def test_a_smile_with_parted_lips_is_kept_however_people_smile(text, kept):
    wanted = MOTIONS[Expression(text)]
    another_way = RANDOM.normal(size=(68, 2))
    own = 0.65 * (wanted + 0.8 * another_way * np.linalg.norm(wanted) / np.linalg.norm(another_way))

    def weight(parted):
        mix = still_wanted(own, MOTIONS, parse_mix(text), parted)
        return dict(mix.parts)[Expression(text)]

    assert weight(1.0) == pytest.approx(kept * weight(0.0), abs=0.05)
    assert weight(0.0) > 0.3


def test_what_is_like_another_expression_still_more_is_not_shown():
    """An open mouth is a part of fear, but a surprised face is not afraid."""
    shared = RANDOM.normal(size=(68, 2))
    fear, surprise = (shared + 0.5 * RANDOM.normal(size=(68, 2)) for _ in range(2))
    motions = {Expression.FEARFUL: fear, Expression.SURPRISED: surprise}

    def weight(own, text):
        return dict(still_wanted(own, motions, parse_mix(text)).parts)[Expression(text)]

    assert weight(surprise, "fearful") == 1
    assert weight(surprise, "surprised") == pytest.approx(0)
    assert weight(fear, "fearful") == pytest.approx(0)


def test_more_than_the_whole_is_still_wanted_of_a_face_that_shows_the_whole():
    assert left(MOTIONS[Expression.HAPPY], "happy:2")[Expression.HAPPY] > 1.5


def test_an_expression_that_moves_nothing_is_wanted_in_full():
    found = still_wanted(np.ones((68, 2)), {Expression.SAD: np.zeros((68, 2))}, parse_mix("sad:0.5"))
    assert dict(found.parts)[Expression.SAD] == 0.5


def test_neutral_is_always_wanted():
    assert left(MOTIONS[Expression.NEUTRAL], "neutral")[Expression.NEUTRAL] == 1


@pytest.mark.parametrize("model", ["pixel", "sargan"])
def test_a_smiling_face_keeps_its_own_smile(model):
    editor = Editor(EditSettings(model=model, device="cpu", check=False))
    photo = Photo(skimage.data.astronaut(), name="astronaut.png")
    (happy,), (surprised,) = (editor.edit(photo, parse_mix(name)).faces for name in ("happy", "surprised"))
    assert happy.change < surprised.change / 4
