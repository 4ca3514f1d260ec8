"""Whether a value answers a key of a query: attribute matching of PS3.4 C.2.2.2."""

from collections.abc import Sequence

from pydicom.dataelem import DataElement

#: Ranges are given with a hyphen (C.2.2.2.5).
_IN_RANGES = frozenset({"DA", "TM", "DT"})
_LONGEST = 26


def matches(key: DataElement, value: DataElement | None) -> bool:
    """Whether ``value`` is one of those that ``key`` asks for; an empty key asks for all (C.2.2.2.3)."""
    wanted = _texts(key)
    if not wanted:
        return True
    found = _texts(value)
    if key.VR == "UI":  # a list of UIDs (C.2.2.2.2)
        return not set(wanted).isdisjoint(found)
    if key.VR in _IN_RANGES:
        return any(_in_range(one, wanted[0]) for one in found)
    # Upper and lower case alike, as C.2.2.2.1 allows for names, and nobody misses for the rest.
    return any(_is_like(one.casefold(), pattern.casefold()) for pattern in wanted for one in found)


def _texts(element: DataElement | None) -> list[str]:
    if element is None or element.VR == "SQ" or element.value is None:
        return []
    several = isinstance(element.value, Sequence) and not isinstance(element.value, str | bytes)
    values = list(element.value) if several else [element.value]
    return [text for one in values if (text := str(one).strip(" \0"))]


def _in_range(value: str, wanted: str) -> bool:
    low, hyphen, high = wanted.partition("-")
    if not hyphen:
        high = low
    begins = not low or value.ljust(_LONGEST, "0") >= low.strip().ljust(_LONGEST, "0")
    ends = not high or value.ljust(_LONGEST, "0") <= high.strip().ljust(_LONGEST, "9")
    return begins and ends


def _is_like(value: str, pattern: str) -> bool:
    """Wild cards ``*`` and ``?`` (C.2.2.2.4), in time that grows with both lengths only, whatever a peer asks."""
    at = in_pattern = 0
    star, began = -1, 0
    while at < len(value):
        if in_pattern < len(pattern) and pattern[in_pattern] == "*":
            star, began = in_pattern, at
            in_pattern += 1
        elif in_pattern < len(pattern) and pattern[in_pattern] in ("?", value[at]):
            at, in_pattern = at + 1, in_pattern + 1
        elif star >= 0:
            began += 1
            at, in_pattern = began, star + 1
        else:
            return False
    return all(one == "*" for one in pattern[in_pattern:])
