"""Where and in which number format networks run: CPUs never decide how a photo looks."""

import numpy as np
import pytest
import skimage.data
import torch

from sargan_core.device import choose_precision
from sargan_core.editor import Editor, EditSettings
from sargan_core.errors import UsageError
from sargan_core.expressions import parse_mix
from sargan_core.models.registry import load_model, used_precision
from sargan_core.photo.photo import Photo


@pytest.fixture
def capable(monkeypatch):
    """A CPU that computes in every format that PyTorch asks for."""
    names = ("avx512_bf16", "amx_bf16", "amx_tile", "bf16", "avx512_f")
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: dict.fromkeys(names, True), raising=False)


@pytest.mark.usefixtures("capable")
def test_a_photo_has_the_same_bytes_on_a_processor_that_computes_bfloat16():
    photo = Photo(skimage.data.astronaut()[:256, 96:352], name="astronaut.png")
    edited = {}
    for precision in ("auto", "fp32"):
        editor = Editor(EditSettings(device="cpu", precision=precision, check=False))
        edited[precision] = editor.edit(photo, parse_mix("happy")).photo.pixels
        assert editor.model.precision == "fp32"
    assert np.array_equal(edited["auto"], edited["fp32"])


@pytest.mark.parametrize("native", [False, True])
def test_a_gpu_takes_bfloat16_only_if_it_computes_in_it(monkeypatch, native):
    monkeypatch.setattr(
        torch.cuda, "is_bf16_supported", lambda including_emulation=True: native or including_emulation
    )
    assert choose_precision("auto", "cuda") == ("bf16" if native else "fp32")
    assert choose_precision("fp32", "cuda") == "fp32"
    assert choose_precision("auto", "mps") == "fp32"


def test_only_a_generator_has_another_format_than_float32():
    assert load_model("pixel", precision="bf16").precision == "fp32"
    assert used_precision("pixel", None, "cpu", "bf16") == "fp32"
    assert used_precision("sargan", None, "cpu", "bf16") == "bf16"
    with pytest.raises(UsageError, match="fp16"):
        choose_precision("fp16", "cpu")
