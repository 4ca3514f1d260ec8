"""The translation worker's answers, in this process: the process around it is tested in tests/fault."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydicom import dcmread

from dicom_node.translate.messages import Disposition, Failed, Load, Loaded, Progress, Translate, Translated
from dicom_node.translate.worker import Worker
from dicom_node.translation import TranslationRecord, load_uncertainty
from s2ldm_core import Translator, answers
from s2ldm_core.io import read_volume
from s2ldm_core.memory import SMALLEST
from s2ldm_core.sampling import Sampling
from s2ldm_core.systems.base import How
from s2ldm_core.tiling import TILE
from s2ldm_core.translation import training_statement
from tests.tiny_model import limit_answers, with_spread, write_tiny_package


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_package(tmp_path_factory.mktemp("tiny"))


@pytest.fixture
def sent() -> list[Progress]:
    return []


@pytest.fixture
def worker(sent: list[Progress]) -> Worker:
    return Worker(sent.append)


@pytest.fixture
def hu() -> np.ndarray:
    """(6, 24, 24): soft tissue with a border of air."""
    hu = np.full((6, 24, 24), 40.0, dtype=np.float32)
    hu[:, :4] = -1000.0
    return hu


def request(paths: list[Path], folder: Path, package: Path, **changes: object) -> Translate:
    values: dict[str, object] = {
        "paths": tuple(str(path) for path in paths),
        "folder": str(folder),
        "phase": "arterial",
        "model": str(package),
        "device": "cpu",
        "threads": 1,
    }
    return Translate(**(values | changes))


def test_result_is_on_disk_on_the_source_s_grid(
    worker: Worker, package: Path, write_ct_series: Any, hu: np.ndarray, tmp_path: Path
) -> None:
    paths = write_ct_series(hu, spacing_mm=(3.0, 1.5, 1.5))
    answer = worker.answer(request(paths, tmp_path / "work", package))
    assert isinstance(answer, Translated)
    record, result, padding = TranslationRecord.load(Path(answer.record_path))
    assert result.shape == hu.shape
    assert result.dtype == np.int16
    assert padding is None
    assert np.array_equal(result[:, :4], hu[:, :4])  # air keeps its values
    made = record.translation
    assert (made.model_name, made.phase, made.seed, made.training_statement) == (
        "tiny",
        "arterial",
        0,
        "nothing",
    )


def test_the_route_s_contrast_dose_is_asked_for(
    worker: Worker, package: Path, write_ct_series: Any, hu: np.ndarray, tmp_path: Path
) -> None:
    paths = write_ct_series(hu, spacing_mm=(3.0, 1.5, 1.5))
    records = [
        TranslationRecord.load(
            Path(worker.answer(request(paths, tmp_path / str(dose), package, contrast_dose=dose)).record_path)
        )
        for dose in (1.0, 2.0)
    ]
    (_, usual, _), (twice, told, _) = records
    assert np.abs(usual - hu).max() >= 1
    assert np.abs((told - hu) - 2.0 * (usual - hu)).max() <= 1.5  # whole HU
    assert twice.translation.contrast_dose == 2.0


def test_slices_are_named_in_the_volume_s_order(
    worker: Worker, package: Path, write_ct_series: Any, hu: np.ndarray, tmp_path: Path
) -> None:
    paths = write_ct_series(hu)
    answer = worker.answer(request(paths[::-1], tmp_path / "work", package))
    record, _, _ = TranslationRecord.load(Path(answer.record_path))
    assert record.sop_instance_uids == tuple(dcmread(path).SOPInstanceUID for path in paths)


def test_padding_goes_with_the_result(
    worker: Worker, package: Path, write_ct_series: Any, hu: np.ndarray, tmp_path: Path
) -> None:
    hu[:, 0, 0] = -2000.0
    paths = write_ct_series(hu, PixelPaddingValue=-976)
    answer = worker.answer(request(paths, tmp_path / "work", package))
    _, _, padding = TranslationRecord.load(Path(answer.record_path))
    assert padding is not None
    assert np.array_equal(padding, hu == -2000.0)


def test_uncertainty_that_is_asked_for_stands_beside_the_same_answer(
    worker: Worker, package: Path, write_ct_series: Any, hu: np.ndarray, tmp_path: Path
) -> None:
    told = with_spread(package, tmp_path / "told")
    paths = write_ct_series(hu, spacing_mm=(3.0, 1.5, 1.5))
    plain = worker.answer(request(paths, tmp_path / "plain", told))
    asked = worker.answer(request(paths, tmp_path / "asked", told, sampling=Sampling(kind="predicted")))
    assert isinstance(plain, Translated)
    assert isinstance(asked, Translated)
    spread = (
        Translator.load(told)
        .translate(read_volume(paths), phase="arterial", sampling=Sampling(kind="predicted"))
        .spread
    )
    assert spread is not None

    assert load_uncertainty(Path(plain.record_path)) is None
    found = load_uncertainty(Path(asked.record_path))
    assert found is not None
    assert found.hu.max() > 0
    np.testing.assert_array_equal(found.hu, np.rint(spread.hu))
    assert found.calibration.cases == 1
    answers = [TranslationRecord.load(Path(one.record_path))[1] for one in (plain, asked)]
    np.testing.assert_array_equal(*answers)


def test_uncertainty_that_the_model_does_not_know_fails_for_good(
    worker: Worker, package: Path, write_ct_series: Any, hu: np.ndarray, tmp_path: Path
) -> None:
    answer = worker.answer(
        request(write_ct_series(hu), tmp_path / "work", package, sampling=Sampling(kind="predicted"))
    )
    assert isinstance(answer, Failed)
    assert (answer.problem.code, answer.disposition) == ("uncertainty_unknown", Disposition.FAIL)


def test_an_answer_unlike_all_that_training_had_refuses_the_series(
    worker: Worker, write_ct_series: Any, hu: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answers, "regions_of", lambda hu, spacing_mm: ("thorax",) * len(hu))
    package = write_tiny_package(tmp_path / "limited")
    limit_answers(package, {"arterial": {"thorax": {"soft": (400.0, 500.0)}}})
    paths = write_ct_series(hu, spacing_mm=(3.0, 1.5, 1.5))
    answer = worker.answer(request(paths, tmp_path / "work", package))
    assert isinstance(answer, Failed)
    assert (answer.problem.code, answer.disposition) == ("answer_out_of_distribution", Disposition.REFUSE)
    assert not list((tmp_path / "work").rglob("*.npy"))


def test_progress_names_the_stages(
    worker: Worker, sent: list[Progress], package: Path, write_ct_series: Any, hu: np.ndarray, tmp_path: Path
) -> None:
    worker.answer(request(write_ct_series(hu), tmp_path / "work", package))
    stages = [message.stage for message in sent]
    assert stages[0] == "read"
    assert stages[-1] == "write"
    assert all(0.0 <= message.fraction <= 1.0 for message in sent)


def test_model_is_loaded_once(worker: Worker, package: Path) -> None:
    first = worker.answer(Load(model=str(package), device="cpu"))
    again = worker.answer(Load(model=str(package), device="cpu"))
    assert isinstance(first, Loaded)
    assert isinstance(again, Loaded)
    assert again.seconds < first.seconds


def test_irregular_series_is_refused_with_the_core_s_reason(
    worker: Worker, package: Path, write_ct_series: Any, hu: np.ndarray, tmp_path: Path
) -> None:
    paths = write_ct_series(hu)
    answer = worker.answer(request([*paths[:2], *paths[3:]], tmp_path / "work", package))
    assert isinstance(answer, Failed)
    assert answer.disposition is Disposition.REFUSE
    assert answer.problem.code == "irregular_spacing"
    assert answer.problem.sentence


def test_too_few_slices_for_the_model_are_refused(
    worker: Worker, write_ct_series: Any, hu: np.ndarray, tmp_path: Path
) -> None:
    package = write_tiny_package(tmp_path / "tiny", min_slices=7)
    answer = worker.answer(request(write_ct_series(hu), tmp_path / "work", package))
    assert isinstance(answer, Failed)
    assert (answer.disposition, answer.problem.code) == (Disposition.REFUSE, "too_few_slices")


def test_unknown_model_fails_for_good(worker: Worker, write_ct_series: Any, hu: np.ndarray, tmp_path: Path) -> None:
    answer = worker.answer(request(write_ct_series(hu), tmp_path / "work", tmp_path / "nowhere"))
    assert isinstance(answer, Failed)
    assert (answer.disposition, answer.problem.code) == (Disposition.FAIL, "package_not_found")


def test_changed_weights_fail_for_good(worker: Worker, write_ct_series: Any, hu: np.ndarray, tmp_path: Path) -> None:
    package = write_tiny_package(tmp_path / "tiny")
    with (package / "model.safetensors").open("ab") as file:
        file.write(b"\0")
    answer = worker.answer(request(write_ct_series(hu), tmp_path / "work", package))
    assert isinstance(answer, Failed)
    assert (answer.disposition, answer.problem.code) == (Disposition.FAIL, "package_changed")


def test_result_folder_that_cannot_be_written_may_pass(
    worker: Worker, package: Path, write_ct_series: Any, hu: np.ndarray, tmp_path: Path
) -> None:
    (tmp_path / "work").write_text("a file where the folder should be")
    answer = worker.answer(request(write_ct_series(hu), tmp_path / "work", package))
    assert isinstance(answer, Failed)
    assert (answer.disposition, answer.problem.code) == (Disposition.RETRY, "translate_disk")


def test_training_statement_is_the_package_s_own_or_its_facts() -> None:
    assert training_statement({"source": "phantom only", "cases": 3}) == "phantom only"
    assert training_statement({"cases": 3, "kind": "x", "seeds": [1, 2]}) == "cases: 3; kind: x"


def test_other_slices_than_selection_saw_fail_with_both_numbers(
    worker: Worker, package: Path, write_ct_series: Any, hu: np.ndarray, tmp_path: Path
) -> None:
    paths = write_ct_series(hu)
    uids = tuple(str(dcmread(path).SOPInstanceUID) for path in paths)
    assert isinstance(worker.answer(request(paths, tmp_path / "a", package, sop_instance_uids=uids[::-1])), Translated)

    answer = worker.answer(request(paths[1:], tmp_path / "b", package, sop_instance_uids=uids))

    assert isinstance(answer, Failed)
    assert answer.disposition is Disposition.FAIL
    assert answer.problem.code == "slices_differ"
    assert answer.problem.sentence == "Selection saw 6 slices, the reader read 5."


@pytest.mark.parametrize("else_cpu", [False, True])
def test_what_a_gpu_cannot_hold_is_translated_on_the_processors_where_that_is_allowed(
    worker: Worker,
    package: Path,
    write_ct_series: Any,
    hu: np.ndarray,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    else_cpu: bool,
) -> None:
    """The GPU is one whose memory suffices for nothing: the model of that device says what PyTorch says then."""
    full = Translator.load(package, device="cpu")
    tiles = []

    def answer(*_: Any, how: How, **__: Any) -> None:
        tiles.append(how.tile)
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    monkeypatch.setattr(full._system, "answer", answer)
    asked = request(
        write_ct_series(hu, spacing_mm=(3.0, 1.5, 1.5)), tmp_path / "work", package, device="cuda:0", else_cpu=else_cpu
    )
    worker._models[asked.model, "cuda:0"] = full
    found = worker.answer(asked)
    assert (tiles[0], tiles[-1]) == (TILE, SMALLEST)
    if else_cpu:
        assert isinstance(found, Translated)
        assert (found.translation.device, found.translation.tile) == ("cpu", TILE)
    else:
        assert isinstance(found, Failed)
        assert (found.problem.code, found.disposition) == ("out_of_memory", Disposition.RETRY)
