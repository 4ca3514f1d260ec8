"""The configuration over HTTP and by form."""

from html.parser import HTMLParser

import pytest

from dicom_node.config.versions import digest_of
from tests.unit.dicom_node.web.conftest import Console

DEEP: dict[str, object] = {}
for _ in range(15):
    DEEP = {"a": DEEP}


class Form(HTMLParser):
    """What a browser would send of the form with the class ``keys``."""

    def __init__(self) -> None:
        super().__init__()
        self.values: dict[str, list[str]] = {}
        self._inside = False
        self._select = self._option = ""

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        given = dict(attributes)
        if tag == "form":
            self._inside = given.get("class") == "keys"
        elif tag == "select":
            self._select = given["name"] or ""
        elif tag == "option":
            self._option = self._select if "selected" in given else ""
        elif tag == "input" and self._inside and (given.get("type") != "checkbox" or "checked" in given):
            self.values.setdefault(given["name"] or "", []).append(given.get("value") or "")

    def handle_data(self, text: str) -> None:
        if self._inside and self._option:
            self.values.setdefault(self._option, []).append(text)
            self._option = ""


def form_of(console: Console, path: str) -> dict[str, object]:
    """The form of a page as it stands."""
    form = Form()
    form.feed(console.client.get(path).text)
    return dict(form.values)


def test_a_route_s_seconds_stay_in_its_form(console: Console) -> None:
    console.client.put("/api/routes/CECT_ART", json={"phase": "35s", "model": "elsewhere", "destinations": ["pacs"]})
    assert console.configuration.current.routes["CECT_ART"].phase == "35s"
    assert form_of(console, "/routes/CECT_ART")["phase"] == ["35s"]


def test_a_route_s_time_can_be_typed_where_its_phases_are_suggested(console: Console) -> None:
    page = console.client.get("/routes/CECT_ART").text
    assert '<datalist id="w-phase"><option value="arterial"></option><option value="venous"></option>' in page
    form = form_of(console, "/routes/CECT_ART")
    wrong = console.client.post("/routes/CECT_ART", data=form | {"phase": "50 seconds", "do": "look"})
    assert "50 seconds" in wrong.text
    assert "such as 50s" in wrong.text
    filled = form | {"phase": "50s", "model": "elsewhere"}
    assert "phase: 50s" in console.client.post("/routes/CECT_ART", data=filled | {"do": "look"}).text
    console.client.post("/routes/CECT_ART", data=filled | {"do": "save"})
    assert console.configuration.current.routes["CECT_ART"].phase == "50s"


def test_route_is_changed_and_in_force_at_once(console: Console) -> None:
    answer = console.client.put(
        "/api/routes/CECT_ART", json={"phase": "venous", "destinations": ["pacs"]}, params={"comment": "board"}
    )

    assert answer.json() == {"version": 2, "needs_restart": []}
    assert console.configuration.current.routes["CECT_ART"].phase == "venous"
    assert "phase: venous   # why" in console.path.read_text()
    (newest, oldest) = console.client.get("/api/config/history").json()["items"]
    assert (newest["comment"], oldest["number"]) == ("board", 1)
    assert "+    phase: venous   # why" in newest["difference"]


def test_rollback_brings_the_old_text_back(console: Console) -> None:
    before = console.path.read_text()
    console.client.put("/api/routes/CECT_ART", json={"phase": "venous"})

    assert console.client.post("/api/config/rollback/1").json()["version"] == 3
    assert console.path.read_text() == before
    assert console.configuration.current.routes["CECT_ART"].phase == "arterial"


def test_bad_text_is_422_with_line_and_problem_and_changes_nothing(console: Console) -> None:
    before = console.path.read_text()

    answer = console.client.put("/api/config", json={"text": before.replace("phase:", "phse:")})

    assert answer.status_code == 422
    assert "line 5: unknown key routes.CECT_ART.phse (did you mean 'phase'?)" in answer.json()["problem"]["sentence"]
    assert console.path.read_text() == before


def test_text_that_somebody_else_has_changed_is_not_overwritten(console: Console) -> None:
    shown = console.client.get("/api/config").json()
    console.client.put("/api/routes/CECT_ART", json={"phase": "venous"})

    answer = console.client.put("/api/config", json={"text": shown["text"], "seen": shown["seen"]})

    assert (answer.status_code, answer.json()["problem"]["code"]) == (409, "config_conflict")


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "code"),
    [
        ("put", "/api/routes/CECT_ART", {"phase": "late"}, 422, "config_invalid"),
        ("put", "/api/routes/CECT_ART", {"phase": "venous", "model": "demo", "seed": -1}, 422, "config_invalid"),
        ("put", "/api/routes/CECT_ART", [], 422, "wrong_request"),
        ("put", "/api/routes/a-title-that-is-too-long", {"phase": "venous"}, 422, "config_invalid"),
        ("put", "/api/routes/CECT_ART", {"phase": "venous", "window": DEEP}, 422, "config_value"),
        ("delete", "/api/routes/CECT_ART", None, 422, "config_invalid"),
        ("delete", "/api/routes/NONE", None, 404, "route_unknown"),
        ("delete", "/api/destinations/pacs", None, 422, "config_invalid"),
        ("put", "/api/destinations/new", {"type": "fax"}, 422, "config_invalid"),
        ("get", "/api/destinations/none", None, 404, "destination_unknown"),
        ("post", "/api/destinations/none/check", None, 404, "destination_unknown"),
        ("post", "/api/config/rollback/99", None, 404, "config_version_unknown"),
        ("put", "/api/config", {"text": "[" * 5000}, 422, "config_unreadable"),
        ("post", "/api/routes/CECT_ART/test", {"series": 99}, 404, "series_unknown"),
    ],
)
def test_wrong_change_is_a_4xx_with_its_problem(
    sight: Console, method: str, path: str, body: object, status: int, code: str
) -> None:
    answer = sight.client.request(method, path, json=body)

    assert (answer.status_code, answer.json()["problem"]["code"]) == (status, code)


def test_destination_is_added_and_taken_away(console: Console) -> None:
    added = {"ae_title": "NEW", "host": "10.0.0.1", "port": 104}
    console.client.put("/api/destinations/new", json=added)
    assert console.client.get("/api/destinations/new").json()["ae_title"] == "NEW"

    assert console.client.delete("/api/destinations/new").status_code == 200
    assert "new" not in console.configuration.current.destinations


def test_destination_that_does_not_answer_says_why(console: Console) -> None:
    answer = console.client.post("/api/destinations/pacs/check").json()

    assert answer["ok"] is False
    assert answer["problem"]["sentence"]


def test_route_is_tried_with_a_stored_series_before_it_is_saved(console: Console) -> None:
    def tried(**keys: object) -> dict[str, object]:
        route = {"phase": "arterial", **keys}
        return console.client.post("/api/routes/CECT_ART/test", json={"series": console.series, "route": route}).json()

    assert "needs at least 8" in tried()["problem"]["sentence"]
    assert "needs at least 20" in tried(min_slices=20)["problem"]["sentence"]
    assert console.configuration.current.routes["CECT_ART"].min_slices is None


def test_form_shows_the_difference_and_saves_what_was_seen(console: Console) -> None:
    form = form_of(console, "/routes/CECT_ART") | {"phase": "venous"}

    looked = console.client.post("/routes/CECT_ART", data=form | {"do": "look"})
    assert "+    phase: venous" in looked.text
    assert "arterial" in console.path.read_text()

    seen = digest_of(console.path.read_text())
    console.client.post("/routes/CECT_ART", data=form | {"do": "save", "seen": seen, "comment": "board"})
    assert console.path.read_text().count("\n") == 9
    assert "phase: venous   # why" in console.path.read_text()
    assert console.configuration.book.versions.last().comment == "board"


def test_untouched_form_changes_nothing(console: Console) -> None:
    looked = console.client.post("/routes/CECT_ART", data=form_of(console, "/routes/CECT_ART") | {"do": "look"})

    assert "Nothing." in looked.text


def test_wrong_form_is_refused_and_keeps_what_was_filled_in(console: Console) -> None:
    form = form_of(console, "/routes/CECT_ART") | {"steps": "many", "do": "look"}

    answer = console.client.post("/routes/CECT_ART", data=form)

    assert answer.status_code == 422
    assert "routes.CECT_ART.steps" in answer.text
    assert 'value="many"' in answer.text


def test_route_is_disabled_and_destination_paused_by_a_button(console: Console) -> None:
    console.client.post("/routes/CECT_ART", data={"do": "switch_off"})
    console.client.post("/destinations/pacs/pause")

    assert not console.configuration.current.routes["CECT_ART"].enabled
    assert console.configuration.current.paused_destinations == {"pacs"}


def test_page_of_the_settings_shows_a_refused_edit_by_hand(console: Console) -> None:
    console.path.write_text(console.path.read_text().replace("arterial", "arteria"))
    console.configuration.run_once()

    page = console.client.get("/settings").text

    assert "routes.CECT_ART.phase" in page
    assert 'class="notice"' in console.client.get("/").text


@pytest.mark.parametrize(
    "path",
    [
        "/routes",
        "/routes/new",
        "/routes/CECT_ART",
        "/destinations",
        "/destinations/pacs",
        "/destinations/new",
        "/peers",
        "/settings",
        "/series",
        "/docs",
    ],
)
def test_page_is_there(sight: Console, path: str) -> None:
    answer = sight.client.get(path)

    assert answer.status_code == 200
    assert " style=" not in answer.text


def test_a_contrast_dose_is_typed_in_the_form_and_shown_beside_the_phase(console: Console) -> None:
    form = form_of(console, "/routes/CECT_ART")
    assert form["contrast_dose"] == ["1"]
    wrong = console.client.post("/routes/CECT_ART", data=form | {"contrast_dose": "80", "do": "look"})
    assert "less than or equal to 2" in wrong.text
    console.client.post("/routes/CECT_ART", data=form | {"contrast_dose": "0.8", "do": "save"})
    assert console.configuration.current.routes["CECT_ART"].contrast_dose == 0.8
    assert '<td data-label="Phase">arterial at contrast dose 0.8</td>' in console.client.get("/routes").text
    assert console.client.get("/api/routes").json()[0]["contrast_dose"] == 0.8


@pytest.mark.parametrize("character", ["\x02", "\x9b", "\ufffe"])
def test_text_with_a_character_that_yaml_does_not_have_is_refused(console: Console, character: str) -> None:
    before = console.path.read_text()

    answer = console.client.put("/api/config", json={"text": before + f"# {character}\n"})

    assert (answer.status_code, answer.json()["problem"]["code"]) == (422, "config_unreadable")
    assert console.path.read_text() == before


def test_history_beyond_its_end_is_empty(console: Console) -> None:
    answer = console.client.get("/api/config/history", params={"offset": 1000})

    assert (answer.status_code, answer.json()["items"]) == (200, [])


def test_body_that_is_no_text_is_a_wrong_request(console: Console) -> None:
    answer = console.client.put("/api/config", content=b"\xff\xfe{", headers={"content-type": "application/json"})

    assert (answer.status_code, answer.json()["problem"]["code"]) == (422, "wrong_request")
