"""Keeping attribute values, which may be a patient's, out of what the node's processes write."""

import logging
import warnings
from pathlib import Path
from typing import TextIO

_LOG = logging.getLogger("py.warnings")


def silence_attribute_values() -> None:
    """Have this process say nothing that quotes attribute values; call where a process begins.

    pydicom logs and warns of values that do not fit their VR, and quotes them; pynetdicom quotes what it cannot read of a
    PDU, in which a data set may stand if a peer is out of step. What follows of it the node logs itself. Of any other
    library's warning only the kind and the place are logged, as those that handle data sets may quote them, too.
    """
    for library in ("pydicom", "pynetdicom"):
        logging.getLogger(library).setLevel(logging.CRITICAL)
    warnings.filterwarnings("ignore", module=r"pydicom(\.|$)")
    warnings.showwarning = _log_place


def _log_place(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    path = Path(filename)
    _LOG.info("%s at %s:%d", category.__name__, "/".join(path.parts[-2:]), lineno)


def place_of(error: BaseException) -> str:
    """``module.py:line`` where an exception arose: what may be said of one whose message may quote attribute values."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return "unknown" if trace is None else f"{Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}"
