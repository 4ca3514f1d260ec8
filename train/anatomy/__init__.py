"""Pair stores made from label maps of real anatomy: painted pairs, and simulated enhancement in real native CT."""

from train.anatomy.errors import AnatomyError
from train.anatomy.files import SubjectFiles, find_subjects, read_subject
from train.anatomy.names import structure
from train.anatomy.pairs import Modes, case_name, make_anatomy_store, sources
from train.anatomy.real import Dose
from train.anatomy.scan import AnatomyScan, Mode, organ_ids
from train.anatomy.subject import Subject, prepare

__all__ = [
    "AnatomyError",
    "AnatomyScan",
    "Dose",
    "Mode",
    "Modes",
    "Subject",
    "SubjectFiles",
    "case_name",
    "find_subjects",
    "make_anatomy_store",
    "organ_ids",
    "prepare",
    "read_subject",
    "sources",
    "structure",
]
