"""Which routes' work comes first."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from sqlalchemy import ColumnElement, case

from dicom_node.catalog.schema import jobs

NO_RANKS: Mapping[str, int] = MappingProxyType({})


def by_rank(ranks: Mapping[str, int]) -> tuple[ColumnElement[Any], ...]:
    """To order jobs by: the lowest rank of their routes first, routes without one last."""
    if not ranks:
        return ()
    return (case(dict(ranks), value=jobs.c.route, else_=max(ranks.values()) + 1),)
