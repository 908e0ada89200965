"""Units of length, as the formats spell them and as people read them."""

from __future__ import annotations

SHORT = {
    "angstrom": "Å",
    "nanometer": "nm",
    "micrometer": "µm",
    "micron": "µm",
    "microns": "µm",
    "um": "µm",
    "μm": "µm",  # the Greek letter in place of the sign
    "\\u00B5m": "µm",  # as ImageJ writes it
    "millimeter": "mm",
    "centimeter": "cm",
    "meter": "m",
}


def short_unit(unit: str | None) -> str | None:
    """`micrometer` is µm; a unit that nobody knows stays as it is, "pixel" is none."""
    if not unit or unit.lower() in {"pixel", "pixels", "null"}:
        return None
    return SHORT.get(unit, SHORT.get(unit.lower(), unit))
