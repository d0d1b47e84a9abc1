"""Image files made for tests: every format and mode that a photo may come in, with known pixels."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import cv2
import numpy as np
import tifffile
from PIL import Image, ImageCms

HEIGHT, WIDTH = 37, 53


def noise(*shape: int, dtype: type = np.uint8, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, np.iinfo(dtype).max, shape, dtype, endpoint=True)


def smooth(height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    """A picture that lossy codecs keep well: red grows to the right, green downwards, blue is low."""
    across, down = np.linspace(20, 230, width), np.linspace(20, 230, height)
    red, green = np.meshgrid(across, down)
    return np.stack([red, green, np.full_like(red, 40)], axis=2).astype(np.uint8)


def pillow(image: Image.Image | np.ndarray, format: str, **options: object) -> bytes:
    file = io.BytesIO()
    if isinstance(image, np.ndarray):
        image = Image.fromarray(image)
    image.save(file, format, **options)
    return file.getvalue()


def tiff(samples: np.ndarray, **options: object) -> bytes:
    file = io.BytesIO()
    options.setdefault("photometric", "minisblack" if samples.ndim == 2 or samples.shape[-1] == 2 else "rgb")
    tifffile.imwrite(file, samples, metadata=None, **options)
    return file.getvalue()


def png_chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(samples: np.ndarray, colour_type: int, bits: int, *chunks: bytes) -> bytes:
    """A PNG written by hand, so that no library decides what is in it; samples (h, w) or (h, w, C)."""
    height, width = samples.shape[:2]
    if bits == 16:
        rows = samples.astype(">u2").reshape(height, -1).view(np.uint8)
    elif bits == 8:
        rows = samples.reshape(height, -1)
    else:
        wide = -(-width * bits // 8) * 8 // bits
        padded = np.pad(samples, ((0, 0), (0, wide - width)))
        digits = np.unpackbits(padded[..., None].astype(np.uint8), axis=2)[..., 8 - bits :]
        rows = np.packbits(digits.reshape(height, -1), axis=1)
    raw = b"".join(b"\0" + row.tobytes() for row in rows)
    header = struct.pack(">IIBBBBB", width, height, bits, colour_type, 0, 0, 0)
    return b"".join(
        [
            b"\x89PNG\r\n\x1a\n",
            png_chunk(b"IHDR", header),
            *chunks,
            png_chunk(b"IDAT", zlib.compress(raw)),
            png_chunk(b"IEND", b""),
        ]
    )


def cv2_file(suffix: str, samples: np.ndarray, *options: int) -> bytes:
    done, buffer = cv2.imencode(suffix, samples, options)
    assert done
    return buffer.tobytes()


def grey3(samples: np.ndarray) -> np.ndarray:
    return np.repeat(samples[..., None], 3, axis=2)


@dataclass(frozen=True)
class Sample:
    """A file, the pixels and alpha that are in it, and whether its format is lossless."""

    name: str
    data: bytes
    pixels: np.ndarray
    alpha: np.ndarray | None = None
    format: str = "PNG"
    grey: bool = False
    exact: bool = True

    def __str__(self) -> str:
        return self.name


def _png_samples() -> Iterator[Sample]:
    for bits in (1, 2, 4, 8, 16):
        dtype = np.uint16 if bits == 16 else np.uint8
        samples = noise(HEIGHT, WIDTH, dtype=dtype, seed=bits) >> (0 if bits > 8 else 8 - bits)
        full = samples if bits >= 8 else (samples * (255 // (2**bits - 1))).astype(np.uint8)
        yield Sample(f"png-grey{bits}", png(samples, 0, bits), grey3(full), grey=True)
        key = int(samples[0, 0])
        alpha = np.where(samples == key, 0, np.iinfo(dtype).max).astype(dtype)
        keyed = png(samples, 0, bits, png_chunk(b"tRNS", struct.pack(">H", key)))
        yield Sample(f"png-grey{bits}-transparent", keyed, grey3(full), alpha, grey=True)
    for bits, dtype in ((8, np.uint8), (16, np.uint16)):
        rgba = noise(HEIGHT, WIDTH, 4, dtype=dtype, seed=bits)
        yield Sample(f"png-rgb{bits}", png(rgba[..., :3], 2, bits), rgba[..., :3])
        yield Sample(f"png-rgba{bits}", png(rgba, 6, bits), rgba[..., :3], rgba[..., 3])
        grey_alpha = rgba[..., :2]
        data = png(grey_alpha, 4, bits)
        yield Sample(f"png-grey-alpha{bits}", data, grey3(rgba[..., 0]), rgba[..., 1], grey=True)
        key = rgba[3, 5, :3]
        alpha = np.where((rgba[..., :3] == key).all(axis=2), 0, np.iinfo(dtype).max).astype(dtype)
        chunk = png_chunk(b"tRNS", struct.pack(">3H", *key.tolist()))
        yield Sample(f"png-rgb{bits}-transparent", png(rgba[..., :3], 2, bits, chunk), rgba[..., :3], alpha)
    for bits in (1, 4, 8):
        palette = noise(2**bits, 3, seed=9)
        indices = noise(HEIGHT, WIDTH, seed=bits) >> (8 - bits)
        colours = png_chunk(b"PLTE", palette.tobytes())
        yield Sample(f"png-palette{bits}", png(indices, 3, bits, colours), palette[indices])
        opacity = noise(2**bits, seed=4)
        with_alpha = png(indices, 3, bits, colours, png_chunk(b"tRNS", opacity.tobytes()))
        yield Sample(f"png-palette{bits}-transparent", with_alpha, palette[indices], opacity[indices])
    yield Sample("png-interlaced-by-name", pillow(smooth(), "PNG", optimize=True), smooth())


def _tiff_samples() -> Iterator[Sample]:
    for bits, dtype in ((8, np.uint8), (16, np.uint16)):
        rgba = noise(HEIGHT, WIDTH, 4, dtype=dtype, seed=bits)
        rgb, alpha = np.ascontiguousarray(rgba[..., :3]), rgba[..., 3]
        grey = np.ascontiguousarray(rgba[..., 0])

        def sample(name: str, data: bytes, pixels: np.ndarray, alpha=None, grey=False, bits=bits) -> Sample:
            return Sample(f"tiff-{name}{bits}", data, pixels, alpha, "TIFF", grey)

        yield sample("rgb", tiff(rgb), rgb)
        yield sample("rgb-deflate", tiff(rgb, compression="zlib", predictor=True), rgb)
        yield sample("rgb-big-endian", tiff(rgb, byteorder=">"), rgb)
        yield sample("rgb-bigtiff", tiff(rgb, bigtiff=True), rgb)
        yield sample("rgb-tiled", tiff(rgb, tile=(16, 16)), rgb)
        yield sample("rgb-planar", tiff(np.moveaxis(rgb, -1, 0).copy(), planarconfig="separate"), rgb)
        yield sample("rgba", tiff(rgba, extrasamples=["unassalpha"]), rgb, alpha)
        yield sample("rgba-premultiplied", tiff(rgba, extrasamples=["assocalpha"]), rgb, alpha)
        yield sample("grey", tiff(grey), grey3(grey), grey=True)
        white = tiff(np.iinfo(dtype).max - grey, photometric="miniswhite")
        yield sample("grey-white-is-zero", white, grey3(grey), grey=True)
        both = np.ascontiguousarray(rgba[..., :2])
        two = tiff(both, extrasamples=["unassalpha"])
        yield sample("grey-alpha", two, grey3(both[..., 0]), both[..., 1], True)
        lzw = cv2_file(".tiff", rgb[..., ::-1].copy(), cv2.IMWRITE_TIFF_COMPRESSION, 5)
        yield sample("rgb-lzw", lzw, rgb)
        lzw = cv2_file(".tiff", grey, cv2.IMWRITE_TIFF_COMPRESSION, 5)
        yield sample("grey-lzw", lzw, grey3(grey), grey=True)
    rgba = noise(HEIGHT, WIDTH, 4, dtype=np.uint16, seed=16)
    lzw = cv2_file(".tiff", rgba[..., [2, 1, 0, 3]].copy(), cv2.IMWRITE_TIFF_COMPRESSION, 5)
    yield Sample("tiff-rgba-lzw16", lzw, rgba[..., :3], rgba[..., 3], "TIFF")
    bits = noise(HEIGHT, WIDTH) > 127
    two = pillow(Image.fromarray(bits), "TIFF", compression="group4")
    yield Sample("tiff-fax", two, grey3(np.where(bits, 255, 0).astype(np.uint8)), None, "TIFF", True)
    indices, palette = noise(HEIGHT, WIDTH), noise(256, 3, seed=3)
    image = Image.fromarray(indices)
    image.putpalette(palette.tobytes())
    yield Sample("tiff-palette", pillow(image, "TIFF"), palette[indices], None, "TIFF")


def _other_samples() -> Iterator[Sample]:
    rgba = noise(HEIGHT, WIDTH, 4)
    rgb, alpha = np.ascontiguousarray(rgba[..., :3]), rgba[..., 3]
    grey = np.ascontiguousarray(rgba[..., 0])
    yield Sample("webp-lossless", pillow(rgb, "WEBP", lossless=True), rgb, None, "WEBP")
    some = np.maximum(alpha, 1)  # the decoder blends onto a blank canvas: colours under alpha 0 are its own
    data = pillow(np.dstack([rgb, some]), "WEBP", lossless=True, exact=True)
    yield Sample("webp-lossless-alpha", data, rgb, some, "WEBP")
    yield Sample("bmp-rgb", pillow(rgb, "BMP"), rgb, None, "BMP")
    yield Sample("bmp-grey", pillow(grey, "BMP"), grey3(grey), None, "BMP", True)
    yield Sample("bmp-alpha", cv2_file(".bmp", rgba[..., [2, 1, 0, 3]].copy()), rgb, alpha, "BMP")
    bits = grey > 127
    yield Sample(
        "bmp-bits", pillow(Image.fromarray(bits), "BMP"), grey3(np.uint8(bits) * 255), None, "BMP", True
    )
    indices, palette = noise(HEIGHT, WIDTH) % 200, noise(256, 3, seed=3)
    image = Image.fromarray(indices)
    image.putpalette(palette.tobytes())
    yield Sample("bmp-palette", pillow(image, "BMP"), palette[indices], None, "BMP")
    yield Sample("gif", pillow(image, "GIF"), palette[indices], None, "GIF")
    clear = np.where(indices == 7, 0, 255).astype(np.uint8)
    yield Sample("gif-alpha", pillow(image, "GIF", transparency=7), palette[indices], clear, "GIF")
    picture = smooth()
    faint = noise(HEIGHT, WIDTH, seed=8)
    with_alpha = np.dstack([picture, np.maximum(faint, 1)])
    for name, options in (
        ("444", {"subsampling": 0}),
        ("422", {"subsampling": 1}),
        ("420", {"subsampling": 2}),
    ):
        data = pillow(picture, "JPEG", quality=92, **options)
        yield Sample(f"jpeg-{name}", data, picture, None, "JPEG", exact=False)
    data = pillow(picture, "JPEG", quality=92, progressive=True)
    yield Sample("jpeg-progressive", data, picture, None, "JPEG", exact=False)
    yield Sample("jpeg-rgb", pillow(picture, "JPEG", keep_rgb=True), picture, None, "JPEG", exact=False)
    yield Sample(
        "jpeg-grey", pillow(picture[..., 0], "JPEG"), grey3(picture[..., 0]), None, "JPEG", True, exact=False
    )
    yield Sample("webp", pillow(picture, "WEBP", quality=90), picture, None, "WEBP", exact=False)
    data = pillow(with_alpha, "WEBP", quality=90)
    yield Sample("webp-alpha", data, picture, with_alpha[..., 3], "WEBP", exact=False)
    data = pillow(picture, "AVIF", quality=90, subsampling="4:4:4")
    yield Sample("avif", data, picture, None, "AVIF", exact=False)
    exact_alpha = {"codec": "aom", "advanced": {"alpha:cq-level": "0"}, "subsampling": "4:4:4"}
    data = pillow(with_alpha, "AVIF", quality=90, **exact_alpha)
    yield Sample("avif-alpha", data, picture, with_alpha[..., 3], "AVIF", exact=False)
    data = pillow(picture[..., 0], "AVIF", quality=90)
    yield Sample("avif-grey", data, grey3(picture[..., 0]), None, "AVIF", True, exact=False)


SAMPLES: tuple[Sample, ...] = (*_png_samples(), *_tiff_samples(), *_other_samples())
PLAIN: dict[str, Callable[..., bytes]] = {
    "JPEG": lambda picture, **more: pillow(picture, "JPEG", quality=92, subsampling=0, **more),
    "PNG": lambda picture, **more: pillow(picture, "PNG", **more),
    "WEBP": lambda picture, **more: pillow(picture, "WEBP", quality=92, **more),
    "TIFF": lambda picture, **more: pillow(picture, "TIFF", **more),
    "AVIF": lambda picture, **more: pillow(picture, "AVIF", quality=92, subsampling="4:4:4", **more),
}


def srgb_profile() -> bytes:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def _profile(space: bytes, kind: bytes, tags: dict[bytes, bytes]) -> bytes:
    """An ICC profile (version 2) with the given tags."""
    table, body, at = struct.pack(">I", len(tags)), b"", 128 + 4 + 12 * len(tags)
    for name, content in tags.items():
        content += bytes(-len(content) % 4)
        table += name + struct.pack(">II", at + len(body), len(content))
        body += content
    white = struct.pack(">iii", 63190, 65536, 54061)
    connection = b"Lab " if space == b"CMYK" else b"XYZ "
    head = struct.pack(">I4sI4s4s4s", at + len(body), b"none", 0x02400000, kind, space, connection)
    head += struct.pack(">6H", 2020, 1, 1, 0, 0, 0) + b"acsp" + bytes(28) + white
    return head.ljust(128, b"\0") + table + body


_TEXT = b"text" + bytes(4) + b"made for tests\0"
_NAME = b"desc" + bytes(4) + struct.pack(">I", 5) + b"test\0" + bytes(78)
_WHITE = b"XYZ " + bytes(4) + struct.pack(">iii", 63190, 65536, 54061)


def grey_profile(gamma: float = 2.2) -> bytes:
    curve = b"curv" + bytes(4) + struct.pack(">IH", 1, round(gamma * 256))
    return _profile(b"GRAY", b"mntr", {b"desc": _NAME, b"cprt": _TEXT, b"wtpt": _WHITE, b"kTRC": curve})


def rgb_profile(gamma: float = 1.0) -> bytes:
    curve = (
        b"curv"
        + bytes(4)
        + (struct.pack(">I", 0) if gamma == 1 else struct.pack(">IH", 1, round(gamma * 256)))
    )
    tags = {b"desc": _NAME, b"cprt": _TEXT, b"wtpt": _WHITE}
    columns = {b"r": (28582, 14575, 911), b"g": (25240, 46984, 6363), b"b": (9369, 3977, 46789)}
    for letter, values in columns.items():
        tags[letter + b"XYZ"] = b"XYZ " + bytes(4) + struct.pack(">iii", *values)
        tags[letter + b"TRC"] = curve
    return _profile(b"RGB ", b"mntr", tags)


def cmyk_profile() -> bytes:
    """A CMYK profile of two points an ink: the Lab colours of all mixtures, added up."""
    inks = {0: (62, -31, -48), 1: (48, 83, -3), 2: (94, -6, 95), 3: (10, 0, 0)}
    grid = b""
    for corner in range(16):
        used = [ink for ink in range(4) if corner >> (3 - ink) & 1]
        light, a, b = 100.0, 0.0, 0.0
        for ink in used:
            light, a, b = light * inks[ink][0] / 100, a + inks[ink][1], b + inks[ink][2]
        grid += bytes(
            [round(light * 2.55), int(np.clip(a, -100, 100)) + 128, int(np.clip(b, -100, 100)) + 128]
        )
    identity = bytes(range(256))
    matrix = struct.pack(">9i", 65536, 0, 0, 0, 65536, 0, 0, 0, 65536)
    lut = b"mft1" + bytes(4) + bytes([4, 3, 2, 0]) + matrix + identity * 4 + grid + identity * 3
    return _profile(b"CMYK", b"prtr", {b"desc": _NAME, b"cprt": _TEXT, b"wtpt": _WHITE, b"A2B0": lut})
