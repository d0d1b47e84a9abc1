"""``sargan evaluate``: figures and pictures of models on people they never saw."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sargan_cli import options
from sargan_cli.console import OK, SOME_FAILED, Console, print_json, print_path, print_table
from sargan_cli.options import optional
from sargan_core.errors import UsageError

if TYPE_CHECKING:
    from sargan_core.evaluation.protocol import EvaluationSettings
    from sargan_core.evaluation.tables import Table

DEFAULT_OUT = Path("evaluation")
EVERYONE = "all"


def evaluate(
    data: Annotated[
        list[Path] | None,
        optional(
            "--data",
            metavar="FOLDER",
            help="Labelled photos, as for `sargan train`; or an output folder of `sargan batch` with several "
            "strengths, to check the series. May be given several times.",
        ),
    ] = None,
    ood: Annotated[
        list[Path] | None,
        optional(
            "--ood",
            metavar="FOLDER",
            help="Unlabelled photos of another kind (paintings, avatars), reported apart.",
        ),
    ] = None,
    model: Annotated[
        str,
        typer.Option(
            "--model",
            "-m",
            metavar="NAME[=FILE],...",
            help="Models to evaluate: names of `sargan models list`, or NAME=FILE.safetensors. Doing nothing "
            "(none) always takes part.",
        ),
    ] = "sargan",
    out: Annotated[
        Path,
        typer.Option(
            "--out", metavar="FOLDER", help="Folder for the report; a run that stopped goes on there."
        ),
    ] = DEFAULT_OUT,
    split: Annotated[
        str | None,
        optional(
            "--split",
            metavar="FILE|all",
            help="The split.json of a training run, or all people; by default every fifth person, as training "
            "leaves out.",
        ),
    ] = None,
    judge: Annotated[
        list[Path] | None,
        optional(
            "--judge",
            metavar="FILE",
            help="A further judge: a TOML file that describes an ONNX network, see docs/evaluation.md.",
        ),
    ] = None,
    limit: Annotated[
        int | None,
        optional("--limit", metavar="N", min=1, help="At most so many people, for a quick look."),
    ] = None,
    curves: Annotated[
        int, typer.Option("--curves", metavar="N", min=0, help="People to draw strength curves on; 0 = none.")
    ] = 6,
    inception: Annotated[
        bool,
        typer.Option(
            "--inception",
            help="Also KID and FID on Inception features; needs the extra 'fidelity' and downloads its weights.",
        ),
    ] = False,
    comparison: Annotated[
        tuple[Path, Path] | None,
        optional(
            "--compare",
            metavar="A B",
            help="Put two results.json side by side: differences, and whether they exceed the noise.",
        ),
    ] = None,
    workers: Annotated[
        int | None,
        optional(
            "--workers", metavar="N", min=1, help="Processes side by side; by default one per core, up to 8."
        ),
    ] = None,
    landmarks: options.Landmarks = "auto",
    device: options.Device = "auto",
    precision: options.Precision = "auto",
    as_json: options.Json = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Measure models on people they never saw, and write a report.

    Writes report.html, results.json, results.csv and results.md. The same command again goes on where it stopped.

    \b
    Examples:
      sargan evaluate --data photos/ --model pixel,sargan --out report/
      sargan evaluate --data photos/ --model mine=runs/sargan/generator.safetensors --split runs/sargan/split.json
      sargan evaluate --compare before/results.json after/results.json
    """
    console = Console(quiet)
    if comparison is not None:
        if data or ood:
            raise UsageError("--compare reads finished results; leave out --data and --ood")
        _compare(*comparison, as_json=as_json)
        return
    if not data and not ood:
        raise UsageError("nothing to evaluate; name photos with --data or --ood, or results with --compare")
    from sargan_core.batch.local import available_cores
    from sargan_core.evaluation.protocol import EvaluationSettings, parse_models

    settings = EvaluationSettings(
        models=parse_models(model),
        data=tuple(data or ()),
        ood=tuple(ood or ()),
        split=None if split is None or split == EVERYONE else Path(split),
        everyone=split == EVERYONE,
        judges=tuple(judge or ()),
        limit=limit,
        curve_people=curves,
        inception=inception,
        device=device,
        landmarks=landmarks,
        precision=precision,
        workers=workers or min(8, available_cores()),
    )
    _make_folder(out)
    if any(_is_batch(folder) for folder in settings.data):
        raise typer.Exit(_series(settings, out, console, as_json))
    raise typer.Exit(_evaluate(settings, out, console, as_json))


def _make_folder(out: Path) -> None:
    from sargan_core.evaluation.run import JOURNAL
    from sargan_core.evaluation.series import JSON as SERIES

    if out.is_dir():
        if any(out.iterdir()) and not any((out / name).is_file() for name in (JOURNAL, SERIES)):
            raise UsageError(
                f"--out {out}: holds other files; name a new folder, or one of an earlier evaluation"
            )
        return
    if out.exists():
        raise UsageError(f"--out {out}: is a file; name a folder")
    out.mkdir(parents=True)


def _is_batch(folder: Path) -> bool:
    from sargan_core.batch.manifest import manifest_paths

    return folder.is_dir() and bool(manifest_paths(folder))


def _evaluate(settings: EvaluationSettings, out: Path, console: Console, as_json: bool) -> int:
    from sargan_core.evaluation.examples import make_gallery
    from sargan_core.evaluation.report import write_report
    from sargan_core.evaluation.run import evaluate as run
    from sargan_core.evaluation.tables import PARTS, summary_table

    if not settings.inception:
        console.note("KID and FID on Inception features: skipped (--inception asks for them)")
    with console.counting("measuring") as progress:
        done = run(settings, out, progress=progress)
    with console.counting("pictures") as progress:
        names = [choice.name for choice in settings.models]
        gallery = make_gallery(done.session, done.cases, done.measures, names, progress)
    page = write_report(done.results, gallery, out)
    for photo, reason in done.results.skipped.items():
        console.warning(reason if photo in reason else f"{photo}: {reason}")
    if as_json:
        print_json(done.results.to_json())
    else:
        if not console.quiet:
            for part in PARTS:
                _show(summary_table(done.results, part))
        print_path(page)
    return SOME_FAILED if done.results.skipped else OK


def _series(settings: EvaluationSettings, out: Path, console: Console, as_json: bool) -> int:
    from sargan_core.device import choose_device
    from sargan_core.evaluation.judges import make_judges
    from sargan_core.evaluation.run import versions
    from sargan_core.evaluation.series import check_series, series_table, write_series

    if len(settings.data) > 1 or settings.ood:
        raise UsageError("a batch is checked alone; give its folder with --data and nothing else")
    device = choose_device(settings.device)
    judges = make_judges(settings.judges, device)
    with console.counting("looking") as progress:
        report = check_series(settings.data[0], judges, settings.landmarks, device, progress)
    page = write_series(report, versions(), out)
    for output, reason in report.left_out.items():
        console.warning(f"{output}: {reason}")
    if as_json:
        print_json(report.to_json())
    else:
        if not console.quiet:
            _show(series_table(report))
        print_path(page)
    return SOME_FAILED if report.left_out else OK


def _compare(first: Path, second: Path, *, as_json: bool) -> None:
    from sargan_core.evaluation.compare import compare, difference_cells
    from sargan_core.evaluation.results import read_results

    comparison = compare(read_results(first), read_results(second))
    if as_json:
        print_json(comparison.to_json())
        return
    columns = ("part", "model", "figure", "first", "second", "difference", "95 % interval", "people", "")
    print_table(f"{first} and {second}", columns, [difference_cells(item) for item in comparison.differences])
    for note in comparison.notes:
        Console().note(note)


def _show(table: Table | None) -> None:
    """Show a table on stderr: stdout carries the report's path."""
    if table is None:
        return
    # A terminal is narrower than a page, so here models are the columns.
    rows = [
        (column, *(cells[number].text for _, cells in table.rows))
        for number, column in enumerate(table.columns)
    ]
    print_table(table.title, ("", *(name for name, _ in table.rows)), rows, to_stderr=True)
