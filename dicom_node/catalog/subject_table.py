"""Whose a series is: the catalog's only patient data."""

from collections.abc import Collection

from pydantic import BaseModel, ConfigDict
from sqlalchemy import ColumnElement, Connection, delete, exists, insert, select

from dicom_node.catalog.database import Database
from dicom_node.catalog.schema import instances, series, subjects


class Subject(BaseModel):
    """Whose a series is, as its headers say: patient data. Text as DICOM writes it, such as ``DOE^JANE``; empty if absent."""

    model_config = ConfigDict(frozen=True)

    patient_id: str = ""
    patient_name: str = ""
    accession_number: str = ""
    study_date: str = ""
    study_description: str = ""
    series_description: str = ""


class SubjectTable(Database):
    """The subjects of series, from selection until retention has removed the last of a series' files."""

    def set_subject(self, key: int, subject: Subject) -> None:
        """Say whose a series is; another one takes the place of what was said before."""
        with self.write() as connection:
            connection.execute(delete(subjects).where(subjects.c.series_id == key))
            if connection.scalar(select(series.c.id).where(series.c.id == key)) is not None:
                connection.execute(insert(subjects).values(series_id=key, sought=_sought(subject), **dict(subject)))

    def subjects_of(self, keys: Collection[int]) -> dict[int, Subject]:
        """By series; those whose subject is not known are not in it."""
        with self.read() as connection:
            rows = connection.execute(select(subjects).where(subjects.c.series_id.in_(keys))).mappings()
            return {row["series_id"]: Subject.model_validate(dict(row)) for row in rows}


def of_patient(query: str) -> ColumnElement[bool]:
    """Whether a part of the patient's name or ID, or of the accession number, is ``query``, in any case."""
    return subjects.c.sought.contains(query.casefold(), autoescape=True)


def _sought(subject: Subject) -> str:
    return "\n".join((subject.patient_name, subject.patient_id, subject.accession_number)).casefold()


def forget_subjects(connection: Connection, keys: Collection[int]) -> None:
    """Forget the subjects of those of these series of which no file is left."""
    held = exists(
        select(instances.c.id).where(instances.c.series_id == subjects.c.series_id, instances.c.path.is_not(None))
    )
    connection.execute(delete(subjects).where(subjects.c.series_id.in_(keys), ~held))
