"""Finding series, and the jobs of each."""

from collections.abc import Collection
from datetime import datetime

from sqlalchemy import or_, select

from dicom_node.catalog.database import Database
from dicom_node.catalog.job_table import job_query
from dicom_node.catalog.rows import JobRow, SeriesRow
from dicom_node.catalog.schema import jobs, series, subjects
from dicom_node.catalog.subject_table import of_patient
from dicom_node.errors import CatalogError


class SeriesSearch(Database):
    """Looking series up."""

    def find_series(
        self,
        *,
        query: str | None = None,
        by_patient: bool = False,
        route: str | None = None,
        state: str | None = None,
        job_state: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        limit: int = 100,
        offset: int = 0,
    ) -> list[SeriesRow]:
        """Series, newest first.

        Parameters
        ----------
        query
            A part of the Study or Series Instance UID, also of the derived series, or of the peer's AE title.
        by_patient
            ``query`` may also be a part of the patient's name or ID, or of the accession number, in any case.
        job_state
            Those that have a job in this state.
        since, until
            When the first instance came; ``until`` is not included.
        """
        statement = select(series).order_by(series.c.id.desc()).limit(limit).offset(offset)
        if query:
            statement = statement.where(
                or_(
                    series.c.series_instance_uid.contains(query, autoescape=True),
                    series.c.study_instance_uid.contains(query, autoescape=True),
                    series.c.calling_ae.contains(query, autoescape=True),
                    series.c.id.in_(
                        select(jobs.c.series_id).where(
                            or_(
                                jobs.c.derived_series_instance_uid.contains(query, autoescape=True),
                                jobs.c.uncertainty_series_instance_uid.contains(query, autoescape=True),
                            )
                        )
                    ),
                    *([series.c.id.in_(select(subjects.c.series_id).where(of_patient(query)))] if by_patient else ()),
                )
            )
        if job_state is not None:
            # Found once; asked for every series, it would be looked up a hundred thousand times.
            statement = statement.where(series.c.id.in_(select(jobs.c.series_id).where(jobs.c.state == job_state)))
        for column, value in ((series.c.route, route), (series.c.state, state)):
            if value is not None:
                statement = statement.where(column == value)
        if since is not None:
            statement = statement.where(series.c.first_received_at >= since)
        if until is not None:
            statement = statement.where(series.c.first_received_at < until)
        with self.read() as connection:
            return [SeriesRow.model_validate(row) for row in connection.execute(statement).mappings()]

    def get_series(self, key: int) -> SeriesRow:
        """One series; raises `CatalogError` (``series_unknown``)."""
        with self.read() as connection:
            row = connection.execute(select(series).where(series.c.id == key)).mappings().first()
        if row is None:
            raise CatalogError("series_unknown", f"There is no series {key}.", "See the list of series.")
        return SeriesRow.model_validate(row)

    def on_other_routes(self, row: SeriesRow) -> list[SeriesRow]:
        """The same series as it came in on other routes."""
        same = series.c.series_instance_uid == row.series_instance_uid
        with self.read() as connection:
            rows = connection.execute(select(series).where(same, series.c.id != row.key).order_by(series.c.route))
            return [SeriesRow.model_validate(one) for one in rows.mappings()]

    def jobs_of_series(self, keys: Collection[int]) -> dict[int, list[JobRow]]:
        """By series, its jobs, newest first."""
        found: dict[int, list[JobRow]] = {key: [] for key in keys}
        with self.read() as connection:
            rows = connection.execute(
                job_query().where(jobs.c.series_id.in_(keys)).order_by(jobs.c.id.desc())
            ).mappings()
            for row in rows:
                found[row["series_id"]].append(JobRow.model_validate(row))
        return found
