"""Weights files (safetensors) with a typed record each: find, verify, load and write them."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sargan_core
from sargan_core.errors import WeightsError
from sargan_core.photo.content import BLOCK, open_file, read_file, read_settings
from sargan_core.photo.files import shown, write_atomically

if TYPE_CHECKING:
    from torch import Tensor

    from sargan_core.faces.face import Template


# safetensors' torch part is imported inside functions, because listing the records needs no torch.
INDEX = "index.json"
# Key of the safetensors header that holds the file's record, so that a file can be used without an index.
HEADER = "sargan"
# Limit of each number in the settings of a network and of their count; more could only exhaust the memory.
LARGEST_SETTING = 4096
LONGEST_TEXT = 10_000


@dataclass(frozen=True)
class WeightsRecord:
    """The record of one weights file.

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
    """Return the folder of weights: ``$SARGAN_HOME/weights`` if it exists, else the checkout's or the package's.

    Raises:
        WeightsError: there is none with an ``index.json``.
    """
    package = Path(sargan_core.__file__).parent
    looked = [package.parent / "weights", package / "_weights"]
    if home := os.environ.get("SARGAN_HOME"):
        own = Path(home) / "weights"
        if own.is_dir() and not (own / INDEX).is_file():
            raise WeightsError(
                f"{own}: holds no {INDEX}; copy one there, or unset SARGAN_HOME to use the weights of sargan"
            )
        looked.insert(0, own)
    for folder in looked:
        if (folder / INDEX).is_file():
            return folder
    listed = ", ".join(str(folder) for folder in looked)
    raise WeightsError(f"no weights index found (looked for {INDEX} in {listed}); reinstall sargan")


def read_index(folder: Path | None = None) -> tuple[WeightsRecord, ...]:
    """Return the records of ``index.json`` in ``folder`` (default: the shipped weights), in file order."""
    path = (folder or weights_folder()) / INDEX
    try:
        return _records(read_settings(path))
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise WeightsError(f"{path}: not a readable weights index ({error}); reinstall sargan") from error


@lru_cache(maxsize=4)
def _records(text: str) -> tuple[WeightsRecord, ...]:
    """Return the records of an index with this content; cached, because loading a model needs them five times."""
    return tuple(record_from(entry) for entry in json.loads(text))


def record_from(values: Mapping[str, Any]) -> WeightsRecord:
    """Return the record with these values, which are not trusted.

    Raises:
        ValueError: a member of a wrong type, a name that cannot be printed, a text that is too long, a file outside the
            folder, or settings that are too large.
        TypeError: members missing or unknown.
    """
    record = WeightsRecord(**values)
    for member in (each.name for each in fields(record)):
        value = getattr(record, member)
        wanted = {"bytes": int, "settings": dict, "template": dict | None}.get(member, str)
        if not isinstance(value, wanted):
            raise ValueError(f"{member} is {type(value).__name__}")
        if isinstance(value, str) and len(value) > LONGEST_TEXT:
            raise ValueError(f"{member} has {len(value)} characters")
    if not record.name or shown(record.name) != record.name:
        raise ValueError("the name cannot be shown")
    if record.file in ("", "..") or record.file != Path(record.file).name:
        raise ValueError("the file lies in another folder")
    _check_settings([record.settings, record.template])
    return record


def _check_settings(value: object) -> None:
    if isinstance(value, dict | list | tuple):
        if len(value) > LARGEST_SETTING:
            raise ValueError(f"{len(value)} settings")
        for item in value.values() if isinstance(value, dict) else value:
            _check_settings(item)
    elif isinstance(value, str):
        if len(value) > LONGEST_TEXT:
            raise ValueError("a setting is too long")
    elif not (value is None or (isinstance(value, int | float) and abs(value) <= LARGEST_SETTING)):
        raise ValueError(f"the setting {value} is out of bounds")


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


def file_checksum(path: Path) -> str:
    """Return the sha256 of a file as hexadecimal text; OSError or ValueError as ``open_file``."""
    digest = hashlib.sha256()
    with open_file(path) as stream:
        while block := stream.read(BLOCK):
            digest.update(block)
    return digest.hexdigest()


def verify(record: WeightsRecord, folder: Path | None = None) -> Path:
    """Return the path of a record's file after checking its size and checksum.

    Raises:
        WeightsError: missing, of another size, or of another checksum.
    """
    path = (folder or weights_folder()) / record.file
    _content(record, path)
    return path


def _content(record: WeightsRecord, path: Path) -> bytes:
    if not path.exists():
        raise WeightsError(f"{path}: weights file is missing; reinstall sargan or pass --weights FILE")
    try:
        data = read_content(path)
    except (OSError, ValueError) as error:
        raise WeightsError(f"{path}: damaged weights ({error}); reinstall sargan") from error
    found = hashlib.sha256(data).hexdigest()
    if (len(data), found) != (record.bytes, record.sha256):
        raise WeightsError(
            f"{path}: damaged weights, expected {record.bytes} bytes with sha256 {record.sha256[:12]}…, "
            f"got {len(data)} bytes with sha256 {found[:12]}…; reinstall sargan"
        )
    return data


def load_tensors(record: WeightsRecord, folder: Path | None = None) -> dict[str, Tensor]:
    """Return the tensors of a shipped weights file by name, on the CPU, in the precision of the file.

    Raises:
        WeightsError: missing, damaged, or not safetensors.
    """
    path = (folder or weights_folder()) / record.file
    try:
        return tensors_in(_content(record, path))
    except ValueError as error:
        raise WeightsError(f"{path}: not a safetensors file ({error}); reinstall sargan") from error


def open_weights(path: Path) -> tuple[WeightsRecord, dict[str, Tensor]]:
    """Return the record and the tensors of a weights file of the user's own, as written by ``save_weights``.

    Raises:
        WeightsError: missing, not safetensors, or without a record in its header.
    """
    if not path.exists():
        raise WeightsError(
            f"{path}: no such weights file; see sargan models list, or train one with sargan train"
        )
    try:
        data = read_content(path)
        tensors = tensors_in(data)
        header = text_in(data, HEADER)
    except (OSError, ValueError) as error:
        raise WeightsError(
            f"{path}: not a safetensors file ({error}); give a file made by sargan train"
        ) from error
    if header is None:
        raise WeightsError(
            f"{path}: no sargan record in the file; give a file made by sargan train or models import"
        )
    try:
        values = json.loads(header)
        # A name that cannot be printed is accepted in escaped form: it may come from the file's name.
        values["name"] = shown(str(values.get("name", path.stem)))
        own = {"file": path.name, "sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
        record = record_from({**values, **own})
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise WeightsError(
            f"{path}: its record is not readable ({error}); train or import it again"
        ) from error
    return record, tensors


def save_weights(
    path: Path,
    tensors: dict[str, Tensor],
    *,
    kind: str,
    description: str,
    name: str = "",
    template: Template | None = None,
    settings: Mapping[str, Any] | None = None,
    data: str = "",
    weights_licence: str = "CC BY 4.0",
) -> WeightsRecord:
    """Write tensors with their record in the header; return the record for the index.

    The file appears whole or not at all.

    Args:
        path: a ``.safetensors`` file.
        tensors: by name.
        name: name on the command line; empty = the file's name.
        kind, description, template, settings, data, weights_licence: as of ``WeightsRecord``.
    """
    import safetensors.torch

    record = WeightsRecord(
        name=name or path.stem,
        file=path.name,
        kind=kind,
        sha256="",
        bytes=0,
        description=description,
        template=None if template is None else template.to_json(),
        settings=dict(settings or {}),
        weights_licence=weights_licence,
        data=data,
    )
    values = asdict(record)
    # Known only once the file is written.
    for own in ("file", "sha256", "bytes"):
        values.pop(own)
    content = safetensors.torch.save(
        {name: tensor.contiguous() for name, tensor in tensors.items()},
        metadata={HEADER: json.dumps(values, ensure_ascii=False)},
    )
    write_atomically(path, content, overwrite=True)
    return replace(record, sha256=file_checksum(path), bytes=path.stat().st_size)


def add_to_index(folder: Path, record: WeightsRecord) -> None:
    """Write ``record`` into ``folder/index.json`` in place of the one with its name, or at the end."""
    known = list(read_index(folder)) if (folder / INDEX).is_file() else []
    names = [other.name for other in known]
    if record.name in names:
        known[names.index(record.name)] = record
    else:
        known.append(record)
    write_index(folder, tuple(known))


# Largest weights file in bytes; no network of this project comes near it.
LARGEST_FILE = 2**28
# Largest header in bytes (list of tensors and record); parsing it takes ten times as much memory.
LARGEST_HEADER = 2**22


def read_content(path: Path) -> bytes:
    """Return the bytes of a file.

    Raises:
        ValueError: not a file, or larger than ``LARGEST_FILE``.
        OSError: not readable.
    """
    return read_file(path, LARGEST_FILE)


def tensors_in(data: bytes) -> dict[str, Tensor]:
    """Return the tensors by name, in the order of the names, on the CPU, in the precision of the file.

    Raises:
        ValueError: not safetensors, or numbers that are not finite.
    """
    import safetensors.torch

    if int.from_bytes(data[:8], "little") > LARGEST_HEADER:
        raise ValueError(f"a header of more than {LARGEST_HEADER:,} bytes")
    try:
        tensors = safetensors.torch.load(data)
        endless = [name for name, tensor in tensors.items() if not bool(tensor.isfinite().all())]
    except (
        safetensors.SafetensorError,
        RuntimeError,
        KeyError,
    ) as error:  # also dtypes without arithmetic
        raise ValueError(str(error)) from error
    if endless:
        raise ValueError(f"'{shown(endless[0])}' holds numbers that are not finite")
    return {name: tensors[name] for name in sorted(tensors)}


def text_in(data: bytes, key: str) -> str | None:
    """Return a text in the header of content that ``tensors_in`` has read, None if there is none."""
    length = int.from_bytes(data[:8], "little")
    found = (json.loads(data[8 : 8 + length]).get("__metadata__") or {}).get(key)
    return found if isinstance(found, str) else None
