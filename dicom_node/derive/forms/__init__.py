"""Output forms: how a derived series is encoded, one file each.

A new one: its file, and its line in `_FORMS` (``docs/add-an-output-form.md``). A form's module is loaded when the form is
asked for, so that the configuration and the command line know the names without loading a DICOM library.
"""

from pkgutil import resolve_name
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dicom_node.derive.forms.form import OutputForm

#: Name in the configuration → module here and class.
_FORMS = {
    "sc": "secondary_capture:SecondaryCapture",
    "ct": "ct:CTImage",
    "multiframe-sc": "multiframe:MultiframeSecondaryCapture",
}
FORM_NAMES = tuple(_FORMS)
DEFAULT_FORM = "sc"


def output_form(name: str) -> "OutputForm":
    """The form of one of `FORM_NAMES`."""
    form: OutputForm = resolve_name(f"{__name__}.{_FORMS[name]}")()
    return form
