"""The translation worker killed, hung, cancelled and stopped: no job is lost, and every one gets its reason."""

import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from dicom_node.catalog import Catalog, JobState
from dicom_node.config import Settings, parse_settings
from dicom_node.errors import CatalogAwayError, CatalogError
from dicom_node.translate.executors.local import LocalExecutor
from dicom_node.translate.step import TranslateStep
from dicom_node.translation import TranslationRecord
from tests.tiny_model import queue_job, write_tiny_package

DEADLINE_SECONDS = 60.0


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        time.sleep(0.02)


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_package(tmp_path_factory.mktemp("tiny"))


@pytest.fixture
def settings(tmp_path: Path, package: Path) -> Settings:
    return parse_settings(
        {
            "node": {"data_dir": str(tmp_path / "data")},
            "routes": {"CECT_ART": {"phase": "arterial", "model": str(package)}},
            "compute": {"device": "cpu", "threads": 1, "max_attempts": 2, "retry_seconds": 0.001},
        }
    )


@pytest.fixture
def catalog(settings: Settings) -> Iterator[Catalog]:
    with Catalog(settings.catalog_location) as catalog:
        yield catalog


@pytest.fixture
def executor() -> Iterator[LocalExecutor]:
    executor = LocalExecutor()
    yield executor
    executor.stop()


@pytest.fixture
def step(settings: Settings, catalog: Catalog, executor: LocalExecutor) -> TranslateStep:
    return TranslateStep(settings, catalog, executor=executor)


@pytest.fixture
def job_id(catalog: Catalog, write_ct_series: Any, package: Path) -> int:
    """A job that takes the tiny model some seconds, long enough to interfere."""
    paths = write_ct_series(np.zeros((24, 256, 256), dtype=np.float32))
    return queue_job(catalog, paths, route="CECT_ART", phase="arterial", model=str(package))


@pytest.fixture
def during(catalog: Catalog, job_id: int) -> Callable[[Callable[[], None]], threading.Thread]:
    """``during(action)`` runs the action once the worker reports that it works on the job."""

    def start(action: Callable[[], None]) -> threading.Thread:
        def watch() -> None:
            wait_for(lambda: catalog.get_job(job_id).stage is not None)
            action()

        thread = threading.Thread(target=watch)
        thread.start()
        return thread

    return start


def test_killed_worker_s_job_is_done_by_the_next_worker(
    step: TranslateStep,
    executor: LocalExecutor,
    catalog: Catalog,
    job_id: int,
    during: Callable[[Callable[[], None]], threading.Thread],
) -> None:
    step.warm_up()
    first = executor.worker_pid
    during(lambda: os.kill(first, signal.SIGKILL))
    assert step.run_once()
    job = catalog.get_job(job_id)
    assert (job.state, job.reason.code, job.attempts) == (JobState.QUEUED, "worker_died", 1)
    assert "signal 9" in job.reason.sentence
    wait_for(step.run_once)
    assert catalog.get_job(job_id).state is JobState.TRANSLATED
    assert executor.worker_pid not in (None, first)


def test_job_that_kills_its_worker_again_and_again_fails_with_the_reason(
    step: TranslateStep,
    executor: LocalExecutor,
    catalog: Catalog,
    job_id: int,
    during: Callable[[Callable[[], None]], threading.Thread],
) -> None:
    for attempt in (1, 2):
        step.warm_up()
        thread = during(lambda: os.kill(executor.worker_pid, signal.SIGKILL))
        wait_for(step.run_once)
        thread.join()
        assert catalog.get_job(job_id).attempts == attempt
    job = catalog.get_job(job_id)
    assert (job.state, job.reason.code) == (JobState.FAILED, "worker_died")
    assert "Given up after 2 attempts" in job.reason.sentence


def test_worker_that_holds_more_memory_than_it_may_is_ended_with_the_numbers(
    settings: Settings, executor: LocalExecutor, catalog: Catalog, job_id: int
) -> None:
    compute = settings.compute.model_copy(update={"max_memory_gib": 0.05})  # PyTorch alone takes more
    step = TranslateStep(settings.model_copy(update={"compute": compute}), catalog, executor=executor)
    assert step.run_once()
    job = catalog.get_job(job_id)
    assert (job.state, job.reason.code, job.attempts) == (JobState.QUEUED, "worker_too_large", 1)
    assert "0.05 GiB are allowed" in job.reason.sentence
    assert executor.worker_pid is None


def test_hung_worker_is_ended_when_the_job_takes_too_long(
    settings: Settings,
    executor: LocalExecutor,
    catalog: Catalog,
    job_id: int,
    during: Callable[[Callable[[], None]], threading.Thread],
) -> None:
    compute = settings.compute.model_copy(update={"job_timeout_seconds": 2.0})
    step = TranslateStep(settings.model_copy(update={"compute": compute}), catalog, executor=executor)
    step.warm_up()
    pid = executor.worker_pid
    during(lambda: os.kill(pid, signal.SIGSTOP))
    assert step.run_once()
    job = catalog.get_job(job_id)
    assert (job.state, job.reason.code) == (JobState.FAILED, "translate_timeout")
    assert not psutil.pid_exists(pid)


def test_worker_that_says_nothing_any_more_is_ended_and_its_job_done_at_the_next_try(
    settings: Settings,
    executor: LocalExecutor,
    catalog: Catalog,
    job_id: int,
    during: Callable[[Callable[[], None]], threading.Thread],
) -> None:
    step = TranslateStep(settings, catalog, executor=executor, silence_seconds=5.0)
    step.warm_up()
    pid = executor.worker_pid
    during(lambda: os.kill(pid, signal.SIGSTOP))
    assert step.run_once()
    job = catalog.get_job(job_id)
    assert (job.state, job.reason.code, job.attempts) == (JobState.QUEUED, "worker_silent", 1)
    assert not psutil.pid_exists(pid)
    wait_for(step.run_once)
    assert catalog.get_job(job_id).state is JobState.TRANSLATED


@pytest.mark.parametrize("notices", [True, False])
def test_job_whose_claim_ran_out_is_done_by_another_node_and_the_first_one_s_result_does_not_count(
    settings: Settings,
    step: TranslateStep,
    catalog: Catalog,
    job_id: int,
    during: Callable[[Callable[[], None]], threading.Thread],
    monkeypatch: pytest.MonkeyPatch,
    notices: bool,
) -> None:
    """The first node cannot renew while its worker hangs; later it goes on, whether or not it learns of its loss."""

    def unwritable(_claim: object) -> bool:
        raise CatalogError("catalog_unwritable", "The catalog cannot be written.")

    with Catalog(settings.catalog_location, lease_seconds=1.0) as cut_off:
        monkeypatch.setattr(cut_off, "renew", unwritable)
        set_progress = cut_off.set_progress
        if not notices:
            monkeypatch.setattr(cut_off, "set_progress", lambda *one, **more: set_progress(*one, **more) or True)
        hanging = LocalExecutor()
        first = TranslateStep(settings, cut_off, executor=hanging)
        first.warm_up()
        pid = hanging.worker_pid
        during(lambda: os.kill(pid, signal.SIGSTOP))
        at_work = threading.Thread(target=first.run_once)
        at_work.start()
        try:
            wait_for(lambda: psutil.Process(pid).status() == psutil.STATUS_STOPPED)
            wait_for(lambda: catalog.sweep_leases() == 1)
            assert step.run_once()
            done = catalog.get_job(job_id)
            assert done.state is JobState.TRANSLATED
        finally:
            os.kill(pid, signal.SIGCONT)
            at_work.join()
            first.stop()
    assert catalog.get_job(job_id) == done
    assert list(settings.work_dir.iterdir()) == [done.result_path.parent]
    assert TranslationRecord.load(done.result_path)[1].shape == (24, 256, 256)


def test_cancelled_job_stops_at_once_and_leaves_nothing(
    step: TranslateStep,
    executor: LocalExecutor,
    settings: Settings,
    catalog: Catalog,
    job_id: int,
    during: Callable[[Callable[[], None]], threading.Thread],
) -> None:
    step.warm_up()
    pid = executor.worker_pid

    def cancel() -> None:
        os.kill(pid, signal.SIGSTOP)  # so that it cannot be done before it is cancelled
        catalog.cancel_job(job_id)

    during(cancel)
    assert step.run_once()
    assert catalog.get_job(job_id).state is JobState.CANCELLED
    assert list(settings.work_dir.glob(f"{job_id}*")) == []
    assert not psutil.pid_exists(pid)


def test_stopping_the_node_leaves_the_job_for_the_next_start(
    step: TranslateStep,
    executor: LocalExecutor,
    settings: Settings,
    catalog: Catalog,
    job_id: int,
    during: Callable[[Callable[[], None]], threading.Thread],
) -> None:
    step.warm_up()
    pid = executor.worker_pid

    def stop() -> None:
        os.kill(pid, signal.SIGSTOP)
        step.stop()

    thread = during(stop)
    step.run_once()
    thread.join()
    assert not psutil.pid_exists(pid)
    assert catalog.get_job(job_id).state is JobState.QUEUED
    again = TranslateStep(settings, catalog)
    try:
        wait_for(again.run_once)
    finally:
        again.stop()
    assert catalog.get_job(job_id).state is JobState.TRANSLATED


def test_result_and_details_are_in_the_catalog(step: TranslateStep, catalog: Catalog, job_id: int) -> None:
    assert step.run_once()
    job = catalog.get_job(job_id)
    assert job.state is JobState.TRANSLATED
    record, hu, _ = TranslationRecord.load(job.result_path)
    assert hu.shape == (24, 256, 256)
    assert job.details["weights_sha256"] == record.translation.weights_sha256
    assert job.details["model_version"] == "0.0.1"
    assert {"read", "write"} <= set(job.details["seconds"])


def test_catalog_that_is_away_when_a_result_is_there_fails_no_job(
    step: TranslateStep, catalog: Catalog, job_id: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object, **__: object) -> bool:
        raise CatalogAwayError("catalog_unusable", "The catalog does not answer.")

    with monkeypatch.context() as broken:
        broken.setattr(catalog, "set_progress", away)  # which nobody need know
        broken.setattr(catalog, "finish_translation", away)
        with pytest.raises(CatalogAwayError):
            step.run_once()

    job = catalog.get_job(job_id)
    assert (job.state, job.attempts, job.reason) == (JobState.TRANSLATING, 0, None)


def test_worker_has_none_of_the_node_s_sockets(step: TranslateStep, executor: LocalExecutor) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        os.set_inheritable(listener.fileno(), True)
        step.warm_up()
        assert step.ready
        connections = psutil.Process(executor.worker_pid).net_connections()
    assert connections == []


def test_missing_model_keeps_the_step_unready_and_fails_jobs_with_the_reason(
    settings: Settings, catalog: Catalog, write_ct_series: Any, tmp_path: Path
) -> None:
    routes = {"CECT_ART": settings.routes["CECT_ART"].model_copy(update={"model": "absent"})}
    step = TranslateStep(settings.model_copy(update={"routes": routes}), catalog)
    try:
        assert not step.warm_up()
        assert not step.ready
        paths = write_ct_series(np.zeros((4, 8, 8), dtype=np.float32))
        job_id = queue_job(catalog, paths, route="CECT_ART", phase="arterial", model="absent")
        assert step.run_once()
        job = catalog.get_job(job_id)
        assert (job.state, job.reason.code) == (JobState.FAILED, "package_not_found")
    finally:
        step.stop()
