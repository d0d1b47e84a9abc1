"""Distances between sets of pictures: KID and FID over the features of a network.

With the shipped judge's embedding the number is *not* comparable with published KIDs, which use Inception; it is
named accordingly. Inception comes with the extra ``fidelity`` and downloads its weights on first use.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from sargan_core.errors import UsageError

# Below this many pictures the distance is mostly noise and is not given.
FEWEST = 20
SUBSETS = 100
LARGEST_SUBSET = 50
# The estimate of 2048 x 2048 covariances has full rank only from here on.
FEWEST_FOR_FID = 2048
SEED = 20
NEEDS = (
    "--inception needs torch-fidelity and torchvision; install them with pip install 'sargan[fidelity]', "
    "or leave the option out"
)


@dataclass(frozen=True)
class SetDistance:
    """How far a set of outputs is from the set of true pictures.

    Attributes:
        kid: kernel distance, mean over random subsets; 0 for equal distributions, may be slightly negative.
        error: its standard deviation over the subsets.
        fid: Fréchet distance; None with too few pictures for it.
        real: number of true pictures.
        made: number of outputs.
    """

    kid: float
    error: float
    fid: float | None
    real: int
    made: int


class _Given(nn.Module):
    """Stands where torchmetrics wants a network: the features are there already."""

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
        # It warns that it keeps the features, of which there are few here.
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
    """Return what turns a (1, 3, S, S) crop in [0, 1] into 2048 Inception features.

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
