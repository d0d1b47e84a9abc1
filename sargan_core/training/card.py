"""The model card that lies beside trained weights."""

from __future__ import annotations

from sargan_core.models.weights import WeightsRecord


def card_head(record: WeightsRecord, *training: str) -> list[str]:
    """Return the first lines of a card as Markdown: what the weights are, from what, and how they were trained.

    Args:
        record: of the weights.
        training: how, a point each.
    """
    points = [
        f"data: {record.data}",
        f"licence of the weights: {record.weights_licence}",
        *training,
        f"sha256 {record.sha256}, {record.bytes:,} bytes",
    ]
    return [f"# {record.name}", "", record.description, "", *(f"- {point}" for point in points)]
