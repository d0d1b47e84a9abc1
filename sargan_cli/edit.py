"""``sargan edit``: change the expression in one or several photos."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from sargan_cli import options
from sargan_cli.console import Console, FileReport, overall_code, print_json, print_path
from sargan_cli.edit_file import EditRequest, FileEditor
from sargan_cli.expressions import complete_mix, complete_units, one_mix, reference_of, strength_of
from sargan_cli.files import (
    STREAM,
    animation_endings,
    check_apart,
    check_stdin,
    check_stdout,
    photo_endings,
    plan_outputs,
)
from sargan_cli.options import optional
from sargan_core.errors import UsageError
from sargan_core.expressions import MAX_STRENGTH, ExpressionMix, Like
from sargan_core.outcome import Outcome

GRID_SUFFIX = ".png"


def edit(
    inputs: options.Inputs,
    expr: Annotated[
        list[str] | None,
        optional(
            "--expr",
            "-e",
            metavar="NAME[:WEIGHT][,NAME:WEIGHT...]",
            help="The expression, or a weighted mix: happy, happy:0.6, happy:0.6,surprised:0.4. Names: "
            "angry, disgusted, fearful, happy, neutral, sad, surprised; also their nouns and KDEF codes.",
            autocompletion=complete_mix,
        ),
    ] = None,
    units: Annotated[
        str | None,
        optional(
            "--units",
            "-u",
            metavar="NAME=WEIGHT[,NAME=WEIGHT...]",
            help="Move single face units, on top of what the face shows: corner_pull=0.8,brow_up_L=0.5. 1 is the whole "
            "unit, _L and _R are the person's own sides; `sargan models units` lists them. Goes with --expr.",
            autocompletion=complete_units,
        ),
    ] = None,
    like: options.Like = None,
    like_face: options.LikeFace = None,
    strength: Annotated[
        float,
        typer.Option(
            "--strength",
            "-s",
            min=0.0,
            max=MAX_STRENGTH,
            callback=strength_of,
            help="How much of it: 0 changes nothing, 1 is the expression as learned, 2 exaggerates.",
        ),
    ] = 1.0,
    faces: options.Faces = "all",
    grid: Annotated[
        bool,
        typer.Option("--grid", help="Make a contact sheet of all seven expressions instead."),
    ] = False,
    animate: Annotated[
        Path | None,
        typer.Option(
            "--animate",
            metavar="FILE",
            help="Make a loop of rising strength instead: a .gif, .mp4 or .webp file.",
        ),
    ] = None,
    output: Annotated[
        str | None,
        optional(
            "--output",
            "-o",
            metavar="FILE|FOLDER|-",
            help="Where to write; - is stdout. By default face.jpg becomes face-happy.jpg beside it, or "
            "face-like-friend.jpg.",
        ),
    ] = None,
    in_place: Annotated[
        bool,
        typer.Option("--in-place", help="Write over the input."),
    ] = False,
    overwrite: options.Overwrite = False,
    metadata: options.Metadata = "keep",
    no_provenance: options.NoProvenance = False,
    model: options.Model = None,
    weights: options.Weights = None,
    landmarks: options.Landmarks = "auto",
    device: options.Device = "auto",
    precision: options.Precision = "auto",
    max_pixels: options.MaxPixels = None,
    no_check: options.NoCheck = False,
    no_occlusion: options.NoOcclusion = False,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Change the expression in photos and leave everything else alone.

    Size, file type, colours and metadata stay; pixels away from the faces are not touched.

    \b
    Examples:
      sargan edit face.jpg --expr happy
      sargan edit *.jpg --expr sad:0.7 -o edited/
      sargan edit - --expr surprised < in.png > out.png
      sargan edit face.jpg --like friend.jpg
      sargan edit face.jpg --units corner_pull=0.8,brow_inner_up=0.5
    """
    check_stdin(inputs)
    reference = reference_of(like, like_face, expr, units)
    if reference:
        _check_like(reference, grid=grid)
    mix = ExpressionMix(()) if reference else one_mix(expr, units, strength, grid=grid)
    if animate is not None:
        _check_animate(inputs, animate, output, grid=grid, in_place=in_place)
        tasks = plan_outputs(inputs, str(animate), label="", endings=animation_endings(), option="--animate")
    elif grid:
        if in_place:
            raise UsageError("--grid makes a new picture; leave out --in-place")
        tasks = plan_outputs(inputs, output, label="grid", endings=photo_endings(), suffix=GRID_SUFFIX)
    else:
        label = _like_label(reference, strength) if reference else mix.scaled(strength).slug
        tasks = plan_outputs(inputs, output, label=label, endings=photo_endings(), in_place=in_place)
    if reference:
        check_apart(tasks, reference.path, "--like")
    if tasks[0].to_stdout:
        check_stdout("image", "-o", as_json=as_json)
    request = EditRequest(
        mix=mix,
        like=reference,
        strength=strength,
        grid=grid,
        animate=animate is not None,
        metadata=metadata,
        provenance=not no_provenance,
        overwrite=overwrite or in_place,
        max_pixels=max_pixels,
    )
    editor = FileEditor(
        request,
        options.model_name(model, like, units),
        weights=weights,
        device=device,
        landmarks=landmarks,
        faces=faces,
        precision=precision,
        check=not no_check,
        occlusion=not no_occlusion,
    )
    console = Console(quiet)
    if reference:
        # Before any photo: without the reference none of them can be edited.
        editor.target()
    reports = []
    for task in console.track(tasks, "editing"):
        report = editor.edit(task, console)
        reports.append(report)
        _tell(report, console, as_json)
    if len(reports) > 1:
        done = sum(report.outcome is Outcome.DONE for report in reports)
        console.note(f"{done} of {len(reports)} done")
    raise typer.Exit(overall_code(reports))


def _like_label(like: Like, strength: float) -> str:
    """Return the reference as part of a result's name, e.g. ``like-friend`` or ``like-friend-50``."""
    return like.slug if strength == 1.0 else f"{like.slug}-{round(strength * 100)}"


def _check_like(like: Like, *, grid: bool) -> None:
    if grid:
        raise UsageError(
            "--grid shows the seven named expressions; with --like use --animate FILE, or no --grid"
        )
    if like.path == STREAM:
        raise UsageError("--like needs a file; only the photo to edit can come from stdin")


def _check_animate(
    inputs: list[Path], animate: Path, output: str | None, *, grid: bool, in_place: bool
) -> None:
    if len(inputs) > 1:
        raise UsageError("--animate makes one file of one photo; give one input")
    if output is not None or grid or in_place:
        raise UsageError("--animate names its own output; leave out -o, --grid and --in-place")
    if animate == STREAM or os.path.isdir(animate):  # noqa: PTH112 (says no where a name is too long)
        raise UsageError("--animate needs a file name that ends in .gif, .mp4 or .webp")


def _tell(report: FileReport, console: Console, as_json: bool) -> None:
    """Report one file: the result on stdout, remarks on stderr."""
    for remark in report.details["notes"]:
        console.warning(f"{report.input}: {remark}")
    for face in report.details["faces"]:
        for remark in face["warnings"]:
            console.warning(f"{report.input}: face {face['number']}: {remark}")
    if report.outcome is Outcome.DONE:
        count = len(report.details["faces"])
        seconds = report.details["seconds"]["total"]
        console.note(f"{report.input}: {count} {'face' if count == 1 else 'faces'}, {seconds:.1f} s")
    if as_json:
        print_json(report.to_json())
    elif report.output is not None and report.output != str(STREAM):
        print_path(Path(report.output))
