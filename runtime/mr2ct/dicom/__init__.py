"""DICOM in, DICOM out: an MR series becomes a Volume, a synthetic CT a series of the same patient."""
