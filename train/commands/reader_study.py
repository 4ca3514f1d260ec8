"""``s2ldm-train reader-study``."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress

from train.commands.evaluate import SplitName
from train.commands.named import labelled
from train.errors import TrainError

reader_study = typer.Typer(
    no_args_is_help=True, help="Let readers tell acquired from synthetic scans, or systems apart: make, serve, score."
)


class DesignName(StrEnum):
    """What a reader sees at a time."""

    SINGLE = "single"
    PAIR = "pair"


@reader_study.command()
def make(
    packages: Annotated[list[str], typer.Argument(help="Packages as LABEL=FOLDER, or NAME of a bundled one.")],
    store: Annotated[Path, typer.Option(help="Pair store with the cases to show.")],
    output: Annotated[Path, typer.Option(help="Folder of the study: key.json, and study/ for the readers.")],
    split: Annotated[SplitName, typer.Option(help="Split of the store.")] = SplitName.TEST,
    design: Annotated[DesignName, typer.Option(help="single images, or a pair side by side.")] = DesignName.SINGLE,
    acquired: Annotated[
        bool, typer.Option(help="Show the acquired scans too; --no-acquired: packages against each other.")
    ] = True,
    scans: Annotated[
        int | None, typer.Option(help="So many scans, drawn at random.", min=1, show_default="all")
    ] = None,
    readers: Annotated[int, typer.Option(help="How many readers, each with an order and an address.", min=1)] = 2,
    seed: Annotated[int, typer.Option(help="Of order and sides.", min=0)] = 0,
    title: Annotated[str, typer.Option(help="What the page is called; readers see it.")] = "Reader study",
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
) -> None:
    """Make a blinded study of a store's split: every scan as acquired and as each package answers.

    Example: s2ldm-train reader-study make mine=packages/mine --store runs/pairs --output runs/readers
    """
    from s2ldm_core.package import ModelPackage
    from train.evaluation import StoreCases, candidates
    from train.readers.making import make_study
    from train.readers.study import ACQUIRED

    named = dict(labelled(item) for item in packages)
    if len(named) < len(packages) or ACQUIRED in named:
        raise TrainError(
            "label_twice", "Two packages have the same label, or one is called acquired.", "Give each its own."
        )
    loaded = {label: ModelPackage.load(folder) for label, folder in named.items()}
    phases = tuple(dict.fromkeys(phase for package in loaded.values() for phase in package.metadata.phases))
    systems = [one for one in candidates(loaded, device=device) if one.kind == "model"]
    with Progress(console=Console(stderr=True)) as bar:
        task = bar.add_task("scans", total=None)
        study = make_study(
            StoreCases(store, split=split.value, phases=phases),
            systems,
            output,
            design=design.value,
            acquired=acquired,
            title=title,
            readers=readers,
            seed=seed,
            scans=scans,
            on_scan=lambda done, of: bar.update(task, completed=done, total=of),
        )
    console = Console()
    console.print(f"{len(study.items)} items for {readers} readers: {output / 'study'}", soft_wrap=True, markup=False)
    console.print(f"keep from the readers: {output / 'key.json'}", soft_wrap=True, markup=False)
    console.print(f"next: s2ldm-train reader-study serve {output / 'study'}", soft_wrap=True, markup=False)


@reader_study.command()
def serve(
    study: Annotated[Path, typer.Argument(help="The study/ folder; it may be copied to another machine.")],
    port: Annotated[int, typer.Option(help="On 127.0.0.1.", min=1, max=65535)] = 8105,
) -> None:
    """Serve the readers' page on this machine until interrupted; answers are kept in study/answers, and reading goes on where it stopped.

    Example: s2ldm-train reader-study serve runs/readers/study
    """
    import uvicorn

    from train.readers.server import reading_room
    from train.readers.study import read_study

    room = reading_room(study)
    for number, reader in enumerate(read_study(study).readers, start=1):
        typer.echo(f"reader {number}: http://127.0.0.1:{port}/{reader.code}/")
    uvicorn.run(room, host="127.0.0.1", port=port, log_level="warning", access_log=False)


@reader_study.command()
def score(
    folder: Annotated[Path, typer.Argument(help="The study's folder, with key.json and study/.")],
    answers: Annotated[
        list[Path] | None,
        typer.Option(help="Answers that readers downloaded, instead of those in study/answers.", show_default=False),
    ] = None,
) -> None:
    """Statistics of what the readers said: told apart, AUC of realism, agreement; also FOLDER/report.md, report.json, answers.csv.

    Example: s2ldm-train reader-study score runs/readers
    """
    from train.readers.report import markdown, write_report
    from train.readers.results import joined, results
    from train.readers.study import read_answers, read_key, read_study, study_folder

    study, key = read_study(study_folder(folder)), read_key(folder)
    files = answers or sorted((study_folder(folder) / "answers").glob("reader-*.json"))
    readings = joined(study, key, [read_answers(path) for path in files])
    found = results(study, readings)
    write_report(folder, found, readings)
    typer.echo(markdown(found))
