import json
import os
import signal
import sys
from pathlib import Path

import numpy as np
import pytest
import skimage.data
from PIL import Image

from sargan_core.batch import ray as engine
from sargan_core.batch.local import run_local
from sargan_core.batch.manifest import read_manifest
from sargan_core.batch.plan import BatchSettings, PlanRequest, make_plan
from sargan_core.batch.ray import run_ray
from sargan_core.batch.run import Policy, run_batch
from sargan_core.editor import EditSettings
from sargan_core.errors import UsageError, WeightsError
from sargan_core.expressions import parse_mix


@pytest.fixture(scope="module")
def cluster():
    """A real cluster of this machine with room for two workers."""
    ray = pytest.importorskip("ray")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    for last in (False, False, True):
        try:
            ray.init("local", num_cpus=2, include_dashboard=False, log_to_driver=False)
            break
        except Exception:  # Ray gives itself half a minute to start, which a busy machine may take
            ray.shutdown()
            if last:
                raise
    yield
    ray.shutdown()


@pytest.fixture
def photos(tmp_path):
    """Four portraits, one photo without a face and one that is none, in two folders."""
    folder = tmp_path / "portraits"
    (folder / "more").mkdir(parents=True)
    portrait = skimage.data.astronaut()[:300, 60:380]
    for number, name in enumerate(("a.jpg", "b.png", "more/c #1.jpg", "more/d.jpg")):
        Image.fromarray(np.roll(portrait, 7 * number, axis=1)).save(folder / name)
    Image.fromarray(np.full((90, 90, 3), 77, np.uint8)).save(folder / "no_face.png")
    (folder / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 nothing")
    return folder


def batch(photos, out, run, **settings):
    mixes = [parse_mix("happy"), parse_mix("sad")]
    plan = make_plan(
        PlanRequest((str(photos),), listed=None, root=None, folder=out, mixes=mixes, strengths=[1.0])
    )
    edit = EditSettings(device="cpu", landmarks="detector", **settings)
    asked = BatchSettings(folder=out, staging=out, edit=edit, variants=plan.variants, workers=2)
    return run_batch(plan, asked, run, Policy())


def results(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.suffix in (".jpg", ".png") and path.is_file()
    }


def lines(folder):
    passing = {"seconds", "finished", "output_stamp", "input_stamp"}
    return [
        {name: value for name, value in json.loads(line).items() if name not in passing}
        for line in (folder / "sargan-batch.jsonl").read_text().splitlines()
    ]


def test_two_workers_make_the_bytes_and_the_manifest_of_the_local_engine(cluster, photos, tmp_path):
    here, there = tmp_path / "here", tmp_path / "there"
    batch(photos, here, run_local)
    summary = batch(photos, there, run_ray)
    assert summary.outcomes == {"done": 8, "no_face": 2, "unreadable": 2}
    assert len(results(there)) == 8
    assert results(there) == results(here)
    assert lines(there) == lines(here)
    # Again: nothing is left to do; after a result is lost, that one is.
    assert not batch(photos, there, run_ray).outcomes
    (there / "happy" / "a.jpg").unlink()
    assert batch(photos, there, run_ray).outcomes == {"done": 1}
    assert results(there) == results(here)


def test_a_photo_that_ends_its_worker_costs_no_other(cluster, photos, tmp_path, monkeypatch):
    class Dying(engine.Worker):
        def _edit(self, tasks):
            if any("more/d.jpg" in task.source.path for task in tasks):
                os.kill(os.getpid(), signal.SIGKILL)
            return super()._edit(tasks)

    # A class of this function travels whole, so the workers need not find it.
    monkeypatch.setattr(engine, "Worker", Dying)
    summary = batch(photos, tmp_path / "out", run_ray)
    assert summary.outcomes == {"done": 6, "failed": 2, "no_face": 2, "unreadable": 2}
    entries = read_manifest(tmp_path / "out")
    assert "ended twice" in entries["happy/more/d.jpg"].message
    assert entries["sad/more/c #1.jpg"].outcome == "done"


def test_what_keeps_every_photo_from_being_edited_ends_the_run(cluster, photos, tmp_path):
    with pytest.raises(WeightsError, match="no-such-model"):
        batch(photos, tmp_path / "out", run_ray, model="no-such-model")


def test_without_ray_the_message_says_how_to_install_it(photos, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UsageError, match=r"pip install 'sargan\[ray\]'"):
        batch(photos, tmp_path / "out", run_ray)


@pytest.mark.parametrize(
    "error",
    [Exception("The current node timed out\nduring startup."), ConnectionError("refused"), TimeoutError()],
)
@pytest.mark.parametrize(
    ("address", "said"), [(None, "cannot be started"), ("127.0.0.1:1", "check RAY_ADDRESS")]
)
def test_a_cluster_that_does_not_come_up_is_one_line(photos, tmp_path, monkeypatch, error, address, said):
    ray = pytest.importorskip("ray")
    pytest.importorskip("ray.data")
    ended = []

    def init(**settings):
        raise error

    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "init", init)
    monkeypatch.setattr(ray, "shutdown", lambda: ended.append(True))
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    if address:
        monkeypatch.setenv("RAY_ADDRESS", address)
    with pytest.raises(UsageError, match=said) as caught:
        batch(photos, tmp_path / "out", run_ray)
    assert "\n" not in str(caught.value)
    assert ended, "a cluster that came up in part must not stay"


def test_machines_that_do_not_share_the_files_are_told_so(tmp_path):
    with pytest.raises(UsageError, match="file system that all machines share"):
        engine._enter(str(tmp_path / "not here"), Path("staging"))
