"""What the configuration is made of: sections, and the types of their keys.

Beside `dicom_node.config`, so that kinds (of destinations, of executors) can declare their sections next to their code.
"""

from collections.abc import Callable, Iterable
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from s2ldm_core.documents import nearest


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


class Section(BaseModel):
    """A group of keys; an unknown one is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())


def kind_in(
    registry: Iterable[str], *, also: Callable[[str], bool] = lambda _: False, also_said: str = ""
) -> AfterValidator:
    """A key that names one of a registry's kinds; another name is an error that names them and the nearest, unless it is one ``also``,
    which ``also_said`` tells of."""
    names = tuple(registry)

    def known(name: str) -> str:
        if name not in names and not also(name):
            *others, last = map(repr, names)
            listed = f"{', '.join(others)} or {last}" if others else last
            raise ValueError(f"Input should be {listed}{also_said}" + nearest(name, names))
        return name

    return AfterValidator(known)
