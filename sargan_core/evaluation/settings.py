"""The settings of an evaluation, and which models take part."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from sargan_core.errors import UsageError, WeightsError
from sargan_core.evaluation.journal import NOTHING, TRUTH
from sargan_core.photo.content import reason_of
from sargan_core.weights import find_record, read_content

DEFAULT_STRENGTHS = (0.25, 0.5, 0.75, 1.0, 1.25, 1.5)


@dataclass(frozen=True)
class ModelChoice:
    """A model that takes part.

    Attributes:
        name: its name in the tables.
        weights: a weights file; None = the shipped weights of that name.
    """

    name: str
    weights: Path | None = None

    def checksum(self) -> str:
        """Return the sha256 of the weights.

        Raises:
            WeightsError: no such weights.
        """
        if self.weights is None:
            return find_record(self.name).sha256
        try:
            return hashlib.sha256(read_content(self.weights)).hexdigest()
        except FileNotFoundError as error:
            raise WeightsError(
                f"{self.weights}: no such weights file; check --model {self.name}=FILE"
            ) from error
        except (OSError, ValueError) as error:
            raise WeightsError(
                f"{self.weights}: cannot be read ({reason_of(error)}); check --model {self.name}=FILE"
            ) from error


@dataclass(frozen=True)
class EvaluationSettings:
    """What is evaluated and how.

    Attributes:
        models: the models; doing nothing always takes part besides.
        data: folders of labelled photos, as for training.
        ood: folders of unlabelled photos, reported apart.
        split: manifest of a training run; None = the fixed rule of every fifth person.
        everyone: take all people of ``data`` for test people.
        judges: TOML files of further judges.
        limit: at most so many people of ``data`` and photos of each ``ood`` folder.
        curve_people: on how many people strength curves are drawn; 0 = none.
        strengths: the strengths of the curves besides 0.
        inception: also compare sets of pictures by Inception features (extra ``fidelity``).
        device: where networks run.
        landmarks: as for the editor.
        precision: as for the editor.
        workers: processes that work side by side.
    """

    models: tuple[ModelChoice, ...]
    data: tuple[Path, ...] = ()
    ood: tuple[Path, ...] = ()
    split: Path | None = None
    everyone: bool = False
    judges: tuple[Path, ...] = ()
    limit: int | None = None
    curve_people: int = 6
    strengths: tuple[float, ...] = DEFAULT_STRENGTHS
    inception: bool = False
    device: str = "auto"
    landmarks: str = "auto"
    precision: str = "auto"
    workers: int = 1


def parse_models(text: str) -> tuple[ModelChoice, ...]:
    """Read ``pixel,mine=runs/pixel/pixel.safetensors`` into choices; ``none`` may be named, it always takes part.

    Raises:
        UsageError: an empty or reserved name, or one given twice.
    """
    choices: list[ModelChoice] = []
    for item in text.split(","):
        name, equals, path = (part.strip() for part in item.partition("="))
        if name == NOTHING and not equals:
            continue
        if not name or name in (NOTHING, TRUTH) or (equals and not path):
            raise UsageError(f"--model '{item}': give a name of sargan models list, or NAME=FILE.safetensors")
        if any(choice.name == name for choice in choices):
            raise UsageError(f"--model names {name} twice; give the second another name: {name}2=FILE")
        choices.append(ModelChoice(name, Path(path) if equals else None))
    return tuple(choices)
