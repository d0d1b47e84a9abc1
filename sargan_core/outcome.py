"""How the work on one photo ended, and the one line that says so."""

from __future__ import annotations

import errno
from enum import Enum

from sargan_core.errors import (
    NoFaceError,
    OutputExistsError,
    PhotoError,
    SarganError,
    UsageError,
    WeightsError,
)
from sargan_core.files import shown


class Outcome(str, Enum):
    """How one photo ended."""

    DONE = "done"
    NO_FACE = "no_face"
    UNREADABLE = "unreadable"
    FAILED = "failed"

    def __str__(self) -> str:
        return self.value


def outcome_of(error: BaseException, *, reading: bool) -> Outcome:
    """Return the outcome that an error stands for.

    Args:
        error: what happened.
        reading: whether the input was still being read.
    """
    if isinstance(error, NoFaceError):
        return Outcome.NO_FACE
    if reading and not isinstance(error, OutputExistsError | UsageError):
        return Outcome.UNREADABLE
    return Outcome.FAILED


# As CUDA, torch on the processor, and OpenCV say it.
_NO_MEMORY = (
    "out of memory",
    "allocate memory",
    "not enough memory",
    "insufficient memory",
    "failed to allocate",
)


def out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory, of the machine or of the GPU, ran out."""
    memory = isinstance(error, MemoryError) or isinstance(error.__cause__, MemoryError)
    said = str(error).lower()
    return memory or any(words in said for words in _NO_MEMORY)


def message(error: BaseException, subject: str = "") -> str:
    """Return one line: what it is about, what is wrong, what to do.

    The errors of sargan_core bring all three; those of the system and of the libraries get the missing parts.
    """
    if isinstance(error, SarganError):
        text = str(error)
        named = not subject or isinstance(error, WeightsError | OutputExistsError) or subject in text
        if isinstance(error, PhotoError) or named:
            return plain(text)
        return plain(f"{subject}: {text}")
    prefix = f"{subject}: " if subject else ""
    if out_of_memory(error):
        return plain(f"{prefix}not enough memory; close other programs, use --device cpu, or a smaller photo")
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename else prefix
        advice = _ADVICE.get(error.errno or 0, "")
        return plain(f"{where}{error.strerror or error}{advice}")
    return plain(
        f"{prefix}unexpected {type(error).__name__}: {error} (--debug shows where; please report it)"
    )


_ADVICE = {
    errno.ENOSPC: "; free some space or write elsewhere with -o",
    errno.EACCES: "; check the permissions or write elsewhere with -o",
    errno.EROFS: "; write elsewhere with -o",
    errno.ENOENT: "; check the name",
    errno.ENAMETOOLONG: "; shorten the name",
    errno.EBADF: "; standard output is closed, redirect it",
}


def plain(text: object) -> str:
    """Return text as one line that any terminal can show: control and undecodable characters are escaped."""
    return shown(" ".join(str(text).splitlines()).strip())
