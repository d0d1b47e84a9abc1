"""``sargan models``: list, check, import and fetch weights."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Literal

import typer

from sargan_cli import options
from sargan_cli.console import OK, WEIGHTS, Console, print_json, print_path, print_table, say_error
from sargan_cli.files import check_free
from sargan_cli.options import optional
from sargan_core.errors import UsageError, WeightsError
from sargan_core.outcome import message, plain
from sargan_core.units import UNITS, Unit
from sargan_core.weights import WeightsRecord, find_record, read_index, verify, weights_folder

# A checkpoint does not record these.
UNKNOWN_DATA = "not recorded in the checkpoint; ask its authors"
UNKNOWN_LICENCE = "not recorded in the checkpoint; ask its authors"

app = typer.Typer(
    name="models", invoke_without_command=True, rich_markup_mode=None, help="List, check and add weights."
)


def complete_name(incomplete: str) -> list[str]:
    """Return completions of a half-typed name of weights."""
    return [record.name for record in read_index() if record.name.startswith(incomplete)]


Name = Annotated[str, typer.Argument(metavar="NAME", help="As in the list.", autocompletion=complete_name)]


@app.callback()
def start(context: typer.Context) -> None:
    """List, check and add weights."""
    options.show_help(context)


@app.command("list")
def list_models(as_json: options.Json = False, debug: options.Debug = False) -> None:
    """List the weights that come with sargan, with their licences."""
    records = read_index()
    if as_json:
        for record in records:
            print_json(asdict(record))
        return
    columns = ("name", "kind", "size", "code", "weights", "description")
    print_table(None, columns, (_row(record) for record in records))


@app.command()
def show(name: Name, as_json: options.Json = False, debug: options.Debug = False) -> None:
    """Show everything that is known of one weights file: licences, training data, alignment, checksum."""
    record = find_record(name)
    if as_json:
        print_json(asdict(record))
        return
    values = {**asdict(record), "path": weights_folder() / record.file, "bytes": f"{record.bytes:,}"}
    print_table(None, ("", record.name), ((key, plain(value)) for key, value in values.items() if value))


@app.command("units")
def list_units(as_json: options.Json = False, debug: options.Debug = False) -> None:
    """List the face units that --units takes: what each does, its FACS number, how far it goes."""
    if as_json:
        for unit in UNITS:
            print_json({**asdict(unit), "parts": unit.parts, "lowest": unit.lowest})
        return
    columns = ("name", "sides", "FACS", "range", "what moves")
    print_table(None, columns, (_unit_row(unit) for unit in UNITS))


@app.command("verify")
def verify_models(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="NAME", help="All without a name.", show_default=False)
    ] = None,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Check size and checksum of the weights files; exit code 3 if one is damaged."""
    console = Console(quiet)
    code = OK
    for record in [find_record(name) for name in names] if names else read_index():
        try:
            console.note(f"{verify(record)}: ok")
        except WeightsError as error:
            say_error(error, message(error), console)
            code = WEIGHTS
    raise typer.Exit(code)


@app.command()
def path(
    name: Annotated[
        str | None,
        typer.Argument(metavar="NAME", help="The folder without a name.", autocompletion=complete_name),
    ] = None,
    debug: options.Debug = False,
) -> None:
    """Print the path of a weights file, or of the folder they lie in."""
    folder = weights_folder()
    print_path(folder if name is None else folder / find_record(name, folder).file)


@app.command("import")
def import_model(
    checkpoint: Annotated[
        Path, typer.Argument(metavar="FILE", help="Generator checkpoint of the official code (.ckpt, .pth).")
    ],
    output: Annotated[
        Path | None,
        optional(
            "--output",
            "-o",
            metavar="FILE",
            help="Where to write; by default beside the checkpoint, as .safetensors.",
        ),
    ] = None,
    arch: Annotated[
        Literal["sargan", "usgan", "stargan"] | None,
        optional("--arch", help="Its architecture; by default recognised by its layers."),
    ] = None,
    overwrite: options.Overwrite = False,
    debug: options.Debug = False,
) -> None:
    """Turn an official checkpoint into weights for `sargan edit --weights`; no code in it is run."""
    target = output or checkpoint.with_suffix(".safetensors")
    if target.suffix != ".safetensors":
        raise UsageError(f"{target}: weights are written as .safetensors; change the ending")
    if not target.parent.is_dir():
        raise UsageError(f"{target.parent}: no such folder; make it first (mkdir -p {target.parent})")
    check_free(target, overwrite)
    from sargan_core.models.sargan.file import OFFICIAL_TEMPLATE, import_checkpoint, save_generator

    generator = import_checkpoint(checkpoint, arch)
    save_generator(generator, OFFICIAL_TEMPLATE, target, data=UNKNOWN_DATA, weights_licence=UNKNOWN_LICENCE)
    print_path(target)


@app.command()
def fetch(
    name: Annotated[
        Literal["fan"], typer.Argument(metavar="NAME", help="fan: the landmark network of face-alignment.")
    ],
    debug: options.Debug = False,
) -> None:
    """Download weights that sargan does not bring along; nothing is ever downloaded without this."""
    from sargan_core.models.landmarks import fan

    print_path(fan.fetch())


def _unit_row(unit: Unit) -> tuple[str, ...]:
    sides = "_L _R" if unit.sided else ""
    return unit.name, sides, unit.facs, f"{unit.lowest:g} to {unit.largest:g}", unit.says


def _row(record: WeightsRecord) -> tuple[str, ...]:
    return (
        record.name,
        record.kind,
        f"{record.bytes / 1e6:.1f} MB",
        record.code_licence,
        record.weights_licence,
        record.description,
    )
