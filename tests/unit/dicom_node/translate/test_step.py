"""What a route says of its answer reaches whoever translates, whole."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from dicom_node.catalog import Catalog, JobState
from dicom_node.config import parse_settings
from dicom_node.translate.messages import Answer, Disposition, Failed, Load, Translate, Translated
from dicom_node.translate.step import TranslateStep
from s2ldm_core.handling import StackHandling
from s2ldm_core.problem import Problem
from s2ldm_core.sampling import Sampling
from s2ldm_core.translation import Translation
from tests.tiny_model import queue_job

NOBODY = Failed(problem=Problem("not_here", "Nobody translates here."), disposition=Disposition.FAIL)


class Asked:
    """Keeps what it is asked for and answers that it cannot, or as it is told to."""

    def __init__(self, answer: Answer = NOBODY) -> None:
        self.requests: list[Translate] = []
        self.answer = answer
        self.ready = True

    def warm_up(self, models: Sequence[Load], *, should_stop: Callable[[], bool]) -> dict[str, Problem]:
        return {}

    def translate(self, request: Translate, **how: Any) -> Answer:
        self.requests.append(request)
        return self.answer

    def stop(self) -> None: ...


def test_a_route_s_answer_is_asked_for_as_it_is_configured(write_ct_series: Any, tmp_path: Path) -> None:
    route = {
        "phase": "50s",
        "contrast_dose": 0.8,
        "seed": 7,
        "uncertainty": True,
        "tilt": "resample",
        "model": "somewhere/model",
    }
    settings = parse_settings({"node": {"data_dir": str(tmp_path / "data")}, "routes": {"A": route}})
    asked = Asked()
    with Catalog(settings.catalog_location) as catalog:
        paths = write_ct_series(np.zeros((3, 16, 16), np.float32))
        job_id = queue_job(catalog, paths, route="A", phase="50s", model="somewhere/model")
        assert TranslateStep(settings, catalog, executor=asked).run_once()
        assert catalog.get_job(job_id).state is JobState.FAILED
    (request,) = asked.requests
    assert (request.phase, request.contrast_dose, request.seed) == ("50s", 0.8, 7)
    assert request.model == "somewhere/model"
    assert request.sampling == Sampling(kind="predicted")
    assert request.handling == StackHandling(tilt="resample", irregular="refuse")
    assert len(request.paths) == len(set(request.sop_instance_uids)) == 3


def test_a_job_tells_what_its_series_is_the_sum_of_and_at_what_dose_also_when_it_is_done_anew(
    write_ct_series: Any, tmp_path: Path
) -> None:
    made = Translation(
        phase="50s",
        model_name="m",
        model_version="1",
        weights_sha256="ab" * 32,
        seed=0,
        steps=1,
        shares={"arterial": 0.7, "venous": 0.6},
        contrast_dose=0.8,
    )
    told = {"shares": dict(made.shares), "contrast_dose": 0.8}
    settings = parse_settings({"node": {"data_dir": str(tmp_path / "data")}, "routes": {"A": {"phase": "venous"}}})
    with Catalog(settings.catalog_location) as catalog:
        job_id = queue_job(
            catalog, write_ct_series(np.zeros((3, 16, 16), np.float32)), route="A", phase="50s", model="demo"
        )

        def done(translation: Translation) -> dict[str, Any]:
            asked = Asked(Translated(record_path=str(tmp_path / "translation.json"), translation=translation))
            assert TranslateStep(settings, catalog, executor=asked).run_once()
            details = catalog.get_job(job_id).details
            return {name: details[name] for name in told}

        assert done(made) == told
        catalog.fail_job(catalog.claim_job(JobState.TRANSLATED, JobState.DERIVING, "derive"), NOBODY.problem)
        catalog.retry_job(job_id)
        assert done(replace(made, shares={}, contrast_dose=1.0)) == {"shares": {}, "contrast_dose": 1.0}
