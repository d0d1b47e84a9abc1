"""How fast a batch is: beside what its own stages allow, and beside a plain loop.

    .venv/bin/python benchmarks/batch_speed.py [--data FOLDER] [--photos 64]

1. The local engine on photos of 1350 x 1350, model sargan (the published network, random weights: the same work).
2. What its stages allow, cores / sum of the stage times: as measured in the run; of one thread while as many processes
   as there are cores do the same; of one thread while the other cores have nothing to do.
3. A plain loop: Pillow, OpenCV and the published network run eagerly, one photo at a time, all cores for each step.
   The steps are the engine's: one search on a copy of 640 px, two passes of the landmark network on the crop and its
   mirror image, crop, network, a soft mask, the change enlarged and added, JPEG.

Without --data the photos are those in shared/data/frames, or else scikit-image's astronaut. For memory see
batch_memory.py.
"""

from __future__ import annotations

import argparse
import multiprocessing
import tempfile
import time
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from unittest import mock

import cv2
import numpy as np
import torch
from batch_photos import make_photos
from PIL import Image
from sargan_inference import Reference, random_generator

from sargan_core.batch.local import available_cores, run_local
from sargan_core.batch.manifest import read_manifest
from sargan_core.batch.plan import BatchSettings, PlanRequest, make_plan
from sargan_core.batch.run import Policy, run_batch
from sargan_core.editor import Editor, EditSettings
from sargan_core.expressions import parse_mix
from sargan_core.faces.align import similarity
from sargan_core.faces.face import Face
from sargan_core.faces.find import _detect
from sargan_core.models.landmarks.finder import BuiltinLandmarks
from sargan_core.models.sargan.data import sargan_template
from sargan_core.models.sargan.file import save_generator
from sargan_core.models.sargan.generator import Generator, one_hot
from sargan_core.photo.photo import encode_photo, read_photo

SIDE = 1350
TARGET = parse_mix("surprised")


def engine_run(photos: Path, out: Path, settings: EditSettings) -> tuple[float, dict[str, float]]:
    """Return wall seconds of the local engine (with loading the model), and the mean seconds of its stages."""
    plan = make_plan(
        PlanRequest((str(photos),), listed=None, root=None, folder=out, mixes=[TARGET], strengths=[1.0])
    )
    batch = BatchSettings(folder=out, staging=out, edit=settings, variants=plan.variants, fork=True)
    started = time.perf_counter()
    summary = run_batch(plan, batch, run_local, Policy())
    wall = time.perf_counter() - started
    if not summary.complete:
        raise SystemExit(f"not every photo was edited: {dict(summary.outcomes)}")
    stages = {name: seconds / summary.total for name, seconds in summary.stages.items()}
    return wall, stages


def alone(photos: Sequence[Path], editor: Editor, folder: Path) -> dict[str, float]:
    """Return the mean seconds of every stage, one thread, one photo at a time."""
    threads = torch.get_num_threads(), cv2.getNumThreads()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    sums: dict[str, float] = {}
    for path in photos:
        times = [time.perf_counter()]
        photo = read_photo(path)
        times.append(time.perf_counter())
        result = editor.edit(photo, TARGET)
        times.append(time.perf_counter())
        data = encode_photo(result.photo)
        times.append(time.perf_counter())
        (folder / f"alone-{path.name}").write_bytes(data)
        times.append(time.perf_counter())
        read, _, encode, write = np.diff(times)
        for name, seconds in {"decode": read, **result.seconds, "encode": encode, "write": write}.items():
            sums[name] = sums.get(name, 0.0) + seconds / len(photos)
    torch.set_num_threads(threads[0])
    cv2.setNumThreads(threads[1])
    return sums


def alone_side_by_side(
    photos: Sequence[Path], settings: EditSettings, folder: Path, cores: int
) -> dict[str, float]:
    """Return the mean seconds of every stage, one thread a process, as many processes as there are cores."""
    context = multiprocessing.get_context("spawn")
    together = context.Barrier(cores)
    with context.Pool(cores, _meet, (together,)) as pool:
        places = [folder / f"process-{number}" for number in range(cores)]
        work = [(photos, settings, place) for place in places]
        results = pool.starmap(_alone_together, work, chunksize=1)
    return mean_stages(results)


def _meet(together: object) -> None:
    globals()["TOGETHER"] = together


def _alone_together(photos: Sequence[Path], settings: EditSettings, folder: Path) -> dict[str, float]:
    folder.mkdir(exist_ok=True)
    editor = Editor(settings)
    alone(photos[:1], editor, folder)
    globals()["TOGETHER"].wait()
    return alone(photos, editor, folder)


def mean_stages(measured: Sequence[dict[str, float]]) -> dict[str, float]:
    return {stage: float(np.mean([times[stage] for times in measured])) for stage in measured[0]}


class PlainLoop:
    """The same steps as one would write them down first, with the published network run eagerly."""

    def __init__(self, generator: Generator) -> None:
        self.network = Reference(generator).train()
        self.landmarks = BuiltinLandmarks()
        self.label = one_hot([3], 7)
        ticks = np.abs((np.arange(128) + 0.5) / 64 - 1)
        reach = (ticks[:, None] ** 5 + ticks[None] ** 5) ** 0.2
        self.mask = np.clip((1 - reach) / 0.14, 0, 1).astype(np.float32)

    def edit(self, source: Path, target: Path) -> None:
        image = Image.open(source)
        pixels = np.asarray(image.convert("RGB"))
        scale = 640 / max(pixels.shape)
        copy = cv2.resize(pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        face = max(_detect(copy), key=lambda found: found.score)
        face = Face(face.box, face.score, (face.points / scale).astype(np.float32))
        with mock.patch("sargan_core.models.landmarks.finder.one_thread", nullcontext):  # all cores here too
            points = self.landmarks.landmarks(pixels, face).astype(np.float64)
        eyes_and_mouth = np.stack([points[36:42].mean(0), points[42:48].mean(0), points[48:68].mean(0)])
        matrix = similarity(sargan_template(128).pixels(), eyes_and_mouth)
        inverted = cv2.WARP_INVERSE_MAP | cv2.INTER_AREA
        crop = cv2.warpAffine(pixels, matrix, (128, 128), flags=inverted, borderMode=cv2.BORDER_REPLICATE)
        tensor = torch.from_numpy(crop).permute(2, 0, 1)[None].float() / 127.5 - 1
        with torch.no_grad():
            change = (self.network(tensor, self.label) - tensor)[0].permute(1, 2, 0).numpy() / 2
        size = pixels.shape[1], pixels.shape[0]
        large = cv2.warpAffine(change, matrix, size, flags=cv2.INTER_CUBIC)
        mask = cv2.warpAffine(self.mask, matrix, size, flags=cv2.INTER_LINEAR)[..., None]
        edited = np.clip(pixels.astype(np.float32) / 255 + mask * large, 0, 1)
        Image.fromarray((edited * 255).round().astype(np.uint8)).save(target, quality=92)


def listed(stages: dict[str, float]) -> str:
    total = sum(stages.values())
    parts = sorted(stages.items(), key=lambda item: -item[1])
    return ", ".join(f"{name} {seconds * 1e3:.0f} ms ({seconds / total:.0%})" for name, seconds in parts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, help="a folder of portraits")
    parser.add_argument("--photos", type=int, default=64)
    options = parser.parse_args()
    cores = available_cores()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        weights = folder / "sargan.safetensors"
        generator = random_generator(128)
        save_generator(generator, sargan_template(128), weights, name="sargan")
        photos = folder / "photos"
        make_photos(photos, options.photos, SIDE, options.data)
        files = sorted(photos.iterdir())
        results = folder / "results"
        results.mkdir()
        settings = EditSettings("sargan", weights=weights, device="cpu", check=False)
        loop, editor = PlainLoop(generator), Editor(settings)
        part = files[: max(6, len(files) // 4)]
        loop.edit(files[0], results / "warm.jpg")
        alone(files[:1], editor, results)

        plain: list[float] = []
        single: list[dict[str, float]] = []
        busy: list[dict[str, float]] = []
        for before in (True, False):  # before and after the batch, so that all meet the same disturbances
            started = time.perf_counter()
            for path in part:
                loop.edit(path, results / path.name)
            plain.append((time.perf_counter() - started) / len(part))
            single.append(alone(part, editor, results))
            busy.append(alone_side_by_side(part, settings, results, cores))
            if before:
                wall, stages = engine_run(photos, folder / "edited", settings)

        rate = len(files) / wall
        print(f"{len(files)} photos of {SIDE} x {SIDE}, model sargan, {cores} cores, without checks")
        print(f"local engine          {rate:6.2f} photos/s (loading the model included: {wall:.1f} s)")
        for title, times in (
            ("stages in the run", stages),
            ("stages, cores busy", mean_stages(busy)),
            ("stages, cores idle", mean_stages(single)),
        ):
            bound = cores / sum(times.values())
            print(f"{title:21} {bound:6.2f} photos/s allowed; the engine reaches {rate / bound:.0%}")
            print(f"{'':22}{listed(times)}")
        loop_rate = 1 / float(np.mean(plain))
        print(
            f"plain loop            {loop_rate:6.2f} photos/s; the engine is {rate / loop_rate:.2f} times as fast"
        )
        entries = read_manifest(folder / "edited").values()
        assert all(entry.outcome == "done" for entry in entries)


if __name__ == "__main__":
    main()
