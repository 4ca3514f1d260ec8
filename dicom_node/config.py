"""The node's configuration: one YAML file, environment overrides, and errors that name the key.

``S2LDM_<SECTION>__<KEY>[__<KEY>]`` overrides a key of the file, for example ``S2LDM_NODE__PORT=104`` or
``S2LDM_ROUTES__CECT_ART__MODEL=liver``. Names are matched without regard to case; values are read as YAML.
"""

import os
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from dicom_node.errors import ConfigError

ENVIRONMENT_PREFIX = "S2LDM_"
_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost", "0.0.0.0"})  # noqa: S104 (compared with, not bound to)


def _ae_title(value: str) -> str:
    # PS3.5 6.2, VR AE: at most 16 characters of the default repertoire, no backslash or control character, not only
    # spaces; leading and trailing spaces are not significant, so they can only be mistakes here.
    if not 1 <= len(value) <= 16:
        raise ValueError("an AE title has 1 to 16 characters")
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


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())


class Peer(_Section):
    """A peer that may send; ``host`` null stands for any address."""

    ae_title: AETitle
    host: str | None = None


class NodeSettings(_Section):
    """The node as a DICOM peer, and where it keeps its state."""

    ae_title: AETitle = "S2LDM"
    host: str = "0.0.0.0"  # noqa: S104 (a PACS is another machine)
    port: Port = 11112
    data_dir: Path = Path("var")
    database: str | None = None
    peers: tuple[Peer, ...] = ()
    max_associations: int = Field(default=32, ge=1)
    max_pdu_bytes: int = Field(default=262_144, ge=16_384, le=8_388_608)
    acse_timeout_seconds: PositiveSeconds = 30.0
    dimse_timeout_seconds: PositiveSeconds = 60.0
    idle_timeout_seconds: PositiveSeconds = 120.0
    min_free_mib: int = Field(default=1024, ge=0)


class SeriesSettings(_Section):
    """When a series is complete and what it must have."""

    quiet_seconds: PositiveSeconds = 20.0
    open_association_seconds: PositiveSeconds = 300.0
    min_slices: int = Field(default=8, ge=2)


class Window(_Section):
    """A VOI window in HU (PS3.3 C.11.2.1.2)."""

    center: float
    width: float = Field(ge=1)


class Route(_Section):
    """One called AE title: target phase, model, output form, selection rules and destinations."""

    phase: Phase
    model: str = Field(default="demo", min_length=1)
    output: OutputForm = "sc"
    destinations: tuple[str, ...] = ()
    series_description: str | None = Field(default=None, max_length=64)
    series_number_offset: int = Field(default=1000, ge=1)
    window: Window | None = None
    min_slices: int | None = Field(default=None, ge=2)
    late: Literal["rerun", "ignore"] = "rerun"
    enhancement_check: Literal["hu", "tags"] = "hu"
    seed: int = Field(default=0, ge=0)
    steps: int | None = Field(default=None, ge=1)


class Destination(_Section):
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


class ComputeSettings(_Section):
    """Where translation runs."""

    device: str = Field(default="auto", pattern=r"^(auto|cpu|cuda(:\d+)?)$")
    executor: Literal["local"] = "local"
    threads: int | None = Field(default=None, ge=1)
    job_timeout_seconds: PositiveSeconds = 3600.0
    max_attempts: int = Field(default=3, ge=1)
    retry_seconds: PositiveSeconds = 30.0


class RetentionSettings(_Section):
    """How long files stay after their work is done; null keeps them for ever."""

    source_days: float | None = Field(default=7.0, ge=0)
    derived_days: float | None = Field(default=7.0, ge=0)
    refused_days: float | None = Field(default=30.0, ge=0)
    quarantine_days: float | None = Field(default=90.0, ge=0)


class WebSettings(_Section):
    """Health, metrics, the read-only API and its page."""

    host: str = "127.0.0.1"
    port: Port = 8104


class LogSettings(_Section):
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


class Settings(_Section):
    """Everything ``config/node.yaml`` can say."""

    node: NodeSettings = NodeSettings()
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
                        + _nearest(name, self.destinations)
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
    def incoming_dir(self) -> Path:
        """Received bytes, as DICOM Part 10 files."""
        return self.node.data_dir / "incoming"

    @property
    def work_dir(self) -> Path:
        """Intermediate results, one folder per job."""
        return self.node.data_dir / "work"

    @property
    def derived_dir(self) -> Path:
        """Derived series, one folder per job."""
        return self.node.data_dir / "derived"

    @property
    def quarantine_dir(self) -> Path:
        """Objects that cannot go on."""
        return self.node.data_dir / "quarantine"

    @property
    def catalog_location(self) -> Path | str:
        """What `dicom_node.catalog.Catalog` opens."""
        return self.node.database or self.node.data_dir / "catalog.sqlite"

    def min_slices(self, route: str) -> int:
        """Fewest slices that the route translates."""
        return self.routes[route].min_slices or self.series.min_slices


def default_config_path() -> Path:
    """The configuration that the node starts with when none is named: a checkout's, else the installed wheel's."""
    checkout = Path(__file__).resolve().parent.parent / "config" / "node.yaml"
    if checkout.is_file():
        return checkout
    return Path(str(resources.files("dicom_node"))) / "defaults" / "node.yaml"


def load_settings(path: Path | None = None, *, environ: Mapping[str, str] | None = None) -> Settings:
    """Read a configuration file (default: `default_config_path`) and apply the environment's overrides.

    Raises
    ------
    ConfigError
        ``config_unreadable`` or ``config_invalid``; the sentence has one line per mistake, each naming the key's path.
    """
    path = path or default_config_path()
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(
            "config_unreadable", f"The configuration {path} cannot be read: {error}", "Name a YAML file with --config."
        ) from error
    return parse_settings(document, source=str(path), environ=os.environ if environ is None else environ)


def parse_settings(
    document: object, *, source: str = "configuration", environ: Mapping[str, str] | None = None
) -> Settings:
    """Validate a configuration that is at hand as plain values; errors as in `load_settings`."""
    if document is None:
        document = {}
    if not isinstance(document, dict):
        raise ConfigError("config_invalid", f"{source}: the file must hold keys and values, such as node: and routes:.")
    merged = _override(document, environ or {})
    try:
        return Settings.model_validate(merged)
    except ValidationError as error:
        lines = [_explain(detail) for detail in error.errors()]
        raise ConfigError(
            "config_invalid",
            f"{source}: " + "\n".join(lines),
            "Every key with its default stands in the default configuration: s2ldm-node check --defaults",
        ) from error


def _override(document: dict[str, Any], environ: Mapping[str, str]) -> dict[str, Any]:
    merged = _copy(document)
    for variable in sorted(environ):
        parts = variable.removeprefix(ENVIRONMENT_PREFIX).split("__")
        # Variables without a section (S2LDM_SOMETHING) are other programs' business.
        if not variable.startswith(ENVIRONMENT_PREFIX) or len(parts) < 2 or not all(parts):
            continue
        try:
            value = yaml.safe_load(environ[variable])
        except yaml.YAMLError as error:
            raise ConfigError("config_invalid", f"The environment variable {variable} is not valid YAML.") from error
        known: Any = Settings().model_dump(mode="json") | merged
        place: Any = merged
        for depth, part in enumerate(parts):
            name = _same_name(part, known)
            known = known.get(name) if isinstance(known, dict) else None
            if depth == len(parts) - 1:
                place[name] = value
                break
            if not isinstance(place.get(name), dict):
                # A route or destination of the defaults is overridden key by key, too.
                place[name] = (
                    _copy(known) if isinstance(known, dict) and depth < 2 and parts[0].lower() in _MAPS else {}
                )
            place = place[name]
    return merged


_MAPS = ("routes", "destinations")


def _same_name(part: str, known: object) -> str:
    if isinstance(known, dict):
        for name in known:
            if str(name).lower() == part.lower():
                return str(name)
    return part if isinstance(known, dict) and part.upper() in known else part.lower()


def _copy(value: Any) -> Any:
    return {key: _copy(one) for key, one in value.items()} if isinstance(value, dict) else value


def _explain(detail: Mapping[str, Any]) -> str:
    location = [str(part) for part in detail["loc"] if part != "[key]"]
    where = ".".join(location)
    if detail["type"] == "extra_forbidden":
        return f"unknown key {where}" + _nearest(location[-1], _keys_beside(location))
    message = str(detail["msg"]).removeprefix("Value error, ")
    return f"{where}: {message}" if where else message


def _keys_beside(location: list[str]) -> list[str]:
    model: Any = Settings
    for part in location[:-1]:
        model = _inner_model(model, part)
    return list(model.model_fields) if model is not None else []


def _inner_model(model: Any, part: str) -> Any:
    if isinstance(model, tuple):  # a mapping or a list of models: any key leads to the same one
        return model[0]
    field = getattr(model, "model_fields", {}).get(part)
    if field is None:
        return None
    found = [one for one in _types_in(field.annotation) if isinstance(one, type) and issubclass(one, BaseModel)]
    if not found:
        return None
    return found[0] if field.annotation is found[0] or type(None) in _types_in(field.annotation) else (found[0],)


def _types_in(annotation: Any) -> Iterator[Any]:
    yield annotation
    for argument in getattr(annotation, "__args__", ()):
        yield from _types_in(argument)


def _nearest(name: str, known: Any) -> str:
    close = get_close_matches(name, [str(one) for one in known], n=1, cutoff=0.5)
    return f" (did you mean {close[0]!r}?)" if close else ""
