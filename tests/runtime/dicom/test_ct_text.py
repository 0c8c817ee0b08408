"""What mr2ct writes for people: within DICOM's lengths, in ASCII, and no warning is ever the part that is cut."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dicom_drawn import OUTSIDE, PROVENANCE
from mr2ct.dicom.ct_text import derivation_description, image_comments, one_line, series_description


def test_the_series_says_what_it_is_by_what_and_that_it_is_for_research() -> None:
    assert series_description(PROVENANCE) == f"Synthetic CT {PROVENANCE.software} RESEARCH ONLY"


def test_the_derivation_says_version_model_hash_precision_and_certificate() -> None:
    text = derivation_description(PROVENANCE)
    for said in (
        PROVENANCE.software, "head-t1 1.0", "ab" * 32, "Precision fp32", "onnxruntime 1.32.0, CPU", "RESEARCH ONLY",
        "mean 0.0004, 99.9th percentile 0.003, maximum 0.02 HU from PyTorch fp32 over 123456 voxels of 8",
    ):  # fmt: skip
        assert said in text


def test_an_engine_without_a_certificate_is_told() -> None:
    assert "NO HU certificate" in derivation_description(replace(PROVENANCE, certificate=None))


def test_a_hash_of_files_that_change_when_a_series_is_sent_again_is_in_no_text() -> None:
    for text in (derivation_description, image_comments, series_description):
        assert "cdcd" not in text(OUTSIDE)


def test_outside_of_validated_use_every_text_begins_with_that_and_comments_give_every_reason() -> None:
    for text in (derivation_description, image_comments, series_description):
        assert text(OUTSIDE).startswith("OUTSIDE VALIDATED USE")
        assert "OUTSIDE" not in text(PROVENANCE)
    for reason in OUTSIDE.outside:
        assert reason in image_comments(OUTSIDE)
        assert reason in derivation_description(OUTSIDE)
    assert "RESEARCH ONLY" in series_description(OUTSIDE)


def test_nothing_is_longer_than_its_attribute_may_be_and_warnings_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mr2ct.__version__", "0.1.0.dev123+g0123456789abcdef.d20260101")
    long = replace(
        OUTSIDE, model="m" * 400, version="v" * 400, file="f" * 400, engine="e" * 4000, outside=("why " * 400,) * 20
    )
    for text, length in ((series_description, 64), (derivation_description, 1024), (image_comments, 10240)):
        assert len(text(long)) == length
        assert text(long).startswith("OUTSIDE VALIDATED USE")
    assert series_description(long).endswith(" RESEARCH ONLY")
    assert "..." in series_description(long)
    assert "ab" * 32 in derivation_description(long)
    assert "HU certificate: mean" in derivation_description(long)


def test_text_from_elsewhere_becomes_one_line_of_ascii_without_backslashes() -> None:
    assert one_line("a\\b\n\tc\r\n d") == "a/b c d"
    assert one_line("größer ± 2 µm\x00\x1b[31m\x7f") == "gr??er ? 2 ?m??[31m?"
    assert one_line("山田") == "??"
    assert one_line(None) == "None"
