"""Fixtures of a batch: a stand-in for the editor, a folder of tiny photos."""

from __future__ import annotations

import pytest
from batch_samples import StandIn, save


@pytest.fixture
def editor(monkeypatch):
    """Let the local engine use a stand-in; returns the function that chooses it."""
    chosen = [StandIn()]

    def use(stand_in):
        chosen[0] = stand_in
        return stand_in

    monkeypatch.setattr("sargan_core.editor.Editor", lambda settings: chosen[0])
    return use


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder ``in`` with ten tiny photos; its parent is the working directory."""
    (tmp_path / "in").mkdir()
    for number in range(10):
        save(tmp_path / "in" / f"{number}.png", number)
    monkeypatch.chdir(tmp_path)
    return tmp_path
