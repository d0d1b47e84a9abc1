"""Line charts as inline SVG; colours come from the page's style."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from markupsafe import Markup

WIDTH, HEIGHT = 340, 210
LEFT, RIGHT, TOP, BOTTOM = 42, 12, 14, 34


def line_chart(
    title: str,
    series: Mapping[str, Sequence[tuple[float, float]]],
    x_label: str,
    y_range: tuple[float, float],
    y_ticks: Sequence[float],
) -> Markup:
    """Return a chart of lines through points (x, y), each with a mark of its own and a title on hover.

    Args:
        title: what is drawn, read out by screen readers.
        series: name -> points in rising x.
        x_label: name of the x axis.
        y_range: lowest and highest y shown; points beyond are drawn at the edge.
        y_ticks: where the y axis has its lines.
    """
    xs = sorted({x for points in series.values() for x, _ in points})
    if not xs:
        return Markup()
    low_x, high_x = xs[0], max(xs[-1], xs[0] + 1e-9)
    low, high = y_range

    def place(x: float, y: float) -> tuple[float, float]:
        across = LEFT + (x - low_x) / (high_x - low_x) * (WIDTH - LEFT - RIGHT)
        down = TOP + (high - min(max(y, low), high)) / (high - low) * (HEIGHT - TOP - BOTTOM)
        return round(across, 1), round(down, 1)

    parts = [Markup('<svg viewBox="0 0 {} {}" role="img" aria-label="{}">').format(WIDTH, HEIGHT, title)]
    for tick in y_ticks:
        _, y = place(low_x, tick)
        parts.append(
            Markup('<line class="grid" x1="{}" x2="{}" y1="{}" y2="{}"/>').format(LEFT, WIDTH - RIGHT, y, y)
        )
        parts.append(
            Markup('<text x="{}" y="{}" text-anchor="end">{}</text>').format(LEFT - 5, y + 4, f"{tick:g}")
        )
    for x_value in xs:
        x, _ = place(x_value, low)
        parts.append(
            Markup('<text x="{}" y="{}" text-anchor="middle">{}</text>').format(
                x, HEIGHT - BOTTOM + 14, f"{x_value:g}"
            )
        )
    parts.append(
        Markup('<text x="{}" y="{}" text-anchor="middle">{}</text>').format(
            (LEFT + WIDTH - RIGHT) / 2, HEIGHT - 4, x_label
        )
    )
    for number, (name, points) in enumerate(series.items()):
        placed = [place(x, y) for x, y in points]
        path = " ".join(f"{x},{y}" for x, y in placed)
        parts.append(Markup('<polyline class="line c{}" points="{}"/>').format(number % 8, path))
        for (x, y), (x_value, y_value) in zip(placed, points, strict=True):
            parts.append(
                Markup(
                    '<circle class="dot c{}" cx="{}" cy="{}" r="3"><title>{}: {} at {}</title></circle>'
                ).format(number % 8, x, y, name, f"{y_value:.3g}", f"{x_value:g}")
            )
    return Markup("").join([*parts, Markup("</svg>")])
