"""Whether expressions are moved rightly on turned heads, on rendered people whose true movement is known.

    .venv/bin/python benchmarks/turned_heads.py --data FOLDER_OF_UNITS [--model units aipgan] [--yaw 20 45] [--pairs 60]

Photos are neutral pictures of people, turned by --yaw degrees; references are pictures with a code, of people whom
`sargan train units --test` holds out. Where every landmark ought to be follows from the face model and the true pose.
The error is the mean distance of the landmarks after the edit (moved by the edit's own field) from there, beside that
of doing nothing.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from sargan_core.editor import Editor, EditSettings
from sargan_core.errors import NoFaceError
from sargan_core.faces.align import Alignment
from sargan_core.faces.warp import invert, sample
from sargan_core.models.units.data import read_basis
from sargan_core.models.units.fit import TRUST, fit_pose
from sargan_core.photo.photo import read_photo

# Landmarks that are compared: brows, lids and lips; the jaw slides, the nose hardly moves.
MOVING = np.r_[17:27, 36:68]


def held_out(identities: list[str], fraction: float) -> set[int]:
    """Return the numbers of the people that ``sargan train units --test`` holds out."""
    return {
        number
        for number in range(len(identities))
        if int((number + 1) * fraction + 1e-9) > int(number * fraction + 1e-9)
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--model", nargs="+", default=["units", "aipgan"])
    parser.add_argument("--yaw", type=float, nargs=2, default=(20.0, 45.0))
    parser.add_argument("--pairs", type=int, default=60)
    parser.add_argument("--test", type=float, default=0.15)
    parser.add_argument("--exact", action="store_true", help="tell the model the code, where it takes one")
    options = parser.parse_args()
    if not options.data:
        print("nothing measured: give --data")
        return
    with np.load(options.data / "units.npz") as file:
        arrays = {
            name: file[name] for name in ("names", "identity", "id", "code", "landmarks", "pose", "visible")
        }
    model = read_basis(options.data)
    unseen = held_out(arrays["id"].tolist(), options.test)
    rows = np.array([identity in unseen for identity in arrays["identity"]])
    neutral = np.abs(arrays["code"]).sum(1) == 0
    turned = (np.abs(arrays["pose"][:, 0]) >= options.yaw[0]) & (
        np.abs(arrays["pose"][:, 0]) <= options.yaw[1]
    )
    rng = np.random.default_rng(0)
    # Few pictures are neutral and turned, so people of the training side pose as well: a photo is never a reference.
    photos = np.flatnonzero(neutral & turned)
    references = np.flatnonzero(rows & ~neutral & (np.abs(arrays["code"]).sum(1) > 1.5))
    photos = np.concatenate([photos[rows[photos]], photos[~rows[photos]]])[: options.pairs]
    chosen = rng.choice(references, len(photos), replace=len(references) < len(photos))
    print(f"{len(photos)} photos, {int(rows[photos].sum())} of them of people never trained on")
    for name in options.model:
        editor = Editor(EditSettings(model=name, check=False))
        errors, nothing = [], []
        for photo, reference in zip(photos, chosen, strict=True):
            one, other = (
                read_photo(options.data / "images" / str(arrays["names"][row])) for row in (photo, reference)
            )
            known = arrays["landmarks"][photo].astype(np.float64) - 0.5
            try:
                wanted = editor.reference(other)
                prepared = editor.prepare(one)
                editor.infer([prepared], wanted)
            except NoFaceError:
                continue
            if options.exact and wanted.code:
                wanted = replace(wanted, code=tuple(arrays["code"][reference].tolist()))
            before, _, offsets = model.points
            pose = fit_pose(before, known, TRUST)
            motion = np.tensordot(arrays["code"][reference].astype(np.float64), offsets, 1) @ pose.matrix.T
            alignment = prepared.alignments[0]
            flow = editor.infer([prepared], wanted)[0].flow
            moved = _moved(known, alignment, flow)
            eyes = np.linalg.norm(known[36:42].mean(0) - known[42:48].mean(0))
            seen = MOVING[arrays["visible"][photo][MOVING]]
            errors.append(np.linalg.norm(moved - known - motion, axis=1)[seen].mean() / eyes)
            nothing.append(np.linalg.norm(motion, axis=1)[seen].mean() / eyes)
        print(
            f"{name}: {len(errors)} pairs, error {np.mean(errors):.4f} of the eye distance, doing nothing "
            f"{np.mean(nothing):.4f}, ratio {np.mean(errors) / np.mean(nothing):.2f}"
        )


def _moved(points: np.ndarray, alignment: Alignment, flow: torch.Tensor) -> np.ndarray:
    """Return where photo points (68, 2) lie after an edit with a field (1, 2, S, S) in the crop."""
    as_positions = torch.from_numpy(points.T.copy()).float()[None, :, :, None]
    inside = alignment.to_crop(as_positions)
    forward = invert(flow, steps=16, damping=0.7)
    after = alignment.to_photo(inside + sample(forward, inside))
    return after[0, :, :, 0].T.double().numpy()


if __name__ == "__main__":
    main()
