"""Train the network that sees what is in front of a face again, measure it, and write its file and card.

    python benchmarks/occlusion.py --data DATA --out weights [--go-on]

``DATA`` is the folder with the shared sets; record, file and card go into ``--out``, which holds ``index.json``. With
one thread, as here, the same machine makes the same bytes. ``--go-on`` trains the shipped weights further on new views.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import cv2
import torch

from sargan_core.models.occlusion.data import bases
from sargan_core.models.occlusion.fit import Figures, Recipe, make_views, measured, train
from sargan_core.models.occlusion.network import NAME, load_occlusion, save_occlusion
from sargan_core.outcome import Progress
from sargan_core.training.run_folder import card_head
from sargan_core.weights import WeightsRecord, add_to_index, find_record

SETS = ("london", "transfer", "neutral_extra", "synth", "units")
ATTRIBUTION = (
    "Face Research Lab London Set, Young Adult White Faces, Young Adult Composite Faces (DeBruine & Jones 2017, "
    "DeBruine 2016; CC BY 4.0) with transferred (synthetic) expressions; rendered MakeHuman people, posed and with "
    "single face units (CC0); {trained} people to train on, {unseen} held out; changed: objects laid before the faces"
)
LIMITS = (
    "Limits. No real hand, no real glasses were learned from: what it knows of them is drawn. Single hairs, rimless",
    "glasses and what is as small as a pixel of its crop (a thirtieth of the distance between the eyes) are missed;",
    "hard shadows, fringes and coarse grey photographs may be taken for objects. Faces turned far to the side are",
    "guesses. Beards and moustaches are part of the face. How an edit holds back: `sargan_core/faces/cover.py`.",
)
# Views of people left out, and the seed they are made with.
TESTED, SEED_OF_TEST = 600, 1


def main() -> None:
    """Train, write, and say how well it sees."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, help="folder with " + ", ".join(SETS))
    parser.add_argument("--out", type=Path, help="folder of weights with index.json")
    parser.add_argument("--views", type=int, default=Recipe.views)
    parser.add_argument("--steps", type=int, default=Recipe.steps)
    parser.add_argument("--rate", type=float, default=Recipe.rate)
    parser.add_argument("--seed", type=int, default=Recipe.seed)
    parser.add_argument("--go-on", action="store_true", help="from the shipped weights, not from nothing")
    given = parser.parse_args()
    if not (given.data and given.out):
        print("nothing made: give --data and --out")
        return
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    recipe = Recipe(views=given.views, steps=given.steps, rate=given.rate, seed=given.seed)
    known, unseen, split = bases([given.data / name for name in SETS])
    pictures, labels = make_views(known, recipe.views, recipe.seed, said("views"))
    before = find_record(NAME) if given.go_on else None
    network = train(pictures, labels, recipe, said("steps"), load_occlusion() if given.go_on else None)
    record = save_occlusion(
        network,
        given.out / "occlusion.safetensors",
        data=ATTRIBUTION.format(trained=len(split.train), unseen=len(split.test)),
    )
    add_to_index(given.out, record)
    figures = measured(network, *make_views(unseen, TESTED, SEED_OF_TEST))
    text = card(record, recipe, figures, before)
    (given.out / "occlusion.md").write_text(text, encoding="utf-8")
    print(text)


def said(what: str) -> Progress:
    """Return a callback that now and then says on stderr how far something is."""

    def progress(done: int, total: int) -> None:
        if done % 100 == 0 or done == total:
            print(f"{what}: {done} of {total}", file=sys.stderr, flush=True)

    return progress


def card(record: WeightsRecord, recipe: Recipe, figures: Figures, before: WeightsRecord | None) -> str:
    """Return the model card as Markdown; ``before`` are the weights that were trained further."""
    begun = "" if before is None else f", from the weights with sha256 {before.sha256}"
    lines = [
        *card_head(
            record,
            f"{recipe.steps} steps of {recipe.batch} of {recipe.views} pictures, peak rate {recipe.rate:g}, "
            f"one thread{begun}",
            "the objects are made (`sargan_core/models/occlusion/objects.py`): hands, arms, heads, glasses, "
            "microphones, bars and letters, caps, masks, locks of hair, tongues; rendered people with glasses or a "
            "tongue out were left out",
        ),
        "",
        f"On people never trained on, with objects made in the same way: of {figures.covered} covered faces it found "
        f"something on all but {figures.missed:.1%}, and what it found overlaps with what is there by "
        f"{figures.overlap:.2f} (intersection over union, mean). On {figures.alarms:.1%} of {figures.bare} faces with "
        "nothing but shadows, painted lips or beards before them it found something.",
        "",
        *LIMITS,
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
