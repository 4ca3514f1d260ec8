"""What Contrast/Bolus Agent says, as people and devices write it."""

import pytest
from pydicom import Dataset

from dicom_node.series.rules.enhanced_by_tags import contrast_statement

_NONE = (
    "NO CONTRAST GIVEN", "NONE", "none given", "0 ML", "0ml", "0.0 cc", "WATER", "H2O", "Wasser", "KEIN KM", "kein Kontrastmittel",
    "keine KM-Gabe", "ohne KM", "OHNE I.V. KM", "nativ", "NATIV ohne KM", "No IV contrast", "NO CONTRAST", "w/o contrast",
    "WITHOUT CONTRAST", "without iv contrast", "Not given", "contrast not given", "NO CONTRAST ADMINISTERED", "UNENHANCED",
    "non-contrast", "Non Contrast", "noncontrast", "SANS INJECTION", "sans produit de contraste", "SENZA MDC", "SIN CONTRASTE",
    "sem contraste", "zonder contrast", "N/A", "-", "0", "no", "None.", "NO_CONTRAST",
)  # fmt: skip
_GIVEN = (
    "OMNIPAQUE 350", "Omnipaque", "ULTRAVIST 370", "Ultravist 370 / 0.623", "CE", "KM", "Contrast", "IV", "IV CONTRAST", "APPLIED", "YES",
    "JA", "100 ML", "100ML ISOVUE", "10 ml", "0.5 ML/KG IOHEXOL", "NaCl 0.9% and Imeron", "Imeron 400 + WATER", "IMERON nach nativ",
    "VISIPAQUE",
    "Xenetix 350", "Iomeron", "NON-IONIC", "nonionic contrast", "IOPAMIDOL", "70 CC", "CONTRAST GIVEN", "mit KM", "avec injection",
    "Niopam", "NOT DILUTED OMNIPAQUE", "no reaction to Ultravist",
)  # fmt: skip


@pytest.mark.parametrize("agent", _NONE)
def test_no_contrast(agent: str) -> None:
    assert contrast_statement(_header(agent)) is None


@pytest.mark.parametrize("agent", _GIVEN)
def test_contrast(agent: str) -> None:
    assert contrast_statement(_header(agent)) == "ContrastBolusAgent"


def test_the_volume_of_water_is_no_contrast() -> None:
    header = _header("WATER")
    header.ContrastBolusVolume = "1000"

    assert contrast_statement(header) is None


def _header(agent: str) -> Dataset:
    header = Dataset()
    header.ContrastBolusAgent = agent
    return header
