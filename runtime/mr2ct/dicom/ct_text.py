"""What mr2ct itself writes into a DICOM file for people to read: ASCII, as long as the attribute has room."""

from __future__ import annotations

from mr2ct.card import INTENDED_USE
from mr2ct.provenance import Provenance

# characters; PS3.5, table 6.2-1
LONG_STRING = 64  # LO
SHORT_TEXT = 1024  # ST
LONG_TEXT = 10240  # LT

RESEARCH_ONLY = "RESEARCH ONLY"
OUTSIDE = "OUTSIDE VALIDATED USE"
CUT = "..."


def one_line(text: object) -> str:
    """Anything as one line of printable ASCII, without backslashes, which divide values.

    Every character set of DICOM holds these characters, so that such text may stand beside text of any of them.
    """
    line = " ".join(str(text).replace("\\", "/").split())
    return "".join(c if " " <= c <= "~" else "?" for c in line)


def shortened(text: str, length: int) -> str:
    """The text, cut with a mark at its end where it is longer than length."""
    return text if len(text) <= length else text[: length - len(CUT)] + CUT


def series_description(provenance: Provenance) -> str:
    """LO: what the series is, by what, and what it must not be taken for. A long version is cut, no warning ever is."""
    before = f"{OUTSIDE} Synthetic CT " if provenance.outside else "Synthetic CT "
    after = f" {RESEARCH_ONLY}"
    return before + shortened(one_line(provenance.software), LONG_STRING - len(before) - len(after)) + after


def derivation_description(provenance: Provenance) -> str:
    """ST: how the CT came about: version, model and its sha256, precision, engine, HU certificate; what the gate said.

    Not the MR's files' hash: a series that was sent again has other files and is the same MR, which its UIDs name.
    """
    graph = f"{one_line(provenance.model)} {one_line(provenance.version)}"
    sentences = [
        f"Synthetic CT out of an MR by {one_line(provenance.software)}, {RESEARCH_ONLY}",
        f"Model {shortened(graph, 64)}, {shortened(one_line(provenance.file), 64)} sha256 {provenance.model_sha256}",
        f"Precision {one_line(provenance.precision)} on {shortened(one_line(provenance.engine), 128)}",
        _certificate(provenance),
    ]
    if provenance.outside:
        sentences = [OUTSIDE, *sentences, *map(one_line, provenance.outside)]
    return shortened(_told(sentences), SHORT_TEXT)


def image_comments(provenance: Provenance) -> str:
    """LT: what whoever looks at a slice should know: that it is no CT, and every reason that the gate gave."""
    sentences = ["Synthetic CT: predicted from an MR, not measured", INTENDED_USE]
    if provenance.outside:
        sentences = [OUTSIDE, *map(one_line, provenance.outside), *sentences]
    return shortened(_told(sentences), LONG_TEXT)


def _certificate(provenance: Provenance) -> str:
    certificate = provenance.certificate
    if certificate is None:
        return "NO HU certificate: the HU may be anything"
    return (
        f"HU certificate: mean {certificate.mean_hu:.3g}, 99.9th percentile {certificate.p99_9_hu:.3g}, "
        f"maximum {certificate.max_hu:.3g} HU from PyTorch fp32 over {certificate.voxels} voxels of "
        f"{certificate.slices} reference slices"
    )


def _told(sentences: list[str]) -> str:
    return " ".join(f"{sentence.rstrip('.')}." for sentence in sentences)
