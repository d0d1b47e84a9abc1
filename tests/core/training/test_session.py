"""A session: one order of work for every model, told by a run that only takes notes."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch

from sargan_core.data.samples import Skipped
from sargan_core.data.split import SPLIT, Split
from sargan_core.errors import TrainingError, UsageError
from sargan_core.models.judge.run import JudgeRun
from sargan_core.models.judge.task import JudgeTraining
from sargan_core.training.loop import LoopSettings
from sargan_core.training.plan import Survey, TrainingPlan
from sargan_core.training.session import Prepared, Session, TrainingRun, plan_training, read_run


class Counter:
    """A task whose only weight is the number of its steps."""

    def __init__(self) -> None:
        self.steps = 0

    def step(self, step: int) -> dict[str, torch.Tensor]:
        self.steps = step
        return {"loss": torch.tensor(1.0)}

    def state(self) -> dict[str, Any]:
        return {"steps": self.steps}

    def load_state(self, state: dict[str, Any]) -> None:
        self.steps = state["steps"]

    def sheet(self) -> torch.Tensor:
        return torch.zeros(3, 4, 4, dtype=torch.uint8)

    def export(self, path: Path) -> None:
        path.write_text(str(self.steps))


@dataclass(frozen=True, kw_only=True)
class Noted(TrainingRun):
    """A run that notes what is done with it."""

    notes: list = field(default_factory=list, compare=False)

    def plan(self, out: Path, fabric: Any) -> TrainingPlan:
        self.notes.append("plan")
        return TrainingPlan(Survey(1, 0, {}, {}), 64, "counter", "none", steps=8, step_seconds=2.0)

    def prepare(self, out: Path, fabric: Any, cache: Any, progress: Any) -> Prepared:
        self.notes.append("prepare")
        task = Counter() if self.loop is not None else None

        def finish(folder: Path, progress: Any) -> None:
            self.notes.append(f"finish {(folder / SPLIT).is_file()} {(folder / self.weights).is_file()}")

        return Prepared((Skipped(Path("x"), "broken"),), Split(("a",), ("b",), 0.2), task, finish)


def test_results_follow_the_split_and_the_weights(tmp_path: Path):
    run = Noted(data=("photos",), loop=LoopSettings(3))
    session = Session(run, tmp_path / "run")
    assert [item.reason for item in session.skipped] == ["broken"]
    assert not (tmp_path / "run").exists()
    steps: list[int] = []
    assert session.run(lambda step, losses: steps.append(step)).read_text() == "3"
    assert steps == [1, 2, 3]
    assert run.notes == ["prepare", "finish True True"]


def test_a_run_without_a_loop_leaves_no_options_and_no_checkpoint(tmp_path: Path):
    run = Noted(data=("photos",))
    Session(run, tmp_path).run()
    assert run.notes == ["prepare", "finish True False"]
    assert [path.name for path in tmp_path.iterdir()] == [SPLIT]


def test_options_come_back_and_a_plan_counts_only_what_is_left(tmp_path: Path):
    Session(Noted(data=("photos",), loop=LoopSettings(3)), tmp_path).run()
    again = read_run(Noted, tmp_path)
    assert again == Noted(data=("photos",), loop=LoopSettings(3))
    before = sorted(tmp_path.iterdir())
    plan = plan_training(Noted(data=("photos",), loop=LoopSettings(8, resume=True)), tmp_path)
    assert (plan.steps, plan.seconds) == (5, 10.0)
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize(
    ("run", "error"),
    [
        (Noted(data=(), test_fraction=2.0), UsageError),
        (Noted(data=(), loop=LoopSettings(3, resume=True)), TrainingError),
    ],
)
@pytest.mark.parametrize("begin", [Session, plan_training])
def test_what_cannot_work_is_found_before_anything_is_prepared(
    run: Noted, error: Any, begin: Any, tmp_path: Path
):
    with pytest.raises(error):
        begin(run, tmp_path)
    assert run.notes == []


def test_a_judges_options_come_back(tmp_path: Path):
    run = JudgeRun(data=("photos",), loop=LoopSettings(7), training=JudgeTraining(steps=7, seed=3))
    (tmp_path / "options.json").write_text(json.dumps(asdict(run), default=str))
    assert read_run(JudgeRun, tmp_path) == run
