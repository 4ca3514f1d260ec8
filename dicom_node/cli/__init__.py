"""The command line: ``s2ldm-node``."""

from dicom_node.cli.app import app, main

__all__ = ["app", "main"]
