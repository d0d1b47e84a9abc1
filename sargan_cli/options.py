"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from sargan_cli.console import enable_debugging

Landmarks = Literal["auto", "builtin", "detector", "fan"]
Device = Literal["auto", "cpu", "cuda", "mps"]

Inputs = Annotated[
    list[Path],
    typer.Argument(metavar="INPUT", help="Photos to work on; - reads one from stdin.", show_default=False),
]
LandmarksOption = Annotated[
    Landmarks,
    typer.Option(
        "--landmarks",
        help="Where a face's points come from: the built-in network (auto, builtin), only the detector's "
        "five points (detector), or face-alignment's network (fan; see `sargan models fetch fan`).",
    ),
]
DeviceOption = Annotated[
    Device, typer.Option("--device", help="Where the networks run; auto takes cuda, then mps, then cpu.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object a line on stdout.")]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing on stderr but errors.")]
OverwriteOption = Annotated[bool, typer.Option("--overwrite", help="Replace outputs that exist.")]
MaxPixelsOption = Annotated[
    int | None,
    typer.Option(
        "--max-pixels",
        metavar="N",
        min=1,
        help="Refuse photos of more pixels than this, before anything is decoded; 256 million by default.",
        show_default=False,
    ),
]
DebugOption = Annotated[
    bool,
    typer.Option(
        "--debug",
        help="Show tracebacks; SARGAN_DEBUG=1 does the same.",
        callback=enable_debugging,
        is_eager=True,
    ),
]


def show_help(context: typer.Context) -> None:
    """Print the help of a group that was called without a command."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())
