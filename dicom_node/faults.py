"""Naming unexpected errors without their message, which may quote a patient's data."""

from __future__ import annotations

from pathlib import Path


def place_of(error: BaseException) -> str:
    """``module.py:line`` where an exception arose."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return "unknown" if trace is None else f"{Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}"
