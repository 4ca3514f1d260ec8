"""Paired training data from studies: find series, tell phases, pair, register, check, store.

>>> from pathlib import Path
>>> from train.prepare import PrepareOptions, prepare
>>> prepare(Path("studies"), Path("runs/pairs"), options=PrepareOptions(), workers=4)  # doctest: +SKIP
"""

from train.prepare.options import PrepareOptions
from train.prepare.pipeline import Prepared, prepare

__all__ = ["PrepareOptions", "Prepared", "prepare"]
