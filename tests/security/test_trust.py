"""What files of strangers may do: see SECURITY.md, which these tests hold the code to."""

from __future__ import annotations

import ast
import json
import os
import pickle
import stat
import zipfile
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from sargan_core.errors import WeightsError
from sargan_core.models.landmarks import fan
from sargan_core.models.registry import load_model
from sargan_core.models.sargan.file import import_checkpoint
from sargan_core.photo.files import replacing
from sargan_core.weights import INDEX, find_record, load_tensors, open_weights, read_index, save_weights

ROOT = Path(__file__).parents[2]
SOURCES = sorted([*(ROOT / "sargan_core").rglob("*.py"), *(ROOT / "sargan_cli").rglob("*.py")])
FORBIDDEN_IMPORTS = {"dill", "joblib", "cloudpickle", "marshal", "shelve", "yaml", "torch.jit"}
FORBIDDEN_CALLS = {
    "eval",
    "exec",
    "pickle.load",
    "pickle.loads",
    "os.system",
    "os.popen",
    "tempfile.mktemp",
    "torch.jit.load",
}


def dotted(node: ast.expr) -> str:
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


@cache
def nodes() -> list[tuple[Path, ast.AST]]:
    """Every node of every module."""
    trees = ((path, ast.parse(path.read_text(encoding="utf-8"))) for path in SOURCES)
    return [(path, node) for path, tree in trees for node in ast.walk(tree)]


def calls() -> list[tuple[Path, ast.Call]]:
    return [(path, node) for path, node in nodes() if isinstance(node, ast.Call)]


def test_nothing_can_run_what_a_file_says():
    for path, node in nodes():
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        assert not FORBIDDEN_IMPORTS & set(names), path
    for path, call in calls():
        name = dotted(call.func)
        where = f"{path}:{call.lineno}: {name}"
        # The processes of one cluster talk in pickles, as Ray itself does; no file is read that way.
        if (path.name, name) != ("ray.py", "pickle.loads"):
            assert name not in FORBIDDEN_CALLS, where
        options = {keyword.arg: ast.unparse(keyword.value) for keyword in call.keywords}
        if name == "torch.load":
            assert options.get("weights_only") == "True", where
        if name in ("np.load", "numpy.load"):
            assert options.get("allow_pickle") == "False", where
        if name.startswith("subprocess."):
            assert options.get("shell", "False") == "False", where


def test_downloads_go_over_https_and_only_from_fetch():
    urls = [
        (path, node.value)
        for path, node in nodes()
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and node.value.startswith("https://")
    ]
    downloads = {
        path.name
        for path, call in calls()
        if "download" in dotted(call.func) or "urlopen" in dotted(call.func)
    }
    assert downloads == {"fan.py"}
    assert fan.URL.startswith("https://")
    assert [path.name for path, url in urls if "adrianbulat" in url] in ([], ["fan.py"])


class Bomb:
    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self):
        return os.mkdir, (str(self.target),)


@pytest.mark.parametrize("form", ["pickle", "zip"])
def test_a_pickled_checkpoint_cannot_run_code(tmp_path: Path, form: str):
    made, file = tmp_path / "made-by-the-file", tmp_path / "bomb.ckpt"
    content = pickle.dumps({"generator": Bomb(made)})
    if form == "zip":
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr("archive/data.pkl", content)
            archive.writestr("archive/version", "3\n")
    else:
        file.write_bytes(content)
    for load in (import_checkpoint, lambda path: load_model("", path)):
        with pytest.raises(WeightsError) as refused:
            load(file)
        assert str(file) in str(refused.value)
    assert not made.exists()


def test_a_checkpoint_does_not_inflate(tmp_path: Path):
    file = tmp_path / "bomb.ckpt"
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", bytes(10**7))
    with pytest.raises(WeightsError, match="compressed parts"):
        import_checkpoint(file)


def record(**changes: object) -> dict[str, object]:
    return {
        "name": "a", "file": "a.safetensors", "kind": "pixel", "sha256": "0" * 64, "bytes": 1, "description": "",
        "template": None, **changes,
    }  # fmt: skip


@pytest.mark.parametrize("file", ["../a.safetensors", "/etc/passwd", "..", "", "b/a.safetensors", "."])
def test_an_index_names_only_files_beside_it(tmp_path: Path, file: str):
    (tmp_path / INDEX).write_text(json.dumps([record(file=file)]))
    with pytest.raises(WeightsError, match="another folder"):
        read_index(tmp_path)


def test_weights_that_are_no_numbers_are_refused(tmp_path: Path):
    import torch
    from safetensors.torch import save_file

    template = {
        "size": 16,
        "kind": "affine",
        "left_eye": [0.3, 0.4],
        "right_eye": [0.7, 0.4],
        "mouth": [0.5, 0.8],
    }
    settings = {"form": "plain", "expressions": ["happy"]}
    values = {"name": "nan", "kind": "pixel", "description": "", "template": template, "settings": settings}
    tensors = {name: torch.ones(1, channels, 16, 16) for name, channels in (("weight", 1), ("bias", 3))}
    file = tmp_path / "nan.safetensors"
    save_file(tensors, file, {"sargan": json.dumps(values)})
    assert load_model("", file).name == "nan"
    tensors["bias"][0, 1, 2, 3] = np.nan
    save_file(tensors, file, {"sargan": json.dumps(values)})
    with pytest.raises(WeightsError, match="not finite"):
        load_model("", file)


def test_weights_that_change_while_they_are_used_do_not(tmp_path: Path):
    shipped = load_tensors(find_record("pixel-plain"))
    file = tmp_path / "own.safetensors"
    save_weights(file, shipped, kind="pixel", description="")
    _, tensors = open_weights(file)
    # Cut, it would end a process that has it mapped into its memory.
    with file.open("r+b") as stream:
        stream.write(bytes(file.stat().st_size))
    assert tensors.keys() == shipped.keys()
    for name, tensor in tensors.items():
        assert tensor.abs().sum() > 0
        assert tensor.equal(shipped[name])


def test_fan_weights_of_another_checksum_are_never_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    path = fan.weights_path()
    assert path.is_relative_to(tmp_path)
    path.parent.mkdir(parents=True)
    path.write_bytes(pickle.dumps(Bomb(tmp_path / "made")))
    for use in (fan.fetch, fan.FanLandmarks):
        with pytest.raises(WeightsError, match="expected sha256 11f355bf06"):
            use()
    assert not (tmp_path / "made").exists()


def test_fan_download_says_where_a_file_belongs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))

    def offline(url: str, *_: object, hash_prefix: str, **__: object) -> None:
        assert (url[:8], hash_prefix) == ("https://", fan.SHA256_PREFIX)
        raise OSError("no network")

    monkeypatch.setattr("torch.hub.download_url_to_file", offline)
    with pytest.raises(WeightsError) as refused:
        fan.fetch()
    assert str(fan.weights_path()) in str(refused.value)


def test_a_replacement_is_private_while_it_is_written(tmp_path: Path):
    target = tmp_path / "secret.png"
    target.write_bytes(b"old")
    target.chmod(0o600)
    with replacing(target, overwrite=True) as temporary:
        assert stat.S_IMODE(temporary.stat().st_mode) == 0o600
        assert temporary.parent == tmp_path
        temporary.write_bytes(b"new")
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["secret.png"]


def test_a_planted_link_is_not_written_through(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    victim = tmp_path / "victim"
    victim.write_bytes(b"mine")
    names = iter(["00" * 8, "11" * 8])
    monkeypatch.setattr("secrets.token_hex", lambda _: next(names))
    (tmp_path / f".sargan-{'00' * 8}.png").symlink_to(victim)
    with replacing(tmp_path / "a.png") as temporary:
        temporary.write_bytes(b"result")
    assert victim.read_bytes() == b"mine"
    assert (tmp_path / "a.png").read_bytes() == b"result"


def test_every_html_page_escapes(tmp_path: Path):
    for path in SOURCES:
        text = path.read_text(encoding="utf-8")
        if "jinja2" in text and "Environment(" in text:
            assert "autoescape=True" in text or "select_autoescape" in text, path
    for template in (*(ROOT / "sargan_core").rglob("*.html"), *(ROOT / "sargan_core").rglob("*.j2")):
        assert "|safe" not in template.read_text(encoding="utf-8").replace(" ", ""), template
