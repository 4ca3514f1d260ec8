"""A DICOM node: non-contrast CT series in, derived series with a synthetic contrast phase back."""

__version__ = "0.1.0"
