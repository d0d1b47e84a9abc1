"""Weights files: safetensors, each with one typed record, found, verified and loaded strictly."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import sargan_core
from sargan_core.errors import WeightsError

INDEX = "index.json"


@dataclass(frozen=True)
class WeightsRecord:
    """What is known of one weights file.

    Attributes:
        name: the name on the command line, e.g. ``pixel``.
        file: file name inside the weights folder.
        kind: the architecture that loads it: ``pixel``, ``generator``, ``landmarks``, …
        sha256: checksum of the file.
        bytes: size of the file.
        description: one line for people.
        template: the alignment (``Template.to_json``), None for networks that are not expression models.
        settings: constructor settings of the architecture.
        code_licence: licence of the code that runs it.
        weights_licence: licence of the numbers in the file.
        data: what it was trained on, with licence and attribution.
    """

    name: str
    file: str
    kind: str
    sha256: str
    bytes: int
    description: str
    template: dict[str, Any] | None
    settings: dict[str, Any] = field(default_factory=dict)
    code_licence: str = "MIT"
    weights_licence: str = "CC BY 4.0"
    data: str = ""


def weights_folder() -> Path:
    """Return the folder of the shipped weights: ``SARGAN_HOME``, the checkout's, or the installed package's.

    Raises:
        WeightsError: none of them holds ``index.json``.
    """
    package = Path(sargan_core.__file__).parent
    looked = [package.parent / "weights", package / "_weights"]
    if home := os.environ.get("SARGAN_HOME"):
        looked.insert(0, Path(home) / "weights")
    for folder in looked:
        if (folder / INDEX).is_file():
            return folder
    listed = ", ".join(str(folder) for folder in looked)
    raise WeightsError(f"no weights index found (looked for {INDEX} in {listed}); reinstall sargan")


def read_index(folder: Path | None = None) -> tuple[WeightsRecord, ...]:
    """Return the records of ``index.json`` in ``folder`` (default: the shipped weights), in file order."""
    path = (folder or weights_folder()) / INDEX
    try:
        return tuple(WeightsRecord(**entry) for entry in json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise WeightsError(f"{path}: not a readable weights index ({error}); reinstall sargan") from error


def write_index(folder: Path, records: tuple[WeightsRecord, ...]) -> None:
    """Write ``records`` as ``folder/index.json``."""
    text = json.dumps([asdict(record) for record in records], indent=2, ensure_ascii=False)
    (folder / INDEX).write_text(text + "\n", encoding="utf-8")


def find_record(name: str, folder: Path | None = None) -> WeightsRecord:
    """Return the record called ``name``.

    Raises:
        WeightsError: there is none; the message lists the names.
    """
    records = read_index(folder)
    for record in records:
        if record.name == name:
            return record
    listed = ", ".join(record.name for record in records)
    raise WeightsError(f"no weights called '{name}'; known: {listed}")


def checksum(path: Path) -> str:
    """Return the sha256 of a file as hexadecimal text."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def verify(record: WeightsRecord, folder: Path | None = None) -> Path:
    """Return the path of a record's file after checking its size and checksum.

    Raises:
        WeightsError: missing, of another size, or of another checksum.
    """
    path = (folder or weights_folder()) / record.file
    if not path.is_file():
        raise WeightsError(f"{path}: weights file is missing; reinstall sargan or pass --weights FILE")
    size = path.stat().st_size
    found = checksum(path)
    if size != record.bytes or found != record.sha256:
        raise WeightsError(
            f"{path}: damaged weights, expected {record.bytes} bytes with sha256 {record.sha256[:12]}…, "
            f"got {size} bytes with sha256 {found[:12]}…; reinstall sargan"
        )
    return path
