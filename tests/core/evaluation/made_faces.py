"""A made data set of one packaged face in several guises, a made judge, and a made ONNX network."""

from __future__ import annotations

import multiprocessing
import os
import signal
import struct
from pathlib import Path

import cv2
import numpy as np
import skimage.data
from PIL import Image

from sargan_core.evaluation.judges import Verdicts
from sargan_core.models.judge.network import TEMPLATE
from sargan_core.models.landmarks.finder import face_finder


def face_photo() -> np.ndarray:
    """The face of skimage's astronaut, 256 px."""
    return np.ascontiguousarray(skimage.data.astronaut()[10:266, 96:352])


def guises() -> dict[str, np.ndarray]:
    """Three people: the face, its mirror image, and a darker one."""
    photo = face_photo()
    return {
        "anna": photo,
        "bert": np.ascontiguousarray(photo[:, ::-1]),
        "carl": (photo * 0.8).astype(np.uint8),
    }


def with_expression(photo: np.ndarray, amount: float = 1.0) -> np.ndarray:
    """Another expression of the same photo: a dark mouth opening; everything else stays."""
    finder = face_finder("builtin")
    (face,) = finder.find(photo)[:1]
    mouth = face.landmarks[48:60].mean(0)
    reach = 0.22 * face.eye_distance * amount
    opened = cv2.ellipse(
        photo.copy(),
        (round(float(mouth[0])), round(float(mouth[1]))),
        (max(1, round(2 * reach)), max(1, round(reach))),
        *(0, 0, 360, (60, 20, 20), -1),
    )
    return cv2.GaussianBlur(opened, (3, 3), 0) if amount < 1 else opened


def make_still_set(folder: Path) -> Path:
    """A set whose pairs lie pixel on pixel, as the rendered one: neutral and two expressions of three people."""
    finder = face_finder("builtin")
    names, landmarks = [], []
    for person, photo in guises().items():
        for expression, picture in (
            ("neutral", photo),
            ("happy", with_expression(photo)),
            ("surprised", with_expression(photo, 1.3)),
        ):
            (folder / expression).mkdir(parents=True, exist_ok=True)
            Image.fromarray(picture).save(folder / expression / f"{person}.png")
            names.append(f"{expression}/{person}.png")
            landmarks.append(finder.find(photo)[0].landmarks + 0.5)
    np.savez(folder / "landmarks.npz", names=np.array(names), landmarks=np.array(landmarks, np.float32))
    return folder


class MadeJudge:
    """Judges by a fixed random view of the small grey crop; happy if the mouth is dark."""

    name = "made"
    description = "made for tests"
    key = "1"
    template = TEMPLATE

    def judge(self, crops):
        grey = crops.mean(1).numpy()
        small = grey.reshape(len(grey), 8, 8, 8, 8).mean((2, 4)).reshape(len(grey), -1)
        view = np.random.default_rng(0).standard_normal((64, 16))
        embedding = (small - small.mean(1, keepdims=True)) @ view
        mouth = grey[:, 42:50, 26:38].mean((1, 2))
        logits = np.zeros((len(grey), 7))
        logits[:, 3] = 40 * (0.3 - mouth)
        chances = np.exp(logits - logits.max(1, keepdims=True))
        return Verdicts(
            (chances / chances.sum(1, keepdims=True)).astype(np.float32),
            (embedding / np.linalg.norm(embedding, axis=1, keepdims=True)).astype(np.float32),
        )


def made_judges(settings, device):
    """A factory that worker processes can import."""
    return [MadeJudge()]


def judges_that_end_workers(settings, device):
    """As if the system had taken the memory of a worker back."""
    if multiprocessing.parent_process() is not None:
        os.kill(os.getpid(), signal.SIGKILL)
    return [MadeJudge()]


def write_onnx(path: Path, weights: np.ndarray, side: int) -> Path:
    """Write a network (1, C, side, side) -> mean of each channel -> weights (N, C) -> (1, N)."""

    def varint(value: int) -> bytes:
        out = b""
        while value > 127:
            out += bytes([value & 127 | 128])
            value >>= 7
        return out + bytes([value])

    def member(number: int, value: int | str | bytes) -> bytes:
        if isinstance(value, int):
            return varint(number << 3) + varint(value)
        data = value.encode() if isinstance(value, str) else value
        return varint(number << 3 | 2) + varint(len(data)) + data

    def tensor(name: str, values: np.ndarray) -> bytes:
        dims = b"".join(member(1, size) for size in values.shape)
        raw = struct.pack(f"<{values.size}f", *values.astype(np.float32).ravel())
        return dims + member(2, 1) + member(8, name) + member(9, raw)

    def value_info(name: str, shape: tuple[int, ...]) -> bytes:
        dims = b"".join(member(1, member(1, size)) for size in shape)
        return member(1, name) + member(2, member(1, member(1, 1) + member(2, dims)))

    def node(kind: str, inputs: list[str], output: str, **attributes: int) -> bytes:
        body = b"".join(member(1, name) for name in inputs) + member(2, output) + member(4, kind)
        for name, value in attributes.items():
            body += member(5, member(1, name) + member(3, value) + member(20, 2))
        return body

    count, channels = weights.shape
    graph = b"".join(
        [
            member(1, node("GlobalAveragePool", ["x"], "pooled")),
            member(1, node("Flatten", ["pooled"], "flat", axis=1)),
            member(1, node("Gemm", ["flat", "w", "b"], "y", transB=1)),
            member(2, "made"),
            member(5, tensor("w", weights)),
            member(5, tensor("b", np.zeros(count))),
            member(11, value_info("x", (1, channels, side, side))),
            member(12, value_info("y", (1, count))),
        ]
    )
    path.write_bytes(member(1, 8) + member(7, graph) + member(8, member(2, 13)))
    return path
