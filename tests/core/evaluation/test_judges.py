import numpy as np
import pytest
import torch
from made_faces import write_onnx

from sargan_core.errors import DataError, UsageError
from sargan_core.evaluation.judges import read_judge
from sargan_core.expressions import Expression

# Three channels in, four labels out: red speaks for angry, green for happy, blue for contempt, nothing for sad.
WEIGHTS = np.array([[8, 0, 0], [0, 8, 0], [0, 0, 8], [0, 0, 0]], np.float32)
LABELS = 'labels = ["angry", "HA", "-", "sad"]'


@pytest.fixture
def describe(tmp_path):
    write_onnx(tmp_path / "net.onnx", WEIGHTS, 16)

    def write(*lines: str, kind: str = "expression"):
        path = tmp_path / "judge.toml"
        text = ['name = "mine"', f'kind = "{kind}"', 'file = "net.onnx"', "size = 16", *lines]
        path.write_text("\n".join(text))
        return path

    return write


def plain(red, green, blue):
    return torch.tensor([red, green, blue]).view(1, 3, 1, 1).expand(1, 3, 16, 16)


def test_labels_may_stand_in_any_order_and_others_are_left_out(describe):
    judge = read_judge(describe(LABELS))
    chances = judge.judge(torch.cat([plain(1.0, 0, 0), plain(0, 1.0, 0), plain(0, 0, 1.0)])).probabilities
    assert chances.shape == (3, 7)
    assert np.allclose(chances.sum(1), 1)
    assert chances[0].argmax() == Expression.ANGRY.label
    assert chances[1].argmax() == Expression.HAPPY.label
    assert chances[2].max() == pytest.approx(1 / 3)  # contempt is none of the seven


def test_channels_scale_and_normalisation_reach_the_network(describe):
    swapped = read_judge(describe(LABELS, 'channels = "bgr"'))
    assert swapped.judge(plain(0, 0, 1.0)).probabilities[0].argmax() == Expression.ANGRY.label
    levels = read_judge(describe(LABELS, "scale = 255", "mean = [255, 0, 0]", "std = [255]"))
    softened = levels.judge(plain(1.0, 0, 0)).probabilities[0]
    assert softened[Expression.ANGRY.label] == pytest.approx(softened[Expression.SAD.label])


def test_an_embedding_has_length_one(describe):
    verdict = read_judge(describe(kind="identity")).judge(plain(0.5, 0.2, 0.1))
    assert verdict.probabilities is None
    assert np.linalg.norm(verdict.embeddings) == pytest.approx(1)


def test_another_network_or_setting_is_another_judge(describe, tmp_path):
    first = read_judge(describe(LABELS)).key
    assert read_judge(describe(LABELS)).key == first
    assert read_judge(describe(LABELS, 'channels = "bgr"')).key != first
    write_onnx(tmp_path / "net.onnx", WEIGHTS * 2, 16)
    assert read_judge(describe(LABELS)).key != first


@pytest.mark.parametrize(
    ("lines", "complaint"),
    [
        ((), "labels"),
        (('labels = ["angry"]',), "4 classes"),
        (('labels = ["grumpy"]',), "grumpy"),
        ((LABELS, 'channels = "cmyk"'), "cmyk"),
        ((LABELS, "colour = 3"), "colour"),
        ((LABELS, "std = [0.0]"), "std"),
        ((LABELS, "mean = [1, 2]"), "mean"),
    ],
)
def test_a_wrong_description_says_what_is_wrong(describe, lines, complaint):
    with pytest.raises((UsageError, DataError), match=complaint):
        read_judge(describe(*lines))


def test_files_that_are_none(describe, tmp_path):
    with pytest.raises(DataError, match="nowhere"):
        read_judge(tmp_path / "nowhere.toml")
    path = describe(LABELS)
    (tmp_path / "net.onnx").write_bytes(b"not a network")
    with pytest.raises(DataError, match="OpenCV cannot run"):
        read_judge(path)
    (tmp_path / "net.onnx").unlink()
    with pytest.raises(DataError, match="cannot be read"):
        read_judge(path)
    path.write_text("name = ")
    with pytest.raises(DataError, match="TOML"):
        read_judge(path)


@pytest.mark.parametrize(
    "line",
    [
        *("scale = nan", "scale = inf", "scale = []", "mean = [nan]", "std = [inf]", "mean = 5", "std = [0]"),
        *(
            'labels = ["rage"]',
            "labels = 7",
            "labels = [1, 2]",
            'channels = ["rgb"]',
            "output = {}",
            "file = 7",
        ),
        *(
            "template = 5",
            "[template]\nleft_eye = []",
            "[template]\nleft_eye = [0.5, 0.71]\nright_eye = [0.5, 0.71]",
        ),
        *("[template]\nmouth = [nan, 0]", '[template]\nkind = "spline"', '[template]\nkind = "none"'),
    ],
)
def test_a_description_that_means_nothing_is_one_clear_error(describe, line):
    lines = [line] if line.startswith("labels") else [LABELS, line]
    path = describe(*lines)
    with pytest.raises((UsageError, DataError)) as refused:
        read_judge(path)
    assert str(path.parent) in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "size", ["0", "15", "1025", "inf", "nan", "-3", '"big"', "[]", "9223372036854775807"]
)
def test_a_size_that_is_none_is_one_clear_error(tmp_path, size):
    path = tmp_path / "judge.toml"
    path.write_text(f'name = "j"\nkind = "identity"\nfile = "net.onnx"\nsize = {size}\n')
    with pytest.raises(UsageError, match=r"judge\.toml"):
        read_judge(path)
