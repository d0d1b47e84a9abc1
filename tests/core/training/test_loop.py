"""The loop: exact resume, stopping, what is left in the run folder."""

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from tiny_sargan import tiny_task, tiny_training

from sargan_core.errors import TrainingError
from sargan_core.models.sargan.file import build_generator
from sargan_core.training.loop import LoopSettings, measure, step_random, train
from sargan_core.training.run_folder import RunFolder
from sargan_core.weights import open_weights

OFTEN = {"log_every": 2, "sheet_every": 5, "checkpoint_every": 5}


def flat(value: Any, name: str = "") -> dict[str, Any]:
    if isinstance(value, dict):
        return {key: item for k, v in value.items() for key, item in flat(v, f"{name}/{k}").items()}
    if isinstance(value, list | tuple):
        return {key: item for k, v in enumerate(value) for key, item in flat(v, f"{name}/{k}").items()}
    return {name: value}


@pytest.mark.parametrize("recipe", ["paired", "paper"])
def test_two_times_five_steps_are_ten_steps_bit_for_bit(tmp_path: Path, recipe: str):
    whole, halves = RunFolder(tmp_path / "whole"), RunFolder(tmp_path / "halves")
    train(tiny_task(tiny_training(recipe)), LoopSettings(10, **OFTEN), whole)
    train(tiny_task(tiny_training(recipe)), LoopSettings(5, **OFTEN), halves)
    torch.rand(3)  # a resumed process has another global random state
    train(tiny_task(tiny_training(recipe)), LoopSettings(10, resume=True, **OFTEN), halves)
    one, other = (flat(folder.read_checkpoint()["task"]) for folder in (whole, halves))
    assert one.keys() == other.keys()
    for name, value in one.items():
        same = torch.equal(value, other[name]) if isinstance(value, torch.Tensor) else value == other[name]
        assert same, name


def test_a_step_moves_generator_discriminator_and_average(tmp_path: Path):
    task = tiny_task()
    before = {k: v.clone() for k, v in flat(task.state()).items() if isinstance(v, torch.Tensor)}
    train(task, LoopSettings(4, **OFTEN), RunFolder(tmp_path))
    after = flat(task.state())
    for part in ("generator", "discriminator", "average"):
        names = [name for name in before if name.startswith(f"/{part}/")]
        assert names
        assert any(not torch.equal(before[name], after[name]) for name in names), part


def test_a_checkpoint_holds_everything_that_changes(tmp_path: Path):
    folder = RunFolder(tmp_path)
    train(tiny_task(), LoopSettings(3, **OFTEN), folder)
    state = folder.read_checkpoint()
    assert state["step"] == 3
    assert set(state) == {"step", "task", "random"}
    assert set(state["task"]) == {
        *("generator", "discriminator", "average"),
        *("generator_optimiser", "discriminator_optimiser"),
    }


def test_the_run_folder_tells_the_story(tmp_path: Path):
    train(tiny_task(), LoopSettings(7, **OFTEN), RunFolder(tmp_path))
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [2, 4, 6, 7]
    assert {"pixel", "gradient"} < lines[0].keys()
    assert "d_hinge" in lines[-1]
    sheet = Image.open(tmp_path / "sheet-000005.png")
    assert sheet.size == (8 * 32, 2 * 32)  # input and seven labels; a neutral and a smiling crop
    assert list(tmp_path.glob("events.out.tfevents.*"))
    record, tensors = open_weights(tmp_path / "generator.safetensors")
    assert build_generator(record, tensors).settings == tiny_training().generator


def test_resuming_writes_no_line_of_metrics_twice(tmp_path: Path):
    train(tiny_task(), LoopSettings(5, **OFTEN), RunFolder(tmp_path))
    with (tmp_path / "metrics.jsonl").open("a") as stream:
        stream.write('{"step": 8, "pixel": 1.0}\n')  # written after the last checkpoint, then interrupted
    train(tiny_task(), LoopSettings(10, resume=True, **OFTEN), RunFolder(tmp_path))
    steps = [json.loads(line)["step"] for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert steps == [2, 4, 5, 6, 8, 10]


def test_a_loss_that_is_not_finite_stops_with_its_step(tmp_path: Path):
    task, folder = tiny_task(), RunFolder(tmp_path)
    train(task, LoopSettings(2, **OFTEN), folder)
    saved = (tmp_path / "checkpoint.pt").read_bytes()
    good = task.step

    def step(number: int) -> dict[str, torch.Tensor]:
        return {"pixel": torch.tensor(torch.nan)} if number == 4 else good(number)

    task.step = step
    with pytest.raises(TrainingError, match="step 4: pixel is nan"):
        train(task, LoopSettings(9, resume=True, **OFTEN), folder)
    assert (tmp_path / "checkpoint.pt").read_bytes() == saved


@pytest.mark.parametrize("kind", [signal.SIGINT, signal.SIGTERM])
def test_an_interruption_writes_the_checkpoint_of_the_finished_step(tmp_path: Path, kind: signal.Signals):
    folder = RunFolder(tmp_path)

    def on_step(step: int, losses: dict[str, float]) -> None:
        if step == 3:
            os.kill(os.getpid(), kind)

    before = signal.getsignal(kind)
    with pytest.raises(KeyboardInterrupt):
        train(tiny_task(), LoopSettings(50, **OFTEN), folder, on_step)
    assert folder.read_checkpoint()["step"] == 3
    assert signal.getsignal(kind) is before


def test_nothing_to_resume_is_said(tmp_path: Path):
    with pytest.raises(TrainingError, match="no checkpoint"):
        train(tiny_task(), LoopSettings(5, resume=True), RunFolder(tmp_path))
    (tmp_path / "checkpoint.pt").write_bytes(b"half a file")
    with pytest.raises(TrainingError, match="cannot be read"):
        train(tiny_task(), LoopSettings(5, resume=True), RunFolder(tmp_path))


def test_steps_and_processes_draw_differently():
    draws = {
        float(torch.rand((), generator=step_random(seed, step, rank)))
        for seed in (0, 1)
        for step in (1, 2)
        for rank in (0, 1)
    }
    assert len(draws) == 8


def test_measured_time_is_that_of_late_steps():
    task, steps = tiny_task(), []
    good = task.step
    task.step = lambda number: steps.append(number) or good(number)
    assert measure(task, 100, most=600) > 0
    assert steps == [96, 96, 97, 98, 99, 100]
