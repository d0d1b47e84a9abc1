"""Options that several kinds of training share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

Data = Annotated[
    list[Path] | None,
    typer.Option(
        "--data",
        metavar="FOLDER",
        help="Photos to learn from, several times for several folders: KDEF, RaFD, JAFFE, a folder an "
        "expression, or a CSV list.",
        show_default=False,
    ),
]
Out = Annotated[
    Path | None,
    typer.Option(
        "--out",
        metavar="FOLDER",
        help="Folder for the results; runs/ and the model's name by default.",
        show_default=False,
    ),
]
Overwrite = Annotated[
    bool, typer.Option("--overwrite", help="Replace an earlier run in --out once the new one is whole.")
]
Resume = Annotated[
    bool,
    typer.Option(
        "--resume",
        help="Go on with the run in --out, with its options; only --steps, --data and --device may change.",
    ),
]
Batch = Annotated[
    int | None,
    typer.Option("--batch", min=1, help="Faces a step and process: 8 by default.", show_default=False),
]
Rate = Annotated[
    float | None,
    typer.Option("--rate", min=0.0, help="Learning rate; by default the recipe's.", show_default=False),
]
AdversarialFrom = Annotated[
    int | None,
    typer.Option(
        "--adversarial-from",
        min=1,
        help="paired: first step of the adversarial losses; they sharpen what is there, so not before "
        "expressions are seen on the sheets.",
        show_default=False,
    ),
]
Seed = Annotated[int, typer.Option("--seed", help="Of weights, draws and augmentation.")]
Test = Annotated[
    float,
    typer.Option("--test", min=0.0, max=0.9, help="Part of the people to hold out, none of them seen."),
]
CheckpointEvery = Annotated[
    int, typer.Option("--checkpoint-every", min=1, help="Steps between two checkpoints.")
]
SheetEvery = Annotated[int, typer.Option("--sheet-every", min=1, help="Steps between two sample sheets.")]
DryRun = Annotated[
    bool,
    typer.Option(
        "--dry-run", help="Print the plan and the expected time of the steps, and stop; nothing is written."
    ),
]
Cache = Annotated[
    Path | None,
    typer.Option("--cache", metavar="FOLDER", help="Where crops are kept.", show_default=False),
]
Precision = Annotated[
    Literal["fp32", "bf16"], typer.Option("--precision", help="Number format of the networks.")
]
Recipe = Annotated[
    Literal["paired", "paper"],
    typer.Option(
        "--recipe",
        help="paired learns from two photos of one person, fast; paper is the published recipe, for "
        "hundreds of thousands of steps.",
    ),
]
