"""Options that several commands share, and the default models."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import typer

from sargan_cli.streams import enable_debugging

DEFAULT_MODEL = "sargan"
LIKE_MODEL = "units"
UNITS_MODEL = "units"

# An option that is None unless given, so that its help shows no default.
optional = partial(typer.Option, show_default=False)

Inputs = Annotated[
    list[Path],
    typer.Argument(metavar="INPUT", help="Photos to work on; - reads one from stdin.", show_default=False),
]
Landmarks = Annotated[
    Literal["auto", "builtin", "detector", "fan"],
    typer.Option(
        "--landmarks",
        help="Where a face's points come from: the built-in network (auto, builtin), only the detector's "
        "five points (detector), or face-alignment's network (fan; see `sargan models fetch fan`).",
    ),
]
Device = Annotated[
    Literal["auto", "cpu", "cuda", "mps"],
    typer.Option("--device", help="Where the networks run; auto takes cuda, then mps, then cpu."),
]
NoCheck = Annotated[
    bool,
    typer.Option(
        "--no-check",
        help="Skip the check of the edited faces: saves a few milliseconds per face, but gives no warnings about "
        "edits that did nothing or changed the person.",
    ),
]
NoOcclusion = Annotated[
    bool,
    typer.Option(
        "--no-occlusion",
        help="Do not look for hands, glasses and other things in front of a face: they are edited as if they were "
        "part of it, and a mouth that was taken for covered is opened.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object per line on stdout.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing on stderr but errors.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace outputs that exist.")]
MaxPixels = Annotated[
    int | None,
    optional(
        "--max-pixels",
        metavar="N",
        min=1,
        help="Refuse photos of more pixels than this, before anything is decoded; 256 million by default.",
    ),
]
Like = Annotated[
    Path | None,
    optional(
        "--like",
        metavar="PHOTO",
        help="Take the expression from the face in this photo instead of naming one.",
    ),
]
LikeFace = Annotated[
    int | None,
    optional(
        "--like-face",
        metavar="N",
        min=1,
        help="Which face of that photo, counted from left to right; by default the largest.",
    ),
]
Faces = Annotated[
    str,
    typer.Option(
        "--faces",
        metavar="all|largest|N[,N...]",
        help="Which faces; numbers count from left to right, `sargan detect` shows them.",
    ),
]
Metadata = Annotated[
    Literal["keep", "strip"],
    typer.Option("--metadata", help="Keep or strip EXIF, XMP and the like; the colour profile always stays."),
]
NoProvenance = Annotated[
    bool,
    typer.Option("--no-provenance", help="Leave out the mark that says the photo was changed by a model."),
]
Model = Annotated[
    str | None,
    optional(
        "--model",
        "-m",
        help=f"Which model; `sargan models list` shows them. By default {DEFAULT_MODEL}, with --like {LIKE_MODEL}, "
        f"with --units {UNITS_MODEL}.",
    ),
]
Weights = Annotated[
    Path | None,
    optional("--weights", metavar="FILE", help="Weights of your own for that model (.safetensors)."),
]
Precision = Annotated[
    Literal["auto", "fp32", "bf16"],
    typer.Option(
        "--precision",
        help="Number format of the generator; auto takes fp32 on a CPU, bf16 on a GPU that computes in it.",
    ),
]
Debug = Annotated[
    bool,
    typer.Option(
        "--debug",
        help="Show tracebacks; SARGAN_DEBUG=1 does the same.",
        callback=enable_debugging,
        is_eager=True,
    ),
]


def model_name(model: str | None, like: Path | None, units: str | list[str] | None = None) -> str:
    """Return the model: the one named, or the default for expressions, a reference or face units."""
    return model or (UNITS_MODEL if units else LIKE_MODEL if like else DEFAULT_MODEL)


def show_help(context: typer.Context) -> None:
    """Print the help of a command group that was called alone."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())
