"""Letting one more peer send leaves the others as they are."""

import pytest

from dicom_node.config import parse_settings
from dicom_node.config.peers import allowed
from dicom_node.errors import ConfigError

LISTED = {"ae_title": "SCANNER", "host": "10.0.0.7", "max_associations": 4}


def test_the_limits_of_those_listed_stay() -> None:
    settings = parse_settings({"node": {"peers": [LISTED]}})

    assert allowed(settings, "PACS", None) == {("node", "peers"): [LISTED, {"ae_title": "PACS"}]}


def test_a_peer_that_has_a_limit_is_listed_already() -> None:
    settings = parse_settings({"node": {"peers": [LISTED]}})

    with pytest.raises(ConfigError, match="may send already"):
        allowed(settings, "SCANNER", "10.0.0.7")
