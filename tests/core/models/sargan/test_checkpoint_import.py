"""Official checkpoints: what is taken, what is dropped, what is refused."""

from pathlib import Path

import pytest
import torch

from sargan_core.errors import WeightsError
from sargan_core.models.sargan.file import import_checkpoint
from sargan_core.models.sargan.generator import Generator, preset

SMALL = {"width": 8}


def official_state(generator: Generator, unused_unit: bool = True) -> dict[str, torch.Tensor]:
    """The generator's tensors under other names, in the table's order, with what ours does not have."""
    state: dict[str, torch.Tensor] = {}
    for number, (key, tensor) in enumerate(generator.state_dict().items()):
        state[f"main.{number}.{'weight' if tensor.ndim == 4 else key.rsplit('.', 1)[1]}"] = tensor
        if key == "stem_norm.bias":
            for name in ("running_mean", "running_var"):
                state[f"main.1.{name}"] = torch.rand_like(tensor)
            state["main.1.num_batches_tracked"] = torch.tensor(7)
        if key == "blocks.0.feature.4.bias" and unused_unit:
            state |= unused(generator.settings.width)
    return state


def unused(width: int) -> dict[str, torch.Tensor]:
    state: dict[str, torch.Tensor] = {}
    for index, inputs in enumerate((3, 3, width, width, width, width, width)):
        state[f"att2.{index}.weight"] = torch.rand(width, inputs, 3, 3)
        state[f"att2.{index}.norm.weight"] = torch.rand(width)
        state[f"att2.{index}.norm.bias"] = torch.rand(width)
    state["att2.out.weight"], state["att2.out.bias"] = torch.rand(1, width, 3, 3), torch.rand(1)
    return state


def random_generator(arch: str) -> Generator:
    torch.manual_seed(3)
    generator = Generator(preset(arch, **SMALL))
    with torch.no_grad():
        for parameter in generator.parameters():
            parameter.copy_(torch.randn_like(parameter))
    return generator


@pytest.mark.parametrize("arch", ["sargan", "usgan", "stargan"])
def test_every_tensor_arrives_in_its_place(tmp_path: Path, arch: str):
    generator, file = random_generator(arch), tmp_path / "87000-G.ckpt"
    torch.save(official_state(generator, unused_unit=arch == "sargan"), file)
    imported = import_checkpoint(file)
    assert imported.settings == generator.settings
    for key, tensor in generator.state_dict().items():
        assert torch.equal(imported.state_dict()[key], tensor), key


def test_a_state_dict_inside_a_checkpoint_is_found(tmp_path: Path):
    generator, file = random_generator("usgan"), tmp_path / "G.ckpt"
    torch.save({"step": 5, "state_dict": official_state(generator, False)}, file)
    assert torch.equal(import_checkpoint(file).head.weight, generator.head.weight)


def test_a_left_over_layer_is_refused_by_name(tmp_path: Path):
    state, file = official_state(random_generator("sargan")), tmp_path / "G.ckpt"
    state["extra.weight"] = torch.rand(5, 5, 3, 3)
    torch.save(state, file)
    with pytest.raises(WeightsError, match=r"extra\.weight"):
        import_checkpoint(file)


def test_a_missing_layer_is_refused(tmp_path: Path):
    state, file = official_state(random_generator("sargan")), tmp_path / "G.ckpt"
    del state[list(state)[-1]]
    torch.save(state, file)
    with pytest.raises(WeightsError, match=r"head\.weight"):
        import_checkpoint(file)


def test_another_architecture_is_refused(tmp_path: Path):
    file = tmp_path / "G.ckpt"
    torch.save(official_state(random_generator("sargan")), file)
    with pytest.raises(WeightsError, match="does not have"):
        import_checkpoint(file, "usgan")


class Planted:
    """Would run code when unpickled."""

    def __reduce__(self):
        return (Path.touch, (Path("ran"),))


def test_code_in_a_checkpoint_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    torch.save({"weight": Planted()}, tmp_path / "G.ckpt")
    with pytest.raises(WeightsError, match="not a plain PyTorch checkpoint"):
        import_checkpoint(tmp_path / "G.ckpt")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("content", [b"", b"nonsense"])
def test_other_files_are_refused(tmp_path: Path, content: bytes):
    (tmp_path / "G.ckpt").write_bytes(content)
    with pytest.raises(WeightsError, match=r"G\.ckpt"):
        import_checkpoint(tmp_path / "G.ckpt")
    with pytest.raises(WeightsError, match=r"none\.ckpt"):
        import_checkpoint(tmp_path / "none.ckpt")
