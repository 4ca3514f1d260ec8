"""Model packages over HTTP and by command."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from dicom_node.cli import main
from dicom_node.service import packages as service
from tests.tiny_model import write_tiny_package
from tests.unit.dicom_node.web.conftest import Console
from tests.unit.s2ldm_core.test_package_archive import zipped


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return zipped(write_tiny_package(tmp_path_factory.mktemp("tiny")))


def models(client: TestClient) -> dict[str, dict]:
    return {one["key"]: one for one in client.get("/api/models").json()}


def test_package_is_added_used_and_removed_when_no_route_uses_it(console: Console, archive: Path) -> None:
    client = console.client
    added = client.post("/api/models", content=archive.read_bytes())
    assert added.status_code == 201
    assert (added.json()["key"], added.json()["routes"]) == ("tiny-0.0.1", [])
    assert models(client)["demo"]["routes"] == ["CECT_ART"]

    client.put("/api/routes/CECT_ART", json={"phase": "arterial", "model": added.json()["model"]})
    assert models(client)["tiny-0.0.1"]["routes"] == ["CECT_ART"]
    page = client.get("/models").text
    assert added.json()["metadata"]["weights_sha256"] in page
    used = client.delete("/api/models/tiny-0.0.1")
    assert used.json()["problem"]["code"] == "package_in_use"
    assert client.post("/models/tiny-0.0.1/remove").status_code == 409

    client.put("/api/routes/CECT_ART", json={"phase": "arterial"})
    assert client.post("/models/tiny-0.0.1/remove").status_code == 200
    assert set(models(client)) == {"demo", "paper"}
    assert [*(console.configuration.current.node.data_dir / "models").iterdir()] == []


def test_package_of_a_job_that_has_not_ended_stays(console: Console, archive: Path) -> None:
    model = console.client.post("/api/models", content=archive.read_bytes()).json()["model"]
    series = console.catalog.list_series()[0]
    with console.catalog.write() as connection:
        connection.exec_driver_sql(
            "UPDATE jobs SET model = ?, state = 'queued' WHERE series_id = ?", (model, series.key)
        )

    refused = console.client.delete("/api/models/tiny-0.0.1")

    assert "a job that has not ended" in refused.json()["problem"]["sentence"]


@pytest.mark.parametrize(
    ("key", "code"), [("demo", "package_bundled"), ("..", "package_unknown"), ("x" * 300, "package_unknown")]
)
def test_what_was_not_added_is_not_removed(console: Console, key: str, code: str) -> None:
    answer = console.client.request("DELETE", f"/api/models/{key.replace('.', '%2e')}")

    assert answer.status_code in (404, 405, 409)
    assert code in answer.text or answer.status_code == 405


def test_archive_without_end_is_cut_off_and_leaves_nothing(console: Console, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "MOST_ARCHIVE_BYTES", 2**22)
    sent = 0

    def endless() -> Iterator[bytes]:
        nonlocal sent
        for _ in range(1000):
            sent += 2**16
            yield bytes(2**16)

    answer = console.client.post("/api/models", content=endless())

    assert (answer.status_code, answer.json()["problem"]["code"]) == (413, "package_too_large")
    assert list((console.configuration.current.node.data_dir / "models").iterdir()) == []


def test_what_is_no_package_is_a_422(console: Console) -> None:
    answer = console.client.post("/api/models", content=b"PK")

    assert (answer.status_code, answer.json()["problem"]["code"]) == (422, "archive_invalid")


def test_package_is_added_and_removed_by_command(
    console: Console, archive: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(*arguments: str) -> str:
        with pytest.raises(SystemExit) as ended:
            main([*arguments, "--config", str(console.path)])
        assert ended.value.code == 0
        return capsys.readouterr().out

    place = console.configuration.current.node.data_dir / "models" / "tiny-0.0.1"
    assert f"model: {place}" in run("models", "add", str(archive))
    assert str(place) in "".join(run("models", "list").split())  # a table breaks long paths
    run("models", "remove", "tiny-0.0.1")
    assert not place.exists()
