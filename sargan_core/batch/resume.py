"""Resuming: the plan without the results that earlier runs made and nobody changed since."""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from stat import S_ISREG
from typing import TYPE_CHECKING

from sargan_core.batch.manifest import Stamp, iterate_manifest, manifest_paths
from sargan_core.batch.plan import BatchSettings, Output, Plan, Source, Task, Variant
from sargan_core.batch.steps import stamp_of
from sargan_core.device import choose_device
from sargan_core.errors import WeightsError
from sargan_core.expressions import Like
from sargan_core.models.registry import used_precision
from sargan_core.photo.content import reason_of
from sargan_core.photo.files import shown
from sargan_core.units import UnitMix
from sargan_core.weights import file_checksum, find_record, read_content

if TYPE_CHECKING:
    from sargan_core.editor import EditSettings


@dataclass(frozen=True)
class Known:
    """What the manifest says about one output, no more than resuming needs.

    Attributes:
        outcome: of the newest line.
        options_sha256: of the newest line.
        input_sha256: of the newest line.
        input_stamp: of the newest line.
        made: stamp and checksum of every file that some line announced for this output, the newest last.
    """

    outcome: str
    options_sha256: str
    input_sha256: str
    input_stamp: Stamp | None
    made: tuple[tuple[Stamp, str], ...]


def read_history(folder: Path) -> dict[str, Known]:
    """Return what all manifests of an output folder say, by output; nothing if there is none.

    Raises:
        DataError: a manifest is damaged.
    """
    history: dict[str, Known] = {}
    for entry, newest in iterate_manifest(folder) if manifest_paths(folder) else ():
        known = history.get(entry.output)
        made = () if known is None else known.made
        if entry.output_stamp is not None:
            made = (*made, (entry.output_stamp, entry.output_sha256))
        if known is not None and not newest:  # the manifest of another shard has a newer line
            history[entry.output] = replace(known, made=made)
        else:
            history[entry.output] = Known(
                entry.outcome, entry.options_sha256, entry.input_sha256, entry.input_stamp, made
            )
    return history


@dataclass
class Remaining:
    """The tasks that are left to do, found one by one while engines work.

    An output is left out if its newest line has the same options, the photo is unchanged, and the result lies there as
    it was written. A photo or result with the same size and mtime counts as unchanged. If they differ, and always with
    ``checksums``, its content decides. An mtime less than two seconds before the reading is never trusted.

    Attributes:
        plan: all photos and variants.
        history: what earlier runs did, by output.
        options: ``options_sha256`` by variant.
        retry: outcomes that are done again even if nothing changed.
        checksums: compare contents, not size and mtime.
        overwrite: replace files that no earlier run made, too.
        skipped: how many outputs were left out, by their outcome.
    """

    plan: Plan
    history: Mapping[str, Known]
    options: Mapping[Variant, str]
    retry: frozenset[str] = frozenset()
    checksums: bool = False
    overwrite: bool = False

    def __post_init__(self) -> None:
        self.skipped: Counter[str] = Counter()

    def __iter__(self) -> Iterator[Task]:
        for source in self.plan.sources:
            photo = _File(Path(source.path), trust_time=not self.checksums)
            outputs = [self._output(source, variant, photo) for variant in self.plan.variants]
            left = tuple(output for output in outputs if output is not None)
            if left:
                yield Task(source, left)

    def _output(self, source: Source, variant: Variant, photo: _File) -> Output | None:
        path = variant.output(source.name)
        options = self.options[variant]
        known = self.history.get(path)
        result = _File(self.plan.folder / path, trust_time=not self.checksums)
        if known is not None and known.options_sha256 == options and self._is_settled(known, photo, result):
            self.skipped[known.outcome] += 1
            return None
        ours = known is not None and any(result.equals(stamp, sha256) for stamp, sha256 in known.made)
        return Output(variant, path, options, ours or self.overwrite or self.plan.in_place)

    def _is_settled(self, known: Known, photo: _File, result: _File) -> bool:
        if known.outcome in self.retry:
            return False
        if known.outcome == "done":
            if not known.made or not result.equals(*known.made[-1]):
                return False
            if self.plan.in_place:  # the photo is the result now
                return True
        if known.input_stamp is None:  # the photo could not be read at all
            return False
        return photo.equals(known.input_stamp, known.input_sha256)


class _File:
    """A file that is compared with earlier states; it is read at most once, and only if it must be."""

    def __init__(self, path: Path, *, trust_time: bool) -> None:
        self._path = path
        self._trust_time = trust_time
        self._status: os.stat_result | None = None
        self._missing = False
        self._sha256: str | None = None

    def equals(self, stamp: Stamp, sha256: str) -> bool:
        """Return whether the file is there and unchanged since it had this stamp and checksum."""
        if self._status is None and not self._missing:
            try:
                self._status = self._path.stat()
            except OSError:
                self._missing = True
        if self._status is None or self._status.st_size != stamp.size:
            return False
        if not S_ISREG(self._status.st_mode):  # a named pipe may have replaced it
            return False
        if self._trust_time and stamp_of(self._status) == stamp:
            return True
        if self._sha256 is None:
            try:
                self._sha256 = file_checksum(self._path)
            except (OSError, ValueError):
                self._sha256 = ""
        return bool(sha256) and self._sha256 == sha256


def options_sha256(variants: tuple[Variant, ...], settings: BatchSettings) -> dict[Variant, str]:
    """Return the checksum of each variant's options.

    Weights and reference photos count by their content. What only says where and how fast the work is done (device,
    workers, batch size) does not count. Nor does the version of sargan: a newer one does not do everything again.

    Args:
        variants: what every photo is edited to.
        settings: of the batch, with the precision that is used, see ``with_used_precision``.

    Raises:
        WeightsError: the weights are unknown or missing.
    """
    common = {
        "weights": _weights_sha256(settings.edit),
        "points": find_record("landmarks").sha256,
        "teeth": find_record("mouths").sha256,
        "covers": find_record("occlusion").sha256 if settings.edit.occlusion else "",
        "faces": settings.edit.faces,
        "landmarks": "builtin" if settings.edit.landmarks == "auto" else settings.edit.landmarks,
        "precision": settings.edit.precision,
        "metadata": settings.metadata,
        "provenance": settings.provenance,
    }
    return {variant: _checksum({**common, **_of_variant(variant)}) for variant in variants}


def with_used_precision(settings: BatchSettings) -> BatchSettings:
    """Return the settings with the precision that the model will use in place of ``auto``.

    This is decided once for all processes and machines of a run, before results are compared with earlier runs.

    Raises:
        WeightsError: the weights are unknown or missing.
        UsageError: the device is not on this machine.
    """
    edit = settings.edit
    # Refuses a pipe or a missing file before anybody else opens it.
    _weights_sha256(edit)
    weights = None if edit.weights is None else Path(edit.weights)
    used = used_precision(edit.model, weights, choose_device(edit.device), edit.precision)
    return replace(settings, edit=replace(edit, precision=used))


def _of_variant(variant: Variant) -> dict[str, object]:
    mix = variant.mix
    if isinstance(mix, Like):
        return {"like": mix.sha256, "face": mix.face, "strength": variant.strength}
    if isinstance(mix, UnitMix):
        named = {
            "units": sorted(mix.units),
            "expression": [[str(name), weight] for name, weight in mix.mix.parts],
        }
        return {**named, "strength": variant.strength}
    return {"expression": [[str(name), weight] for name, weight in mix.parts], "strength": variant.strength}


def _weights_sha256(edit: EditSettings) -> str:
    if edit.weights is None:
        record = find_record(edit.model)
        base = record.settings.get("base")
        return record.sha256 + (find_record(str(base)).sha256 if base else "")
    path = Path(edit.weights)
    try:
        return hashlib.sha256(read_content(path)).hexdigest()
    except (OSError, ValueError) as error:
        raise WeightsError(f"{shown(path)}: cannot be read ({reason_of(error)}); check --weights") from error


def _checksum(value: dict[str, object]) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
