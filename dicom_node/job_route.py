"""The route of a job: as it was when the job began, whatever the configuration says by now.

Beside the steps, which never import one another and must agree on this.
"""

from dicom_node.catalog import JobRow
from dicom_node.config import Route, Settings


def job_route(job: JobRow, settings: Settings) -> Route | None:
    """The route that a job began with; None if it never had one that is known and the configuration has none either.

    A job that is selected anew takes the configuration's present one, with the phase and the model that make it that job.
    """
    if job.route_settings is not None:
        return Route.model_validate(job.route_settings)
    present = settings.routes.get(job.route)
    if present is None:
        return None
    # From what was set, so that what follows from the phase (series_number_offset) follows from the job's.
    values = present.model_dump(mode="json", exclude_unset=True) | {"min_slices": settings.min_slices(job.route)}
    return Route.model_validate(values | {"phase": job.phase, "model": job.model})
