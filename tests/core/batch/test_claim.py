"""Two runs never work in one folder at once; shards of one division may."""

from __future__ import annotations

import subprocess
import sys

import pytest

from sargan_core.batch.plan import Shard
from sargan_core.batch.run import claimed
from sargan_core.errors import PhotoError, UsageError

HOLDER = """
import sys, pathlib
from sargan_core.batch.run import claimed
from sargan_core.batch.plan import parse_shard
with claimed(pathlib.Path(sys.argv[1]), parse_shard(sys.argv[2]) if sys.argv[2] else None) as claim:
    (claim.staging / "half-done.jpg").touch()
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def hold(tmp_path):
    """Start a process that holds the folder, as the run of a shard or of everything."""
    holders = []

    def start(shard):
        command = [sys.executable, "-c", HOLDER, str(tmp_path), shard]
        holder = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        holders.append(holder)
        assert holder.stdout.readline() == b"held\n"
        return holder

    yield start
    for holder in holders:
        holder.kill()
        holder.wait()


@pytest.mark.parametrize(
    ("held", "wanted"),
    [("", None), ("", Shard(1, 2)), ("1/2", None), ("1/2", Shard(1, 2)), ("1/2", Shard(1, 3))],
)
def test_runs_that_could_do_the_same_photo_exclude_each_other(hold, tmp_path, held, wanted):
    hold(held)
    with pytest.raises(UsageError, match="another sargan batch"), claimed(tmp_path, wanted):
        pass


def test_shards_of_one_division_work_side_by_side(hold, tmp_path):
    hold("1/3")
    hold("2/3")
    with claimed(tmp_path, Shard(3, 3)) as claim:
        assert claim.manifest.name == "sargan-batch.3-of-3.jsonl"
        assert len(list((tmp_path / ".sargan-batch").glob("*/half-done.jpg"))) == 2


def test_a_killed_run_does_not_block_and_its_rests_are_removed(hold, tmp_path):
    holder = hold("")
    holder.kill()
    holder.wait()
    assert list((tmp_path / ".sargan-batch").rglob("half-done.jpg"))
    with claimed(tmp_path, None) as claim:
        assert claim.manifest == tmp_path / "sargan-batch.jsonl"
        assert list(claim.staging.iterdir()) == []
    assert not claim.staging.exists()


def test_a_folder_that_cannot_be_made_is_said(tmp_path):
    (tmp_path / "file").touch()
    with (
        pytest.raises(PhotoError, match="choose another output folder"),
        claimed(tmp_path / "file" / "out", None),
    ):
        pass


@pytest.mark.parametrize("name", ["", "whole.lock", "1-of-2.lock"])
def test_a_link_where_a_run_works_is_refused_and_its_target_stays(tmp_path, name):
    out, mine = tmp_path / "out", tmp_path / "mine"
    (mine / "whole").mkdir(parents=True)
    (mine / "whole" / "notes.txt").write_text("Dear diary")
    link = out / ".sargan-batch" / name
    link.parent.mkdir(parents=True)
    link.symlink_to(mine / "whole" / "notes.txt" if name else mine)
    with pytest.raises(UsageError, match="is a link"), claimed(out, None):
        pass
    assert (mine / "whole" / "notes.txt").read_text() == "Dear diary"


def test_a_link_in_place_of_the_staging_folder_is_removed_and_its_target_stays(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").touch()
    (tmp_path / ".sargan-batch").mkdir()
    (tmp_path / ".sargan-batch" / "whole").symlink_to(tmp_path / "mine")
    with claimed(tmp_path, None) as claim:
        assert not claim.staging.is_symlink()
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["notes.txt"]
