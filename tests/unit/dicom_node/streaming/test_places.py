"""Places of associations, by party."""

import pytest

from dicom_node.streaming.places import Occupancy, Places


def full(occupancy: Occupancy) -> str | None:
    return "full" if not occupancy.left else None


def test_places_are_taken_and_given_back() -> None:
    places = Places(1)

    assert places.take("a", "PACS", object_to=full) is None
    assert places.take("b", "PACS", object_to=full) == "full"
    places.give("a")
    assert places.take("b", "PACS", object_to=full) is None


def test_who_takes_one_is_shown_what_is_taken_by_whom() -> None:
    places = Places(5)
    for one, party in {"a": "PACS", "b": "SCANNER", "c": "PACS"}.items():
        places.take(one, party, object_to=full)
    places.give("a")
    shown: list[tuple[int, ...]] = []

    def object_to(now: Occupancy) -> str:
        shown.append((now.count, now.left, now.of("PACS"), now.of("SCANNER"), now.of("ROUTER")))
        return "looked only"

    assert [places.take("d", "ROUTER", object_to=object_to) for _ in range(2)] == ["looked only"] * 2
    assert shown == [(5, 3, 1, 1, 0)] * 2


def test_to_object_to_nothing_where_none_is_left_is_an_error() -> None:
    places = Places(1)
    places.take("a", "PACS", object_to=full)

    with pytest.raises(ValueError, match="no place is left"):
        places.take("b", "PACS", object_to=lambda _: None)
