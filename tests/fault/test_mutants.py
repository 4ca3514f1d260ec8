"""Mutated instances and PDUs against a running node; ``python -m bench.mutants`` sends twenty thousand and more.

Not covered here: peers that are slow or silent (``tests/integration/test_receive.py``).
"""

from pathlib import Path

from bench.mutants import barrage
from tests.barrage import MOST_KIB
from tests.mutant_report import Report
from tests.node_processes import EXAMINER, LISTENER, NODE


def test_a_node_outlives_mutants_keeps_what_it_acknowledged_and_says_what_became_of_each(tmp_path: Path) -> None:
    report = Report()
    barrage(tmp_path, objects=120, conversations=100, seed=7, patience_seconds=120.0, report=report)

    assert report.failures == []
    assert report.objects >= 120
    assert report.conversations == 100
    # Neither all sound nor all broken, or it says nothing.
    assert min(report.statuses["0x0000"], report.statuses["0xB007"]) > 15
    assert any(outcome.startswith("refused") for outcome in report.outcomes)
    assert {NODE, LISTENER, EXAMINER} <= set(report.most_kib)
    assert max(report.most_kib.values()) < MOST_KIB
