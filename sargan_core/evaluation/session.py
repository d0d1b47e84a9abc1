"""A worker of an evaluation: holds finder, judges and editors, and measures photo by photo."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sargan_core.data.crops import Cropper
from sargan_core.device import choose_device
from sargan_core.editor import Editor, EditSettings
from sargan_core.errors import DataError, SarganError, WeightsError
from sargan_core.evaluation.journal import NOTHING, TRUTH, Entry
from sargan_core.evaluation.judges import FaceJudge, make_judges
from sargan_core.evaluation.measure import Features, Subject
from sargan_core.evaluation.metrics import TEMPLATE, inception_features
from sargan_core.evaluation.protocol import Case, EvaluationSettings, ModelChoice
from sargan_core.evaluation.view import Targets, Viewer
from sargan_core.models.landmarks.finder import face_finder

INCEPTION = "inception"
JudgeFactory = Callable[[EvaluationSettings, str], Sequence[FaceJudge]]


def default_judges(settings: EvaluationSettings, device: str) -> Sequence[FaceJudge]:
    """Return the shipped judge and those of the settings."""
    return make_judges(settings.judges, device)


@dataclass(frozen=True)
class Job:
    """The measures that are missing for one photo.

    Attributes:
        case: the photo.
        models: name, key of the entry and strengths; ``none`` and ``truth`` are names too.
    """

    case: Case
    models: tuple[tuple[str, str, tuple[float, ...]], ...]


class Session:
    """Measures jobs; build it once per process.

    Raises:
        WeightsError, UsageError, DataError: as ``FaceFinder``, ``make_judges`` and ``inception_features``.
    """

    def __init__(self, settings: EvaluationSettings, judges: JudgeFactory = default_judges) -> None:
        self._settings = settings
        self._device = choose_device(settings.device)
        self.judges = tuple(judges(settings, self._device))
        finder = face_finder(settings.landmarks, self._device)
        self.viewer = Viewer(finder, self.judges, self._device)
        self._cropper = Cropper(TEMPLATE, landmarks=settings.landmarks, finder=finder)
        self._features: dict[str, Features] = (
            {INCEPTION: inception_features(self._device)} if settings.inception else {}
        )
        self._editors: dict[str, tuple[Editor, Targets]] = {}

    def editor(self, name: str) -> tuple[Editor, Targets]:
        """Return the editor of a model and its targets, built at the first call.

        Raises:
            WeightsError: as ``Editor``.
        """
        if name not in self._editors:
            choice = next(choice for choice in self._settings.models if choice.name == name)
            editor = Editor(edit_settings(choice, self._settings))
            self._editors[name] = editor, Targets(editor, self.viewer)
        return self._editors[name]

    def subject(self, case: Case) -> Subject:
        """Return a case's photo with its face found; raises what ``Subject`` raises."""
        return Subject(case, self.viewer, self._cropper, self._features)

    def work(self, job: Job) -> list[Entry]:
        """Return one entry per model; an error affects only this photo, or this photo with this model.

        Raises:
            WeightsError: a model cannot be loaded, so no photo can be measured.
        """
        photo = str(job.case.path)
        try:
            subject = self.subject(job.case)
        except Exception as error:  # one bad photo must not end the others
            return [Entry(key, photo, name, error=_reason(error)) for name, key, _ in job.models]
        entries = []
        for name, key, strengths in job.models:
            try:
                if name == TRUTH:
                    measures = subject.measure_truths()
                elif name == NOTHING:
                    measures = subject.measure_nothing()
                else:
                    measures = subject.measure_model(name, *self.editor(name), strengths)
                    if not measures:
                        raise DataError(
                            f"{name} is shown photos of expressions; give labelled ones with --data"
                        )
                entries.append(Entry(key, photo, name, tuple(measures)))
            except WeightsError:
                raise
            except Exception as error:
                entries.append(Entry(key, photo, name, error=_reason(error)))
        return entries


def edit_settings(choice: ModelChoice, settings: EvaluationSettings) -> EditSettings:
    """Return the editor's settings for a model of an evaluation."""
    return EditSettings(
        model=choice.name,
        weights=choice.weights,
        device=settings.device,
        landmarks=settings.landmarks,
        faces="largest",
        precision=settings.precision,
        check=False,
    )


def _reason(error: Exception) -> str:
    return str(error) if isinstance(error, SarganError) else f"unexpected {type(error).__name__}: {error}"
