"""Provenance: every edited photo says in its XMP that a trained model changed it, which one and how."""

from __future__ import annotations

from dataclasses import dataclass

from sargan_core.photo import xmp

IPTC_EXTENSION = "http://iptc.org/std/Iptc4xmpExt/2008-02-29/"


SARGAN_NAMESPACE = "urn:sargan:provenance:1.0#"


# IPTC NewsCodes: a photo, parts of which were made by a trained model.
DIGITAL_SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"


@dataclass(frozen=True)
class Provenance:
    """How a photo was edited.

    Attributes:
        model: name of the model.
        expression: the expression or mix asked for.
        strength: strength of the edit; 1 is the model's own.
        version: version of sargan.
    """

    model: str
    expression: str
    strength: float
    version: str

    def properties(self) -> tuple[xmp.Property, ...]:
        """Return the XMP properties that mark the edit."""
        own = {
            "Model": self.model,
            "Expression": self.expression,
            "Strength": f"{self.strength:g}",
            "Version": self.version,
        }
        return (
            xmp.Property(IPTC_EXTENSION, "Iptc4xmpExt", "DigitalSourceType", DIGITAL_SOURCE_TYPE),
            *(xmp.Property(SARGAN_NAMESPACE, "sargan", name, value) for name, value in own.items()),
        )


def mark(packet: bytes | None, provenance: Provenance) -> bytes:
    """Return the XMP packet with the mark of the edit merged in; None starts a new packet.

    Everything else in the packet stays. A packet that cannot be read gives way to a new one; photos read by
    ``read_photo`` never hold one.
    """
    readable = packet if packet is not None and xmp.is_readable(packet) else None
    return xmp.merge(readable, provenance.properties())
