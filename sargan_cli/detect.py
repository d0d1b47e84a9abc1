"""``sargan detect``: list the faces of photos, and draw them."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sargan_cli import options
from sargan_cli.console import (
    Console,
    FileReport,
    failure,
    overall_code,
    print_bytes,
    print_json,
    print_table,
    say_error,
)
from sargan_cli.files import (
    STREAM,
    check_free,
    check_stdin,
    check_stdout,
    display_name,
    photo_endings,
    plan_outputs,
    read_input,
)
from sargan_cli.importing import importing
from sargan_cli.options import optional
from sargan_core.errors import NoFaceError, WeightsError
from sargan_core.outcome import Outcome, rounded

if TYPE_CHECKING:
    from sargan_core.faces.face import Face
    from sargan_core.faces.find import FaceFinder
    from sargan_core.photo.photo import Photo

COLUMNS = ("face", "x", "y", "width", "height", "eye distance", "confidence", "remarks")


def detect(
    inputs: options.Inputs,
    draw: Annotated[
        str | None,
        optional(
            "--draw",
            metavar="FILE|FOLDER|-",
            help="Write the photo with boxes, points and numbers drawn in; a folder for several inputs.",
        ),
    ] = None,
    overwrite: options.Overwrite = False,
    landmarks: options.Landmarks = "auto",
    max_pixels: options.MaxPixels = None,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """List the faces of photos, numbered from left to right, as `sargan edit --faces` takes them.

    Coordinates are pixels of the upright photo, x to the right, y down.
    """
    to_stdout = draw == "-"
    if to_stdout:
        check_stdout("drawing", "--draw", as_json=as_json)
    check_stdin(inputs)
    targets: list[Path | None] = [None] * len(inputs)
    if draw is not None:
        endings = photo_endings()
        tasks = plan_outputs(inputs, draw, label="faces", endings=endings, option="--draw")
        targets = [task.target for task in tasks]
    console = Console(quiet)
    reports = []
    for source, target in console.track(list(zip(inputs, targets, strict=True)), "detecting"):
        report = _detect_file(source, target, overwrite, landmarks, max_pixels, console)
        reports.append(report)
        if as_json:
            print_json(report.to_json())
            continue
        if faces := report.details["faces"]:
            title = report.input if len(inputs) > 1 else None
            print_table(title, COLUMNS, (_row(face) for face in faces), to_stderr=to_stdout)
        if report.output is not None and not to_stdout:
            console.note(f"drawn: {report.output}")
    raise typer.Exit(overall_code(reports))


def _detect_file(
    source: Path,
    target: Path | None,
    overwrite: bool,
    landmarks: str,
    max_pixels: int | None,
    console: Console,
) -> FileReport:
    """Find the faces of one photo, draw them into ``target``, return the report; errors end this photo only."""
    name = display_name(source)
    details: dict[str, Any] = {"faces": []}
    reading = True
    try:
        if target is not None:
            check_free(target, overwrite)
        photo = read_input(source, max_pixels)
        reading = False
        faces = _finder(landmarks).find(photo.pixels)
        details["faces"] = [_face_json(face) for face in faces]
        if not faces:
            raise NoFaceError(f"{name}: no face found; is there a frontal face larger than about 20 pixels?")
        if target is not None:
            _draw(photo, faces, target, overwrite)
    except (WeightsError, BrokenPipeError):
        raise
    except Exception as error:  # one bad photo must not stop the others
        report = failure(name, error, reading=reading, details=details)
        say_error(error, report.message, console)
        return report
    return FileReport(name, None if target is None else str(target), Outcome.DONE, "", details)


@functools.cache
def _finder(landmarks: str) -> FaceFinder:
    with importing():
        from sargan_core.models.landmarks.finder import face_finder

    return face_finder(landmarks)


def _draw(photo: Photo, faces: list[Face], target: Path, overwrite: bool) -> None:
    from sargan_core.faces.draw import draw_faces
    from sargan_core.photo.photo import encode_photo, write_photo

    drawn = photo.with_pixels(draw_faces(photo.pixels, faces))
    if target == STREAM:
        print_bytes(encode_photo(drawn))
    else:
        write_photo(drawn, target, overwrite=overwrite)


def _row(face: dict[str, Any]) -> tuple[str, ...]:
    return (
        str(face["number"]),
        *(f"{value:.0f}" for value in (*face["box"], face["eye_distance"])),
        f"{face['score']:.2f}",
        "; ".join(face["warnings"]),
    )


def _face_json(face: Face) -> dict[str, Any]:
    """Return a found face as plain values."""
    return {
        "number": face.number,
        "box": [round(value, 1) for value in face.box],
        "score": round(face.score, 4),
        "eye_distance": round(face.eye_distance, 1),
        "points": rounded(face.points),
        "landmarks": None if face.landmarks is None else rounded(face.landmarks),
        "warnings": list(face.warnings),
    }
