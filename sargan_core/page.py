"""HTML pages that need nothing from elsewhere: what all of them share."""

from __future__ import annotations

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined


def page_templates(package: str) -> Environment:
    """Return the templates of a package, to which ``page.html`` and its style are added.

    Every text that a template shows is escaped; a name that it is not given is an error.
    """
    return Environment(
        loader=ChoiceLoader([PackageLoader(package), PackageLoader("sargan_core")]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
