"""What a synthetic CT was made of and by whom, in DICOM's own terms."""

from __future__ import annotations

from pydicom.dataset import Dataset
from pydicom.tag import Tag
from pydicom.uid import UID

import mr2ct
from mr2ct.dicom.ct_text import one_line, shortened
from mr2ct.dicom.series import MrSeries
from mr2ct.dicom.verbatim import encoded, plain, sequence, verbatim
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


def references(series: MrSeries) -> Dataset:
    """SourceImageSequence (PS3.3, C.7.6.1.1.4) and ReferencedSeriesSequence (C.12.2).

    Every slice of the CT names every slice of the MR: the network sees them in another plane than the CT's.
    """
    sources, instances = [], []
    for sop_class, sop_instance in series.source:
        source, instance = Dataset(), Dataset()
        for one in (source, instance):
            one.ReferencedSOPClassUID, one.ReferencedSOPInstanceUID = UID(sop_class), UID(sop_instance)
        source.PurposeOfReferenceCodeSequence = [_code(*SOURCE_IMAGE)]
        sources.append(source)
        instances.append(instance)
    of_series, own = Dataset(), Dataset()
    of_series.SeriesInstanceUID = UID(plain(series.header, "SeriesInstanceUID"))
    of_series.ReferencedInstanceSequence = instances
    own.SourceImageSequence, own.ReferencedSeriesSequence = sources, [of_series]
    return own


def contributing_equipment(header: Dataset, provenance: Provenance) -> bytes:
    """ContributingEquipmentSequence (PS3.3, C.12.1.1.5), encoded: the scanner, in its own text, and mr2ct.

    A scanner whose manufacturer is not known is left out, since an item must name one.
    """
    scanner: dict[int, bytes] = {
        Tag(keyword): copied for keyword in SCANNER if (copied := verbatim(header, keyword)) is not None
    }
    items: list[dict[int, bytes]] = []
    if plain(header, "Manufacturer"):
        items.append({**scanner, **_purpose(*ACQUISITION_EQUIPMENT)})
    synthesizer = Dataset()
    synthesizer.Manufacturer, synthesizer.ManufacturerModelName, synthesizer.SoftwareVersions = maker(provenance)
    synthesizer.ContributionDescription = f"Synthetic CT, model sha256 {provenance.model_sha256}"
    items.append({**{one.tag: encoded(one) for one in synthesizer}, **_purpose(*SYNTHESIZING_EQUIPMENT)})
    return sequence(Tag("ContributingEquipmentSequence"), items)


def _purpose(code: str, meaning: str) -> dict[int, bytes]:
    own = Dataset()
    own.PurposeOfReferenceCodeSequence = [_code(code, meaning)]
    return {one.tag: encoded(one) for one in own}


def _code(code: str, meaning: str) -> Dataset:
    """Code Sequence Macro (PS3.3, 8.8)."""
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = code, "DCM", meaning
    return item
