"""A head like those of the training is let through; what is not is refused, with the reason in one line."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import phantom
from anatomy import TISSUES
from gate_cases import T2, Case, canonical, cropped, foreign_contrast, mild, spoilt, wrong_header
from gate_heads import GRID, PATIENT
from mr2ct.errors import VolumeError
from mr2ct.gate.examining import WORDS, examine
from mr2ct.gate.limits import MEASURES, GateLimits
from mr2ct.gate.verdict import Verdict
from mr2ct.head import Mask, head_mask
from mr2ct.modality import refuse_ct
from mr2ct.model import open_model
from mr2ct.reading import read_volume
from mr2ct.volume import Volume

SHORT = 250  # characters; a line that is read


@pytest.fixture(scope="module")
def upright(patient: Volume) -> Volume:
    return canonical(patient)


@pytest.fixture(scope="module")
def head(upright: Volume) -> Mask:
    return head_mask(upright)


@pytest.fixture(scope="module")
def cases(upright: Volume, head: Mask) -> dict[str, Volume]:
    def all_of_them() -> Iterator[Case]:
        yield from mild(upright, head)
        yield from foreign_contrast(upright, head)
        yield from wrong_header(upright)
        yield from cropped(upright, head)
        yield from spoilt(upright, head)

    return dict(all_of_them())


def judged(volume: Volume, limits: GateLimits) -> Verdict:
    return examine(volume, head_mask(volume), limits)


def outside(verdict: Verdict) -> set[str]:
    return {finding.name for finding in verdict.findings if not finding.within}


def test_every_measure_has_words() -> None:
    assert set(WORDS) == set(MEASURES)


def test_a_head_like_those_trained_on_is_let_through_and_every_finding_told(
    patient: Volume, limits: GateLimits
) -> None:
    verdict = judged(patient, limits)
    assert verdict.reasons == ()
    assert verdict.accepted
    assert len(verdict.findings) == len(MEASURES) - 1  # the window is not fixed, so brightness is free
    for finding in verdict.findings:
        assert finding.said.startswith(finding.name)
        assert f"{finding.value:.3g}" in finding.said
        assert finding.said.isprintable() and len(finding.said) < SHORT


@pytest.mark.parametrize(
    "done",
    [
        "brighter by 7", "noise of 2 %", "coil bias of 20 %", "right and left exchanged", "nodding by 10 degrees",
        "turned by 10 degrees",
    ],
)  # fmt: skip
def test_what_scanners_and_people_do_is_let_through(cases: dict[str, Volume], done: str, limits: GateLimits) -> None:
    assert judged(cases[done], limits).reasons == ()


@pytest.mark.parametrize(
    ("done", "told"),
    [
        ("inverted inside the head", "skull and CSF to white matter"),
        ("inverted inside the head", "likeness to the training heads"),
        ("upside down", "upright, lead over the best turn"),
        ("face to the back", "upright, lead over the best turn"),
        ("top and bottom exchanged", "upright, lead over the best turn"),
        ("turned, x y z are -y x z", "upright, lead over the best turn"),
        ("upper 100 mm alone", "head, height"),
        ("upper 60 mm missing", "cut off, top"),
        ("left half missing", "cut off, left"),
        ("right half missing", "cut off, right"),
        ("front third missing", "cut off, front"),
        ("back third missing", "cut off, back"),
        ("left half filled with zeros", "cut off, left"),
        ("blurred, sigma 3 mm", "sharpness of edges"),
        ("SNR 3", "noise"),
        ("slices of 5 mm", "longest voxel edge"),
        ("50 mm without signal, mouth", "largest hole without signal in the head, radius"),
        ("30 mm without signal, brain", "largest hole in the brain, radius"),
    ],
)
def test_what_is_spoilt_is_refused_for_that(cases: dict[str, Volume], done: str, told: str, limits: GateLimits) -> None:
    verdict = judged(cases[done], limits)
    assert told in outside(verdict)
    assert not verdict.accepted
    for line in verdict.reasons:
        assert line.isprintable() and ": " in line and ("at least" in line or "at most" in line)
        assert len(line) < SHORT


def test_the_way_it_is_turned_is_told(cases: dict[str, Volume], limits: GateLimits) -> None:
    (line,) = [reason for reason in judged(cases["upside down"], limits).reasons if reason.startswith("upright")]
    assert "what the header calls inferior looks superior" in line
    assert "correct the header" in line


def test_a_t2_is_refused(limits: GateLimits) -> None:
    tissues = {name: tissue._replace(mr=T2.get(name, tissue.mr)) for name, tissue in TISSUES.items()}
    mr, _ = phantom.draw(GRID, PATIENT, seed=9, tissues=tissues)
    assert {"cortex to white matter", "skull and CSF to white matter"} <= outside(judged(mr, limits))


def test_a_ct_that_is_not_in_hu_is_refused(limits: GateLimits) -> None:
    _, ct = phantom.draw(GRID, PATIENT, seed=9)
    shifted = Volume(np.clip(ct.voxels + 1024, 0, None), ct.grid)
    refuse_ct(shifted)  # its values do not tell
    assert {"cortex to white matter", "likeness to the training heads"} <= outside(judged(shifted, limits))


def test_a_field_that_is_all_head_has_no_head_to_be_found(cases: dict[str, Volume]) -> None:
    with pytest.raises(VolumeError, match="the head fills"):
        head_mask(cases["a field of 80 mm"])


def test_brightness_counts_where_the_window_is_fixed(patient: Volume, limits: GateLimits) -> None:
    fixed = replace(limits, low={**limits.low, "signal": 1500.0}, high={**limits.high, "signal": 4000.0})
    assert judged(patient, fixed).accepted
    dark = Volume(patient.voxels / 9, patient.grid)
    assert judged(dark, limits).accepted
    assert outside(judged(dark, fixed)) == {"brightest tissue"}


@pytest.mark.heads
def test_every_real_mr_passes_the_demonstrators_gate_and_a_ct_without_hu_fails(heads: Path) -> None:
    gate = open_model("head-t1").card.gate
    assert gate is not None
    for path in sorted((heads / "mr").glob("*.nii.gz")):
        assert judged(read_volume(path), gate).reasons == (), path.name
    ct = read_volume(heads / "ct" / "medimodel_skull.nii.gz")
    shifted = Volume(np.clip(ct.voxels.astype(np.int32) + 1024, 0, None), ct.grid)
    assert "cortex to white matter" in outside(judged(shifted, gate))


def test_the_drawn_head_of_the_demo_passes_the_demonstrators_gate() -> None:
    gate = open_model("head-t1").card.gate
    assert gate is not None
    grid = phantom.grid_around((0, 0, -17), (179, 179, 131), (1.4, 1.4, 1.4), phantom.SAGITTAL)
    mr, _ = phantom.draw(grid)
    assert judged(Volume(np.rint(mr.voxels).astype(np.int16), mr.grid), gate).reasons == ()
