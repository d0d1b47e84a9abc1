"""The box structure of HEIF files, read to limit how much a decoder would have to decode (ISO/IEC 23008-12)."""

from __future__ import annotations

from collections.abc import Iterator

from sargan_core.photo.kinds import Defect, cut_off, damaged
from sargan_core.photo.planes import check_size

_GRID = b"grid"

# Types of pictures besides HEVC and grids of it: each would need limits of its own.
_PICTURES_NOT_READ = (
    *(b"iovl", b"unci", b"tili", b"mski", b"av01"),
    *(b"jpeg", b"j2k1", b"vvc1", b"avc1", b"evc1"),
)


def iso_boxes(data: bytes, kind: str = "AVIF") -> list[tuple[bytes, int, int]]:
    """Return the outermost boxes of an ISO media file (AVIF, HEIC) as (type, start of content, end).

    Raises:
        Defect: a box reaches past the end of the file.
    """
    return [(name, start, end) for name, (start, end) in boxes_within(data, 0, len(data), kind)]


def boxes_within(data: bytes, start: int, end: int, kind: str) -> list[tuple[bytes, tuple[int, int]]]:
    """Return the boxes that lie from ``start`` to ``end`` in an ISO media file as (type, (start, end of content)).

    Raises:
        Defect: a box reaches past the end; ``kind`` names the format.
    """
    boxes: list[tuple[bytes, tuple[int, int]]] = []
    at = start
    while at < end:
        if at + 8 > end:
            raise cut_off(kind)
        length, header = int.from_bytes(data[at : at + 4], "big"), 8
        if length == 1:
            length, header = int.from_bytes(data[at + 8 : at + 16], "big"), 16
        elif length == 0:
            length = end - at
        if length < header or at + length > end:
            raise cut_off(kind)
        boxes.append((data[at + 4 : at + 8], (at + header, at + length)))
        at += length
    return boxes


def check_items(data: bytes, meta: tuple[int, int], max_pixels: int) -> None:
    """Refuse a file in which any item would decode to more than ``max_pixels`` pixels.

    Alpha, depth and thumbnails are items as well. Checked are the size in the container, the size in the coded
    picture (its sequence parameter set), and all tiles of a grid together.

    Args:
        data: the file.
        meta: start and end of the content of its ``meta`` box.
        max_pixels: the limit for each item.

    Raises:
        Defect: too large, damaged, or a kind of HEIF that is not read.
    """
    top = dict(boxes_within(data, meta[0] + 4, meta[1], "HEIC"))
    kinds = _item_kinds(data, top)
    largest = 0
    for width, height in _announced_sizes(data, top):
        check_size(width, height, max_pixels)
        largest = max(largest, width * height)
    if not largest:
        raise damaged("HEIC", "no size")
    for item, kind in kinds.items():
        if kind == _GRID:
            rows, columns, width, height = _grid(_content(data, top, item))
            check_size(width, height, max_pixels)
            _check_tiles(data, top, item, rows * columns, width * height, max_pixels)


def _item_kinds(data: bytes, top: dict[bytes, tuple[int, int]]) -> dict[int, bytes]:
    start, end = _box(top, b"iinf")
    kinds: dict[int, bytes] = {}
    for kind, (at, stop) in boxes_within(data, start + (6 if data[start] == 0 else 8), end, "HEIC"):
        if kind != b"infe" or data[at] < 2:
            continue
        wide = data[at] > 2
        item = int.from_bytes(data[at + 4 : at + (8 if wide else 6)], "big")
        name = at + (10 if wide else 8)
        kinds[item] = data[name : name + 4]
        _check_text(data[name:stop])
        packed = data[name + 4 : stop].split(b"\0")
        if kinds[item] == b"mime" and len(packed) > 2 and packed[2]:
            raise Defect("the HEIC packs its metadata, which is not read", "convert it to JPEG or PNG first")
    unread = sorted({kind for kind in kinds.values() if kind in _PICTURES_NOT_READ})
    if unread:
        names = ", ".join(kind.decode("ascii") for kind in unread)
        raise Defect(f"a HEIF with {names} pictures is not supported", "convert it to JPEG or PNG first")
    return kinds


def _check_text(text: bytes) -> None:
    """Refuse names that are not UTF-8: the decoder's Python binding crashes on them."""
    try:
        text.decode("utf-8")
    except UnicodeDecodeError:
        raise damaged("HEIC", "its list of items") from None


def _announced_sizes(data: bytes, top: dict[bytes, tuple[int, int]]) -> Iterator[tuple[int, int]]:
    start, end = _box(dict(boxes_within(data, *_box(top, b"iprp"), "HEIC")), b"ipco")
    for kind, (at, stop) in boxes_within(data, start, end, "HEIC"):
        if kind == b"ispe":
            yield _number(data, at + 4, 4), _number(data, at + 8, 4)
        elif kind == b"hvcC":
            yield from _sequence_sizes(data[at:stop])
        elif kind == b"auxC":
            _check_text(data[at + 4 : stop])


def _sequence_sizes(config: bytes) -> Iterator[tuple[int, int]]:
    """Yield the size in each sequence parameter set of a decoder configuration (ISO/IEC 14496-15, 8.3.3)."""
    announced = tuple(_number(config, at, 1) & bits for at, bits in ((16, 3), (17, 7), (18, 7)))
    at = 23
    for _ in range(_number(config, 22, 1)):
        kind, count = _number(config, at, 1) & 0x3F, _number(config, at + 1, 2)
        at += 3
        for _ in range(count):
            length = _number(config, at, 2)
            if kind == 33:
                size, coded = _read_sequence(config[at + 2 : at + 2 + length])
                if (
                    coded != announced
                ):  # the decoder allocates for the announced depth, and writes the coded one
                    raise damaged("HEIC", "its bit depth")
                yield size
            at += 2 + length


def _read_sequence(unit: bytes) -> tuple[tuple[int, int], tuple[int, int, int]]:
    """Return (width, height) and (kind of chroma, bits of luma - 8, of chroma - 8) of a HEVC sequence parameter set.

    ``unit`` is its NAL unit with the two-byte header (H.265, 7.3.2.2).
    """
    payload = unit[2:130].replace(b"\0\0\3", b"\0\0")
    bits = _Bits(payload)
    bits.skip(4)
    layers = bits.take(3)
    bits.skip(1 + 96)
    present = [(bits.take(1), bits.take(1)) for _ in range(layers)]
    if layers:
        bits.skip(2 * (8 - layers))
    for profile, level in present:
        bits.skip(88 * profile + 8 * level)
    bits.golomb()
    chroma = bits.golomb()
    if chroma == 3:
        bits.skip(1)
    size = bits.golomb(), bits.golomb()
    if bits.take(1):
        for _ in range(4):
            bits.golomb()
    return size, (chroma, bits.golomb(), bits.golomb())


class _Bits:
    """Reads bits from bytes, the highest bit first."""

    def __init__(self, data: bytes) -> None:
        self._value = int.from_bytes(data, "big")
        self._left = 8 * len(data)

    def take(self, count: int) -> int:
        """Return the next bits as a number."""
        self.skip(count)
        return self._value >> self._left & (1 << count) - 1

    def skip(self, count: int) -> None:
        """Skip bits."""
        self._left -= count
        if self._left < 0:
            raise damaged("HEIC", "its picture's size")

    def golomb(self) -> int:
        """Return the next number in unsigned exponential Golomb code."""
        zeros = 0
        while not self.take(1):
            zeros += 1
        return (1 << zeros) - 1 + self.take(zeros)


def _content(data: bytes, top: dict[bytes, tuple[int, int]], wanted: int) -> bytes:
    """Return the first bytes of an item (a grid needs no more than 12)."""
    at, _ = _box(top, b"iloc")
    version, sizes = data[at], _number(data, at + 4, 2)
    offset, length, base, index = (sizes >> shift & 15 for shift in (12, 8, 4, 0))
    wide = 4 if version == 2 else 2
    count = _number(data, at + 6, wide)
    at += 6 + wide
    for _ in range(count):
        item = _number(data, at, wide)
        at += wide
        method = 0
        if version:
            method = _number(data, at, 2) & 15
            at += 2
        at += 2
        start = _number(data, at, base)
        at += base
        extents = _number(data, at, 2)
        at += 2
        step = (index if version else 0) + offset + length
        if item == wanted:
            if extents != 1 or method > 1:
                raise damaged("HEIC", "its grid of tiles")
            start += _number(data, at + step - offset - length, offset)
            first = _box(top, b"idat")[0] if method == 1 else 0
            return data[first + start : first + start + 12]
        at += step * extents
    raise damaged("HEIC", "its grid of tiles")


def _grid(content: bytes) -> tuple[int, int, int, int]:
    """Return rows, columns, width and height of a grid (ISO/IEC 23008-12, 6.6.2.3)."""
    wide = 4 if _number(content, 1, 1) & 1 else 2
    rows, columns = _number(content, 2, 1) + 1, _number(content, 3, 1) + 1
    return rows, columns, _number(content, 4, wide), _number(content, 4 + wide, wide)


def _check_tiles(
    data: bytes, top: dict[bytes, tuple[int, int]], item: int, count: int, pixels: int, max_pixels: int
) -> None:
    """Refuse a grid whose tiles hold far more pixels together than the picture that they make."""
    start, end = _box(top, b"iref")
    wide = 4 if data[start] else 2
    tiles: list[int] = []
    for kind, (at, _) in boxes_within(data, start + 4, end, "HEIC"):
        if kind == b"dimg" and _number(data, at, wide) == item:
            total = _number(data, at + wide, 2)
            tiles += [_number(data, at + wide + 2 + wide * each, wide) for each in range(total)]
    if len(tiles) != count:
        raise damaged("HEIC", "its grid of tiles")
    sizes = _sizes_of_items(data, top)
    together = sum(sizes.get(tile, 0) for tile in tiles)
    # The last row and column may reach beyond the picture, by less than a tile each.
    if together > 4 * min(pixels, max_pixels) + 2**22 or not all(tile in sizes for tile in tiles):
        raise damaged("HEIC", "its grid of tiles")


def _sizes_of_items(data: bytes, top: dict[bytes, tuple[int, int]]) -> dict[int, int]:
    """Return the number of pixels of each item, the largest that any of its properties gives."""
    properties = boxes_within(data, *_box(top, b"iprp"), "HEIC")
    start, end = _box(dict(properties), b"ipco")
    pixels: list[int] = []
    for kind, (at, stop) in boxes_within(data, start, end, "HEIC"):
        sizes = [(0, 0)]
        if kind == b"ispe":
            sizes = [(_number(data, at + 4, 4), _number(data, at + 8, 4))]
        elif kind == b"hvcC":
            sizes += _sequence_sizes(data[at:stop])
        pixels.append(max(width * height for width, height in sizes))
    found: dict[int, int] = {}
    for kind, (at, _) in properties:
        if kind != b"ipma":
            continue
        wide, entry = (4 if data[at] else 2), (2 if data[at + 3] & 1 else 1)
        count = _number(data, at + 4, 4)
        at += 8
        for _ in range(count):
            item, uses = _number(data, at, wide), _number(data, at + wide, 1)
            at += wide + 1
            for _ in range(uses):
                number = _number(data, at, entry) & (0x7FFF if entry == 2 else 0x7F)
                at += entry
                if 0 < number <= len(pixels):
                    found[item] = max(found.get(item, 0), pixels[number - 1])
    return found


def _box(boxes: dict[bytes, tuple[int, int]], kind: bytes) -> tuple[int, int]:
    if kind not in boxes:
        raise damaged("HEIC", f"no {kind.decode('ascii')} box")
    return boxes[kind]


def _number(data: bytes, at: int, length: int) -> int:
    if at < 0 or at + length > len(data):
        raise damaged("HEIC", "its structure")
    return int.from_bytes(data[at : at + length], "big")
