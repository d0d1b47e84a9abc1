"""A stand-in for the editor, so that the command line is tested without networks, and the real command."""

from __future__ import annotations

import subprocess
import sys
import types
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from PIL import Image

from sargan_core.errors import NoFaceError, WeightsError


@dataclass(frozen=True)
class FakeSettings:
    model: str = "pixel"
    weights: Path | None = None
    device: str = "auto"
    landmarks: str = "auto"
    faces: str = "all"
    precision: str = "auto"
    check: bool = True
    occlusion: bool = True


@dataclass(frozen=True)
class FakeFaceEdit:
    face: object
    seam: float = 0.001
    change: float = 0.05
    warnings: tuple[str, ...] = ("face is small",)
    check: object = None


@dataclass(frozen=True)
class FakeResult:
    photo: object
    faces: tuple[FakeFaceEdit, ...]
    seconds: dict[str, float] = field(default_factory=lambda: {"model": 0.01})


def fake_face():
    from sargan_core.faces.face import Face

    points = np.array([[12, 12], [28, 12], [20, 20], [14, 28], [26, 28]], np.float32)
    return Face((8.0, 6.0, 24.0, 28.0), 0.9, points)


class FakeEditor:
    """Darkens the middle of a photo by the strength; black photos have no face."""

    calls: ClassVar[list[str]] = []
    model = types.SimpleNamespace(name="pixel", precision="fp32")

    def __init__(self, settings):
        if settings.model == "missing":
            raise WeightsError("no weights called 'missing'; known: pixel")

    def find(self, photo):
        return [fake_face()] if photo.pixels.any() else []

    def edit(self, photo, target, faces=None):
        FakeEditor.calls.append(str(target))
        if faces is None:
            faces = self.find(photo)
        if not faces:
            raise NoFaceError("no face found; try --faces or another photo")
        weight = sum(weight for _, weight in target.parts)
        pixels = photo.pixels.copy()
        middle = pixels[10:30, 10:30]
        middle[...] = (middle * (1 - weight / 4)).astype(pixels.dtype)
        return FakeResult(photo.with_pixels(pixels), tuple(FakeFaceEdit(face) for face in faces))


@pytest.fixture
def fake_editor(monkeypatch):
    module = types.ModuleType("sargan_core.editor")
    module.Editor = FakeEditor
    module.EditSettings = FakeSettings
    FakeEditor.calls = []
    monkeypatch.setitem(sys.modules, "sargan_core.editor", module)
    return FakeEditor


@pytest.fixture
def photos(tmp_path, monkeypatch):
    """A folder with two photos, one without a face, one broken file; it is the working directory."""
    noise = np.random.default_rng(3).integers(90, 255, (40, 48, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "one.png")
    Image.fromarray(255 - noise // 2).save(tmp_path / "two.png")
    Image.fromarray(noise).save(tmp_path / "photo.jpg", quality=90)
    Image.fromarray(np.zeros_like(noise)).save(tmp_path / "empty.png")
    (tmp_path / "broken.png").write_bytes(b"not an image at all")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def call(capfdbinary):
    """Run main() in this process; returns exit code, stdout bytes, stderr text."""
    from sargan_cli.__main__ import main

    def run(*arguments: str) -> tuple[int, bytes, str]:
        capfdbinary.readouterr()
        code = main(list(arguments))
        out, err = capfdbinary.readouterr()
        return code, out, err.decode()

    return run


@pytest.fixture
def sargan():
    """Run the real command in a process of its own."""

    def run(*arguments: str | Path, **options) -> subprocess.CompletedProcess[bytes]:
        command = [sys.executable, "-m", "sargan_cli", *map(str, arguments)]
        return subprocess.run(command, capture_output=True, timeout=120, check=False, **options)

    return run
