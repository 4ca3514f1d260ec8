"""The HTTP interface: health, metrics, lists, pages."""

import re
import socket
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from fastapi.testclient import TestClient

from dicom_node.catalog import Catalog, DerivedInstance, JobState, NewInstance, Verdict
from dicom_node.config import Settings
from dicom_node.errors import NodeError
from dicom_node.service.health import HealthCheck, disk_problem, run_checks
from dicom_node.service.observe import Metrics
from dicom_node.web.app import create_app
from dicom_node.web.server import WebServer
from s2ldm_core.problem import Problem
from tests.catalog_jobs import answer
from tests.unit.dicom_node.web.conftest import Console


class Health:
    """Readiness as a test wants it."""

    def __init__(self) -> None:
        self.checks = [HealthCheck(name="catalog", ok=True), HealthCheck(name="worker", ok=True)]

    def __call__(self) -> list[HealthCheck]:
        return self.checks


@pytest.fixture
def health() -> Health:
    return Health()


@pytest.fixture
def catalog(tmp_path: Path) -> Iterator[Catalog]:
    with Catalog(tmp_path / "catalog.sqlite") as catalog:
        yield catalog


@pytest.fixture
def metrics(catalog: Catalog, tmp_path: Path) -> Metrics:
    return Metrics(catalog, data_dir=tmp_path)


@pytest.fixture
def client(catalog: Catalog, health: Health, metrics: Metrics, tmp_path: Path) -> TestClient:
    app = create_app(Settings(node={"data_dir": tmp_path}), catalog, readiness=health, metrics=metrics.exposition)
    return TestClient(app, base_url="http://127.0.0.1:8104", client=("127.0.0.1", 50000))


def new_instance(series_uid: str) -> NewInstance:
    return NewInstance(
        series_instance_uid=series_uid,
        study_instance_uid="1.2",
        sop_instance_uid=f"{series_uid}.1",
        sop_class_uid="1.2.840.10008.5.1.4.1.1.2",
        transfer_syntax_uid="1.2.840.10008.1.2.1",
        path=Path("/spool/secret-place.dcm"),
        digest="d",
        size=1,
        route="CECT_ART",
        calling_ae="PACS",
        peer="127.0.0.1",
    )


def add_job(catalog: Catalog, number: int = 1) -> int:
    catalog.add_instance(new_instance(f"1.2.{number}"))
    series = catalog.list_series(limit=1)[0]
    job_id = catalog.complete_series(
        series.key, signal="released", phase="arterial", model="demo", seen_at=series.last_received_at
    )
    assert job_id is not None
    return job_id


def add_delivery(catalog: Catalog) -> int:
    job_id = add_job(catalog)
    catalog.accept_job(catalog.get_job(job_id), details={})
    catalog.claim_job(JobState.QUEUED, JobState.TRANSLATING, "w")
    catalog.finish_translation(catalog.get_job(job_id), result_path=Path("/r"), details={})
    catalog.claim_job(JobState.TRANSLATED, JobState.DERIVING, "w")
    one = DerivedInstance(sop_instance_uid="2.25.1", sop_class_uid="1", series_instance_uid="2.25.9", path=Path("/d/1"))
    catalog.finish_derivation(
        catalog.get_job(job_id), series_instance_uid="2.25.9", instances=[one], destinations=["pacs"]
    )
    return catalog.list_deliveries()[0].id


def test_healthz_answers_while_parts_are_not_ready(client: TestClient, health: Health) -> None:
    health.checks = [HealthCheck(name="worker", ok=False, detail="it died")]

    assert client.get("/healthz").status_code == 200


def test_readyz_is_200_when_every_part_is_ready(client: TestClient) -> None:
    answer = client.get("/readyz")

    assert answer.status_code == 200
    assert answer.json()["ready"] is True


def test_readyz_is_503_and_names_the_part_that_is_not(client: TestClient, health: Health) -> None:
    health.checks = [HealthCheck(name="catalog", ok=True), HealthCheck(name="worker", ok=False, detail="it died")]

    answer = client.get("/readyz")

    assert answer.status_code == 503
    assert answer.json()["checks"][1] == {"name": "worker", "ok": False, "detail": "it died"}


def test_job_is_listed_with_its_state_and_reason(client: TestClient, catalog: Catalog) -> None:
    job_id = add_job(catalog)
    catalog.refuse_job(catalog.get_job(job_id), Problem("gantry_tilt", "Tilted.", "Do not."))

    (job,) = client.get("/api/jobs").json()["items"]

    assert job["state"] == "refused"
    assert job["reason"] == {"code": "gantry_tilt", "sentence": "Tilted.", "remedy": "Do not."}
    assert job["created_at"].endswith("Z")


def test_list_is_paged_newest_first(client: TestClient, catalog: Catalog) -> None:
    for number in range(5):
        add_job(catalog, number)

    first = client.get("/api/jobs", params={"limit": 2}).json()
    last = client.get("/api/jobs", params={"limit": 2, "offset": 4}).json()

    assert [job["id"] for job in first["items"]] == [5, 4]
    assert first["next_offset"] == 2
    assert [job["id"] for job in last["items"]] == [1]
    assert last["next_offset"] is None


def test_list_is_filtered_by_state(client: TestClient, catalog: Catalog) -> None:
    catalog.refuse_job(catalog.get_job(add_job(catalog, 1)), Problem("x", "No."))
    add_job(catalog, 2)

    assert [job["id"] for job in client.get("/api/jobs", params={"state": "refused"}).json()["items"]] == [1]


@pytest.mark.parametrize("query", [{"limit": 0}, {"limit": 100000}, {"offset": -1}, {"state": "nonsense"}])
def test_wrong_parameters_are_refused(client: TestClient, query: dict[str, object]) -> None:
    assert client.get("/api/jobs", params=query).status_code == 422


def test_job_shows_its_deliveries(client: TestClient, catalog: Catalog) -> None:
    delivery_id = add_delivery(catalog)

    job = client.get("/api/jobs/1").json()

    assert [one["id"] for one in job["deliveries"]] == [delivery_id]
    assert job["derived_series_instance_uid"] == "2.25.9"


def test_delivery_shows_the_status_of_every_instance(client: TestClient, catalog: Catalog) -> None:
    delivery_id = add_delivery(catalog)
    answer(catalog, catalog.get_delivery(delivery_id), "2.25.1", Verdict.RETRIABLE, status=0xA700, comment="full")

    delivery = client.get(f"/api/deliveries/{delivery_id}").json()

    assert delivery["statuses"] == [
        {"sop_instance_uid": "2.25.1", "status": 0xA700, "accepted": False, "comment": "full"}
    ]
    assert (delivery["accepted"], delivery["instances"]) == (0, 1)


@pytest.mark.parametrize("path", ["/api/jobs/99", "/api/deliveries/99"])
def test_unknown_number_is_404(client: TestClient, path: str) -> None:
    assert client.get(path).status_code == 404


def test_series_shows_its_completion_signal(client: TestClient, catalog: Catalog) -> None:
    add_job(catalog)

    (series,) = client.get("/api/series").json()["items"]

    assert (series["state"], series["completion_signal"], series["instances"]) == ("complete", "released", 1)


def test_routes_are_listed(client: TestClient) -> None:
    assert [(one["called_ae"], one["phase"]) for one in client.get("/api/routes").json()] == [
        ("CECT_ART", "arterial"),
        ("CECT_VEN", "venous"),
    ]


def test_rejected_peers_are_listed(client: TestClient, catalog: Catalog) -> None:
    reason = Problem("unknown_called_ae", "No such route.")
    catalog.note_rejected_peer(calling_ae="PACS", called_ae="CECT_AR", peer="10.0.0.5", reason=reason)

    (peer,) = client.get("/api/rejected-peers").json()

    assert (peer["called_ae"], peer["count"]) == ("CECT_AR", 1)


def test_nothing_can_be_changed_from_another_machine(client: TestClient) -> None:
    elsewhere = TestClient(client.app, base_url="http://127.0.0.1:8104", client=("10.0.0.9", 50000))
    answers = {}
    paths = client.get("/openapi.json").json()["paths"]
    for path, methods in paths.items():
        if path in ("/api/login", "/api/logout"):
            continue
        for method in set(methods) - {"get"}:
            address = re.sub(r"{[^}]*}", "1", path)
            answers[f"{method} {path}"] = elsewhere.request(method, address, json={}).json()["problem"]["code"]

    assert len(answers) >= 10
    assert set(answers.values()) == {"only_from_here"}


@pytest.mark.parametrize("path", ["/", "/docs", "/api/jobs", "/api/series", "/api/jobs/1"])
def test_no_answer_names_a_file_of_the_node(client: TestClient, catalog: Catalog, path: str) -> None:
    add_delivery(catalog)

    assert "secret-place" not in client.get(path).text


@pytest.mark.parametrize("path", ["/", "/docs"])
def test_pages_load_nothing_from_elsewhere(client: TestClient, catalog: Catalog, path: str) -> None:
    add_delivery(catalog)

    answer = client.get(path)

    assert answer.status_code == 200
    assert not re.search(r"(src|href)=[\"']?(https?:)?//", answer.text)
    scripts = re.findall(r"<script([^>]*)>(.*?)</script>", answer.text)
    assert scripts
    assert all(re.match(r' src="/static/', attributes) and not inside for attributes, inside in scripts)
    assert "unsafe" not in answer.headers["content-security-policy"]
    assert answer.headers["content-security-policy"].startswith("default-src 'none'")


def test_overview_counts_series_still_being_received(client: TestClient, catalog: Catalog) -> None:
    add_job(catalog)
    catalog.add_instance(new_instance("1.2.2"))

    page = client.get("/").text
    assert "<li><b>1</b> being received</li>" in page
    assert "<li><b>1</b> selecting</li>" in page


def test_overview_shows_what_a_peer_wrote_as_text(client: TestClient, catalog: Catalog) -> None:
    reason = Problem("x", "No.")
    catalog.note_rejected_peer(calling_ae="<b>PACS</b>", called_ae="X", peer="h", reason=reason)

    assert "&lt;b&gt;PACS&lt;/b&gt;" in client.get("/").text


def test_docs_list_every_operation(client: TestClient) -> None:
    page = client.get("/docs").text

    assert all(path in page for path in client.get("/openapi.json").json()["paths"])


def test_metrics_count_what_was_received(client: TestClient, metrics: Metrics) -> None:
    metrics.stored(route="CECT_ART", outcome="new", size=100)
    metrics.stored(route="CECT_ART", outcome="new", size=50)

    text = client.get("/metrics").text

    assert 's2ldm_received_instances_total{outcome="new",route="CECT_ART"} 2.0' in text
    assert 's2ldm_received_bytes_total{route="CECT_ART"} 150.0' in text


def test_metrics_show_the_catalogs_state(client: TestClient, catalog: Catalog) -> None:
    add_delivery(catalog)

    text = client.get("/metrics").text

    assert 's2ldm_jobs{state="delivering"} 1.0' in text
    assert 's2ldm_series{state="complete"} 1.0' in text
    assert 's2ldm_deliveries{destination="pacs",state="pending"} 1.0' in text
    assert "s2ldm_disk_free_bytes" in text


def test_metrics_show_the_process_and_its_python(client: TestClient) -> None:
    text = client.get("/metrics").text

    assert "process_resident_memory_bytes " in text
    assert "process_open_fds " in text
    assert "python_info{" in text


def test_two_sets_of_metrics_do_not_meet(catalog: Catalog, tmp_path: Path) -> None:
    one, other = Metrics(catalog, data_dir=tmp_path), Metrics(catalog, data_dir=tmp_path)

    one.rejected(reason="x")

    assert b's2ldm_rejected_associations_total{reason="x"}' not in other.exposition()


def test_check_that_raises_becomes_its_sentence() -> None:
    def broken() -> str | None:
        raise NodeError("x", "It broke.")

    assert run_checks({"part": broken}) == [HealthCheck(name="part", ok=False, detail="It broke.")]


def test_disk_without_room_is_a_problem(tmp_path: Path) -> None:
    problem = disk_problem(str(tmp_path), min_free_mib=10**9)

    assert problem is not None
    assert "MiB are free" in problem


@pytest.mark.parametrize(("free", "needed", "told"), [(0, 0, "0 MiB"), (2**20, 0, None), (2**20, 2, "needs 2 MiB")])
def test_a_disk_that_is_full_is_a_problem_without_a_reserve_too(
    free: int, needed: int, told: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=free))
    problem = disk_problem(str(tmp_path), min_free_mib=needed)
    assert problem is None if told is None else told in (problem or "")


def test_server_says_which_port_is_taken(client: TestClient) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        server = WebServer(client.app, host="127.0.0.1", port=taken.getsockname()[1])

        with pytest.raises(NodeError) as raised:
            server.start()

    assert raised.value.code == "cannot_serve"


def test_address_that_is_not_there_says_so_as_page_and_as_problem(console: Console) -> None:
    page = console.client.get("/nowhere", headers={"accept": "text/html"})
    answer = console.client.get("/api/nowhere")
    wrong = console.client.delete("/api/jobs")

    assert (page.status_code, answer.status_code, wrong.status_code) == (404, 404, 405)
    assert "<h1>Not here</h1>" in page.text
    assert "There is nothing at this address." in page.text
    assert answer.json()["problem"]["code"] == "address_unknown"
    assert wrong.json()["problem"]["code"] == "method_wrong"


def test_account_of_a_node_without_users_says_who_may_do_what(console: Console) -> None:
    assert "whoever sits at this machine is an administrator" in console.client.get("/account").text
