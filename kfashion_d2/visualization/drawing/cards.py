"""
This module sets attributes as text cards beside the picture, one for each garment. What they say, and where they stand,
is worked out without drawing; :func:`draw_panel` draws it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from PIL import Image, ImageDraw

from ...schema import CATEGORY_GROUP, UNSURE, AttributeSchema, Label
from .fonts import load_font
from .garment import Garment

__all__ = [
    "Card",
    "Line",
    "arrange_cards",
    "draw_mark",
    "draw_panel",
    "draw_tag",
    "garment_card",
    "place_cards",
    "score_pieces",
    "wrap_pieces",
]

Color = tuple[int, int, int]

# How a line agrees with the ground truth: sign colour. A sign's shape says the same as its colour.
MARKS: dict[str, Color] = {"right": (0, 133, 94), "partly": (191, 127, 0), "wrong": (200, 74, 0)}
INK, KEY_INK, MUTED_INK, CARD_FILL = (20, 20, 20), (95, 95, 95), (140, 140, 140), (244, 244, 244)
NOTHING = {"en": "none", "ko": "없음"}


@dataclass(frozen=True)
class Line:
    """
    This is a line of a card.

    Attributes:
        key: the group's name.
        pieces: the values, which a line break never splits while they fit into a line.
        mark: a key of MARKS, or empty.
        muted: that there is nothing: drawn in grey.
    """

    key: str
    pieces: tuple[str, ...]
    mark: str = ""
    muted: bool = False

    def __str__(self) -> str:
        return f"{self.key}: {' '.join(self.pieces)}"


@dataclass(frozen=True)
class Card:
    """A card has what is said about a garment; `number` and `color` are those of its box in the picture."""

    number: int
    color: Color
    title: str
    lines: tuple[Line, ...]
    mark: str = ""


def _with_score(text: str, score: float | None) -> str:
    return text if score is None else f"{text} {score:.2f}"


def score_pieces(labels: Sequence[tuple[Label, float | None]], language: str) -> tuple[str, ...]:
    """Write names with their scores, each but the last with a comma."""
    # The score beside "unsure" is the best label's.
    names = [_with_score(label.text(language), None if label == UNSURE else score) for label, score in labels]
    return (*(f"{name}," for name in names[:-1]), *names[-1:])


def garment_card(
    garment: Garment,
    schema: AttributeSchema,
    language: str = "en",
    *,
    number: int = 1,
    color: Color = (0, 0, 0),
    marks: Mapping[str, str] | None = None,
    note: str = "",
) -> Card:
    """
    Set the text of a garment: its class and score, then a line for each group in the schema's order, the category
    first.

    Args:
        language: "en" or "ko".
        marks: group -> key of MARKS; "" -> that of the title.
        note: stands in parentheses behind the title.
    """
    marks = marks or {}
    lines = []
    for group in sorted(schema.groups, key=lambda group: group.name != CATEGORY_GROUP):
        if group.name not in garment.attributes:
            continue
        labels = garment.attributes[group.name]
        # No answer above the threshold says "none" only where the group knows such a thing.
        nothing = NOTHING[language] if group.absent == "none" else "–"
        pieces = score_pieces(labels, language) or (nothing,)
        none = None if group.none_index is None else group.labels[group.none_index]
        muted = not labels or labels[0][0] in (none, UNSURE)
        lines.append(Line(group.text(language), pieces, marks.get(group.name, ""), muted))
    title = _with_score(garment.label.text(language), garment.score)
    return Card(number, color, f"{title} ({note})" if note else title, tuple(lines), marks.get("", ""))


def wrap_pieces(pieces: Sequence[str], width: float, measure: Callable[[str], float]) -> list[str]:
    """
    Break text into lines of at most `width`, broken between pieces; inside a piece only where it alone is too wide, at
    spaces if it has any. A single character wider than `width` gets its own line.
    """
    lines: list[str] = []
    current = ""
    for piece in pieces:
        together = f"{current} {piece}" if current else piece
        if measure(together) <= width:
            current = together
            continue
        if current:
            lines.append(current)
        if measure(piece) <= width:
            current = piece
            continue
        words = piece.split(" ")
        broken = wrap_pieces(words, width, measure) if len(words) > 1 else _break_word(piece, width, measure)
        lines += broken[:-1]
        current = broken[-1]
    return [*lines, current] if current else lines


def _break_word(word: str, width: float, measure: Callable[[str], float]) -> list[str]:
    lines = [word[0]]
    for character in word[1:]:
        if measure(lines[-1] + character) <= width:
            lines[-1] += character
        else:
            lines.append(character)
    return lines


def place_cards(heights: Sequence[int], width: int, room: int, gap: int) -> tuple[list[tuple[int, int]], int, int]:
    """
    Put cards of one width into columns, in their order, a new column where the next card would pass `room`.

    Args:
        heights: of the cards, in pixels.
        width: of each card.
        room: height to fill; a card that is taller alone passes it.
        gap: between cards, and around all.

    Returns:
        The cards' (x, y) top left corners; the width and the height that they and the gaps around them take.
    """
    positions: list[tuple[int, int]] = []
    x = y = gap
    bottom = 0
    for height in heights:
        if y > gap and y + height + gap > room:
            x, y = x + width + gap, gap
        positions.append((x, y))
        y += height + gap
        bottom = max(bottom, y)
    return positions, (x + width + gap if positions else 0), bottom


def arrange_cards(
    heights: Sequence[int], width: int, picture: tuple[int, int], gap: int
) -> tuple[list[tuple[int, int]], int, int]:
    """
    Do :func:`place_cards` with the room that lets picture and cards together fill a 16:10 page at the largest scale:
    two cards a little higher than the picture stand below one another, twenty in a block.

    Args:
        picture: width and height of the picture, to whose right the cards stand.
    """

    def size_on_page(layout: tuple[list[tuple[int, int]], int, int]) -> tuple[float, float]:
        _, total, bottom = layout
        full_width, full_height = picture[0] + total, max(picture[1], bottom)
        return max(full_width, 1.6 * full_height), full_width * full_height

    # The highest column of any arrangement in order is a run of neighbours.
    stacks = (heights[i:j] for i in range(len(heights)) for j in range(i + 1, len(heights) + 1))
    rooms = [picture[1], *sorted({sum(stack) + gap * (len(stack) + 1) for stack in stacks})]
    return min((place_cards(heights, width, room, gap) for room in rooms), key=size_on_page)


class _Style(NamedTuple):
    """These are sizes that follow from the letters' size, in pixels."""

    size: int
    pad: int
    step: int
    mark: int

    @classmethod
    def from_size(cls, size: int) -> _Style:
        return cls(size=size, pad=max(4, size // 2), step=round(size * 1.4), mark=round(size * 1.1))


def readable_ink(color: Color) -> Color:
    """Return black or white, whichever stands out more from a background."""
    r, g, b = (value / 255 for value in color)
    return (0, 0, 0) if 0.299 * r + 0.587 * g + 0.114 * b > 0.55 else (255, 255, 255)


def draw_tag(draw: ImageDraw.ImageDraw, box: tuple[int, int, int, int], number: int, color: Color, size: int) -> None:
    """Draw a garment's number on its colour, in a box of x0, y0, x1, y1 pixels."""
    x0, y0, x1, y1 = box
    draw.rounded_rectangle((x0, y0, x1 - 1, y1 - 1), radius=size // 4, fill=color, outline=(255, 255, 255))
    middle = ((x0 + x1) / 2, (y0 + y1) / 2)
    draw.text(middle, str(number), font=load_font("en", size), fill=readable_ink(color), anchor="mm")


def draw_mark(draw: ImageDraw.ImageDraw, x: float, y: float, side: float, mark: str, color: Color) -> None:
    """Draw a sign in the square at x, y. It is drawn, not written: few fonts with Hangul hold these signs."""
    strokes = {
        "right": [[(0.1, 0.55), (0.4, 0.85), (0.9, 0.2)]],
        "partly": [[(0.12, 0.52), (0.88, 0.52)]],
        "wrong": [[(0.18, 0.2), (0.82, 0.84)], [(0.82, 0.2), (0.18, 0.84)]],
    }[mark]
    for stroke in strokes:
        points = [(x + side * a, y + side * b) for a, b in stroke]
        draw.line(points, fill=color, width=max(2, round(side / 6)), joint="curve")


class _CardLayout:
    """This is a card with its text broken into lines for a width."""

    def __init__(self, card: Card, width: int, key_width: int, language: str, style: _Style):
        self.card, self.style, self.key_width = card, style, key_width
        self.font = load_font(language, style.size)
        inner = width - 3 * style.pad - style.mark
        self.title = wrap_pieces(card.title.split(" "), inner - 2 * style.step, self.font.getlength)
        self.values = [wrap_pieces(line.pieces, inner - key_width, self.font.getlength) for line in card.lines]
        self.width = width
        self.header = len(self.title) * style.step + style.pad
        rows = sum(len(value) for value in self.values)
        self.height = self.header + rows * style.step + (style.pad if rows else 0)

    def draw(self, draw: ImageDraw.ImageDraw, x: int, y: int) -> None:
        card, style, font = self.card, self.style, self.font
        ink = readable_ink(card.color)
        draw.rectangle((x, y, x + self.width - 1, y + self.height - 1), fill=CARD_FILL)
        draw.rectangle((x, y, x + self.width - 1, y + self.header - 1), fill=card.color)
        # The body keeps a bar of the garment's colour, so that a long card still shows whose it is.
        draw.rectangle((x, y, x + max(3, style.pad // 2) - 1, y + self.height - 1), fill=card.color)
        left, top = x + style.pad, y + style.pad // 2
        draw_tag(draw, (left, top, left + style.step, top + style.step), card.number, card.color, style.size)
        for line in self.title:
            draw.text((left + round(1.5 * style.step), top + style.step / 2), line, font=font, fill=ink, anchor="lm")
            top += style.step
        right = x + self.width - style.pad - style.mark
        if card.mark:
            draw_mark(draw, right, y + (self.header - style.mark) / 2, style.mark, card.mark, ink)
        top = y + self.header + style.pad // 2
        for line, value in zip(card.lines, self.values, strict=True):
            middle = top + style.step / 2
            draw.text((left + style.pad // 2, middle), line.key, font=font, fill=KEY_INK, anchor="lm")
            if line.mark:
                draw_mark(draw, right, middle - style.mark / 2, style.mark, line.mark, MARKS[line.mark])
            for text in value:
                position = (left + style.pad // 2 + self.key_width, top + style.step / 2)
                draw.text(position, text, font=font, fill=MUTED_INK if line.muted else INK, anchor="lm")
                top += style.step


def draw_panel(
    cards: Sequence[Card], picture: tuple[int, int], size: int, language: str = "en", empty: str = ""
) -> Image.Image:
    """
    Draw a white panel of cards that stands to the right of a picture.

    Args:
        cards: in the order of their numbers.
        picture: its width and height; the panel is at least as high.
        size: of the letters, in pixels.
        language: "en" or "ko", as :func:`resolve_language` returns it.
        empty: what stands there when there are no cards.
    """
    style, font = _Style.from_size(size), load_font(language, size)
    keys = [font.getlength(line.key) for card in cards for line in card.lines]
    key_width = round(max(keys, default=0)) + style.pad
    texts = [font.getlength(" ".join(line.pieces)) for card in cards for line in card.lines]
    titles = [font.getlength(card.title) + 2 * style.step - key_width for card in cards]
    # As wide as the text asks for, within bounds: beyond them it wraps.
    value_width = min(max([*texts, *titles, 9 * size]), 15 * size)
    width = round(3.5 * style.pad + key_width + value_width + style.mark)
    layouts = [_CardLayout(card, width, key_width, language, style) for card in cards]
    positions, total, bottom = arrange_cards([layout.height for layout in layouts], width, picture, style.pad)
    panel = Image.new("RGB", (total or width, max(picture[1], bottom)), (255, 255, 255))
    draw = ImageDraw.Draw(panel)
    for layout, (x, y) in zip(layouts, positions, strict=True):
        layout.draw(draw, x, y)
    if not cards and empty:
        draw.text((style.pad, style.pad), empty, font=font, fill=MUTED_INK)
    return panel
