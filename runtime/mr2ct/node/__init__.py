"""The DICOM node: MR series come in over the network, CT series go out, none lost and none twice."""
