"""Checkpoints of strangers: what is not in the file is not built, what is in it is read as it was written."""

from __future__ import annotations

import io
import pickle
import warnings
import zipfile
from collections import OrderedDict
from pathlib import Path

import pytest
import torch
from limits import bounded

from sargan_core.errors import WeightsError
from sargan_core.models.sargan import checkpoint_pickle
from sargan_core.models.sargan.checkpoint_file import LEGACY, read_state
from sargan_core.models.sargan.file import import_checkpoint
from sargan_core.models.sargan.generator import Generator, preset

KERNEL = (4, 4, 3, 3)


def saved(value: object, **options: object) -> bytes:
    stream = io.BytesIO()
    torch.save(value, stream, **options)
    return stream.getvalue()


def archive(instructions: bytes, parts: dict[str, bytes] | None = None) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as made:
        made.writestr("a/data.pkl", instructions)
        for name, data in (parts or {}).items():
            made.writestr(f"a/{name}", data)
    return stream.getvalue()


def nested(levels: int) -> bytes:
    """Instructions for a tuple of a tuple twice, and so on: 2 ** levels leaves in a few bytes."""
    return b"(tq\0" + b"".join(b"h\0\x86q\0" for _ in range(levels))


def widened() -> bytes:
    return saved({"a.weight": torch.zeros(1).as_strided((2**14, 2**14, 1, 1), (0, 0, 1, 1))})


def repeated() -> bytes:
    """Many tensors over one storage."""
    one = torch.zeros(2**20, dtype=torch.float16)
    return saved({f"{index}": one for index in range(500)})


def overlapping() -> bytes:
    return saved({"a.weight": torch.zeros(2**12).as_strided((64, 64, 32, 32), (1, 1, 1, 1))})


def cut() -> bytes:
    """Storages that the list of the older layout says are longer than the file."""
    whole = saved({"a.weight": torch.zeros(KERNEL)}, _use_new_zipfile_serialization=False)
    return whole[:-20]


def wide() -> bytes:
    weight = torch.zeros(2048, 10, 7, 7, dtype=torch.float16)
    return saved({"w": weight, "n": torch.ones(2048), "b": torch.ones(2048)})


def quantised() -> bytes:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return saved({"a.weight": torch.quantize_per_tensor(torch.rand(KERNEL), 0.1, 0, torch.qint8)})


HOSTILE = {
    "strides of 0": (widened, "larger than its numbers"),
    "a storage used again and again": (repeated, "larger than what it holds"),
    "overlapping strides": (overlapping, "larger than its numbers"),
    "a width that the other layers lack": (wide, "no layer of shape"),
    "quantised": (quantised, "quantised"),
    "marks": (lambda: b"\x80\x02" + b"(" * 10**7, "neither an archive nor"),
    "marks in an archive": (lambda: archive(b"\x80\x02" + b"(" * 10**6 + b"."), "instructions"),
    "a long pickle": (lambda: archive(b"\x80\x02" + b"(" * 10**7 + b"."), "none of a checkpoint"),
    "marks in the older layout": (lambda: LEGACY + b"\x80\x02" + b"(" * 10**6, "instructions"),
    "a nested key": (lambda: archive(b"\x80\x02}" + nested(60) + b"K\x01s."), "keys are neither"),
    "a nested value": (lambda: archive(b"\x80\x02}K\x01" + nested(60) + b"s."), "no tensors"),
    "a nested state dict": (lambda: archive(b"\x80\x02" + nested(60) + b"."), "no state dict"),
    "a long text": (lambda: archive(b"\x80\x02\x8d" + (2**60).to_bytes(8, "little") + b"."), "damaged"),
    "nothing but instructions": (lambda: archive(b"\x80\x02RRR."), "damaged"),
    "no stop": (lambda: archive(b"\x80\x02"), "damaged"),
    "many parts": (lambda: archive(b"\x80\x02}.") + b"PK\x01\x02" * 200_000, "parts"),
    "an empty dictionary": (lambda: saved({}), "no state dict"),
    "a list": (lambda: saved([torch.zeros(KERNEL)]), "no state dict"),
    "numbers": (lambda: saved({"a": 1, "b\x1b[2J" * 100: 2}), "no tensors"),
    "a network": (lambda: saved(torch.nn.Linear(1, 1)), "not a plain PyTorch checkpoint"),
    "cut": (cut, "damaged"),
    "no tensor": (lambda: saved({"a.weight": torch.zeros(0, 10, 7, 7)}), "fits nowhere"),
    "not finite": (lambda: saved({"a.weight": torch.full((8, 10, 7, 7), torch.nan)}), "not finite"),
    "too large for half": (lambda: saved({"a.weight": torch.full((8, 10, 7, 7), 1e6)}), "not finite"),
    "empty": (lambda: b"", "not a plain PyTorch checkpoint"),
    "an archive, cut": (lambda: saved({"a": torch.zeros(KERNEL)})[:-30], "damaged archive"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_checkpoint_is_refused_soon_and_in_little_memory(tmp_path: Path, name: str):
    make, words = HOSTILE[name]
    file = tmp_path / "G.ckpt"
    file.write_bytes(make())
    with bounded(), pytest.raises(WeightsError, match=words) as refused:
        import_checkpoint(file)
    assert str(file) in str(refused.value)
    assert len(str(refused.value)) < len(str(file)) + 1000


@pytest.mark.parametrize("options", [{}, {"_use_new_zipfile_serialization": False}])
@pytest.mark.parametrize(
    "dtype",
    [torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.uint8, torch.bool],
)
def test_what_pytorch_wrote_is_read_as_it_was(tmp_path: Path, options: dict, dtype: torch.dtype):
    numbers = torch.arange(-60.0, 60.0, dtype=torch.float64).reshape(4, 5, 6)
    state = OrderedDict(
        plain=numbers.to(dtype, copy=True),
        turned=numbers.permute(2, 0, 1).to(dtype, copy=True),
        part=numbers.to(dtype, copy=True)[1:, 2:],
        scalar=torch.tensor(7).to(dtype),
        none=torch.zeros(0, 3, dtype=dtype),
    )
    # Two that share a storage, as slices of one tensor do.
    state["first"], state["last"] = state["plain"][:2], state["plain"][2:]
    del state["plain"]
    if dtype.is_floating_point:
        state["parameter"] = torch.nn.Parameter(numbers.to(dtype, copy=True))
    file = tmp_path / "G.ckpt"
    file.write_bytes(
        saved({"step": 3, "optimizer": {"lr": 1e-3, "betas": (0.5, 0.9)}, "G": state}, **options)
    )
    found = read_state(file)
    assert list(found) == list(state)
    for name, tensor in state.items():
        assert found[name].dtype == dtype
        assert torch.equal(found[name], tensor.detach())


def test_a_real_generator_takes_a_small_part_of_the_instructions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    file = tmp_path / "G.ckpt"
    file.write_bytes(saved(Generator(preset("stargan", width=4)).state_dict()))
    monkeypatch.setattr(checkpoint_pickle, "MOST_INSTRUCTIONS", checkpoint_pickle.MOST_INSTRUCTIONS // 100)
    assert import_checkpoint(file).settings.arch == "stargan"


def test_what_a_pickle_would_call_is_a_plain_value():
    class Bomb:
        def __reduce__(self):
            return divmod, (7, 2)

    made = checkpoint_pickle.Pickles(pickle.dumps({"a": Bomb()}, 2)).next()["a"]
    assert isinstance(made, checkpoint_pickle.Call)
    assert (made.name, made.arguments) in [("__builtin__.divmod", (7, 2)), ("builtins.divmod", (7, 2))]
