"""Passwords in addresses: what is shown of a configuration has none, and what was shown takes its own back."""

import re

from dicom_node.errors import ConfigError

#: What stands in place of a password.
HIDDEN = "***"
# scheme://user:password@ up to the last @ of the word: rather too much is hidden than too little.
_ADDRESS = re.compile(r"(?P<before>[A-Za-z][A-Za-z0-9+.-]*://[^\s:/@]*:)(?P<password>\S*)(?=@)")
# libpq takes one among the parameters, too.
_PARAMETER = re.compile(r"(?P<before>[?&](?:password|sslpassword)=)(?P<password>[^\s&'\"]*)")


def without_passwords(text: str) -> str:
    """A text with `HIDDEN` in place of the passwords of all addresses in it."""
    for pattern in (_ADDRESS, _PARAMETER):
        text = pattern.sub(lambda found: found["before"] + HIDDEN, text)
    return text


def with_passwords_of(text: str, before: str) -> str:
    """A text that was shown by `without_passwords`, and perhaps changed, with the passwords of ``before`` again.

    Raises
    ------
    ConfigError
        ``password_hidden``: an address has `HIDDEN` for a password, and ``before`` has none like it.
    """
    for pattern in (_ADDRESS, _PARAMETER):
        known = {found["before"]: found["password"] for found in pattern.finditer(before)}

        def put_back(found: re.Match[str], known: dict[str, str] = known) -> str:
            if found["password"] != HIDDEN:
                return found[0]
            if found["before"] not in known:
                raise ConfigError(
                    "password_hidden",
                    f"The configuration has {HIDDEN} in place of a password, and there was none for this address before.",
                    "Write the password itself, or better none: PGPASSFILE names a file that holds it.",
                )
            return found["before"] + known[found["before"]]

        text = pattern.sub(put_back, text)
    return text
