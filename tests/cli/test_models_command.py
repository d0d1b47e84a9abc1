"""``sargan models``: what is listed is what the index says; damage gives exit code 3."""

from __future__ import annotations

import json

import pytest

from sargan_core.weights import WeightsRecord, file_checksum, write_index


@pytest.fixture
def home(tmp_path, monkeypatch):
    folder = tmp_path / "weights"
    folder.mkdir()
    (folder / "small.safetensors").write_bytes(b"numbers")
    record = WeightsRecord(
        name="small",
        file="small.safetensors",
        kind="pixel",
        sha256=file_checksum(folder / "small.safetensors"),
        bytes=7,
        description="a [small] model",
        template=None,
        data="nobody",
    )
    write_index(folder, (record,))
    monkeypatch.setenv("SARGAN_HOME", str(tmp_path))
    return folder


def test_list_has_name_size_and_licences(call, home):
    code, out, err = call("models", "list")
    assert (code, err) == (0, "")
    for text in ("small", "pixel", "MIT", "CC BY 4.0", "a [small] model"):
        assert text in out.decode()


def test_list_as_json_is_the_record(call, home):
    value = json.loads(call("models", "list", "--json")[1])
    assert (value["name"], value["bytes"], value["weights_licence"]) == ("small", 7, "CC BY 4.0")


def test_show_names_everything(call, home):
    out = call("models", "show", "small")[1].decode()
    for text in ("nobody", "sha256", str(home / "small.safetensors")):
        assert text in out
    assert json.loads(call("models", "show", "small", "--json")[1])["data"] == "nobody"


def test_an_unknown_name_lists_the_known_ones(call, home):
    code, out, err = call("models", "show", "big")
    assert (code, out) == (3, b"")
    assert "small" in err


def test_path_is_a_path_and_nothing_else(call, home):
    assert call("models", "path")[1].decode() == f"{home}\n"
    assert call("models", "path", "small")[1].decode() == f"{home / 'small.safetensors'}\n"


def test_verify_passes_whole_files_and_names_damaged_ones(call, home):
    assert call("models", "verify")[0] == 0
    (home / "small.safetensors").write_bytes(b"numbes!")
    code, out, err = call("models", "verify", "small")
    assert (code, out) == (3, b"")
    assert "damaged" in err
    (home / "small.safetensors").unlink()
    assert call("models", "verify")[0] == 3


def test_without_an_index_the_code_is_3(call, tmp_path, monkeypatch):
    import sargan_core

    monkeypatch.setenv("SARGAN_HOME", str(tmp_path))
    monkeypatch.setattr(sargan_core, "__file__", str(tmp_path / "sargan_core" / "__init__.py"))
    code, _, err = call("models", "list")
    assert code == 3
    assert err.count("\n") == 1


def test_import_turns_an_official_checkpoint_into_weights(call, tmp_path):
    import torch

    from sargan_core.models.sargan.generator import Generator, preset
    from sargan_core.weights import open_weights

    generator = Generator(preset("usgan"))
    checkpoint = tmp_path / "generator.ckpt"
    torch.save({f"layer.{name}": value for name, value in generator.state_dict().items()}, checkpoint)
    code, out, err = call("models", "import", str(checkpoint))
    target = tmp_path / "generator.safetensors"
    assert (code, out.decode(), err) == (0, f"{target}\n", "")
    record, tensors = open_weights(target)
    assert record.settings["arch"] == "usgan"
    assert "not recorded" in record.weights_licence
    assert len(tensors) == len(generator.state_dict())
    assert call("models", "import", str(checkpoint))[0] == 1


def test_import_of_something_else_gives_3_and_writes_nothing(call, tmp_path):
    (tmp_path / "evil.ckpt").write_bytes(b"cos\nsystem\n(S'true'\ntR.")
    code, out, err = call("models", "import", str(tmp_path / "evil.ckpt"))
    assert (code, out) == (3, b"")
    assert err.count("\n") == 1
    assert not (tmp_path / "evil.safetensors").exists()


def test_import_writes_safetensors_only(call, tmp_path):
    assert call("models", "import", str(tmp_path / "x.ckpt"), "-o", str(tmp_path / "x.pth"))[0] == 2


def test_a_home_without_an_index_is_said_and_one_without_weights_is_not_asked(call, tmp_path, monkeypatch):
    monkeypatch.setenv("SARGAN_HOME", str(tmp_path))
    assert call("models", "list")[0] == 0
    (tmp_path / "weights").mkdir()
    code, out, err = call("models", "list")
    assert (code, out) == (3, b"")
    assert f"{tmp_path / 'weights'}: holds no index.json" in err
    assert len(err.splitlines()) == 1
