"""MONAI Bundles from model packages."""

from train.bundle.bundle import SCHEMA, make_bundle

__all__ = ["SCHEMA", "make_bundle"]
