import numpy as np
import pytest
import torch

from sargan_core.data.rendered import sculpted_code
from sargan_core.errors import DataError
from sargan_core.faces.landmarks import MIRRORED
from sargan_core.models.units.data import MARGIN, SIDE, CodedFaces, read_unit_photos
from sargan_core.models.units.network import SIZE, UnitEncoder
from sargan_core.models.units.run import told_apart
from sargan_core.models.units.task import (
    UnitsOptions,
    UnitsTask,
    degraded,
    mislaid,
    view,
)
from sargan_core.training.loop import step_random
from sargan_core.units import CODE_NAMES, LARGEST, LOWEST


def faces(count=6):
    random = np.random.default_rng(0)
    angles = np.zeros((count, 3), np.float32)
    angles[0] = np.nan
    return CodedFaces(
        images=random.integers(0, 256, (count, SIDE, SIDE), dtype=np.uint8),
        landmarks=random.uniform(0, SIDE, (count, 68, 2)).astype(np.float32),
        sources=np.array(["units"] * (count - 1) + ["london"]),
        code=np.zeros((count, 54), np.float32),
        trust=np.ones(count, np.float32),
        angles=angles,
    )


def test_answers_are_bounded_and_do_not_need_landmarks():
    encoder = UnitEncoder(8).eval()
    torch.nn.init.constant_(encoder.head.bias, 100.0)
    code, _ = encoder(torch.rand(2, 1, SIZE, SIZE), torch.full((2, 68, 2), torch.nan))
    assert torch.isfinite(code).all()
    assert (code <= torch.tensor(LARGEST) * 1.2).all()
    assert (code >= torch.tensor(LOWEST) * 1.2).all()


def test_a_view_shows_landmarks_where_its_pixels_are():
    spot = torch.tensor([60.0, 82.0])
    crops = torch.zeros(8, 1, SIDE, SIDE)
    crops[:, :, 82, 60] = 1.0
    mirror = torch.arange(8) % 2 == 0
    points = spot.expand(8, 68, 2).clone()
    seen, moved = view(crops, points, mirror, step_random(0, 1))
    brightest = seen.flatten(1).argmax(1)
    found = torch.stack([brightest % SIZE, brightest // SIZE], 1).float()
    assert (moved[:, 0] - found).abs().max() < 1.0
    # The names of the landmarks swap sides as the picture does.
    points = torch.arange(68.0).view(1, 68, 1).expand(2, 68, 2)
    moved = view(crops[:2], points, torch.tensor([True, False]), step_random(0, 1))[1]
    assert moved[0, :, 1].argsort().tolist() == torch.tensor(MIRRORED).argsort().tolist()
    assert moved[1, :, 1].argsort().tolist() == list(range(68))


def test_what_is_drawn_depends_on_the_generator_alone():
    crops, points = torch.rand(3, 1, SIZE, SIZE), torch.rand(3, 68, 2) * SIZE
    for change, values in ((degraded, crops), (mislaid, points)):
        once, again = (change(values, step_random(0, 4)) for _ in range(2))
        assert torch.equal(torch.nan_to_num(once), torch.nan_to_num(again))
        assert not torch.equal(torch.nan_to_num(once), values)


def test_a_run_goes_on_as_if_it_had_not_stopped(tmp_path):
    options = UnitsOptions(steps=4, batch=3, width=8)
    one, other = (UnitsTask(faces(), torch.eye(54), options, lambda encoder, path: None) for _ in range(2))
    for step in (1, 2):
        one.step(step)
    torch.save(one.state(), tmp_path / "state.pt")
    other.load_state(torch.load(tmp_path / "state.pt", weights_only=True))
    losses = [task.step(3)["code"] for task in (one, other)]
    assert torch.isfinite(losses[0])
    assert torch.allclose(*losses)
    assert one.sheet().shape == (3, 2 * SIZE, 8 * SIZE)


def test_records_of_sculpted_units_become_codes():
    code = sculpted_code(
        "eye-left-slit=0.2;mouth-open=0.1;cheek/r-cheek-trans-up=0.3;mouth-depression=1.5;unknown=3"
    )
    named = {name: weight for name, weight in zip(CODE_NAMES, code, strict=True) if weight}
    assert named == {
        "squint_L": 0.2, "jaw_open": 0.1, "cheek_raise_R": 0.3, "corner_down_L": 1.5, "corner_down_R": 1.5
    }  # fmt: skip
    assert not np.any(sculpted_code(""))


def test_without_people_who_pose_by_name_the_data_are_refused_at_once(tmp_path):
    (tmp_path / "units.npz").touch()
    with pytest.raises(DataError, match="no rendered people who pose"):
        read_unit_photos([tmp_path])


def test_there_is_room_to_move_in_the_crops():
    assert SIDE == SIZE + 2 * MARGIN


def test_who_it_is_can_be_told_from_codes_that_hold_it_and_from_no_others():
    random = np.random.default_rng(0)
    persons = np.array(["anna", "ben", "carl", "dora"]).repeat(25)
    expressions = random.normal(size=(100, 54))
    assert abs(told_apart(expressions, persons) - 0.5) < 0.03
    own = random.normal(size=(4, 54)).repeat(25, axis=0)
    assert told_apart(expressions + 2 * own, persons) > 0.9


def test_a_run_starts_from_the_weights_that_it_is_given():
    options = UnitsOptions(steps=2, batch=4, width=8, precision="bf16")
    given = UnitEncoder(8).state_dict()
    task = UnitsTask(faces(), torch.eye(54), options, lambda encoder, path: None, given)
    assert all(torch.equal(task.encoder.state_dict()[name], tensor) for name, tensor in given.items())
    losses = task.step(0)
    assert torch.isfinite(losses["code"])
    assert not torch.equal(task.encoder.state_dict()["head.weight"], given["head.weight"])
