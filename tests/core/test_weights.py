import json

import pytest
import torch

from sargan_core.errors import WeightsError
from sargan_core.models.registry import load_model
from sargan_core.weights import (
    add_to_index,
    find_record,
    load_tensors,
    open_weights,
    read_index,
    save_weights,
    verify,
    weights_folder,
)


@pytest.fixture
def folder(tmp_path):
    path, tensors = tmp_path / "mine.safetensors", {"a": torch.arange(6.0)}
    record = save_weights(path, tensors, kind="pixel", description="for a test", settings={"form": "plain"})
    add_to_index(tmp_path, record)
    return tmp_path


def test_what_is_saved_is_read_back(folder):
    found, tensors = open_weights(folder / "mine.safetensors")
    assert found.name == "mine"
    assert found.settings == {"form": "plain"}
    assert torch.equal(tensors["a"], torch.arange(6.0))
    assert found == find_record("mine", folder)
    assert torch.equal(load_tensors(found, folder)["a"], tensors["a"])


def test_every_shipped_file_is_whole_and_has_a_licence_and_a_card():
    for shipped in read_index():
        verify(shipped)
        assert shipped.weights_licence
        assert shipped.data
        assert (weights_folder() / f"{shipped.name}.md").is_file()


@pytest.mark.parametrize("place", [0, 40, -1])
def test_a_changed_byte_is_noticed(folder, place):
    path = folder / "mine.safetensors"
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)
    with pytest.raises(WeightsError, match="damaged"):
        verify(find_record("mine", folder), folder)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
def test_a_truncated_file_of_the_users_own_is_refused(folder, share):
    path = folder / "mine.safetensors"
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(WeightsError, match=r"mine\.safetensors"):
        open_weights(path)


def test_missing_files_are_named(folder):
    with pytest.raises(WeightsError, match="no such weights file"):
        open_weights(folder / "other.safetensors")
    (folder / "mine.safetensors").unlink()
    with pytest.raises(WeightsError, match="missing"):
        verify(find_record("mine", folder), folder)


def test_unknown_names_list_the_known_ones(folder):
    with pytest.raises(WeightsError, match="known: mine"):
        find_record("yours", folder)


def test_a_foreign_safetensors_file_is_refused(tmp_path):
    from safetensors.torch import save_file

    save_file({"a": torch.zeros(1)}, tmp_path / "foreign.safetensors")
    with pytest.raises(WeightsError, match="no sargan record"):
        open_weights(tmp_path / "foreign.safetensors")


def test_networks_that_are_no_expression_models_are_refused():
    with pytest.raises(WeightsError, match="not an expression model"):
        load_model("landmarks")


def test_a_broken_index_is_one_clear_error(tmp_path):
    (tmp_path / "index.json").write_text(json.dumps([{"name": "half"}]))
    with pytest.raises(WeightsError, match="index"):
        read_index(tmp_path)
