"""From pairs to what readers say, in Python: the steps of docs/researcher.md in a few seconds, on digital phantoms.

    python docs/researcher.py runs/example

The network is tiny and learns for a few steps: this shows how the parts fit together, not what a model can do. A store of patients
(``s2ldm-train prepare``) takes the place of the phantoms.
"""

import sys
from pathlib import Path

import yaml

from s2ldm_core import Translator
from train.config import load_config
from train.evaluation import Evaluation, Report, StoreCases, candidates
from train.export import export
from train.fit import Fit
from train.phantoms import PhantomGrid, make_store
from train.planning.fingerprint import fingerprint
from train.readers.making import make_study
from train.readers.report import markdown, write_report
from train.readers.results import joined, results
from train.readers.study import Answer, Answers, read_key
from train.store import place_case

EXPERIMENT = {
    "name": "example",
    "system": "unet",
    "network": {
        "phases": ["venous"], "channels": [4, 4], "blocks": [1, 1], "core_channels": [4, 4], "core_blocks": 1, "latent": 2,
    },
    "data": {"crop": [8, 48, 48], "rotation_degrees": 10},
    "stages": [{"name": "regression", "steps": 10, "lr": 2.0e-3}],
    "validation": {"cases": 1, "steps": 10, "minutes": None},
    "precision": "fp32",
    "threads": 1,
}  # fmt: skip


def pairs(folder: Path) -> Path:
    """A store of three phantoms: one to train on, one to validate on, one to test on."""
    grid = PhantomGrid(spacing_mm=(6.0, 4.0, 4.0), matrix=(96, 96), slices=(12, 14))
    names = list(make_store(folder, seeds=range(3), phases=("venous",), grid=grid))
    place_case(folder, names[1], split="validation", fold=None)
    place_case(folder, names[2], split="test", fold=None)
    return folder


def main(output: Path) -> None:
    """Everything below ``output``, which must not hold an example yet."""
    store = pairs(output / "pairs")
    found = fingerprint(store, window_hu=(-200.0, 500.0))
    sys.stdout.write(f"{found.cases} cases, median {found.median} voxels, soft tissue {found.hu['soft']}\n")

    experiment = output / "example.yaml"
    experiment.write_text(yaml.safe_dump(EXPERIMENT), encoding="utf-8")
    changes = [f"data.store={store}", f"output={output / 'runs'}"]
    run = Fit(load_config(experiment, overrides=changes))
    run.fit()
    package = export(run.run, output / "package", name="example", version="0.1.0")

    cases = StoreCases(store, split="test", phases=("venous",))
    evaluation = Evaluation(cases=cases, systems=candidates({"example": package}, device="cpu"), viewer_cases=1)
    report = Report.of(evaluation, evaluation.run(output / "report"))
    report.write(output / "report")

    systems = [one for one in evaluation.systems if one.kind == "model"]
    readers = output / "readers"
    study = make_study(cases, systems, readers, design="single", acquired=True, title="Example", readers=1, seed=0)
    # Readers answer on the page (s2ldm-train reader-study serve); this one takes everything for acquired.
    said = {item: Answer(realism=(4,), choice="acquired", confidence=2) for item in study.items}
    readings = joined(study, read_key(readers), [Answers(reader=1, answers=said)])
    write_report(readers, results(study, readings), readings)
    sys.stdout.write(markdown(results(study, readings)))

    source = cases.load(cases.names[0]).source
    answer = Translator.load(package.path, device="cpu").translate(source, phase="venous", seed=0)
    sys.stdout.write(
        f"translated: {answer.volume.hu.shape}, {answer.volume.hu.min():.0f} to {answer.volume.hu.max():.0f} HU\n"
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
