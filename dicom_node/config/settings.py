"""Every section and key of the configuration, with its default, its limits and its cross checks."""

from collections.abc import Mapping
from ipaddress import ip_network
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, SerializeAsAny, create_model, model_validator

from dicom_node.audit.settings import AuditSettings
from dicom_node.config.database import DatabaseUrl, is_shared
from dicom_node.config.peer import Peer
from dicom_node.config.routes import Route, default_routes
from dicom_node.deliver.destinations import DestinationSettings
from dicom_node.deliver.destinations.dicom import DicomSettings
from dicom_node.notify import NotifyTarget, target_of
from dicom_node.people.oidc_settings import OidcSettings
from dicom_node.section import AETitle, Port, PositiveSeconds, Section, kind_in
from dicom_node.tls import ServerTls
from dicom_node.translate.executors import EXECUTORS
from s2ldm_core.documents import nearest


def _absolute(value: Path) -> Path:
    # The catalog holds paths below it, which must not depend on the working directory of whoever reads them.
    return value.expanduser().absolute()


class NodeSettings(Section):
    """The node as a DICOM peer, and where it keeps its state."""

    ae_title: AETitle = "S2LDM"
    host: str = "0.0.0.0"  # noqa: S104 (a PACS is another machine)
    port: Port = 11112
    data_dir: Annotated[Path, AfterValidator(_absolute)] = Field(default=Path("var"), validate_default=True)
    database: DatabaseUrl | None = Field(default=None, repr=False)
    peers: tuple[Peer, ...] = ()
    max_associations: int = Field(default=32, ge=1)
    listener_processes: int = Field(default=1, ge=1, le=16)
    max_pdu_bytes: int = Field(default=262_144, ge=16_384, le=8_388_608)
    acse_timeout_seconds: PositiveSeconds = 30.0
    dimse_timeout_seconds: PositiveSeconds = 60.0
    idle_timeout_seconds: PositiveSeconds = 120.0
    min_free_mib: int = Field(default=1024, ge=0)
    max_object_mib: int = Field(default=4096, ge=1)
    max_object_seconds: PositiveSeconds = 900.0
    tls: ServerTls = ServerTls()


class SeriesSettings(Section):
    """When a series is complete and what it must have."""

    quiet_seconds: PositiveSeconds = 20.0
    open_association_seconds: PositiveSeconds = 300.0
    confirm_with: str | None = None
    confirmed_seconds: PositiveSeconds = 2.0
    fetch_missing: bool = False
    min_slices: int = Field(default=8, ge=2)


def _of_its_kind(value: Any) -> Any:
    return DestinationSettings.kind_of(value).model_validate(value) if isinstance(value, dict) else value


#: One section for each ``type``.
Target = Annotated[SerializeAsAny[NotifyTarget], BeforeValidator(target_of)]
Destination = Annotated[SerializeAsAny[DestinationSettings], BeforeValidator(_of_its_kind)]


if TYPE_CHECKING:
    _ExecutorSections = Section
else:  # one for every executor that has keys of its own, named as the executor
    _ExecutorSections = create_model(
        "_ExecutorSections",
        __base__=Section,
        **{name: (kind.settings_type, kind.settings_type()) for name, kind in EXECUTORS.items() if kind.settings_type},
    )


class ComputeSettings(_ExecutorSections):
    """Where translation runs."""

    device: str = Field(default="auto", pattern=r"^(auto|cpu|cuda(:\d+)?)$")
    executor: Annotated[str, kind_in(EXECUTORS)] = "local"
    threads: int | None = Field(default=None, ge=1)
    max_memory_gib: float | None = Field(default=None, gt=0)
    out_of_memory: Literal["fail", "cpu"] = "fail"
    job_timeout_seconds: PositiveSeconds = 3600.0
    max_attempts: int = Field(default=3, ge=1)
    retry_seconds: PositiveSeconds = 30.0

    @property
    def side_by_side(self) -> int:
        """How many series this node translates at a time: the ``workers`` of its executor."""
        return int(getattr(getattr(self, self.executor, None), "workers", 1))


class RetentionSettings(Section):
    """How long files stay after their work is done; null keeps them for ever."""

    source_days: float | None = Field(default=7.0, ge=0)
    derived_days: float | None = Field(default=7.0, ge=0)
    refused_days: float | None = Field(default=30.0, ge=0)
    failed_days: float | None = Field(default=None, ge=0)
    quarantine_days: float | None = Field(default=90.0, ge=0)
    catalog_days: float | None = Field(default=365.0, ge=0)
    max_gib: float | None = Field(default=None, gt=0)


def _network(value: str) -> str:
    try:
        network = ip_network(value)
    except ValueError as error:
        raise ValueError(f"{value!r} is no address or network, such as 10.0.0.5 or 10.0.0.0/28") from error
    if network.prefixlen == 0:
        raise ValueError(f"{value} is everybody: whoever is trusted may say who asks")
    return value


class WebTls(Section):
    """Certificate and key (PEM) that the web server shows; the file of the certificate may hold the chain."""

    certificate: Annotated[Path, AfterValidator(_absolute)]
    key: Annotated[Path, AfterValidator(_absolute)]


class WebSettings(Section):
    """Health, metrics, the console and its interface."""

    host: str = "127.0.0.1"
    port: Port = 8104
    tls: WebTls | None = None
    login: Literal["auto", "always"] = "auto"
    oidc: OidcSettings | None = None
    trusted_proxies: tuple[Annotated[str, AfterValidator(_network)], ...] = ()


class LogSettings(Section):
    """Logs, without patient data."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["json", "console"] = "json"


def _default_destinations() -> dict[str, DestinationSettings]:
    return {"pacs": DicomSettings(ae_title="ORTHANC", host="127.0.0.1", port=4242)}


class Settings(Section):
    """Everything ``config/node.yaml`` can say."""

    node: NodeSettings = Field(default_factory=NodeSettings)
    series: SeriesSettings = SeriesSettings()
    routes: dict[AETitle, Route] = Field(default_factory=default_routes, min_length=1)
    destinations: dict[str, Destination] = Field(default_factory=_default_destinations)
    compute: ComputeSettings = ComputeSettings()
    retention: RetentionSettings = RetentionSettings()
    web: WebSettings = WebSettings()
    log: LogSettings = LogSettings()
    notify: tuple[Target, ...] = ()
    audit: AuditSettings = AuditSettings()

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
        confirm_with = self.series.confirm_with
        if confirm_with is not None and confirm_with not in self.destinations:
            raise ValueError(
                f"series.confirm_with names {confirm_with!r}, which destinations does not have"
                + nearest(confirm_with, self.destinations)
            )
        if confirm_with is not None and not self.destinations[confirm_with].counts_images:
            raise ValueError(
                f"series.confirm_with names {confirm_with!r}, whose type cannot be asked for a number of images"
            )
        if self.series.fetch_missing and confirm_with is None:
            raise ValueError("series.fetch_missing needs series.confirm_with: whom to fetch from")
        if self.series.fetch_missing and confirm_with and not self.destinations[confirm_with].fetches_images:
            raise ValueError(
                f"series.confirm_with names {confirm_with!r}, whose type cannot send images here: fetch_missing must be false"
            )
        for name, destination in self.destinations.items():
            if (called := destination.called_at(self.node.port)) in self.routes:
                raise ValueError(f"destinations.{name} is this node's own route {called}")
        return self

    @property
    def current(self) -> Self:
        """Itself: settings that never change (`dicom_node.config.live.SettingsSource`)."""
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

    @property
    def several_nodes(self) -> bool:
        """Whether other nodes may work with the same catalog and ``data_dir``."""
        return is_shared(self.node.database)

    def same_series_numbers(self) -> list[tuple[str, str]]:
        """Pairs of routes of whose derived series of one source two get the same Series Number at a destination they share."""
        return [
            (first, second)
            for first, second in combinations(self.routes, 2)
            if not self.routes[first].series_number_offsets.isdisjoint(self.routes[second].series_number_offsets)
            and set(self.routes[first].destinations) & set(self.routes[second].destinations)
        ]

    def min_slices(self, route: str) -> int:
        """Fewest slices that the route translates."""
        return self.routes[route].min_slices or self.series.min_slices

    def kept_route(self, title: str) -> dict[str, Any] | None:
        """A route as plain values, with what it takes from elsewhere: what a job keeps of it; None if there is none."""
        route = self.routes.get(title)
        return None if route is None else {**route.kept(), "min_slices": self.min_slices(title)}

    @property
    def ranks(self) -> Mapping[str, int]:
        """Routes whose work comes before the others', now: 0 is ``stat``, 1 ``high``."""
        order = {"stat": 0, "high": 1}
        return {title: order[route.priority] for title, route in self.routes.items() if route.priority in order}

    @property
    def called_back_at(self) -> frozenset[str]:
        """AE titles beside ``node.ae_title`` under which destinations call the node back."""
        titles = (one.called_back_at for one in self.destinations.values())
        return frozenset(title for title in titles if title is not None)

    @property
    def paused_destinations(self) -> frozenset[str]:
        """Destinations that nothing is sent to at present."""
        return frozenset(name for name, one in self.destinations.items() if one.paused)
