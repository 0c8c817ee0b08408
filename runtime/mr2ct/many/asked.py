"""What a run over many volumes was asked for, and whether a CT that is there still meets that."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from mr2ct.choosing import QUALITIES
from mr2ct.many.items import Item
from mr2ct.many.manifest import Entry
from mr2ct.model import Model
from mr2ct.places import is_series, nifti_of
from mr2ct.reading import suffix_of
from mr2ct.trip import Wishes


@dataclass(frozen=True)
class Asked:
    """What every item is made with; picklable.

    wishes: without picture, page and cycle_map, which are pictures, reports and cycle_maps here: folders in which each
    CT's has the CT's own name.  device, precision, quality: as for mr2ct.choosing.choose_backend.
    """

    wishes: Wishes = field(default_factory=Wishes)
    pictures: Path | None = None
    reports: Path | None = None
    cycle_maps: Path | None = None
    device: str = "auto"
    precision: str = "auto"
    quality: str = "standard"

    def of(self, item: Item, *, ours: bool = False) -> Wishes:
        """The wishes for one item. ours: what is at its target was made by an earlier run and may be replaced."""
        page = _place(self.reports, item, ".html")
        picture = _place(self.pictures, item, ".png")
        return replace(
            self.wishes,
            page=page,
            picture=page.with_suffix(".png") if page is not None and picture is None else picture,
            cycle_map=_place(self.cycle_maps, item, ".nii.gz"),
            also_nifti=self.wishes.also_nifti and is_series(item.target),
            overwrite=self.wishes.overwrite or ours,
        )

    @property
    def precisions(self) -> tuple[str, ...]:
        """Those that a CT may be made in."""
        return QUALITIES[self.quality] if self.precision == "auto" else (self.precision,)

    def made_otherwise(self, item: Item, entry: Entry, model: Model) -> str:
        """Why a done entry is not what is asked for now and must not be replaced unasked, in words; "" where it is."""
        made = entry.made
        if made is None:
            return ""
        facts = model.card.files.get(entry.model_file)
        if facts is None or facts.sha256 != entry.model_sha256:
            return f"by the model {entry.model} {entry.model_version} of another sha256"
        if made.precision not in self.precisions:
            return f"in {made.precision}"
        if self.device not in ("auto", made.device):
            return f"on {made.device}"
        if made.outside and not self.wishes.force:
            return "by --force"
        if is_series(item.target) and made.marked != self.wishes.mark_synthetic:
            return f"with{'' if made.marked else 'out'} SyntheticData"
        return ""

    def besides(self, item: Item) -> dict[str, Path]:
        """What else is written for an item, by the name it has in the manifest."""
        wishes = self.of(item)
        named = {
            "nifti": nifti_of(item.target) if wishes.also_nifti else None,
            "picture": wishes.picture,
            "report": wishes.page,
            "cycle map": wishes.cycle_map,
        }
        return {name: place for name, place in named.items() if place is not None}

    def lacks(self, item: Item, entry: Entry) -> bool:
        """Whether something that is asked for beside the CT was not made with it, or is not there any more."""
        if self.wishes.maps_back and (entry.made is None or entry.made.cycle is None):
            return True
        return any(not place.exists() for place in self.besides(item).values())


def places(items: tuple[Item, ...], asked: Asked) -> Iterator[tuple[Item, Path]]:
    """Every place that the items write to, each with its item."""
    for item in items:
        yield item, item.target
        for place in asked.besides(item).values():
            yield item, place


def _place(folder: Path | None, item: Item, suffix: str) -> Path | None:
    """a/head_sct.nii.gz in a folder, with another suffix: FOLDER/a/head_sct.png."""
    if folder is None:
        return None
    stem = item.id[: len(item.id) - len(suffix_of(item.target))]
    return folder / f"{stem}{suffix}"
