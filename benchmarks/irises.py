"""How round irises stay in edits, with and without ``faces/irises.py``.

    .venv/bin/python benchmarks/irises.py [--units UNITS] [--photos FOLDER] [--model pixel] [--count 60]

UNITS are rendered faces whose irises are known (``units.npz`` with ``iris`` and ``iris_visible``); in the photos of
FOLDER they are found. Where the field of an edit takes the visible part of an iris is followed at a quarter of a
photo's pixel, and an ellipse is fitted to where its rim comes to lie. Printed for each expression: median and 95th
percentile of how far radius and aspect (height over width) are from those before the edit, in percent.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import torch

from sargan_core.editor import Editor, EditSettings
from sargan_core.errors import NoFaceError
from sargan_core.expressions import LABELS, Expression, parse_mix
from sargan_core.faces import irises
from sargan_core.faces.align import Alignment
from sargan_core.faces.eyes import EYES
from sargan_core.faces.warp import sample
from sargan_core.models.pixel import model as pixel
from sargan_core.photo.photo import read_photo

FINE = 0.25
# Rings that count, as fractions of the radius, and yaw and pitch up to which a rendered face is frontal, in degrees.
RINGS = (0.7, 1.0)
FRONTAL = 15.0


def rendered(folder: Path, count: int) -> Iterator[tuple[Path, np.ndarray]]:
    """Yield frontal neutral faces with both irises (2, 3) as x, y, radius."""
    table = np.load(folder / "units.npz")
    good = table["iris_visible"].all(1) & (np.abs(table["pose"][:, :2]).max(1) < FRONTAL)
    good &= (table["kind"] == "neutral") & ~table["id_glasses"].astype(bool)[table["identity"]]
    for row in np.flatnonzero(good)[:count]:
        # Their pixels have their centres at .5.
        yield folder / "images" / str(table["names"][row]), table["iris"][row] - [0.5, 0.5, 0.0]


def ellipse(
    alignment: Alignment, flow: torch.Tensor, disc: np.ndarray, lids: np.ndarray
) -> tuple[float, float]:
    """Return radius and aspect of an iris after an edit, as multiples of those before it."""
    x, y, radius = disc
    ticks = np.arange(-1.6 * radius, 1.6 * radius, FINE)
    place = torch.from_numpy(np.stack(np.meshgrid(x + ticks, y + ticks))[None]).float()
    crop = alignment.to_crop(place)
    source = alignment.to_photo(crop + sample(flow, crop))[0].numpy()
    place = place[0].numpy()
    ring = np.hypot(source[0] - x, source[1] - y) / radius
    outline = lids.astype(np.float32).reshape(-1, 1, 2)
    seen = np.array(
        [cv2.pointPolygonTest(outline, (float(a), float(b)), False) >= 0 for a, b in source.reshape(2, -1).T]
    ).reshape(ring.shape)
    chosen = seen & (ring > RINGS[0]) & (ring < RINGS[1])
    middle = seen & (ring < 0.15)
    if chosen.sum() < 50 or not middle.any():
        return float("nan"), float("nan")
    centre = place[:, middle].mean(1)
    rim = (place[:, chosen] - centre[:, None]) / ring[chosen]
    across, up = np.linalg.lstsq((rim.T / radius) ** 2, np.ones(chosen.sum()), rcond=None)[0]
    return float((across * up) ** -0.25), float((across / up) ** 0.5)


def measure(editor: Editor, faces: list[tuple[Path, np.ndarray | None]]) -> dict[str, np.ndarray]:
    """Return the (N, 2) figures of ``ellipse`` of each expression."""
    figures: dict[str, list[tuple[float, float]]] = {}
    for path, known in faces:
        try:
            prepared = editor.prepare(read_photo(path))
        except NoFaceError:
            continue
        alignment, landmarks = prepared.alignments[0], prepared.faces[0].landmarks
        own = prepared.crops.landmarks[0].double().numpy()
        if landmarks is None or not np.isfinite(own).all():
            continue
        for expression in LABELS:
            if expression is Expression.NEUTRAL:
                continue
            flow = editor.infer([prepared], parse_mix(expression.value))[0].flow
            for side, eye in enumerate(EYES):
                disc = (
                    known[side] if known is not None else _found(alignment, prepared.crops.image[0], own, eye)
                )
                figures.setdefault(expression.value, []).append(
                    ellipse(alignment, flow, disc, landmarks[list(eye)])
                )
    return {name: np.array(rows) for name, rows in figures.items()}


def _found(
    alignment: Alignment, image: torch.Tensor, landmarks: np.ndarray, eye: tuple[int, ...]
) -> np.ndarray:
    iris = irises.find_iris(image, landmarks, eye)
    points = [[iris.x, iris.x - iris.radius, iris.x + iris.radius], [iris.y] * 3]
    centre, left, right = alignment.to_photo(torch.tensor(points)[None, :, :, None].float())[
        0, :, :, 0
    ].T.numpy()
    return np.array([*centre, np.linalg.norm(right - left) / 2])


def found_circles(faces: list[tuple[Path, np.ndarray | None]], editor: Editor) -> np.ndarray:
    """Return (N, 2): how far found middles and radii are from the known ones, in percent of the radius."""
    rows = []
    for path, known in faces:
        try:
            prepared = editor.prepare(read_photo(path))
        except NoFaceError:
            continue
        own = prepared.crops.landmarks[0].double().numpy()
        for side, eye in enumerate(EYES if known is not None and np.isfinite(own).all() else ()):
            disc = _found(prepared.alignments[0], prepared.crops.image[0], own, eye)
            off = np.hypot(*(disc - known[side])[:2]), abs(disc[2] - known[side][2])
            rows.append(100 * np.array(off) / known[side][2])
    return np.array(rows).reshape(-1, 2)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--units", type=Path)
    parser.add_argument("--photos", type=Path)
    parser.add_argument("--model", default="pixel")
    parser.add_argument("--count", type=int, default=60)
    options = parser.parse_args()
    if not (options.units or options.photos):
        print("nothing measured: give --units or --photos")
        return
    editor = Editor(EditSettings(model=options.model, check=False, faces="largest"))
    sets: dict[str, list[tuple[Path, np.ndarray | None]]] = {}
    if options.units:
        sets["rendered"] = list(rendered(options.units, options.count))
        off = found_circles(sets["rendered"], editor)
        print(f"found irises, percent of the radius off: middle {np.median(off[:, 0]):.1f}, radius"
              f" {np.median(off[:, 1]):.1f} (medians of {len(off)})\n")  # fmt: skip
    if options.photos:
        sets["photos"] = [
            (path, None) for path in sorted(options.photos.glob("*.jpg"))[4::5][: options.count]
        ]
    round_irises = pixel.with_round_irises
    print(
        "| faces | expression | irises | radius off, %: stretched | held | aspect off, %: stretched | held |"
    )
    print("|---|---|---|---|---|---|---|")
    for name, faces in sets.items():
        pixel.with_round_irises = lambda image, landmarks, flow: flow
        before = measure(editor, faces)
        pixel.with_round_irises = round_irises
        after = measure(editor, faces)
        for expression in before:
            rows = [100 * np.abs(each[expression] - 1) for each in (before, after)]
            rows = [each[np.isfinite(each).all(1)] for each in rows]
            cells = [
                f"{np.median(each[:, column]):.1f} / {np.percentile(each[:, column], 95):.1f}"
                for column in (0, 1)
                for each in rows
            ]
            print(f"| {name} | {expression} | {len(rows[1])} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
