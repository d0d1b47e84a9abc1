"""``sargan train``: train a model on photos of one's own, one sub-command a kind."""

from __future__ import annotations

from typing import Any

import typer
from typer.core import TyperGroup

from sargan_cli.train.aipgan import aipgan
from sargan_cli.train.judge import judge
from sargan_cli.train.landmarks import landmarks
from sargan_cli.train.pixel import pixel
from sargan_cli.train.sargan import sargan
from sargan_cli.train.units import units
from sargan_core.errors import UsageError

DEFAULT_KIND = "sargan"


class KindGroup(TyperGroup):
    """A group whose first word may be left out: ``sargan train --data X`` is ``sargan train sargan --data X``."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Name the default kind where none is named."""
        # Shell completion of an empty call must offer the kinds.
        named = args[:1] and (not args[0].startswith("-") or args[0] in self.get_help_option_names(ctx))
        if not named and not (ctx.resilient_parsing and not args):
            for position, word in enumerate(args):
                if word in ("-m", "--model") or word.startswith("--model="):
                    kind = word.partition("=")[2] or "".join(args[position + 1 : position + 2])
                    raise UsageError(
                        f"{word}: the kind is a word of its own now: sargan train "
                        f"{kind if kind in self.commands else 'KIND'} ...; see sargan train --help"
                    )
            args = [DEFAULT_KIND, *args]
        return super().parse_args(ctx, args)


app = typer.Typer(
    name="train",
    cls=KindGroup,
    rich_markup_mode=None,
    subcommand_metavar="[KIND] ...",
    epilog=f"Without a kind, `sargan train` with options trains {DEFAULT_KIND}. Each kind has options of its own: put "
    "--help after its name.",
    help="Train a model on photos of people with different expressions.",
)
for kind in (sargan, pixel, aipgan, judge, landmarks, units):
    app.command()(kind)
