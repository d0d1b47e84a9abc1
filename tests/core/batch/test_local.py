"""The local engine: order, isolation of bad photos, bounds, and the bytes of a single edit."""

from __future__ import annotations

import hashlib
import os
import shutil
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import skimage.data
from batch_samples import StandIn, request_for, save, settings_for
from PIL import Image

from sargan_core.batch.local import run_local
from sargan_core.batch.manifest import read_manifest
from sargan_core.batch.plan import PlanRequest, make_plan
from sargan_core.batch.run import Policy, run_batch
from sargan_core.errors import PhotoError, UsageError
from sargan_core.expressions import Like, parse_mix


def run(plan, on_result=None, policy=None, **options):
    return run_batch(plan, settings_for(plan, **options), run_local, policy or Policy(), on_result=on_result)


def lines(folder="out"):
    return list(read_manifest(Path(folder)).values())


def test_a_photo_is_opened_and_its_format_told_once(folder, editor, monkeypatch):
    from sargan_core.batch import steps
    from sargan_core.photo import photo

    calls = []

    def counted(name, real):
        return lambda *arguments: calls.append(name) or real(*arguments)

    for module in (steps, photo):
        for name in ("open_photo", "kind_of_bytes"):
            monkeypatch.setattr(module, name, counted(name, getattr(module, name)))
    assert run(request_for("in", mixes=("happy", "sad"))).complete
    assert sorted(calls) == ["kind_of_bytes"] * 10 + ["open_photo"] * 10


def test_results_come_in_the_order_of_the_plan(folder, editor):
    class Uneven(StandIn):
        def infer(self, prepared, target):
            time.sleep(0.05 if prepared[0].photo.name.endswith("0.png") else 0.0)
            return super().infer(prepared, target)

    editor(Uneven())
    told = []
    summary = run(request_for("in"), lambda entry, _: told.append(entry.output), workers=4)
    assert told == [f"{number}.png" for number in range(10)] == [entry.output for entry in lines()]
    assert (summary.outcomes["done"], summary.total, summary.complete) == (10, 10, True)
    assert {"read", "decode", "model", "encode", "write"} <= set(summary.stages)


def test_one_bad_photo_costs_no_other(folder, editor):
    Image.new("RGB", (16, 16)).save("in/3.png")
    Image.new("RGB", (16, 16), "white").save("in/4.png")
    Path("in/5.png").write_bytes(b"broken")
    Path("in/6.png").unlink()
    Path("in/6.png").symlink_to("nowhere")
    stand_in = editor(StandIn("cuda"))
    run(request_for("in"), workers=2, batch_size=8)
    outcomes = {entry.output[0]: entry.outcome for entry in lines()}
    bad = {"3": "no_face", "4": "failed", "5": "unreadable", "6": "unreadable"}
    assert outcomes == {**dict.fromkeys("0123456789", "done"), **bad}
    assert all(entry.input.removeprefix("../") in entry.message for entry in lines() if entry.message)
    assert sorted(path.name for path in Path("out").glob("*.png")) == [
        f"{number}.png" for number in (0, 1, 2, 7, 8, 9)
    ]
    assert stand_in.batches.count(1) >= 1


def test_on_a_gpu_faces_of_several_photos_are_a_batch_and_halve_when_memory_runs_out(folder, editor):
    for number in range(10, 60):
        save(Path("in") / f"{number}.png", number)
    stand_in = editor(StandIn("cuda", most=3, pause=0.02))
    assert run(request_for("in"), workers=4, batch_size=16).complete
    assert max(stand_in.batches) > 3
    tail = stand_in.batches[len(stand_in.batches) // 2 :]
    assert max(tail) <= 3
    assert max(stand_in.batches) <= 16


def test_on_a_cpu_every_photo_goes_alone(folder, editor):
    stand_in = editor(StandIn())
    run(request_for("in"), workers=3, batch_size=16)
    assert stand_in.batches == [1] * 10


def test_photos_under_way_are_bounded_however_many_there_are(folder, editor):
    for number in range(10, 200):
        os.link("in/0.png", f"in/{number}.png")
    stand_in = editor(StandIn(pause=0.001))
    behind = []

    def slow(entry, summary):
        time.sleep(0.002)
        behind.append(sum(summary.outcomes.values()))

    run(request_for("in"), slow, workers=2)
    assert len(behind) == 200
    assert stand_in.waiting[1] <= 4 * 2 + 2


def test_a_photo_larger_than_the_memory_goes_alone(folder, editor, monkeypatch):
    monkeypatch.setattr("sargan_core.batch.local.BYTES_A_WORKER", 16 * 16 * 16)
    save(Path("in/0.png"), 0, size=300)
    stand_in = editor(StandIn(pause=0.01))
    assert run(request_for("in"), workers=2).complete
    assert stand_in.waiting[1] <= 2


def test_several_expressions_share_the_work_on_a_photo(folder, editor):
    stand_in = editor(StandIn())
    prepared = []
    stand_in.prepare, original = (
        (lambda photo: prepared.append(photo.name) or original(photo)),
        stand_in.prepare,
    )
    plan = request_for("in", mixes=("happy", "sad"), strengths=[0.5, 1.0])
    assert run(plan).complete
    assert len(prepared) == 10
    expected = [f"{mix}/{n}-{s}.png" for n in range(10) for mix in ("happy", "sad") for s in ("050", "100")]
    assert [entry.output for entry in lines()] == expected
    assert {(entry.expression, entry.strength) for entry in lines()} == {
        (mix, strength) for mix in ("happy", "sad") for strength in (0.5, 1.0)
    }


def test_a_reference_is_read_once_and_its_strength_is_the_series(folder, editor):
    stand_in, asked = editor(StandIn()), []
    stand_in.reference = lambda photo, face: asked.append((photo.name, face)) or parse_mix("sad")
    like = Like(Path("in/0.png"), 2, checksum(Path("in/0.png")))
    plan = make_plan(PlanRequest(["in"], None, None, Path("out"), [like], [0.5, 1.0]))
    assert run(plan).complete
    assert asked == [("in/0.png", 2)]
    assert {(entry.expression, entry.strength) for entry in lines()} == {
        ("like 0.png", 0.5),
        ("like 0.png", 1.0),
    }
    assert len(lines()) == 20


def test_a_reference_may_have_no_more_pixels_than_a_photo(folder, editor):
    like = Like(Path("in/0.png"), sha256=checksum(Path("in/0.png")))
    plan = make_plan(PlanRequest(["in"], None, None, Path("out"), [like], [1.0]))
    with pytest.raises(PhotoError, match=r"in/0\.png: .*--max-pixels"):
        run(plan, max_pixels=10)


def test_a_reference_that_changed_since_the_plan_is_not_used(folder, editor):
    like = Like(Path("in/0.png"), sha256=checksum(Path("in/0.png")))
    plan = make_plan(PlanRequest(["in"], None, None, Path("out"), [like], [1.0]))
    shutil.copy("in/1.png", "in/0.png")
    with pytest.raises(PhotoError, match=r"in/0\.png: was changed while the batch ran"):
        run(plan)
    assert not any(entry.outcome == "done" for entry in lines())


def checksum(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_files_that_no_batch_made_stay_unless_overwriting(folder, editor):
    Path("out").mkdir()
    Path("out/3.png").write_bytes(b"precious")
    run(request_for("in"))
    assert Path("out/3.png").read_bytes() == b"precious"
    (entry,) = (entry for entry in lines() if entry.outcome != "done")
    assert entry.outcome == "failed"
    assert "--overwrite" in entry.message
    assert run(request_for("in"), policy=Policy(overwrite=True)).complete
    assert Path("out/3.png").read_bytes() != b"precious"


def test_a_result_that_is_a_link_to_its_photo_is_refused(folder, editor):
    Path("out").mkdir()
    Path("out/3.png").symlink_to(folder / "in" / "3.png")
    before = Path("in/3.png").read_bytes()
    run(request_for("in"), policy=Policy(overwrite=True))
    assert Path("in/3.png").read_bytes() == before
    assert "the photo itself" in next(entry.message for entry in lines() if entry.message)


def test_an_error_of_the_listener_ends_the_run_and_leaves_nothing_half_done(folder, editor):
    def fail(entry, summary):
        if entry.output == "4.png":
            raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        run(request_for("in"), fail, workers=3)
    assert threading.active_count() == 1
    assert [entry.output for entry in lines()] == [f"{number}.png" for number in range(5)]
    assert len(list(Path("out").rglob("*.png"))) == 5
    assert run(request_for("in")).outcomes["done"] == 5


@pytest.mark.parametrize(("policy", "errors"), [(Policy(on_error="stop"), 1), (Policy(max_errors=2), 2)])
def test_a_run_stops_at_as_many_errors_as_were_allowed(folder, editor, policy, errors):
    for number in (1, 3, 5):
        Path(f"in/{number}.png").write_bytes(b"broken")
    summary = run(request_for("in"), policy=policy)
    assert summary.errors == errors
    assert summary.stopped
    assert not summary.complete
    assert len(lines()) == 2 * errors


def test_a_model_without_a_network_is_not_compiled(folder, editor):
    with pytest.raises(UsageError, match="--compile"):
        run(request_for("in"), compile=True)


def test_an_unwritable_result_is_a_failure_of_that_photo(folder, editor):
    Path("out").mkdir()
    Path("in/x").mkdir()
    save(Path("in/x/a.png"), 1)
    Path("out/x").write_text("a file where a folder is needed")
    summary = run(request_for("in"))
    assert (summary.outcomes["done"], summary.outcomes["failed"]) == (10, 1)
    assert "folder" in lines()[-1].message


def test_the_bytes_are_those_of_a_single_edit(tmp_path, monkeypatch):
    """One face and two, JPEG and PNG: alone or among others, by any number of threads."""
    import torch

    from sargan_core.editor import Editor, EditSettings
    from sargan_core.photo.photo import encode_photo, read_photo

    monkeypatch.chdir(tmp_path)
    Path("in").mkdir()
    portrait = skimage.data.astronaut()[:256, 96:352]
    Image.fromarray(portrait).save("in/a.jpg", quality=90)
    Image.fromarray(np.concatenate([portrait, portrait[:, ::-1]], 1)).save("in/b.png")
    plan = request_for("in", strengths=[0.7])
    torch.set_num_threads(2)
    assert run(plan, workers=3, provenance=False).complete
    editor = Editor(EditSettings(device="cpu"))
    for name in ("a.jpg", "b.png"):
        alone = editor.edit(read_photo(Path("in") / name), parse_mix("happy:0.7")).photo
        assert (Path("out") / name).read_bytes() == encode_photo(alone)
