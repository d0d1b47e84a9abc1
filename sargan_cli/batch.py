"""``sargan batch``: change the expression in folders of photos; continues what was interrupted."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from sargan_cli import options
from sargan_cli.batch_output import print_plan, print_summary, result_printer
from sargan_cli.console import OK, SOME_FAILED, Console
from sargan_cli.expressions import (
    batch_like,
    complete_mix_or_all,
    complete_units,
    reference_of,
    several_mixes,
    strengths_of,
)
from sargan_cli.files import names_in
from sargan_cli.importing import importing
from sargan_cli.options import optional
from sargan_core.errors import UsageError

if TYPE_CHECKING:
    from sargan_core.batch.run import Engine

REPORT = "report.html"


class Retry(StrEnum):
    """Outcomes to try again although nothing changed."""

    FAILED = "failed"
    NO_FACE = "no_face"
    UNREADABLE = "unreadable"
    ALL = "all"


def outcomes_to_retry(retry: Sequence[Retry]) -> frozenset[str]:
    """Return the outcomes after ``--retry``; ``all`` means all without a result."""
    wanted = Retry if Retry.ALL in retry else retry
    return frozenset(outcome.value for outcome in wanted) - {Retry.ALL.value}


def batch(
    inputs: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="INPUT",
            help="Folders (with all they hold), photos, or quoted patterns such as 'in/**/*.jpg'.",
            show_default=False,
        ),
    ] = None,
    expr: Annotated[
        list[str] | None,
        optional(
            "--expr",
            "-e",
            metavar="NAME[:WEIGHT][,NAME:WEIGHT...]|all",
            help="The expression or mix, as for `sargan edit`. May be repeated, or `all` for all seven: "
            "each gets a sub-folder.",
            autocompletion=complete_mix_or_all,
        ),
    ] = None,
    units: Annotated[
        list[str] | None,
        optional(
            "--units",
            "-u",
            metavar="NAME=WEIGHT[,NAME=WEIGHT...]",
            help="Single face units instead, or on top of one --expr; may be repeated for several results. "
            "`sargan models units` lists them.",
            autocompletion=complete_units,
        ),
    ] = None,
    like: options.Like = None,
    like_face: options.LikeFace = None,
    strength: Annotated[
        list[str] | None,
        optional(
            "--strength",
            "-s",
            metavar="X[,X...]",
            help="How much of it: 0 changes nothing, 1 (default) is the expression as learned, 2 exaggerates. "
            "Several make a series: anna.jpg becomes anna-025.jpg, anna-050.jpg, ...",
        ),
    ] = None,
    faces: options.Faces = "all",
    out: Annotated[
        Path | None,
        optional(
            "--out",
            "-o",
            metavar="FOLDER",
            help="The output folder; it is made, and mirrors the input folders. By default portraits/ becomes "
            "portraits-happy/ beside it; inputs other than one folder go to sargan-happy/ here.",
        ),
    ] = None,
    listed: Annotated[
        str | None,
        optional(
            "--from", metavar="FILE|-", help="Read names of photos from a file or stdin (-), one per line."
        ),
    ] = None,
    null: Annotated[
        bool, typer.Option("--null", "-0", help="Names in that list end with a NUL byte (find -print0).")
    ] = False,
    root: Annotated[
        Path | None,
        optional(
            "--root",
            metavar="FOLDER",
            help="Mirror the tree below this folder. By default that is the deepest folder that holds all "
            "inputs; for a list of relative names it is the working folder.",
        ),
    ] = None,
    file_format: Annotated[
        str | None,
        optional(
            "--format",
            metavar="NAME",
            help="Write all results as jpg, png, webp, tiff, bmp, avif or gif; by default as each photo.",
        ),
    ] = None,
    suffix: Annotated[
        str, typer.Option("--suffix", metavar="TEXT", help="Add this to the stem of every result's name.")
    ] = "",
    in_place: Annotated[
        bool, typer.Option("--in-place", help="Write over the photos. The manifest lies in their folder.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print every photo and its result, and do nothing.")
    ] = False,
    retry: Annotated[
        list[Retry] | None,
        optional(
            "--retry",
            metavar="failed|no_face|unreadable|all",
            help="Try these again although nothing changed; may be repeated, all means all three. Without it a "
            "second run does only what is missing or changed.",
        ),
    ] = None,
    checksums: Annotated[
        bool,
        typer.Option(
            "--checksums",
            help="Compare files by content to see whether they changed; by default by size and mtime.",
        ),
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Also replace files in the output folder that no batch made.")
    ] = False,
    on_error: Annotated[
        Literal["skip", "stop"],
        typer.Option("--on-error", help="What to do after a photo that cannot be read or edited."),
    ] = "skip",
    max_errors: Annotated[
        int | None,
        optional("--max-errors", metavar="N", min=1, help="Stop after this many of them."),
    ] = None,
    shard: Annotated[
        str | None,
        optional(
            "--shard",
            metavar="I/N",
            help="Do only part I of N. The runs of all parts together do every photo once; they may run at the "
            "same time, on several machines, into one output folder.",
        ),
    ] = None,
    report: Annotated[
        bool,
        typer.Option(
            "--report", help=f"Write {REPORT} into the output folder: before and after, and figures."
        ),
    ] = False,
    model: options.Model = None,
    weights: options.Weights = None,
    landmarks: options.Landmarks = "auto",
    device: options.Device = "auto",
    precision: options.Precision = "auto",
    engine: Annotated[
        Literal["local", "ray"],
        typer.Option("--engine", help="This machine, or a Ray cluster (needs the extra: sargan[ray])."),
    ] = "local",
    workers: Annotated[
        int | None,
        optional(
            "--workers",
            "-w",
            metavar="N",
            min=1,
            max=1024,
            help="Photos worked on at once; by default one per core.",
        ),
    ] = None,
    batch_size: Annotated[
        int | None,
        optional(
            "--batch-size",
            metavar="N",
            min=1,
            help="Faces that a GPU gets at once, 32 by default; halved when its memory runs out. Without a GPU "
            "each photo goes alone, so that its bytes are those of `sargan edit`.",
        ),
    ] = None,
    compile_model: Annotated[
        bool,
        typer.Option("--compile", help="Compile the network first; worth it from some thousand photos on."),
    ] = False,
    metadata: options.Metadata = "keep",
    no_provenance: options.NoProvenance = False,
    max_pixels: options.MaxPixels = None,
    no_check: options.NoCheck = False,
    no_occlusion: options.NoOcclusion = False,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Change the expression in folders of photos; continue what was interrupted.

    The output folder mirrors the input folder. A manifest in it (sargan-batch.jsonl) has one line per result. The
    same command again does only what is missing or changed, however the last run ended. If stdout is no terminal, it
    gets the paths of the results; with --json it gets their lines of the manifest, with paths as they were given.

    \b
    Examples:
      sargan batch portraits --expr surprised
      sargan batch portraits --expr all --strength 0.25,0.5,0.75,1 --out stimuli --format png
      sargan batch portraits --expr sad --retry failed --report
      find . -name '*.jpg' -print0 | sargan batch --from - --null --expr happy --out happy
    """
    from sargan_core.batch.plan import BatchSettings, PlanRequest, make_plan, parse_shard

    part = parse_shard(shard) if shard is not None else None
    reference = reference_of(like, like_face, expr, units)
    plan = make_plan(
        PlanRequest(
            arguments=inputs or (),
            listed=names_in(listed, inputs, null=null),
            root=root,
            folder=out,
            mixes=[batch_like(reference, max_pixels)] if reference else several_mixes(expr, units),
            strengths=strengths_of(strength),
            format=_format(file_format),
            suffix=suffix,
            in_place=in_place,
            shard=part,
        )
    )
    console = Console(quiet)
    for note in plan.notes:
        console.note(note)
    if dry_run:
        print_plan(plan, console, as_json=as_json)
        raise typer.Exit(OK)
    if not plan.sources and part is None:
        raise UsageError("there is no photo to edit; name folders or photos that hold some")
    with importing():
        from sargan_core.batch.run import Policy, run_batch
        from sargan_core.editor import EditSettings

        run_tasks = _engine(engine)

    settings = BatchSettings(
        folder=plan.folder,
        staging=plan.folder,
        edit=EditSettings(
            model=options.model_name(model, like, units),
            weights=weights,
            device=device,
            landmarks=landmarks,
            faces=faces,
            precision=precision,
            check=not no_check,
            occlusion=not no_occlusion,
        ),
        variants=plan.variants,
        max_pixels=max_pixels,
        metadata=metadata,
        provenance=not no_provenance,
        in_place=in_place,
        workers=workers,
        batch_size=batch_size,
        compile=compile_model,
        fork=True,
    )
    policy = Policy(
        retry=outcomes_to_retry(retry or ()),
        checksums=checksums,
        overwrite=overwrite,
        on_error=on_error,
        max_errors=max_errors,
    )
    if report:
        from sargan_core.batch.report import write_report
        from sargan_core.page import check_page

        check_page(plan.folder / REPORT)
    with console.counting("editing") as progress:
        tell = result_printer(plan, console, progress, as_json=as_json)
        summary = run_batch(plan, settings, run_tasks, policy, part, tell)
    if report:
        write_report(plan.folder, plan.folder / REPORT)
    print_summary(summary, plan, console)
    if report:
        console.note(f"report: {plan.folder / REPORT}")
    raise typer.Exit(OK if summary.complete else SOME_FAILED)


def _format(name: str | None) -> str | None:
    """Return the format that ``--format`` names.

    Raises:
        UsageError: there is no such format.
    """
    from sargan_core.photo.kinds import LISTED, kind_of_path

    if name is None:
        return None
    kind = kind_of_path(Path(f"photo.{name.lstrip('.')}"))
    if kind is None:
        raise UsageError(f"--format {name}: is no known format; use one of {LISTED}")
    return kind


def _engine(name: Literal["local", "ray"]) -> Engine:
    if name == "ray":
        from sargan_core.batch.ray import run_ray

        return run_ray
    from sargan_core.batch.local import run_local

    return run_local
