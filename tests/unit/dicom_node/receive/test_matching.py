"""Which values answer a key of a query."""

import pytest
from pydicom.dataelem import DataElement

from dicom_node.receive.matching import matches


def element(vr: str, value: object) -> DataElement:
    return DataElement(0x00080000, vr, value)


@pytest.mark.parametrize(
    ("vr", "key", "value", "expected"),
    [
        ("LO", "", "P1", True),
        ("LO", None, "P1", True),
        ("LO", "P1", "P1", True),
        ("LO", "P1", "P12", False),
        ("LO", "P*", "P12", True),
        ("LO", "P?", "P12", False),
        ("LO", "*1*2*", "xx1yy2zz", True),
        ("LO", "*2*1*", "xx1yy2zz", False),
        ("LO", "P1.", "P12", False),
        ("LO", "[P]1", "P1", False),
        ("PN", "smith^*", "SMITH^JOHN", True),
        ("PN", "smith", "SMITH^JOHN", False),
        ("UI", ["1.2.3", "1.2.4"], "1.2.4", True),
        ("UI", "1.2.*", "1.2.4", False),
        ("CS", "MR", ["CT", "MR"], True),
        ("DA", "20240101", "20240101", True),
        ("DA", "20240101-20240131", "20240131", True),
        ("DA", "20240101-20240131", "20240201", False),
        ("DA", "-20240131", "20231231", True),
        ("DA", "20240101-", "20231231", False),
        ("TM", "1015-1020", "102059.5", True),
        ("TM", "1015-1020", "102100", False),
        ("IS", "7", 7, True),
        ("LO", "P1", "", False),
        ("LO", "P1", None, False),
    ],
)
def test_value_answers_its_key(vr: str, key: object, value: object, expected: bool) -> None:
    assert matches(element(vr, key), element(vr, value)) is expected


def test_attribute_that_is_not_there_answers_only_the_empty_key() -> None:
    assert matches(element("LO", ""), None)
    assert not matches(element("LO", "*1"), None)


def test_pattern_of_many_stars_is_answered_at_once() -> None:
    assert not matches(element("LT", "*a" * 500 + "b"), element("LT", "a" * 5000))
