"""Which series the archive of the stack sends to the node by itself, by their tags."""

import importlib.util
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from tests.paths import ROOT

NATIVE = {
    "0008,0016": "1.2.840.10008.5.1.4.1.1.2",
    "0008,0060": "CT",
    "0008,0008": "ORIGINAL\\PRIMARY\\AXIAL",
    "0018,0015": "CHEST",
}


@pytest.fixture(scope="module")
def why_not() -> Callable[[Mapping[str, Any]], str | None]:
    path = ROOT / "config" / "deploy" / "stack" / "native_torso.py"
    spec = importlib.util.spec_from_file_location("native_torso", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.why_not


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"0008,0016": "1.2.840.10008.5.1.4.1.1.2.1"},
        {"0018,0015": "abdomen "},
        {"0018,0015": "CHESTABDPELVIS"},
        {"0018,0015": "", "0008,103e": "Thorax nativ 1.0 B"},
        {"0018,0015": "", "0008,103e": "1.0 B", "0008,1030": "CT TAP"},
        {"0018,0010": "NO CONTRAST GIVEN"},
        {"0018,0010": "nativ"},
        {"0018,0010": ""},
        {"0008,0008": "ORIGINAL\\PRIMARY\\AXIAL\\CT_SOM5 SPI"},
    ],
)
def test_native_chest_or_abdomen_is_sent(why_not: Any, change: dict[str, Any]) -> None:
    assert why_not({**NATIVE, **change}) is None


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"0008,0016": "1.2.840.10008.5.1.4.1.1.4"}, "no CT images"),
        ({"0008,0016": "1.2.840.10008.5.1.4.1.1.7"}, "no CT images"),
        ({"0008,0008": "ORIGINAL\\PRIMARY\\LOCALIZER"}, "Image Type"),
        ({"0008,0008": "DERIVED\\SECONDARY\\REFORMATTED"}, "Image Type"),
        ({"0018,0010": "Ultravist 370"}, "contrast"),
        ({"0018,0010": "NORMOSANG"}, "contrast"),
        ({"0018,0012": [{"0008,0104": "Iohexol"}]}, "contrast"),
        ({"0018,0015": "HEAD"}, "neither"),
        ({"0018,0015": "HEAD", "0008,1030": "CT THORAX"}, "neither"),
        ({"0018,0015": "", "0008,103e": "1.0 B"}, "neither"),
        ({"0018,0015": None}, "neither"),
        ({"0008,001c": "YES"}, "synthetic"),
    ],
)
def test_anything_else_stays_with_its_reason(why_not: Any, change: dict[str, Any], reason: str) -> None:
    assert reason in why_not({**NATIVE, **change})


def test_no_rule_is_needed_twice_to_keep_our_own_series_back(why_not: Any) -> None:
    """Each mark alone is enough: an archive may drop an attribute that it does not know."""
    own = {**NATIVE, "0008,001c": "YES", "0008,0008": "DERIVED\\SECONDARY\\AXIAL"}
    for tag in ("0008,001c", "0008,0008"):
        assert why_not({**own, tag: NATIVE.get(tag, "")}) is not None


def test_answer_holds_nothing_of_the_tags(why_not: Any) -> None:
    assert "DOE" not in why_not({**NATIVE, "0018,0015": "DOE", "0008,103e": "DOE"})
