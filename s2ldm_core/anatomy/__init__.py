"""Training pairs from label maps of real anatomy: painted, or simulated enhancement in a real native CT."""

from s2ldm_core.anatomy.errors import AnatomyError
from s2ldm_core.anatomy.names import structure
from s2ldm_core.anatomy.scan import AnatomyScan, Mode, organ_ids
from s2ldm_core.anatomy.subject import Subject, prepare

__all__ = ["AnatomyError", "AnatomyScan", "Mode", "Subject", "organ_ids", "prepare", "structure"]
