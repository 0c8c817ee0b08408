"""Pictures and words on a sheet, pixel for pixel: a value of a plane is one pixel of the PNG.

The same calls give the same bytes: no clock, no pyplot, one font that matplotlib brings along.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

import matplotlib
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, get_font
from numpy.typing import NDArray

DPI = 100
FONT = "DejaVu Sans"  # in matplotlib itself
INK = "#1a1a1a"
BAR_HEIGHT = 14

Colours = NDArray[np.uint8]  # (rows, columns, 3)
Side = Literal["left", "center", "right"]


@dataclass(frozen=True)
class Scale:
    """Which colour a value has. low, high: the ends; values beyond have the colours of the ends.

    unit: of the values.  colour_map: matplotlib's name.  ticks: where the colour bar has numbers.
    """

    name: str
    low: float
    high: float
    unit: str
    colour_map: str
    ticks: tuple[float, ...] = ()

    def paint(self, values: NDArray[Any]) -> Colours:
        """Values, (rows, columns), as colours."""
        share = (np.asarray(values, np.float64) - self.low) / (self.high - self.low)
        painted: Colours = matplotlib.colormaps[self.colour_map](np.clip(share, 0, 1), bytes=True)[..., :3]
        return painted


class Board:
    """A white sheet of width x height pixels. Places are pixels from the upper left."""

    def __init__(self, width: int, height: int) -> None:
        self.width, self.height = width, height
        self._figure = Figure(figsize=(width / DPI, height / DPI), dpi=DPI, facecolor="white")
        self._canvas = FigureCanvasAgg(self._figure)

    def picture(self, x: int, y: int, colours: Colours) -> None:
        """Colours with their upper left pixel at x, y."""
        self._figure.figimage(colours, xo=x, yo=self.height - y - len(colours), origin="upper")

    def text(
        self, x: float, y: float, words: str, size: float = 16, side: Side = "center", colour: str = INK,
        *, bold: bool = False, upright: bool = False,
    ) -> None:  # fmt: skip
        """One line around the height y, size pixels high. upright: it runs from bottom to top."""
        self._figure.text(
            x / self.width, 1 - y / self.height, drawable(words), fontsize=size * 72 / DPI, color=colour,
            ha=side, va="center", rotation=90 if upright else 0, rotation_mode="anchor", family=FONT,
            weight="bold" if bold else "normal", parse_math=False,
        )  # fmt: skip

    def bar(self, x: int, y: int, width: int, scale: Scale) -> None:
        """A colour bar with its numbers under it and its name under those: 60 pixels high."""
        ramp = np.linspace(scale.low, scale.high, width)
        self.picture(x, y, scale.paint(np.tile(ramp, (BAR_HEIGHT, 1))))
        for tick in scale.ticks:
            at = x + round((tick - scale.low) / (scale.high - scale.low) * (width - 1))
            self.picture(at, y + BAR_HEIGHT, np.zeros((4, 1, 3), np.uint8))
            self.text(at, y + BAR_HEIGHT + 14, f"{tick:g}".replace("-", "\N{MINUS SIGN}"), 14)
        self.text(x + width / 2, y + BAR_HEIGHT + 34, f"{scale.name} [{scale.unit}]", 15)

    def png(self) -> bytes:
        """The sheet as a PNG file."""
        with io.BytesIO() as file:
            self._canvas.print_png(file, metadata={"Software": None})
            return file.getvalue()


def drawable(words: str) -> str:
    """Words in one line, with a ? for every character that the font does not have."""
    has = _font().get_char_index
    return "".join(c if has(ord(c)) else "?" for c in " ".join(words.split()))


@cache
def _font() -> Any:
    return get_font(findfont(FontProperties(family=FONT)))
