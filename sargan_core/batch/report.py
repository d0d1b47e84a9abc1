"""The report of a batch: an HTML page with before and after side by side, made from the manifest alone."""

from __future__ import annotations

import math
import warnings
from base64 import b64encode
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from statistics import fmean, median
from typing import Any

from PIL import Image

from sargan_core.batch.manifest import Entry, manifest_path, read_manifest
from sargan_core.errors import PhotoError
from sargan_core.outcome import OUTCOME_LABELS
from sargan_core.page import address, check_page, page_templates
from sargan_core.photo.files import shown, write_atomically
from sargan_core.photo.photo import Photo, encode_photo, read_photo
from sargan_core.photo.planes import bounded

# The leading dot keeps the folder out of the inputs of the next batch.
THUMBNAILS = ".sargan-thumbnails"
# Longest side of a thumbnail in pixels.
SIDE = 720
_SHOWN = frozenset((".jpg", ".jpeg", ".jfif", ".png", ".webp", ".gif", ".avif", ".bmp"))


def write_report(manifest: Path, output: Path) -> None:
    """Write the report of a batch.

    The page works from the file system and loads nothing from elsewhere. It shows photos where they lie, by relative
    URLs; photos that browsers cannot show (TIFF) get a small copy in a hidden folder beside the page. The same results
    give the same bytes.

    Args:
        manifest: the batch's manifest, or its output folder, for all shards together.
        output: the page; replaced if it exists. It should lie in the output folder, so that both can be moved.

    Raises:
        UsageError: as ``check_page``.
        DataError: the manifest is missing or is none.
        PhotoError: the page cannot be written.
    """
    check_page(output)
    entries = list(read_manifest(manifest).values())
    folder = manifest if manifest.is_dir() else manifest.parent
    page = _Page(folder.absolute(), output.parent.absolute())
    templates = page_templates("sargan_core.batch")
    script = templates.get_template("report.js").render()
    html = templates.get_template("report.html").render(
        title=shown(page.folder.name) or "results",
        summary=summary(entries),
        rows=[page.row(entry) for entry in entries],
        outcomes=OUTCOME_LABELS,
        expressions=sorted({shown(entry.expression) for entry in entries}),
        manifest=shown(manifest_path(folder).name if manifest.is_dir() else manifest.name),
        # Only this script may run, whatever a file name or a message contains.
        script_hash=b64encode(sha256(script.encode()).digest()).decode(),
    )
    # A manifest may hold half a surrogate pair anywhere, which UTF-8 cannot encode.
    write_atomically(output, html.encode("utf-8", "backslashreplace"), overwrite=True)


def summary(entries: Sequence[Entry]) -> dict[str, Any]:
    """Return the figures over all entries: counts, seam, check, and where the time went.

    Returns:
        ``outcomes`` (outcome -> count), ``faces``, ``warned`` (results with a warning), ``models``, ``seam`` and
        ``worst_seam`` (8-bit levels), ``reached`` and ``identity`` (means, 0..1; None without checks), ``seconds``
        (mean per photo by stage, largest first), ``finished`` (time of the newest entry).
    """
    counts = Counter(entry.outcome for entry in entries)
    seams = [entry.seam for entry in entries if entry.seam is not None]
    checks = [check for entry in entries for check in _checks(entry)]
    done = [entry for entry in entries if entry.outcome == "done"]
    stages = {stage for entry in done for stage in entry.seconds} - {"total"}
    means = {stage: fmean(entry.seconds.get(stage, 0.0) for entry in done) for stage in sorted(stages)}
    return {
        "outcomes": {outcome: counts[outcome] for outcome in OUTCOME_LABELS},
        "faces": sum(len(entry.faces) for entry in entries),
        "warned": sum(bool(_warnings(entry)) for entry in entries),
        "models": sorted({entry.model for entry in entries}),
        "seam": median(seams) if seams else None,
        "worst_seam": max(seams, default=None),
        "reached": _mean(check.get("reached") for check in checks),
        "identity": _mean(check.get("identity") for check in checks),
        "seconds": dict(sorted(means.items(), key=lambda item: -item[1])),
        "finished": max((entry.finished for entry in entries), default=""),
    }


class _Page:
    """The page's view of the results.

    Args:
        folder: the output folder of the batch.
        page_folder: where the page lies.
    """

    def __init__(self, folder: Path, page_folder: Path) -> None:
        self.folder = folder
        self.page_folder = page_folder

    def row(self, entry: Entry) -> dict[str, Any]:
        """Return what the page's script needs to know of an entry, as plain values."""
        checks = _checks(entry)
        done = entry.outcome == "done"
        return {
            "name": shown(entry.output),
            "input": shown(entry.input),
            "outcome": entry.outcome,
            "message": entry.message,
            "expression": shown(entry.expression),
            "strength": entry.strength,
            "seam": entry.seam,
            "change": _mean(face.get("change") for face in entry.faces),
            "reached": _mean(check.get("reached") for check in checks),
            "was": _mean(check.get("before") for check in checks),
            "sees": ", ".join(dict.fromkeys(str(check.get("expression", "")) for check in checks)),
            "identity": min(_numbers(check.get("identity") for check in checks), default=None),
            "seconds": entry.seconds.get("total", sum(entry.seconds.values())),
            "warnings": _warnings(entry),
            "box": _around(entry),
            "before": self._picture(entry.input),
            "after": self._picture(entry.output) if done else None,
        }

    def _picture(self, name: str) -> dict[str, Any] | None:
        """Return the URLs of a photo and of the picture to show; None if the name is that of no file."""
        if "://" in name or "\0" in name:
            return None
        path = self.folder / name
        link = address(path, self.page_folder)
        if path.suffix.lower() in _SHOWN:
            return {"link": link, "show": link, "scale": 1.0}
        small = thumbnail(path, self.page_folder / THUMBNAILS)
        if small is None:
            return {"link": link, "show": None, "scale": 1.0}
        return {"link": link, "show": address(small.path, self.page_folder), "scale": small.scale}


def _checks(entry: Entry) -> list[dict[str, Any]]:
    checks = [face.get("check") for face in entry.faces]
    return [check for check in checks if isinstance(check, dict)]


def _warnings(entry: Entry) -> list[str]:
    found = list(entry.notes)
    for number, face in enumerate(entry.faces, start=1):
        warnings = face.get("warnings")
        which = f"face {face.get('number', number)}: " if len(entry.faces) > 1 else ""
        found += [f"{which}{warning}" for warning in warnings] if isinstance(warnings, list) else []
    return found


def _around(entry: Entry) -> list[float] | None:
    """Return the box (x, y, width, height) around the boxes of all faces."""
    corners = []
    for face in entry.faces:
        box = face.get("box")
        numbers = _numbers(box) if isinstance(box, list) else []
        if len(numbers) == 4:
            x, y, width, height = numbers
            corners.append((x, y, x + width, y + height))
    if not corners:
        return None
    left, top, right, bottom = zip(*corners, strict=True)
    return [min(left), min(top), max(right) - min(left), max(bottom) - min(top)]


def _numbers(values: Iterable[Any]) -> list[float]:
    return [float(value) for value in values if isinstance(value, int | float) and math.isfinite(value)]


def _mean(values: Iterable[Any]) -> float | None:
    numbers = _numbers(values)
    return fmean(numbers) if numbers else None


@dataclass(frozen=True)
class Thumbnail:
    """A small JPEG copy of a photo.

    Attributes:
        path: where it lies.
        scale: its size divided by the photo's.
    """

    path: Path
    scale: float


def thumbnail(photo: Path, folder: Path) -> Thumbnail | None:
    """Return a small copy that browsers can show, made unless it is there; None if the photo cannot be read.

    Args:
        photo: any photo; a changed photo gets a new copy.
        folder: where copies lie; made if missing.

    Raises:
        PhotoError: the copy cannot be written.
    """
    try:
        status = photo.stat()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(photo) as header:
                longest = max(header.size)
    except (OSError, ValueError, Image.DecompressionBombError):
        return None
    key = f"{photo}\n{status.st_size}\n{status.st_mtime_ns}".encode("utf-8", "surrogatepass")
    copy = folder / f"{sha256(key).hexdigest()[:24]}.jpg"
    if not copy.exists():
        try:
            pixels, _ = bounded(read_photo(photo).pixels, SIDE)
        except PhotoError:
            return None
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise PhotoError(
                f"{shown(folder)}: cannot be made ({error.strerror or error}); move what lies there away"
            ) from error
        write_atomically(copy, encode_photo(Photo(pixels, name=photo.name), "JPEG"), overwrite=True)
    return Thumbnail(copy, min(1.0, SIDE / longest))
