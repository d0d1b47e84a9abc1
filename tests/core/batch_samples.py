"""An editor without networks, and what a batch of tiny photos needs."""

from __future__ import annotations

import threading
import time
import types
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from sargan_core.batch.plan import BatchSettings, PlanRequest, make_plan
from sargan_core.errors import NoFaceError
from sargan_core.expressions import parse_mix


@dataclass
class Prepared:
    photo: object
    faces: tuple[object, ...]
    seconds: dict[str, float] = field(default_factory=dict)


class StandIn:
    """Edits by inverting pixels; a black photo has no face, a white one makes the model fail.

    Attributes:
        batches: the sizes of what went through the model.
        most: more photos than this at once are more than the memory holds.
        waiting: photos that are prepared and not finished, now and at most.
    """

    def __init__(self, device="cpu", most=1000, pause=0.0):
        self.device, self.most, self.pause = device, most, pause
        self.model = types.SimpleNamespace(name="stand-in", children=list)
        self.batches = []
        self.waiting = [0, 0]
        self._lock = threading.Lock()

    def prepare(self, photo):
        if not photo.pixels.any():
            raise NoFaceError(f"{photo.name}: no face found")
        with self._lock:
            self.waiting[0] += 1
            self.waiting[1] = max(self.waiting)
        return Prepared(photo, (object(),))

    def infer(self, prepared, target):
        with self._lock:
            self.batches.append(len(prepared))
        time.sleep(self.pause)
        if len(prepared) > self.most:
            raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")
        if any(one.photo.pixels.min() == 255 for one in prepared):
            raise ValueError("a poisonous photo")
        return [str(target)] * len(prepared)

    def finish(self, prepared, target, edited, seconds):
        from sargan_core.editor import EditResult

        assert edited == str(target)
        with self._lock:
            self.waiting[0] -= 1
        return EditResult(prepared.photo.with_pixels(255 - prepared.photo.pixels), (), dict(seconds))


def save(path: Path, number: int, size: int = 16) -> None:
    noise = np.random.default_rng(number).integers(1, 254, (size, size, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path)


def request_for(*arguments, folder="out", mixes=("happy",), **options):
    values = {"listed": None, "root": None, "strengths": [1.0], "folder": folder and Path(folder)}
    return make_plan(PlanRequest(arguments, mixes=[parse_mix(mix) for mix in mixes], **{**values, **options}))


def settings_for(plan, **options):
    from sargan_core.editor import EditSettings

    return BatchSettings(
        plan.folder, plan.folder, EditSettings(device="cpu"), plan.variants, in_place=plan.in_place, **options
    )
