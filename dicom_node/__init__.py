"""A DICOM node that receives non-contrast CT series, synthesises a contrast phase and stores it back as a derived series."""

__version__ = "0.1.0"
