"""68 landmarks with the network of face-alignment (2D-FAN-4), whose weights have to be fetched first."""

from __future__ import annotations

import pickle
import warnings
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.error import URLError

import numpy as np
import numpy.typing as npt
import torch

from sargan_core.errors import WeightsError
from sargan_core.weights import file_checksum

if TYPE_CHECKING:
    from sargan_core.faces.face import Face, Pixels


FILE = "2DFAN4-11f355bf06.pth.tar"
URL = f"https://www.adrianbulat.com/downloads/python-fan/{FILE}"
# The beginning of the file's sha256; its author puts it into the name.
SHA256_PREFIX = "11f355bf06"
# The network was trained on boxes of faces in pictures of a few hundred pixels; larger photos are cut to the face.
WINDOW = 512


def weights_path() -> Path:
    """Return where face-alignment looks for its weights: the checkpoints of ``TORCH_HOME``."""
    return Path(torch.hub.get_dir()) / "checkpoints" / FILE


def fetch() -> Path:
    """Download the weights over https, check them, and return where they lie; a file that is there is only checked.

    Raises:
        WeightsError: the download failed or is damaged; the message says where to put the file by hand.
    """
    path = weights_path()
    if path.is_file():
        _verify(path)
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        # Writes to a temporary name, compares the checksum, then renames.
        torch.hub.download_url_to_file(URL, str(path), hash_prefix=SHA256_PREFIX, progress=False)
    except (OSError, URLError, RuntimeError) as error:
        raise WeightsError(
            f"{URL}: download failed ({error}); fetch it on a machine with a network and put it at {path}"
        ) from error
    return path


def _verify(path: Path) -> None:
    found = file_checksum(path)
    if not found.startswith(SHA256_PREFIX):
        raise WeightsError(
            f"{path}: damaged weights, expected sha256 {SHA256_PREFIX}…, got {found[:12]}… in "
            f"{path.stat().st_size} bytes; delete the file and fetch it again"
        )


class FanLandmarks:
    """Finds landmarks with face-alignment.

    Args:
        device: where the network runs.

    Raises:
        WeightsError: its weights are not there or damaged; nothing is ever downloaded here.
    """

    def __init__(self, device: str = "cpu") -> None:
        path = weights_path()
        if not path.is_file():
            raise WeightsError(
                f"{path}: the weights of --landmarks fan are not there; get them with 'sargan models fetch fan', "
                f"or put {URL} there by hand, or use --landmarks builtin"
            )
        # The file is a program for torch, and its folder is shared with other tools: nothing unknown is loaded.
        _verify(path)
        import face_alignment

        try:
            # The faces are already found; the 'folder' detector is the one that loads no network of its own.
            self._network = face_alignment.FaceAlignment(
                face_alignment.LandmarksType.TWO_D, device=device, face_detector="folder", compile=False
            )
        except (RuntimeError, OSError, EOFError, ValueError, pickle.UnpicklingError) as error:
            reason = str(error).strip().splitlines()[0]
            raise WeightsError(
                f"{path}: damaged weights ({reason}); delete the file and fetch it again"
            ) from error

    def landmarks(self, pixels: Pixels, face: Face) -> npt.NDArray[np.float32]:
        """Return (68, 2) float32 photo pixels, (x, y), in iBUG-68 order."""
        from sargan_core.photo.planes import bounded

        x, y, width, height = face.box
        margin = max(width, height)
        rows, columns = pixels.shape[:2]
        x0, y0 = max(0, int(x - margin / 2)), max(0, int(y - margin / 2))
        x1, y1 = min(columns, int(x + width + margin / 2) + 1), min(rows, int(y + height + margin / 2) + 1)
        window, scale = bounded(pixels[y0:y1, x0:x1], WINDOW)
        box = np.array([x - x0, y - y0, x + width - x0, y + height - y0]) * scale
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            points = self._network.get_landmarks_from_image(window, detected_faces=[box])[0]
        # face-alignment measures from the corner of the first pixel, this project from its centre.
        centred = np.asarray(points, dtype=np.float64) / scale - 0.5 + [x0, y0]
        return centred.astype(np.float32)
