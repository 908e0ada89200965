"""What the sample's textures are made of."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Recipe:
    """What a texture is made of. Values are the classes': 1 is always the pore, 4 the rare bright one."""

    names: tuple[str, str, str, str]
    grey: tuple[float, float, float, float]
    background: int
    """What is there before anything is put in."""
    bodies: int
    """The class of the bodies, apart from the rare ones."""
    radius: tuple[float, float]
    """Of the bodies, in voxels, at most and at least."""
    filled: float
    """How much of the volume the bodies shall take."""
    facets: int
    """Few make angular bodies, many make round ones."""
    rare: float
    """The share of the bodies' volume that the rare ones have."""
    clouds: float
    """The share of the background that is speckled, class 3."""


RECIPES = {
    "sand": Recipe(
        names=("Pore", "Grain", "Binder", "Heavy mineral"),
        grey=(0.13, 0.52, 0.52, 0.6),
        background=1,
        bodies=2,
        radius=(32.0, 13.0),
        filled=0.56,
        facets=13,
        rare=0.19,
        clouds=0.58,
    ),
    "foam": Recipe(
        names=("Bubble", "Polymer", "Filler", "Metal"),
        grey=(0.13, 0.52, 0.52, 0.6),
        background=2,
        bodies=1,
        radius=(30.0, 12.0),
        filled=0.55,
        facets=40,
        rare=0.18,
        clouds=0.58,
    ),
}
