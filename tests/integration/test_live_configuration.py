"""A running node takes up its configuration's changes, and loses neither an association nor a series by it."""

import json
import time
import urllib.error
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from pydicom import dcmread
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian
from pynetdicom import AE
from pynetdicom.association import Association

from tests.ct_series import ct_slice
from tests.peers import HOST, Peer, node, wait_until

#: What an administrator was promised.
TAKEN_UP_SECONDS = 3.0


def edit(peer: Peer, section: str, **values: object) -> None:
    path = peer.folder / "node.yaml"
    configuration = yaml.safe_load(path.read_text())
    configuration.setdefault(section, {}).update(values)
    path.write_text(yaml.safe_dump(configuration))


def associate(peer: Peer, called_ae: str) -> Association:
    ae = AE(ae_title="SCANNER")
    ae.add_requested_context(CTImageStorage, ExplicitVRLittleEndian)
    return ae.associate(HOST, peer.port, ae_title=called_ae)


def is_let_in(peer: Peer, called_ae: str) -> bool:
    association = associate(peer, called_ae)
    if association.is_established:
        association.release()
        return True
    return False


def readiness(peer: Peer) -> Any:
    """What /readyz says, be the node ready or not."""
    try:
        return peer.get_json("/readyz")
    except urllib.error.HTTPError as answer:
        return json.loads(answer.read())


def phases(peer: Peer) -> list[str]:
    return [job["phase"] for job in peer.get_json("/api/jobs")["items"]]


def test_edit_by_hand_reaches_the_listener_and_spares_what_is_under_way(tmp_path: Path) -> None:
    images = []
    for number in range(2):
        path = tmp_path / f"{number}.dcm"
        image = ct_slice(np.full((16, 16), 1024, np.uint16), (0, 0, number), series_uid="1.2.3")
        image.save_as(path, enforce_file_format=True)
        images.append(dcmread(path))
    routes = {"CECT": {"phase": "arterial"}}
    with node(tmp_path / "node", {"routes": routes, "series": {"quiet_seconds": 1}, "destinations": {}}) as peer:
        assert not is_let_in(peer, "LATER")
        open_before = associate(peer, "CECT")
        assert open_before.send_c_store(images[0]).Status == 0x0000

        edit(peer, "routes", CECT={"phase": "venous", "enabled": False}, LATER={"phase": "venous"})
        began = time.monotonic()
        wait_until(lambda: is_let_in(peer, "LATER"), seconds=10 * TAKEN_UP_SECONDS, what="the new route")
        taken_up_seconds = time.monotonic() - began

        assert not is_let_in(peer, "CECT")
        assert open_before.send_c_store(images[1]).Status == 0x0000
        open_before.release()
        wait_until(lambda: phases(peer), seconds=30, what="the job")
        assert phases(peer) == ["venous"]
        assert peer.get_json("/api/jobs")["items"][0]["instances"] == 2
        assert taken_up_seconds < TAKEN_UP_SECONDS


def test_bad_edit_is_said_by_readyz_and_the_old_routes_stay(tmp_path: Path) -> None:
    with node(tmp_path / "node", {"routes": {"CECT": {"phase": "arterial"}}, "destinations": {}}) as peer:
        edit(peer, "routes", CECT={"phase": "arteria"})

        def said() -> str:
            checks = readiness(peer)["checks"]
            return next(one["detail"] for one in checks if one["name"] == "configuration")

        wait_until(said, seconds=30, what="the problem")
        assert "routes.CECT.phase" in said()
        assert is_let_in(peer, "CECT")
