"""Teaches a package the uncertainty of its answers: how wrong it is on cases that it has not seen, and how well that is told."""

from train.spread.making import Told, add_spread, markdown

__all__ = ["Told", "add_spread", "markdown"]
