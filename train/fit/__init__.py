"""Training: the stages of a system one after the other, resumable at any step, on any number of processes."""

from train.fit.finished import finished_system
from train.fit.loop import Fit

__all__ = ["Fit", "finished_system"]
