"""``sargan train``: plan, run, resume, pack, on a tiny packed set."""

import io
import json
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch
from train_samples import SIZE, arguments, write_pack

from sargan_cli.__main__ import main
from sargan_cli.console import Console
from sargan_cli.train.running import showing_steps
from sargan_core.models.aipgan.network import AipganSettings
from sargan_core.models.aipgan.recipe import paired_recipe
from sargan_core.models.aipgan.run import AipganRun
from sargan_core.models.registry import load_model
from sargan_core.models.sargan.data import CropPairs
from sargan_core.models.sargan.model import mouth_window
from sargan_core.training.loop import LoopSettings


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pack(tmp_path_factory.mktemp("data") / "pack.safetensors")


def test_dry_run_prints_the_plan_and_leaves_nothing(packed: Path, tmp_path: Path, capsys):
    assert main(arguments(packed, tmp_path / "run", "--steps", "20", "--dry-run")) == 0
    plan = capsys.readouterr().err
    assert "2 to train on, 1 held out" in plan
    assert "pictures to train on: 14: angry 2, disgusted 2" in plan
    assert "crops of 64 px" in plan
    assert "steps to make: 20" in plan
    assert not (tmp_path / "run").exists()


class Terminal(io.StringIO):
    """A stderr that is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("quiet", [False, True])
def test_a_terminal_shows_bars_and_quiet_shows_nothing(
    quiet: bool, packed: Path, tmp_path: Path, monkeypatch
):
    monkeypatch.setattr(sys, "stderr", Terminal())
    more = ["--quiet"] if quiet else []
    assert main(arguments(packed, tmp_path / "run", "--steps", "2", *more)) == 0
    said = sys.stderr.getvalue()
    assert ("training: " in said) == (not quiet)
    assert "step 2 of 2" not in said
    assert bool(said) == (not quiet)


def test_elsewhere_some_steps_are_lines(capsys):
    with showing_steps(LoopSettings(4, log_every=2), Console()) as on_step:
        for step in range(1, 5):
            on_step(step, {"pixel": 0.5})
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(",")[0] for line in lines] == ["step 2 of 4", "step 4 of 4"]
    assert lines[0].endswith("pixel 0.5000")


def test_a_bar_of_a_resumed_run_begins_where_that_stopped(monkeypatch):
    monkeypatch.setattr(sys, "stderr", Terminal())
    with showing_steps(LoopSettings(1000), Console()) as on_step:
        on_step(901, {"pixel": 0.5})
        time.sleep(0.15)
        on_step(902, {"pixel": 0.5})
    assert "902/1000" in sys.stderr.getvalue()


def test_run_resume_and_start_from_its_weights(packed: Path, tmp_path: Path, capsys):
    out = tmp_path / "run"
    assert main(arguments(packed, out, "--steps", "2")) == 0
    weights = out / "generator.safetensors"
    assert capsys.readouterr().out.strip() == str(weights)
    split = json.loads((out / "split.json").read_text())
    assert split["test"] == ["p0"]
    assert main(["train", "--out", str(out), "--resume", "--steps", "3", "--device", "cpu"]) == 0
    steps = [json.loads(line)["step"] for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert steps == [2, 3]
    finer = tmp_path / "finer"
    assert main(arguments(packed, finer, "--steps", "1", "--start", str(weights))) == 0
    capsys.readouterr()
    assert main(arguments(packed, tmp_path / "wider", "--width", "8", "--start", str(weights))) == 2
    assert "--start" in capsys.readouterr().err


def test_a_run_is_not_written_over(packed: Path, tmp_path: Path, capsys):
    (tmp_path / "options.json").write_text("{}")
    assert main(arguments(packed, tmp_path)) == 2
    assert "--resume" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("more", "text"),
    [(["--out", "nowhere", "--resume"], "options"), ([], "--data"), (["--data", "nowhere"], "nowhere")],
)
def test_what_is_missing_is_said_in_one_line(more: list[str], text: str, tmp_path: Path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["train", *more]) in (1, 2)
    error = capsys.readouterr().err
    assert text in error
    assert len(error.strip().splitlines()) == 1


def test_a_pack_of_folders_must_be_named_safetensors(packed: Path, tmp_path: Path, capsys):
    assert main(arguments(packed, tmp_path / "run", "--pack", str(tmp_path / "a.zip"))) == 2
    assert "--pack" in capsys.readouterr().err
    assert main(arguments(packed, tmp_path / "run", "--pack", str(tmp_path / "a.safetensors"))) == 0
    assert CropPairs.load(tmp_path / "a.safetensors").held_out == ("p0",)


def test_a_refiner_is_planned_from_a_pack_of_its_own(packed: Path, tmp_path: Path, capsys):
    more = ["--refine", "pixel", "--dry-run"]
    assert main(arguments(packed, tmp_path / "run", *more)) == 1
    assert "pack again" in capsys.readouterr().err
    data, base = CropPairs.load(packed), load_model("pixel")
    own = tmp_path / "own.safetensors"
    replace(data, template=mouth_window(base.template, SIZE).template(base.template)).save(own)
    assert main(arguments(own, tmp_path / "run", "--steps", "9", *more)) == 0
    plan = capsys.readouterr().err
    assert "refines pixel" in plan
    assert "recipe: refine" in plan


@pytest.mark.parametrize("name", ["nobody", "pixel-plain"])
def test_what_cannot_be_refined_is_said(name: str, packed: Path, tmp_path: Path, capsys):
    assert main(arguments(packed, tmp_path / "run", "--refine", name)) in (2, 3)
    error = capsys.readouterr().err
    assert name in error
    assert len(error.strip().splitlines()) == 1


@pytest.mark.skipif(torch.backends.mps.is_available(), reason="the device that is to be missing is there")
def test_a_transfer_goes_on_where_the_call_says(tmp_path: Path, capsys):
    options = AipganRun(
        data=("photos",), training=paired_recipe(AipganSettings()), loop=LoopSettings(), device="cpu"
    )
    (tmp_path / "options.json").write_text(json.dumps(asdict(options)))
    torch.save({"step": 1}, tmp_path / "checkpoint.pt")
    again = ["train", "aipgan", "--resume", "--out", str(tmp_path)]
    assert main([*again, "--device", "mps"]) == 2
    assert "mps" in capsys.readouterr().err
    assert main([*again, "--device", "cpu", "--data", str(tmp_path / "moved")]) != 0
    assert "moved" in capsys.readouterr().err


def test_a_larger_discriminator_and_a_stronger_adversarial_loss_are_kept_for_resuming(
    packed: Path, tmp_path: Path, capsys
):
    run = tmp_path / "run"
    more = ["--steps", "1", "--discriminator-width", "32", "--adversarial", "0.2"]
    assert main(arguments(packed, run, *more)) == 0
    training = json.loads((run / "options.json").read_text())["training"]
    assert training["discriminator"]["width"] == 32
    assert training["adversarial"] == 0.2
    assert main([*arguments(packed, run), "--resume", "--steps", "2", "--dry-run"]) == 0
