"""Series over HTTP: search, story, pictures, and what can be done with their jobs."""

from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dicom_node.catalog import JobState, Subject, Verdict
from s2ldm_core.problem import Problem
from tests.catalog_jobs import answer
from tests.unit.dicom_node.web.conftest import Console


def pixels(console: Console, **asked: object) -> np.ndarray:
    answer = console.client.get(f"/api/series/{console.series}/image.png", params=asked)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "image/png"
    return np.asarray(Image.open(BytesIO(answer.content)))


def grey(hu: np.ndarray, center: float, width: float) -> np.ndarray:
    return np.rint(np.clip((hu - center) / width + 0.5, 0, 1) * 255).astype(np.uint8)


@pytest.mark.parametrize("of", ["source", "derived"])
def test_axial_picture_is_the_slice_in_its_window_from_the_head_down(sight: Console, of: str) -> None:
    shown = pixels(sight, of=of, plane="axial", index=1, center=40, width=400)

    assert np.array_equal(shown, grey(getattr(sight, of)[::-1][1], 40, 400))


@pytest.mark.parametrize(("plane", "axis", "size"), [("coronal", 1, (10, 6)), ("sagittal", 2, (10, 8))])
def test_other_planes_stand_upright_with_square_pixels(
    sight: Console, plane: str, axis: int, size: tuple[int, int]
) -> None:
    shown = pixels(sight, plane=plane, index=2)

    assert shown.shape == size
    expected = Image.fromarray(grey(sight.source[::-1].take(2, axis=axis), 40, 400))
    assert np.array_equal(shown, np.asarray(expected.resize(size[::-1], Image.Resampling.BILINEAR)))


def test_change_is_the_difference_of_the_two(sight: Console) -> None:
    shown = pixels(sight, of="change", index=0, width=8)

    # The uppermost slice has 4 HU more everywhere: the whole of half the width.
    assert set(map(tuple, shown.reshape(-1, 3))) == {(255, 140, 0)}
    assert not pixels(sight, of="change", index=4, width=8).any()


def test_uncertainty_is_shown_where_there_is_one_and_is_no_part_of_the_derived_series(told: Console) -> None:
    assert told.uncertainty is not None
    shown = pixels(told, of="uncertainty", index=1, center=50, width=100)
    assert np.array_equal(shown, grey(told.uncertainty[::-1][1], 50, 100))
    assert np.array_equal(pixels(told, of="derived", index=1), grey(told.derived[::-1][1], 40, 400))
    assert told.client.get(f"/api/series/{told.series}/volume").json()["uncertainty"] is True
    assert '<img data-of="uncertainty"' in told.client.get(f"/series/{told.series}").text


def test_story_tells_that_the_uncertainty_was_asked_for_and_how_many_images_both_have(told: Console) -> None:
    events = told.client.get(f"/api/series/{told.series}/timeline").json()
    opened = next(one for one in events if one["kind"] == "job")
    sent = next(one for one in events if one["kind"] == "delivery")
    assert opened["facts"]["uncertainty"] == "asked for"
    assert sent["facts"]["images"] == 10
    assert told.client.get("/api/jobs").json()["items"][0]["uncertainty_series_instance_uid"] == "2.25.10"


def test_uncertainty_that_nobody_asked_for_is_not_found(sight: Console) -> None:
    answer = sight.client.get(f"/api/series/{sight.series}/image.png", params={"of": "uncertainty"})
    assert (answer.status_code, answer.json()["problem"]["code"]) == (404, "picture_no_uncertainty")
    assert "uncertainty" not in sight.client.get(f"/series/{sight.series}").text.partition("<h2>Jobs")[0]


@pytest.mark.parametrize(
    ("asked", "status"),
    [
        ({"index": 5}, 422),
        ({"index": -1}, 422),
        ({"plane": "oblique"}, 422),
        ({"width": 0}, 422),
        ({"center": "nan"}, 422),
    ],
)
def test_picture_that_is_none_is_refused(sight: Console, asked: dict[str, object], status: int) -> None:
    answer = sight.client.get(f"/api/series/{sight.series}/image.png", params=asked)

    assert (answer.status_code, bool(answer.json()["problem"]["sentence"])) == (status, True)


def test_volume_says_how_many_slices_each_plane_has(sight: Console) -> None:
    answer = sight.client.get(f"/api/series/{sight.series}/volume").json()

    assert answer == {
        "slices": {"axial": 5, "coronal": 8, "sagittal": 6},
        "spacing_mm": [2.0, 1.0, 1.0],
        "derived": True,
        "uncertainty": False,
    }


def test_story_begins_with_the_sender_and_goes_to_the_delivery(sight: Console) -> None:
    events = sight.client.get(f"/api/series/{sight.series}/timeline").json()

    assert events[0]["kind"] == "received"
    assert events[0]["facts"] == {"from": "SCANNER", "address": "10.0.0.7", "called": "CECT_ART"}
    by_kind = {one["kind"]: one for one in events}
    assert by_kind["complete"]["facts"]["signal"] == "released"
    assert by_kind["selection"]["facts"] == {"enough_slices": {"slices": 5}}
    assert by_kind["delivering"]["facts"]["seconds"] == {"translate": 1.5}
    assert by_kind["delivery-pending"]["facts"]["accepted"] == "0 of 5"


@pytest.mark.parametrize("query", ["1.2.3", "1.2", "25.9", "SCANN"])
def test_series_is_found_by_a_part_of_what_names_it(sight: Console, query: str) -> None:
    assert len(sight.client.get("/api/series", params={"query": query}).json()["items"]) == 1


@pytest.mark.parametrize(
    "query",
    [{"query": "1_2"}, {"query": "%"}, {"route": "OTHER"}, {"job_state": "done"}, {"since": "2100-01-01T00:00:00Z"}],
)
def test_series_that_is_not_meant_is_not_found(sight: Console, query: dict[str, str]) -> None:
    assert sight.client.get("/api/series", params=query).json()["items"] == []


SUBJECT = Subject(patient_id="P-17", patient_name="MÜLLER^Anna", accession_number="A99", study_date="20260102")


@pytest.mark.parametrize("query", ["müller", "MÜLLER", "anna", "p-17", "a99"])
def test_series_is_found_by_its_patient_in_any_case(console: Console, query: str) -> None:
    console.catalog.set_subject(console.series, SUBJECT)

    (found,) = console.client.get("/api/series", params={"query": query}).json()["items"]

    assert found["patient"]["patient_name"] == "MÜLLER^Anna"
    assert "MÜLLER^Anna" in console.client.get("/series", params={"query": query}).text
    assert "A99" in console.client.get(f"/series/{console.series}").text


def test_patient_is_not_for_those_who_may_not_see_pictures(console: Console) -> None:
    console.catalog.set_subject(console.series, SUBJECT)
    stranger = console.from_elsewhere(address="10.0.0.9")
    shown = [stranger.get(path) for path in ("/api/series", f"/api/series/{console.series}", "/series")]
    shown += [stranger.get(f"/series/{console.series}"), stranger.get(f"/api/series/{console.series}/timeline")]

    assert [one.status_code for one in shown] == [200] * 5
    assert not any("ller" in one.text or "P-17" in one.text for one in shown)
    assert stranger.get("/api/series", params={"query": "anna"}).json()["items"] == []


def test_what_another_route_made_of_the_same_series_stands_beside_it(console: Console, tmp_path: Path) -> None:
    assert "data-series=" not in console.client.get(f"/series/{console.series}").text.replace(
        'class="viewer" data-series', ""
    )
    console.client.put("/api/routes/CECT_VEN", json={"phase": "venous", "destinations": ["pacs"]})
    console.client.post(f"/api/series/{console.series}/requeue", json={"route": "CECT_VEN"})
    (other,) = console.catalog.on_other_routes(console.catalog.get_series(console.series))

    assert console.catalog.on_other_routes(other) == [console.catalog.get_series(console.series)]
    page = console.client.get(f"/series/{other.key}").text
    assert f'<img data-of="derived" data-series="{console.series}"' in page
    assert "SYNTHETIC arterial, demo" in page


def test_name_that_is_markup_is_shown_as_text(console: Console) -> None:
    console.catalog.set_subject(console.series, Subject(patient_name="<script>alert(1)</script>"))

    assert "<script>alert" not in console.client.get("/series").text
    assert "<script>alert" not in console.client.get(f"/series/{console.series}").text


def test_series_is_taken_in_on_another_route_whole(console: Console, tmp_path: Path) -> None:
    console.client.put("/api/routes/CECT_VEN", json={"phase": "venous", "destinations": ["pacs"]})

    taken = console.client.post(f"/api/series/{console.series}/requeue", json={"route": "CECT_VEN"})

    assert taken.json() == {"taken_in": 5}
    (new,) = console.client.get("/api/series", params={"route": "CECT_VEN"}).json()["items"]
    assert (new["instances"], new["state"], new["calling_ae"]) == (5, "receiving", "SCANNER")
    held = console.catalog.series_instances(new["key"])
    first = {one.sop_instance_uid: one for one in console.catalog.series_instances(console.series)}
    assert all(one.path.read_bytes() == first[one.sop_instance_uid].path.read_bytes() for one in held)
    assert not {one.path for one in held} & {one.path for one in first.values()}
    next(iter(first.values())).path.unlink()
    assert all(one.path.is_file() for one in held)
    again = console.client.post(f"/series/{new['key']}/requeue", data={"route": "CECT_ART"}, follow_redirects=False)
    assert again.status_code == 303


@pytest.mark.parametrize(
    ("series", "route", "status", "code"),
    [(1, "NOWHERE", 404, "route_unknown"), (1, "CECT_ART", 422, "same_route"), (99, "CECT_ART", 404, "series_unknown")],
)
def test_requeue_that_makes_no_sense_says_why(sight: Console, series: int, route: str, status: int, code: str) -> None:
    answered = sight.client.post(f"/api/series/{series}/requeue", json={"route": route})

    assert (answered.status_code, answered.json()["problem"]["code"]) == (status, code)


def test_series_of_which_a_file_is_gone_is_not_taken_in_elsewhere(console: Console) -> None:
    console.client.put("/api/routes/CECT_VEN", json={"phase": "venous", "destinations": ["pacs"]})
    console.catalog.series_instances(console.series)[2].path.unlink()

    answered = console.client.post(f"/api/series/{console.series}/requeue", json={"route": "CECT_VEN"})

    assert (answered.status_code, answered.json()["problem"]["code"]) == (409, "source_gone")
    assert console.client.get("/api/series", params={"route": "CECT_VEN"}).json()["items"] == []


def test_every_failed_attempt_of_a_delivery_is_told(console: Console) -> None:
    for code in ("no_connection", "no_answer"):
        delivery = console.catalog.claim_delivery(console.catalog.now())
        answer(
            console.catalog,
            delivery,
            console.catalog.delivery_instances(delivery.id)[0].sop_instance_uid,
            Verdict.ACCEPTED,
        )
        console.catalog.retry_delivery(delivery, at=console.catalog.now(), reason=Problem(code, "Not reached."))
    deliver(console)

    events = console.client.get(f"/api/series/{console.series}/timeline").json()
    tries = [one for one in events if one["kind"] == "delivery-attempt"]
    assert [(one["problem"]["code"], one["facts"]["accepted"]) for one in tries] == [
        ("no_connection", "1 of 5"),
        ("no_answer", "1 of 5"),
    ]
    assert "Delivery to pacs: done" in [one["title"] for one in events]
    (delivery,) = console.catalog.list_deliveries(job_id=console.job)
    assert len(console.client.get(f"/api/deliveries/{delivery.id}").json()["tries"]) == 3


@pytest.mark.parametrize(
    "path", ["/api/series/99", "/api/series/99/timeline", "/api/series/99/image.png", "/api/series/99/volume"]
)
def test_unknown_series_is_404_with_a_problem(sight: Console, path: str) -> None:
    answer = sight.client.get(path)

    assert (answer.status_code, answer.json()["problem"]["code"]) == (404, "series_unknown")


@pytest.mark.parametrize("number", ["0", "9223372036854775808", "9" * 60, "x"])
@pytest.mark.parametrize(
    "path",
    [
        "/api/series/{}",
        "/api/jobs/{}",
        "/api/deliveries/{}",
        "/series/{}",
        "/api/deliveries?job_id={}",
        "/api/jobs?limit=-{}",
    ],
)
def test_number_of_any_size_is_refused_and_no_fault(sight: Console, path: str, number: str) -> None:
    assert sight.client.get(path.format(number)).status_code == 422


@pytest.mark.parametrize("since", ["2026-01-01T00:00:00", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"])
def test_time_without_a_zone_or_out_of_range_is_refused(sight: Console, since: str) -> None:
    assert sight.client.get("/api/series", params={"since": since}).status_code == 422


def test_job_is_cancelled_and_retried(console: Console) -> None:
    assert console.client.post(f"/api/jobs/{console.job}/cancel").json()["state"] == "cancelled"
    assert console.client.post(f"/api/jobs/{console.job}/cancel").status_code == 409
    assert console.client.post(f"/api/jobs/{console.job}/retry").json()["state"] == "selecting"


def deliver(console: Console) -> None:
    delivery = console.catalog.claim_delivery(console.catalog.now())
    for one in console.catalog.delivery_instances(delivery.id):
        answer(console.catalog, delivery, one.sop_instance_uid, Verdict.ACCEPTED, status=0)
    console.catalog.finish_delivery(delivery)


def test_derived_series_is_delivered_again(console: Console) -> None:
    deliver(console)
    assert console.catalog.get_job(console.job).state is JobState.DONE

    assert console.client.post(f"/api/jobs/{console.job}/redeliver").json()["state"] == "delivering"

    (delivery,) = console.catalog.list_deliveries(job_id=console.job)
    assert (delivery.state, delivery.accepted_count, delivery.attempts) == ("pending", 0, 0)
    deliver(console)
    assert console.catalog.get_job(console.job).state is JobState.DONE


def test_derived_series_is_delivered_to_a_destination_that_it_was_not_for(console: Console) -> None:
    deliver(console)

    console.client.post(f"/api/jobs/{console.job}/redeliver", json={"destination": "other"})

    states = {
        one.destination: (one.state, one.instance_count) for one in console.catalog.list_deliveries(job_id=console.job)
    }
    assert states == {"pacs": ("done", 5), "other": ("pending", 5)}


def test_destination_that_is_not_configured_gets_nothing(sight: Console) -> None:
    answer = sight.client.post(f"/api/jobs/{sight.job}/redeliver", json={"destination": "nowhere"})

    assert (answer.status_code, answer.json()["problem"]["code"]) == (404, "destination_unknown")


def test_page_of_a_series_tells_its_story_and_quotes_what_is_markup(sight: Console) -> None:
    page = sight.client.get(f"/series/{sight.series}").text

    assert "enough slices" in page
    assert "Delivery to pacs begins" in page
    evil = sight.client.get("/series", params={"query": '"><script>alert(1)</script>'}).text
    assert "<script>alert" not in evil


def test_many_jobs_are_retried_at_once_and_what_cannot_be_is_said(console: Console) -> None:
    console.client.post(f"/api/jobs/{console.job}/cancel")

    answer = console.client.post("/jobs/act", data={"job": [console.job, 99], "do": "retry", "back": "//evil.example"})

    assert answer.status_code == 409
    assert "1 done, 1 not" in answer.text
    assert "evil.example" not in answer.text
    assert console.catalog.get_job(console.job).state is JobState.SELECTING


def test_page_goes_back_to_this_node_only(console: Console) -> None:
    answer = console.client.post(
        "/jobs/act", data={"job": console.job, "do": "cancel", "back": "//evil.example"}, follow_redirects=False
    )

    assert (answer.status_code, answer.headers["location"]) == (303, "/series")
