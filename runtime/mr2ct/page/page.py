"""The report: everything that is known of a run in one HTML file, which opens offline and asks nothing of a network."""

from __future__ import annotations

import base64
import hashlib
import html
import os
from importlib import resources
from pathlib import Path
from string import Template
from typing import Any

from mr2ct.errors import OutputError
from mr2ct.grid import Grid
from mr2ct.page import origins, proofs
from mr2ct.page.histogram import histogram
from mr2ct.page.histogram_svg import histogram_svg, with_minus
from mr2ct.page.judging import banner, judgement
from mr2ct.page.png import png_bytes
from mr2ct.page.text import as_script_json, plain
from mr2ct.page.volumes import CYCLE_STEPS, Shown, voxels_shown
from mr2ct.picture import draw_planes, plane_grids
from mr2ct.report import Run
from mr2ct.writing import refuse_existing, whole_or_not_at_all

SUFFIXES = (".html", ".htm")
SCRIPTS = ("decode.js", "planes.js", "viewer.js")
RESEARCH = "Research only: not a medical device."
PATIENT = "This page holds a patient's images and data: keep it where such data may be kept."


def write_page(run: Run, path: Path, *, overwrite: bool) -> None:
    """Write a run's report as HTML, UTF-8. Raises OutputError; the place is then as it was before."""
    check_page_place(path, overwrite=overwrite)
    text = page(run)
    with whole_or_not_at_all(path, overwrite=overwrite) as partial, open(partial, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def check_page_place(path: Path, *, overwrite: bool) -> None:
    """Raise OutputError now, before minutes of work, when write_page could not write path."""
    if path.suffix.lower() not in SUFFIXES:
        raise OutputError(f"{path}: no writer for this kind of report; known: {' '.join(SUFFIXES)}")
    refuse_existing(path, overwrite=overwrite)
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise OutputError(f"{path}: cannot write there: Permission denied")


def page(run: Run) -> str:
    """The report as HTML. Its scripts and styles are those of this package, by their hashes: nothing else may run."""
    script, style = "\n".join(_part(name) for name in SCRIPTS), _part("page.css")
    voxels, result, ct_window = voxels_shown(run), run.result, run.model.card.ct_window_hu
    return Template(_part("page.html")).substitute(
        script=script,
        script_hash=_source_hash(script),
        style=style,
        style_hash=_source_hash(style),
        title=html.escape(plain(run.source.name)),
        of=origins.whose(run),
        intended_use=RESEARCH,
        privacy=PATIENT,
        banner=banner(judgement(run)),
        shown_note=_shown_note(voxels),
        still=base64.b64encode(png_bytes(draw_planes(run.mr, result.volume, result.head))).decode("ascii"),
        made_of=origins.made_of(run),
        patient=origins.patient(run),
        histogram=histogram_svg(histogram(result.volume.voxels, result.head), ct_window),
        model_hu=with_minus(f"{ct_window[0]:g} to {ct_window[1]:g} HU"),
        gate=proofs.gate(run),
        certificate=proofs.certificate(run),
        cycle=proofs.cycle(run),
        timing=proofs.timing(run),
        provenance=origins.provenance(run),
        facts=as_script_json(_viewer_facts(run, voxels)),
        voxels="\n".join(
            f'<script type="application/octet-stream" id="{name}">{packed}</script>'
            for name, packed in voxels.packed.items()
        ),
    )


def _part(name: str) -> str:
    """A file of this package."""
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")


def _source_hash(source: str) -> str:
    """What names a source in a content security policy (https://www.w3.org/TR/CSP3/#grammardef-hash-source)."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(source.encode()).digest()).decode('ascii')}'"


def _shown_note(voxels: Shown) -> str:
    """What of the volumes the page shows."""
    mm = " \u00d7 ".join(f"{length:.3g}" for length in voxels.grid.spacing)
    if voxels.own:
        return f"Shown are the MR's own voxels, {mm} mm; HU under the crosshair are those of the file."
    return (
        f"For display only, both volumes are interpolated to {mm} mm along the patient's axes, since their own voxels "
        "are oblique or too many for a page: HU under the crosshair are interpolated, those in the file are not."
    )


def _viewer_facts(run: Run, voxels: Shown) -> dict[str, Any]:
    """What the scripts need besides voxels; mm, LPS, in the order x, y, z."""
    grid = voxels.grid
    planes: dict[str, Grid] = plane_grids(run.mr.grid, run.result.head)  # where the still picture's planes cross
    crossing = [planes[name].origin[axis] for axis, name in enumerate(("SAGITTAL", "CORONAL", "AXIAL"))]
    places = zip(crossing, grid.origin, grid.spacing, grid.size, strict=True)
    return {
        "geometry": {"size": grid.size, "spacing": grid.spacing, "origin": grid.origin},
        "start": [min(max(round((mm - first) / step), 0), count - 1) for mm, first, step, count in places],
        "mr_window": voxels.mr_window,
        "cycle_top": voxels.cycle_top,
        "cycle_steps": CYCLE_STEPS,
    }
