"""Pair stores made from label maps of real anatomy: painted pairs, and simulated enhancement in real native CT."""

from train.anatomy.files import SubjectFiles, find_subjects, read_subject
from train.anatomy.pairs import Modes, case_name, make_anatomy_store, sources

__all__ = ["Modes", "SubjectFiles", "case_name", "find_subjects", "make_anatomy_store", "read_subject", "sources"]
