"""
This module draws what the people of the demo set wear: labels as evenly as the body, the part and the view allow.

A label is given only where the drawing shows it. Groups that an outer hides are in ``Garment.hidden``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache

import numpy as np

from kfashion_d2.schema import kfashion_schema

NONE = "none"

# RGB. Far enough apart that the eye tells them at 128 pixels.
COLORS = {
    "black": (26, 26, 30),
    "white": (245, 245, 245),
    "gray": (128, 130, 134),
    "red": (214, 28, 36),
    "pink": (250, 140, 182),
    "orange": (248, 128, 22),
    "beige": (226, 205, 166),
    "brown": (112, 66, 34),
    "yellow": (250, 218, 46),
    "green": (24, 142, 62),
    "khaki": (112, 112, 52),
    "mint": (140, 230, 196),
    "blue": (28, 84, 214),
    "navy": (24, 32, 92),
    "sky blue": (132, 200, 246),
    "purple": (124, 42, 164),
    "lavender": (194, 170, 236),
    "wine": (122, 16, 48),
    "neon": (190, 255, 20),
    "gold": (204, 158, 52),
    "silver": (188, 194, 204),
}

OPEN_NECKS = ("round neck", "u-neck", "v-neck", "square neck")
_BARE_NECKS = ("off-shoulder", "one-shoulder", "hood", "turtleneck", "collarless")
_OUTER_NECKS = (*OPEN_NECKS, "collarless", "hood", NONE)
_INSIDE_NECKS = (*OPEN_NECKS, "turtleneck", NONE)
_INSIDE_COLLARS = (
    NONE,
    "shirt collar",
    "bow collar",
    "polo collar",
    "peter pan collar",
    "mandarin collar",
    "band collar",
)

# How often a garment has no neckline (axis 1) or no collar (axis 2), against each that there is. Many necklines cannot
# have a collar; a closed neck says least.
_NONE_SHARE = {1: 0.6, 2: 3.2}

MATERIALS = ("leather", "lace", "knit", "corduroy", "tweed", "sequin/glitter", "fur", "denim", "mesh", "silk", "woven")
_CATEGORY_MATERIAL = {
    "knitwear": "knit",
    "jeans": "denim",
    "leggings": "spandex",
    "padded jacket": "padding",
    "cardigan": "knit",
}
SPREAD_PRINTS = (
    "check",
    "stripe",
    "zigzag",
    "leopard",
    "zebra",
    "dot",
    "camouflage",
    "houndstooth",
    "argyle",
    "gingham",
    "floral",
    "heart",
    "gradient",
    "tie-dye",
)
_FREE_PRINTS = (*SPREAD_PRINTS, "graphic", "lettering")
# Chance of a plain cloth among garments of two colours; marks need a calm ground.
_SOLID = {
    **{"top": 0.4, "bottom": 0.4, "dress": 0.35, "outer": 0.6},
    **{"padded jacket": 1.0, "bra top": 1.0, "knitwear": 0.75, "blouse": 0.55, "shirt": 0.55},
}
_SOLID_INSIDE = 0.7  # an open front shows little more than the main colour
CATEGORY_DETAILS = {
    "blouse": ("ruffle",),
    "shirt": ("button", "pocket"),
    "hoodie": ("pocket", "drawstring"),
    "knitwear": ("cable knit",),
    "jeans": ("pocket", "stitching"),
    "pants": ("pocket",),
    "jogger pants": ("drawstring",),
    "coat": ("button", "double-breasted"),
    "jacket": ("button", "single-breasted", "pocket"),
    "jumper": ("zipper",),
    "padded jacket": ("quilting",),
    "vest": ("button", "pocket"),
    "cardigan": ("button",),
    "zip-up": ("zipper", "pocket"),
}
# Details that a garment may have besides: by part, or by category where only some can have them.
_EXTRA_DETAILS = {
    "top": ("ribbon", "ruffle", "fringe", "studs"),
    "bottom": ("sash", "ribbon", "fringe", "studs"),
    "skirt": ("sash", "ribbon", "ruffle", "fringe", "slit", "pleats"),
    "outer": ("studs", "fringe"),
    "dress": ("sash", "ribbon", "ruffle", "fringe", "slit", "pleats", "cut-out"),
    "jumpsuit": ("sash", "ribbon", "cut-out", "studs"),
}

HEMS = {
    "top": {"crop": 0.355, "regular": 0.475, "long": 0.585},
    "bottom": {"mini": 0.655, "knee-length": 0.74, "midi": 0.82, "ankle-length": 0.905, "maxi": 0.985},
    "outer": {"crop": 0.37, "regular": 0.49, "half": 0.61, "long": 0.75, "maxi": 0.915},
    "dress": {"mini": 0.645, "knee-length": 0.735, "midi": 0.82, "ankle-length": 0.905, "maxi": 0.985},
}
"""Where a length ends, in figure units (0 the top of the head, 1 the soles)."""


@dataclass
class Garment:
    """
    These are the labels of one garment, by English name; None: the group does not apply or was not drawn.

    Attributes:
        hidden: groups that the drawing does not show, and which therefore get no label.
        inside: worn under an outer.
    """

    part: str
    category: str
    color: str
    sub_color: str
    length: str
    fit: str
    sleeve_length: str | None = None
    neckline: str | None = None
    collar: str | None = None
    material: list[str] = field(default_factory=list)
    print: list[str] = field(default_factory=list)
    detail: list[str] = field(default_factory=list)
    hidden: set[str] = field(default_factory=set)
    inside: bool = False

    @property
    def hem(self) -> float:
        """Return the hem's height on the body, in figure units."""
        return 0.345 if self.category == "bra top" else HEMS[self.part][self.length]


def _collar_fits(neckline: str, collar: str) -> bool:
    if collar == NONE:
        return True
    if neckline in _BARE_NECKS:
        return False
    special = {
        "boat neck": ("sailor collar", "peter pan collar", "bow collar"),
        "halter neck": ("bow collar", "band collar", "mandarin collar"),
        "sweetheart": ("bow collar",),
    }
    return collar in special.get(neckline, (collar,))


def _sleeve_fits(neckline: str, collar: str, sleeve: str) -> bool:
    if sleeve == "no sleeve":
        return neckline in ("sweetheart", "v-neck", "u-neck", NONE) and collar == NONE
    if neckline == "halter neck":
        return sleeve == "sleeveless"
    if neckline == "off-shoulder":
        return sleeve != "sleeveless"
    return True


def _category_fits(category: str, neckline: str, collar: str, sleeve: str) -> bool:
    if category == "hoodie":
        return neckline == "hood" and sleeve != "no sleeve"
    if category == "bra top":
        return collar == NONE and sleeve in ("no sleeve", "sleeveless") and neckline not in (*_BARE_NECKS, "boat neck")
    if category == "vest":
        return sleeve == "sleeveless"
    return True


def _fits(part: str, inside: bool, category: str, neckline: str, collar: str, sleeve: str) -> bool:
    if not (
        _collar_fits(neckline, collar)
        and _sleeve_fits(neckline, collar, sleeve)
        and _category_fits(category, neckline, collar, sleeve)
    ):
        return False
    if part == "outer":
        return neckline in _OUTER_NECKS and (category == "vest" or sleeve not in ("no sleeve", "sleeveless"))
    if inside:
        if neckline not in _INSIDE_NECKS or collar not in _INSIDE_COLLARS or sleeve in ("no sleeve", "sleeveless"):
            return False
        return collar in (NONE, "bow collar") or neckline == NONE
    return not (part == "top" and neckline == "hood") or category == "hoodie"


def _names(group: str) -> list[str]:
    return [label.name for label in kfashion_schema().group(group).labels]


def _part_names(group: str, part: str) -> list[str]:
    attribute = kfashion_schema().group(group)
    return [attribute.labels[i].name for i in attribute.part_labels[part]]


@cache
def _joint(part: str, inside: bool) -> tuple[list[tuple[str, str, str, str]], np.ndarray]:
    """
    List the combinations of category, neckline, collar and sleeve that can be, and their cumulated probabilities: as
    even in each of the four as the constraints allow (iterative proportional fitting, damped); see _NONE_SHARE.
    """
    schema = kfashion_schema()
    categories = [
        schema.categories.labels[i].name for i, p in enumerate(schema.category_parts) if schema.parts.labels[p] == part
    ]
    axes = (categories, _names("neckline"), _names("collar"), _names("sleeve_length"))
    combos = [
        (c, n, k, s)
        for c in axes[0]
        for n in axes[1]
        for k in axes[2]
        for s in axes[3]
        if _fits(part, inside, c, n, k, s)
    ]
    ids = np.array([[axis.index(v) for axis, v in zip(axes, combo, strict=True)] for combo in combos])
    weights = np.full(len(combos), 1.0 / len(combos))
    for _ in range(80):
        for axis, names in enumerate(axes):
            share = np.bincount(ids[:, axis], weights, minlength=len(names))
            wanted = (share > 0).astype(np.float64)
            if NONE in names:
                wanted[names.index(NONE)] *= 1.0 if inside else _NONE_SHARE[axis]
            wanted /= wanted.sum()
            weights *= np.sqrt(wanted[ids[:, axis]] / share[ids[:, axis]])
            weights /= weights.sum()
    return combos, np.cumsum(weights)


def _pick(rng: np.random.Generator, values) -> str:
    return values[int(rng.integers(len(values)))]


@cache
def _distance(a: str, b: str) -> float:
    return float(np.abs(np.subtract(COLORS[a], COLORS[b])).sum())


def _other_color(rng: np.random.Generator, taken: list[str], least: float) -> str:
    """Draw a colour that differs from those taken by at least `least`, summed over RGB."""
    return _pick(rng, [c for c in COLORS if all(_distance(c, t) >= least for t in taken)])


def _sample_surface(rng: np.random.Generator, garment: Garment) -> None:
    """
    Draw prints, materials and details; a print's second colour is the sub colour, so a plain garment may have none.
    """
    if garment.category == "t-shirt":
        garment.print = [_pick(rng, ("graphic", "lettering"))]
    elif garment.sub_color == NONE or rng.random() < max(
        _SOLID.get(garment.category, _SOLID[garment.part]), _SOLID_INSIDE * garment.inside
    ):
        garment.print = ["solid"]
    else:
        garment.print = [_pick(rng, _FREE_PRINTS if garment.part == "dress" and not garment.inside else SPREAD_PRINTS)]
    if garment.category in _CATEGORY_MATERIAL:
        garment.material = [_CATEGORY_MATERIAL[garment.category]]
    elif rng.random() < 0.7:
        garment.material = [_pick(rng, MATERIALS)]
    garment.detail = list(CATEGORY_DETAILS.get(garment.category, ()))
    extras = _EXTRA_DETAILS.get(garment.category, _EXTRA_DETAILS[garment.part])
    if rng.random() < 0.45 and not garment.inside:
        extra = _pick(rng, extras)
        if extra not in garment.detail:
            garment.detail.append(extra)


def sample_garment(rng: np.random.Generator, part: str, taken: list[str], inside: bool = False) -> Garment:
    """
    Draw one garment.

    Args:
        rng: the picture's generator.
        part: "top", "bottom", "outer" or "dress".
        taken: main colours of the other garments, which this one avoids.
        inside: whether an outer is worn over it.
    """
    color = _other_color(rng, taken, 110)
    sub_color = NONE if rng.random() < 0.2 else _other_color(rng, [color], 200)
    length, fit = _pick(rng, list(HEMS[part])), _pick(rng, _part_names("fit", part))
    if part == "bottom":
        category = _pick(rng, ("jeans", "pants", "skirt", "leggings", "jogger pants"))
        if category == "leggings":
            fit = "skinny"
        elif category == "jogger pants":
            fit = _pick(rng, ("regular", "loose", "wide"))
        garment = Garment(part, category, color, sub_color, length, fit, inside=inside)
    else:
        combos, cumulated = _joint(part, inside)
        category, neckline, collar, sleeve = combos[int(np.searchsorted(cumulated, rng.random() * cumulated[-1]))]
        if category == "bra top":
            length, fit = "crop", "tight"
        garment = Garment(part, category, color, sub_color, length, fit, sleeve, neckline, collar, inside=inside)
    _sample_surface(rng, garment)
    return garment
