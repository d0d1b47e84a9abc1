from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from sargan_core.errors import WeightsError
from sargan_core.expressions import LABELS
from sargan_core.models.judge.network import TEMPLATE, Judge, build_judge, face_oval, load_judge, save_judge
from sargan_core.models.registry import load_model
from sargan_core.weights import find_record, open_weights, weights_folder

SIZE = TEMPLATE.size


@pytest.fixture(scope="module")
def judge():
    torch.manual_seed(0)
    return Judge().eval()


@pytest.fixture(scope="module")
def crops():
    torch.manual_seed(1)
    return torch.rand(3, 3, SIZE, SIZE)


def test_answers_have_the_promised_shapes(judge, crops):
    with torch.inference_mode():
        logits, embedding = judge.judge(crops)
        assert logits.shape == (3, len(LABELS))
        assert torch.allclose(embedding.norm(dim=1), torch.ones(3))
        assert torch.allclose(judge(crops), logits)
        assert torch.allclose(judge.embed(crops), embedding)


def test_light_and_what_is_around_the_face_do_not_count(judge, crops):
    outside = face_oval(SIZE) == 0
    assert 0.1 < outside.float().mean() < 0.6
    elsewhere = crops.clone()
    elsewhere[:, :, outside] = 1 - crops[:, :, outside]
    with torch.inference_mode():
        plain, around, darker = (judge.judge(x) for x in (crops, elsewhere, 0.4 * crops + 0.2))
    for other in (around, darker):
        assert torch.allclose(plain[0], other[0], atol=1e-4)
        assert torch.allclose(plain[1], other[1], atol=1e-4)


def test_a_face_is_judged_the_same_alone_and_among_others(judge, crops):
    with torch.inference_mode():
        together = judge(crops)
        alone = torch.cat([judge(crop[None]) for crop in crops])
    assert torch.allclose(together, alone, atol=1e-4)


def test_a_saved_judge_comes_back(judge, crops, tmp_path):
    record = save_judge(judge, tmp_path / "mine.safetensors", data="nobody")
    assert record.bytes < 2_000_000
    found, tensors = open_weights(tmp_path / "mine.safetensors")
    again = build_judge(found, tensors)
    assert again.template == judge.template
    with torch.inference_mode():
        assert torch.allclose(again(crops), judge(crops), atol=0.05)


def test_foreign_tensors_and_kinds_are_refused(judge, tmp_path):
    record = save_judge(judge, tmp_path / "mine.safetensors")
    _, tensors = open_weights(tmp_path / "mine.safetensors")
    with pytest.raises(WeightsError, match="not a judge"):
        build_judge(replace(record, kind="generator"), tensors)
    with pytest.raises(WeightsError, match="do not fit"):
        build_judge(record, {**tensors, "more": torch.zeros(1)})
    tensors.popitem()
    with pytest.raises(WeightsError, match="do not fit"):
        build_judge(record, tensors)


def test_the_judge_is_no_model_to_edit_with():
    with pytest.raises(WeightsError, match="not an expression model"):
        load_model("judge")


def test_the_shipped_judge_knows_the_expressions_of_a_rendered_person():
    """Seven pictures of one person that it was never trained on, side by side in the order of the labels."""
    strip = np.asarray(Image.open(Path(__file__).parent / "judge-expressions.png").convert("RGB"))
    crops = (
        torch.from_numpy(strip.copy()).permute(2, 0, 1).unflatten(2, (len(LABELS), SIZE)).permute(2, 0, 1, 3)
    )
    with torch.inference_mode():
        logits, embedding = load_judge().judge(crops.float() / 255)
    assert (logits.argmax(1) == torch.arange(len(LABELS))).sum() >= 6
    assert (embedding @ embedding.T).min() > 0.4


def test_the_shipped_judge_is_small_and_says_what_it_cannot_do():
    record = find_record("judge")
    assert record.bytes < 2_000_000
    assert "cannot edit" in record.description
    assert (weights_folder() / "judge.md").is_file()
