"""What a synthetic CT was made of and by whom, in DICOM's own terms."""

from __future__ import annotations

from pydicom.dataset import Dataset
from pydicom.tag import Tag

import mr2ct
from mr2ct.dicom.ct_text import one_line, shortened
from mr2ct.dicom.series import MrSeries
from mr2ct.dicom.verbatim import ascii_elements, plain, sequence, verbatim
from mr2ct.provenance import Provenance

# (code, meaning) of DICOM's own scheme, DCM; PS3.16, CID 7202 and CID 7005
SOURCE_IMAGE = ("121322", "Source image for image processing operation")
ACQUISITION_EQUIPMENT = ("109101", "Acquisition Equipment")
SYNTHESIZING_EQUIPMENT = ("109100", "Synthesizing Equipment")  # what PS3.3, C.12.1.1.1 wants beside SyntheticData

SCANNER = ("Manufacturer", "InstitutionName", "StationName", "InstitutionalDepartmentName", "ManufacturerModelName",
           "DeviceSerialNumber", "SoftwareVersions")  # fmt: skip


def maker(provenance: Provenance) -> tuple[str, str, str]:
    """Manufacturer, ManufacturerModelName, SoftwareVersions of what wrote the CT: mr2ct, its model, its version."""
    model = f"{one_line(provenance.model)} {one_line(provenance.version)}"
    return "mr2ct", shortened(model, 64), shortened(one_line(mr2ct.__version__), 64)


def references(series: MrSeries) -> dict[int, bytes]:
    """SourceImageSequence (PS3.3, C.7.6.1.1.4) and ReferencedSeriesSequence (C.12.2), encoded, by tag.

    Every slice of the CT names every slice of the MR: the network sees them in another plane than the CT's.
    """
    purpose = _purpose(*SOURCE_IMAGE)
    instances = [
        ascii_elements(ReferencedSOPClassUID=sop_class, ReferencedSOPInstanceUID=sop_instance)
        for sop_class, sop_instance in series.source
    ]
    of_series = ascii_elements(SeriesInstanceUID=plain(series.header, "SeriesInstanceUID"))
    of_series |= _sequence("ReferencedInstanceSequence", instances)
    sources = _sequence("SourceImageSequence", [instance | purpose for instance in instances])
    return sources | _sequence("ReferencedSeriesSequence", [of_series])


def contributing_equipment(header: Dataset, provenance: Provenance) -> dict[int, bytes]:
    """ContributingEquipmentSequence (PS3.3, C.12.1.1.5), encoded, by tag: the scanner, in its own text, and mr2ct.

    A scanner whose manufacturer is not known is left out, since an item must name one.
    """
    scanner: dict[int, bytes] = {
        Tag(keyword): copied for keyword in SCANNER if (copied := verbatim(header, keyword)) is not None
    }
    items = [scanner | _purpose(*ACQUISITION_EQUIPMENT)] if plain(header, "Manufacturer") else []
    manufacturer, model, version = maker(provenance)
    synthesizer = ascii_elements(
        Manufacturer=manufacturer,
        ManufacturerModelName=model,
        SoftwareVersions=version,
        ContributionDescription=f"Synthetic CT, model sha256 {provenance.model_sha256}",
    )
    items.append(synthesizer | _purpose(*SYNTHESIZING_EQUIPMENT))
    return _sequence("ContributingEquipmentSequence", items)


def _purpose(code: str, meaning: str) -> dict[int, bytes]:
    """A purpose of reference, by the Code Sequence Macro (PS3.3, 8.8)."""
    item = ascii_elements(CodeValue=code, CodingSchemeDesignator="DCM", CodeMeaning=meaning)
    return _sequence("PurposeOfReferenceCodeSequence", [item])


def _sequence(keyword: str, items: list[dict[int, bytes]]) -> dict[int, bytes]:
    return {Tag(keyword): sequence(Tag(keyword), items)}
