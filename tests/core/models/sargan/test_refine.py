"""A refiner's training data and its task, on made faces."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from lightning_fabric import Fabric

from sargan_core.data.crop_table import CropSet
from sargan_core.errors import DataError, UsageError
from sargan_core.expressions import Expression
from sargan_core.faces.warp import positions, sample, spline_field
from sargan_core.models.pixel.model import PixelModel
from sargan_core.models.registry import load_model
from sargan_core.models.sargan.data import CropPairs, Photos
from sargan_core.models.sargan.file import build_generator
from sargan_core.models.sargan.generator import DiscriminatorSettings, GeneratorSettings
from sargan_core.models.sargan.model import RefinedModel, mouth_window
from sargan_core.models.sargan.recipes import SarganTraining, refine_recipe
from sargan_core.models.sargan.refine import (
    RefineTask,
    compared,
    edited_pairs,
    prepare_refinement,
    sheet_pairs,
)
from sargan_core.models.sargan.run import SarganRun, load_base
from sargan_core.training.loop import LoopSettings, train
from sargan_core.training.run_folder import RunFolder
from sargan_core.weights import open_weights

SIZE = 160
TARGETS = (Expression.HAPPY, Expression.SURPRISED)


@pytest.fixture(scope="module")
def base() -> PixelModel:
    model = load_model("pixel")
    assert isinstance(model, PixelModel)
    return model


@pytest.fixture(scope="module")
def crops(base: PixelModel) -> CropSet:
    """Two people whose expressions are exactly the base's motion, and one whose mouth stays shut."""
    rng = np.random.default_rng(0)
    neutral = base.goal(Expression.NEUTRAL)
    images, marks, labels, persons, pairs = [], [], [], [], []
    for person in range(3):
        texture = torch.nn.functional.interpolate(
            torch.rand(1, 3, 40, 40, generator=torch.Generator().manual_seed(person)),
            (256, 256),
            mode="bicubic",
        ).clamp(0, 1)
        own = neutral + rng.normal(0, 1.0, neutral.shape)
        own[60:68] = neutral[60:68]
        first = len(images)
        shown = [(Expression.NEUTRAL, own)]
        shown += [(one, own if person == 2 else own + base.goal(one) - neutral) for one in TARGETS]
        for expression, points in shown:
            field = torch.from_numpy(spline_field(points, own - points, 256, 0.5))[None]
            images.append((sample(texture, positions(field))[0] * 255).round().byte().numpy())
            marks.append(points)
            labels.append(expression.label)
            persons.append(f"p{person}")
        pairs += [(first, first + 1), (first, first + 2), (first + 1, first)]
    return CropSet(
        template=replace(base.template, kind="affine", shape=None),
        images=np.stack(images),
        landmarks=np.asarray(marks, np.float32),
        labels=np.asarray(labels),
        own=np.ones(len(images), bool),
        persons=np.asarray(persons),
        sources=np.asarray(["made"] * len(images)),
        pairs=np.asarray(pairs),
    )


@pytest.fixture(scope="module")
def data(crops: CropSet, base: PixelModel) -> CropPairs:
    return replace(edited_pairs(crops, base, mouth_window(base.template, SIZE)), held_out=np.array(["p1"]))


def settings(**changes) -> SarganTraining:
    network = GeneratorSettings(width=4, downs=2, size=SIZE)
    recipe = refine_recipe(network, batch=2, squared_until=2, adversarial_from=3)
    return replace(recipe, discriminator=DiscriminatorSettings(width=4, layers=4, size=SIZE), **changes)


def task(data: CropPairs, base: PixelModel, **changes) -> RefineTask:
    fabric = Fabric(accelerator="cpu", devices=1)
    samples = sheet_pairs(data.test(), 2)
    return RefineTask(settings(**changes), data.training(), samples, fabric, base, "pixel")


def test_truths_whose_mouth_is_shut_where_the_edit_opens_it_are_left_out(data: CropPairs):
    wanted = [(data.persons[int(source)], int(data.labels[target])) for source, target in data.pairs]
    assert ("p0", Expression.SURPRISED.label) in wanted
    assert ("p2", Expression.SURPRISED.label) not in wanted


def test_the_truth_lies_in_the_geometry_of_the_edit(data: CropPairs):
    # The made people move exactly as the base moves them, so edit and truth differ in the base's shading alone;
    # they must agree better in place than moved by two pixels.
    for row, (source, target) in enumerate(data.pairs.tolist()):
        if int(data.labels[source]) != Expression.NEUTRAL.label or row % 2:
            continue
        edit, truth = (data.pictures(index).mean(0)[40:120, 30:130] for index in (source, target))

        def likeness(one: torch.Tensor, other: torch.Tensor) -> float:
            return float(torch.corrcoef(torch.stack([one.flatten(), other.flatten()]))[0, 1])

        here = likeness(edit, truth)
        moved = [likeness(edit, truth.roll(step, dim)) for dim in (0, 1) for step in (-2, 2)]
        assert here > max(moved)


def test_data_without_landmarks_is_refused(crops: CropSet, base: PixelModel):
    blind = replace(crops, landmarks=np.full_like(crops.landmarks, np.nan))
    with pytest.raises(DataError, match="landmarks"):
        edited_pairs(blind, base, mouth_window(base.template, SIZE))


def test_a_pack_for_another_size_is_refused(data: CropPairs, base: PixelModel, tmp_path: Path):
    file = tmp_path / "pack.safetensors"
    data.save(file)
    read, skipped = prepare_refinement(Photos([file]), base, SIZE)
    assert np.array_equal(read.images, data.images)
    assert not skipped
    with pytest.raises(DataError, match="pack again"):
        prepare_refinement(Photos([file]), base, 224)


def test_it_starts_at_the_base_s_picture(data: CropPairs, base: PixelModel):
    made = task(data, base, head=0.01).step(1)
    assert float(made["relative"]) == pytest.approx(1, abs=0.05)


def test_mouth_and_eyes_count_less(base: PixelModel):
    weight = compared(base, mouth_window(base.template, 256))
    assert float(weight.min()) >= 0
    assert float(weight.max()) == 1
    for points, most in (((62, 66), 0.85), ((37, 38, 40, 41), 0.35)):
        x, y = base.goal(Expression.SURPRISED)[list(points)].mean(0).round().astype(int)
        assert float(weight[Expression.SURPRISED.label, 0, y, x]) < most


def test_resume_is_exact_and_the_export_edits(data: CropPairs, base: PixelModel, tmp_path: Path):
    often = {"log_every": 2, "sheet_every": 4, "checkpoint_every": 2}
    whole, halves = RunFolder(tmp_path / "whole"), RunFolder(tmp_path / "halves")
    train(task(data, base), LoopSettings(4, **often), whole)
    train(task(data, base), LoopSettings(2, **often), halves)
    train(task(data, base), LoopSettings(4, resume=True, **often), halves)
    one, other = (folder.read_checkpoint()["task"] for folder in (whole, halves))
    for part in ("generator", "discriminator", "average"):
        assert all(torch.equal(value, other[part][name]) for name, value in one[part].items()), part
    assert (tmp_path / "whole" / "sheet-000004.png").is_file()
    file = tmp_path / "whole" / "generator.safetensors"
    assert isinstance(load_model("", file), RefinedModel)
    record, tensors = open_weights(file)
    assert build_generator(record, tensors).settings == settings().generator
    assert record.template == base.template.to_json()


@pytest.mark.parametrize(("model", "size"), [("pixel-plain", 128), ("pixel", 300)])
def test_what_cannot_be_refined_is_refused(model: str, size: int):
    recipe = settings(generator=GeneratorSettings(width=4, downs=2, size=size))
    with pytest.raises(UsageError, match=r"--refine|--size"):
        load_base(SarganRun(data=(), training=recipe, loop=LoopSettings(), refine=model))
