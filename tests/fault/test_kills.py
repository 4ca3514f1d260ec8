"""A very small kill campaign (`tests.kills`): what was acknowledged is held and ends delivered, and nothing comes twice.

``S2LDM_KILLS=300`` asks for as many kills, at every point. The small one, of three, is left to the thorough run: other tests of this folder
kill at each of its points.
"""

import os
from pathlib import Path

import pytest

from tests.kills.campaign import Campaign, read_lines
from tests.kills.kinds import KINDS

_ASKED = int(os.environ.get("S2LDM_KILLS", "0"))
_FEW = ("listener: between two answers", "worker: translating", "node: between an acceptance and its row")
#: An earlier part is translated where the sender was away for longer than the node waits for one.
_ENDS = {"done", "done after an earlier part"}


@pytest.mark.skipif(
    not (_ASKED or os.environ.get("S2LDM_ALL_WAYS")), reason="S2LDM_KILLS=N or S2LDM_ALL_WAYS=1 asks for it"
)
@pytest.mark.timeout(max(900, 120 * _ASKED))
def test_what_was_acknowledged_survives_kills_and_is_delivered_once(tmp_path: Path) -> None:
    kind = KINDS["sqlite"]
    points = [one for one in kind.points if _ASKED or one.name in _FEW]
    lines = tmp_path / "kills.jsonl"
    with kind.make(tmp_path / "world") as (world, extra):
        campaign = Campaign(world=world, kind="sqlite", points=points, seed=1, lines=lines, extra=extra, together=3)
        campaign.run(_ASKED or len(_FEW))

    found = read_lines(lines)
    assert [line["wrong"] for line in found if line["wrong"]] == []
    assert {line["point"] for line in found} == {point.name for point in points}
    assert {how for line in found for how in line["ended"]} <= _ENDS
    assert sum(len(line["victims"]) for line in found) >= (_ASKED or len(_FEW))
