"""The report: tables, files, and a page that needs nothing from elsewhere."""

import base64
import csv
import io
import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from s2ldm_core.volume import Volume
from tests.unit.train.evaluation.test_evaluation import Cylinders, _systems
from train.evaluation import Candidate, Evaluation, Report
from train.evaluation.page import viewer_data
from train.evaluation.scores import METRICS
from train.evaluation.statistics import Estimate
from train.evaluation.summary import Row
from train.evaluation.tables import tables
from train.evaluation.viewer import Layout, byte_hu, picture, to_bytes


def _refused_once(case: Any, target: Any, phase: Any) -> Any:
    answer = _systems()[1].answer(case, target, phase)
    return replace(answer, refusal="The answer is unlike all." if case.name == "cylinder-1" else "")


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("report")
    hostile = Candidate(label="a|b <script>alert(1)</script>", kind="model", answer=_refused_once, identity="x 1")
    evaluation = Evaluation(cases=Cylinders(2), systems=[*_systems(), hostile], viewer_cases=1)
    made = Report.of(evaluation, evaluation.run(folder))
    made.write(folder)
    return made, folder


def test_a_model_worse_than_the_untouched_scan_is_never_marked(report: Any) -> None:
    """Two models; in PSNR the better one is behind identity, in the error before it."""
    summary = report[0].summaries[0]

    def row(label: str, kind: Any, psnr_db: float, mae_hu: float) -> Row:
        found = {
            key: Estimate(value=value, low=None, high=None, cases=2, patients=2)
            for key, value in (("psnr_db", psnr_db), ("mae_body_hu", mae_hu))
        }
        return replace(summary.rows[0], label=label, kind=kind, metrics=found)

    rows = (
        row("identity", "identity", 30.0, 20.0),
        row("one", "model", 29.0, 15.0),
        row("two", "model", 28.0, 18.0),
    )
    main = tables(replace(summary, rows=rows))[0]
    assert {main.header[column]: main.rows[line][0] for line, column in main.best} == {"MAE body HU": "one"}


def test_every_file_is_written(report: Any) -> None:
    tables_and_pages = {"cases.csv", "organs.csv", "report.md", "summary.json", "report.html"}
    assert tables_and_pages <= {path.name for path in report[1].iterdir()}
    drawn = {"metrics.svg", "recovery.svg", "organs.svg", "noise_power.svg", "calibration.svg"}
    assert {path.name for path in (report[1] / "figures").iterdir()} == drawn


def test_the_csv_has_a_line_per_case_and_system_with_every_metric(report: Any) -> None:
    made, folder = report
    rows = list(csv.DictReader((folder / "cases.csv").read_text(encoding="utf-8").splitlines()))
    assert len(rows) == 2 * 4
    assert {metric.key for metric in METRICS} <= set(rows[0])
    identity = next(row for row in rows if row["system"] == "identity" and row["case"] == "cylinder-1")
    assert float(identity["mae_body_hu"]) == pytest.approx(
        made.records[1].systems["identity"].values["mae_body_hu"], rel=1e-5
    )


def test_what_a_node_would_refuse_is_told_and_counts(report: Any) -> None:
    made, folder = report
    rows = list(csv.DictReader((folder / "cases.csv").read_text(encoding="utf-8").splitlines()))
    refused = [row for row in rows if row["refusal"]]
    assert [(row["case"], row["system"][:3], row["refusal"]) for row in refused] == [
        ("cylinder-1", "a|b", "The answer is unlike all.")
    ]
    assert float(refused[0]["mae_body_hu"]) > 0
    assert "would refuse 1 of 2 answers, such as arterial of cylinder-1. The answer is unlike all." in made.markdown()


def test_the_organ_csv_has_source_target_and_prediction(report: Any) -> None:
    rows = list(csv.DictReader((report[1] / "organs.csv").read_text(encoding="utf-8").splitlines()))
    aorta = next(row for row in rows if row["organ"] == "aorta" and row["system"] == "half")
    assert float(aorta["predicted_hu"]) == pytest.approx(
        (float(aorta["source_hu"]) + float(aorta["target_hu"])) / 2, abs=0.01
    )


def test_identity_is_always_in_the_tables(report: Any) -> None:
    for table in tables(report[0].summaries[0])[:1]:
        assert table.rows[0][0] == "identity"


def test_the_best_model_is_marked_and_never_identity(report: Any) -> None:
    main = tables(report[0].summaries[0])[0]
    marked = {main.header[column]: main.rows[row][0] for row, column in main.best}
    assert (marked["MAE body HU"], marked["PSNR dB"]) == ("sampler", "sampler")
    assert "identity" not in marked.values()
    assert "**" in main.markdown()


def test_markdown_survives_a_bar_in_a_label(report: Any) -> None:
    lines = tables(report[0].summaries[0])[0].markdown().splitlines()
    rows = [line for line in lines if line.startswith("|")]
    assert len({len(re.findall(r"(?<!\\)\|", line)) for line in rows}) == 1


def test_the_page_asks_for_nothing_from_elsewhere(report: Any) -> None:
    page = (report[1] / "report.html").read_text(encoding="utf-8")
    assert "default-src 'none'" in page
    assert not re.findall(r"""(?:src|href)\s*=\s*["'](?!data:|#)""", page)
    assert "http://" not in re.sub(r"data:image/[^\"']*", "", page)


def test_labels_are_text_and_never_markup(report: Any) -> None:
    page = (report[1] / "report.html").read_text(encoding="utf-8")
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert" in page


def test_the_viewer_holds_each_picture_once_and_only_of_its_cases(report: Any) -> None:
    made, folder = report
    data = viewer_data(made.records, made.evaluation.systems, folder)
    assert [scan["case"] for scan in data["scans"]] == ["cylinder-0"]
    assert [image["label"] for image in data["scans"][0]["images"]][:3] == ["NCCT", "acquired", "half"]
    assert [image["gain"] > 0 for image in data["scans"][0]["images"]] == [False, False, False, False, True, False]
    assert len(data["sprites"]) == 3 * 5  # six images, of which the two that give half the change share their pictures


def test_pictures_beyond_the_pages_size_are_left_out_and_counted(report: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    made, folder = report
    monkeypatch.setattr("train.evaluation.page._MOST_PICTURE_BYTES", 10)
    assert viewer_data(made.records, made.evaluation.systems, folder) is None


def test_the_viewers_bytes_are_hu_again_within_the_step() -> None:
    hu = np.array([-1000.0, -400.0, -250.0, -20.3, 61.2, 349.0, 900.0])
    back = np.array(byte_hu())[to_bytes(hu)]
    steps = np.where((hu >= -250) & (hu <= 350), 3.0, 32.0)
    assert np.all(np.abs(back - hu) <= steps / 2 + 0.01)
    assert to_bytes(np.array([-3000.0, 3000.0])).tolist() == [0, 255]


@pytest.mark.parametrize(("plane", "corner"), [("axial", (0, 0)), ("coronal", (0, 0)), ("sagittal", (0, 0))])
def test_pictures_lie_as_radiologists_read_them(plane: str, corner: Any) -> None:
    """One bright corner of the patient: right, anterior, superior. It is up and left in every plane."""
    hu = np.full((24, 48, 48), 40.0, np.float32)
    hu[12:, :24, :24] = 300.0
    volume = Volume(hu=hu, affine=np.diag([2.0, 2.0, 4.0, 1.0]))
    layout = Layout.of(volume)
    sheet = next(sheet for sheet in layout.sheets if sheet.plane == plane)
    image = np.asarray(Image.open(io.BytesIO(picture(hu, layout, sheet))))
    number = {"axial": len(sheet.slices) - 1, "coronal": 0, "sagittal": 0}[plane]
    top, left = (number // sheet.columns) * sheet.height, (number % sheet.columns) * sheet.width
    tile = image[top : top + sheet.height, left : left + sheet.width].astype(float)
    h, w = sheet.height // 2, sheet.width // 2
    assert tile[: h - 1, : w - 1].mean() > tile[h + 1 :, w + 1 :].mean() + 50
    assert tile[: h - 1, : w - 1].mean() > tile[h + 1 :, : w - 1].mean() + 50
    assert tile[: h - 1, : w - 1].mean() > tile[: h - 1, w + 1 :].mean() + 50


def test_pixels_of_the_pictures_are_square_in_millimetres() -> None:
    volume = Volume(hu=np.full((10, 40, 60), 40.0, np.float32), affine=np.diag([1.0, 1.0, 5.0, 1.0]))
    sheets = {sheet.plane: sheet for sheet in Layout.of(volume).sheets}
    assert sheets["axial"].width / sheets["axial"].height == pytest.approx(60 / 40, rel=0.02)
    assert sheets["coronal"].width / sheets["coronal"].height == pytest.approx(60 / 50, rel=0.02)
    assert sheets["sagittal"].width / sheets["sagittal"].height == pytest.approx(40 / 50, rel=0.02)


def test_figures_are_embedded_as_data(report: Any) -> None:
    page = (report[1] / "report.html").read_text(encoding="utf-8")
    found = re.findall(r'src="data:image/svg\+xml;base64,([^"]+)"', page)
    assert len(found) == 5
    assert all(base64.b64decode(data).lstrip().startswith(b"<?xml") for data in found)
