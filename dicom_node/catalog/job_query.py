"""Reading jobs: the query with what their series knows, and rows as values."""

import json
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Select, select

from dicom_node.catalog.database import path_of, reason_of
from dicom_node.catalog.rows import JobRow, JobState
from dicom_node.catalog.schema import jobs, series


def job_query() -> Select[Any]:
    """Jobs with the identity of their series."""
    columns = (series.c.series_instance_uid, series.c.study_instance_uid)
    return select(jobs, *columns).outerjoin(series, series.c.id == jobs.c.series_id)


def job_row(row: Mapping[Any, Any]) -> JobRow:
    """A database row as a value."""
    return JobRow(
        id=row["id"],
        series_key=row["series_id"],
        series_instance_uid=row["series_instance_uid"],
        study_instance_uid=row["study_instance_uid"],
        route=row["route"],
        phase=row["phase"],
        model=row["model"],
        model_identity=row["model_identity"],
        state=JobState(row["state"]),
        content_digest=row["content_digest"],
        completion_signal=row["completion_signal"],
        instance_count=row["instance_count"],
        attempts=row["attempts"],
        not_before=row["not_before"],
        worker=row["worker"],
        stage=row["stage"],
        progress=row["progress"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        started_at=row["started_at"],
        finished_at=row["finished_at"],
        reason=reason_of(row),
        result_path=path_of(row["result_path"]),
        derived_series_instance_uid=row["derived_series_instance_uid"],
        failed_in=None if row["failed_in"] is None else JobState(row["failed_in"]),
        details=json.loads(row["details"]),
    )
