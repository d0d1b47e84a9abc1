"""A second run does what is missing or changed, and nothing else."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from pathlib import Path

import pytest
from batch_samples import request_for, save, settings_for
from PIL import Image

from sargan_core.batch.local import run_local
from sargan_core.batch.manifest import manifest_path, read_manifest
from sargan_core.batch.plan import Shard
from sargan_core.batch.run import Policy, run_batch
from sargan_core.errors import DataError, PhotoError

pytestmark = pytest.mark.usefixtures("editor")
LONG_AGO = 1_600_000_000


@pytest.fixture
def photos(folder):
    """The folder of photos, one of them without a face and one broken, all changed long ago."""
    Image.new("RGB", (16, 16)).save("in/8.png")
    Path("in/9.png").write_bytes(b"broken")
    for path in Path("in").iterdir():
        os.utime(path, (LONG_AGO, LONG_AGO))
    return folder


def run(*arguments, policy=None, shard=None, engine=run_local, precision="auto", **options):
    """Run a batch of ``in`` to ``out``; return which results were made."""
    plan = request_for(*(arguments or ("in",)), shard=shard, **options)
    settings = settings_for(plan)
    settings = replace(settings, edit=replace(settings.edit, precision=precision))
    made = []
    summary = run_batch(
        plan,
        settings,
        engine,
        policy or Policy(),
        shard,
        lambda entry, _: made.append(entry.output),
    )
    assert len(made) + sum(summary.skipped.values()) == summary.total
    return sorted(name.removesuffix(".png") for name in made)


def everything():
    return {path.name: path.read_bytes() for path in Path("out").rglob("*.png")}


ALL = [str(number) for number in range(10)]


def test_nothing_is_done_twice(photos):
    assert run() == ALL
    before = everything(), manifest_path(Path("out")).read_bytes()
    assert run() == []
    assert (everything(), manifest_path(Path("out")).read_bytes()) == before


def test_a_new_and_a_changed_photo_and_a_lost_result_are_done(photos):
    run()
    save(Path("in/new.png"), 77)
    save(Path("in/3.png"), 78)
    Path("out/5.png").unlink()
    assert run() == ["3", "5", "new"]
    assert run() == []


def test_a_photo_that_was_only_touched_is_not_done_again(photos):
    run()
    before = everything()
    for path in Path("in").iterdir():
        path.touch()
    assert run() == []
    assert everything() == before


def test_the_same_size_and_time_deceive_unless_checksums_are_asked_for(photos):
    Path("in/3.png").write_bytes(Path("in/3.png").read_bytes() + b"1")
    os.utime("in/3.png", (LONG_AGO, LONG_AGO))
    run()
    Path("in/3.png").write_bytes(Path("in/3.png").read_bytes()[:-1] + b"2")
    os.utime("in/3.png", (LONG_AGO, LONG_AGO))
    assert run() == []
    assert run(policy=Policy(checksums=True)) == ["3"]


def test_a_photo_that_changed_just_before_it_was_read_is_compared_by_content(photos):
    """The clock of a file system is coarse: a later change may have the same time."""
    # An hour ahead, so that it is not long ago on a slow machine either.
    soon = time.time() + 3600
    Path("in/3.png").write_bytes(Path("in/3.png").read_bytes() + b"1")
    os.utime("in/3.png", (soon, soon))
    run()
    Path("in/3.png").write_bytes(Path("in/3.png").read_bytes()[:-1] + b"2")
    os.utime("in/3.png", (soon, soon))
    assert run() == ["3"]


def test_a_copied_output_folder_counts_though_its_times_are_new(photos):
    run()
    for path in Path("out").glob("*.png"):
        path.touch()
    assert run() == []


def test_a_result_that_somebody_changed_is_not_replaced_unless_asked(photos):
    run()
    Path("out/3.png").write_bytes(b"retouched by hand")
    assert run() == ["3"]
    assert Path("out/3.png").read_bytes() == b"retouched by hand"
    assert read_manifest(Path("out"))["3.png"].outcome == "failed"
    assert run(policy=Policy(overwrite=True, retry=frozenset({"failed"}))) == ["3"]
    assert Path("out/3.png").read_bytes() != b"retouched by hand"


def test_the_number_format_that_is_used_counts_and_not_the_word_for_it(photos):
    assert run() == ALL
    assert run(precision="fp32") == []
    assert {entry.precision for entry in read_manifest(manifest_path(Path("out"))).values()} == {"fp32"}
    assert run(precision="bf16") == ALL
    assert {entry.precision for entry in read_manifest(manifest_path(Path("out"))).values()} == {"bf16"}
    assert run() == ALL


def test_other_options_do_everything_again(photos):
    run()
    first = everything()
    assert run(mixes=("sad",)) == ALL
    assert run(mixes=("sad",)) == []
    assert run() == ALL
    assert everything() == first


@pytest.mark.parametrize(("retry", "expected"), [("no_face", ["8"]), ("unreadable", ["9"]), ("failed", [])])
def test_retry_does_again_what_it_names(photos, retry, expected):
    run()
    assert run(policy=Policy(retry=frozenset({retry}))) == expected


def test_a_photo_that_could_not_be_opened_is_tried_again(photos):
    Path("in/4.png").rename("elsewhere.png")
    Path("in/4.png").symlink_to(photos / "elsewhere.png.gone")
    run()
    Path("in/4.png").unlink()
    Path("elsewhere.png").rename("in/4.png")
    assert run() == ["4"]


def test_results_whose_line_was_written_but_that_were_not_put_in_place_are_made(photos, monkeypatch):
    """As if the process had been killed between the two."""

    def killed(*arguments, **options):
        raise KeyboardInterrupt

    run()
    first = everything()
    save(Path("in/0.png"), 99)
    with monkeypatch.context() as patch:
        patch.setattr("sargan_core.batch.steps.place", killed)
        with pytest.raises(KeyboardInterrupt):
            run()
    assert everything() == first
    # The old result is there still; it is ours, so it is replaced.
    assert run() == ["0"]
    assert everything()["0.png"] != first["0.png"]
    assert not list(Path("out/.sargan-batch").rglob("*.png"))


def test_in_place_never_edits_a_photo_twice(photos):
    before = {path.name: path.read_bytes() for path in Path("in").iterdir()}
    assert run(folder=None, in_place=True) == ALL
    after = {path.name: path.read_bytes() for path in Path("in").glob("*.png")}
    assert all((after[name] != before[name]) == (name not in ("8.png", "9.png")) for name in before)
    assert run(folder=None, in_place=True) == []
    for path in Path("in").glob("*.png"):
        path.touch()
    assert run(folder=None, in_place=True) == []
    assert {path.name: path.read_bytes() for path in Path("in").glob("*.png")} == after


def test_in_place_takes_up_where_it_was_killed(photos, monkeypatch):
    from sargan_core.batch import steps

    real, calls = steps.place, []

    def sometimes(*arguments, **options):
        calls.append(1)
        if len(calls) == 4:
            raise KeyboardInterrupt
        real(*arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(steps, "place", sometimes)
        with pytest.raises(KeyboardInterrupt):
            run(folder=None, in_place=True)
    assert run(folder=None, in_place=True) == ALL[3:]
    inside = {path.name: path.read_bytes() for path in Path("in").glob("[0-7].png")}
    for number in range(8):
        save(Path(f"in/{number}.png"), number)
    run()
    assert everything() == inside


def test_shards_share_a_folder_and_a_whole_run_finds_everything_done(photos):
    parts = [run(shard=Shard(number, 3)) for number in (1, 2, 3)]
    assert sorted(name for part in parts for name in part) == ALL
    assert run() == []
    assert run(shard=Shard(1, 2)) == []
    save(Path("in/3.png"), 80)
    assert run(shard=next(Shard(n, 3) for n in (1, 2, 3) if "3" in parts[n - 1])) == ["3"]
    assert run() == []


def test_a_damaged_manifest_is_said_and_nothing_is_touched(photos):
    run()
    path = manifest_path(Path("out"))
    first, *others = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(first + b"{}\n" + b"".join(others))
    before = everything()
    with pytest.raises(DataError, match="line 2"):
        run()
    assert everything() == before


def test_a_full_disk_ends_the_run_and_the_next_one_goes_on(photos, monkeypatch):
    real, calls = os.write, []

    def full(descriptor, data):
        calls.append(1)
        if len(calls) > 4:
            raise OSError(28, "No space left on device")
        return real(descriptor, data)

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        with pytest.raises(PhotoError, match="disk is full"):
            run()
    assert sorted(everything()) == [f"{number}.png" for number in range(4)]
    assert run() == ALL[4:]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes")
def test_a_pipe_in_the_place_of_an_empty_photo_is_not_waited_for(photos):
    Path("in/9.png").write_bytes(b"")
    assert run() == ALL
    Path("in/9.png").unlink()
    os.mkfifo("in/9.png")
    assert run("in/9.png") == ["9"]
    assert "pipe" in read_manifest(Path("out"))["9.png"].message


def test_a_clock_that_is_set_back_neither_repeats_nor_leaves_out(photos, monkeypatch):
    times = iter(f"20{year}-01-01T00:00:00.000000+00:00" for year in range(99, 0, -1))
    monkeypatch.setattr("sargan_core.batch.steps.now", lambda: next(times))
    assert run() == ALL
    assert run(strengths=[0.5]) == ALL
    assert {entry.strength for entry in read_manifest(Path("out")).values()} == {0.5}
    assert run(strengths=[0.5]) == []
    for path in Path("in").iterdir():
        os.utime(path, (0, 0))
    for path in Path("out").glob("*.png"):
        os.utime(path, (2 * LONG_AGO, 2 * LONG_AGO))
    assert run(strengths=[0.5]) == []
