"""The attributes of a synthetic CT that all of its slices share: PS3.3, A.3 (CT Image IOD), module by module."""

from __future__ import annotations

from pydicom.dataset import Dataset
from pydicom.tag import Tag
from pydicom.uid import CTImageStorage

from mr2ct.dicom.ct_sources import contributing_equipment, maker, references
from mr2ct.dicom.ct_text import derivation_description, image_comments, one_line, series_description
from mr2ct.dicom.decimal_string import decimal_string
from mr2ct.dicom.series import MrSeries
from mr2ct.dicom.verbatim import encoded, is_empty, plain, verbatim
from mr2ct.errors import VolumeError
from mr2ct.grid import Grid
from mr2ct.provenance import Provenance

HU_OF_ZERO = -1024  # RescaleIntercept, whatever the head: stored values of [-1024, 3071] HU are 0 to 4095
HU_WINDOW = (40, 400)  # centre, width: of soft tissue
SERIES_NUMBER = 9000  # and the MR's own: behind the scanner's series, and two MRs' CTs are told apart
LARGEST_INTEGER_STRING = 2**31 - 1  # PS3.5, table 6.2-1

# Copied from the MR, byte for byte, where it has a value; PS3.3, C.7.1.1, C.7.2.1, C.7.2.2, C.7.3.1, C.7.4.1, C.7.6.1.
PATIENT = (
    "PatientName", "PatientID", "IssuerOfPatientID", "IssuerOfPatientIDQualifiersSequence", "TypeOfPatientID",
    "PatientBirthDate", "PatientBirthTime", "PatientBirthDateInAlternativeCalendar", "PatientAlternativeCalendar",
    "PatientSex", "OtherPatientIDs", "OtherPatientIDsSequence", "OtherPatientNames", "EthnicGroup", "PatientComments",
    "PatientSpeciesDescription", "PatientSpeciesCodeSequence", "PatientBreedDescription", "PatientBreedCodeSequence",
    "BreedRegistrationSequence", "ResponsiblePerson", "ResponsiblePersonRole", "ResponsibleOrganization",
    "QualityControlSubject", "PatientIdentityRemoved", "DeidentificationMethod", "DeidentificationMethodCodeSequence",
    "SourcePatientGroupIdentificationSequence", "GroupOfPatientsIdentificationSequence",
    "ClinicalTrialSponsorName", "ClinicalTrialProtocolID", "ClinicalTrialProtocolName", "ClinicalTrialSiteID",
    "ClinicalTrialSiteName", "ClinicalTrialSubjectID", "ClinicalTrialSubjectReadingID",
)  # fmt: skip
STUDY = (
    "StudyInstanceUID", "StudyID", "StudyDate", "StudyTime", "AccessionNumber", "IssuerOfAccessionNumberSequence",
    "ReferringPhysicianName", "PhysiciansOfRecord", "StudyDescription", "ProcedureCodeSequence",
    "PatientAge", "PatientSize", "PatientWeight",
)  # fmt: skip
PLACE = ("FrameOfReferenceUID", "PositionReferenceIndicator", "PatientPosition", "BodyPartExamined")
ACQUIRED = ("AcquisitionDate", "AcquisitionTime", "AcquisitionDateTime", "LossyImageCompression",
            "LossyImageCompressionRatio", "LossyImageCompressionMethod")  # fmt: skip
COPIED = ("SpecificCharacterSet", *PATIENT, *STUDY, *PLACE, *ACQUIRED)

# Type 2: they must be there, and are empty where nobody knows them
MUST_BE_THERE = (
    "PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyID", "StudyDate", "StudyTime",
    "AccessionNumber", "ReferringPhysicianName", "PositionReferenceIndicator", "PatientPosition", "KVP",
    "AcquisitionNumber",
)  # fmt: skip
# Type 1 that only the MR can know
CANNOT_DO_WITHOUT = {
    "StudyInstanceUID": "the CT belongs to the MR's study",
    "SeriesInstanceUID": "the CT names what it was made of",
    "FrameOfReferenceUID": "planning systems lay a CT over its MR by it",
}


def refuse_incomplete(series: MrSeries) -> None:
    """Raise VolumeError where the MR's headers lack what no CT of that patient can do without."""
    name = f"series {one_line(plain(series.header, 'SeriesInstanceUID'))}"
    for keyword, why in CANNOT_DO_WITHOUT.items():
        values = {plain(header, keyword) for header in series.headers}
        if values == {""}:
            raise VolumeError(
                f"{name}: {keyword} is missing, and {why}; send the series as the scanner wrote it, or write the CT "
                "to a file (-o ct.nii.gz)"
            )
        if len(values) > 1:
            raise VolumeError(f"{name}: slices differ in {keyword}, and {why}; send the series again")
    if not series.source or not all(uid for pair in series.source for uid in pair):
        raise VolumeError(f"{name}: slices without SOPInstanceUID, and the CT names what it was made of; send it again")


def shared_attributes(series: MrSeries, provenance: Provenance, grid: Grid, *, synthetic: bool) -> dict[int, bytes]:
    """The elements that all slices have, but for SeriesInstanceUID, by tag, in explicit VR little endian.

    grid: of the axial slices.  synthetic: whether SyntheticData says so. Raises VolumeError for text of the MR that
    lost something when it was decoded.
    """
    own = _series_and_equipment(series, provenance)
    own.update(_image(provenance, grid))
    if synthetic:
        own.SyntheticData = "YES"
    for keyword in MUST_BE_THERE:
        setattr(own, keyword, None)
    elements: dict[int, bytes] = {element.tag: encoded(element) for element in own}
    for keyword in COPIED:
        copied = verbatim(series.header, keyword)
        if copied is not None and not is_empty(copied):
            elements[Tag(keyword)] = copied
    return elements | references(series) | contributing_equipment(series.header, provenance)


def _series_and_equipment(series: MrSeries, provenance: Provenance) -> Dataset:
    """C.7.3.1 General Series and C.7.5.1 General Equipment."""
    own = Dataset()
    own.Modality = "CT"
    own.BodyPartExamined = "HEAD"  # mr2ct knows no other; with none at all Laterality would have to be there
    own.SeriesNumber = _series_number(series.header)
    own.SeriesDescription = series_description(provenance)
    own.Manufacturer, own.ManufacturerModelName, own.SoftwareVersions = maker(provenance)
    return own


def _image(provenance: Provenance, grid: Grid) -> Dataset:
    """C.7.6.1 General Image, C.7.6.2 Image Plane, C.7.6.3 Image Pixel, C.8.2.1 CT Image, C.11.2 VOI LUT, C.12.1."""
    own = Dataset()
    own.SOPClassUID = CTImageStorage
    own.ImageType = ["DERIVED", "SECONDARY", "AXIAL"]
    own.DerivationDescription = derivation_description(provenance)
    own.ImageComments = image_comments(provenance)
    own.BurnedInAnnotation = "NO"
    own.LossyImageCompression = "00"
    i, j, k = (decimal_string(mm) for mm in grid.spacing)
    own.PixelSpacing = [j, i]  # between rows first
    own.SliceThickness = own.SpacingBetweenSlices = k
    own.ImageOrientationPatient = [decimal_string(cosine) for cosine in grid.axes[:, :2].T.ravel().tolist()]
    own.Columns, own.Rows, _ = grid.size
    own.SamplesPerPixel, own.PhotometricInterpretation = 1, "MONOCHROME2"
    own.BitsAllocated, own.BitsStored, own.HighBit, own.PixelRepresentation = 16, 16, 15, 0
    own.RescaleIntercept, own.RescaleSlope, own.RescaleType = f"{HU_OF_ZERO}", "1", "HU"
    own.WindowCenter, own.WindowWidth = map(str, HU_WINDOW)
    return own


def _series_number(header: Dataset) -> int:
    """The MR's own and SERIES_NUMBER, or that alone where the MR has none, or one that is no number."""
    try:
        number = SERIES_NUMBER + int(plain(header, "SeriesNumber"))
    except ValueError:
        return SERIES_NUMBER
    return number if abs(number) <= LARGEST_INTEGER_STRING else SERIES_NUMBER
