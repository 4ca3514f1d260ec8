"""Every section and key of the configuration, with its default, its limits and its cross checks."""

from collections.abc import Iterable
from difflib import get_close_matches
from itertools import combinations
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost", "0.0.0.0"})  # noqa: S104 (compared with, not bound to)


def _ae_title(value: str) -> str:
    # PS3.5 6.2, VR AE: at most 16 characters of the default repertoire, no backslash or control character, not only
    # spaces; leading and trailing spaces are not significant, so they can only be mistakes here.
    if not 1 <= len(value) <= 16:
        raise ValueError(f"an AE title has 1 to 16 characters, not {len(value)}")
    if value != value.strip():
        raise ValueError("an AE title must not begin or end with a space")
    if not value.isascii() or not value.isprintable() or "\\" in value:
        raise ValueError("an AE title has only printable ASCII characters and no backslash")
    return value


AETitle = Annotated[str, AfterValidator(_ae_title)]
Port = Annotated[int, Field(ge=1, le=65535)]
PositiveSeconds = Annotated[float, Field(gt=0)]
Phase = Literal["arterial", "venous", "delayed"]
OutputForm = Literal["sc", "ct", "multiframe-sc"]


class Section(BaseModel):
    """A group of keys; an unknown one is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())


class Peer(Section):
    """A peer that may send; ``host`` null stands for any address."""

    ae_title: AETitle
    host: str | None = None


def _absolute(value: Path) -> Path:
    # The catalog holds paths below it, which must not depend on the working directory of whoever reads them.
    return value.expanduser().absolute()


class NodeSettings(Section):
    """The node as a DICOM peer, and where it keeps its state."""

    ae_title: AETitle = "S2LDM"
    host: str = "0.0.0.0"  # noqa: S104 (a PACS is another machine)
    port: Port = 11112
    data_dir: Annotated[Path, AfterValidator(_absolute)] = Field(default=Path("var"), validate_default=True)
    database: str | None = None
    peers: tuple[Peer, ...] = ()
    max_associations: int = Field(default=32, ge=1)
    listener_processes: int = Field(default=1, ge=1, le=16)
    max_pdu_bytes: int = Field(default=262_144, ge=16_384, le=8_388_608)
    acse_timeout_seconds: PositiveSeconds = 30.0
    dimse_timeout_seconds: PositiveSeconds = 60.0
    idle_timeout_seconds: PositiveSeconds = 120.0
    min_free_mib: int = Field(default=1024, ge=0)


class SeriesSettings(Section):
    """When a series is complete and what it must have."""

    quiet_seconds: PositiveSeconds = 20.0
    open_association_seconds: PositiveSeconds = 300.0
    min_slices: int = Field(default=8, ge=2)


class Window(Section):
    """A VOI window in HU (PS3.3 C.11.2.1.2)."""

    center: float
    width: float = Field(ge=1)


#: Series Numbers of the phases lie apart, so that those of one study do not meet.
_SERIES_NUMBER_OFFSETS = {"arterial": 1000, "venous": 2000, "delayed": 3000}


def _series_number_offset(route: dict[str, Any]) -> int:
    return _SERIES_NUMBER_OFFSETS.get(route.get("phase", ""), 1000)


class Route(Section):
    """One called AE title: target phase, model, output form, selection rules and destinations."""

    phase: Phase
    model: str = Field(default="demo", min_length=1)
    output: OutputForm = "sc"
    destinations: tuple[str, ...] = ()
    series_description: str | None = Field(default=None, max_length=64)
    series_number_offset: int = Field(default_factory=_series_number_offset, ge=1)
    window: Window | None = None
    min_slices: int | None = Field(default=None, ge=2)
    late: Literal["rerun", "ignore"] = "rerun"
    enhancement_check: Literal["hu", "tags"] = "hu"
    seed: int = Field(default=0, ge=0)
    steps: int | None = Field(default=None, ge=1)


class Destination(Section):
    """One peer that derived series go to, and how patient the node is with it."""

    ae_title: AETitle
    host: str = Field(min_length=1)
    port: Port
    calling_ae_title: AETitle | None = None
    connect_timeout_seconds: PositiveSeconds = 10.0
    response_timeout_seconds: PositiveSeconds = 60.0
    max_attempts: int = Field(default=20, ge=1)
    retry_seconds: PositiveSeconds = 10.0
    retry_max_seconds: PositiveSeconds = 3600.0


class ComputeSettings(Section):
    """Where translation runs."""

    device: str = Field(default="auto", pattern=r"^(auto|cpu|cuda(:\d+)?)$")
    executor: Literal["local"] = "local"
    threads: int | None = Field(default=None, ge=1)
    job_timeout_seconds: PositiveSeconds = 3600.0
    max_attempts: int = Field(default=3, ge=1)
    retry_seconds: PositiveSeconds = 30.0


class RetentionSettings(Section):
    """How long files stay after their work is done; null keeps them for ever."""

    source_days: float | None = Field(default=7.0, ge=0)
    derived_days: float | None = Field(default=7.0, ge=0)
    refused_days: float | None = Field(default=30.0, ge=0)
    quarantine_days: float | None = Field(default=90.0, ge=0)


class WebSettings(Section):
    """Health, metrics, the read-only API and its page."""

    host: str = "127.0.0.1"
    port: Port = 8104


class LogSettings(Section):
    """Logs, without patient data."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["json", "console"] = "json"


def _default_routes() -> dict[str, Route]:
    return {
        "CECT_ART": Route(phase="arterial", destinations=("pacs",)),
        "CECT_VEN": Route(phase="venous", destinations=("pacs",)),
    }


def _default_destinations() -> dict[str, Destination]:
    return {"pacs": Destination(ae_title="ORTHANC", host="127.0.0.1", port=4242)}


class Settings(Section):
    """Everything ``config/node.yaml`` can say."""

    node: NodeSettings = Field(default_factory=NodeSettings)
    series: SeriesSettings = SeriesSettings()
    routes: dict[AETitle, Route] = Field(default_factory=_default_routes, min_length=1)
    destinations: dict[str, Destination] = Field(default_factory=_default_destinations)
    compute: ComputeSettings = ComputeSettings()
    retention: RetentionSettings = RetentionSettings()
    web: WebSettings = WebSettings()
    log: LogSettings = LogSettings()

    @model_validator(mode="after")
    def _cross_check(self) -> Self:
        for title, route in self.routes.items():
            for name in route.destinations:
                if name not in self.destinations:
                    raise ValueError(
                        f"routes.{title}.destinations names {name!r}, which destinations does not have"
                        + nearest(name, self.destinations)
                    )
            if title == self.node.ae_title:
                raise ValueError(f"routes.{title} is also node.ae_title; a route needs an AE title of its own")
        for name, destination in self.destinations.items():
            here = destination.host in _LOOPBACK and destination.port == self.node.port
            if here and destination.ae_title in self.routes:
                raise ValueError(f"destinations.{name} is this node's own route {destination.ae_title}")
        if self.node.database is not None and not self.node.database.startswith("sqlite://"):
            raise ValueError("node.database must be null or an sqlite:// URL; this version has no other database")
        return self

    @property
    def work_dir(self) -> Path:
        """Intermediate results, one folder per job."""
        return self.node.data_dir / "work"

    @property
    def derived_dir(self) -> Path:
        """Derived series, one folder per job."""
        return self.node.data_dir / "derived"

    @property
    def catalog_location(self) -> Path | str:
        """What `dicom_node.catalog.Catalog` opens."""
        return self.node.database or self.node.data_dir / "catalog.sqlite"

    def same_series_numbers(self) -> list[tuple[str, str]]:
        """Pairs of routes whose derived series of one source get the same Series Number at a destination they share."""
        return [
            (first, second)
            for first, second in combinations(self.routes, 2)
            if self.routes[first].series_number_offset == self.routes[second].series_number_offset
            and set(self.routes[first].destinations) & set(self.routes[second].destinations)
        ]

    def min_slices(self, route: str) -> int:
        """Fewest slices that the route translates."""
        return self.routes[route].min_slices or self.series.min_slices


def nearest(name: str, known: Iterable[object]) -> str:
    """``(did you mean …?)`` with the most similar of the known names; empty if none is similar."""
    close = get_close_matches(name, [str(one) for one in known], n=1, cutoff=0.5)
    return f" (did you mean {close[0]!r}?)" if close else ""
