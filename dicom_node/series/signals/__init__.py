"""Completion signals: what may say that a series is complete, one file each.

A new one: its file, and its line in `SIGNALS` (``docs/add-a-signal.md``).
"""

from dicom_node.series.signals.commitment import Commitment
from dicom_node.series.signals.confirmed import Confirmed
from dicom_node.series.signals.next_series import NextSeries
from dicom_node.series.signals.quiet import Quiet
from dicom_node.series.signals.released import Released
from dicom_node.series.signals.signal import Signal

#: In the order in which they are asked; the first that holds is recorded as the one that decided.
SIGNALS: tuple[Signal, ...] = (Confirmed(), Commitment(), Released(), NextSeries(), Quiet())

__all__ = ["SIGNALS", "Signal"]
