"""The model folder: a card, the graphs it names, and slices to prove an engine with."""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from mr2ct.card import Card
from mr2ct.errors import ModelError

CARD = "card.json"
REFERENCE = "reference.npz"
LARGEST_CARD = 1 << 20  # bytes; a card is a few thousand
INSTALLED = Path(__file__).parent / "models"  # what comes with mr2ct, each a folder by its name
DEFAULT, UNTRAINED = "head-t1", "untrained-demo"
Way = Literal["mr_to_ct", "ct_to_mr"]


def graph_file(precision: str, way: Way = "mr_to_ct") -> str:
    """The file name of the graph of a precision ("fp32", "fp16", ...)."""
    return f"{way}.{precision}.onnx"


@dataclass(frozen=True)
class Reference:
    """Slices and what PyTorch made of them in fp32.

    mr, synthetic_ct: (N, 1, rows, columns) float32 in [-1, 1].  head: (N, rows, columns) bool.  cycled_mr: what
    ct_to_mr made of synthetic_ct, like it; None in a folder without ct_to_mr.
    """

    mr: NDArray[np.float32]
    synthetic_ct: NDArray[np.float32]
    head: NDArray[np.bool_]
    cycled_mr: NDArray[np.float32] | None = None


@dataclass(frozen=True)
class Model:
    """An opened model folder, every file of which was what the card says when it was opened.

    way: which of its two networks an engine runs.  The ends of that network are the card's input_name and output_name.
    """

    folder: Path
    card: Card
    way: Way = "mr_to_ct"

    @property
    def precisions(self) -> tuple[str, ...]:
        """The precisions there is a graph of, by the card's order."""
        named = ((name, name.removeprefix(f"{self.way}.").removesuffix(".onnx")) for name in self.card.files)
        return tuple(precision for name, precision in named if name == graph_file(precision, self.way))

    def way_back(self) -> Model:
        """The same folder with the way from CT to MR to run. Raises ModelError where it has none."""
        back, facts = replace(self, way="ct_to_mr"), self.card.cycle
        if facts is None or not back.precisions:
            raise ModelError(
                f"model {self.card.name!r}: no ct_to_mr in it, so there is no cycle check; export with --cycle-check"
            )
        return replace(back, card=replace(self.card, input_name=facts.input_name, output_name=facts.output_name))

    def proves(self, file: str) -> bool:
        """Whether the card has a passing certificate of one of its graphs, of either way."""
        back = self.card.cycle is not None and self.card.cycle.certificate(file) is not None
        return back or self.card.certificate(file) is not None

    def read(self, name: str) -> bytes:
        """The bytes of a file of the folder. Raises ModelError when they are not those the card was written for."""
        return _read_checked(self.folder, name, self.card)

    def reference(self) -> Reference:
        """The reference slices. Arrays are loaded without pickle."""
        where, content, slices = self.folder / REFERENCE, self.read(REFERENCE), self.card.slices
        try:
            with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
                mr, ct, head = (np.asarray(arrays[name]) for name in ("mr", "synthetic_ct", "head"))
                cycled_mr = np.asarray(arrays["cycled_mr"]) if "cycled_mr" in arrays else None
                reference = Reference(mr, ct, head, cycled_mr)
        except Exception as error:  # numpy, zipfile and zlib each raise several of their own
            reason = str(error).partition("\n")[0] or type(error).__name__
            raise ModelError(f"{where}: not reference slices ({reason})") from error
        count = reference.mr.shape[:1]
        shape = (*count, 1, slices.rows, slices.columns)
        for name, array, kind, wanted in (
            ("mr", reference.mr, "float32", shape),
            ("synthetic_ct", reference.synthetic_ct, "float32", shape),
            ("head", reference.head, "bool", (*count, slices.rows, slices.columns)),
            ("cycled_mr", reference.cycled_mr, "float32", shape),
        ):
            if array is None:
                continue
            if array.dtype != kind or array.shape != wanted:
                raise ModelError(f"{where}: {name} is {array.dtype} {array.shape} where the card has {kind} {wanted}")
        return reference


def installed_models() -> tuple[str, ...]:
    """The names of the models that come with mr2ct."""
    return tuple(sorted(card.parent.name for card in INSTALLED.glob(f"*/{CARD}")))


def open_model(folder: str | Path | None = None) -> Model:
    """Open a model and check every file of it against its card.

    folder: a model folder, the name of a model that comes with mr2ct where there is no folder of that name, or None for
    the first of these, head-t1.

    Raises ModelError when the card is missing or not ours, or a file is missing, altered, or not named in the card.
    """
    if folder is None:
        folder = INSTALLED / DEFAULT
    folder = Path(folder)
    try:
        if str(folder) in installed_models() and not folder.exists():
            folder = INSTALLED / folder
        return _open_checked(folder)
    except OSError as error:
        raise ModelError(f"{folder}: cannot be read ({error.strerror})") from error


def _open_checked(folder: Path) -> Model:
    if not folder.is_dir():
        names = ", ".join(installed_models())
        raise ModelError(f"{folder}: no such model folder; mr2ct-export writes one, and with mr2ct come {names}")
    path = folder / CARD
    if not path.is_file():
        raise ModelError(f"{folder}: not a model folder, it has no {CARD}; mr2ct-export writes one")
    if path.stat().st_size > LARGEST_CARD:
        raise ModelError(f"{path}: {path.stat().st_size} bytes are no card")
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ModelError(f"{path}: not text ({error})") from error
    card = Card.from_json(text, str(path))
    for name in card.files:
        _read_checked(folder, name, card)
    foreign = sorted(
        file.name for file in folder.iterdir() if file.name not in {CARD, *card.files} and not file.name.startswith(".")
    )
    if foreign:
        raise ModelError(f"{folder}: {', '.join(foreign)}: not named in {CARD}; take it out, or export the model again")
    return Model(folder, card)


def _read_checked(folder: Path, name: str, card: Card) -> bytes:
    facts = card.files.get(name)
    if facts is None:
        have = ", ".join(card.files)
        raise ModelError(f"{folder}: the model has no {name}; it has {have}")
    if Path(name).name != name or name in ("", "..", CARD) or not name.isprintable():
        raise ModelError(f"{folder / CARD}: {name!r} is not the name of a file in this folder")
    path = folder / name
    try:
        size = path.stat().st_size  # of what a link leads to
        if path.resolve().parent != folder.resolve():
            raise ModelError(f"{path}: a link out of the model folder")
        content = path.read_bytes() if path.is_file() and size == facts.bytes else None
    except OSError as error:
        raise ModelError(
            f"{path}: named in {CARD} but cannot be read ({error.strerror}); copy the model again"
        ) from error
    if content is None or hashlib.sha256(content).hexdigest() != facts.sha256:
        raise ModelError(f"{path}: not the file that was certified (its size or sha256 differs); copy the model again")
    return content
