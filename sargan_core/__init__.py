"""sargan_core: change the facial expression in a photo and leave everything else alone.

The front door; everything else is imported from its module::

    from sargan_core import Editor, parse_mix, read_photo, write_photo

    result = Editor().edit(read_photo("face.jpg"), parse_mix("happy"))
    write_photo(result.photo, "face-happy.jpg")
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sargan_core.editor import Editor, EditResult, EditSettings
    from sargan_core.errors import SarganError
    from sargan_core.expressions import ExpressionMix, parse_mix
    from sargan_core.photo.photo import Photo, read_photo, write_photo

__all__ = [
    "EditResult",
    "EditSettings",
    "Editor",
    "ExpressionMix",
    "Photo",
    "SarganError",
    "parse_mix",
    "read_photo",
    "write_photo",
]
__version__ = "0.1.0"

# Loaded when first asked for: importing torch takes longer than most commands need.
_HOMES = {
    "Editor": "sargan_core.editor",
    "EditResult": "sargan_core.editor",
    "EditSettings": "sargan_core.editor",
    "SarganError": "sargan_core.errors",
    "ExpressionMix": "sargan_core.expressions",
    "parse_mix": "sargan_core.expressions",
    "Photo": "sargan_core.photo.photo",
    "read_photo": "sargan_core.photo.photo",
    "write_photo": "sargan_core.photo.photo",
}


def __getattr__(name: str) -> Any:
    """Return one of the names of ``__all__`` from the module that it lives in."""
    if name not in _HOMES:
        raise AttributeError(f"module 'sargan_core' has no attribute '{name}'")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """Return the names that can be imported from here."""
    return sorted([*globals(), *__all__])
