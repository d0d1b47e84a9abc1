"""The editor: from a photo to the same photo with another expression."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from sargan_core.check import EditChecker, FaceCheck, SeenFaces
from sargan_core.device import choose_device, one_thread
from sargan_core.errors import NoFaceError, UsageError
from sargan_core.faces.align import Alignment, extract, face_crops
from sargan_core.faces.cover import Cover, held_back, kept_clear
from sargan_core.faces.face import EditedCrops, Face, FaceCrops, Pixels
from sargan_core.faces.fill import fill
from sargan_core.faces.find import select_faces
from sargan_core.faces.palette import in_own_colours
from sargan_core.faces.paste import Pasted, paste
from sargan_core.faces.teeth import Teeth
from sargan_core.models.base import Reference, Target
from sargan_core.models.landmarks.finder import face_finder
from sargan_core.models.mouths.bank import MouthBank, load_bank
from sargan_core.models.occlusion.finder import CoverFinder
from sargan_core.models.registry import load_model
from sargan_core.photo.photo import Photo
from sargan_core.units import OF_EYES, OF_MOUTH, UnitMix, without_units

# Mean change of the face (0..1) below which an edit cannot be seen.
INVISIBLE_CHANGE = 0.002
# Step at the mask's border, in 8-bit levels, above which it can be seen on smooth skin.
VISIBLE_SEAM = 3.0


@dataclass(frozen=True)
class EditSettings:
    """Settings of an editor.

    Attributes:
        model: name of shipped weights, see ``sargan models``.
        weights: a weights file of the user's own instead.
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``.
        landmarks: ``auto``, ``builtin``, ``fan`` or ``detector``.
        faces: ``all``, ``largest``, or numbers from left to right such as ``1,3``.
        precision: ``auto``, ``fp32`` or ``bf16`` for the generator; ``auto`` as ``choose_precision`` says.
        check: check every edited face with the judge, see ``sargan_core.check``.
        occlusion: leave what is in front of a face as it is, see ``faces/cover.py``.
    """

    model: str = "sargan"
    weights: Path | None = None
    device: str = "auto"
    landmarks: str = "auto"
    faces: str = "all"
    precision: str = "auto"
    check: bool = True
    occlusion: bool = True


@dataclass(frozen=True)
class FaceEdit:
    """What was done to one face.

    Attributes:
        face: the face, in photo pixels.
        seam: mean change just inside the mask's border, in 8-bit levels.
        change: mean absolute change on the face, 0..1.
        warnings: sentences for the user, with those of the check.
        check: the result of the self-check; None = not checked.
    """

    face: Face
    seam: float
    change: float
    warnings: tuple[str, ...]
    check: FaceCheck | None = None


@dataclass(frozen=True)
class EditResult:
    """An edited photo.

    Attributes:
        photo: pixels edited, everything else as in the input.
        faces: the edited faces, left to right.
        seconds: seconds by stage: ``find``, ``crop``, ``model``, ``paste``, and ``check`` if there is one.
    """

    photo: Photo
    faces: tuple[FaceEdit, ...]
    seconds: dict[str, float]


@dataclass(frozen=True)
class PreparedPhoto:
    """A photo whose faces are found and cropped, ready for the model.

    Attributes:
        photo: the photo.
        faces: the faces to edit, left to right.
        alignments: one per face.
        crops: one per face, on the editor's device.
        seconds: seconds by stage: ``find``, ``crop``, ``check``.
        seen: the faces as the judge sees them; None without a check.
        covers: what is in front of each face, None where nothing is; empty if nobody looked.
    """

    photo: Photo
    faces: tuple[Face, ...]
    alignments: tuple[Alignment, ...]
    crops: FaceCrops
    seconds: Mapping[str, float]
    seen: SeenFaces | None = None
    covers: tuple[Cover | None, ...] = ()


class Editor:
    """Edits photos with one model; build it once and use it for many photos.

    Args:
        settings: model, device, choice of faces.

    Raises:
        WeightsError: weights missing, damaged or unknown.
        UsageError: the device is not available, or the kind of landmarks is unknown.
    """

    def __init__(self, settings: EditSettings | None = None) -> None:
        self.settings = settings or EditSettings()
        self.device = choose_device(self.settings.device)
        self._finder = face_finder(self.settings.landmarks, self.device)
        self._cover_finder = CoverFinder() if self.settings.occlusion else None
        self.model = load_model(
            self.settings.model, self.settings.weights, self.device, self.settings.precision
        )
        self._checker = EditChecker(self.device) if self.settings.check else None
        # Loaded when teeth are first needed.
        self._mouths: MouthBank | None = None

    def _teeth(self, landmarks: npt.NDArray[np.float64] | None) -> Teeth:
        if self._mouths is None:
            self._mouths = load_bank()
        return self._mouths.choose(landmarks)

    def find(self, photo: Photo) -> list[Face]:
        """Return all faces of a photo, numbered from left to right."""
        return self._finder.find(photo.pixels)

    def reference(self, photo: Photo, face_number: int | None = None) -> Reference:
        """Return the expression of a face of another photo as a target.

        Args:
            photo: the photo that shows the expression.
            face_number: which face, counted from left to right; None = the largest.

        Raises:
            NoFaceError: there is no face.
            UsageError: no such face, or the editor's model takes no references.
        """
        if not self.model.takes_reference:
            raise UsageError(
                f"'{self.model.name}' takes an expression by name; "
                "the expression of a photo (--like) needs --model units"
            )
        found = self.find(photo)
        if not found:
            raise NoFaceError(f"{photo.name}: no face found; --like needs a photo of a face")
        if face_number is not None and face_number > len(found):
            raise UsageError(
                f"{photo.name}: there is no face {face_number}, only {len(found)}; "
                "`sargan detect` shows their numbers"
            )
        chosen = select_faces(found, "largest" if face_number is None else str(face_number))
        prepared = self.prepare(photo, chosen)
        shown = () if prepared.seen is None else tuple(prepared.seen.probabilities[0].tolist())
        with torch.inference_mode(), one_thread():
            code = self.model.read_code(prepared.crops, photo.name)
        name, notes = Path(photo.name).name, []
        cover = prepared.covers[0] if prepared.covers else None
        if code and cover is not None:
            for covered, part, units in (
                (cover.mouth_covered, "mouth", OF_MOUTH),
                (cover.eyes_covered, "eyes", OF_EYES),
            ):
                if covered:
                    code = without_units(code, units)
                    notes.append(
                        f"something covers the {part} of {name}; that part of the expression is guessed from the rest"
                    )
        return Reference(prepared.crops, name, shown=shown, code=code, notes=tuple(notes))

    def edit(self, photo: Photo, target: Target, faces: Sequence[Face] | None = None) -> EditResult:
        """Return the photo with the expression of its faces changed.

        Args:
            photo: any photo.
            target: expressions and strengths, or a reference; with strength 0 the pixels stay as they are.
            faces: faces of this photo, e.g. from ``find``; None = find them and take those of the settings.

        Raises:
            NoFaceError: there is no face.
            UsageError: the settings ask for a face that is not there, or the model cannot take this target.
        """
        return self.edit_each(photo, [target], faces)[0]

    def edit_each(
        self, photo: Photo, targets: Sequence[Target], faces: Sequence[Face] | None = None
    ) -> list[EditResult]:
        """Return one result per target; the faces are found and cropped only once."""
        prepared = self.prepare(photo, faces)
        started = time.perf_counter()
        edited = [self.infer([prepared], target)[0] for target in targets]
        seconds = time.perf_counter() - started
        return [
            self.finish(prepared, target, answer, {"model": seconds})
            for target, answer in zip(targets, edited, strict=True)
        ]

    def prepare(self, photo: Photo, faces: Sequence[Face] | None = None) -> PreparedPhoto:
        """Find and crop the faces of a photo: the first stage of an edit.

        Args:
            photo: any photo.
            faces: faces of this photo; None = find them and take those of the settings.

        Raises:
            NoFaceError: there is no face.
            UsageError: the settings ask for a face that is not there.
        """
        started = time.perf_counter()
        found = list(faces or ())
        if faces is None:
            found = self.find(photo)
            if not found:
                raise NoFaceError(
                    f"{photo.name}: no face found; try a larger or less cropped picture of the face"
                )
            faces = select_faces(found, self.settings.faces)
        cropping = time.perf_counter()
        with one_thread():
            alignments = tuple(self.model.align(photo.pixels, face) for face in faces)
        images = torch.cat([extract(photo.pixels, alignment, self.device) for alignment in alignments])
        crops = face_crops(images, alignments)
        covers: tuple[Cover | None, ...] = ()
        if self._cover_finder is not None:
            covers = self._cover_finder.look(photo.pixels, faces, alignments, found)
        looking = time.perf_counter()
        seconds = {"find": cropping - started, "crop": looking - cropping}
        seen = None
        if self._checker is not None:
            seen = self._checker.look(photo.pixels, faces)
            seconds["check"] = time.perf_counter() - looking
        return PreparedPhoto(photo, tuple(faces), alignments, crops, seconds, seen, covers)

    def infer(self, prepared: Sequence[PreparedPhoto], target: Target) -> list[EditedCrops]:
        """Return the edited crops of each photo; all faces of all photos are one batch for the model."""
        crops = FaceCrops.concatenate([photo.crops for photo in prepared])
        with torch.inference_mode(), one_thread():
            edited = self.model.edit(crops, [target] * len(crops.image))
        counts = [len(photo.faces) for photo in prepared]
        ends = list(accumulate(counts))
        return [edited.part(end - count, end) for count, end in zip(counts, ends, strict=True)]

    def finish(
        self,
        prepared: PreparedPhoto,
        target: Target,
        edited: EditedCrops,
        seconds: Mapping[str, float] | None = None,
    ) -> EditResult:
        """Return the photo with the edited crops pasted into it: the last stage of an edit.

        Args:
            prepared: what ``prepare`` returned.
            target: what ``infer`` was asked for.
            edited: what ``infer`` answered for this photo.
            seconds: seconds spent in ``infer``, for the result.
        """
        started = time.perf_counter()
        pixels = prepared.photo.pixels
        edits = []
        for index, (face, alignment) in enumerate(zip(prepared.faces, prepared.alignments, strict=True)):
            if target.is_identity:
                edits.append(FaceEdit(face, 0.0, 0.0, face.warnings))
                continue
            # Each face is pasted on the result of the earlier ones; a paste adds changes, so all of them stay.
            with torch.inference_mode(), one_thread():
                crop = prepared.crops.image[index : index + 1]
                cover = prepared.covers[index] if prepared.covers else None
                answer = in_own_colours(edited.part(index, index + 1), crop, alignment)
                answer = held_back(answer, crop, cover)
                unseen = cover is not None and cover.eyes_covered
                mouth = fill(prepared.photo.pixels, face, alignment, crop, answer, self._teeth, unseen)
                pasted = paste(pixels, alignment, crop, answer, kept_clear(mouth, cover))
            pixels = pasted.pixels
            told = target.notes if isinstance(target, Reference) else ()
            warnings = (*face.warnings, *told, *_warnings(pasted, cover))
            edits.append(FaceEdit(face, pasted.seam, pasted.change, warnings))
        checking = time.perf_counter()
        spent = {**prepared.seconds, **(seconds or {}), "paste": checking - started}
        checked = self._check(prepared, target, pixels, edits)
        if "check" in spent:
            spent["check"] += time.perf_counter() - checking
        return EditResult(prepared.photo.with_pixels(pixels), tuple(checked), spent)

    def _check(
        self, prepared: PreparedPhoto, target: Target, edited: Pixels, edits: list[FaceEdit]
    ) -> list[FaceEdit]:
        # The judge knows only the seven expressions, not face units.
        if (
            self._checker is None
            or prepared.seen is None
            or target.is_identity
            or isinstance(target, UnitMix)
        ):
            return edits
        if isinstance(target, Reference) and not target.shown:
            return edits
        checks = self._checker.compare(prepared.seen, edited, target)
        return [
            replace(edit, check=check, warnings=(*edit.warnings, *check.warnings))
            for edit, check in zip(edits, checks, strict=True)
        ]


def _warnings(pasted: Pasted, cover: Cover | None) -> list[str]:
    warnings = []
    if cover is not None and cover.mouth_covered:
        warnings.append(
            "something is in front of mouth or chin, so the mouth was left as it is (--no-occlusion edits it)"
        )
    if pasted.change < INVISIBLE_CHANGE:
        warnings.append(
            "the edit changed almost nothing: the face shows it already, or try a higher --strength"
        )
    if pasted.seam > VISIBLE_SEAM:
        warnings.append(f"a seam may be visible (step of {pasted.seam:.1f} of 255 at the mask's border)")
    return warnings
