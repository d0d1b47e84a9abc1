"""Figures of one edited picture: against the true picture, and against the photo it was made from.

Every crop here has the alignment ``TEMPLATE``, fitted to the *input's* face, so that models with different templates
can be compared. See docs/evaluation.md for the meaning and the traps of each figure.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt
import torch
from kornia.color import rgb_to_grayscale, rgb_to_lab
from kornia.filters import gaussian_blur2d
from kornia.metrics import ssim
from torch import Tensor, nn

from sargan_core.errors import UsageError
from sargan_core.faces.align import Alignment, apply_matrix, similarity
from sargan_core.faces.face import Pixels, Template
from sargan_core.faces.lip_line import with_sure_lips
from sargan_core.faces.mouth import INNER_LIPS
from sargan_core.faces.warp import positions

TEMPLATE = Template(192, "similarity", (0.35, 0.35), (0.65, 0.35), (0.5, 0.68))
# Upper limit of the PSNR, which is infinite for equal pictures.
HIGHEST_PSNR = 100.0
OUTER_EYE_CORNERS = (36, 45)
# Standard deviation of the Gaussian that separates fine detail, in pixels of a 192 px crop.
DETAIL_SCALE = 1.2
SSIM_WINDOW = 11


@dataclass(frozen=True)
class Metric:
    """One figure of the tables.

    Attributes:
        key: its name in JSON and CSV.
        label: its name in tables.
        unit: its unit.
        better: ``high``, ``low``, ``one`` (1 is right), or ``none`` (no direction is better).
        decimals: decimals in tables.
        meaning: one sentence for the report.
    """

    key: str
    label: str
    unit: str
    better: Literal["high", "low", "one", "none"]
    decimals: int
    meaning: str


METRICS: tuple[Metric, ...] = (
    Metric(
        *("recognised", "recognised", "%", "high", 1),
        "Share of outputs in which the judge sees the wanted expression first.",
    ),
    Metric(
        *("reached", "probability", "", "high", 3),
        "Probability that the judge gives the wanted expression, mean.",
    ),
    Metric(
        *("identity", "identity", "", "high", 3),
        "Cosine of the judge's embeddings of input and output; doing nothing gets 1, so read it beside recognised.",
    ),
    Metric(
        *("mse", "MSE", "levels²", "low", 1),
        "Mean squared error to the true picture, 8-bit levels, over the face crop.",
    ),
    Metric("psnr", "PSNR", "dB", "high", 2, "Peak signal-to-noise ratio to the true picture."),
    Metric(
        "ssim",
        "SSIM",
        "",
        "high",
        4,
        "Structural similarity to the true picture: luminance, Gaussian window of 11 px.",
    ),
    Metric(
        *("landmarks", "landmarks", "%", "low", 2),
        "Distance of the 68 landmarks to those of the true picture, found the same way in both, in percent of the "
        "distance of the outer eye corners.",
    ),
    Metric(
        *("background", "background", "levels", "low", 1),
        "Largest change anywhere outside the crop that the model was given; must be 0.",
    ),
    Metric(
        *("spill", "spill", "levels", "low", 2),
        "Mean change in the crop outside the face's outline: hair, neck, background.",
    ),
    Metric("seam", "seam", "levels", "low", 2, "Mean change just inside the border of the paste."),
    Metric(
        *("colour", "colour shift", "ΔE", "low", 2),
        "Difference of the face's mean colour between input and output, CIE 1976.",
    ),
    Metric(
        *("detail", "detail", "×", "one", 2),
        "Fine detail on the face, output over input; below 1 is blurred, above 1 is grain or false edges.",
    ),
    Metric(
        *("mouth_detail", "mouth detail", "levels", "none", 1),
        "Fine detail between the parted lips, the mouth brought to 200 px; compare it with the true pictures' smiles.",
    ),
    Metric(
        *("mouth_gradient", "mouth gradient", "levels", "none", 1),
        "Mean horizontal gradient (Sobel) between the parted lips: edges of teeth, gaps between them.",
    ),
    Metric(
        *("teeth_light", "teeth L*", "", "none", 1),
        "Lightness of the brighter half of what lies between the parted lips.",
    ),
    Metric(*("teeth_a", "teeth a*", "", "none", 1), "Its redness."),
    Metric(*("teeth_b", "teeth b*", "", "none", 1), "Its yellowness."),
    Metric(
        *("leak", "leak", "", "low", 3),
        "How much nearer the output is to the *reference* person than the input was (cosine); models with a "
        "reference only.",
    ),
)
BY_KEY: dict[str, Metric] = {metric.key: metric for metric in METRICS}


def compared(crop: Tensor, truths: Tensor) -> dict[str, float]:
    """Return ``mse``, ``psnr`` and ``ssim`` of a crop, each the mean over its true pictures.

    Args:
        crop: (1, 3, S, S) float32 in [0, 1].
        truths: (K, 3, S, S) in the same frame, K >= 1.
    """
    from torchmetrics.functional.image import peak_signal_noise_ratio

    crops = crop.clamp(0, 1).expand_as(truths)
    errors = (crops - truths).square().mean((1, 2, 3)) * 255**2
    psnr = peak_signal_noise_ratio(crops, truths, data_range=1.0, reduction="none", dim=(1, 2, 3))
    similar = ssim(rgb_to_grayscale(crops), rgb_to_grayscale(truths), SSIM_WINDOW, padding="valid")
    return {
        "mse": float(errors.mean()),
        "psnr": float(psnr.clamp(max=HIGHEST_PSNR).mean()),
        "ssim": float(similar.mean()),
    }


@dataclass(frozen=True)
class Unedited:
    """A crop before the edit, with the figures that edits are compared with.

    Attributes:
        crop: (1, 3, S, S) float32 in [0, 1].
        face: (1, 1, S, S) in [0, 1], 1 on the face.
        colour: (3,) mean Lab colour of the face.
        detail: mean energy of the face's fine detail.
    """

    crop: Tensor
    face: Tensor
    colour: Tensor
    detail: float

    @classmethod
    def of(cls, crop: Tensor, face: Tensor) -> Unedited:
        """Return ``crop`` with its figures."""
        return cls(crop, face, _colour(crop, face), _detail(crop, face))


def changed(crop: Tensor, before: Unedited) -> dict[str, float]:
    """Return ``colour``, ``detail`` and ``spill`` of an edited crop (1, 3, S, S) in [0, 1]."""
    crop = crop.clamp(0, 1)
    outside = 1 - before.face
    change = (crop - before.crop).abs().mean(1, keepdim=True) * outside
    fine = _detail(crop, before.face) / before.detail if before.detail > 0 else 1.0
    return {
        "colour": float((_colour(crop, before.face) - before.colour).norm()),
        "detail": fine**0.5,
        "spill": float(255 * change.sum() / outside.sum().clamp_min(1e-6)),
    }


def _colour(crop: Tensor, face: Tensor) -> Tensor:
    return (rgb_to_lab(crop) * face).sum((0, 2, 3)) / face.sum().clamp_min(1e-6)


def _detail(crop: Tensor, face: Tensor) -> float:
    return float((_high_pass(crop).square() * face).sum() / face.sum().clamp_min(1e-6))


def _high_pass(image: Tensor) -> Tensor:
    return image - gaussian_blur2d(image, (9, 9), (DETAIL_SCALE, DETAIL_SCALE))


def landmark_error(points: npt.NDArray[np.float32], truth: npt.NDArray[np.float32]) -> float:
    """Return the mean distance of (68, 2) points to the true ones, in percent of the outer eye corners' distance."""
    distance = np.linalg.norm(np.subtract(*truth[list(OUTER_EYE_CORNERS)]))
    return float(100 * np.linalg.norm(points - truth, axis=1).mean() / max(float(distance), 1e-6))


def background_error(edited: Pixels, photo: Pixels, alignment: Alignment | None) -> float:
    """Return the largest change outside the model's crop, in 8-bit levels.

    Args:
        edited: (H, W, 3), dtype of the photo.
        photo: the input.
        alignment: the crop's place; everything outside its upright bounding box counts. None = the whole photo.
    """
    difference = np.abs(edited.astype(np.int32) - photo.astype(np.int32)).max(2)
    if alignment is not None:
        size = alignment.template.size
        where = alignment.to_photo(positions(torch.zeros(1, 2, size, size)))
        low = np.maximum(np.floor(where.amin((0, 2, 3)).numpy()).astype(int), 0)
        high = np.maximum(np.ceil(where.amax((0, 2, 3)).numpy()).astype(int) + 1, 0)
        difference[low[1] : high[1], low[0] : high[0]] = 0
    return float(difference.max()) * 255 / float(np.iinfo(photo.dtype).max)


def similarity_of(one: npt.NDArray[np.float32], other: npt.NDArray[np.float32]) -> float:
    """Return the cosine of two embeddings of length 1."""
    return float(np.dot(one.astype(np.float64), other.astype(np.float64)))


# Distance of the corners of the mouth, and side of the picture around it, in pixels.
MOUTH_WIDTH = 200.0
MOUTH_SIDE = 320
# Standard deviation in pixels of the Gaussian that separates fine detail.
MOUTH_SCALE = 2.0
# Fewest pixels between the lips of an open mouth.
FEWEST_PIXELS = 900


def mouth_detail(pixels: Pixels, landmarks: npt.NDArray[np.float32] | None) -> dict[str, float]:
    """Return the figures of an open mouth: ``mouth_detail``, ``mouth_gradient`` and ``teeth_light``, ``_a``, ``_b``.

    Args:
        pixels: (H, W, 3) uint8 or uint16 RGB photo.
        landmarks: (68, 2) of the face found in this photo, photo pixels.

    Returns:
        Root mean square of the fine detail and mean absolute horizontal Sobel gradient in 8-bit levels of grey, mean
        L*a*b* of the brighter half; empty for a mouth that is not open.
    """
    if landmarks is None:
        return {}
    ends = MOUTH_SIDE / 2 + np.array([[-MOUTH_WIDTH / 2, 0.0], [MOUTH_WIDTH / 2, 0.0]])
    # Landmark networks often find closed lips parted.
    known = with_sure_lips(pixels, landmarks).astype(np.float64)
    matrix = similarity(known[[48, 54]], ends)
    scale = float(np.hypot(*matrix[:, 0]))
    grid = np.asarray(pixels.astype(np.float32) * (255 / np.iinfo(pixels.dtype).max))
    if scale < 1:
        # Aliasing would count as detail.
        grid = cv2.GaussianBlur(grid, (0, 0), 0.5 / scale)
    picture = cv2.warpAffine(
        grid, matrix, (MOUTH_SIDE, MOUTH_SIDE), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
    )
    picture = np.clip(picture, 0, 255)
    canvas = np.zeros((MOUTH_SIDE, MOUTH_SIDE), np.uint8)
    rim = apply_matrix(matrix, known[list(INNER_LIPS)])
    cv2.fillPoly(canvas, [np.round(rim * 16).astype(np.int32)], 1, shift=4)
    inside = canvas.astype(bool)
    if inside.sum() < FEWEST_PIXELS:
        return {}
    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    fine = (grey - cv2.GaussianBlur(grey, (0, 0), MOUTH_SCALE))[inside]
    gradient = np.abs(cv2.Sobel(grey, cv2.CV_32F, 1, 0, ksize=3))[inside]
    lab = cv2.cvtColor(picture / np.float32(255), cv2.COLOR_RGB2LAB)[inside]
    brighter = lab[lab[:, 0] >= np.median(lab[:, 0])].mean(0)
    return {
        "mouth_detail": float(np.sqrt(np.square(fine).mean())),
        "mouth_gradient": float(gradient.mean()),
        "teeth_light": float(brighter[0]),
        "teeth_a": float(brighter[1]),
        "teeth_b": float(brighter[2]),
    }


# With fewer pictures the distance is mostly noise and is not given.
FEWEST = 20
SUBSETS = 100
LARGEST_SUBSET = 50
# With fewer pictures the estimate of the 2048 x 2048 covariances has not full rank.
FEWEST_FOR_FID = 2048
SEED = 20
NEEDS = (
    "--inception needs torch-fidelity and torchvision; install them with pip install 'sargan[fidelity]', "
    "or leave the option out"
)


@dataclass(frozen=True)
class SetDistance:
    """Distance of a set of outputs from the set of true pictures.

    Attributes:
        kid: kernel distance, mean over random subsets; 0 for equal distributions, may be slightly negative.
        error: its standard deviation over the subsets.
        fid: Fréchet distance; None with too few pictures.
        real: number of true pictures.
        made: number of outputs.
    """

    kid: float
    error: float
    fid: float | None
    real: int
    made: int


class _Given(nn.Module):
    """The network for torchmetrics: it returns the features that it gets."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.num_features = width

    def forward(self, features: Tensor) -> Tensor:
        return features


def set_distance(real: npt.NDArray[np.float32], made: npt.NDArray[np.float32]) -> SetDistance | None:
    """Return the distance of two sets of features (N, D) and (M, D); None with fewer than 20 of either."""
    if min(len(real), len(made)) < FEWEST:
        return None
    from torchmetrics.image.fid import FrechetInceptionDistance
    from torchmetrics.image.kid import KernelInceptionDistance

    size = min(LARGEST_SUBSET, len(real), len(made))
    enough = min(len(real), len(made)) >= FEWEST_FOR_FID
    with warnings.catch_warnings():
        # It warns that it keeps all features in memory; they are few here.
        warnings.simplefilter("ignore")
        kernel = KernelInceptionDistance(feature=_Given(real.shape[1]), subsets=SUBSETS, subset_size=size)
        frechet = FrechetInceptionDistance(feature=_Given(real.shape[1])) if enough else None
    for features, is_real in ((real, True), (made, False)):
        for metric in (kernel, *((frechet,) if frechet is not None else ())):
            metric.update(torch.from_numpy(np.asarray(features, np.float32)), real=is_real)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        mean, error = kernel.compute()
    fid = float(frechet.compute()) if frechet is not None else None
    return SetDistance(float(mean), float(error), fid, len(real), len(made))


def inception_features(device: str = "cpu") -> Callable[[Tensor], npt.NDArray[np.float32]]:
    """Return the function that computes 2048 Inception features of a (1, 3, S, S) crop in [0, 1].

    Raises:
        UsageError: torch-fidelity or torchvision cannot be imported here.
    """
    try:
        import torch_fidelity  # noqa: F401
        from torchmetrics.image.fid import NoTrainInceptionV3

        network = NoTrainInceptionV3(name="inception-v3-compat", features_list=["2048"])
    except (ImportError, RuntimeError) as error:
        raise UsageError(f"{NEEDS} ({' '.join(str(error).split())[:120]})") from error
    network = network.to(device).eval()

    def features(crop: Tensor) -> npt.NDArray[np.float32]:
        with torch.inference_mode():
            answer = network((crop.clamp(0, 1) * 255).round().to(torch.uint8).to(device))
        found: npt.NDArray[np.float32] = answer.reshape(-1).float().cpu().numpy()
        return found

    return features
