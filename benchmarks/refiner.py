"""How much nearer to the truth a refiner is than its base, on people held out.

    .venv/bin/python benchmarks/refiner.py [--data PAIRS.safetensors] [--weights generator.safetensors]

The data (by default runs/refine-pairs.safetensors) is a pack made with ``sargan train --refine MODEL … --pack``: the
base's edits and the truths in their geometry. Printed for each expression: mean absolute error and error of the image
gradients in three regions, divided by the base's (below 1 = nearer to the truth), and PSNR and SSIM in the face,
base -> refined.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from kornia.metrics import ssim
from torch import Tensor

from sargan_core.expressions import LABELS, Expression
from sargan_core.faces.mouth import lips_region
from sargan_core.models.registry import load_model
from sargan_core.models.sargan.data import CropPairs
from sargan_core.models.sargan.generator import one_hot
from sargan_core.models.sargan.model import RefinedModel

MOST = 40


def regions(model: RefinedModel) -> dict[str, Tensor]:
    """Return what lies between the lips, the lips, and the face around them, (7, 1, size, size) each."""
    whole, face = model.template.size, model.get_buffer("mask")
    lips = torch.stack([lips_region(model.base.goal(expression), whole) for expression in LABELS])
    lips = model.window.cut(lips.float()) * face
    inside = model.window.cut(model.base.get_buffer("inside")) * face
    return {"inside": inside, "lips": (lips - inside).clamp(min=0), "around": face * (1 - lips)}


def errors(picture: Tensor, truth: Tensor, region: Tensor) -> tuple[float, float]:
    """Return the mean absolute error and the error of the gradients in a region."""
    difference = picture - truth
    plain = (difference.abs() * region).sum() / (region.sum() + 1e-6)
    across = (difference[..., 1:] - difference[..., :-1]).abs() * region[..., 1:]
    down = (difference[..., 1:, :] - difference[..., :-1, :]).abs() * region[..., 1:, :]
    return float(plain), float((across.sum() + down.sum()) / (region.sum() + 1e-6))


def quality(picture: Tensor, truth: Tensor, face: Tensor) -> tuple[float, float]:
    """Return PSNR in dB and SSIM in the face."""
    squared = float((((picture - truth) ** 2) * face).sum() / face.sum() / 3)
    likeness = ssim(picture, truth, 7).mean(1, keepdim=True)
    return -10 * float(np.log10(max(squared, 1e-12))), float((likeness * face).sum() / face.sum())


@torch.inference_mode()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("runs/refine-pairs.safetensors"))
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--model", default="sargan")
    arguments = parser.parse_args()
    if not arguments.data.exists():
        print(
            f"{arguments.data}: not there; make it with sargan train --refine pixel --data PHOTOS --pack FILE"
        )
        return
    model = load_model(arguments.model, arguments.weights, precision="fp32")
    if not isinstance(model, RefinedModel):
        raise SystemExit("not a refiner")
    data = CropPairs.load(arguments.data).test()
    parts = regions(model)
    heads = " | ".join(f"{name}, L1 | {name}, gradient" for name in parts)
    print(f"| expression | pairs | {heads} | PSNR | SSIM |")
    print("|" + "---|" * (2 * len(parts) + 4))
    wanted = data.labels[data.pairs[:, 1]]
    for expression in LABELS:
        rows = data.pairs[wanted == expression.label]
        rows = rows[:: max(1, -(-len(rows) // MOST))]
        sums = np.zeros((2, 2 * len(parts) + 2))
        for source, target in rows.tolist():
            base = data.pictures([source])
            face = model.get_buffer("mask")[[expression.label]]
            truth = torch.lerp(base, data.pictures([target]), face)
            change = model.network.change(base, one_hot([expression.label], len(LABELS)))
            for line, picture in enumerate((base, (base + face * change).clamp(0, 1))):
                values = [
                    value
                    for part in parts.values()
                    for value in errors(picture, truth, part[[expression.label]])
                ]
                sums[line] += [*values, *quality(picture, truth, face)]
        before, after = sums / max(1, len(rows))
        pairs = zip(before[:-2], after[:-2], strict=True)
        ratios = " | ".join(f"{other / one:.2f}" if one else "" for one, other in pairs)
        quality_text = " | ".join(f"{before[k]:.{d}f} -> {after[k]:.{d}f}" for k, d in ((-2, 1), (-1, 3)))
        print(f"| {Expression(expression).value} | {len(rows)} | {ratios} | {quality_text} |", flush=True)


if __name__ == "__main__":
    main()
