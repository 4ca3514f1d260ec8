"""A whole reader study: made of a store, read over HTTP by scripts, scored; nothing a reader gets tells what is what."""

import io
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import uvicorn
from PIL import Image
from typer.testing import CliRunner

from tests.tiny_model import write_tiny_package
from tests.tiny_training import write_pair
from train.cli import app
from train.errors import TrainError
from train.evaluation import StoreCases
from train.evaluation.systems import Candidate, Prediction
from train.readers.making import make_study
from train.readers.results import joined, results
from train.readers.server import reading_room
from train.readers.study import ACQUIRED, Answer, Answers, read_answers, read_key, read_study

PATIENTS = 4


def _noisy(case: Any, target: Any, phase: str) -> Prediction:
    """Recognisably synthetic: 40 HU brighter than what was acquired."""
    return Prediction(hu=target.hu + 40)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("store")
    for seed in range(PATIENTS):
        write_pair(folder, seed, split="test")
    return folder


def made(store: Path, folder: Path, **changes: Any) -> Any:
    values = {"design": "single", "acquired": True, "title": "T", "readers": 2, "seed": 0, **changes}
    return make_study(
        StoreCases(store), [Candidate(label="mine", kind="model", answer=_noisy, identity="m 1")], folder, **values
    )


@contextmanager
def served(study: Path) -> Iterator[str]:
    """The page's address, on a free port."""
    server = uvicorn.Server(uvicorn.Config(reading_room(study), host="127.0.0.1", port=0, log_level="error"))
    thread = threading.Thread(target=server.run)
    thread.start()
    deadline = time.monotonic() + 20
    while not server.started and time.monotonic() < deadline:
        thread.join(0.01)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()


def _grey(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)), dtype=float)


def _read(client: httpx.Client, code: str, *, threshold: float, stop_after: int = 10**9) -> int:
    """Read as a script: images with bright fat are synthetic. Returns how many items it answered."""
    asked = client.get(f"/{code}/study").raise_for_status().json()
    done = 0
    for item in asked["items"]:
        if item["name"] in asked["answers"] or done == stop_after:
            continue
        picture = client.get(f"/{code}/images/{item['name']}/0/axial").raise_for_status()
        synthetic = np.median(_grey(picture.content)) > threshold
        answer = {
            "realism": [2 if synthetic else 4],
            "choice": "synthetic" if synthetic else "acquired",
            "confidence": 4,
            "findings": "=too bright" if synthetic else "",
            "seconds": 3.5,
        }
        assert client.put(f"/{code}/answers/{item['name']}", json=answer).status_code == 204
        done += 1
    return done


def test_scripted_readers_answer_over_http_stop_go_on_and_are_scored(store: Path, tmp_path: Path) -> None:
    folder = tmp_path / "readers"
    study = made(store, folder)
    first, second = (reader.code for reader in study.readers)
    with served(folder / "study") as address, httpx.Client(base_url=address) as client:
        _read(client, first, threshold=1000)  # takes everything for acquired
        assert _read(client, second, threshold=82, stop_after=5) == 5
    with served(folder / "study") as address, httpx.Client(base_url=address) as client:
        assert _read(client, second, threshold=82) == 4 * PATIENTS - 5
        downloaded = client.get(f"/{second}/answers.json")
    assert "reader-2.json" in downloaded.headers["content-disposition"]
    assert Answers.model_validate(downloaded.json()) == read_answers(folder / "study" / "answers" / "reader-2.json")
    shown = CliRunner().invoke(app, ["reader-study", "score", str(folder)], catch_exceptions=False)
    assert shown.exit_code == 0
    assert "| acquired | mine | 2 | 1.00 [0.40, 1.00] | 1.00 [0.40, 1.00] | 16 | 4 |" in shown.output
    assert "| acquired | mine | 1 | 0.50 [0.07, 0.93] | 0.50 [0.07, 0.93] | 16 | 4 |" in shown.output
    assert "choice: κ = 0.00" in shown.output
    found = json.loads((folder / "report.json").read_text())
    assert found["realism"]["acquired"]["value"] == 4.0
    assert found["realism"]["mine"]["value"] == 3.0
    assert found["asked"] == {"1": [16, 16], "2": [16, 16]}
    rows = (folder / "answers.csv").read_text().splitlines()
    assert len(rows) == 33
    assert sum("'=too bright" in row for row in rows) == 8  # no formula for a spreadsheet


def test_what_readers_get_names_no_case_patient_or_package(store: Path, tmp_path: Path) -> None:
    made(store, tmp_path)
    key = read_key(tmp_path)
    assert oct((tmp_path / "key.json").stat().st_mode & 0o777) == "0o600"
    secret = {word for item in key.items.values() for word in (item.case, item.patient)} | {"mine", "m 1"}
    secret |= {key.store_sha256, str(store)}
    files = [path for path in (tmp_path / "study").rglob("*") if path.is_file()]
    assert len(files) == 1 + 3 * 4 * PATIENTS
    for path in files:
        content = path.read_bytes()
        assert not any(word.encode() in content or word in str(path.relative_to(tmp_path)) for word in secret)
        if path.suffix == ".png":
            assert Image.open(io.BytesIO(content)).info == {}


def test_what_was_not_measured_looks_alike_in_both_images(tmp_path: Path) -> None:
    write_pair(tmp_path / "store", 0, phases=("venous",))
    case = tmp_path / "store" / "phantom-000000"
    valid = np.ones((12, 48, 40), bool)
    valid[6:] = False
    np.save(case / "venous.valid.npy", valid)
    make_study(
        StoreCases(tmp_path / "store", split="train"),
        [Candidate(label="mine", kind="model", answer=_noisy)],
        tmp_path / "readers",
        design="pair",
        acquired=True,
        title="T",
        readers=1,
        seed=0,
    )
    left, right = (_grey((tmp_path / f"readers/study/images/1/{n}-coronal.png").read_bytes()) for n in (0, 1))
    study = read_study(tmp_path / "readers" / "study")
    sheet = next(one for one in study.items["1"] if one.plane == "coronal")
    differs = np.abs(left - right)[: sheet.height] > 0  # superior, the last slice, up
    assert not differs[: sheet.height // 2 - 1].any()
    assert differs[sheet.height // 2 + 1 :].any()


@pytest.fixture
def client(store: Path, tmp_path: Path) -> Iterator[tuple[httpx.Client, str]]:
    study = made(store, tmp_path, scans=1)
    with served(tmp_path / "study") as address, httpx.Client(base_url=address) as client:
        yield client, study.readers[0].code


GOOD = {"realism": [3], "choice": "acquired", "confidence": 1}


def test_the_page_takes_nothing_from_elsewhere_and_only_answers_that_fit(client: Any, tmp_path: Path) -> None:
    http, code = client
    page = http.get(f"/{code}/")
    assert "default-src 'none'" in page.headers["content-security-policy"]
    for name in ("", "reader.js", "reader.css", "slices.js"):
        asset = http.get(f"/{code}/{name}")
        assert asset.status_code == 200
        assert "http://" not in asset.text and "https://" not in asset.text  # noqa: PT018
    answers = f"/{code}/answers"
    assert http.put(f"{answers}/1", json=GOOD | {"realism": [6]}).status_code == 422
    assert http.put(f"{answers}/1", json=GOOD | {"realism": [3, 3]}).status_code == 422
    assert http.put(f"{answers}/1", json=GOOD | {"choice": "left"}).status_code == 422
    assert http.put(f"{answers}/99", json=GOOD).status_code == 404
    assert http.put(f"{answers}/1", content=b"x" * 70_000).status_code == 413
    assert http.put("/0000/answers/1", json=GOOD).status_code == 404
    assert http.get(f"/{code}/study", headers={"Host": "elsewhere.example"}).status_code == 400
    assert http.get(f"/{code}/images/1/0/..%2f..%2fstudy.json").status_code == 404
    assert http.get(f"/{code}/..%2fstudy.json").status_code == 404
    assert not (tmp_path / "study" / "answers").exists()
    assert http.put(f"{answers}/1", json=GOOD).status_code == 204
    assert http.get(f"/{code}/study").json()["answers"]["1"]["confidence"] == 1


def test_a_pair_counts_by_the_side_on_which_the_acquired_scan_was(store: Path, tmp_path: Path) -> None:
    study = made(store, tmp_path, design="pair")
    key = read_key(tmp_path)
    left = {item: Answer(realism=(4, 2), choice="left", confidence=3) for item in study.items}
    found = results(study, joined(study, key, [Answers(reader=1, answers=left)]))
    assert found.judgements[0].chosen.value == 0.5  # sides are balanced
    knowing = {
        item: Answer(realism=(3, 3), choice=("left", "right")[key.items[item].labels.index(ACQUIRED)], confidence=3)
        for item in study.items
    }
    (judged,) = results(study, joined(study, key, [Answers(reader=1, answers=knowing)])).judgements
    assert (judged.chosen.value, judged.chosen.patients, judged.area.value) == (1.0, PATIENTS, 0.5)


def test_answers_to_another_study_are_refused(store: Path, tmp_path: Path) -> None:
    study = made(store, tmp_path)
    wrong = Answer(realism=(4, 2), choice="left", confidence=3)
    with pytest.raises(TrainError, match="another study"):
        joined(study, read_key(tmp_path), [Answers(reader=1, answers={"01": wrong})])
    with pytest.raises(TrainError, match="No reader has answered"):
        joined(study, read_key(tmp_path), [])
    with pytest.raises(TrainError, match="holds a reader study"):
        made(store, tmp_path)


def test_the_command_makes_a_study_of_a_package(store: Path, tmp_path: Path) -> None:
    package = write_tiny_package(tmp_path / "tiny")
    words = ["make", f"tiny={package}", "--store", store, "--scans", 1, "--output", tmp_path / "readers"]
    shown = CliRunner().invoke(app, ["reader-study", *map(str, words)], catch_exceptions=False)
    assert "2 items for 2 readers" in shown.output
    key = read_key(tmp_path / "readers")
    assert sorted(item.labels for item in key.items.values()) == [("acquired",), ("tiny",)]
    assert list(key.systems) == ["tiny"]
