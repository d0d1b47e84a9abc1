"""A photo: its pixels, and everything of its file that must survive an edit."""

from __future__ import annotations

import io
import os
import warnings
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import BinaryIO, Literal, TypeAlias

from sargan_core.errors import PhotoError
from sargan_core.photo import bmp, gif, heif, jpeg, png, tiff, webp
from sargan_core.photo.content import HEAD, open_photo, read_rest
from sargan_core.photo.files import shown, write_atomically
from sargan_core.photo.kinds import (
    KINDS,
    LISTED,
    READ_ONLY,
    Array,
    Defect,
    Encoding,
    Metadata,
    damaged,
    holds_provenance,
    kind_of_bytes,
    kind_of_path,
    written_kind,
)
from sargan_core.photo.metadata import Provenance, mark
from sargan_core.photo.planes import Picture, picture_for

MAX_PIXELS = 256_000_000
STANDARD_INPUT = "standard input"
MetadataPolicy: TypeAlias = Literal["keep", "strip"]

_DECODERS = {
    "JPEG": jpeg.decode,
    "PNG": png.decode,
    "WEBP": webp.decode,
    "TIFF": tiff.decode,
    "BMP": bmp.decode,
    "AVIF": heif.decode_avif,
    "GIF": gif.decode,
    "HEIC": heif.decode_heic,
}


@dataclass(frozen=True)
class Photo:
    """A photo as it is edited.

    Attributes:
        pixels: (H, W, 3) uint8 or uint16 with the full range of the type, RGB in the file's own colour
            space, upright (orientation applied), C-contiguous, writable.
        alpha: (H, W) of the same dtype, 0 transparent, or None.
        format: format of the file it came from: JPEG, PNG, WEBP, TIFF, BMP, AVIF, GIF or HEIC.
        name: name of the file for messages.
        encoding: how the file stores the pixels.
        metadata: what the file says about the picture.
        notes: sentences for the user about what a result in the same format will not keep.
    """

    pixels: Array
    alpha: Array | None = None
    format: str = "PNG"
    name: str = "photo"
    encoding: Encoding = field(default_factory=Encoding)
    metadata: Metadata = field(default_factory=Metadata)
    notes: tuple[str, ...] = ()

    @property
    def height(self) -> int:
        """Height of the upright picture in pixels."""
        return int(self.pixels.shape[0])

    @property
    def width(self) -> int:
        """Width of the upright picture in pixels."""
        return int(self.pixels.shape[1])

    def with_pixels(self, pixels: Array) -> Photo:
        """Return the photo with other pixels of the same shape and dtype.

        Raises:
            ValueError: shape or dtype differ.
        """
        if pixels.shape != self.pixels.shape or pixels.dtype != self.pixels.dtype:
            expected = f"{self.pixels.shape} {self.pixels.dtype}"
            raise ValueError(f"pixels must be {expected}, not {pixels.shape} {pixels.dtype}")
        return replace(self, pixels=pixels)


def read_photo(
    source: Path | str | bytes | BinaryIO, *, name: str | None = None, max_pixels: int = MAX_PIXELS
) -> Photo:
    """Read a photo from a path, from bytes or from a binary stream.

    Args:
        source: path, content, or stream to read to its end.
        name: name for messages; by default the path, or ``standard input``.
        max_pixels: largest width times height, checked before anything is decoded.

    Raises:
        PhotoError: missing, unreadable, empty, not a supported image, cut off, damaged or too large; or of a
            kind that cannot be handled right (linear light, floating point, CMYK without profile, HDR).
    """
    if isinstance(source, str | os.PathLike):
        path, name = Path(source), shown(name or str(source))
        with open_photo(path, name) as stream:
            return _read(stream, name, max_pixels)
    name = shown(name or STANDARD_INPUT)
    stream = io.BytesIO(source) if isinstance(source, bytes | bytearray | memoryview) else source
    return _read(stream, name, max_pixels)


def _read(stream: BinaryIO, name: str, max_pixels: int) -> Photo:
    try:
        head = stream.read(HEAD)
        # A file that is not a photo is not read to its end.
        kind = kind_of_bytes(head)
        data = read_rest(stream, head, name, max_pixels)
    except Defect as defect:
        raise PhotoError(f"{name}: {defect}") from defect
    except MemoryError as error:
        raise _no_room(name) from error
    return decode_photo(data, kind, name, max_pixels)


def decode_photo(data: bytes, kind: str, name: str, max_pixels: int = MAX_PIXELS) -> Photo:
    """Return the photo that the content of a file holds.

    Args:
        data: all bytes of the file.
        kind: its format, as ``kind_of_bytes`` returns it.
        name: name for messages, as ``shown`` returns it.
        max_pixels: as for ``read_photo``.

    Raises:
        PhotoError: as ``read_photo``.
    """
    try:
        try:
            with warnings.catch_warnings():
                # Decoders warn of broken tags; what matters becomes a note or an error.
                warnings.simplefilter("ignore")
                decoded = _DECODERS[kind](data, max_pixels)
        except (Defect, MemoryError):
            raise
        except Exception as error:  # broken bytes make decoders raise anything
            raise damaged(kind, "or cut off before its end") from error
    except Defect as defect:
        raise PhotoError(f"{name}: {defect}") from defect
    except MemoryError as error:
        raise _no_room(name) from error
    return Photo(
        pixels=decoded.pixels,
        alpha=decoded.alpha,
        format=kind,
        name=name,
        encoding=decoded.encoding,
        metadata=decoded.metadata,
        notes=decoded.notes,
    )


def _no_room(name: str) -> PhotoError:
    return PhotoError(f"{name}: the picture does not fit into memory; make it smaller")


def encode_photo(
    photo: Photo,
    format: str | None = None,
    *,
    metadata: MetadataPolicy = "keep",
    provenance: Provenance | None = None,
) -> bytes:
    """Return the content of the photo's file.

    Args:
        photo: the photo; its pixels may have been edited.
        format: JPEG, PNG, WEBP, TIFF, BMP, AVIF or GIF; by default the format it came from, or JPEG
            where that is read only (HEIC).
        metadata: ``keep`` writes what the source had and the format can hold; ``strip`` only colour profile,
            colour chunks and resolution.
        provenance: how it was edited, written as XMP; BMP and GIF cannot store it (``kinds.holds_provenance``).

    Raises:
        PhotoError: unknown format, or the format cannot hold the photo.
    """
    kind = KINDS.get((format or written_kind(photo.format)).upper())
    if kind is None:
        raise PhotoError(
            f"{photo.name}: the format '{shown(format or photo.format)}' is not known; use {LISTED}"
        )
    kept = photo.metadata.stripped() if metadata == "strip" else photo.metadata
    if provenance is not None:
        kept = replace(kept, xmp=mark(kept.xmp, provenance))
    try:
        picture = picture_for(photo.pixels, photo.alpha, photo.encoding, kept.icc_profile, kind)
        try:
            return _encode(kind.name, picture, photo.encoding, kept, provenance)
        except Defect:
            raise
        except (OSError, ValueError) as error:
            raise Defect(
                f"cannot be written as {kind.name} ({error})", "write PNG or TIFF instead"
            ) from error
    except Defect as defect:
        raise PhotoError(f"{photo.name}: {defect}") from defect
    except MemoryError as error:
        raise _no_room(photo.name) from error


def _encode(
    kind: str, picture: Picture, encoding: Encoding, metadata: Metadata, provenance: Provenance | None
) -> bytes:
    match kind:
        case "JPEG":
            marks = provenance.properties() if provenance is not None else ()
            return jpeg.encode(picture, encoding, metadata, marks)
        case "PNG":
            return png.encode(picture, metadata)
        case "WEBP":
            return webp.encode(picture, encoding, metadata)
        case "TIFF":
            return tiff.encode(picture, encoding, metadata)
        case "AVIF":
            return heif.encode_avif(picture, metadata)
        case "BMP":
            return bmp.encode(picture, metadata)
        case _:
            return gif.encode(picture, metadata)


def render_photo(
    photo: Photo,
    name: Path | None,
    *,
    metadata: MetadataPolicy = "keep",
    provenance: Provenance | None = None,
) -> tuple[bytes, str | None]:
    """Return the content of an edited photo's file, and a note on what it cannot hold.

    Args:
        photo: the edited photo.
        name: the file's name, whose ending decides the format; None or another ending = the photo's own format. Give
            None for a file that is overwritten: it keeps its format even if its name says another.
        metadata: as for ``encode_photo``.
        provenance: as for ``encode_photo``.

    Returns:
        The bytes, and a note if the format cannot store ``provenance`` or is not the photo's own.

    Raises:
        PhotoError: the format cannot hold the photo.
    """
    kind = (None if name is None else kind_of_path(name)) or written_kind(photo.format)
    note = None
    if photo.format in READ_ONLY and kind == written_kind(photo.format):
        note = f"{photo.format} photos are only read; the result is written as {kind}"
    if provenance is not None and not holds_provenance(kind):
        note = f"{kind} has no place for the mark that says how the photo was changed"
    return encode_photo(photo, kind, metadata=metadata, provenance=provenance), note


def write_photo(
    photo: Photo,
    path: Path | str,
    *,
    overwrite: bool = False,
    format: str | None = None,
    metadata: MetadataPolicy = "keep",
    provenance: Provenance | None = None,
) -> None:
    """Write the photo to a file that appears whole or not at all.

    Args:
        photo: the photo; its pixels may have been edited.
        path: the file; its folder must exist.
        overwrite: replace an existing file, keeping its permissions.
        format: format to write; by default what the file name's ending says, or without an ending the format
            the photo came from.
        metadata: as for ``encode_photo``.
        provenance: as for ``encode_photo``.

    Raises:
        OutputExistsError: the file exists and ``overwrite`` is false.
        PhotoError: unknown ending, the format cannot hold the photo, or the file cannot be written.
    """
    path = Path(path)
    if format is None and path.suffix:
        format = kind_of_path(path)
        if format is None:
            endings = ", ".join(kind.suffixes[0] for kind in KINDS.values())
            raise PhotoError(
                f"{shown(path)}: the ending '{shown(path.suffix)}' is no photo format; use {endings}"
            )
    data = encode_photo(photo, format, metadata=metadata, provenance=provenance)
    write_atomically(path, data, overwrite=overwrite)
