"""The translation worker: a process of its own that holds the model warm and works on one series at a time.

It is started fresh (spawn), so it inherits neither the listener's sockets nor the node's threads, and it ends with its
parent. PyTorch is imported here only; the node's own process never loads it.
"""

from __future__ import annotations

import ctypes
import gc
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from multiprocessing import connection as mp_connection
from multiprocessing import parent_process
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING

from dicom_node.privacy import place_of, silence_attribute_values
from dicom_node.private import keep_private
from dicom_node.translate.messages import (
    Answer,
    Disposition,
    Failed,
    Load,
    Loaded,
    Progress,
    Request,
    Translate,
    Translated,
    disk_failure,
)
from dicom_node.translation import TranslationRecord, Uncertainty, slices_count_differs, slices_differ
from s2ldm_core import contrast_dose
from s2ldm_core.problem import Problem

if TYPE_CHECKING:
    from s2ldm_core.translator import TranslationResult, Translator
    from s2ldm_core.volume import SliceRecord, Volume

#: Models held at once; routes rarely use more, and each takes memory.
_MODELS_HELD = 2
#: Core reasons that concern the series rather than the model: the job is refused, as selection would have done.
_SERIES_REASONS = frozenset({"too_few_slices", "answer_out_of_distribution"})


def serve(connection: Connection) -> None:
    """Answer requests until the other end closes; the worker process's main function."""
    end_with_parent()
    answer_all(connection, Worker(connection.send).answer)


def end_with_parent() -> None:
    """Have this process end when the one that started it does, and be as private as that."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the node, which stops its worker in order
    threading.Thread(target=_end_with_parent, name="end-with-parent", daemon=True).start()
    keep_private()
    silence_attribute_values()


def answer_all(connection: Connection, answer: Callable[[Request], Answer]) -> None:
    """Give every request that comes its answer, until None comes or the other end closes."""
    while True:
        try:
            request = connection.recv()
        except EOFError:
            return
        if request is None:
            return
        connection.send(answer(request))


class Worker:
    """Holds models and answers requests.

    Parameters
    ----------
    send
        Takes progress messages while a request is worked on.
    """

    def __init__(self, send: Callable[[Answer], None]) -> None:
        self._send = send
        self._models: dict[tuple[str, str], Translator] = {}

    def answer(self, request: Load | Translate) -> Answer:
        """Do what is asked; every failure comes back as ``Failed``."""
        from s2ldm_core.errors import S2LDMError, TranslationError, VolumeError

        try:
            if isinstance(request, Load):
                started = time.perf_counter()
                self._model(request)
                return Loaded(model=request.model, seconds=time.perf_counter() - started)
            return self._translate(request)
        except S2LDMError as error:
            of_series = isinstance(error, VolumeError) or (
                isinstance(error, TranslationError) and error.code in _SERIES_REASONS
            )
            return Failed(problem=error.problem, disposition=Disposition.REFUSE if of_series else Disposition.FAIL)
        except OSError as error:
            return disk_failure(error)
        except Exception as error:  # noqa: BLE001 (the worker must outlive any series; the node records the reason)
            return _fault(error)
        finally:
            release_memory()

    def _model(self, request: Load | Translate) -> Translator:
        import torch

        from s2ldm_core.translator import Translator

        if request.threads is not None:
            torch.set_num_threads(request.threads)
        key = (request.model, request.device)
        if key not in self._models:
            while len(self._models) >= _MODELS_HELD:
                self._models.pop(next(iter(self._models)))
            self._models[key] = Translator.load(request.model, device=request.device)
        return self._models[key]

    def _translate(self, request: Translate) -> Translated | Failed:
        from s2ldm_core.io import read_volume

        seconds: dict[str, float] = {}
        started = time.perf_counter()
        translator = self._model(request)
        seconds["load"], started = time.perf_counter() - started, time.perf_counter()
        self._send(Progress(stage="read", fraction=0.0))
        volume = read_volume([Path(path) for path in request.paths], handling=request.handling)
        if problem := _lost(request, volume.slices):
            return Failed(problem=problem, disposition=Disposition.FAIL)
        seconds["read"] = time.perf_counter() - started
        result = self._result(request, translator, volume)
        seconds.update(result.translation.seconds)
        started = time.perf_counter()
        self._send(Progress(stage="write", fraction=0.0))
        record = TranslationRecord(
            translation=replace(result.translation, seconds=dict(seconds)),
            sop_instance_uids=tuple(one.sop_instance_uid or "" for one in result.volume.slices),
            frames=tuple(one.frame for one in volume.slices) if any(one.frame for one in volume.slices) else (),
        )
        path = record.save(
            Path(request.folder),
            hu=result.volume.hu,
            padding=result.volume.padding,
            uncertainty=Uncertainty.of(result.spread, translator.metadata.calibration),
        )
        seconds["write"] = time.perf_counter() - started
        rounded = {name: round(value, 3) for name, value in seconds.items()}
        return Translated(record_path=str(path), translation=replace(record.translation, seconds=rounded))

    def _result(self, request: Translate, translator: Translator, volume: Volume) -> TranslationResult:
        from s2ldm_core.memory import ran_out_of_memory

        def made(by: Translator) -> TranslationResult:
            return by.translate(
                volume,
                phase=request.phase,
                values={contrast_dose.NAME: request.contrast_dose},
                seed=request.seed,
                sampling=request.sampling,
                progress=lambda stage, fraction: self._send(Progress(stage=stage, fraction=float(fraction))),
            )

        try:
            return made(translator)
        except (MemoryError, RuntimeError) as error:
            if not (ran_out_of_memory(error) and request.else_cpu and request.device != "cpu"):
                raise
        release_memory()
        return made(self._model(replace(request, device="cpu")))


def _lost(request: Translate, slices: Sequence[SliceRecord]) -> Problem | None:
    """Whether the slices read are not those that selection saw: by instance, and with their frames by number."""
    if not request.sop_instance_uids:
        return None
    read = list(dict.fromkeys(one.sop_instance_uid or "" for one in slices))
    framed = len(read) < len(slices)
    problem = slices_differ(
        request.sop_instance_uids, read if framed else [one.sop_instance_uid or "" for one in slices]
    )
    if problem is None and request.slices and request.slices != len(slices):
        return slices_count_differs(request.slices, len(slices))
    return problem


def release_memory() -> None:
    """Give a finished series' memory back to the system and to the accelerator."""
    gc.collect()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        torch.cuda.empty_cache()
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc only
        if trim is not None:
            trim(0)


def _fault(error: Exception) -> Failed:
    from s2ldm_core.memory import ran_out_of_memory

    name, place = type(error).__name__, place_of(error)
    if ran_out_of_memory(error):
        return Failed(
            problem=Problem(
                "out_of_memory",
                "There was not enough memory to translate the series.",
                "Give the node more memory, or stop what else uses it.",
            ),
            disposition=Disposition.RETRY,
        )
    return Failed(
        problem=Problem(
            "translate_fault",
            f"Translation failed unexpectedly ({name} at {place}).",
            "Report this with the log; the series stays in the spool.",
        ),
        disposition=Disposition.FAIL,
    )


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        mp_connection.wait([parent.sentinel])
        os._exit(1)
