"""XMP packets: parsed with limits, cleaned of what an edit makes false, given new properties.

Source: XMP Specification parts 1 and 3 (ISO 16684-1). Entities and document types, which XMP does not use, are
refused, so that no packet can expand to more than its own size.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from xml.dom import minidom
from xml.parsers import expat
from xml.parsers.expat import ExpatError

RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
_XMLNS = "http://www.w3.org/2000/xmlns/"
_TIFF = "http://ns.adobe.com/tiff/1.0/"
_NOTE = "http://ns.adobe.com/xmp/note/"
_DCTERMS = "http://purl.org/dc/terms/"
_EMPTY = f'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="{RDF}"/></x:xmpmeta>'
# Limits far above what cameras and editors write; larger documents would take minutes and gigabytes.
_LONGEST = 32 * 2**20
_DEEPEST = 100
# Characters that XML 1.0 cannot hold. A file name may hold them, and becomes part of the mark.
_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_MOST_NODES = 50_000
# Python before 3.13 does not escape white space in attributes, and reading turns it into plain spaces.
_SPACES = {"\t": "\ue009", "\n": "\ue00a", "\r": "\ue00d"}


@dataclass(frozen=True)
class Property:
    """One simple XMP property: its namespace, the usual prefix, its name and its value."""

    namespace: str
    prefix: str
    name: str
    value: str


def _measure(text: bytes) -> None:
    """Raise ValueError for a document that is too deep or has too many elements and attributes."""
    depth = nodes = 0

    def start(name: str, attributes: dict[str, str]) -> None:
        nonlocal depth, nodes
        depth += 1
        nodes += 1 + len(attributes)
        if depth > _DEEPEST or nodes > _MOST_NODES:
            raise ValueError("XMP nested too deeply or of too many parts")

    def end(name: str) -> None:
        nonlocal depth
        depth -= 1

    parser = expat.ParserCreate()
    parser.StartElementHandler, parser.EndElementHandler = start, end
    parser.Parse(text, True)


def _parse(packet: bytes) -> minidom.Document:
    if len(packet) > _LONGEST:
        raise ValueError("XMP too long")
    try:
        encoding = "utf-16" if packet[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
        text = packet.decode(encoding).strip().strip("\0").strip()
        if "<!DOCTYPE" in text or "<!ENTITY" in text:
            raise ValueError("XMP with a document type")
        _measure(text.encode())
        document = minidom.parseString(text.encode())
    except (UnicodeError, ExpatError, RecursionError) as error:
        raise ValueError("not well-formed XML") from error
    if not document.getElementsByTagNameNS(RDF, "RDF"):
        raise ValueError("XMP without RDF")
    return document


def _text(document: minidom.Document) -> str:
    root = document.documentElement
    if root is None:
        raise ValueError("XMP without content")
    for element in [root, *root.getElementsByTagName("*")]:
        for name, value in element.attributes.items():
            if any(space in value for space in _SPACES):
                element.setAttribute(name, "".join(_SPACES.get(char, char) for char in value))
    text = root.toxml()
    for space, stand_in in _SPACES.items():
        text = text.replace(stand_in, f"&#{ord(space)};")
    return text


def _serialise(document: minidom.Document) -> bytes:
    text = _text(document)
    return f'<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>{text}<?xpacket end="w"?>'.encode()


def _descriptions(document: minidom.Document) -> Iterator[minidom.Element]:
    rdf = document.getElementsByTagNameNS(RDF, "RDF")[0]
    for child in rdf.childNodes:
        if (
            isinstance(child, minidom.Element)
            and child.namespaceURI == RDF
            and child.localName == "Description"
        ):
            yield child


def _remove(document: minidom.Document, namespace: str, name: str) -> str | None:
    """Remove a property, be it an attribute or an element; return its value, or None if it was not there."""
    value: str | None = None
    for description in _descriptions(document):
        if description.hasAttributeNS(namespace, name):
            value = description.getAttributeNS(namespace, name)
            description.removeAttributeNS(namespace, name)
        for child in list(description.childNodes):
            if isinstance(child, minidom.Element) and (child.namespaceURI, child.localName) == (
                namespace,
                name,
            ):
                value = "".join(node.data for node in child.childNodes if isinstance(node, minidom.Text))
                description.removeChild(child)
    return value


def is_readable(packet: bytes) -> bool:
    """Return whether properties can be merged into the packet."""
    try:
        _parse(packet)
    except ValueError:
        return False
    return True


def clean(packet: bytes, *, turned: bool) -> bytes:
    """Return the packet without thumbnails, and with orientation 1 if the picture was turned upright.

    A packet without either is returned byte for byte.

    Raises:
        ValueError: the packet is not readable XMP.
    """
    document = _parse(packet)
    changed = _remove(document, "http://ns.adobe.com/xap/1.0/", "Thumbnails") is not None
    if turned and _remove(document, _TIFF, "Orientation") is not None:
        _add(document, [Property(_TIFF, "tiff", "Orientation", "1")])
        changed = True
    return _serialise(document) if changed else packet


def without_credentials_link(packet: bytes) -> tuple[bytes, bool]:
    """Return the packet without its link to Content Credentials stored elsewhere, and whether it had one."""
    document = _parse(packet)
    if _remove(document, _DCTERMS, "provenance") is None:
        return packet, False
    return _serialise(document), True


def _add(document: minidom.Document, properties: Sequence[Property]) -> None:
    rdf = document.getElementsByTagNameNS(RDF, "RDF")[0]
    prefix = f"{rdf.prefix}:" if rdf.prefix else ""
    about = next((found.getAttributeNS(RDF, "about") for found in _descriptions(document)), "")
    description = document.createElementNS(RDF, f"{prefix}Description")
    # An attribute needs a prefix even where elements use the default namespace.
    description.setAttributeNS(_XMLNS, f"xmlns:{rdf.prefix or 'rdf'}", RDF)
    description.setAttributeNS(RDF, f"{rdf.prefix or 'rdf'}:about", about)
    for item in properties:
        description.setAttributeNS(_XMLNS, f"xmlns:{item.prefix}", item.namespace)
        element = document.createElementNS(item.namespace, f"{item.prefix}:{item.name}")
        element.appendChild(document.createTextNode(_NOT_XML.sub("\ufffd", item.value)))
        description.appendChild(element)
    rdf.appendChild(description)


def merge(packet: bytes | None, properties: Sequence[Property]) -> bytes:
    """Return the packet with simple properties set; everything else stays. None starts a new packet.

    Raises:
        ValueError: the packet is not readable XMP.
    """
    document = _parse(packet or _EMPTY.encode())
    for item in properties:
        _remove(document, item.namespace, item.name)
    _add(document, properties)
    return _serialise(document)


def join_extension(packet: bytes, extension: bytes) -> bytes:
    """Return a JPEG's main packet with the content of its extended packet.

    Raises:
        ValueError: one of the packets is not readable XMP.
    """
    document, other = _parse(packet), _parse(extension)
    _remove(document, _NOTE, "HasExtendedXMP")
    rdf = document.getElementsByTagNameNS(RDF, "RDF")[0]
    for description in list(_descriptions(other)):
        # Prefixes may be declared on an outer element; declare them again at the new place.
        node: minidom.Node | None = description.parentNode
        while isinstance(node, minidom.Element):
            for name, value in node.attributes.items():
                if name.startswith("xmlns") and not description.hasAttribute(name):
                    description.setAttributeNS(_XMLNS, name, value)
            node = node.parentNode
        rdf.appendChild(document.importNode(description, True))
    return _serialise(document)


def split_extension(packet: bytes, marks: Sequence[Property]) -> tuple[bytes, bytes, str]:
    """Split a packet too large for one JPEG segment; return main packet, extended packet and the GUID that links them.

    The main packet keeps ``marks``, which readers must find without the extension.
    """
    document = _parse(packet)
    for item in marks:
        _remove(document, item.namespace, item.name)
    extension = _text(document).encode()
    guid = hashlib.md5(extension, usedforsecurity=False).hexdigest().upper()
    main = merge(None, [*marks, Property(_NOTE, "xmpNote", "HasExtendedXMP", guid)])
    return main, extension, guid
