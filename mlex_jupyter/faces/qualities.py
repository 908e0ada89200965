"""A report on the values of a volume, in words, as bars in a terminal and as a drawing in a notebook."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from mlex_jupyter.faces.words import plain
from mlex_jupyter.types import Histogram, Quality, SliceQuality

BARS = " ▁▂▃▄▅▆▇█"
SHOWN = 12
WIDE, HIGH = 448, 120


def looked_at(found: Quality) -> str:
    """`all 64 slices, 4,194,304 values`."""
    slices = f"all {found.slices}" if found.looked_at == found.slices else f"{found.looked_at} of {found.slices}"
    return f"{slices} slice{'s' if found.slices != 1 else ''}, {found.pixels:,} values"


def values(found: Quality) -> str:
    """`0 to 255, mean 90.7 ± 59.1`."""
    if found.classes:
        return ""
    if found.minimum is None:
        return "none is a number"
    return f"{found.minimum:g} to {found.maximum:g}, mean {found.mean:.4g} ± {found.std:.4g}"


def most(found: Quality) -> str:
    """`99 % within 12 to 240, half of them above 95`."""
    said = {} if found.classes else found.percentiles
    return f"99 % within {said['0.5']:g} to {said['99.5']:g}, half of them above {said['50']:g}" if said else ""


def bad(found: Quality) -> str:
    """`12 NaN, 3 infinite`."""
    parts = [f"{some:,} {what}" for some, what in ((found.nan, "NaN"), (found.infinite, "infinite")) if some]
    return ", ".join(parts)


def at_ends(found: Quality) -> str:
    """`188 at the lowest value, 102 at the highest`."""
    if found.minimum is None or found.classes:
        return ""
    return f"{found.at_lowest:,} pixels at the lowest value, {found.at_highest:,} at the highest"


def classes(found: Quality) -> str:
    """`Pore 38 %, Grain 28 %`."""
    total = sum(found.classes.values()) or 1
    return ", ".join(f"{plain(name)} {_percent(some, total)}" for name, some in found.classes.items())


def _percent(some: int, total: int) -> str:
    share = 100 * some / total
    return f"{share:.0f} %" if share >= 10 else f"{share:.1f} %" if share >= 0.1 or not some else "< 0.1 %"


def bars(found: Histogram | None) -> str:
    """The histogram in one line, roots of the counts, so that what is rare is seen."""
    if found is None:
        return ""
    top = max(found.counts) ** 0.5 or 1.0
    drawn = "".join(BARS[min(8, int(some**0.5 / top * 8 + 0.999))] for some in found.counts)
    return f"{found.low:g} {drawn} {found.high:g}"


def notable(found: Quality) -> Sequence[SliceQuality]:
    """The slices to show: those with something to mind, else some that lie evenly."""
    worth = [one for one in found.per_slice if one.bad or one.z in set(found.empty)]
    some = worth or found.per_slice
    step = max(1, -(-len(some) // SHOWN))
    return some[::step]


def drawing(found: Quality) -> str:
    """The histogram as an SVG in the colours of the page."""
    if found.histogram is None:
        return ""
    counts = found.histogram.counts
    top = max(counts) ** 0.5 or 1.0
    side = WIDE / len(counts)
    rects = "".join(
        f'<rect x="{place * side:.2f}" y="{HIGH - some**0.5 / top * HIGH:.1f}" width="{max(0.5, side - 1):.2f}" '
        f'height="{some**0.5 / top * HIGH:.1f}"><title>{some:,}</title></rect>'
        for place, some in enumerate(counts)
    )
    low, high = (escape(f"{end:g}") for end in (found.histogram.low, found.histogram.high))
    label = 'font-size="11" fill="var(--jp-ui-font-color2,#666)"'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-label="Histogram from {low} to {high}; heights are '
        f'square roots of counts" width="{WIDE}" height="{HIGH + 18}" '
        f'style="font-family:var(--jp-ui-font-family,sans-serif);display:block;margin:8px 0">'
        f'<g fill="var(--jp-brand-color1,#1976d2)">{rects}</g>'
        f'<text x="0" y="{HIGH + 14}" {label}>{low}</text>'
        f'<text x="{WIDE}" y="{HIGH + 14}" text-anchor="end" {label}>{high}</text></svg>'
    )
